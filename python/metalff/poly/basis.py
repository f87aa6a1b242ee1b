"""A complete basis of rotational invariants of up to four neighbours: the atomic cluster expansion in real spherical harmonics.

Moments A_{n,lm} = Σ_j R_n(r_j) Y_lm(r_j) are coupled to tensors, and those to invariants (Drautz, Phys. Rev. B 99, 014104 (2019); Dusson et al., J.
Comput. Phys. 454, 110946 (2022)):

    order 1   A_{n,00}
    order 2   Σ_m A_{n,lm} A_{n',lm}
    order 3   Σ_M (A_1 × A_2)_LM A_3,LM            with L = l_3
    order 4   Σ_M (A_1 × A_2)_LM (A_3 × A_4)_LM

where × is the Clebsch-Gordan product. Of several couplings of the same moments only as many are kept as are independent.
"""

from dataclasses import dataclass
from functools import cache
from math import factorial, sqrt

import numpy as np

ORDER_MOST = 4
"""Neighbours of a function: a body order of five."""


@dataclass(frozen=True)
class Size:
    """How many functions a basis has.

    A function of radial indices n (from 0) and l of its moments belongs to it where Σ (1 + n·``radial_cost`` + l) ≤ ``degree``.

    Attributes:
        radial: number of radial functions of each neighbouring element.
        l_max: largest l of a moment.
        degree: most of the sum for functions of one, two, three and four neighbours.
        radial_cost: what a radial index costs against an l.
    """

    radial: int
    l_max: int
    degree: tuple[float, ...]
    radial_cost: float = 1.0
    elements: int = 1
    repulsion: bool = False
    """One more channel at the end, of l = 0, and one more function: its moment."""


@dataclass(frozen=True)
class Basis:
    """The program of all functions, each with a coefficient of one.

    Attributes:
        channels: [C, 2] l of the moments of each radial function: those of the first neighbouring element, of the second, ….
        products, factors: nodes beyond the moments; see ``program.py``.
        terms, function, factor: what each function is a sum of.
        orders: [K] neighbours of each function.
        costs: [K] Σ (1 + n·``radial_cost`` + l) of each function.
    """

    channels: np.ndarray
    products: np.ndarray
    factors: np.ndarray
    terms: np.ndarray
    function: np.ndarray
    factor: np.ndarray
    orders: np.ndarray
    costs: np.ndarray

    def __len__(self) -> int:
        return len(self.orders)

    def part(self, kept) -> "Basis":
        """The functions kept ([K] bool), and the nodes that they need."""
        kept = np.asarray(kept, bool)
        if kept.all():
            return self
        moments = int(((self.channels[:, 1] + 1) ** 2 - self.channels[:, 0] ** 2).sum())
        chosen = kept[self.function]
        terms = self.terms[chosen]
        needed = np.zeros(max(moments, int(self.products[:, 2].max(initial=-1)) + 1), bool)
        needed[terms[terms >= 0]] = True
        some = needed[self.products[:, 2]]  # products of tensors need moments alone
        needed[:moments] = True
        number = np.cumsum(needed) - 1
        return Basis(
            self.channels,
            number[self.products[some]],
            self.factors[some],
            np.where(terms < 0, -1, number[terms]),
            (np.cumsum(kept) - 1)[self.function[chosen]],
            self.factor[chosen],
            self.orders[kept],
            self.costs[kept],
        )


def make(size: Size, most: int = 100_000) -> Basis:
    """The basis of one element, deterministic.

    Raises:
        ValueError: a size that gives no function, or more than ``most``.
    """
    return _Maker(size, most).basis()


