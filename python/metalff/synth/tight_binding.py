"""Tight binding as synthetic DFT: a canonical d band with a Fermi surface, and a pair repulsion.

The hopping between two atoms is h = c(r) · [−6 P_σ + 4 P_π − P_δ], with projectors P_m of the d orbitals on angular momentum m about the bond (Slater and
Koster, Phys. Rev. 94, 1498 (1954)) and the ratios of canonical bands (Andersen, Phys. Rev. B 12, 3060 (1975)). c(r) = (15/2π) (ħ²/m) r_d³/r⁵ with Harrison's
radius r_d of the d state (η_ddσ, η_ddπ, η_ddδ = −45/π, 30/π, −15/2π: W. A. Harrison and S. Froyen, Phys. Rev. B 21, 3214 (1980)). The repulsion of a pair
goes with the square of the hopping, A (s/r)¹⁰ with the radius s of the Wigner–Seitz sphere; one A serves all fillings: that which makes the pressure of the
metal's own crystal vanish at its own volume and number of d electrons.

Energies are Mermin's free energy at fixed number of electrons, F = 2 Σ_k w_k Σ_n [f ε + kT (f ln f + (1−f) ln(1−f))] + repulsion (N. D. Mermin, Phys. Rev.
137, A1441 (1965)), so that forces and stress follow from the expectation values of ∂H alone (Hellmann and Feynman). Charges are not self-consistent.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes, kptdensity2monkhorstpack
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.optimize import brentq
from scipy.special import entr, expit

from metalff.data.metals import metal
from metalff.errors import MetalffError, nearest
from metalff.neighbours import edges_of

D_RADIUS = {
    "Sc": 1.24, "Ti": 1.08, "V": 0.98, "Cr": 0.90, "Mn": 0.86, "Fe": 0.80, "Co": 0.76, "Ni": 0.71, "Cu": 0.67,
    "Y": 1.58, "Zr": 1.41, "Nb": 1.28, "Mo": 1.20, "Tc": 1.11, "Ru": 1.05, "Rh": 0.99, "Pd": 0.94, "Ag": 0.89,
    "Hf": 1.44, "Ta": 1.34, "W": 1.27, "Re": 1.20, "Os": 1.13, "Ir": 1.08, "Pt": 1.04, "Au": 1.01,
}  # fmt: skip
"""Å; W. A. Harrison, Electronic Structure and the Properties of Solids (Freeman 1980), Solid State Table."""

FIRST_COLUMN = {"Sc": 3, "Y": 3, "Hf": 4}
"""Column of the periodic table in which each row of ``D_RADIUS`` begins."""

S_ELECTRONS = 1.5
"""Of the valence electrons of any of these metals, the others being d electrons (J. M. Wills and W. A. Harrison, Phys. Rev. B 28, 4363 (1983))."""

SIGMA, PI, DELTA = -6.0, 4.0, -1.0
"""ddσ : ddπ : ddδ."""

STRENGTH = 15 / (2 * np.pi) * units._hbar**2 / units._me / units._e * 1e20
"""(15/2π) ħ²/m, eV Å²."""

HOPPING_POWER, REPULSION_POWER = 5, 10

SWITCH = (2.4, 3.4)
"""Radii of the Wigner–Seitz sphere between which hopping and repulsion go to zero, with three continuous derivatives: beyond the second neighbours of bcc
(2.03), beyond the third of fcc (3.13)."""

KT = 0.1
"""eV, where nothing is said."""

K_DENSITY = 5.0
"""Å; of the gamma-centred mesh where nothing is said, as in ``dft``: points along a reciprocal vector ÷ its length (2π/Å)."""

FIT_DENSITY = 6.0
"""Å; mesh by which the repulsion is fitted."""

CHUNK = 5e7
"""Bytes of the hoppings of the k-points that are treated at a time."""

COLDEST, HOTTEST = 1e-6, 100.0
"""eV; between them the level of a band is found."""

CLOSEST = 1e-3
"""Å; nearer atoms are one atom given twice."""

MOST_STATES, MOST_BONDS = 2e6, 1e6
"""Points of a mesh times orbitals, and bonds, of a structure that is labelled."""

_TENSORS = np.zeros((5, 3, 3))
"""The d orbitals xy, yz, zx, x²−y², 3z²−r² as symmetric tensors without trace, of norm 1."""
for _k, (_a, _b) in enumerate(((0, 1), (1, 2), (2, 0))):
    _TENSORS[_k, _a, _b] = _TENSORS[_k, _b, _a] = np.sqrt(0.5)
_TENSORS[3] = np.diag([1, -1, 0]) / np.sqrt(2)
_TENSORS[4] = np.diag([-1, -1, 2]) / np.sqrt(6)


CITATION = "canonical d band: W. A. Harrison and S. Froyen, Phys. Rev. B 21, 3214 (1980); O. K. Andersen, Phys. Rev. B 12, 3060 (1975)"
DOI = "10.1103/PhysRevB.21.3214"

NAME = re.compile(r"(?P<symbol>[A-Z][a-z]?)/tb(?:\[(?P<knobs>.*)\])?")
"""Of a model with its knobs, such as ``Nb/tb[filling=4,kT=0.1]``."""


@dataclass(frozen=True)
class Dose:
    """What is varied while frames, hopping and repulsion stay.

    Attributes:
        filling: d electrons per atom, 0 to 10.
        kT: eV, electronic temperature.
    Raises:
        MetalffError: out of range.
    """

    filling: float
    kT: float = KT

    def __post_init__(self):
        if not 0 <= self.filling <= 10:
            raise MetalffError(f"filling {self.filling:g}: a d band holds 0 to 10 electrons per atom")
        if not COLDEST <= self.kT <= HOTTEST:
            raise MetalffError(f"kT {self.kT:g}: give an electronic temperature from {COLDEST:g} to {HOTTEST:g} eV, such as 0.1")


@dataclass(frozen=True)
class Knobs:
    """What a name says: ``Nb/tb`` and, in brackets, ``filling`` (d electrons per atom), ``kT`` (eV) and ``k`` (Å, density of the mesh).

    Attributes:
        symbol: a metal of ``d_metals``.
        dose: ``Dose``.
        k: Å.
    """

    symbol: str
    dose: Dose
    k: float = K_DENSITY

    @classmethod
    def of(cls, name: str) -> "Knobs":
        """Raises: MetalffError: no such metal or knob, or a number out of range."""
        symbol, given = _given(name)
        values = _usual(symbol) | given
        try:
            check_density(values["k"])
            return cls(symbol, Dose(values["filling"], values["kT"]), values["k"])
        except MetalffError as error:
            raise MetalffError(f"{name}: {error}") from None

    @property
    def record(self) -> dict:
        """All that a label depends on beside the structure; JSON types."""
        band = model(self.symbol)
        return {
            "filling": self.dose.filling,
            "kT_eV": self.dose.kT,
            "k_density_A": self.k,
            "r_d_A": D_RADIUS[self.symbol],
            "hopping": [SIGMA, PI, DELTA, HOPPING_POWER],
            "repulsion_eV": float(f"{band.repulsion:.6g}"),
            "repulsion_power": REPULSION_POWER,
            "switch_A": [round(x * band.radius, 6) for x in SWITCH],
        }


def _usual(symbol: str) -> dict[str, float]:
    """The knobs where nothing is said, in the order of names."""
    return {"filling": d_electrons(symbol), "kT": KT, "k": K_DENSITY}


def _given(name: str) -> tuple[str, dict[str, float]]:
    """The metal of a name, and the knobs that it gives.

    Raises:
        MetalffError: no such metal or knob, or one given twice.
    """
    found = NAME.fullmatch(name)
    if not found:
        raise MetalffError(f"{name}: give a metal and its knobs such as Nb/tb[filling=4,kT=0.1]")
    usual, given = _usual(found["symbol"]), {}
    for word in found["knobs"].split(",") if found["knobs"] is not None else ():
        if not word.strip():
            raise MetalffError(f"{name}: a knob in the brackets is empty; give one, such as [filling=4], or leave the brackets out")
        key, equals, value = word.partition("=")
        if key not in usual or not equals:
            raise MetalffError(f"{name}: tight binding has no knob {key}{nearest(key, usual)}; it has filling, kT and k, such as filling=4,kT=0.1")
        if key in given:
            raise MetalffError(f"{name}: {key} is there twice; give it once")
        try:
            given[key] = float(value) + 0.0  # no −0
        except ValueError:
            raise MetalffError(f"{name}: {key} must be a number, such as {key}={usual[key]:g}") from None
    return found["symbol"], given


def ordered(name: str) -> str:
    """The one spelling of a name: its knobs as filling, kT, k, whatever their order, and numbers as short as they can be.

    Raises:
        MetalffError: as ``Knobs.of``.
    """
    symbol, given = _given(name)
    words = [f"{key}={repr(given[key]).removesuffix('.0')}" for key in _usual(symbol) if key in given]
    return f"{symbol}/tb[{','.join(words)}]" if words else f"{symbol}/tb"


@dataclass(frozen=True)
class Label:
    """One structure at one dose.

    Attributes:
        energy: Mermin's free energy and the repulsion, eV; forces and stress are its derivatives.
        forces: [N,3] eV/Å; None where only energies were asked for.
        stress: [3,3] eV/Å³; None as forces, or where the cell has no volume.
        band_energy: 2 Σ w f ε, eV, without entropy and repulsion.
        entropy: of the electrons, in units of Boltzmann's constant.
        fermi_level: eV, with the d level at zero; infinite for an empty or full band.
    """

    energy: float
    forces: np.ndarray | None
    stress: np.ndarray | None
    band_energy: float
    entropy: float
    fermi_level: float


def d_metals() -> list[str]:
    """Symbols of the metals with a d band, by atomic number."""
    return list(D_RADIUS)


def d_electrons(symbol: str) -> float:
    """Number of d electrons per atom of a metal: its valence electrons without ``S_ELECTRONS``.

    Raises:
        MetalffError: no metal with a d band.
    """
    if symbol not in D_RADIUS:
        raise MetalffError(f"{symbol} has no d band in this model; tight binding is for {' '.join(D_RADIUS)}")
    symbols = list(D_RADIUS)
    first = [s for s in FIRST_COLUMN if symbols.index(s) <= symbols.index(symbol)][-1]
    return FIRST_COLUMN[first] + symbols.index(symbol) - symbols.index(first) - S_ELECTRONS


def primitive_cell(symbol: str, crystal: str | None = None):
    """The primitive cell of a metal as ``ase.Atoms``; in another crystal than its own at the same volume per atom."""
    chosen = metal(symbol)
    if crystal not in (None, chosen.crystal):
        from metalff.synth.synth import crystal_of

        chosen = crystal_of(symbol, crystal)
    more = {"c": chosen.c} if chosen.crystal == "hcp" else {}
    return bulk(symbol, chosen.crystal, chosen.a, **more)


def check_density(density: float) -> None:
    """Raises: MetalffError: no density of a mesh."""
    if not 0 < density <= 50:
        raise MetalffError(f"k {density:g}: the density of the mesh must be above 0 and at most 50 Å, such as {K_DENSITY:g}")


def check_bonds(atoms, cutoff: float) -> None:
    """Raises: MetalffError: no volume, area or length of the cell, or so small a one that atoms have too many neighbours; before any is looked for."""
    vectors = atoms.cell.array[atoms.pbc]
    if not len(vectors):
        return
    content = float(np.sqrt(max(np.linalg.det(vectors @ vectors.T), 0.0)))
    lengths = np.linalg.norm(vectors, axis=1)
    if content <= 1e-6 * lengths.prod():
        raise MetalffError("its periodic cell vectors are zero or lie in one plane or line: mend the cell, or set pbc to F")
    ball = (2 * cutoff, np.pi * cutoff**2, 4 / 3 * np.pi * cutoff**3)[len(vectors) - 1]
    if len(atoms) ** (2 if len(vectors) == 3 else 1) * ball / content > MOST_BONDS:
        raise MetalffError(f"its cell is too small for its {len(atoms)} atoms, which would have more than {MOST_BONDS:.0e} bonds: is it in Å?")


def check_structure(atoms) -> None:
    """What no potential can label.

    Raises:
        MetalffError: no atoms, numbers that are not finite, a cell without volume, or two atoms at one place.
    """
    if not len(atoms):
        raise MetalffError("it has no atoms: leave it out")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise MetalffError("some atomic positions or cell vectors are not finite numbers: mend the structure")
    check_bonds(atoms, CLOSEST)
    i, j, _ = edges_of(atoms, CLOSEST)
    if len(i):
        raise MetalffError(f"atoms {i[0]} and {j[0]} are at one place (closer than {CLOSEST:g} Å): mend the structure")


def k_mesh(atoms, density: float = K_DENSITY) -> tuple[int, int, int]:
    """Points of the gamma-centred mesh along each reciprocal vector, as ``dft.protocol.k_mesh``; one where a cell is not periodic."""
    check_density(density)
    if not atoms.pbc.any():
        return (1, 1, 1)
    return tuple(int(n) for n in kptdensity2monkhorstpack(atoms, density, even=False))


def k_points(mesh) -> tuple[np.ndarray, np.ndarray]:
    """Points [K,3] of a gamma-centred mesh, in units of the reciprocal vectors, one of each pair k, −k; and their weights [K], of sum one."""
    grid = np.stack(np.meshgrid(*map(np.arange, mesh), indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.ravel_multi_index(grid.T, mesh)
    other = np.ravel_multi_index((-grid % np.array(mesh)).T, mesh)
    kept = number <= other
    return grid[kept] / np.array(mesh), np.where(other == number, 1.0, 2.0)[kept] / len(grid)


def fermi_level(eigenvalues, weights, electrons: float, kT: float) -> float:
    """The level (eV) at which 2 Σ w f is ``electrons``.

    Args:
        eigenvalues: [K,B] eV.
        weights: [K], of sum one.
        electrons: from 0 to 2 B; at the ends the level is infinite.
        kT: eV.
    """
    if electrons <= 0:
        return -np.inf
    if electrons >= 2 * eigenvalues.shape[1]:
        return np.inf
    margin = kT * max(40.0, 2 * abs(np.log(electrons)), 2 * abs(np.log(2 * eigenvalues.shape[1] - electrons)))

    def missing(level):
        return 2 * (weights @ expit((level - eigenvalues) / kT)).sum() - electrons

    return float(brentq(missing, eigenvalues.min() - margin, eigenvalues.max() + margin, xtol=1e-13, rtol=1e-14, maxiter=300))


class DBand:
    """The model of one metal: everything that doses share.

    Args:
        symbol: a metal of ``d_metals``.
    Raises:
        MetalffError: another element.
    """

    def __init__(self, symbol: str):
        self.symbol, self.electrons = symbol, d_electrons(symbol)
        cell = primitive_cell(symbol)
        self.radius = float((3 * cell.get_volume() / len(cell) / (4 * np.pi)) ** (1 / 3))
        """Of the Wigner–Seitz sphere, Å."""
        self.cutoff = SWITCH[1] * self.radius

    @cached_property
    def repulsion(self) -> float:
        """A, eV: the repulsion of two atoms whose distance is the radius of the Wigner–Seitz sphere, but for the switch."""
        atoms = primitive_cell(self.symbol)
        structure = _Structure(atoms, self)
        eigenvalues, gradients, weights = self._bands(structure, k_mesh(atoms, FIT_DENSITY), True)
        level = fermi_level(eigenvalues, weights, self.electrons * len(atoms), KT)
        occupied = 2 * weights[:, None] * expit((level - eigenvalues) / KT)
        band = np.einsum("kn,knc->c", occupied, gradients)[-6:-3].sum()
        return float(-band / np.einsum("ec,ec->", structure.repulsion[1], structure.vectors) * 2)

    def labels(self, atoms, doses, mesh=None, gradients: bool = True) -> list[Label]:
        """Labels of one structure, one per dose; the k-points are diagonalised once for all of them.

        Args:
            atoms: ``ase.Atoms`` of this metal alone.
            doses: ``Dose``.
            mesh: [3] points of the gamma-centred mesh; None for that of ``K_DENSITY``.
            gradients: False for energies alone.
        Raises:
            MetalffError: other elements, a structure that nothing can label (``check_structure``), or too many k-points or bonds.
        """
        structure = _Structure(atoms, self)
        mesh = tuple(map(int, mesh or k_mesh(atoms)))
        if math.prod(mesh) * 5 * len(atoms) > MOST_STATES:
            raise MetalffError(
                f"a mesh of {'×'.join(map(str, mesh))} points is too large for {len(atoms)} atom{'s' * (len(atoms) > 1)}: give a smaller density k, "
                f"or a larger cell"
            )
        eigenvalues, of_states, weights = self._bands(structure, mesh, gradients)
        pair, slope = (self.repulsion * part for part in structure.repulsion)
        repulsion = pair.sum() / 2
        found = []
        for dose in doses:
            level = fermi_level(eigenvalues, weights, dose.filling * len(atoms), dose.kT)
            f = expit((level - eigenvalues) / dose.kT)
            # both terms from the logistic function itself: 1 − f loses its digits in the tails
            entropy = 2 * float(weights @ (entr(f) + entr(expit((eigenvalues - level) / dose.kT))).sum(axis=1))
            band = 2 * float(weights @ (f * eigenvalues).sum(axis=1))
            forces = stress = None
            if gradients:
                mean = np.einsum("kn,knc->c", 2 * weights[:, None] * f, of_states)
                forces = mean[:-6].reshape(-1, 3) + _sum_by(structure.i, slope, len(atoms))
                if structure.volume:
                    xx, yy, zz, yz, xz, xy = mean[-6:] + 0.5 * np.einsum("ec,ec->c", slope[:, _FIRST], structure.vectors[:, _SECOND])
                    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) / structure.volume
            found.append(Label(band - dose.kT * entropy + repulsion, forces, stress, band, entropy, level))
        return found

    def eigenvalues(self, atoms, mesh) -> np.ndarray:
        """[bands,n1,n2,n3] eV on the whole gamma-centred mesh, rising at each point; the d level is zero. Index i of an axis of n points is i/n of its
        reciprocal vector."""
        structure, mesh = _Structure(atoms, self), tuple(mesh)
        grid = np.stack(np.meshgrid(*map(np.arange, mesh), indexing="ij"), axis=-1).reshape(-1, 3)
        half, _ = k_points(mesh)
        found = np.concatenate([np.linalg.eigvalsh(structure.matrix(structure.phases(part), structure.hopping)) for part in _chunks(half, structure)])
        place = np.empty(len(grid), int)
        kept = np.ravel_multi_index(np.rint(half * mesh).astype(int).T, mesh)
        place[np.ravel_multi_index((-grid[kept] % np.array(mesh)).T, mesh)] = np.arange(len(half))
        place[kept] = np.arange(len(half))
        return found[place].T.reshape(-1, *mesh)

    def _bands(self, structure, mesh, gradients: bool):
        """Eigenvalues [K,B]; of each state [K,B,3N+6] its share in forces (eV/Å) and in the derivatives by the strain xx yy zz yz xz xy (eV); weights [K]."""
        points, weights = k_points(tuple(mesh))
        values, shares = [], []
        for part in _chunks(points, structure):
            phases = structure.phases(part)
            matrix = structure.matrix(phases, structure.hopping)
            if not gradients:
                values.append(np.linalg.eigvalsh(matrix))
                continue
            value, vectors = np.linalg.eigh(matrix)
            del matrix
            values.append(value)
            share = np.empty((*value.shape, 3 * structure.count + 6))
            for axis in range(3):
                of_rows = _real_products(vectors, structure.matrix(phases, structure.slopes[axis]) @ vectors)
                share[..., axis:-6:3] = 2 * of_rows.reshape(len(part), structure.count, 5, -1).sum(axis=2).swapaxes(1, 2)
            for k, (a, b) in enumerate(zip(_FIRST, _SECOND)):
                weighted = structure.slopes[a] * structure.vectors[:, b, None, None]
                share[..., 3 * structure.count + k] = _real_products(vectors, structure.matrix(phases, weighted) @ vectors).sum(axis=1)
            shares.append(share)
        return np.concatenate(values), np.concatenate(shares) if gradients else None, weights


_FIRST, _SECOND = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
"""Axes of the strains xx yy zz yz xz xy."""


class _Structure:
    """Bonds of a structure.

    Attributes:
        i: [E] centres; vectors: [E,3] Å.
        hopping: [E,5,5] eV; slopes: [3,E,5,5] its derivative by the vector, eV/Å.
        repulsion: [E] and [E,3], of one eV of ``DBand.repulsion``: energy of the pair, and its derivative by the vector (1/Å).
        volume: Å³, 0 where the cell has none.
    """

    def __init__(self, atoms, model: DBand):
        others = sorted(set(atoms.symbols) - {model.symbol})
        if others:
            raise MetalffError(f"the tight-binding model of {model.symbol} does not have {' '.join(others)}")
        check_structure(atoms)
        check_bonds(atoms, model.cutoff)
        self.count = len(atoms)
        self.volume = abs(float(np.linalg.det(atoms.cell.array))) if atoms.pbc.all() else 0.0
        i, j, vectors = edges_of(atoms, model.cutoff)
        cell = atoms.cell.complete().array
        moved = np.rint(np.linalg.solve(cell.T, (vectors - atoms.positions[j] + atoms.positions[i]).T).T)
        pair = i * self.count + j
        order = np.argsort(pair, kind="stable")
        self.i, self.vectors, self.moved = i[order], vectors[order], moved[order]
        pairs, starts, counts = np.unique(pair[order], return_index=True, return_counts=True)
        self.layers = [(pairs[counts > k], (starts + k)[counts > k]) for k in range(counts.max(initial=0))]
        r = np.linalg.norm(self.vectors, axis=1)
        unit = self.vectors / r[:, None]
        strength = STRENGTH * D_RADIUS[model.symbol] ** 3 * r**-HOPPING_POWER
        switch, down = _switch(r / model.radius)
        down = down / model.radius
        angular, turning = _angular(unit)
        radial, radial_slope = strength * switch, strength * (down - HOPPING_POWER / r * switch)
        self.hopping = radial[:, None, None] * angular
        across = turning - unit.T[:, :, None, None] * np.einsum("ec,ceab->eab", unit, turning)
        self.slopes = radial_slope[:, None, None] * unit.T[:, :, None, None] * angular + (radial / r)[:, None, None] * across
        core = (model.radius / r) ** REPULSION_POWER
        self.repulsion = core * switch, (core * (down - REPULSION_POWER / r * switch))[:, None] * unit

    def phases(self, points) -> np.ndarray:
        """[K,E]: of the cells that the bonds lead to."""
        return np.exp(2j * np.pi * points @ self.moved.T)

    def matrix(self, phases, blocks) -> np.ndarray:
        """[K,5N,5N]: the blocks [E,5,5] of all bonds, with their phases, summed."""
        full = np.zeros((len(phases), self.count**2, 25), complex)
        blocks = blocks.reshape(-1, 25)
        for pairs, bonds in self.layers:  # the first bond of each pair of atoms, then the second …
            full[:, pairs] += phases[:, bonds, None] * blocks[bonds]
        shape = (len(phases), self.count, self.count, 5, 5)
        return full.reshape(shape).swapaxes(2, 3).reshape(len(phases), 5 * self.count, 5 * self.count)


def _chunks(points, structure: _Structure):
    """The points, so many at a time that their hoppings fit in ``CHUNK``."""
    size = max(1, int(CHUNK / (400 * max(len(structure.vectors), structure.count**2))))
    return [points[k : k + size] for k in range(0, len(points), size)]


def _switch(x):
    """One below the first number of ``SWITCH``, zero above the second, and its derivative; C3."""
    low, high = SWITCH
    t = np.clip((x - low) / (high - low), 0, 1)
    return 1 - t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3), -140 * t**3 * (1 - t) ** 3 / (high - low)


def _angular(unit):
    """−6 P_σ + 4 P_π − P_δ [E,5,5] for directions [E,3], and its derivative [3,E,5,5] by the vector as if its length did not matter.

    With the tensors B of the orbitals, v = B u and s = u B u: P_σ = 3/2 s sᵀ, P_π = 2 (v·v − s sᵀ), and P_σ + P_π + P_δ = 1.
    """
    v = np.einsum("aij,ej->eai", _TENSORS, unit)
    s = np.einsum("eai,ei->ea", v, unit)
    of_vv, of_ss = 2 * (PI - DELTA), 1.5 * (SIGMA - DELTA) - 2 * (PI - DELTA)
    found = DELTA * np.eye(5) + of_vv * np.einsum("eai,ebi->eab", v, v) + of_ss * s[:, :, None] * s[:, None, :]
    half = of_vv * np.einsum("aci,ebi->ceab", _TENSORS, v) + 2 * of_ss * np.einsum("eac,eb->ceab", v, s)
    return found, half + half.swapaxes(2, 3)


def _real_products(one, other) -> np.ndarray:
    """Real part of conj(one) · other, element by element; of complex arrays that are contiguous."""
    both = one.view(float) * other.view(float)
    return both[..., ::2] + both[..., 1::2]


def _sum_by(i, values, count: int):
    """[N,3]: values [E,3] summed by their centre."""
    return np.stack([np.bincount(i, values[:, axis], count) for axis in range(3)], axis=1)


@lru_cache(maxsize=None)
def model(symbol: str) -> DBand:
    """``DBand`` of a metal, made once."""
    return DBand(symbol)


class TightBinding(Calculator):
    """ASE calculator of the d-band model: free energy (eV), forces (eV/Å), stress (eV/Å³) of one metal.

    ``energy`` and ``free_energy`` are both Mermin's free energy, of which forces and stress are the derivatives; ``label()`` has the band energy and
    entropy besides.

    Args:
        symbol: a metal of ``d_metals``.
        filling: d electrons per atom, 0 to 10; None for the metal's own (``d_electrons``).
        kT: eV, electronic temperature.
        k: Å, density of the gamma-centred mesh.
        mesh: [3] its points; wins over ``k``.
    Raises:
        MetalffError: no such metal, a number out of range, or a structure with other elements.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, symbol: str, filling: float | None = None, kT: float = KT, k: float = K_DENSITY, mesh=None, **kwargs):
        check_density(k)
        self.model = model(symbol)
        self.dose = Dose(self.model.electrons if filling is None else float(filling), float(kT))
        self.k, self.mesh = float(k), mesh
        super().__init__(**kwargs)

    def mesh_of(self, atoms) -> tuple[int, int, int]:
        """Points of the mesh for a structure."""
        return tuple(self.mesh) if self.mesh is not None else k_mesh(atoms, self.k)

    def label(self, atoms, gradients: bool = True) -> Label:
        """All that is known of a structure; without ``gradients`` energies alone, several times faster."""
        return self.model.labels(atoms, [self.dose], self.mesh_of(atoms), gradients)[0]

    def get_band_energy(self, atoms) -> float:
        """2 Σ w f ε, eV, without entropy and repulsion."""
        return self.label(atoms, gradients=False).band_energy

    def get_eigenvalues(self, atoms, mesh) -> np.ndarray:
        """As ``DBand.eigenvalues``."""
        return self.model.eigenvalues(atoms, mesh)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        label = self.label(self.atoms, gradients=bool({"forces", "stress"} & set(properties)))
        self.results = {"energy": label.energy, "free_energy": label.energy}
        if label.forces is not None:
            self.results["forces"] = label.forces
        if label.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(label.stress)
        elif "stress" in properties:
            raise PropertyNotImplementedError("a structure without a volume has no stress")
