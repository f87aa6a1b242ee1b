"""Potentials of the atomic cluster expansion as ML-PACE reads them (``.yace`` of pacemaker): read, by their formulas, and as programs of ``program.py``.

Drautz, Phys. Rev. B 99, 014104 (2019); Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021). Of an atom of element i, with neighbours j,

    A_{μ n l m} = Σ_{j of μ} R_nl(r_ij) Y_lm,    ρ_p = Σ_functions Σ_ms c_p Re Π_t A_{μ_t n_t l_t m_t},    E = E0 + F(ρ_1, ρ_2, …)

Functions of rank 1 take the radial basis itself, g_n(r). A core repulsion is added; that of Ziegler, Biersack and Littmark takes the place of all else where
an atom's nearest neighbour is close (``Polynomial.inner``). Y_lm are complex, with the phase of Condon and Shortley and Σ_m |Y_lm|² = 2l + 1.

The programs take y for the polar axis where ML-PACE has z. That is the same for functions that do not change when an atom's neighbours are turned, and
``read`` refuses others.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from metalff.errors import MetalffError
from metalff.poly.program import CORE, FINNIS_SINCLAIR, L_MOST, LINEAR, SHIFTED_SCALED, Polynomial, Program, Radial
from metalff.poly.reduce import reduce
from metalff.poly.reference import embed, real_harmonics, switch
from metalff.yaml_file import read_table, short

WHAT = "a .yace file of pacemaker"
BASES = ("ChebExpCos", "ChebPow", "SBessel")
EMBEDDINGS = {"FinnisSinclair": FINNIS_SINCLAIR, "FinnisSinclairShiftedScaled": SHIFTED_SCALED}

FIRST = 0.2
"""Å; tables of radial functions begin here, and are straight lines below."""

NEAR = 0.8
"""Å; errors of tables count as parts of what is largest beyond."""

DENSE = 1000.0
"""eV; a core repulsion that switches the other functions off at less is not covered."""

COULOMB = 14.399645351950543
"""eV Å, as ML-PACE has it."""

UNIVERSAL = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
"""Factors and decays of the screening function of Ziegler, Biersack and Littmark; its length is 0.4685 Å / (Z₁^0.23 + Z₂^0.23)."""

RANK_MOST, ORDER_MOST, DENSITIES_MOST = 8, 100, 15
"""Factors of a function; radial functions, n; densities."""

LARGE = 1e30
"""No number of a file is larger."""


@dataclass(frozen=True)
class Bond:
    """Radial functions of a pair, the centre first.

    Attributes:
        base: name of the radial basis; ``sharpness`` its parameter λ.
        size: number of basis functions of rank 1.
        coefficients: [n, l, k] of R_nl = Σ_k c g_k.
        cutoff, width: Å; the outer one and what ChebExpCos takes off before it.
        inner, inner_width: Å; functions go to zero from ``inner`` to ``inner - inner_width``, and the core repulsion does the reverse. With
            ``numbers``, the whole atom does so with the distance of its nearest neighbour.
        repulsion, decay: of the core, ``repulsion`` exp(-``decay`` r²) / r in eV; with ``numbers``, ``repulsion`` times half of the ZBL.
        numbers: the elements' in the periodic table, where the core is that of Ziegler, Biersack and Littmark.
    """

    base: str
    sharpness: float
    size: int
    coefficients: np.ndarray
    cutoff: float
    width: float
    inner: float
    inner_width: float
    repulsion: float
    decay: float
    numbers: tuple[int, int] | None = None

    @property
    def by_distance(self) -> bool:
        """Functions themselves end at the inner cutoff."""
        return self.inner_width > 0 and self.numbers is None

    @property
    def breaks(self) -> list[float]:
        """Å, where a derivative jumps."""
        places = [self.cutoff - self.width] if self.base == "ChebExpCos" or self.numbers else []
        return places + ([self.inner, self.inner - self.inner_width] if self.by_distance else [])

    def basis(self, r) -> np.ndarray:
        """g_k, first and second derivatives, [3, K, k]."""
        r, most = np.asarray(r, float), max(self.size, self.coefficients.shape[2] if self.coefficients.size else 0)
        g = {"ChebExpCos": self._exponential, "ChebPow": self._power, "SBessel": self._bessel}[self.base](r, most)
        if self.by_distance:
            near = self._switch(r, self.inner, self.inner_width)
            near[0] -= 1
            g = _times(g, -near[:, :, None])
        return _until(r, self.cutoff, g.transpose(0, 2, 1)).transpose(0, 2, 1)

    def core(self, r) -> np.ndarray:
        """The core repulsion in eV, first and second derivatives, [3, K]."""
        r = np.asarray(r, float)
        if self.numbers:
            return self._universal(r, *self.numbers)
        value = abs(self.repulsion) * np.exp(-abs(self.decay) * r**2) / r
        fall = 2 * abs(self.decay) * r + 1 / r
        c = np.stack([value, -value * fall, value * (fall**2 - 2 * abs(self.decay) + 1 / r**2)])
        c = _times(c, _cosine(r, 0.0, self.cutoff))
        return _until(r, self.cutoff, _times(c, self._switch(r, self.inner, self.inner_width)) if self.by_distance else c)

    def _universal(self, r, first: int, second: int) -> np.ndarray:
        """Half of the ZBL, with a polynomial that takes its value and two derivatives away at the cutoff, in eV."""
        length = 0.46850 / (first**0.23 + second**0.23)

        def screened(r):
            parts = [
                factor * np.exp(-decay / length * r) * np.array([[1.0], [-decay / length], [(decay / length) ** 2]]) for factor, decay in UNIVERSAL
            ]
            return _times(sum(parts), np.stack([1 / r, -1 / r**2, 2 / r**3]))

        start, width = self.cutoff - self.width, self.width
        (end,), (slope,), (bend,) = screened(np.array([self.cutoff]))
        a, b = (-3 * slope + width * bend) / width**2, (2 * slope - width * bend) / width**3
        c = -end + width * slope / 2 - width**2 * bend / 12
        beyond = np.maximum(r - start, 0.0)
        smooth = np.stack([a / 3 * beyond**3 + b / 4 * beyond**4 + c, a * beyond**2 + b * beyond**3, 2 * a * beyond + 3 * b * beyond**2])
        value = self.repulsion * COULOMB / 2 * first * second * (screened(r) + smooth)
        return _until(r, self.cutoff, _times(value, self._switch(r, self.cutoff, width)))

    @staticmethod
    def _switch(r, outer: float, width: float) -> np.ndarray:
        """1 below ``outer - width``, 0 above ``outer``."""
        x = np.clip(1 - 2 * (1 + (r - outer) / width), -1.0, 1.0)
        side = 1 - x**2
        return np.stack(
            [
                (0.5 + 3.75 * (x / 4 - x**3 / 6 + x**5 / 20)) * (x > -1),
                -1.875 / width * side**2,
                -15 / width**2 * x * side,
            ]
        )

    def _exponential(self, r, most: int) -> np.ndarray:
        rate, end = self.sharpness / self.cutoff, np.exp(-self.sharpness)
        y = np.exp(-rate * r)
        x = np.stack([1 - 2 * (y - end) / (1 - end), 2 * rate * y / (1 - end), -2 * rate**2 * y / (1 - end)])
        g = -0.5 * _chebyshev(x, most)
        g[0] += 0.5
        g[:, :, 0] = np.array([1.0, 0.0, 0.0])[:, None]
        g = _times(g, _cosine(r, 0.0, self.cutoff)[:, :, None])
        return _times(g, _cosine(r, self.cutoff - self.width, self.width)[:, :, None])

    def _power(self, r, most: int) -> np.ndarray:
        power, left = self.sharpness, np.maximum(1 - r / self.cutoff, 0.0)
        bend = np.where(left > 0, left, 1.0) ** (power - 2) * (left > 0) if power < 2 else left ** (power - 2)
        y = np.stack([left**power, -power / self.cutoff * left ** (power - 1), power * (power - 1) / self.cutoff**2 * bend])
        x = -2 * y
        x[0] += 1
        g = -0.5 * _chebyshev(x, most + 1)[:, :, 1:]
        g[0] += 0.5
        return g

    def _bessel(self, r, most: int) -> np.ndarray:
        g = np.zeros((3, len(r), most))
        last = 1.0
        for n in range(most):
            a, b = (n + 1) * np.pi / self.cutoff, (n + 2) * np.pi / self.cutoff
            scale = (-1) ** n * np.sqrt(2) * np.pi / self.cutoff**1.5 * (n + 1) * (n + 2) / np.hypot(n + 1, n + 2)
            g[:, :, n] = scale * (_sinc(r, a) + _sinc(r, b))
            if n:
                e = n**2 * (n + 2) ** 2 / (4 * (n + 1) ** 4 + 1)
                d = 1 - e / last
                g[:, :, n] = (g[:, :, n] + np.sqrt(e / last) * g[:, :, n - 1]) / np.sqrt(d)
                last = d
        return g


@dataclass(frozen=True)
class Function:
    """A product of moments, summed over combinations of m.

    Attributes:
        factors: (μ, n, l) of each, counted from 0.
        ms: [combinations, rank].
        weights: [combinations, P].
    """

    factors: tuple[tuple[int, int, int], ...]
    ms: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Pace:
    """A potential.

    Attributes:
        elements: symbols.
        shift: [T] eV, E0.
        embeddings: [T] of [P, 3] kind, w, m.
        bonds: by (centre, neighbour).
        functions: [T] by centre.
    """

    elements: list[str]
    shift: np.ndarray
    embeddings: list[np.ndarray]
    bonds: dict[tuple[int, int], Bond]
    functions: list[list[Function]]
    _layouts: dict = field(default_factory=dict, repr=False)
    _kept: dict = field(default_factory=dict, repr=False)

    @property
    def cutoff(self) -> float:
        """Å."""
        return max(bond.cutoff for bond in self.bonds.values())

    def atom(self, kind: int, vec, kinds) -> tuple[float, np.ndarray]:
        """Energy of an atom in eV and dE/dvec [E,3] by the formulas, with complex harmonics about z, for ``reference.Reference``."""
        names, products = self._products(kind)
        r = np.linalg.norm(vec, axis=1)
        y, dy = _complex_harmonics(vec, max((0, *(l for _, _, l, _ in names))))
        bases, (core, dcore) = {}, np.zeros((2, len(r)))
        for neighbour in range(len(self.elements)):
            bond = self.bonds[kind, neighbour]
            own = np.flatnonzero((kinds == neighbour) & (r < bond.cutoff))
            bases[neighbour] = own, bond.basis(r[own]), bond.coefficients
            core[own], dcore[own], _ = bond.core(r[own])
        places, radials = [], {}
        for mu, n, l, m in names:
            own, g, c = bases[mu]
            if (mu, n, l) not in radials:
                radials[mu, n, l] = g[:, :, n] if l < 0 else g[:, :, : c.shape[2]] @ c[n, l]
            places.append((own, max(l, 0) ** 2 + max(l, 0) + m, radials[mu, n, l]))
        moments = np.array([radial[0] @ y[own, place] for own, place, radial in places])
        densities = np.zeros(len(self.embeddings[kind]))
        for factors, weights in products:
            densities += moments[factors].prod(axis=1).real @ weights
        energies, slopes = zip(*(embed(int(k), w, m, rho) for (k, w, m), rho in zip(self.embeddings[kind], densities, strict=True)), strict=True)
        left, along, nearest = self._left(kind, r, kinds)
        energy, weight = left * sum(energies) + (1 - left if self.switched else 1.0) * core.sum(), left * np.array(slopes)
        back = np.zeros(len(names), complex)
        for factors, weights in products:
            for t in range(factors.shape[1]):
                np.add.at(back, factors[:, t], (weights @ weight) * moments[np.delete(factors, t, axis=1)].prod(axis=1))
        gradient = (1 - left if self.switched else 1.0) * dcore[:, None] * vec / r[:, None]
        if along:
            gradient[nearest] += (sum(energies) - core.sum()) * along * vec[nearest] / r[nearest]
        for (own, place, radial), factor in zip(places, back, strict=True):
            slope = radial[1, :, None] * y[own, place, None] * (vec[own] / r[own, None]) + radial[0, :, None] * dy[own, place]
            gradient[own] += (factor * slope).real
        return float(self.shift[kind] + energy), gradient

    @property
    def switched(self) -> bool:
        """The core takes the place of all else where the nearest neighbour of an atom is close."""
        return any(bond.numbers for bond in self.bonds.values())

    def _left(self, kind: int, r, kinds) -> tuple[float, float, int]:
        """What the nearest neighbour leaves of all but the core, its derivative by the distance, and which neighbour it is."""
        if not self.switched:
            return 1.0, 0.0, 0
        bonds = [self.bonds[kind, neighbour] for neighbour in kinds]
        ranges = np.array([[bond.inner - bond.inner_width, bond.inner_width] for bond in bonds]).reshape(-1, 2)
        return switch(r, ranges, np.array([bond.cutoff for bond in bonds]))

    def _products(self, centre: int) -> tuple[list[tuple], list[tuple[np.ndarray, np.ndarray]]]:
        """Moments (μ, n, l, m) of an element's functions, l = -1 for those of rank 1, and by rank their products [K, rank] and weights [K, P]."""
        if centre not in self._kept:
            places: dict[tuple, int] = {}
            by_rank: dict[int, tuple[list, list]] = {}
            for function in self.functions[centre]:
                rank = len(function.factors)
                factors, weights = by_rank.setdefault(rank, ([], []))
                for ms in function.ms.tolist():
                    names = [(mu, n, l if rank > 1 else -1, m) for (mu, n, l), m in zip(function.factors, ms, strict=True)]
                    factors.append([places.setdefault(name, len(places)) for name in names])
                weights.append(function.weights)
            self._kept[centre] = list(places), [(np.array(f, int).reshape(-1, rank), np.concatenate(w)) for rank, (f, w) in by_rank.items()]
        return self._kept[centre]

    def polynomial(self) -> Polynomial:
        """The potential as one program per element."""
        programs, pairs = [], {}
        for centre in range(len(self.elements)):
            names, _ = self._layout(centre)
            programs.append(self._program(centre))
            for neighbour in range(len(self.elements)):
                bond = self.bonds[centre, neighbour]
                mine = self.of_pair(centre, neighbour)
                if mine:

                    def functions(r, centre=centre, neighbour=neighbour):
                        return self.radial(centre, neighbour, r)

                    channel = [names.index(name) for name in mine]
                    pairs[centre, neighbour] = Radial.sample(functions, FIRST, bond.cutoff, channel, NEAR, bond.breaks)
        inner = None
        if self.switched:
            inner = np.array([[bond.inner - bond.inner_width, bond.inner_width] for _, bond in sorted(self.bonds.items())])
        return Polynomial(self.elements, self.shift, pairs, programs, list(range(len(self.elements))), inner)

    def of_pair(self, centre: int, neighbour: int) -> list[tuple]:
        """Names of the channels that a pair adds to: ("density", p), ("core",), (μ, n, l)."""
        bond = self.bonds[centre, neighbour]
        rank1 = {p for f in self.functions[centre] if len(f.factors) == 1 and f.factors[0][0] == neighbour for p in np.flatnonzero(f.weights[0])}

        def adds(name) -> bool:
            if name[0] == "density":
                return name[1] in rank1 or (self._layout(centre)[1] and bond.repulsion != 0 and not self.switched)
            return bond.repulsion != 0 if name[0] == "core" else name[0] == neighbour

        return [name for name in self._layout(centre)[0] if adds(name)]

    def radial(self, centre: int, neighbour: int, r) -> np.ndarray:
        """Values, first and second derivatives [3, K, F] of the functions of ``of_pair``."""
        bond, (_, linear) = self.bonds[centre, neighbour], self._layout(centre)
        g, core = bond.basis(r), bond.core(r)
        result = []
        for name in self.of_pair(centre, neighbour):
            if name[0] == "core":
                result.append(core)
            elif name[0] == "density":
                total = core * (bond.repulsion != 0) if linear and not self.switched else np.zeros_like(core)
                for function in self.functions[centre]:
                    if len(function.factors) == 1 and function.factors[0][0] == neighbour:
                        weights = function.weights[0]
                        weight = weights @ self.embeddings[centre][:, 1] if linear else weights[name[1]]
                        total = total + weight * g[:, :, function.factors[0][1]]
                result.append(total)
            else:
                _, n, l = name
                c = bond.coefficients
                result.append(g[:, :, : c.shape[2]] @ c[n, l])
        return np.stack(result, axis=2)

    def _layout(self, centre: int) -> tuple[list[tuple], bool]:
        """Names of a centre's channels, and whether all its densities are one, as their embeddings are linear."""
        if centre not in self._layouts:
            linear = bool(np.all(self.embeddings[centre][:, 0] == LINEAR))
            densities = {p for f in self.functions[centre] if len(f.factors) == 1 for p in np.flatnonzero(f.weights[0]).tolist()}
            core = any(self.bonds[centre, neighbour].repulsion for neighbour in range(len(self.elements)))
            names: list[tuple] = []
            if linear:
                names += [("density", 0)] if densities or (core and not self.switched) else []
            else:
                names += [("density", p) for p in sorted(densities)]
            if self.switched or (core and not linear):
                names.append(("core",))
            names += sorted({factor for f in self.functions[centre] if len(f.factors) > 1 for factor in f.factors})
            self._layouts[centre] = names, linear
        return self._layouts[centre]

    def _program(self, centre: int) -> Program:
        names, linear = self._layout(centre)
        channels = np.array([[0, 0] if isinstance(name[0], str) else [name[2]] * 2 for name in names], int).reshape(-1, 2)
        starts = dict(zip(names, np.concatenate([[0], np.cumsum(2 * channels[:, 1] + 1)]).tolist(), strict=False))
        embedding = self.embeddings[centre]
        core = ("core",) in starts
        count = (1 if linear else len(embedding)) + core
        tree = _Tree(sum(2 * int(l) + 1 for _, l in channels), count)
        for name, start in starts.items():
            if name[0] == "density":
                tree.terms[start, -1] = np.eye(count)[name[1]]
            elif name[0] == "core":
                tree.terms[start, -1] = np.eye(count)[-1]
        for function in self.functions[centre]:
            if len(function.factors) > 1:
                weights = function.weights @ embedding[:, 1:2] if linear else function.weights
                weights = np.pad(weights, [(0, 0), (0, count - weights.shape[1])])
                for ms, weight in zip(function.ms.tolist(), weights, strict=True):
                    tree.add([(starts[key] + key[2], m) for key, m in zip(function.factors, ms, strict=True)], weight)
        if linear:
            embedding = np.array([[LINEAR, 1.0, 1.0]])
        if core:
            embedding = np.vstack([embedding, [CORE if self.switched else LINEAR, 1.0, 1.0]])
        return reduce(tree.program(channels, embedding))


