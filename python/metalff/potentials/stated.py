"""What a parameter file says of its own crystal: the values that its authors fitted it to.

A MEAM library holds the lattice constant, the cohesive energy and α of the reference structure, and α² = 9BΩ/E (Baskes, Phys. Rev. B 46, 2727
(1992), eq. 8) makes a bulk modulus of it; at equilibrium the crystal has exactly these. A setfl file holds the lattice constant of each element.
"""

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from metalff.errors import MetalffError
from metalff.potentials.meam import listed_names, parameter_text, read_library

GPA = 160.21766
"""GPa in an eV/Å³."""

TOLERANCES = {"a": 0.01, "cohesive_energy": 0.01, "bulk_modulus": 0.05}
"""Largest relative deviation of what is computed from what is stated."""

NEIGHBOUR = {"fcc": 1 / math.sqrt(2), "bcc": math.sqrt(3) / 2, "hcp": 1.0}
"""Distance of nearest neighbours in units of a."""

IDEAL = math.sqrt(8 / 3)
"""c/a of the hcp that MEAM means."""


@dataclass(frozen=True)
class Stated:
    """Attributes: crystal; a (Å); c (Å), only of MEAM's ideal hcp; cohesive_energy (eV/atom) and bulk_modulus (GPa), only of MEAM."""

    crystal: str
    a: float
    c: float | None = None
    cohesive_energy: float | None = None
    bulk_modulus: float | None = None


def stated(potential, element: str) -> Stated | None:
    """What the files of an EAM or MEAM say of an element; None where they say nothing.

    Args:
        potential: a ``metalff.potentials.Potential``.
    Raises:
        MetalffError: a MEAM library cannot be read, or lacks the element.
    """
    words = shlex.split(potential.pair_coeff[0])
    own = words[len(words) - len(potential.elements) + potential.elements.index(element)]
    if potential.kind == "meam":
        return _meam(potential, own)
    if potential.pair_style.split()[0] in ("eam/alloy", "eam/fs"):
        return _setfl(potential.files[0], own, potential.pair_style.split()[0] == "eam/fs")
    return None


def _meam(potential, own: str) -> Stated | None:
    library = read_library(potential.files[0])
    if own not in library:
        raise MetalffError(f"{potential.files[0].name} has no element {own}; it has {' '.join(library)}")
    entry = library[own]
    if entry.lattice not in NEIGHBOUR:
        return None
    values = {"re": entry.alat * NEIGHBOUR[entry.lattice], "Ec": entry.esub, "alpha": entry.alpha}
    index = listed_names(potential).index(own) + 1
    for key, value in re.findall(rf"^\s*(re|Ec|alpha)\s*\(\s*{index}\s*,\s*{index}\s*\)\s*=\s*(\S+)", parameter_text(potential), re.MULTILINE):
        values[key] = float(value)  # the parameter file has the last word
    a = values["re"] / NEIGHBOUR[entry.lattice]
    c = a * IDEAL if entry.lattice == "hcp" else None
    modulus = values["alpha"] ** 2 * values["Ec"] / (9 * volume(entry.lattice, a, c)) * GPA
    return Stated(entry.lattice, a, c, values["Ec"], modulus)


def _setfl(path: Path, own: str, finnis_sinclair: bool) -> Stated | None:
    """Before each element's tables: atomic number, mass, lattice constant, lattice."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    try:
        names, grid = lines[3].split()[1:], lines[4].split()
        words = " ".join(lines[5:]).split()
        block = 4 + int(grid[0]) + int(grid[2]) * (len(names) if finnis_sinclair else 1)
        _, _, a, lattice = words[names.index(own) * block :][:4]
        a = float(a)
    except (ValueError, IndexError):
        return None  # LAMMPS says what is wrong with it
    return Stated(lattice.lower(), a) if lattice.lower() in NEIGHBOUR and a > 0 else None


def volume(crystal: str, a: float, c: float | None) -> float:
    """Å³/atom; ``c`` of hcp."""
    return {"fcc": a**3 / 4, "bcc": a**3 / 2}[crystal] if crystal != "hcp" else math.sqrt(3) / 4 * a * a * c


def bulk_modulus(elastic: dict[str, float]) -> float:
    """GPa, Voigt's average of C11 … C33 (Hill, Proc. Phys. Soc. A 65, 349 (1952))."""
    if "C13" in elastic:
        return (2 * (elastic["C11"] + elastic["C12"]) + 4 * elastic["C13"] + elastic["C33"]) / 9
    return (elastic["C11"] + 2 * elastic["C12"]) / 3


def deviations(found, said: Stated) -> dict[str, float]:
    """Relative deviation of each stated value, computed ÷ stated − 1; empty when it is of another crystal.

    Args:
        found: a ``verify.Verification``. Where MEAM means an ideal c/a, ``a`` is that of the same volume.
    """
    if said.crystal != found.crystal:
        return {}
    out = {"a": found.a / said.a - 1}
    if said.c:
        out["a"] = (volume("hcp", found.a, found.c) / volume("hcp", said.a, said.c)) ** (1 / 3) - 1
    if said.cohesive_energy:
        out["cohesive_energy"] = found.cohesive_energy / said.cohesive_energy - 1
    if said.bulk_modulus:
        out["bulk_modulus"] = bulk_modulus(found.elastic) / said.bulk_modulus - 1
    return out


def complaints(found, said: Stated) -> list[str]:
    """What deviates by more than ``TOLERANCES``, in words."""
    shown = {
        "a": (f"a = {found.a:.3f} Å", f"{said.a:.3f} Å"),
        "cohesive_energy": (f"cohesive energy {found.cohesive_energy:.2f} eV", f"{said.cohesive_energy or 0:.2f} eV"),
        "bulk_modulus": (f"bulk modulus {bulk_modulus(found.elastic):.1f} GPa", f"{said.bulk_modulus or 0:.1f} GPa"),
    }
    wrong = [key for key, value in deviations(found, said).items() if not abs(value) <= TOLERANCES[key]]
    return [f"{shown[key][0]}, its own parameters {shown[key][1]}" for key in wrong]
