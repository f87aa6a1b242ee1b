"""Radial functions of a linear polynomial: Chebyshev polynomials of the distance times a smooth cutoff, and a fixed repulsion of atoms too close."""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from ase.data import atomic_numbers

from metalff.poly.program import Radial

STEP = 0.02
"""Å between knots, at most. The splines are the model: what is fitted and evaluated are these."""

FIRST = 0.4
"""Å: below, functions are straight lines."""

SATURATION = 0.1
"""Å within which a distance below the shortest one of the data stops changing for the Chebyshev polynomials, which would grow without bound."""

COULOMB = 14.399645
"""e²/(4πε0), eV Å."""

SCREENING = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
"""Factors and decays of the universal screening function (Ziegler, Biersack and Littmark (1985))."""


def chebyshev(r, count: int, r_min: float, r_max: float, power: int) -> np.ndarray:
    """T_n(x) (1 - (r - r_min)/(r_max - r_min))^power for n < count, x from -1 at r_min to 1 at r_max.

    Args:
        r: [K] Å, at most r_max.
    Returns:
        [3, K, count]: values, first (1/Å) and second (1/Å²) derivatives.
    """
    r, (inner, slope, curvature) = np.asarray(r, float), _saturated(r, r_min)
    width = r_max - r_min
    x = 2 * (inner - r_min) / width - 1
    T = np.zeros((3, len(r), count))
    T[0, :, 0] = 1.0
    if count > 1:
        T[0, :, 1], T[1, :, 1] = x, 1.0
    for n in range(2, count):
        T[0, :, n] = 2 * x * T[0, :, n - 1] - T[0, :, n - 2]
        T[1, :, n] = 2 * T[0, :, n - 1] + 2 * x * T[1, :, n - 1] - T[1, :, n - 2]
        T[2, :, n] = 4 * T[1, :, n - 1] + 2 * x * T[2, :, n - 1] - T[2, :, n - 2]
    dx, ddx = 2 * slope / width, 2 * curvature / width
    polynomials = np.stack([T[0], T[1] * dx[:, None], T[2] * (dx**2)[:, None] + T[1] * ddx[:, None]])
    left = (r_max - inner) / width
    first, second = power * left ** (power - 1), power * (power - 1) * left ** (power - 2)
    cutoff = np.stack([left**power, -first * slope / width, second * (slope / width) ** 2 - first * curvature / width])
    return _product(polynomials, cutoff[:, :, None])


def repulsion(r, first: str, second: str, outer: float) -> np.ndarray:
    """Half of the screened repulsion of two nuclei (Ziegler, Biersack and Littmark (1985)), switched off smoothly from ``outer``/2 to ``outer`` (Å).

    Returns:
        [3, K] eV, eV/Å, eV/Å².
    """
    r = np.asarray(r, float)
    charges = atomic_numbers[first], atomic_numbers[second]
    length = 0.46850 / (charges[0] ** 0.23 + charges[1] ** 0.23)
    screening = sum(np.stack([a * np.exp(-b * r / length) * (-b / length) ** k for k in range(3)]) for a, b in SCREENING)
    coulomb = 0.5 * COULOMB * charges[0] * charges[1] * np.stack([1 / r, -1 / r**2, 2 / r**3])
    # one minus the smoothest step of degree 11
    step = np.polynomial.Polynomial([0] * 6 + [(-1) ** k * comb(5 + k, k) * comb(11, 5 - k) for k in range(6)])
    x = np.clip(2 * r / outer - 1, 0.0, 1.0)
    switch = np.stack([1 - step(x), -step.deriv()(x) * 2 / outer, -step.deriv(2)(x) * (2 / outer) ** 2])
    return _product(_product(coulomb, screening), switch)


@dataclass(frozen=True)
class Shape:
    """What radial functions are made of.

    Attributes:
        count: of functions for each neighbouring element.
        polynomials: Chebyshev polynomials that they are sums of.
        r_min, r_max: Å.
        power: of the cutoff.
        zbl: outer cutoff of the repulsion, Å; 0: none.
    """

    count: int
    polynomials: int
    r_min: float
    r_max: float
    power: int
    zbl: float

    @property
    def knots(self) -> np.ndarray:
        """Å."""
        return np.linspace(FIRST, self.r_max, int(np.ceil((self.r_max - FIRST) / STEP)) + 1)

    @cached_property
    def basis(self) -> np.ndarray:
        """[knots, 3, polynomials]: value, first and second derivative."""
        values = chebyshev(self.knots, self.polynomials, self.r_min, self.r_max, self.power)
        values[:, -1] = 0.0
        return np.moveaxis(values, 0, 1)

    def mixing(self) -> np.ndarray:
        """[count, polynomials]: each function one polynomial, which a fit may begin with."""
        return np.eye(self.count, self.polynomials)

    def table(self, elements: list[str], pair: tuple[int, int], mixing=None) -> Radial:
        """The functions of a pair of elements, centre first; with ``zbl`` the last is the repulsion.

        Channels of a centre: the functions of each neighbouring element in turn, then one for the repulsion.

        Args:
            mixing: [count, polynomials].
        """
        knots = self.knots
        table = self.basis @ (self.mixing() if mixing is None else mixing).T
        channel = pair[1] * self.count + np.arange(self.count)
        if self.zbl:
            nuclei = repulsion(knots, elements[pair[0]], elements[pair[1]], self.zbl)
            table = np.concatenate([table, np.moveaxis(nuclei, 0, 1)[:, :, None]], axis=2)
            channel = np.append(channel, len(elements) * self.count)
        return Radial(FIRST, (self.r_max - FIRST) / (len(knots) - 1), self.r_max, table, channel)


def _saturated(r, r_min):
    """r, but nearly constant below r_min: r_min - d s (1 + s³)^(-1/3) with s = (r_min - r)/d; and its derivatives."""
    r = np.asarray(r, float)
    s = np.maximum(r_min - r, 0.0) / SATURATION
    base = 1 + s**3
    inner = np.where(r < r_min, r_min - SATURATION * s * base ** (-1 / 3), r)
    return inner, base ** (-4 / 3), 4 * s**2 * base ** (-7 / 3) / SATURATION


def _product(a, b):
    """Of two functions with their derivatives along the first axis."""
    return np.stack([a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]])
