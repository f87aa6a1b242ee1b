"""The configuration of a MACE training: defaults, refusals, what is decided from the data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metalff.data import Dataset, load, read_extxyz
from metalff.errors import MetalffError
from metalff.train import training
from metalff.train.configuration import configuration, seconds

CU = {"elements": ["Cu"]}

REFUSED = [
    ({}, "the key elements is missing"),
    ({"elemnts": ["Cu"]}, 'unknown key elemnts .did you mean "elements"'),
    ({"chanels": 8}, 'unknown key chanels .did you mean "channels"'),
    (CU | {"channels": 0}, "channels: .* greater than 0, not 0"),
    (CU | {"channels": "many"}, "channels: .* not 'many'"),
    (CU | {"lr": -1}, "lr: .* not -1"),
    (CU | {"lr": float("nan")}, "lr: .* not nan"),
    (CU | {"l_max": 0, "max_L": 0}, "l_max"),
    (CU | {"max_L": 3}, "max_L 3 must not exceed l_max 2"),
    (CU | {"precision": "double"}, "precision: .*float32.*float64.*, not 'double'"),
    (CU | {"e0": "zer"}, "e0 must be auto, zero, average or an energy"),
    (CU | {"e0": {"Ni": 0.0}}, "e0 must give one energy for each of Cu"),
    (CU | {"energy_weight": [1]}, "energy_weight must be two positive numbers"),
    (CU | {"stress_weight": -1}, "stress_weight must be auto or a number"),
    ({"elements": []}, "elements: "),
    ({"elements": ["Cu", "Cu"]}, "listed twice"),
    ({"elements": ["Xx"]}, "Xx is not a chemical symbol"),
    ({"elements": ["X"]}, "X is not a chemical symbol"),
]


@pytest.mark.parametrize("values, sentence", REFUSED)
def test_refused(values, sentence):
    with pytest.raises(MetalffError, match=sentence) as error:
        configuration("mace", values)
    assert "\n" not in str(error.value)


def test_sizes_start_and_values_win():
    small, medium = configuration("mace", CU), configuration("mace", CU, "medium")
    assert (small.r_max, small.channels, small.precision) == (4.0, 16, "auto")
    assert medium.channels > small.channels
    assert configuration("mace", CU | {"channels": 3}, "large").channels == 3
    with pytest.raises(MetalffError, match='no size smal .did you mean "small"'):
        configuration("mace", CU, "smal")


@pytest.mark.parametrize(
    "text, expected",
    [("90s", 90), ("70min", 4200), ("1.5h", 5400), ("2h30m", 9000), ("1d", 86400), ("1 h 5 min", 3900)],
)
def test_duration(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "2", "2 hours", "h", "-1h", "0s", "1.2.3h", "2h later"])
def test_no_duration(text):
    with pytest.raises(MetalffError, match="is not a duration"):
        seconds(text)


@pytest.fixture(scope="module")
def copper():
    return load("zuo2020-Cu", "train")


def shifted(dataset: Dataset, energy: float) -> Dataset:
    """The same frames with ``energy`` (eV) more per atom."""
    return replace(dataset, frames=tuple(replace(f, energy=f.energy + energy * len(f)) for f in dataset))


@pytest.mark.parametrize(
    "e0, energy, expected",
    [
        ("auto", 0.0, [0.0]),
        ("auto", -1500.0, "average"),
        ("auto", 1500.0, "average"),
        ("zero", -1500.0, [0.0]),
        ("average", 0.0, "average"),
        ({"Cu": -0.25}, 0.0, [-0.25]),
    ],
)
def test_zero_of_energy(copper, e0, energy, expected):
    config = configuration("mace", CU | {"e0": e0})
    assert training.zero_of_energy(config, shifted(copper, energy)) == expected


def test_energies_of_free_atoms_follow_the_order_of_elements(copper):
    config = configuration("mace", {"elements": ["Ni", "Cu"], "e0": {"Cu": 1.0, "Ni": 2.0}})
    assert training.zero_of_energy(config, copper) == [2.0, 1.0]


def test_held_out_part_is_made_of_blocks_of_every_large_group(copper):
    train, valid = training.held_out(copper, 0.05, seed=3)
    assert len(train) + len(valid) == len(copper) and not {*map(id, train)} & {*map(id, valid)}
    for group in ("aimd", "strain", "vacancy"):
        frames = [frame for frame in copper if frame.group == group]
        held = [k for k, frame in enumerate(frames) if any(frame is v for v in valid)]
        assert held
        for k in held:
            block = range(k // training.BLOCK * training.BLOCK, min((k // training.BLOCK + 1) * training.BLOCK, len(frames)))
            assert set(block) <= set(held)
    assert [f.index for f in training.held_out(copper, 0.05, seed=3)[1]] == [f.index for f in valid]
    assert [f.index for f in training.held_out(copper, 0.05, seed=4)[1]] != [f.index for f in valid]


@pytest.mark.parametrize("count, block", [(2, 1), (3, 1), (7, 1), (8, 2), (12, 3), (15, 3), (16, 4)])
def test_a_small_group_spares_a_quarter_that_is_consecutive(copper, count, block):
    few = replace(copper, frames=copper.filter(group="aimd").frames[:count])
    train, valid = training.held_out(few, 0.05, seed=1)
    held = [f.index for f in valid]
    assert len(train) + len(valid) == count and len(held) in (block, count % block)
    assert held == list(range(held[0], held[0] + len(held)))


def test_every_group_of_two_frames_is_validated(copper):
    frames = [replace(f, group=name) for name, count in (("one", 1), ("two", 2), ("five", 5), ("many", 40)) for f in copper.frames[:count]]
    frames = [replace(f, index=k) for k, f in enumerate(frames)]
    train, valid = training.held_out(replace(copper, frames=tuple(frames)), 0.05, seed=1)
    counts = {name: sum(f.group == name for f in valid) for name in ("one", "two", "five", "many")}
    assert counts == {"one": 0, "two": 1, "five": 1, "many": 4} and {f.group for f in train} == set(counts)


def test_few_frames(copper):
    alone = replace(copper, frames=tuple(replace(f, group=str(k)) for k, f in enumerate(copper.frames[:3])))
    assert [len(part) for part in training.held_out(alone, 0.05, seed=1)] == [2, 1], "groups of one frame: all are one group"
    with pytest.raises(MetalffError, match="too few to hold out"):
        training.held_out(replace(copper, frames=copper.frames[:1]), 0.05, seed=1)


def test_prepared_files(copper, tmp_path):
    out = tmp_path / "new" / "cu"
    written = training.prepare("mace", configuration("mace", CU), copper, out)
    assert {path.name for path in out.iterdir()} == {"train.extxyz", "valid.extxyz", "config.json"}
    assert json.loads((out / "config.json").read_text()) == written
    train, valid = read_extxyz(out / "train.extxyz"), read_extxyz(out / "valid.extxyz")
    assert len(train) + len(valid) == len(copper)
    assert (train.sha256, valid.sha256) == (written["data"]["train_sha256"], written["data"]["valid_sha256"])
    assert written["data"]["name"] == "zuo2020-Cu:train" and written["data"]["sha256"] == copper.sha256
    assert not any(str(value).startswith("/") for value in written.values())
    assert written["stress_weight"] == training.STRESS_WEIGHT and written["e0"] == [0.0]


def test_stress_is_learnt_where_there_is_one(copper, tmp_path):
    stressed = replace(copper, frames=tuple(replace(f, stress=np.zeros((3, 3))) for f in copper.frames[:12]))
    assert training.prepare("mace", configuration("mace", CU), stressed, tmp_path / "a")["stress_weight"] == training.STRESS_WEIGHT
    config = configuration("mace", CU | {"stress_weight": 0})
    assert training.prepare("mace", config, stressed, tmp_path / "b")["stress_weight"] == 0


def test_same_training_is_recognised_and_another_refused(copper, tmp_path):
    config, few = configuration("mace", CU), replace(copper, frames=copper.frames[:12])
    training.prepare("mace", config, few, tmp_path)
    before = (tmp_path / "train.extxyz").stat().st_mtime_ns
    training.prepare("mace", config.model_copy(update={"threads": 7}), few, tmp_path)
    assert (tmp_path / "train.extxyz").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "config.json").read_text())["threads"] == 7
    with pytest.raises(MetalffError, match="holds another training .other channels.; choose another --out"):
        training.prepare("mace", configuration("mace", CU | {"channels": 8}), few, tmp_path)
    with pytest.raises(MetalffError, match="holds another training .other data."):
        training.prepare("mace", config, shifted(few, 1.0), tmp_path)


def test_foreign_directory_is_refused_and_kept(copper, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(MetalffError, match="is not empty and holds no training"):
        training.prepare("mace", configuration("mace", CU), copper, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(MetalffError, match="is not a directory"):
        training.prepare("mace", configuration("mace", CU), copper, tmp_path / "thesis.txt")


@pytest.mark.parametrize(
    "elements, sentence",
    [
        (["Ni"], "contains Cu, which is not among the elements Ni"),
        (["Cu", "Ni"], "no frame of .* contains Ni"),
    ],
)
def test_elements_and_data_must_agree(copper, tmp_path, elements, sentence):
    with pytest.raises(MetalffError, match=sentence):
        training.prepare("mace", configuration("mace", {"elements": elements}), copper, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_validation_data(copper, tmp_path):
    test = load("zuo2020-Cu", "test")
    written = training.prepare("mace", configuration("mace", CU), copper, tmp_path / "a", valid=test)
    assert written["data"]["valid_name"] == "zuo2020-Cu:test"
    assert len(read_extxyz(tmp_path / "a" / "train.extxyz")) == len(copper)
    with pytest.raises(MetalffError, match="are the training data"):
        training.prepare("mace", configuration("mace", CU), copper, tmp_path / "b", valid=copper)
    with pytest.raises(MetalffError, match="contains Ni"):
        training.prepare("mace", configuration("mace", CU), copper, tmp_path / "b", valid=load("zuo2020-Ni", "test"))
