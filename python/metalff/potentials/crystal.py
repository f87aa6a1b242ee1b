"""Lattice constant and cohesive energy of a potential: the first check that a parameter file is read as meant."""

from dataclasses import dataclass

from ase import Atoms
from ase.build import bulk
from scipy.optimize import minimize_scalar

CUBIC = ("fcc", "bcc", "diamond")

SEARCH = 0.12
"""The minimum is looked for within this relative distance of the starting lattice constant."""


@dataclass(frozen=True)
class CrystalCheck:
    """Attributes: lattice_constant (Å), energy (eV/atom), cohesive_energy (eV/atom, against an isolated atom)."""

    lattice_constant: float
    energy: float
    cohesive_energy: float


def check_crystal(calculator, element: str, crystal: str, lattice_constant: float) -> CrystalCheck:
    """Minimise the energy per atom over the lattice constant of a cubic crystal.

    The cohesive energy E(atom) − E(crystal) means something only for potentials fitted to an isolated atom (EAM, MEAM).

    Args:
        calculator: ASE calculator.
        crystal: one of ``CUBIC``.
        lattice_constant: Å, where the search starts.
    """

    def energy(atoms):
        atoms.calc = calculator
        return atoms.get_potential_energy() / len(atoms)

    found = minimize_scalar(
        lambda a: energy(bulk(element, crystal, a, cubic=True)),
        bounds=(lattice_constant * (1 - SEARCH), lattice_constant * (1 + SEARCH)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return CrystalCheck(float(found.x), float(found.fun), energy(Atoms(element)) - float(found.fun))
