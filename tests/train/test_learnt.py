"""What a training has learnt by group, models that are not deployed, and what pressure rests on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metalff.artifact import Training
from metalff.data import load
from metalff.deploy.given import refuse_unlearnt
from metalff.errors import MetalffError
from metalff.train.learnt import beside, group_errors, not_learnt, one_volume, pressure_sentence

COLUMNS = "atoms,force_square_error,force_absolute_error,force_square,energy_error\n"


@pytest.fixture(scope="module")
def molybdenum():
    return load("zuo2020-Mo", "train")


def table(path, frames, share):
    """As a training leaves it, the errors ``share`` of the forces of each group."""
    rows = [(len(f), share[f.group] ** 2 * (f.forces**2).sum(), share[f.group] * abs(f.forces).sum(), (f.forces**2).sum(), 0.01) for f in frames]
    path.write_text(COLUMNS + "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows))
    return path


def test_errors_by_group(molybdenum, tmp_path):
    """Perfect and strained crystals, whose forces are nearly zero, are never the ones that are not learnt."""
    share = {"aimd": 0.1, "vacancy": 0.7, "surface": 9.0, "strain": 9.0, "ground": 9.0}
    groups, parts = group_errors(molybdenum, table(tmp_path / "valid.csv", molybdenum, share))
    aimd = [f for f in molybdenum if f.group == "aimd"]
    rms = np.sqrt(np.mean(np.concatenate([f.forces for f in aimd]) ** 2))
    whole = sum(share[f.group] ** 2 * (f.forces**2).sum() for f in molybdenum)
    assert groups["aimd"] == {
        "frames": 108,
        "atoms": sum(map(len, aimd)),
        "force_rms": pytest.approx(rms, rel=1e-9),
        "force_rmse": pytest.approx(0.1 * rms, rel=1e-9),
        "force_mae": pytest.approx(0.1 * np.mean(np.abs(np.concatenate([f.forces for f in aimd]))), rel=1e-9),
        "normalised": pytest.approx(0.1),
        "share": pytest.approx(0.01 * sum((f.forces**2).sum() for f in aimd) / whole),
        "energy_rmse": pytest.approx(0.01),
        "energy_mae": pytest.approx(0.01),
    }
    assert list(parts) == ["aimd 300 K", "aimd 3000 K", "aimd 6000 K"] and sum(e["frames"] for e in parts.values()) == 108
    assert list(beside(groups, parts)) == ["aimd", *parts, "ground", "strain", "surface", "vacancy"]
    assert sum(e["share"] for e in parts.values()) == pytest.approx(groups["aimd"]["share"])
    assert 0.1 < groups["ground"]["force_rms"] < 0.2, "noise of the labels"
    assert not_learnt(groups) == ["vacancy"]
    calm = {group: e for group, e in groups.items() if group in ("ground", "surface")}
    assert not_learnt(calm) == ["ground"], "a tenth of the forces of melts, but all that there are here"


def test_old_trainings_have_no_table(molybdenum, tmp_path):
    assert group_errors(molybdenum, tmp_path / "valid.csv") == ({}, {}) and not_learnt({}) == []


def test_another_table_is_damaged(molybdenum, tmp_path):
    path = table(tmp_path / "valid.csv", molybdenum.frames[:-1], dict.fromkeys(("aimd", "vacancy", "surface", "strain", "ground"), 0.1))
    with pytest.raises(ValueError):
        group_errors(molybdenum, path)


def test_a_model_that_is_not_a_number_is_not_learnt():
    assert not_learnt({"aimd": {"force_rms": 1.0, "force_rmse": float("nan")}}) == ["aimd"]


def test_refused_without_accept_errors():
    errors = {"groups": {"melt": {"frames": 4, "force_rmse": 0.9, "force_rms": 1.2, "energy_rmse": 0.1}}}
    training = Training(unlearnt=["melt"], errors=errors)
    with pytest.raises(MetalffError, match=r"'cu' is not deployed: the forces of melt \(0.9 of 1.2 eV/Å\) are not learnt.*--accept-errors"):
        refuse_unlearnt("cu", training, False)
    refuse_unlearnt("cu", training, True)
    refuse_unlearnt("cu", Training(), False)
    assert Training.model_validate(json.loads(training.model_dump_json())) == training


def test_one_volume(molybdenum):
    assert not one_volume(molybdenum)
    same = replace(molybdenum, frames=tuple(f for f in molybdenum if np.allclose(f.cell, molybdenum.filter(group="aimd").frames[0].cell)))
    assert len(same) > 10 and one_volume(same)
    slab = replace(same.frames[0], cell=same.frames[0].cell * [[1], [1], [3]])
    assert one_volume(replace(same, frames=(*same.frames, slab)))
    squeezed = replace(same.frames[0], cell=same.frames[0].cell * 0.99)
    assert not one_volume(replace(same, frames=(*same.frames, squeezed)))


def test_what_pressure_rests_on(molybdenum):
    same = replace(molybdenum, frames=tuple(f for f in molybdenum if np.allclose(f.cell, molybdenum.filter(group="aimd").frames[0].cell)))
    bare = replace(same, frames=tuple(replace(f, stress=None) for f in same))
    assert pressure_sentence(molybdenum, 10.0) == ""
    assert "rest on the energies of the volumes" in pressure_sentence(molybdenum, 0.0) and "its weight is 0" in pressure_sentence(molybdenum, 0.0)
    assert "what the model says of other volumes" in pressure_sentence(same, 10.0)
    assert "the data have none): pressure and volume mean nothing with this model" in pressure_sentence(bare, 0.0)
