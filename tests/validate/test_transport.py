"""Transport coefficients and intervals where they are known beforehand."""

import numpy as np
import pytest

from metalff.errors import MetalffError
from metalff.validate.blocks import interval, mean_interval
from metalff.validate.transport import (
    BOLTZMANN,
    WATT,
    autocovariance,
    conductivity_of_blocks,
    diffusion_of_blocks,
    lost,
    running_integral,
    viscosity_of_blocks,
    yeh_hummer,
)


def test_the_interval_of_a_mean_covers_it():
    draw = np.random.default_rng(1)
    found = [mean_interval(correlated(draw, 1000, 10.0), 5) for _ in range(100)]
    covered = np.mean([low <= 0 <= high for _, low, high in found])
    assert covered >= 0.88
    naive = np.mean([abs(mean) < 1.96 / np.sqrt(1000) for mean, _, _ in found])
    assert naive < 0.6  # what forgets the correlation is wrong


def correlated(draw, length: int, time: float, columns: int = 1) -> np.ndarray:
    """[length,columns] of variance 1 whose autocorrelation is exp(−t/time)."""
    keep = np.exp(-1 / time)
    noise = draw.standard_normal((length, columns))
    series = np.empty((length, columns))
    series[0] = noise[0]
    for k in range(1, length):
        series[k] = keep * series[k - 1] + np.sqrt(1 - keep**2) * noise[k]
    return series if columns > 1 else series[:, 0]


def test_a_random_walk_has_its_diffusion_within_the_interval():
    draw, step, wanted = np.random.default_rng(2), 0.02, 0.4
    covered = []
    for _ in range(12):
        moves = draw.normal(0, np.sqrt(2 * wanted * step), (600, 60, 3))
        positions = np.cumsum(moves, axis=0)
        mean, low, high = interval(diffusion_of_blocks(step * np.arange(600), positions))
        assert mean == pytest.approx(wanted, rel=0.25)
        # the centre of mass that is taken away was 1/60 of the motion
        covered.append(low <= wanted * 59 / 60 <= high)
    assert sum(covered) >= 9


def test_a_harmonic_crystal_does_not_diffuse():
    draw = np.random.default_rng(3)
    positions = draw.normal(0, 0.1, (400, 30, 3))
    mean, low, high = interval(diffusion_of_blocks(0.02 * np.arange(400), positions))
    assert abs(mean) < 2e-3 and low <= 0 <= high


def test_an_exponential_correlation_has_its_integral():
    draw, step, time = np.random.default_rng(4), 0.1, 2.0
    series = correlated(draw, 60_000, time / step, 3)
    correlation = autocovariance(series) / 3
    assert correlation[[0, 20, 40]] == pytest.approx(np.exp([0, -1, -2]), abs=0.06)
    last = lost(correlation)
    assert running_integral(correlation, step)[last] == pytest.approx(time, rel=0.1) and 3 < last * step < 40
    volume, temperature = 1000.0, 300.0
    parts, _ = conductivity_of_blocks(series, step, volume, temperature)
    mean, low, high = interval(parts)
    assert low <= WATT * time / (BOLTZMANN * temperature**2 * volume) <= high


def test_viscosity_of_known_shear_stress():
    """0.5 GPa with a correlation time of 0.3 ps in 3000 Å³ at 1500 K: η = V ⟨p²⟩ τ / kT."""
    draw = np.random.default_rng(5)
    p = 0.5 * correlated(draw, 40_000, 15.0, 6)
    pressure = np.zeros((len(p), 3, 3))
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        pressure[:, i, j] = pressure[:, j, i] = p[:, k]
    # (xx − yy)/2 has the variance of a shear stress when the diagonal has twice that
    for k in range(3):
        pressure[:, k, k] = np.sqrt(2) * p[:, 3 + k]
    parts, _ = viscosity_of_blocks(pressure, 0.02, 3000.0, 1500.0)
    wanted = 3000 / 160.21766 * 0.25 * 0.3 / (BOLTZMANN * 1500)
    mean, low, high = interval(parts)
    assert mean == pytest.approx(wanted, rel=0.15) and low < mean < high


def test_what_is_too_short_is_said():
    slow = correlated(np.random.default_rng(6), 400, 80.0, 3) + 2
    with pytest.raises(MetalffError, match="longer than a block of the run; run longer"):
        conductivity_of_blocks(slow, 0.1, 1000.0, 300.0)


def test_a_cell_takes_what_yeh_and_hummer_say():
    """k 1500 K ÷ (6π · 3 mPa s · 15 Å) × 2.837, in SI."""
    wanted = 2.837297 * 1.380649e-23 * 1500 / (6 * np.pi * 3e-3 * 15e-10) * 1e8
    assert yeh_hummer(1500, 3.0, 15.0) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(MetalffError, match="viscosity is not positive"):
        yeh_hummer(1500, -1.0, 15.0)
