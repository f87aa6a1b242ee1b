"""Frames that do not fit the others: named, and left out where the user says so."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metalff.data import load, read_extxyz
from metalff.data.outliers import energies_above_line, hints, limited
from metalff.errors import MetalffError
from metalff.train import training
from metalff.train.configuration import configuration

CU = {"elements": ["Cu"]}


@pytest.fixture(scope="module")
def copper():
    return load("zuo2020-Cu", "train")


def spoilt(dataset):
    """Frame 7 with forces of 1e8 eV/Å, frames 11 and 40 with energies 30 eV per atom off, up and down."""
    frames = list(dataset.frames)
    frames[7] = replace(frames[7], forces=frames[7].forces + 1e8)
    frames[11] = replace(frames[11], energy=frames[11].energy + 30 * len(frames[11]))
    frames[40] = replace(frames[40], energy=frames[40].energy - 30 * len(frames[40]))
    return replace(dataset, frames=tuple(frames))


def test_outliers_are_named(copper):
    force, energy = hints(spoilt(copper))
    assert (
        force.startswith("1 of 262 frames have forces above 50 eV/Å, or far above the others")
        and "frame 7 of zuo2020-Cu:train (1.732e+08 eV/Å)" in force
    )
    assert energy.startswith("2 of 262 frames have energies per atom far from the line")
    assert "frame 11 of zuo2020-Cu:train (" in energy and "frame 40 of zuo2020-Cu:train (-29.85 eV)" in energy
    assert not list(hints(copper))


def test_forces_far_above_the_others_though_not_large(copper):
    cold = copper.filter(group="aimd")
    cold = replace(cold, frames=tuple(replace(f, forces=0.1 * f.forces) for f in cold))
    hot = replace(cold, frames=(replace(cold.frames[0], forces=cold.frames[0].forces + 20.0), *cold.frames[1:]))
    (sentence,) = hints(hot)
    assert f"frame {hot.frames[0].index} of" in sentence and not list(hints(cold))


def test_the_line_is_that_of_the_composition():
    """Energies of an alloy on a line, a fifth of them far above it: the line is found all the same."""
    rng = np.random.default_rng(0)
    frames = []
    for k, frame in enumerate(load("zuo2020-Cu", "train").frames[:60]):
        numbers = np.where(rng.random(len(frame)) < rng.random(), 28, 29)
        energy = -3.0 * np.count_nonzero(numbers == 29) - 5.0 * np.count_nonzero(numbers == 28)
        frames.append(replace(frame, numbers=numbers, energy=energy + (4.0 * len(frame) if k % 5 == 0 else 0.0)))
    alloy = replace(load("zuo2020-Cu", "train"), frames=tuple(frames))
    above, line = energies_above_line(alloy)
    assert line["Cu"] == pytest.approx(-3.0, abs=0.01) and line["Ni"] == pytest.approx(-5.0, abs=0.01)
    np.testing.assert_allclose(above, [4.0 * (k % 5 == 0) for k in range(60)], atol=0.01)


def test_limits_leave_out_and_say_so(copper, tmp_path):
    said = []
    config = configuration("nep", CU | {"max_force": 50.0, "max_energy": 5.0})
    written = training.prepare("nep", config, spoilt(copper), tmp_path / "cu", say=said.append)
    frames = [f for part in ("train", "valid") for f in read_extxyz(tmp_path / "cu" / written[f"{part}_file"])]
    assert len(frames) == 260 and max(np.abs(f.forces).max() for f in frames) < 50
    assert json.loads((tmp_path / "cu" / "config.json").read_text())["max_force"] == 50.0
    groups = [copper.frames[k].group for k in (7, 11)]
    assert written["data"]["left_out"] == {"training": {"max_force": {groups[0]: 1}, "max_energy": {groups[1]: 1}}}
    assert any("1 of 262 frames of the training data have a force above 50 eV/Å and are left out (--max-force), by group" in s for s in said)
    assert any("frame 11 of zuo2020-Cu:train" in s and "--max-energy" in s for s in said)
    # an energy far below the line is no reason to leave a frame out; it is named
    assert any("frame 40 of" in s and "far from the line" in s for s in said)


def test_limits_act_on_validation_data_too(copper, tmp_path):
    train, valid = replace(copper, frames=copper.frames[100:160]), replace(spoilt(copper), frames=spoilt(copper).frames[:30])
    said = []
    written = training.prepare("nep", configuration("nep", CU | {"max_force": 50.0}), train, tmp_path / "cu", valid, say=said.append)
    assert len(read_extxyz(tmp_path / "cu" / "valid.extxyz")) == 29 and "validation" in written["data"]["left_out"]
    assert any("no frame of the training data is beyond" in s for s in said)


def test_no_limit_leaves_nothing_out(copper, tmp_path):
    written = training.prepare("nep", configuration("nep", CU), spoilt(copper), tmp_path / "cu")
    assert sum(len(read_extxyz(tmp_path / "cu" / f"{part}.extxyz")) for part in ("train", "valid")) == len(copper)
    assert "left_out" not in written["data"]


def test_a_limit_below_everything_is_refused(copper):
    with pytest.raises(MetalffError, match="--max-force 1e-12 leaves no frame of"):
        limited(copper.filter(group="aimd"), 1e-12, 0.0)
