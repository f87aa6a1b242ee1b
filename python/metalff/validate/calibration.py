"""Is a model as unsure as it is wrong? Predicted deviations against true errors: pure functions on arrays.

Deviations σ and errors are per force component, eV/Å. Of one atom they are the root mean square over its components: what `pair_style mlff` writes, over √3.

| number | unit | what it measures, and where it misleads |
|---|---|---|
| calibration curve | eV/Å | RMSE of atoms in bins of σ: on the diagonal the deviation is the error, in the mean; a bin hides what is in it |
| ENCE | 1 | mean of |RMSE − σ| ÷ σ over the bins (Levi et al., Sensors 22, 5540 (2022)); 0 is calibrated; grows with the number of bins |
| scale | 1 | RMSE ÷ root mean square of σ: by this a deviation has to be multiplied; 2 is overconfident by two |
| within kσ | 1 | part of the components whose error is below k σ; 0.683, 0.954, 0.997 of Gaussian errors |
| miscalibration | 1 | area between the part within a quantile and that of Gaussian errors (Kuleshov et al. 2018), 0 to 0.5 |
| Spearman's ρ | 1 | whether larger deviations go with larger errors of atoms; blind to the scale; even a perfect σ has no 1, as errors are drawn |
| sparsification | 1 | RMSE of what is left when the atoms of the largest σ are taken away, ÷ that of all; beside it by the errors themselves (oracle) |
| AUSE | 1 | area between the two curves of sparsification (Ilg et al. 2018): 0 is perfect; of random σ it is the area under 1 less that of the oracle |

All of it judges a model where there are labels. Far from them the deviation of an ensemble that was trained alike may stay small while the error grows.
"""

import math
from dataclasses import dataclass

import numpy as np

from metalff.errors import MetalffError

BINS = 10
"""Of equally many atoms, by σ."""

KS = (1, 2, 3)

RESAMPLES = 200
SEED = 20200124

FEWEST = 30
"""Atoms."""


@dataclass(frozen=True, eq=False)
class Unsure:
    """Attributes: deviation, error: [n,3] eV/Å, of each atom's force; frame: [n] number of its frame."""

    deviation: np.ndarray
    error: np.ndarray
    frame: np.ndarray

    def part(self, chosen) -> "Unsure":
        return Unsure(self.deviation[chosen], self.error[chosen], self.frame[chosen])


@dataclass(frozen=True)
class Bin:
    """Attributes: deviation, rmse: eV/Å, root mean squares of its atoms; atoms."""

    deviation: float
    rmse: float
    atoms: int


@dataclass(frozen=True)
class Calibration:
    """Numbers of the table of this module; intervals are 95 % bootstrap ones over frames, None with a single frame.

    Attributes:
        removed, left, oracle: curves of sparsification, from 0 to 0.99 of the atoms taken away.
        random_area: AUSE of deviations that say nothing.
    """

    frames: int
    atoms: int
    rmse: float
    deviation: float
    scale: float
    scale_interval: tuple[float, float] | None
    spearman: float
    spearman_interval: tuple[float, float] | None
    ence: float
    within: dict[int, float]
    miscalibration: float
    ause: float
    random_area: float
    bins: tuple[Bin, ...]
    removed: tuple[float, ...]
    left: tuple[float, ...]
    oracle: tuple[float, ...]


def per_atom(components) -> np.ndarray:
    """[n] root mean square over the components of [n,3]."""
    return np.sqrt(np.mean(np.asarray(components, float) ** 2, axis=1))


def calibration(unsure: Unsure) -> Calibration:
    """All numbers.

    Raises:
        MetalffError: too few atoms, or all deviations are zero.
    """
    if len(unsure.error) < FEWEST:
        raise MetalffError(f"{len(unsure.error)} atoms are too few to judge deviations by; give at least {FEWEST}")
    if not unsure.deviation.any():
        raise MetalffError("all deviations are zero: the members are the same model")
    sigma, error = per_atom(unsure.deviation), per_atom(unsure.error)
    bins = binned(sigma, error)
    removed, left, oracle = sparsification(sigma, error)
    intervals = _intervals(unsure.frame, sigma, error)
    return Calibration(
        frames=len(np.unique(unsure.frame)),
        atoms=len(error),
        rmse=_rms(error),
        deviation=_rms(sigma),
        scale=_rms(error) / _rms(sigma),
        scale_interval=intervals[0],
        spearman=spearman(sigma, error),
        spearman_interval=intervals[1],
        ence=ence(bins),
        within=within(unsure.deviation, unsure.error),
        miscalibration=miscalibration(unsure.deviation, unsure.error),
        ause=_area(removed, left - oracle),
        random_area=_area(removed, 1 - oracle),
        bins=bins,
        removed=tuple(removed.tolist()),
        left=tuple(left.tolist()),
        oracle=tuple(oracle.tolist()),
    )


def binned(sigma, error, bins: int = BINS) -> tuple[Bin, ...]:
    """Of equally many atoms, from small σ [n] to large, with the errors [n]."""
    order = np.argsort(sigma, kind="stable")
    return tuple(Bin(_rms(sigma[part]), _rms(error[part]), len(part)) for part in np.array_split(order, min(bins, len(order))) if len(part))


def ence(bins) -> float:
    """Expected normalised calibration error of bins whose deviation is not zero."""
    return float(np.mean([abs(one.rmse - one.deviation) / one.deviation for one in bins if one.deviation > 0]))


def within(deviation, error) -> dict[int, float]:
    """k → part of the components with an error of at most k σ."""
    return {k: float(np.mean(np.abs(error) <= k * deviation)) for k in KS}


def miscalibration(deviation, error, points: int = 99) -> float:
    """Area between the part of components within the central interval of Gaussian errors of probability p, and p."""
    expected = (np.arange(points) + 1) / (points + 1)
    from scipy.stats import norm

    limits = norm.ppf((1 + expected) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sort(np.nan_to_num(np.abs(error) / deviation, nan=0.0, posinf=np.inf).ravel())
    observed = np.searchsorted(ratio, limits, side="right") / len(ratio)
    return float(np.mean(np.abs(observed - expected)))


def sparsification(sigma, error, points: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts of the atoms taken away [points]; RMSE of the rest ÷ that of all, when they go by σ, and when they go by their error."""
    sigma, error = np.asarray(sigma, float), np.asarray(error, float)
    removed = np.arange(points) / points
    kept = np.maximum(1, np.round((1 - removed) * len(error)).astype(int))

    def curve(key):
        squares = np.cumsum(error[np.argsort(key, kind="stable")] ** 2)
        return np.sqrt(squares[kept - 1] / kept) / _rms(error)

    return removed, curve(sigma), curve(error)


def spearman(sigma, error) -> float:
    """Rank correlation; NaN where one of the two is constant."""
    from scipy.stats import rankdata

    a, b = rankdata(sigma), rankdata(error)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else math.nan


def _intervals(frame, sigma, error):
    """95 % intervals of the scale and of Spearman's ρ, by drawing frames."""
    labels, place = np.unique(frame, return_inverse=True)
    if len(labels) < 2:
        return None, None
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    draw = np.random.default_rng(SEED)
    scales, ranks = [], []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[k] for k in draw.integers(len(labels), size=len(labels))])
        scales.append(_rms(error[chosen]) / _rms(sigma[chosen]))
        ranks.append(spearman(sigma[chosen], error[chosen]))
    return tuple(tuple(float(value) for value in np.quantile(found, (0.025, 0.975))) for found in (scales, ranks))


def _area(x, y) -> float:
    return float(np.trapezoid(y, x))


def _rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
