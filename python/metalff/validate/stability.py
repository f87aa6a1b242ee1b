"""Whether a run stayed physical, and how well NVE conserves its energy: pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

from metalff.errors import MetalffError

HOTTEST = 2.0
"""A run is unstable above this multiple of the thermostat's temperature (fluctuations: 1 ± a few √(2/3N))."""

CLOSEST = 0.6
"""A run is unstable when two atoms come closer than this fraction of the nearest-neighbour distance at the start."""


@dataclass(frozen=True)
class Drift:
    """Conservation of the total energy in NVE.

    Attributes:
        slope: eV/atom/ns, by least squares.
        max_deviation: eV/atom, largest |E(t) − E(0)| / N.
        duration_ps: length of the stage.
    """

    slope: float
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
    return Drift(float(np.polyfit(elapsed, change, 1)[0] * 1000), float(np.abs(change).max()), float(elapsed[-1]))


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
