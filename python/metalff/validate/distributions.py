"""Distributions that molecular dynamics of two potentials can be told apart by: pure functions on arrays.

| quantity | unit | what it measures, and where it misleads |
|---|---|---|
| force components | eV/Å | shape of the potential along its own trajectory: a soft model looks better than its errors |
| displacement | Å | from the mean position of each atom; in a liquid, or where atoms change places, it says nothing |
| bond angle | degree | of two neighbours within the first minimum of g(r); 60° and multiples in close-packed crystals |

The distance of two distributions is that of Wasserstein (mean distance by which one is moved to become the other) where both are samples, and half the
integral of the absolute difference (0: equal, 1: apart) where both are histograms of angles.
"""

import numpy as np

from metalff.errors import MetalffError

ANGLE_BINS = 90
"""Over 0 to 180 degrees."""


def unwrapped(positions, cell) -> np.ndarray:
    """Positions [F,N,3] (Å) without jumps across the cell: an atom moves less than half of it between frames.

    Args:
        cell: [F,3,3] Å.
    """
    fractional = np.einsum("fni,fij->fnj", positions, np.linalg.inv(cell))
    jumps = np.round(np.diff(fractional, axis=0))
    fractional[1:] -= np.cumsum(jumps, axis=0)
    return np.einsum("fni,fij->fnj", fractional, cell)


def displacements(positions) -> np.ndarray:
    """[F,N] Å: distances of the atoms from their mean positions, without the motion of the whole.

    Args:
        positions: [F,N,3] Å, unwrapped.
    """
    relative = positions - positions.mean(axis=1, keepdims=True)
    return np.linalg.norm(relative - relative.mean(axis=0), axis=2)


def first_minimum(r, g) -> float:
    """Distance (Å) of the first minimum of g(r) behind its first peak, smoothed over five bins: up to here two atoms are neighbours.

    Raises:
        MetalffError: there is none.
    """
    smooth = np.convolve(g, np.ones(5) / 5, mode="same")
    peak = int(np.argmax(smooth))
    behind = np.flatnonzero((smooth[peak + 1 : -1] <= smooth[peak:-2]) & (smooth[peak + 1 : -1] < smooth[peak + 2 :]))
    if not len(behind) or g[peak] <= 0:
        raise MetalffError("g(r) has no minimum behind its first peak: the cell is too small, or there is no condensed phase")
    return float(r[peak + 1 + behind[0]])


def bond_angles(positions, cell, r_max: float, bins: int = ANGLE_BINS):
    """Distribution of the angles between two neighbours of an atom.

    Args:
        positions: [F,N,3] Å.
        cell: [F,3,3] Å.
        r_max: Å, within which atoms are neighbours.
    Returns:
        angle[bins] in degrees (centres), density[bins] per degree; zero where no atom has two neighbours.
    """
    import freud

    edges = np.linspace(0, 180, bins + 1)
    counts = np.zeros(bins)
    for points, matrix in zip(positions, cell, strict=True):
        box = freud.box.Box.from_matrix(np.asarray(matrix, float).T)
        points = box.wrap(points)
        near = freud.locality.AABBQuery(box, points).query(points, {"r_max": r_max, "exclude_ii": True}).toNeighborList()
        vectors = box.wrap(points[near.point_indices] - points[near.query_point_indices])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for own in np.split(vectors, np.flatnonzero(np.diff(near.query_point_indices)) + 1):
            upper = np.triu_indices(len(own), 1)
            counts += np.histogram(np.degrees(np.arccos(np.clip((own @ own.T)[upper], -1, 1))), edges)[0]
    total = counts.sum()
    return (edges[:-1] + edges[1:]) / 2, counts / total / (edges[1] - edges[0]) if total else counts


def wasserstein(a, b, limit: int = 200_000) -> float:
    """Wasserstein distance of two samples, in their unit; of larger ones, evenly spaced values."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(*(np.ravel(v)[:: -(-np.size(v) // limit)] for v in (a, b))))


def variation(p, q, width: float) -> float:
    """Half the integral of |p − q|, for densities on the same bins of this width: 0 to 1."""
    return float(np.sum(np.abs(np.asarray(p) - np.asarray(q))) * width / 2)
