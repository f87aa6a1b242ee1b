"""Splits that keep consecutive frames together, and what is said of those that users give."""

import json
from dataclasses import replace

import pytest

from metalff.data import load, read, read_extxyz, write_extxyz
from metalff.errors import MetalffError
from metalff.train import training
from metalff.train.configuration import configuration
from metalff.train.sets import gather, one_fold
from metalff.train.splits import Fold, cut, neighbours, trajectory_of

MO = {"elements": ["Mo"]}


@pytest.fixture(scope="module")
def molybdenum():
    return load("zuo2020-Mo", "train")


@pytest.mark.parametrize("block", [1, 4, 9])
def test_folds_are_the_whole_set_in_blocks(molybdenum, block):
    seen = []
    for number in (1, 2, 3, 4, 5):
        rest, test = cut(molybdenum, Fold(5, number), block)
        assert {*map(id, rest)} | {*map(id, test)} == {*map(id, molybdenum)} and len(rest) + len(test) == len(molybdenum)
        seen += test.frames
        for frames in by_trajectory(molybdenum).values():
            held = [any(frame is t for t in test) for frame in frames]
            # within a trajectory frames are held out by blocks, never one by one
            assert all(len(set(held[k : k + block])) == 1 for k in range(0, len(held), block))
    assert len(seen) == len(molybdenum) and len({*map(id, seen)}) == len(molybdenum)


def by_trajectory(dataset):
    found = {}
    for frame in dataset:
        found.setdefault(trajectory_of(frame), []).append(frame)
    return found


def test_every_temperature_is_in_every_fold(molybdenum):
    for number in (1, 2, 3, 4, 5):
        _, test = cut(molybdenum, Fold(5, number))
        assert {300.0, 3000.0, 6000.0} <= {frame.temperature for frame in test}


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((5, None), "give --folds and --fold together"),
        ((None, 1), "give --folds and --fold together"),
        ((1, 1), "--folds 1: give at least 2"),
        ((5, 0), "--fold 0: give a number from 1 to 5"),
        ((5, 6), "--fold 6: give a number from 1 to 5"),
    ],
)
def test_no_such_fold(arguments, sentence):
    with pytest.raises(MetalffError, match=sentence):
        one_fold(*arguments)


def test_too_few_blocks(molybdenum):
    with pytest.raises(MetalffError, match="has 2 blocks of 4 consecutive frames, too few for 5 folds; give a smaller --block"):
        cut(replace(molybdenum, frames=molybdenum.frames[:5]), Fold(5, 1))


def test_prepared_fold(molybdenum, tmp_path):
    """Three files that make the whole set; what is not asked for is not in the configuration, so that older trainings resume."""
    written = training.prepare("mace", configuration("mace", MO), molybdenum, tmp_path / "a", fold=Fold(4, 3), block=6)
    parts = [read_extxyz(tmp_path / "a" / written[f"{name}_file"]) for name in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(molybdenum) and len(parts[2]) > 40
    data = written["data"]
    assert (data["folds"], data["fold"], data["block"]) == (4, 3, 6) and data["test_sha256"] == parts[2].sha256
    with pytest.raises(MetalffError, match="holds another training .other data"):
        training.prepare("mace", configuration("mace", MO), molybdenum, tmp_path / "a", fold=Fold(4, 2), block=6)
    whole = training.prepare("mace", configuration("mace", MO), molybdenum, tmp_path / "b")
    assert "test_file" not in whole and not {"folds", "fold", "block", "offsets"} & whole["data"].keys()


def test_one_temperature_to_train_and_another_to_test():
    sets = gather(["zuo2020-Mo:train[temperature=300]"], ["zuo2020-Mo:train[temperature=3000]"])
    assert {f.temperature for f in sets.train} == {300.0} and {f.temperature for f in sets.valid} == {3000.0}
    assert not sets.notes


def test_neighbouring_frames_are_warned_of():
    sets = gather(["zuo2020-Mo:train[frames=0::2]"], ["zuo2020-Mo:train[frames=1::2]"])
    assert len(sets.notes) == 1 and sets.notes[0].startswith(f"{neighbours(sets.train, sets.valid)} of 97 validation frames")
    assert neighbours(sets.train, sets.valid) > 80
    # one block has two ends
    few = gather(["zuo2020-Mo:train[frames=0:100]"], ["zuo2020-Mo:train[frames=102:120]"])
    assert not few.notes


def test_the_same_frame_is_refused_by_name(molybdenum, tmp_path):
    write_extxyz(molybdenum.frames[7:9], tmp_path / "some.xyz")
    sets = gather(["zuo2020-Mo:train"], [str(tmp_path / "some.xyz")])
    sentence = "frame 0 of some.xyz in the validation data some.xyz is frame 7 of zuo2020-Mo:train in the training data"
    with pytest.raises(MetalffError, match=sentence):
        training.prepare("mace", configuration("mace", MO), sets.train, tmp_path / "out", valid=sets.valid)
    assert not (tmp_path / "out").exists()
    with pytest.raises(MetalffError, match=r"frame \d+ of zuo2020-Mo:train is in two of the --data"):
        gather(["zuo2020-Mo:train[temperature=300]", "zuo2020-Mo:train"], [])


def test_files_of_one_name_are_two_sources(molybdenum, tmp_path):
    for folder, shift in (("a", 0.0), ("b", 0.4)):
        (tmp_path / folder).mkdir()
        frames = molybdenum.frames[::2] if folder == "a" else molybdenum.frames[1::2]
        write_extxyz([replace(f, energy=f.energy + shift * len(f)) for f in frames], tmp_path / folder / "mo.xyz")
    files = [str(tmp_path / folder / "mo.xyz") for folder in "ab"]
    with pytest.raises(MetalffError, match="energies of b/mo.xyz and a/mo.xyz disagree: by .0.4"):
        gather(files, [])
    fitted = gather(files, [], "fit")
    assert fitted.record["offsets"]["b/mo.xyz"]["Mo"] == pytest.approx(0.4, abs=0.005)
    energies = [f.energy / len(f) for f in fitted.train]
    assert energies[:97] == [f.energy / len(f) for f in molybdenum.frames[::2]]
    assert energies[97] == pytest.approx(molybdenum.frames[1].energy / len(molybdenum.frames[1]), abs=0.005)
    assert any("are subtracted from the energies of b/mo.xyz" in note for note in fitted.notes)
    ignored = gather(files, [], "ignore")
    assert not ignored.record and len(ignored.train) == len(molybdenum)
    with pytest.raises(MetalffError, match='--offsets fitt .did you mean "fit"'):
        gather(files, [], "fitt")
    written = training.prepare("mace", configuration("mace", MO), fitted.train, tmp_path / "out", record=fitted.record)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["data"]["offsets"] == written["data"]["offsets"]
    assert str(tmp_path) not in json.dumps(written)


def test_energies_that_need_no_comparison_are_said(tmp_path):
    sets = gather(["zuo2020-Cu:test", "zuo2020-Li:test", "li2020-W:test"], [])
    assert sets.notes == ("no element is in two sources, so their energies need not, and cannot, be compared",)
    # one side all melt, the other all crystal: the model cannot tell a constant from that
    sets = gather(["zuo2020-Mo:train[temperature=300]", "li2020-Mo:train[temperature=3000]"], [])
    assert len(sets.train) == 75 and read("zuo2020-Mo:train[temperature=300]").name in sets.train.name
