"""Roughness of curves whose answer is known."""

import numpy as np
import pytest

from metalff.fermi.roughness import FLOOR, compare, mirrored, occupied_change, residual, roughness

X = np.linspace(-0.3, 0.3, 21)
MEV = 1e-3


def test_a_polynomial_is_smooth():
    found = roughness(X, 3 - 2 * X + 5 * X**2 + X**3 - 40 * X**6)
    assert found.residual < 1e-9
    assert found.step == pytest.approx(0.03)
    assert roughness(X, X**7).residual > 1e-3


def test_third_differences_of_a_cubic_are_its_third_derivative():
    for points in (21, 41):
        x = np.linspace(-0.3, 0.3, points)
        found = roughness(x, 0.7 * x**3)
        assert found.third_difference == pytest.approx(1e3 * 6 * 0.7 * found.step**3 / np.sqrt(20))


def test_a_kink_and_a_step_at_a_point_of_the_path():
    slope, height, pieces = 0.02, 0.005, len(X) - 3
    kink = roughness(X, slope * np.abs(X)).third_difference
    assert kink == pytest.approx(1e3 * 2 * slope * 0.03 * np.sqrt(2 / pieces / 20))
    step = roughness(X, height * (X > 0.01)).third_difference
    assert step == pytest.approx(1e3 * height * np.sqrt(6 / pieces / 20))


def test_noise_is_found_by_both_numbers():
    random = np.random.default_rng(1)
    x = np.linspace(-1, 1, 401)
    smooth = 0.2 * x**2 - 0.05 * x**3
    found = [roughness(x, smooth + random.normal(0, 0.3 * MEV, len(x))) for _ in range(20)]
    assert np.mean([one.residual for one in found]) == pytest.approx(0.3, rel=0.02)
    assert np.mean([one.third_difference for one in found]) == pytest.approx(0.3, rel=0.02)


def test_the_degrees_of_freedom_count_on_a_short_path():
    random = np.random.default_rng(2)
    squares = [roughness(X, random.normal(0, 0.3 * MEV, len(X))).residual ** 2 for _ in range(400)]
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.3, rel=0.03)


def test_the_residual_does_not_depend_on_the_step():
    def lifshitz(x):
        return 0.1 * x**2 - 0.5 * np.maximum(x - 0.05, 0) ** 2.5

    coarse, fine = (roughness(x, lifshitz(x)) for x in (np.linspace(-0.3, 0.3, 41), np.linspace(-0.3, 0.3, 401)))
    assert coarse.residual == pytest.approx(fine.residual, rel=0.15)
    assert fine.third_difference < 0.1 * coarse.third_difference


def test_a_lifshitz_cusp_leaves_what_the_projection_on_polynomials_says():
    """(x)₊^{5/2} on −1 … 1: the norm of what is left is computed by integrals, independent of the fit."""
    from scipy.integrate import quad
    from scipy.special import eval_legendre

    inside = sum((2 * n + 1) / 2 * quad(lambda x, n=n: x**2.5 * eval_legendre(n, x), 0, 1)[0] ** 2 for n in range(7))
    expected = np.sqrt((1 / 6 - inside) / 2)
    x = np.linspace(-1, 1, 4001)
    assert roughness(x, np.maximum(x, 0) ** 2.5).residual == pytest.approx(1e3 * expected, rel=0.01)


def test_relative_is_the_same_in_any_unit_and_on_any_slope():
    curve = 0.2 * X**2 + 1e-4 * np.cos(90 * X)
    found = roughness(X, curve)
    assert found.curved == pytest.approx(1e3 * 0.2 * 0.3**2, rel=0.03)
    assert found.relative == pytest.approx(roughness(X, 7 * curve).relative)
    assert found.relative == pytest.approx(roughness(X, curve + 3 * X - 5).relative)
    assert np.isnan(roughness(X, 0 * X).relative)


def test_two_meshes_that_agree_and_two_that_do_not():
    random = np.random.default_rng(3)
    physics = 0.2 * X**2 + 2 * MEV * np.cos(90 * X)
    noise = random.normal(0, 1, (2, len(X)))
    good = compare(X, physics + 0.1 * MEV * noise[0], physics + 0.1 * MEV * noise[1] + 0.4)
    assert good.converged and good.mesh_error == pytest.approx(0.14, abs=0.05)
    bad = compare(X, physics + 2 * MEV * noise[0], physics + 2 * MEV * noise[1])
    assert not bad.converged and bad.mesh_error == pytest.approx(2.8, abs=1)
    flat = compare(X, 0.2 * X**2 + 0.2 * FLOOR * MEV * noise[0], 0.2 * X**2)
    assert flat.converged and flat.mesh_error > flat.roughness.residual / 3


def test_half_of_an_even_path():
    half = X[10:]
    x, energy = mirrored(half, np.cos(9 * half))
    np.testing.assert_allclose(x, X, atol=1e-15)
    np.testing.assert_allclose(energy, np.cos(9 * X))
    assert residual(x, energy).sum() == pytest.approx(0, abs=1e-12)


def test_occupied_region_that_moves():
    """A band filled up to a level that crosses two of eight k-points in three steps."""
    levels = np.arange(8.0)
    occupations = [(levels < top).astype(float)[:, None] for top in (4, 5, 5, 6)]
    np.testing.assert_allclose(occupied_change(np.full(8, 2 / 8), occupations, 0.1), [2.5, 0, 2.5])


@pytest.mark.parametrize(
    "parameter, energy, sentence",
    [
        (X[:8], X[:8], "too few"),
        (X**3, X, "equal steps"),
        (X[::-1], X, "rises"),
        (X, X[:-1], "one length"),
        (X, np.where(X > 0.2, np.nan, X), "not finite"),
    ],
)
def test_paths_that_are_none(parameter, energy, sentence):
    with pytest.raises(ValueError, match=sentence):
        roughness(parameter, energy)
