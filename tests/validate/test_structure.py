"""Structure and transport against what is known exactly."""

import numpy as np
import pytest
from ase.build import bulk

from metalff.errors import MetalffError
from metalff.validate.structure import (
    density,
    diffusion_coefficient,
    mean_squared_displacement,
    mean_volume,
    radial_distribution,
    thermal_expansion,
)


def test_rdf_of_fcc_has_its_shells():
    """Shells at a/√2, a, a√1.5 with 12, 6, 24 atoms: integrals of 4πρ r² g(r)."""
    atoms = bulk("Cu", "fcc", 3.6, cubic=True).repeat(4)
    atoms.rattle(0.01, seed=1)
    r, g = radial_distribution(atoms.positions[None], atoms.cell.array[None], bins=400)
    shells = 4 * np.pi * len(atoms) / atoms.get_volume() * r**2 * g * (r[1] - r[0])
    for distance, number in ((3.6 / 2**0.5, 12), (3.6, 6), (3.6 * 1.5**0.5, 24)):
        assert shells[abs(r - distance) < 0.2].sum() == pytest.approx(number, rel=0.01)


def test_rdf_of_an_ideal_gas_is_one():
    rng = np.random.default_rng(0)
    cell = np.array([[12.0, 0, 0], [2, 12, 0], [1, -2, 12]])
    positions = rng.random((40, 500, 3)) @ cell
    r, g = radial_distribution(positions + 5 * cell[0], np.tile(cell, (40, 1, 1)), bins=20, r_max=5.0)
    assert r[-1] < 5.0
    np.testing.assert_allclose(g[5:], 1, atol=0.03)


def test_rdf_stays_within_half_the_cell():
    atoms = bulk("Cu", "fcc", 3.6, cubic=True).repeat(2)
    r, _ = radial_distribution(atoms.positions[None], atoms.cell.array[None])
    assert r[-1] < 3.6


def test_msd_equals_the_definition():
    rng = np.random.default_rng(3)
    positions = rng.normal(size=(30, 7, 3)).cumsum(axis=0)
    relative = positions - positions.mean(axis=1, keepdims=True)
    expected = [((relative[m:] - relative[: len(relative) - m]) ** 2).sum(axis=2).mean() for m in range(30)]
    np.testing.assert_allclose(mean_squared_displacement(positions), expected, rtol=1e-4, atol=1e-4)


def test_msd_ignores_the_motion_of_the_whole():
    positions = np.zeros((10, 4, 3)) + np.arange(10)[:, None, None]
    np.testing.assert_allclose(mean_squared_displacement(positions), 0, atol=1e-6)


def test_diffusion_of_a_random_walk():
    """⟨Δr²⟩ = 6 D t: steps of variance 2 D dt in each direction."""
    rng = np.random.default_rng(5)
    coefficient, dt = 0.3, 0.1
    positions = rng.normal(scale=(2 * coefficient * dt) ** 0.5, size=(400, 400, 3)).cumsum(axis=0)
    msd = mean_squared_displacement(positions)
    assert diffusion_coefficient(np.arange(400) * dt, msd) == pytest.approx(coefficient, rel=0.05)


def test_volume_density_expansion():
    assert mean_volume([99, 99, 10, 14], 4) == 3.0
    assert density(11.81, 63.546) == pytest.approx(8.935, abs=1e-3)
    temperature = np.array([300.0, 600.0, 900.0])
    assert thermal_expansion(temperature, 11.8 * np.exp(3 * 17e-6 * temperature)) == pytest.approx(17e-6)


def test_refusals():
    with pytest.raises(MetalffError, match="at least two temperatures"):
        thermal_expansion([300.0, 300.0], [11.8, 11.8])
    with pytest.raises(MetalffError, match="too few frames for a diffusion coefficient"):
        diffusion_coefficient([0.0, 1.0], [0.0, 1.0])
