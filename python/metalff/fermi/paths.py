"""Paths through the configurations of a metal: strains of the primitive cell, a frozen optical phonon, and thermal displacements of a few atoms.

Every path starts from the perfect crystal of ``metals.yaml`` (lattice constants from experiment) at 0, so that all methods are asked about the same structures.

| path | cell | parameter λ | at most |
|---|---|---|---|
| volume | primitive | every length times 1 + λ | ± 0.04 |
| tetragonal (cubic), axial (hcp) | primitive | along z times exp(λ), across it times exp(−λ/2): the shear C′; c/a | ± 0.08 |
| trigonal (cubic) | primitive | the same along [111]: the shear C44 | ± 0.08 |
| orthorhombic (hcp) | primitive | x times exp(λ), y times exp(−λ): the shear C66 | ± 0.06 |
| phonon | 2 atoms | both atoms by λ Å against each other: fcc X along z (longitudinal), bcc H along z, hcp E2g along a | 0.1 d |
| thermal | 4 atoms | random directions, λ Å RMS, the centre of mass at rest | ± 0.1 d |

d is the distance of nearest neighbours; a tenth of it is what atoms move in the crystal about to melt (Lindemann). The energy of a phonon is even in λ: half is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metalff.data.metals import Metal, metal
from metalff.errors import MetalffError, nearest

POINTS = 21
"""Of every path, both halves counted."""

LINDEMANN = 0.1
"""Largest displacement, over the distance of nearest neighbours."""

SEED = 22
"""Of the directions of thermal displacements."""


@dataclass(frozen=True)
class Path:
    """Structures along a line.

    Attributes:
        symbol: of the metal.
        name: of the path.
        parameter: [K] λ in equal steps: from 0 on where ``even``, else about 0.
        even: the energy at −λ is that at λ.
        unit: of λ: "" (strain) or "Å".
        length: Å per unit of λ: RMS displacement of the atoms, or, of a strain, of a nearest neighbour against its atom, over all directions.
        place: λ → ``ase.Atoms``; fractional coordinates change smoothly and stay inside the cell.
    """

    symbol: str
    name: str
    parameter: np.ndarray
    even: bool
    unit: str
    length: float
    place: Callable

    def atoms(self) -> list:
        """Structures at all λ, as ``ase.Atoms`` [K]."""
        return [self.place(value) for value in self.parameter]


STRAINS = {"fcc": ("volume", "tetragonal", "trigonal"), "bcc": ("volume", "tetragonal", "trigonal"), "hcp": ("volume", "axial", "orthorhombic")}

NAMES = ("volume", "tetragonal", "axial", "trigonal", "orthorhombic", "phonon", "thermal")


def names_of(symbol: str) -> tuple[str, ...]:
    """Paths of a metal; raises MetalffError where it is not in the table."""
    return (*STRAINS[metal(symbol).crystal], "phonon", "thermal")


def path(symbol: str, name: str, points: int = POINTS) -> Path:
    """One path of a metal.

    Args:
        points: odd, both halves counted.
    Raises:
        MetalffError: unknown metal or path.
    """
    found = metal(symbol)
    known = names_of(symbol)
    if name not in NAMES:
        raise MetalffError(f"no path {name}{nearest(name, known)}; of {symbol} there are {', '.join(known)}")
    if name not in known:
        raise MetalffError(f"{symbol} is {found.crystal} and has no path {name}; there are {', '.join(known)}")
    if name == "phonon":
        return _phonon(found, points)
    if name == "thermal":
        return _thermal(found, points)
    return _strain(found, name, points)


def _strain(found: Metal, name: str, points: int) -> Path:
    largest, deformation = DEFORMATIONS[name]
    perfect = _primitive(found)

    def place(value):
        atoms = perfect.copy()
        atoms.set_cell(perfect.cell.array @ deformation(value), scale_atoms=True)
        return atoms

    slope = (deformation(1e-4) - deformation(-1e-4)) / 2e-4
    length = found.nearest_neighbour * float(np.linalg.norm(slope)) / np.sqrt(3)
    return Path(found.symbol, name, np.linspace(-largest, largest, points), False, "", length, place)


def _along(value, axis):
    """Stretched by exp(value) along a unit vector, by exp(−value/2) across it."""
    projection = np.outer(axis, axis)
    return np.exp(value) * projection + np.exp(-value / 2) * (np.eye(3) - projection)


Z = np.array([0.0, 0.0, 1.0])
DIAGONAL = np.ones(3) / np.sqrt(3)

DEFORMATIONS = {
    "volume": (0.04, lambda value: (1 + value) * np.eye(3)),
    "tetragonal": (0.08, lambda value: _along(value, Z)),
    "axial": (0.08, lambda value: _along(value, Z)),
    "trigonal": (0.08, lambda value: _along(value, DIAGONAL)),
    "orthorhombic": (0.06, lambda value: np.diag([np.exp(value), np.exp(-value), 1.0])),
}
"""Largest λ, and λ → the matrix that the cell is multiplied with."""


def _primitive(found: Metal):
    from ase.build import bulk

    atoms = bulk(found.symbol, found.crystal, found.a, **({"c": found.c} if found.crystal == "hcp" else {}))
    if len(atoms) > 1:
        _centre(atoms)
    return atoms


def _centre(atoms) -> None:
    """The centre of the atoms to the centre of the cell, so that none crosses a face of it."""
    fractional = atoms.get_scaled_positions()
    atoms.set_scaled_positions(fractional - fractional.mean(axis=0) + 0.5)


def _phonon(found: Metal, points: int) -> Path:
    """Two atoms against each other along z (cubic) or along a (hcp)."""
    from ase import Atoms

    if found.crystal == "hcp":
        perfect, axis = _primitive(found), np.array([1.0, 0.0, 0.0])
    else:
        side = found.a if found.crystal == "bcc" else found.a / np.sqrt(2)
        cell = [side, side, found.a]
        perfect, axis = Atoms([found.symbol] * 2, scaled_positions=[[0.25] * 3, [0.75] * 3], cell=cell, pbc=True), Z

    def place(value):
        atoms = perfect.copy()
        atoms.positions += value * np.outer([1.0, -1.0], axis)
        return atoms

    largest = round(LINDEMANN * found.nearest_neighbour, 3)
    return Path(found.symbol, "phonon", np.linspace(0, largest, (points + 1) // 2), True, "Å", 1.0, place)


def _thermal(found: Metal, points: int) -> Path:
    perfect = found.unit_cell()
    if len(perfect) == 2:
        perfect = perfect * (2, 1, 1)
    _centre(perfect)
    moves = np.random.default_rng(SEED).normal(size=(len(perfect), 3))
    moves -= moves.mean(axis=0)
    moves /= np.sqrt((moves**2).sum(axis=1).mean())

    def place(value):
        atoms = perfect.copy()
        atoms.positions += value * moves
        return atoms

    largest = round(LINDEMANN * found.nearest_neighbour, 3)
    return Path(found.symbol, "thermal", np.linspace(-largest, largest, points), False, "Å", 1.0, place)


def meshes(atoms, points: tuple[int, int]) -> list[list[int]]:
    """Two gamma-centred meshes: so many points along the longest reciprocal vector of the metal's primitive cell, as dense along all others.

    Args:
        atoms: of the path at 0.
        points: of the primitive cell, per direction.
    Returns:
        [2][3].
    """
    longest = np.linalg.norm(_primitive(metal(atoms.symbols[0])).cell.reciprocal(), axis=1).max()
    lengths = np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    return [[int(np.ceil(count * length / longest - 1e-6)) for length in lengths] for count in points]


NODES = {False: 5, True: 7}
"""Structures of a path whose density is made self-consistent, by whether it is even: half of an even one is asked for, and nodes lie on both."""


def nodes(of: Path) -> np.ndarray:
    """λ of these structures: Chebyshev's, both ends among them. Matrices between them are polynomials of λ."""
    high, count = of.parameter[-1], NODES[of.even]
    return -high * np.cos(np.pi * np.arange(count) / (count - 1))