class _Maker:
    def __init__(self, size: Size, most: int = 100_000):
        self.size, self.most = size, most
        channels = range(size.elements * size.radial)
        self.moments = [(c, l) for c in channels for l in range(size.l_max + 1) if l == 0 or self.cost(c, l) + 1 <= max(size.degree)]
        self.moments.sort(key=lambda moment: (self.cost(*moment), moment))
        self.channels = np.array([[0, max(l for other, l in self.moments if other == c)] for c in channels] + [[0, 0]] * size.repulsion, int)
        first = np.concatenate([[0], np.cumsum((self.channels[:, 1] + 1) ** 2)])
        self.node = {(c, l): int(first[c]) + l * l for c, l in self.moments}
        self.count = int(first[-1])
        rng = np.random.default_rng(0)
        self.samples = 24
        self.values = {(c, l): rng.normal(size=(self.samples, 2 * l + 1)) for c, l in self.moments}
        self.tensors, self.tensor_values = {}, {}  # (moment, moment, L) → first node; values on random moments
        self.products, self.factors = [], []

    def cost(self, channel, l) -> float:
        return 1 + channel % self.size.radial * self.size.radial_cost + l

    def basis(self) -> Basis:
        functions = []
        for order, degree in enumerate(self.size.degree, start=1):
            for chosen, cost in self.sets(order, degree + 1e-9):
                if sum(l for _, l in chosen) % 2 == 0:
                    functions += [(order, cost, terms) for terms in self.invariants(chosen)]
                if len(functions) > self.most:
                    raise ValueError(f"more than {self.most} functions")
        if not functions:
            raise ValueError("no function is this small")
        if self.size.repulsion:
            functions.append((1, 1.0, [(int(((self.channels[:-1, 1] + 1) ** 2).sum()), -1, 1.0)]))
        terms = [(a, b) for *_, some in functions for a, b, _ in some]
        factor = [f for *_, some in functions for _, _, f in some]
        function = [k for k, (*_, some) in enumerate(functions) for _ in some]
        return Basis(
            self.channels,
            np.array(self.products, int).reshape(-1, 3),
            np.array(self.factors, float),
            np.array(terms, int),
            np.array(function, int),
            np.array(factor, float),
            np.array([order for order, *_ in functions]),
            np.array([cost for _, cost, _ in functions]),
        )

    def sets(self, order: int, left: float, first: int = 0):
        """Sets of moments, with repetition, whose cost is at most ``left``; and their costs."""
        if order == 0:
            yield (), 0.0
            return
        for k in range(first, len(self.moments)):
            cost = self.cost(*self.moments[k])
            if cost * order > left:
                break
            for rest, more in self.sets(order - 1, left - cost, k):
                yield (self.moments[k], *rest), cost + more

    def invariants(self, chosen):
        """Lists of terms (a, b, factor): the independent invariants of these moments."""
        if len(chosen) == 1:
            return [[(self.node[chosen[0]], -1, 1.0)]] if chosen[0][1] == 0 else []
        if len(chosen) == 2:
            (_, l), (_, other) = chosen
            if l != other:
                return []
            a, b = (self.node[m] for m in chosen)
            return [[(a + m, b + m, 1 / sqrt(2 * l + 1)) for m in range(2 * l + 1)]]
        if len(chosen) == 3:
            a, b, c = sorted(chosen, key=lambda m: (m[1], m[0]))
            if not abs(a[1] - b[1]) <= c[1] <= a[1] + b[1]:
                return []
            tensor = self.tensor(a, b, c[1])
            return [[(tensor + m, self.node[c] + m, 1 / sqrt(2 * c[1] + 1)) for m in range(2 * c[1] + 1)]]
        return self.of_four(chosen)

    def of_four(self, chosen):
        """Couplings ((1 2) L, (3 4) L) of all pairings, those first that need the fewest new tensors."""
        a, b, c, d = chosen
        candidates = []
        for left, right in dict.fromkeys((((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c)))):
            low = max(abs(left[0][1] - left[1][1]), abs(right[0][1] - right[1][1]))
            high = min(left[0][1] + left[1][1], right[0][1] + right[1][1])
            candidates += [(left, right, L) for L in range(low, high + 1)]
        even = [c for c in candidates if (c[0][0][1] + c[0][1][1] + c[2]) % 2 == 0]
        odd = [c for c in candidates if c not in even]
        found, rows = [], np.zeros((0, self.samples))
        for left, right, L in sorted(even, key=self.new_nodes) + sorted(odd, key=self.new_nodes):
            value = np.einsum("sm,sm->s", self.tensor_value(*left, L), self.tensor_value(*right, L))
            size = np.linalg.norm(value)
            rest = value - rows.T @ (rows @ value)
            rest -= rows.T @ (rows @ rest)
            if size < 1e-9 or np.linalg.norm(rest) < 1e-7 * size:
                continue
            rows = np.vstack([rows, rest / np.linalg.norm(rest)])
            one, two = self.tensor(*left, L), self.tensor(*right, L)
            found.append([(one + m, two + m, 1 / sqrt(2 * L + 1)) for m in range(2 * L + 1)])
        return found

    def new_nodes(self, candidate):
        left, right, L = candidate
        return (2 * L + 1) * len({(*pair, L) for pair in (left, right)} - set(self.tensors)), L

    def tensor_value(self, a, b, L):
        if (a, b, L) not in self.tensor_values:
            self.tensor_values[a, b, L] = np.einsum("sa,sb,abM->sM", self.values[a], self.values[b], clebsch_gordan(a[1], b[1], L))
        return self.tensor_values[a, b, L]

    def tensor(self, a, b, L) -> int:
        """The first node of (a × b)_L."""
        if (a, b, L) not in self.tensors:
            coupling = clebsch_gordan(a[1], b[1], L)
            for m in range(2 * L + 1):
                sums = {}
                for i, j in zip(*np.nonzero(coupling[:, :, m]), strict=True):
                    nodes = tuple(sorted((self.node[a] + int(i), self.node[b] + int(j))))
                    sums[nodes] = sums.get(nodes, 0.0) + coupling[i, j, m]
                for (one, two), factor in sums.items():
                    if abs(factor) > 1e-12:
                        self.products.append((one, two, self.count + m))
                        self.factors.append(factor)
            self.tensors[a, b, L] = self.count
            self.count += 2 * L + 1
        return self.tensors[a, b, L]


