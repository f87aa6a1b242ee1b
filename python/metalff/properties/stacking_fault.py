"""Planes that slide over each other."""

import numpy as np
from ase.constraints import FixedLine
from ase.lattice.cubic import BodyCenteredCubic, FaceCenteredCubic

from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.relaxing import relax

MILLIJOULE = 16021.766
"""mJ/m² in an eV/Å²."""

POINTS = 11
"""Of a line."""

LAYERS = {"fcc": 4, "110": 6, "112": 3, "hcp": 6}
"""Repeats along the normal."""

DIRECTIONS = {
    "fcc": ([1, 1, -2], [-1, 1, 0], [1, 1, 1]),
    "110": ([-1, 1, 1], [1, -1, 2], [1, 1, 0]),
    "112": ([-1, -1, 1], [1, -1, 0], [1, 1, 2]),
}
"""Slip, the third one, and the normal."""


def gamma_line(subject: Subject, crystal, axis: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements from 0 to ``length`` (Å) along ``axis`` and energies (mJ/m²) of one fault per cell, atoms relaxed along the normal.

    Args:
        crystal: ``ase.Atoms``, orthogonal, normal along z.
    """
    distances = np.linspace(0, length, POINTS)
    energies = []
    period = crystal.cell.lengths()[axis]
    for distance in distances:
        atoms = crystal.copy()
        cell = atoms.cell.array.copy()
        cell[2, axis] += (distance + period / 2) % period - period / 2
        atoms.set_cell(cell)
        atoms.set_constraint(FixedLine(range(len(atoms)), [0, 0, 1]))
        energies.append(relax(atoms, subject.calculator, subject.settings, "the fault"))
    area = np.linalg.norm(np.cross(crystal.cell[0], crystal.cell[1]))
    return distances, (np.array(energies) - energies[0]) / area * MILLIJOULE


def _curve(distances, energies) -> Curve:
    return Curve(distances.tolist(), energies.tolist(), "displacement (Å)", "energy (mJ/m²)", "gamma")


def _close_packed(subject: Subject, crystal, axis: int, length: float) -> Measured:
    """The lower of the two senses of the slip ends in the intrinsic fault; the other puts atoms on top of each other."""
    ends = [gamma_line(subject, crystal, axis, sign * length) for sign in (1, -1)]
    distances, energies = min(ends, key=lambda line: line[1][-1])
    values = {"intrinsic": Value(float(energies[-1]), "mJ/m²"), "unstable": Value(float(energies.max()), "mJ/m²")}
    warnings = (
        () if energies[-1] > -1 else (f"the fault has a negative energy: {'hcp' if subject.metal.crystal == 'fcc' else 'fcc'} stacking is preferred",)
    )
    return Measured(values, {"gamma": _curve(np.abs(distances), energies)}, warnings=warnings)


def run(subject: Subject) -> Measured:
    crystal, a = subject.metal.crystal, float(subject.cell.cell.lengths()[0])
    if crystal == "hcp":
        return _close_packed(subject, subject.cell * (1, 1, LAYERS["hcp"]), 1, a / np.sqrt(3))
    if crystal == "fcc":
        atoms = FaceCenteredCubic(subject.element, DIRECTIONS["fcc"], size=(1, 1, LAYERS["fcc"]), latticeconstant=a, pbc=True)
        return _close_packed(subject, atoms, 0, a / np.sqrt(6))
    values, curves = {}, {}
    for plane in ("110", "112"):
        atoms = BodyCenteredCubic(subject.element, DIRECTIONS[plane], size=(1, 1, LAYERS[plane]), latticeconstant=a, pbc=True)
        distances, energies = gamma_line(subject, atoms, 0, a * np.sqrt(3) / 2)
        values[f"unstable_{plane}"] = Value(float(energies.max()), "mJ/m²")
        curves[plane] = _curve(distances, energies)
    return Measured(values, curves)


MEASUREMENTS = (
    Measurement(
        "stacking_fault",
        "Stacking fault",
        1,
        run,
        1,
        """Energy (mJ/m²) of planes that slide over each other: fcc (111)[11-2] and hcp basal with the intrinsic and the unstable fault, bcc {110}<111> and {112}<111> as lines.
One fault per periodic cell of 10 to 18 planes, atoms relaxed along the normal only, the cell fixed. Experiment is of dissociated dislocations at room
temperature, uncertain by some 20 %, and of Al far more. A potential with a short cutoff cannot tell fcc from hcp, and its intrinsic fault is near zero
whatever else it does well. The hcp fault is I2.""",
        needs=("lattice",),
        settings=("force", "steps"),
    ),
)
