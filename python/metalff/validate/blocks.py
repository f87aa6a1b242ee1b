"""Means of correlated series with their 95 % intervals, by blocks: pure functions on arrays.

Frames of a trajectory are correlated, so that σ/√n is too small. Means of blocks that are longer than the correlation are not, and Student's t of so
few blocks gives the interval (Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989)). It misleads where the blocks are shorter than what moves slowly: the
interface of a coexistence, the volume of a cell under a barostat.
"""

import numpy as np

from metalff.errors import MetalffError

BLOCKS = 5
LEVEL = 0.95


def interval(values) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval, of independent values.

    Raises:
        MetalffError: fewer than two values.
    """
    from scipy.stats import t as student

    values = np.asarray(values, float)
    if len(values) < 2:
        raise MetalffError("an interval needs at least two blocks; run longer or look more often")
    half = float(student.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean, mean - half, mean + half


def block_means(series, blocks: int = BLOCKS) -> np.ndarray:
    """[blocks] means of consecutive parts of a series [n, …]."""
    return np.array([part.mean(axis=0) for part in np.array_split(np.asarray(series, float), blocks) if len(part)])


def mean_interval(series, blocks: int = BLOCKS) -> tuple[float, float, float]:
    """Mean of a correlated series, and the ends of its 95 % interval."""
    return interval(block_means(series, blocks))
