"""Metrics on arrays made by hand, where every answer is known."""

import numpy as np
import pytest

from metalff.validate import metrics as of_frames
from metalff.validate.metrics import bootstrap_indices, bootstrap_sums, energy_offset, estimate, metrics

RNG = np.random.default_rng(1)
SIZES = (3, 5, 2, 4)
FORCES = [RNG.normal(size=(n, 3)) for n in SIZES]
ENERGY = np.array([-3.0, -5.2, -1.9, -4.4])
STRESS = [np.eye(3), None, 2 * np.eye(3), np.zeros((3, 3))]
NONE = np.zeros(4)


def test_a_perfect_prediction():
    result = metrics(ENERGY, ENERGY, FORCES, FORCES, STRESS, STRESS, NONE)
    for name in ("force_rmse", "force_mae", "force_rmse_normalised", "energy_rmse", "energy_mae", "stress_rmse"):
        assert getattr(result, name).value == 0 == getattr(result, name).high
    assert (result.frames, result.atoms, result.stress_frames) == (4, 14, 3)


def test_predicting_zero_is_a_normalised_error_of_one():
    zero = [np.zeros_like(f) for f in FORCES]
    result = metrics(ENERGY, ENERGY, FORCES, zero, STRESS, STRESS, NONE)
    assert result.force_rmse_normalised.value == pytest.approx(1)
    assert result.force_rmse.value == pytest.approx(result.force_rms_reference)
    assert result.force_rms_reference == pytest.approx(np.sqrt(np.mean(np.concatenate(FORCES) ** 2)))


def test_constant_errors():
    forces = [f + 0.1 for f in FORCES]
    energy = ENERGY + 0.02 * np.array(SIZES)
    stress = [None if s is None else s + 0.003 for s in STRESS]
    result = metrics(ENERGY, energy, FORCES, forces, STRESS, stress, -0.02 * np.array(SIZES))
    assert result.force_rmse.value == pytest.approx(0.1) == result.force_mae.value
    assert result.energy_rmse.value == pytest.approx(0.02) == result.energy_mae.value
    assert result.energy_rmse_offset.value == pytest.approx(0, abs=1e-12)
    assert result.stress_rmse.value == pytest.approx(0.003)


def test_one_frame_has_no_interval_and_no_reference_stress_no_value():
    result = metrics(ENERGY[:1], ENERGY[:1] + 1, FORCES[:1], FORCES[:1], [None], [None], NONE[:1])
    assert result.energy_rmse.value == pytest.approx(1 / 3)
    assert result.energy_rmse.low is None and result.stress_rmse is None


def test_no_forces_no_normalised_error():
    zero = [np.zeros((3, 3))]
    assert metrics(ENERGY[:1], ENERGY[:1], zero, zero, [None], [None], NONE[:1]).force_rmse_normalised is None


def test_offset_per_element_is_recovered():
    counts = np.array([[3, 0], [2, 3], [0, 2], [1, 3]])
    predicted = ENERGY - counts @ [0.7, -1.3]
    assert energy_offset(ENERGY, predicted, counts) == pytest.approx([0.7, -1.3])


def test_offset_of_a_fixed_composition_is_the_mean_error():
    counts = np.full((4, 1), 8)
    predicted = ENERGY - np.array([1.0, 2.0, 3.0, 4.0])
    assert energy_offset(ENERGY, predicted, counts) == pytest.approx([2.5 / 8])


@pytest.mark.parametrize("frames, block", [(31, None), (31, 5), (7, 7), (5, 20), (1, None)])
def test_bootstrap_keeps_blocks_together(frames, block):
    indices = bootstrap_indices(frames, block)
    assert indices.shape == (1000, frames) and indices.min() >= 0 and indices.max() < frames
    length = block or round(frames ** (1 / 3))
    steps = np.diff(indices) % frames
    inside = [k for k in range(frames - 1) if (k + 1) % length]
    assert (steps[:, inside] == 1 % frames).all()
    assert np.array_equal(indices, bootstrap_indices(frames, block))


def test_blocks_never_join_trajectories():
    """Interleaved as in a file: every resample has each trajectory's number of frames, in blocks of its own consecutive frames."""
    labels = np.array([0, 1, 0, 1, 0, 2, 1, 0, 3, 0, 1, 0, 0])
    indices = bootstrap_indices(labels, 3)
    assert indices.shape == (1000, 13)
    for label, count in ((0, 7), (1, 4)):
        own = np.flatnonzero(labels == label)
        drawn = indices[np.isin(indices, own)].reshape(1000, count)
        place = np.searchsorted(own, drawn)
        inside = [k for k in range(count - 1) if (k + 1) % 3]
        assert (np.diff(place)[:, inside] % count == 1).all()
        assert len(np.unique(place)) == count
    alone = indices[np.isin(indices, [5, 8])].reshape(1000, 2)  # one frame each: drawn from together
    assert {tuple(pair) for pair in alone.tolist()} == {(5, 5), (5, 8), (8, 5), (8, 8)}


def test_the_mix_of_trajectories_does_not_widen_the_interval():
    """Cold and hot frames, each of one error: which of them are drawn is no source of uncertainty."""
    square, labels = np.repeat([1.0, 100.0], 20), np.repeat([0, 1], 20)
    inside, across = (estimate(square, np.ones(40), bootstrap_indices(t, 1)) for t in (labels, 40))
    assert inside.low == inside.value == inside.high and across.high - across.low > 10


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """95% intervals of the mean of 60 independent numbers, 200 times: between 85% and 99% hold the truth."""
    values = np.random.default_rng(3).exponential(size=(200, 60))
    indices = bootstrap_indices(60, 1)
    intervals = [estimate(row, np.ones(60), indices) for row in values]
    assert 0.85 < np.mean([e.low <= 1 <= e.high for e in intervals]) < 0.99


def test_blocks_widen_the_interval_of_correlated_frames():
    walk = np.repeat(np.random.default_rng(4).normal(size=20), 10) ** 2
    widths = []
    for block in (1, 10):
        found = estimate(walk, np.ones(200), bootstrap_indices(200, block))
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("block", [None, 1, 4, 50])
@pytest.mark.parametrize("at_once", [10**7, 60])
def test_sums_of_blocks_are_those_of_the_frames_drawn(block, at_once, monkeypatch):
    """Of trajectories of several lengths, one of a single frame, whatever is in memory at a time."""
    rng = np.random.default_rng(5)
    labels = np.array([0] * 11 + [1] * 2 + [2] + [3] * 20 + [4])[rng.permutation(35)]
    columns = rng.normal(size=(3, 35))
    expected = columns[:, bootstrap_indices(labels, block)].sum(axis=2)
    monkeypatch.setattr(of_frames, "AT_ONCE", at_once)
    assert bootstrap_sums(columns, labels, block) == pytest.approx(expected, rel=1e-11, abs=1e-12)
    assert np.array_equal(expected, columns[:, bootstrap_indices(labels, block)].sum(axis=2))
