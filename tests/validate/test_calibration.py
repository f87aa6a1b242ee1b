"""Deviations against errors, where the truth is drawn."""

import json

import numpy as np
import pytest

from campaigns import Given
from metalff.data import Dataset, Frame
from metalff.errors import MetalffError
from metalff.validate.calibration import Unsure, binned, calibration, ence, miscalibration, sparsification, spearman, within
from metalff.validate.compare import compare
from metalff.validate.reference import reference_of
from metalff.validate.uncertainty import Deviations, by_temperature


def drawn(factor: float, count: int = 6000, seed: int = 2) -> Unsure:
    """Gaussian errors ``factor`` times as large as the deviations say."""
    draw = np.random.default_rng(seed)
    sigma = np.repeat(draw.lognormal(-3, 0.5, count)[:, None], 3, axis=1)
    return Unsure(sigma, factor * sigma * draw.standard_normal((count, 3)), np.arange(count) // 100)


def test_what_is_calibrated_is_found_so():
    found = calibration(drawn(1.0))
    assert found.scale == pytest.approx(1, abs=0.04) and found.scale_interval[0] < 1 < found.scale_interval[1]
    assert [found.within[k] for k in (1, 2, 3)] == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)
    assert found.ence < 0.06 and found.miscalibration < 0.01
    assert all(one.rmse == pytest.approx(one.deviation, rel=0.15) for one in found.bins)
    assert found.spearman > 0.6 and found.ause < 0.6 * found.random_area


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_overconfidence_by_two_is_two(factor):
    found = calibration(drawn(factor))
    assert found.scale == pytest.approx(factor, rel=0.05)
    assert found.ence == pytest.approx(abs(factor - 1), abs=0.08)
    assert found.within[1] == pytest.approx({2.0: 0.3829, 0.5: 0.9545}[factor], abs=0.01)
    assert found.spearman == pytest.approx(calibration(drawn(1.0)).spearman)  # blind to the scale


def test_the_interval_of_the_scale_covers_the_truth():
    covered = [low <= 1 <= high for low, high in (calibration(drawn(1.0, 1000, seed)).scale_interval for seed in range(16))]
    assert sum(covered) >= 12


def test_deviations_that_say_nothing():
    told = drawn(1.0)
    shuffled = Unsure(np.random.default_rng(2).permutation(told.deviation), told.error, told.frame)
    found = calibration(shuffled)
    assert abs(found.spearman) < 0.05 and found.ause == pytest.approx(found.random_area, rel=0.1)


def test_sparsification_by_hand():
    removed, left, oracle = sparsification(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 1, 2]), points=4)
    whole = np.sqrt(10 / 4)
    assert removed == pytest.approx([0, 0.25, 0.5, 0.75])
    assert left * whole == pytest.approx(np.sqrt([10 / 4, 6 / 3, 5 / 2, 4]))
    assert oracle * whole == pytest.approx(np.sqrt([10 / 4, 6 / 3, 1, 1]))


def test_numbers_by_hand():
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert ence(binned(np.full(40, 0.1), np.full(40, 0.3))) == pytest.approx(2)
    assert within(np.ones((2, 3)), np.array([[0.5, 1.5, 2.5], [0.5, 3.5, -0.5]])) == pytest.approx({1: 3 / 6, 2: 4 / 6, 3: 5 / 6})
    assert miscalibration(np.ones((50, 3)), np.zeros((50, 3))) == pytest.approx(0.5)


def test_bad_input_is_one_sentence():
    few = drawn(1.0, 10)
    with pytest.raises(MetalffError, match="10 atoms are too few"):
        calibration(few)
    with pytest.raises(MetalffError, match="the members are the same model"):
        calibration(Unsure(np.zeros((40, 3)), np.ones((40, 3)), np.zeros(40, int)))


def test_temperatures_apart_and_still_frames_left_out():
    draw = np.random.default_rng(3)
    frames, said = [], ({}, {})
    for temperature, width in ((300.0, 0.01), (900.0, 0.1), (None, 0.01)):
        for index in range(4):
            forces, positions = draw.normal(0, 1, (32, 3)) if temperature else np.zeros((32, 3)), draw.normal(0, 9, (32, 3))
            frame = Frame(np.full(32, 29), positions, 20 * np.eye(3), np.ones(3, bool), 0.0, forces, None, temperature, "", "drawn", index)
            frames.append(frame)
            for member in said:
                member[positions.tobytes()] = 0.0, forces + draw.normal(0, width, (32, 3)), np.zeros((3, 3))
    dataset = Dataset("drawn", tuple(frames))
    reference = reference_of(dataset)
    keep = Deviations(reference, committee=False)
    compare([Given(member, name, {}) for name, member in zip("ab", said)], dataset, reference=reference, keep=keep)
    found = by_temperature(keep.unsure, reference)
    assert list(found) == ["all", "300 K", "900 K"] and found["all"].frames == 8
    # of two members the mean is off by as much as each is from it: ratio one
    assert [found[f"{t} K"].rmse for t in (300, 900)] == pytest.approx([0.01 / np.sqrt(2), 0.1 / np.sqrt(2)], rel=0.1)
    assert [found[f"{t} K"].scale for t in (300, 900)] == pytest.approx([1, 1], abs=0.12)
    json.dumps(found["all"].bins[0].rmse)


def test_phases_of_frames():
    from metalff.validate.order import phase, solid_frames

    assert phase([0.9] * 10) == "solid" and phase([0.1] * 10) == "liquid"
    # a mean would call these solid
    assert phase([1.0] * 6 + [0.05] * 4) == "mixed" and solid_frames([1.0] * 6 + [0.05] * 4) == 0.6
