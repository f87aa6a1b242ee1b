"""Drift of a known line; each reason for which a run counts as failed."""

import numpy as np
import pytest
from ase.build import bulk

from metalff.errors import MetalffError
from metalff.validate.stability import energy_drift, instability, shortest_distance


def test_drift_of_a_line():
    """0.02 eV/ns for 10 atoms with a ripple of 1e-4 eV: 0.002 eV/atom/ns."""
    time = np.linspace(5, 15, 1001)
    drift = energy_drift(time, -370 + 2e-5 * (time - 5) + 1e-4 * np.sin(50 * (time - 5)), 10)
    assert drift.slope == pytest.approx(0.002, rel=0.05)
    assert drift.slope_error < 0.0002
    assert drift.duration_ps == pytest.approx(10)
    assert 2e-5 < drift.max_deviation < 3.1e-5


def test_the_error_of_the_slope_is_that_of_a_noisy_line():
    """With white noise σ on n rows over a length L the slope scatters by σ √(12/n) / L."""
    rng = np.random.default_rng(2)
    time, sigma = np.linspace(0, 10, 600), 1e-5
    drifts = [energy_drift(time, rng.normal(scale=sigma, size=600), 1) for _ in range(300)]
    expected = sigma * (12 / 600) ** 0.5 / 10 * 1000
    assert np.std([drift.slope for drift in drifts]) == pytest.approx(expected, rel=0.15)
    assert np.mean([drift.slope_error for drift in drifts]) == pytest.approx(expected, rel=0.15)
    assert energy_drift([0.0, 1.0], [0.0, 1e-6], 1).slope_error is None


def test_drift_needs_rows():
    with pytest.raises(MetalffError, match="fewer than two thermo rows"):
        energy_drift([0.0], [-1.0], 4)


def test_shortest_distance():
    """Also across the boundary, and in unwrapped positions."""
    atoms = bulk("Cu", "fcc", 3.6, cubic=True).repeat(2)
    frames = np.array([atoms.positions, atoms.positions, atoms.positions + 7 * atoms.cell.array[0]])
    frames[1, 0] = atoms.positions[0] - [0.5, 0, 0]
    cell = np.tile(atoms.cell.array, (3, 1, 1))
    usual = 3.6 / 2**0.5
    nearest = np.linalg.norm([1.8 - 0.5, 1.8])
    np.testing.assert_allclose(shortest_distance(frames, cell), [usual, nearest, usual], rtol=1e-5)


STABLE = {
    "temperature": [590, 640],
    "target": 600,
    "atoms": 32,
    "expected_atoms": 32,
    "distance": [2.2, 2.1],
    "neighbour_distance": 2.55,
}

CASES = [
    ({}, ""),
    ({"temperature": [590, 1300]}, "the temperature reached 1300 K"),
    ({"temperature": [590, np.nan]}, "numbers are not finite"),
    ({"atoms": 31}, "1 of 32 atoms are lost"),
    ({"distance": [2.2, 1.1]}, "two atoms came as close as 1.10 Å"),
]


@pytest.mark.parametrize("changes, reason", CASES)
def test_instability(changes, reason):
    assert instability(**{**STABLE, **changes}) == reason