@cache
def clebsch_gordan(l1: int, l2: int, L: int) -> np.ndarray:
    """Coefficients [2 l1 + 1, 2 l2 + 1, 2 L + 1] that couple real harmonics (m from -l to l: sines first) to real ones, of norm √(2L + 1)."""
    complex_ones = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * L + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -L - m1), min(l2, L - m1) + 1):
            complex_ones[m1 + l1, m2 + l2, m1 + m2 + L] = _racah(l1, m1, l2, m2, L)
    U1, U2, U = (_to_complex(l) for l in (l1, l2, L))
    real = np.einsum("abc,ai,bj,ck->ijk", complex_ones, U1, U2, U.conj())
    real = real.imag if (l1 + l2 + L) % 2 else real.real
    real[np.abs(real) < 1e-14] = 0.0
    return real


def _to_complex(l: int) -> np.ndarray:
    """Y_m = Σ_k U[m, k] (real harmonic k)."""
    U = np.zeros((2 * l + 1, 2 * l + 1), complex)
    U[l, l] = 1.0
    for m in range(1, l + 1):
        U[l + m, l + m], U[l + m, l - m] = (-1) ** m / sqrt(2), 1j * (-1) ** m / sqrt(2)
        U[l - m, l + m], U[l - m, l - m] = 1 / sqrt(2), -1j / sqrt(2)
    return U


def _racah(l1, m1, l2, m2, L) -> float:
    """⟨l1 m1 l2 m2 | L m1+m2⟩ by Racah's formula."""
    M, f = m1 + m2, factorial
    front = (2 * L + 1) * f(L + l1 - l2) * f(L - l1 + l2) * f(l1 + l2 - L) / f(l1 + l2 + L + 1)
    front *= f(L + M) * f(L - M) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    total = 0.0
    for k in range(l1 + l2 - L + 1):
        below = (k, l1 + l2 - L - k, l1 - m1 - k, l2 + m2 - k, L - l2 + m1 + k, L - l1 - m2 + k)
        if min(below) >= 0:
            product = 1
            for number in below:
                product *= f(number)
            total += (-1) ** k / product
    return sqrt(front) * total
