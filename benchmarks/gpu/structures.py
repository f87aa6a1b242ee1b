"""The structures of the parity, as data files of LAMMPS: positions, tilts and velocities with all digits."""

from pathlib import Path

import bundle_cases as cases
import numpy as np
from ase import Atoms, units
from ase.build import bulk


def crystal(elements) -> Atoms:
    """About five hundred atoms: copper, or all elements mixed on a body-centred lattice."""
    if len(elements) == 1:
        return bulk(elements[0], "fcc", a=cases.LATTICE, cubic=True).repeat(5)
    atoms = bulk("Nb", "bcc", a=3.25, cubic=True).repeat(6)
    atoms.symbols = np.random.default_rng(2).permutation(np.resize(elements, len(atoms)))
    return atoms


def slab(elements) -> Atoms:
    """A tilted periodic cell with space above, one vacancy, and an atom beyond the reach of all others."""
    atoms = crystal(elements)
    atoms = atoms[atoms.positions[:, 2] < 11.0]
    cell = atoms.cell.array.copy()
    cell[1, 0], cell[2] = 4.0, (3.0, 2.0, 45.0)
    atoms.set_cell(cell)
    atoms.positions[:, 0] += atoms.positions[:, 1] * 4.0 / cell[1, 1]
    del atoms[7]
    return atoms + Atoms(elements[:1], positions=[(8.0, 8.0, 28.0)])


def cell(elements) -> Atoms:
    """Smaller than the cutoff."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 1, 1))
    atoms.symbols = np.resize(elements, len(atoms))
    return atoms


def make(structure: str, elements, path: Path) -> None:
    """Rattled by 0.06 Å and as fast as at 600 K; types in the order of the elements."""
    atoms = {"crystal": crystal, "slab": slab, "cell": cell}[structure](elements)
    rng = np.random.default_rng(5)
    atoms.positions += rng.normal(scale=0.06, size=(len(atoms), 3))
    atoms.wrap()
    mass = np.array([cases.MASS[s] for s in atoms.symbols])
    velocity = rng.normal(size=(len(atoms), 3)) * np.sqrt(units.kB * 600 / mass)[:, None]
    velocity -= (mass @ velocity) / mass.sum()
    velocity *= 1000 * units.fs  # Å per ps
    (ax, _, _), (bx, by, _), (cx, cy, cz) = atoms.cell.array
    lines = [
        f"{structure}, {atoms.get_chemical_formula()}\n",
        f"{len(atoms)} atoms",
        f"{len(elements)} atom types\n",
        f"0 {ax:.17g} xlo xhi",
        f"0 {by:.17g} ylo yhi",
        f"0 {cz:.17g} zlo zhi",
        *([f"{bx:.17g} {cx:.17g} {cy:.17g} xy xz yz"] if any((bx, cx, cy)) else []),
        "\nMasses\n",
        *(f"{k} {cases.MASS[e]} # {e}" for k, e in enumerate(elements, 1)),
        "\nAtoms # atomic\n",
        *(f"{k} {elements.index(s) + 1} {x:.17g} {y:.17g} {z:.17g}" for k, (s, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.positions), 1)),
        "\nVelocities\n",
        *(f"{k} {x:.17g} {y:.17g} {z:.17g}" for k, (x, y, z) in enumerate(velocity, 1)),
    ]
    path.write_text("\n".join(lines) + "\n")
