"""Is a potential the metal it stands for: crystal, cohesion, elasticity, a vacancy, and whether it lives through molecular dynamics."""

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from metalff.data.metals import CUBIC, ELASTIC, metal
from metalff.errors import MetalffError
from metalff.potentials.stated import Stated, complaints, stated
from metalff.properties.elastic import elastic_matrix, stable
from metalff.properties.lattice import energy, relaxed
from metalff.simulation import BlownUp, Simulation
from metalff.validate.order import SHARE, solid_fraction

LATTICE = 0.05
"""Largest relative deviation of a lattice constant from experiment."""

COHESION = 0.15
"""… and of the cohesive energy."""

MD_PS = 20.0
"""Length of the run at half the melting temperature."""

FORCE = 0.01
"""Largest force (eV/Å) of a relaxed structure."""


@dataclass
class Verification:
    """What was found of one element.

    Attributes:
        a, c: Å, of the relaxed crystal; c is None but for hcp.
        cohesive_energy: eV/atom, against the potential's own isolated atom.
        elastic: GPa, by name.
        vacancy: formation energy, eV.
        stated: what the parameter file says of its own crystal; None when it says nothing.
        survived: ps of molecular dynamics at half the melting temperature.
        solid_fraction: at its end.
        failed: what is wrong, in words; empty when the potential passes.
    """

    name: str
    element: str
    crystal: str
    a: float = np.nan
    c: float | None = None
    cohesive_energy: float = np.nan
    elastic: dict[str, float] = field(default_factory=dict)
    vacancy: float = np.nan
    stated: Stated | None = None
    survived: float = 0.0
    solid_fraction: float = np.nan
    failed: list[str] = field(default_factory=list)


def verify(potential, element: str, md: bool = True) -> Verification:
    """Check one element of a potential in the metal's own crystal.

    It fails where the crystal is not what its own parameters say (``stated.TOLERANCES``), a lattice constant is farther than ``LATTICE`` from
    experiment, the cohesive energy farther than ``COHESION``, the crystal mechanically unstable (Born's criteria; Mouhat and Coudert, Phys. Rev. B 90,
    224104 (2014)), or where ``MD_PS`` at half the melting temperature blow up or end in another state than a solid.

    Args:
        potential: a ``metalff.potentials.Potential``.
        md: also run the molecular dynamics.
    Raises:
        MetalffError: the metal is not in the table, or LAMMPS refuses the potential.
    """
    known = metal(element)
    found = Verification(potential.name, element, known.crystal)
    calculator = potential.calculator()
    try:
        cell = relaxed(calculator, known)
        found.a = float(cell.cell.lengths()[0])
        found.c = float(cell.cell.lengths()[2]) if known.crystal == "hcp" else None
        bulk = energy(calculator, cell) / len(cell)
        found.cohesive_energy = energy(calculator, Atoms(element)) - bulk
        matrix = elastic_matrix(calculator, cell, known.crystal == "hcp")
        names = ELASTIC.get(known.crystal, CUBIC)
        found.elastic = {name: float(matrix[int(name[1]) - 1, int(name[2]) - 1]) for name in names}
        found.stated = stated(potential, element)
        if found.stated:
            found.failed += complaints(found, found.stated)
        for label, value, expected in (("a", found.a, known.a), ("c", found.c, known.c)):
            if value is not None and abs(value / expected - 1) > LATTICE:
                found.failed.append(f"{label} = {value:.3f} Å, experiment {expected:.2f} Å")
        if abs(found.cohesive_energy / known.cohesive_energy - 1) > COHESION:
            found.failed.append(f"cohesive energy {found.cohesive_energy:.2f} eV, experiment {known.cohesive_energy:.2f} eV")
        if not stable(matrix):
            found.failed.append("mechanically unstable")
        found.vacancy = vacancy(calculator, cell, known, bulk)
    finally:
        if hasattr(calculator, "close"):
            calculator.close()
    if md and not any("unstable" in word for word in found.failed):
        _survive(potential, known, cell, found)
    return found


def vacancy(calculator, cell, known, bulk: float) -> float:
    """Formation energy (eV) of a relaxed vacancy in the cell of the synthetic data; NaN when it does not relax."""
    atoms = known.supercell(cell)
    del atoms[0]
    atoms.calc = calculator
    try:
        done = BFGS(atoms, logfile=None).run(fmax=FORCE, steps=150)
        return float(atoms.get_potential_energy() - len(atoms) * bulk) if done else np.nan
    except MetalffError:
        return np.nan


def _survive(potential, known, cell, found: Verification) -> None:
    temperature = known.melting_temperature / 2
    simulation = Simulation(potential, known.supercell(cell), temperature, 1)
    try:
        simulation.barostat(temperature, isotropic=known.crystal != "hcp")
        while found.survived < MD_PS - 1e-9:
            simulation.run(simulation.steps(1.0), temperature)
            found.survived += 1.0
        frame = simulation.frame(temperature, "", "", 0)
        found.solid_fraction = solid_fraction(frame.positions, frame.cell, known.crystal)
        if found.solid_fraction < SHARE:
            found.failed.append(f"after {MD_PS:g} ps at {temperature:.0f} K only {100 * found.solid_fraction:.0f}% of the atoms are solid-like")
    except BlownUp as error:
        found.failed.append(f"molecular dynamics at {temperature:.0f} K ends after {found.survived:g} ps: {error}")
    finally:
        simulation.close()
