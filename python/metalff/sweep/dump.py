"""Frames of a LAMMPS text dump as the scripts of ``lammps_inputs`` write it."""

from pathlib import Path

import numpy as np

from metalff.errors import MetalffError

ATOMS = "ITEM: ATOMS id type xu yu zu vx vy vz fx fy fz"
BOUNDS = "ITEM: BOX BOUNDS"
HEADER = 9
"""Lines before the atoms of a frame."""

COLUMNS = len(ATOMS.split()) - 2
"""Numbers of an atom."""


def dump_frames(path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Step → (cell[3,3] in Å, atoms[N,9]: unwrapped positions Å, velocities Å/ps, forces eV/Å), atoms in order of their id.

    A frame that was cut off or is damaged is left out, and what comes after it.

    Raises:
        MetalffError: the file is not such a dump.
    """
    lines = Path(path).read_text(errors="replace").split("\n")[:-1]
    frames, at = {}, 0
    while at + HEADER <= len(lines):
        header = lines[at : at + HEADER]
        if header[0] != "ITEM: TIMESTEP" or not header[4].startswith(BOUNDS) or header[8].strip() != ATOMS:
            if frames:
                break
            raise MetalffError(f"{path} does not begin with a frame that MetalFF's scripts write; remove the job's folder and run again")
        try:
            step, atoms = int(header[1]), int(header[3])
            body = lines[at + HEADER : at + HEADER + atoms]
            values = np.array([line.split() for line in body], float)
            if values.shape != (atoms, COLUMNS):
                break
            frames[step] = _cell(header[4], header[5:8]), values[np.argsort(values[:, 0]), 2:]
        except (ValueError, IndexError):
            break
        at += HEADER + atoms
    return frames


def _cell(kind: str, bounds) -> np.ndarray:
    """Rows are the cell vectors; LAMMPS writes the bounding box of a triclinic cell, with its tilts as a third number."""
    numbers = np.array([line.split() for line in bounds], float)
    low, high = numbers[:, 0].copy(), numbers[:, 1].copy()
    xy, xz, yz = numbers[:, 2] if " xy " in f"{kind} " else (0.0, 0.0, 0.0)
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    lx, ly, lz = high - low
    return np.array([[lx, 0.0, 0.0], [xy, ly, 0.0], [xz, yz, lz]])
