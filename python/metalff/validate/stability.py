"""Whether a run stayed physical, and how well NVE conserves its energy: pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

from metalff.errors import MetalffError

HOTTEST = 2.0
"""A run is unstable above this multiple of the thermostat's temperature (fluctuations: 1 ± a few √(2/3N))."""

CLOSEST = 0.6
"""A run is unstable when two atoms come closer than this fraction of the nearest-neighbour distance at the start."""


BLOCKS = 6
"""Blocks of the NVE stage for the error of its slope."""


@dataclass(frozen=True)
class Drift:
    """Conservation of the total energy in NVE.

    Attributes:
        slope: eV/atom/ns, by least squares.
        slope_error: eV/atom/ns, standard error of the slope through the means of ``BLOCKS`` blocks, so that a ripple shorter
            than a block does not pass for a drift; None with too few rows.
        max_deviation: eV/atom, largest |E(t) − E(0)| / N.
        duration_ps: length of the stage.
    """

    slope: float
    slope_error: float | None
    max_deviation: float
    duration_ps: float


def energy_drift(time_ps, total_energy, atoms: int) -> Drift:
    """Drift of the total energy.

    Args:
        time_ps: [n] ps, of the NVE stage.
        total_energy: [n] eV.
        atoms: in the cell.
    Raises:
        MetalffError: fewer than two rows.
    """
    time_ps, energy = np.asarray(time_ps, float), np.asarray(total_energy, float) / atoms
    if len(energy) < 2:
        raise MetalffError("the NVE stage has fewer than two thermo rows; give it more steps")
    elapsed = time_ps - time_ps[0]
    change = energy - energy[0]
    slope = float(np.polyfit(elapsed, change, 1)[0] * 1000)
    return Drift(slope, _slope_error(elapsed, change), float(np.abs(change).max()), float(elapsed[-1]))


def _slope_error(elapsed, change) -> float | None:
    if len(elapsed) < 2 * BLOCKS:
        return None
    x, y = (np.array([part.mean() for part in np.array_split(values, BLOCKS)]) for values in (elapsed, change))
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt((residual**2).sum() / (BLOCKS - 2) / ((x - x.mean()) ** 2).sum()) * 1000)


def shortest_distance(positions, cell) -> np.ndarray:
    """Distance of the closest pair in each frame.

    Args:
        positions: [F,N,3] Å, wrapped or not.
        cell: [F,3,3] Å, lower triangular rows.
    Returns:
        [F] Å.
    """
    import freud

    shortest = []
    for matrix, frame in zip(cell, positions, strict=True):
        box = freud.box.Box.from_matrix(matrix.T)
        points = box.wrap(frame)
        query = freud.locality.AABBQuery(box, points).query(points, {"num_neighbors": 1, "exclude_ii": True})
        shortest.append(float(np.min(query.toNeighborList().distances)))
    return np.array(shortest)


def instability(temperature, target: float, atoms, expected_atoms: int, distance, neighbour_distance: float) -> str:
    """Why a run counts as failed, in a few words, or '' when it is stable.

    Args:
        temperature: [n] K, measured, after the start.
        target: K, of the thermostat.
        atoms: atoms in the last frame.
        expected_atoms: atoms at the start.
        distance: [F] Å, shortest distance in each frame (see ``shortest_distance``).
        neighbour_distance: Å, between nearest neighbours of the crystal.
    """
    temperature, distance = np.asarray(temperature, float), np.asarray(distance, float)
    if not (np.isfinite(temperature).all() and np.isfinite(distance).all()):
        return "numbers are not finite"
    if atoms != expected_atoms:
        return f"{expected_atoms - atoms} of {expected_atoms} atoms are lost"
    if temperature.max() > HOTTEST * target:
        return f"the temperature reached {temperature.max():.0f} K"
    if distance.min() < CLOSEST * neighbour_distance:
        return f"two atoms came as close as {distance.min():.2f} Å"
    return ""