class _Tree:
    """Real parts of products of complex moments, with shared factors.

    A moment is (node of m = 0, m); Â_m = x[node + m] + i x[node - m] for m > 0, Â_-m its conjugate, Â_0 = x[node]; A_m = Â_m / √2, times (-1)^m for m > 0.
    A product is a sorted tuple of moments whose first m ≠ 0 is positive: the other half are its conjugates, with the same real part.
    """

    def __init__(self, moments: int, densities: int):
        self.nodes = moments
        self.rows: list[tuple[int, int, int, float]] = []
        self.terms: dict[tuple[int, int], np.ndarray] = {}
        self.wanted: dict[tuple, np.ndarray] = {}
        self.made: dict[tuple, tuple[int | None, int | None]] = {}
        self.densities = densities

    def add(self, factors: list[tuple[int, int]], weight) -> None:
        scale = 1.0
        for _, m in factors:
            scale *= (0.5**0.5 if m else 1.0) * (-1.0 if m > 0 and m % 2 else 1.0)
        key, _ = _half(factors)
        self.wanted[key] = self.wanted.get(key, 0) + scale * weight

    def program(self, channels, embedding) -> Program:
        wanted = {key: weight for key, weight in self.wanted.items() if np.any(weight)}
        pairs = Counter(_half(pair)[0] for key in wanted for pair in _pairs(key)) if any(len(key) > 2 for key in wanted) else Counter()
        for key in sorted(wanted, key=lambda key: (len(key), key)):
            left, right = self._split(key, pairs)
            (a, i), (b, k) = self._product(left), self._product(right)
            for one, other, sign in ((a, b, 1.0), (i, k, -1.0)):
                if one is not None and other is not None:
                    pair = (max(one, other), min(one, other))
                    self.terms[pair] = self.terms.get(pair, 0) + sign * self._sign(left, right, sign) * wanted[key]
        return Program(
            channels,
            np.array([row[:3] for row in self.rows], int).reshape(-1, 3),
            np.array([row[3] for row in self.rows]),
            np.array(list(self.terms), int).reshape(-1, 2),
            np.array(list(self.terms.values())).reshape(-1, self.densities),
            embedding,
        )

    @staticmethod
    def _sign(left, right, sign: float) -> float:
        """Of the product of imaginary parts: a conjugate has the other sign."""
        return 1.0 if sign > 0 else (-1.0 if _half(left)[1] != _half(right)[1] else 1.0)

    def _split(self, key: tuple, pairs: Counter) -> tuple[tuple, tuple]:
        """Two parts of a product: those whose factors are shared most."""
        size = (len(key) + 1) // 2
        if len(key) == 2:
            return key[:1], key[1:]
        best, best_count = None, -1
        for places in _subsets(len(key), size):
            left = tuple(key[k] for k in places)
            right = tuple(key[k] for k in range(len(key)) if k not in places)
            count = sum(
                (1 << 20) * (_half(part)[0] in self.made) + (pairs[_half(part)[0]] if len(part) == 2 else 0)
                for part in (left, right)
                if len(part) > 1
            )
            if count > best_count:
                best, best_count = (left, right), count
        return best

    def _product(self, key: tuple) -> tuple[int | None, int | None]:
        """Nodes of the real and imaginary part of a product or of its conjugate, whichever ``_half`` takes."""
        key, _ = _half(key)
        if key not in self.made:
            if len(key) == 1:
                ((node, m),) = key
                self.made[key] = (node + m, node - m) if m else (node, None)
            else:
                left, right = key[: len(key) // 2], key[len(key) // 2 :]
                (a, i), (b, k) = self._product(left), self._product(right)
                one, other = (-1.0 if _half(part)[1] else 1.0 for part in (left, right))
                self.made[key] = (
                    self._node([(a, b, 1.0), (i, k, -one * other)]),
                    self._node([(a, k, other), (i, b, one)]),
                )
        return self.made[key]

    def _node(self, parts) -> int | None:
        parts = [(a, b, factor) for a, b, factor in parts if a is not None and b is not None]
        if not parts:
            return None
        self.rows += [(a, b, self.nodes, factor) for a, b, factor in parts]
        self.nodes += 1
        return self.nodes - 1


def _half(factors) -> tuple[tuple, bool]:
    """The product or its conjugate, whichever has a positive first m, and whether it is the conjugate."""
    key = tuple(sorted(factors))
    other = tuple(sorted((node, -m) for node, m in factors))
    order = [(node, -abs(m), -m) for node, m in key]
    reverse = [(node, -abs(m), -m) for node, m in other]
    return (key, False) if order <= reverse else (other, True)


def _pairs(key: tuple):
    return [(key[a], key[b]) for a in range(len(key)) for b in range(a)]


def _subsets(count: int, size: int) -> list[tuple[int, ...]]:
    subsets = list(combinations(range(count), size))
    return subsets[: len(subsets) // 2] if count == 2 * size else subsets


def _chebyshev(x, most: int) -> np.ndarray:
    """T_k(x), first and second derivatives, [3, K, most], of x [3, K] with its derivatives."""
    t = np.zeros((3, x.shape[1], most))
    t[0, :, 0] = 1
    if most > 1:
        t[:, :, 1] = x
    for k in range(2, most):
        t[:, :, k] = 2 * _times(t[:, :, k - 1], x) - t[:, :, k - 2]
    return t


def _times(f, g) -> np.ndarray:
    """The product of two functions, each with its first two derivatives."""
    return np.stack([f[0] * g[0], f[1] * g[0] + f[0] * g[1], f[2] * g[0] + 2 * f[1] * g[1] + f[0] * g[2]])


def _cosine(r, start: float, width: float) -> np.ndarray:
    """From 1 at ``start`` to 0 after ``width``; 1 below."""
    angle = np.clip((r - start) / width, 0.0, 1.0) * np.pi
    inside = (r > start + 1e-9) & (r < start + width)
    rate = np.pi / width
    return np.stack([0.5 * (1 + np.cos(angle)), -0.5 * rate * np.sin(angle) * inside, -0.5 * rate**2 * np.cos(angle) * inside])


def _until(r, cutoff: float, f) -> np.ndarray:
    """Zero from the cutoff on; the second derivative of f [3, …, K] keeps its limit there."""
    return np.where(np.stack([r < cutoff, r < cutoff, r < cutoff * (1 + 1e-12)]).reshape(3, *[1] * (f.ndim - 2), -1), f, 0.0)


def _sinc(r, k: float) -> np.ndarray:
    x = np.maximum(k * r, 1e-3)
    sine, cosine = np.sin(x), np.cos(x)
    return np.stack([sine / x, k * (cosine / x - sine / x**2), k**2 * (-sine / x - 2 * cosine / x**2 + 2 * sine / x**3)])


def _complex_harmonics(vec, l_most: int) -> tuple[np.ndarray, np.ndarray]:
    """Y_lm about z, index l² + l + m, and gradients."""
    turned = [1, 2, 0]  # y, z, x: the polar axis of the real ones is the second
    real, slope = real_harmonics(vec[:, turned], l_most)
    back = np.zeros_like(slope)
    back[:, :, turned] = slope
    y, dy = real.astype(complex), back.astype(complex)
    for l in range(1, l_most + 1):
        for m in range(1, l + 1):
            plus, minus = l * l + l + m, l * l + l - m
            for target, source in ((y, real), (dy, back)):
                whole = (source[:, plus] + 1j * source[:, minus]) / 2**0.5
                target[:, plus], target[:, minus] = (-1) ** m * whole, whole.conj()
    return y, dy


def read(path) -> Pace:
    """A potential from a ``.yace`` file; nothing of it is believed before it is checked.

    Raises:
        MetalffError: it cannot be read, is none, or has what is not covered: radial functions that do not end smoothly (ChebLinear) or of ACE.jl,
            functions that are no invariants.
    """
    path = Path(path)
    if path.suffix == ".ace":
        raise MetalffError(f"'{path}' is in the old format .ace, which is not covered: give {WHAT} (pace_yaml2yace makes one from its .yaml)")
    content = read_table(path, WHAT)
    if "species" in content and "functions" not in content:
        raise MetalffError(f"'{path}' is a .yaml of pacemaker: make a .yace of it with its own pace_yaml2yace and give that")
    read = _Reader(path)
    elements = read.of(content, "elements", list)
    if not 0 < len(elements) <= 118 or len(set(map(str, elements))) < len(elements):
        read.refuse("elements is no list of different elements")
    for symbol in elements:
        if symbol not in atomic_numbers or symbol == "X":
            read.refuse(f"'{short(symbol)}' is no chemical element")
    species = range(len(elements))
    shift = read.numbers(content, "E0", (len(elements),))
    embeddings = read.by_species(content, "embeddings", len(elements))
    bonds = read.of(content, "bonds", dict)
    parsed = {}
    for pair in ((i, j) for i in species for j in species):
        if pair not in bonds:
            read.refuse(f"bonds has none of {list(pair)}")
        parsed[pair] = _bond(read, bonds[pair], f"bond {list(pair)}", (atomic_numbers[elements[pair[0]]], atomic_numbers[elements[pair[1]]]))
    if len({bond.numbers is None for bond in parsed.values()}) > 1:
        read.refuse("some bonds have the core repulsion zbl and others have not, which is not covered")
    functions = read.by_species(content, "functions", len(elements))
    for symbol, given in zip(elements, functions, strict=True):
        if not given:
            read.refuse(f"{symbol} has no functions")
    kinds = [_embedding(read, embeddings[i], f"embedding {i}", [parsed[i, j] for j in species]) for i in species]
    of = [
        [_function(read, entry, f"function {n + 1} of {elements[i]}", i, kinds[i], parsed) for n, entry in enumerate(functions[i])] for i in species
    ]
    potential = Pace([str(symbol) for symbol in elements], shift, kinds, parsed, of)
    for centre in species:
        _check_turned(potential, centre, read)
    return potential


def _bond(read: "_Reader", entry, name: str, numbers: tuple[int, int]) -> Bond:
    base = read.of(entry, "radbasename", str, name)
    if base.startswith("ACE.jl"):
        read.refuse(f"{name}: radial functions of ACE.jl are not covered")
    if base == "ChebLinear":
        read.refuse(f"{name}: the radial functions ChebLinear do not go to zero at the cutoff, which is not covered")
    if base not in BASES:
        read.refuse(f"{name}: the radial functions {short(base)} are not covered; {', '.join(BASES)} are")
    cutoff = read.number(entry, "rcut", name, 0.1, 100.0)
    inner, width = (read.number(entry, key, name, 0.0, 100.0) if key in entry else 0.0 for key in ("rcut_in", "dcut_in"))
    kind = entry.get("inner_cutoff_type", "density")
    repulsion, decay = read.number(entry, "prehc", name), read.number(entry, "lambdahc", name)
    if kind not in ("density", "distance", "zbl"):
        read.refuse(f"{name}: the inner cutoff '{short(kind)}' is not covered")
    if kind == "density" and inner - width > 0:
        read.refuse(f"{name}: functions that end at once at an inner cutoff are not covered (inner_cutoff_type density with rcut_in)")
    if (kind == "distance" and (width == 0) != (inner == 0)) or (kind == "zbl" and not 0 < width <= inner):
        read.refuse(f"{name}: rcut_in {inner:g} with dcut_in {width:g} is no smooth inner cutoff, which is not covered")
    if inner > cutoff:
        read.refuse(f"{name}: rcut_in is beyond rcut")
    orders, l_most, size = (
        read.whole(entry, key, name, most) for key, most in (("nradmax", ORDER_MOST), ("lmax", L_MOST), ("nradbasemax", ORDER_MOST))
    )
    sharpness = read.numbers(entry, "radparameters", None, name)
    if not len(sharpness):
        read.refuse(f"{name}: radparameters is empty")
    if base != "SBessel" and not (0.01 <= sharpness[0] <= 100):
        read.refuse(f"{name}: the parameter {sharpness[0]:g} of {base} is not between 0.01 and 100")
    if base == "ChebPow" and sharpness[0] <= 1:
        read.refuse(f"{name}: the radial functions ChebPow of power {sharpness[0]:g} do not end smoothly, which is not covered")
    dcut = read.number(entry, "dcut", name, 0.0, 100.0)
    if (base == "ChebExpCos" or kind == "zbl") and not 1e-4 <= dcut <= cutoff:
        read.refuse(f"{name}: dcut is not between 0.0001 Å and rcut")
    coefficients = read.numbers(entry, "radcoefficients", (orders, l_most + 1, size), name) if orders else np.zeros((0, l_most + 1, size))
    if kind == "density":
        inner = width = 0.0
    return Bond(base, float(sharpness[0]), size, coefficients, cutoff, dcut, inner, width, repulsion, decay, numbers if kind == "zbl" else None)


def _embedding(read: "_Reader", entry, name: str, bonds: list[Bond]) -> np.ndarray:
    """[P, 3] kind, w, m."""
    count = read.whole(entry, "ndensity", name, DENSITIES_MOST)
    kind = read.of(entry, "npoti", str, name)
    if kind not in EMBEDDINGS:
        read.refuse(f"{name}: the embedding '{short(kind)}' is not covered; {' and '.join(EMBEDDINGS)} are")
    if count == 0:
        read.refuse(f"{name}: ndensity is zero")
    w, m = read.numbers(entry, "FS_parameters", (2 * count,), name).reshape(count, 2).T
    if not np.all((m > 0.01) & (m <= 10)):
        read.refuse(f"{name}: an exponent in FS_parameters is not between 0.01 and 10")
    start = read.number(entry, "rho_core_cutoff", name) - read.number(entry, "drho_core_cutoff", name)
    if start < (DENSE if any(bond.repulsion for bond in bonds) else 0.0) and not any(bond.numbers for bond in bonds):
        read.refuse(
            f"{name}: the core repulsion switches the other functions off from {start:g} eV on (rho_core_cutoff), which is not covered below {DENSE:g}"
        )
    return np.stack([np.where(np.abs(m - 1) < 1e-10, LINEAR, EMBEDDINGS[kind]), w, m], axis=1)


def _function(read: "_Reader", entry, name: str, centre: int, embedding, bonds: dict) -> Function:
    rank = read.whole(entry, "rank", name, RANK_MOST)
    combinations_of_m = read.whole(entry, "num_ms_combs", name, 100_000)
    if rank == 0 or read.whole(entry, "mu0", name, 118) != centre:
        read.refuse(f"{name}: rank is zero, or mu0 is not {centre}")
    if read.whole(entry, "ndensity", name, DENSITIES_MOST) != len(embedding):
        read.refuse(f"{name}: ndensity is not that of its embedding, {len(embedding)}")
    mus, ns, ls = (read.wholes(entry, key, rank, name) for key in ("mus", "ns", "ls"))
    ms = read.wholes(entry, "ms_combs", rank * combinations_of_m, name).reshape(combinations_of_m, rank)
    weights = read.numbers(entry, "ctildes", (combinations_of_m * len(embedding),), name).reshape(combinations_of_m, len(embedding))
    for mu, n, l in zip(mus, ns, ls, strict=True):
        bond = bonds.get((centre, mu))
        if bond is None:
            read.refuse(f"{name}: there is no element {mu}")
        orders, most = (bond.size, 0) if rank == 1 else (bond.coefficients.shape[0], bond.coefficients.shape[1] - 1)
        if not 1 <= n <= orders or not 0 <= l <= most:
            read.refuse(f"{name}: its bond has no radial function n = {n}, l = {l}")
    if np.any(np.abs(ms) > ls):
        read.refuse(f"{name}: an m is larger than its l")
    return Function(tuple((int(mu), int(n) - 1, int(l)) for mu, n, l in zip(mus, ns, ls, strict=True)), ms, weights)


def _check_turned(potential: Pace, centre: int, read: "_Reader") -> None:
    """Refuse functions that change when an atom's neighbours are turned."""
    rng = np.random.default_rng(7)
    kinds = np.arange(7 * len(potential.elements)) % len(potential.elements)
    vec = rng.normal(size=(len(kinds), 3))
    reach = np.array([potential.bonds[centre, kind].cutoff for kind in kinds])
    vec *= (reach * rng.uniform(0.35, 0.9, len(kinds)) / np.linalg.norm(vec, axis=1))[:, None]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    energies = [potential.atom(centre, v, kinds)[0] for v in (vec, vec @ turn, vec[:, [1, 2, 0]])]
    if not np.ptp(energies) <= 1e-7 * max(1.0, abs(energies[0])):
        read.refuse(f"the functions of {potential.elements[centre]} change when its neighbours are turned, so they are no energy of an atom")


class _Reader:
    """Values of a file by their keys, checked."""

    def __init__(self, path: Path):
        self.path = path

    def refuse(self, reason: str):
        raise MetalffError(f"'{self.path}': {reason}")

    def of(self, entry, key: str, kind: type, name: str = ""):
        where = f"{name}: " if name else ""
        if not isinstance(entry, dict):
            self.refuse(f"{where or 'an entry '}holds no keys with values")
        if key not in entry:
            self.refuse(f"{where}{key} is missing, so it is not {WHAT}" if not name else f"{where}{key} is missing")
        if not isinstance(entry[key], kind):
            self.refuse(f"{where}{key} is '{short(entry[key], 40)}', not a {'list' if kind is list else 'mapping' if kind is dict else 'word'}")
        return entry[key]

    def by_species(self, content, key: str, count: int) -> list:
        found = self.of(content, key, dict)
        if set(found) != set(range(count)):
            self.refuse(f"{key} is not given for each of the {count} elements, by number from 0")
        return [found[k] if key != "functions" else self.of(found, k, list) for k in range(count)]

    def numbers(self, entry, key: str, shape, name: str = "") -> np.ndarray:
        """An array of finite numbers; ``shape`` None: a list of any length."""
        given = self.of(entry, key, list, name)
        where = f"{name}: " if name else ""
        try:
            values = np.array(given, dtype=float)  # pacemaker writes 1e-05, which is a word for YAML
        except (ValueError, TypeError):
            self.refuse(f"{where}{key} holds something other than numbers, or rows of different lengths")
        if values.ndim != (1 if shape is None else len(shape)) or (shape is not None and values.shape != tuple(shape)):
            self.refuse(f"{where}{key} has the shape {list(values.shape)} where {list(shape or ['any'])} belongs")
        if not np.all(np.abs(values) <= LARGE):
            self.refuse(f"{where}{key} holds a number that is not finite, or beyond 1e30")
        return values

    def wholes(self, entry, key: str, count: int, name: str) -> np.ndarray:
        given = self.of(entry, key, list, name)
        if len(given) != count or not all(type(value) is int and abs(value) < 1000 for value in given):
            self.refuse(f"{name}: {key} is no list of {count} whole numbers")
        return np.array(given, int)

    def number(self, entry, key: str, name: str, least: float = -LARGE, most: float = LARGE) -> float:
        self.of(entry, key, object, name)
        value = entry[key]
        try:
            value = float("nan") if isinstance(value, (bool, list, dict)) else float(value)
        except (ValueError, TypeError):
            value = float("nan")
        if not least <= value <= most:
            self.refuse(f"{name}: {key} is '{short(entry[key], 40)}', not a number" + (f" from {least:g} to {most:g}" if most < LARGE else ""))
        return value

    def whole(self, entry, key: str, name: str, most: int) -> int:
        self.of(entry, key, object, name)
        value = entry[key]
        if type(value) is not int or not 0 <= value <= most:
            self.refuse(f"{name}: {key} is '{short(value, 40)}', not a whole number from 0 to {most}")
        return value
