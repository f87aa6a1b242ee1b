"""Metals: crystal, lattice constants, melting temperature, cohesive energy and elastic constants from experiment (``metals.yaml``)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from metalff.errors import MetalffError, nearest


@dataclass(frozen=True)
class Metal:
    """One element.

    Attributes:
        symbol: of the element.
        crystal: fcc, bcc or hcp.
        a, c: Å; c is None but for hcp.
        melting_temperature: K, at ambient pressure.
        cohesive_energy: eV/atom.
        elastic: GPa, by name (C11 …); empty where unknown.
    """

    symbol: str
    crystal: str
    a: float
    c: float | None
    melting_temperature: float
    cohesive_energy: float
    elastic: dict[str, float]

    @property
    def nearest_neighbour(self) -> float:
        """Distance of nearest neighbours, Å."""
        if self.crystal == "hcp":
            return min(self.a, math.sqrt(self.a**2 / 3 + self.c**2 / 4))
        return self.a * {"fcc": math.sqrt(0.5), "bcc": math.sqrt(0.75)}[self.crystal]

    def unit_cell(self, a: float | None = None, c: float | None = None):
        """The orthogonal unit cell as ``ase.Atoms``: 4 (fcc), 2 (bcc) or 4 (hcp) atoms.

        Args:
            a, c: Å; the experimental ones when None.
        """
        from ase.build import bulk

        a = a or self.a
        if self.crystal == "hcp":
            return bulk(self.symbol, "hcp", a, c=c or a * self.c / self.a, orthorhombic=True)
        return bulk(self.symbol, self.crystal, a, cubic=True)

    def supercell(self, cell=None):
        """``REPEATS`` of the unit cell, or of another unit cell of this crystal, as ``ase.Atoms``: orthogonal, 108 to 128 atoms."""
        return (self.unit_cell() if cell is None else cell) * REPEATS[self.crystal]


REPEATS = {"fcc": (3, 3, 3), "bcc": (4, 4, 4), "hcp": (5, 3, 2)}
"""Of the orthogonal unit cell: 108, 128 and 120 atoms."""

ELASTIC = {"hcp": ("C11", "C12", "C13", "C33", "C44")}
CUBIC = ("C11", "C12", "C44")


@lru_cache
def metals() -> dict[str, Metal]:
    """All metals by symbol."""
    found = {}
    for symbol, row in yaml.safe_load((files("metalff.data") / "metals.yaml").read_text("utf-8")).items():
        elastic = dict(zip(ELASTIC.get(row["crystal"], CUBIC), map(float, row.get("elastic", ()))))
        found[symbol] = Metal(symbol, row["crystal"], row["a"], row.get("c"), row["tm"], row["cohesive"], elastic)
    return found


def metal(symbol: str) -> Metal:
    """One metal.

    Raises:
        MetalffError: it is not in the table.
    """
    if symbol not in metals():
        raise MetalffError(f"no metal {symbol or '(an empty name)'}{nearest(symbol, metals())}; there are {' '.join(metals())}")
    return metals()[symbol]
