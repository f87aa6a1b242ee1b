"""Does one number go with another over a handful of metals? Rank correlations with intervals, what is left of them, and how many were asked.

| number | what it is, and where it misleads |
|---|---|
| Spearman's ρ | correlation of ranks: 1 for any growing relation; with seven metals it reaches 0.6 by chance one time in six |
| interval | 95 % percentile bootstrap over metals (Efron 1979); over few metals it is too narrow rather than too wide |
| p | part of the permutations of the metals with |ρ| at least as large; exact up to ``EXACT`` metals |
| partial ρ | ρ of what is left of both ranks after a linear fit of the covariates' ranks (Conover and Iman 1981) |
| Holm's p | p after Holm (Scand. J. Statist. 6, 65 (1979)) for all correlations asked together |
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.stats import rankdata

from metalff.errors import MetalffError

FEWEST = 5
"""Metals below which no correlation is computed: of four metals one in twelve orders is perfect, growing or falling."""

EXACT = 8
"""Metals up to which every permutation is tried."""

RESAMPLES = 4000
PERMUTATIONS = 20000
SEED = 20260128
LEVEL = 0.95


@dataclass(frozen=True)
class Correlation:
    """A rank correlation over metals.

    Attributes:
        count: metals.
        rho: Spearman's; NaN where one of the two is constant.
        low, high: of the 95 % interval.
        p: two-sided, by permutation.
    """

    count: int
    rho: float
    low: float
    high: float
    p: float


def correlate(x, y) -> Correlation:
    """Spearman's rank correlation of x[N] with y[N].

    Raises:
        MetalffError: fewer than ``FEWEST`` points.
    """
    x, y = _checked(x, y)
    a, b = ranks(x), ranks(y)
    rho = float(pearson(a, b))
    if not math.isfinite(rho):
        return Correlation(len(x), math.nan, math.nan, math.nan, 1.0)
    return Correlation(len(x), rho, *_interval(x, y), _p_value(a, b, abs(rho)))


def partial(x, y, covariates) -> Correlation:
    """Spearman's rank correlation of x[N] with y[N] when covariates[K,N] are held.

    Ranks are fitted by a constant and the covariates' ranks, and the residuals correlated; p by permuting the residuals of x (Freedman and Lane 1983). The
    interval is of a bootstrap over metals.

    Raises:
        MetalffError: fewer than ``FEWEST`` + K points.
    """
    x, y = _checked(x, y, len(covariates))
    covariates = np.atleast_2d(np.asarray(covariates, float))
    a, b = _left(x, covariates), _left(y, covariates)
    rho = float(pearson(a, b))
    if not math.isfinite(rho):
        return Correlation(len(x), math.nan, math.nan, math.nan, 1.0)
    return Correlation(len(x), rho, *_interval(x, y, covariates), _p_value(a, b, abs(rho)))


def holm(p) -> np.ndarray:
    """p-values [M] of M tests, corrected for their number."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    raised = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    found = np.empty(len(p))
    found[order] = np.minimum(raised, 1.0)
    return found


def ranks(values) -> np.ndarray:
    """Of the last axis, from 1; equal values share the mean of their ranks."""
    return rankdata(np.asarray(values, float), axis=-1)


def pearson(a, b):
    """Pearson's correlation of a[…,N] with b[…,N]; NaN where one is constant."""
    a, b = a - np.mean(a, -1, keepdims=True), b - np.mean(b, -1, keepdims=True)
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-12 * a.shape[-1], (a * b).sum(-1) / scale, np.nan)


def _checked(x, y, more: int = 0):
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < FEWEST + more:
        held = f" with {more} held" if more else ""
        raise MetalffError(f"{len(x)} metals are too few for a correlation{held}; give at least {FEWEST + more}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MetalffError("a correlation needs a finite number of every metal; leave out those without")
    return x, y


def _left(values, covariates) -> np.ndarray:
    """What is left of the ranks of values[…,N] after a linear fit of a constant and the ranks of covariates[…,K,N]."""
    own = ranks(values)
    design = np.concatenate([np.ones_like(own)[..., None, :], ranks(covariates)], axis=-2)
    fit = (own[..., None, :] @ np.linalg.pinv(design) @ design)[..., 0, :]
    return np.where(np.abs(own - fit) < 1e-9 * own.shape[-1], 0.0, own - fit)


def _interval(x, y, covariates=None) -> tuple[float, float]:
    chosen = np.random.default_rng(SEED).integers(len(x), size=(RESAMPLES, len(x)))
    if covariates is None:
        found = pearson(ranks(x[chosen]), ranks(y[chosen]))
    else:
        held = covariates[:, chosen].swapaxes(0, 1)
        found = pearson(_left(x[chosen], held), _left(y[chosen], held))
    low, high = np.quantile(found[np.isfinite(found)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _p_value(a, b, rho: float) -> float:
    """Part of the permutations of a[N] whose correlation with b[N] is at least as strong."""
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    exact = len(a) <= EXACT
    if exact:
        orders = np.array(list(permutations(range(len(a)))))
    else:
        rng = np.random.default_rng(SEED)
        orders = rng.permuted(np.tile(np.arange(len(a)), (PERMUTATIONS, 1)), axis=1)
    strong = int(np.count_nonzero(np.abs(a[orders] @ b) >= (rho - 1e-9) * scale))
    return strong / len(orders) if exact else (strong + 1) / (len(orders) + 1)
