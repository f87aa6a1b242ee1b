"""Energies of low-index surfaces."""

import math

import numpy as np
from ase.build import surface

from metalff.properties.measurement import Measured, Measurement, Subject, Value
from metalff.properties.relaxing import relax

JOULE = 16.021766
"""J/m² in an eV/Å²."""

VACUUM = 15.0
"""Å."""

FACES = {"fcc": ("111", "100", "110"), "bcc": ("110", "100", "111"), "hcp": ("0001", "10-10")}

AXES = {"0001": 2, "10-10": 1}
"""Of the orthogonal cell of hcp, along the normal of a face."""


def slab(cell, face: str, thickness: float):
    """``ase.Atoms`` with two like surfaces, periodic, ``VACUUM`` between images.

    Args:
        cell: orthogonal unit cell.
        thickness: Å, at least.
    """
    if face in AXES:
        return _along(cell, AXES[face], thickness)
    indices = tuple(int(digit) for digit in face)
    one = surface(cell, indices, 1, periodic=True)
    height = one.get_volume() / np.linalg.norm(np.cross(one.cell[0], one.cell[1]))
    made = surface(cell, indices, math.ceil(thickness / height), periodic=True)
    made.center(vacuum=VACUUM / 2, axis=2)
    return made


def _along(cell, axis: int, thickness: float):
    """Cut where the planes are farthest apart."""
    repeats = [1, 1, 1]
    repeats[axis] = math.ceil(thickness / cell.cell.lengths()[axis])
    made = cell * repeats
    length = made.cell.lengths()[axis]
    heights = np.sort(made.positions[:, axis] % length)
    gaps = np.diff(np.append(heights, heights[0] + length))
    widest = int(np.argmax(gaps.round(6)))
    made.positions[:, axis] = (made.positions[:, axis] - heights[widest] - gaps[widest] / 2) % length
    made.center(vacuum=VACUUM / 2, axis=axis)
    return made


def area(atoms, face: str) -> float:
    """Å², of one side."""
    i, j = (k for k in range(3) if k != AXES.get(face, 2))
    return float(np.linalg.norm(np.cross(atoms.cell[i], atoms.cell[j])))


def run(subject: Subject) -> Measured:
    values, counts = {}, []
    for face in FACES[subject.metal.crystal]:
        atoms = slab(subject.cell, face, subject.settings.slab_thickness)
        excess = relax(atoms, subject.calculator, subject.settings, f"the surface {face}") - len(atoms) * subject.bulk_energy
        values[face] = Value(excess / (2 * area(atoms, face)) * JOULE, "J/m²")
        counts.append(f"{face}: {len(atoms)}")
    wrong = tuple(f"{face} has a negative energy: the crystal would fall apart" for face, one in values.items() if one.value <= 0)
    return Measured(values, notes=(f"atoms of the slabs: {', '.join(counts)}",), warnings=wrong)


MEASUREMENTS = (
    Measurement(
        "surfaces",
        "Surfaces",
        1,
        run,
        1,
        """Energies of low-index surfaces (J/m²) of slabs at least 16 Å thick, atoms relaxed in the cell of the crystal, without reconstruction.
Experiment is of liquid or polycrystalline metal, extrapolated to 0 K, an average over faces: compare the lowest faces with it, within 10 to 20 %. GGA
is below experiment. (10-10) of hcp is cut between the planes that are farther apart. EAM is known to be low on surfaces, by up to a third.""",
        needs=("lattice",),
        settings=("force", "steps", "slab_thickness"),
    ),
)
