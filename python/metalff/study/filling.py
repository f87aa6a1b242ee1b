"""Is the Fermi surface what is hard? One tight-binding model at many fillings and electronic temperatures, learnt from the same frames.

Frames of a crystal are drawn by molecular dynamics with an EAM, at four temperatures, from runs of their own for training and for testing. The d-band model
labels all of them at every dose: frames, hopping and repulsion are the same, only how many electrons fill the band, and how sharply, differs. The same
models learn each dose.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metalff.data import Dataset, Frame, layout
from metalff.data.metals import metal
from metalff.dft.structures import draw
from metalff.paths import atomic_write
from metalff.potentials import resolve
from metalff.synth import doses
from metalff.synth.relabel import relabelled
from metalff.synth.tight_binding import Dose, k_mesh, model

FILLINGS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
"""d electrons per atom."""

WIDTHS = (0.1, 0.2, 0.5)
"""kT, eV."""

METALS = {"Nb": 54, "Pd": 32}
"""A bcc and an fcc crystal: atoms of their cells."""

K_DENSITY = 5.5
"""Å: 4 points along the edge of the cell of 54 atoms, 5 along that of 32."""

REFERENCE = 2
"""Points more along each axis, against which the error of the mesh is measured."""

PARTS = {"train": 1, "test": 2}
"""Seeds of the molecular dynamics."""


@dataclass(frozen=True)
class Plan:
    """What is studied.

    Attributes:
        metals: of ``METALS``.
        fillings: d electrons per atom.
        widths: kT, eV.
        frames: for training; as many times 5/12 for testing.
        seeds: of the trainings.
    """

    metals: tuple[str, ...] = tuple(METALS)
    fillings: tuple[float, ...] = FILLINGS
    widths: tuple[float, ...] = WIDTHS
    frames: int = 96
    seeds: tuple[int, ...] = (1, 2, 3)

    def count(self, part: str) -> int:
        return self.frames if part == "train" else max(8, 4 * round(self.frames * 5 / 48))


def dose_name(symbol: str, filling: float, width: float) -> str:
    return f"{symbol}/tb[filling={filling:g},kT={width:g},k={K_DENSITY:g}]"


def names_of(symbol: str, plan: Plan) -> list[str]:
    """Doses of a metal."""
    return [dose_name(symbol, filling, width) for width in plan.widths for filling in plan.fillings]


def data_folder(out: Path, symbol: str, name: str, part: str) -> Path:
    """Where the frames of one part have the labels of a potential."""
    return doses.folder_of(name, Path(out) / "data" / symbol / part)


def draw_frames(symbol: str, part: str, out: Path, plan: Plan) -> Path:
    """Frames of one part with the labels of the EAM that moves them, in the layout; kept where they are there already.

    Raises:
        MetalffError: the folder holds other frames.
    """
    mover = doses.mover(symbol)
    folder, potential, crystal = data_folder(out, symbol, mover, part), resolve(mover, [symbol]), metal(symbol).crystal
    made = {"element": symbol, "lattice": crystal, "potential": potential.record()}
    made["settings"] = {"atoms": METALS[symbol], "frames": plan.count(part), "seed": PARTS[part]}
    found = layout.manifest(folder) if folder.exists() else {}
    if all(found.get(key) == value for key, value in made.items()):
        return folder
    drawn = {}
    for k, atoms in enumerate(draw(symbol, mover, METALS[symbol], plan.count(part), strains=(0.0,), seed=PARTS[part])):
        temperature = atoms.info["temperature"]
        drawn.setdefault(temperature, []).append(
            Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 0.0, np.zeros((len(atoms), 3)), temperature=temperature, index=k)
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for temperature, frames in drawn.items():
        file = layout.file_name(symbol, crystal, temperature)
        layout.write_file(relabelled(Dataset(symbol, tuple(frames)), potential), folder / file)
        files[file] = {"temperature": temperature, "frames": len(frames)}
    citation = f"frames and labels of {potential.label}: {potential.citation}"
    layout.write_manifest(folder, made | {"files": files, "citation": citation})
    return folder


def make_data(symbol: str, out: Path, plan: Plan, progress=lambda done, total: None, go_on=lambda: True) -> bool:
    """Frames of a metal with the labels of all doses, and the error of their mesh; what is there already is kept.

    Args:
        progress: called with the number of structures labelled, and of all.
        go_on: False ends it after the file that has begun.
    Returns:
        whether all are there.
    """
    total, before = sum(plan.count(part) for part in PARTS), 0
    for part in PARTS:
        folder = draw_frames(symbol, part, out, plan)
        done = {}

        def told(file, count, frames):
            done[file] = count
            progress(before + sum(done.values()), total)

        if not doses.label(folder, names_of(symbol, plan), folder.parent, told, go_on):
            return False
        before += plan.count(part)
    return mesh_errors(symbol, out, plan) is not None


def mesh_errors(symbol: str, out: Path, plan: Plan) -> list[dict]:
    """Of each dose the RMS difference of forces (eV/Å) between the mesh that labels and one of ``REFERENCE`` more points along each axis, and of one point
    fewer, over one frame of each temperature of the test part; kept in ``mesh.json``."""
    path = Path(out) / "data" / symbol / "mesh.json"
    names = names_of(symbol, plan)
    if path.exists() and (found := json.loads(path.read_text("utf-8")))["names"] == names:
        return found["rows"]
    folder = data_folder(out, symbol, doses.mover(symbol), "test")
    asked = [Dose(filling, width) for width in plan.widths for filling in plan.fillings]
    squares = {}
    for file in layout.files(folder):
        atoms = layout.read_file(file).frames[0].to_atoms()
        mesh = k_mesh(atoms, K_DENSITY)
        forces = {}
        for more in (-1, 0, REFERENCE):
            forces[more] = np.array([label.forces for label in model(symbol).labels(atoms, asked, tuple(n + more for n in mesh))])
        for more in (-1, 0):
            squares.setdefault(more, []).append(((forces[more] - forces[REFERENCE]) ** 2).mean(axis=(1, 2)))
    fewer, own = (np.array(squares[more]) for more in (-1, 0))
    rows = [
        {
            "metal": symbol,
            "filling": dose.filling,
            "kT": dose.kT,
            "mesh": "×".join(map(str, mesh)),
            "frames": len(own),
            "mesh_error": float(np.sqrt(own[:, k].mean())),
            "mesh_error_worst": float(np.sqrt(own[:, k].max())),
            "mesh_error_coarser": float(np.sqrt(fewer[:, k].mean())),
        }
        for k, dose in enumerate(asked)
    ]
    with atomic_write(path) as stream:
        json.dump({"names": names, "rows": rows}, stream, indent=1)
    return rows
