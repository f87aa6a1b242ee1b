"""Structures of a self-test, and a framework's numbers on them; shared by the deploying workers, so it needs only ase."""

import ase.build
import ase.data
import numpy as np


def reference(atoms) -> dict:
    """A self-test structure (ase Atoms with a calculator) with its energy (eV), forces (eV/Å) and stress (eV/Å³)."""
    return {
        "symbols": list(atoms.symbols),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energy": float(atoms.get_potential_energy()),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress(voigt=False).tolist(),
    }


def crystal(symbols, seed, stretch=1.0):
    """A strained, rattled fcc crystal with two sets of cell axes that are not orthogonal, its distances ``stretch`` times the usual ones."""
    # not below 1 Å: as dense a crystal of hydrogen would have thousands of neighbours
    radius = max(1.0, np.mean([ase.data.covalent_radii[ase.data.atomic_numbers[s]] for s in symbols]))
    atoms = ase.build.bulk("Cu", "fcc", a=2 * radius * 2**0.5 * stretch, cubic=True).repeat((2, 2, 1))
    rng = np.random.default_rng(seed)
    atoms.symbols = rng.choice(symbols, len(atoms))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.08, (len(atoms), 3))
    return atoms


def structures(symbols, stretch=1.0):
    """Bulk, surface, vacancy and free atom."""
    bulk = crystal(symbols, 1, stretch)
    surface = crystal(symbols, 2, stretch)
    surface.cell[2] *= 4
    vacancy = crystal(symbols, 3, stretch)
    del vacancy[5]
    atom = ase.Atoms(symbols[:1], cell=np.eye(3) * 20, pbc=True)
    return bulk, surface, vacancy, atom


def selftest(calculator, symbols, stretch=1.0) -> list[dict]:
    """The structures with the numbers of a framework's own calculator."""
    cases = []
    for atoms in structures(symbols, stretch):
        atoms.calc = calculator
        cases.append(reference(atoms))
    return cases
