"""Solid or liquid, by the bonds of each atom; and how long forces stay correlated."""

import numpy as np

BOND = 0.7
"""Normalised q6·q6 above which the bond of two neighbours counts as solid-like (Rein ten Wolde, Ruiz-Montero, Frenkel, J. Chem. Phys. 104, 9932 (1996))."""

SHARE = 0.5
"""Part of an atom's bonds that must be solid-like for the atom to be, and part of the atoms for the cell to be."""

NEIGHBOURS = {"fcc": 12, "hcp": 12, "bcc": 14}

UNCORRELATED = 0.1
"""Frames are so far apart that the autocorrelation of forces has fallen below this for good."""

SPACING_PS = (0.02, 0.5)
"""Shortest and longest distance of frames, ps."""


def solid_fraction(positions, cell, crystal: str) -> float:
    """Part of the atoms that are solid-like, from 0 (liquid) to 1; arguments as those of ``solid_atoms``."""
    return float(np.mean(solid_atoms(positions, cell, crystal)))


def solid_atoms(positions, cell, crystal: str) -> np.ndarray:
    """[N] whether each atom is solid-like.

    Args:
        positions: [N,3] Å.
        cell: [3,3] Å.
        crystal: fcc, bcc or hcp; says how many neighbours count.
    """
    import freud

    count = NEIGHBOURS[crystal]
    box = freud.box.Box.from_matrix(np.asarray(cell, float).T)
    points = np.asarray(positions, float) - np.asarray(cell, float).sum(axis=0) / 2
    order = freud.order.SolidLiquid(l=6, q_threshold=BOND, solid_threshold=round(SHARE * count))
    order.compute((box, box.wrap(points)), neighbors={"num_neighbors": count})
    return np.asarray(order.num_connections) >= SHARE * count


def phase(fractions) -> str:
    """``solid`` or ``liquid``, by the mean solid fraction of frames."""
    return "solid" if np.mean(fractions) >= SHARE else "liquid"


def autocorrelation(forces) -> np.ndarray:
    """[T] normalised autocorrelation of forces at lags 0, 1, …, over all atoms and components.

    Args:
        forces: [T,N,3], equally spaced in time.
    """
    series = np.asarray(forces, float).reshape(len(forces), -1)
    series = series - series.mean(axis=0)
    length = len(series)
    spectrum = np.fft.rfft(series, 2 * length, axis=0)
    sums = np.fft.irfft((abs(spectrum) ** 2).sum(axis=1), 2 * length)[:length]
    found = sums / np.arange(length, 0, -1)
    return found / found[0] if found[0] else np.ones(length)


def decorrelation(correlation, step_ps: float) -> float:
    """Time (ps) from which on the magnitude of the autocorrelation stays below ``UNCORRELATED`` in the first half of its lags, within ``SPACING_PS``."""
    half = np.abs(correlation[: max(2, len(correlation) // 2)])
    above = np.flatnonzero(half >= UNCORRELATED)
    return float(np.clip((above[-1] + 1) * step_ps, *SPACING_PS))
