"""Rank correlations: against scipy, against what is known exactly, and what is refused."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from metalff.errors import MetalffError
from metalff.study.correlation import FEWEST, correlate, holm, partial


def test_it_is_spearmans():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.normal(size=12)
    y[3] = y[4]  # a tie
    found = correlate(x, y)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.p == pytest.approx(spearmanr(x, y).pvalue, abs=0.03)
    assert found.low < found.rho < found.high


def test_the_p_value_of_a_perfect_order_is_exact():
    found = correlate(np.arange(6.0), np.exp(np.arange(6.0)))
    assert found.rho == pytest.approx(1.0)
    assert found.p == pytest.approx(2 / math.factorial(6))  # growing, and falling


def test_no_correlation_is_significant_as_often_as_it_should_be():
    rng = np.random.default_rng(2)
    p = [correlate(*rng.normal(size=(2, 6))).p for _ in range(60)]
    assert np.mean(np.array(p) <= 0.1) < 0.25


def test_a_common_cause_is_taken_out():
    rng = np.random.default_rng(3)
    cause = np.arange(30.0)
    x, y = cause + 2 * rng.normal(size=30), cause + 2 * rng.normal(size=30)
    assert correlate(x, y).rho > 0.8
    held = partial(x, y, [cause])
    assert abs(held.rho) < 0.4 and held.low < 0 < held.high
    direct = partial(x, x + 0.1 * rng.normal(size=30), [cause])
    assert direct.rho > 0.8 and direct.p < 0.01


def test_a_covariate_that_is_all_of_it_leaves_nothing():
    x = np.arange(8.0)
    assert math.isnan(partial(x, x**2, [x]).rho)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_a_constant_correlates_with_nothing():
    found = correlate(np.ones(6), np.arange(6.0))
    assert math.isnan(found.rho) and found.p == 1.0


def test_too_few_metals_are_refused():
    with pytest.raises(MetalffError, match=f"4 metals are too few.*at least {FEWEST}"):
        correlate(np.arange(4), np.arange(4))
    with pytest.raises(MetalffError, match="with 2 held"):
        partial(np.arange(6), np.arange(6), np.ones((2, 6)))
    with pytest.raises(MetalffError, match="finite"):
        correlate([1, 2, 3, 4, math.nan], np.arange(5))
