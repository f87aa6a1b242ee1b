"""The embedded-atom potentials of Zhou, Johnson and Wadley, Phys. Rev. B 69, 144113 (2004), from their closed form: 16 metals and any alloy of them.

Electron density, pair potential and embedding energy of a metal, with parameters in ``zhou.yaml`` (their table III):

    f(r)  = f_e exp(−β (r/r_e − 1)) / (1 + (r/r_e − λ)²⁰)
    φ(r)  = A exp(−α (r/r_e − 1)) / (1 + (r/r_e − κ)²⁰) − B exp(−β (r/r_e − 1)) / (1 + (r/r_e − λ)²⁰)
    F(ρ)  = Σ F_ni (ρ/ρ_n − 1)^i,  ρ < ρ_n = 0.85 ρ_e;   Σ F_i (ρ/ρ_e − 1)^i,  up to ρ_o = 1.15 ρ_e;   F_e (1 − η ln(ρ/ρ_s)) (ρ/ρ_s)^η,  above

and between two metals  φ_ab = ½ (f_b/f_a φ_aa + f_a/f_b φ_bb)  (Johnson, Phys. Rev. B 39, 12554 (1989)).
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import yaml
from ase.data import atomic_masses, atomic_numbers

from metalff.data.metals import metal
from metalff.errors import MetalffError, nearest
from metalff.lammps import as_word
from metalff.paths import atomic_write, cache_dir
from metalff.potentials.potential import Potential

LABEL = "EAM closed form (Zhou 2004)"
CITATION = "X. W. Zhou, R. A. Johnson, H. N. G. Wadley, Phys. Rev. B 69, 144113 (2004)"
DOI = "10.1103/PhysRevB.69.144113"

CUTOFF = math.sqrt(5)
"""In units of the largest r_e: there the published tables end."""

SHORTEST = 0.5
"""Å: below, functions keep their values here."""

POINTS = 5000
"""Of each table."""

LINE = 5
"""Numbers in a line of the file."""


@dataclass(frozen=True)
class Zhou:
    """Parameters of a metal; lengths in Å, energies in eV. ``above``: F_3 at densities above ρ_e, where it is another than below."""

    re: float
    fe: float
    rhoe: float
    rhos: float
    alpha: float
    beta: float
    A: float
    B: float
    kappa: float
    lamda: float
    Fn: tuple[float, float, float, float]
    F: tuple[float, float, float, float]
    eta: float
    Fe: float
    above: float
    low: float

    def density(self, r):
        """f(r), electrons at distance r (Å)."""
        x = r / self.re
        return self.fe * np.exp(-self.beta * (x - 1)) / (1 + (x - self.lamda) ** 20)

    def pair(self, r):
        """φ(r), eV."""
        x = r / self.re
        repulsion = self.A * np.exp(-self.alpha * (x - 1)) / (1 + (x - self.kappa) ** 20)
        return repulsion - self.B * np.exp(-self.beta * (x - 1)) / (1 + (x - self.lamda) ** 20)

    def embedding(self, rho):
        """F(ρ), eV."""
        rho = np.asarray(rho, float)
        inner, outer = self.low * self.rhoe, 1.15 * self.rhoe
        x, y = rho / inner - 1, rho / self.rhoe - 1
        cubic = np.where(rho < self.rhoe, self.F[3], self.above)
        middle = self.F[0] + self.F[1] * y + self.F[2] * y**2 + cubic * y**3
        z = np.maximum(rho, outer) / self.rhos
        far = self.Fe * (1 - self.eta * np.log(z)) * z**self.eta
        return np.where(rho < inner, sum(c * x**k for k, c in enumerate(self.Fn)), np.where(rho < outer, middle, far))


@lru_cache
def parameters() -> dict[str, Zhou]:
    """By symbol."""
    table = yaml.safe_load((files("metalff.potentials") / "zhou.yaml").read_text("utf-8"))
    return {symbol: Zhou(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}) for symbol, row in table.items()}


class Listed(NamedTuple):
    """What a list of potentials says."""

    cutoff: float
    label: str = LABEL
    kind: str = "eam"
    citation: str = CITATION
    doi: str = DOI


@lru_cache
def listed() -> dict[str, Listed]:
    """Of each metal alone, by name: ``Cu/zhou`` and so on."""
    return {f"{symbol}/zhou": Listed(CUTOFF * p.re) for symbol, p in sorted(parameters().items())}


def between(a: Zhou, b: Zhou, r):
    """φ_ab(r), eV."""
    if a is b:
        return a.pair(r)
    ratio = b.density(r) / a.density(r)
    return (ratio * a.pair(r) + b.pair(r) / ratio) / 2


def setfl(elements) -> str:
    """The potential of these metals, and of any alloy of them, as DYNAMO setfl for ``pair_style eam/alloy``.

    Raises:
        MetalffError: a metal that is not among the 16.
    """
    for symbol in elements:
        if symbol not in parameters():
            raise MetalffError(f"Zhou, Johnson and Wadley have no {symbol}{nearest(symbol, parameters())}; they have {' '.join(parameters())}")
    chosen = [parameters()[symbol] for symbol in elements]
    cutoff = CUTOFF * max(p.re for p in chosen)
    r, dr = np.linspace(0, cutoff, POINTS, retstep=True)
    r = np.maximum(r, SHORTEST)
    densities = [p.density(r) for p in chosen]
    rho, drho = np.linspace(0, max(100.0, *(2 * p.rhoe for p in chosen), *(f.max() for f in densities)), POINTS, retstep=True)
    lines = [f"# {CITATION}", f"# {' '.join(elements)} from the closed form", "# written by MetalFF", f"{len(elements)} {' '.join(elements)}"]
    lines.append(f"{POINTS} {drho:.17g} {POINTS} {dr:.17g} {cutoff:.17g}")
    for symbol, p, density in zip(elements, chosen, densities):
        crystal, a = equilibrium(symbol)
        lines.append(f"{atomic_numbers[symbol]} {atomic_masses[atomic_numbers[symbol]]:.4f} {a:.6f} {crystal}")
        lines += numbers(p.embedding(rho)) + numbers(density)
    for i, a in enumerate(chosen):
        for b in chosen[: i + 1]:
            lines += numbers(r * between(a, b, r))
    return "\n".join(lines) + "\n"


FORM = 1
"""Of the formulas and of the file; to be raised where either changes."""


def identity(elements) -> str:
    """Hash of the formulas, the tables' grid and the parameters of these metals, not of the file: its last digits are those of the processor's
    exponentials, and one with AVX-512 has others."""
    content = [FORM, CUTOFF, SHORTEST, POINTS, {symbol: asdict(parameters()[symbol]) for symbol in elements}]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def numbers(values) -> list[str]:
    return [" ".join(f"{v:.15e}" for v in values[k : k + LINE]) for k in range(0, len(values), LINE)]


def equilibrium(symbol: str) -> tuple[str, float]:
    """Crystal, and the lattice constant (Å) that r_e, the distance of nearest neighbours, gives it."""
    crystal = metal(symbol).crystal
    return crystal, parameters()[symbol].re * {"fcc": math.sqrt(2), "bcc": 2 / math.sqrt(3), "hcp": 1.0}[crystal]


def potential(name: str, available, elements) -> Potential:
    """``CuNi/zhou``: its file is written into the cache.

    Args:
        available: metals of the potential.
        elements: of the atom types.
    """
    text = setfl(available)
    path = cache_dir() / "zhou" / f"{''.join(available)}.eam.alloy"
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(text)
    crystal, a = equilibrium(available[0]) if len(available) == 1 else (None, None)
    return Potential(
        name=name,
        kind="eam",
        label=LABEL,
        elements=tuple(elements),
        files=(path,),
        sha256=identity(available),
        pair_style="eam/alloy",
        pair_coeff=(f"* * {as_word(path)} {' '.join(elements)}",),
        citation=CITATION,
        doi=DOI,
        cutoff=CUTOFF * max(parameters()[symbol].re for symbol in available),
        crystal=crystal,
        lattice_constant=a,
    )
