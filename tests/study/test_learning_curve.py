"""Learning curves through the command: results, resuming, what is refused."""

import csv
import hashlib
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.deploy import nep
from metalff.errors import MetalffError
from metalff.study.learning_curve import by_frames, curve, epochs_of, exponent
from metalff.study.record import group_lines
from metalff.study.trial import Trial, fingerprint, gathered, thinned

SMALL = ["--set", "r_max=4", "--set", "r_max_angular=3.5", "--set", "n_max=[3,2]", "--set", "basis_size=[4,4]", "--set", "neuron=5"]
COMMAND = ["study", "learning-curve", "--data", "zuo2020-Cu:train", "--test", "zuo2020-Cu:test", "--family", "nep", "--jobs", "1", *SMALL]


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    first = metalff(*COMMAND, "--frames", "12", "--steps", "30", "--out", out)
    before = json.loads((out / "results.json").read_text())
    second = metalff(*COMMAND, "--frames", "12,40", "--steps", "30", "--out", out)
    assert first.exit_code == second.exit_code == 0, (first.output, second.output)
    return out, before, first.output, second.output


def test_results_are_kept_and_extended(studied):
    out, before, first, second = studied
    after = json.loads((out / "results.json").read_text())
    assert len(before["trials"]) == 1 and len(after["trials"]) == 2
    for key, row in before["trials"].items():
        assert after["trials"][key] == row
    assert "12 frames" in first and "12 frames" not in second and "40 frames" in second
    assert not list((out / "work").iterdir())


def test_results_that_are_there_need_no_environment(tmp_path, studied, monkeypatch):
    """Only a training that is to come asks for its framework."""
    out, _, _, _ = studied
    content = json.loads((out / "results.json").read_text())
    trial = Trial("deepmd", {"r_max": 4.5, "budget_s": 60.0}, ("zuo2020-Cu:train",), ("zuo2020-Cu:test",), 1, None, {"curve": "time"})
    row = next(iter(content["trials"].values())) | {"family": "deepmd", "settings": trial.settings, "labels": trial.labels}
    (tmp_path / "results.json").write_text(json.dumps(content | {"trials": {trial.key: row}}))
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "empty"))
    command = [
        "study",
        "learning-curve",
        "--data",
        "zuo2020-Cu:train",
        "--test",
        "zuo2020-Cu:test",
        "--family",
        "deepmd",
        "--set",
        "r_max=4.5",
        "--out",
        tmp_path,
    ]
    assert metalff(*command, "--times", "1min").exit_code == 0
    assert (tmp_path / "learning-curve.png").exists()
    refused = metalff(*command, "--times", "1min,2min")
    assert refused.exit_code != 0 and "metalff env create deepmd" in str(refused.exception or refused.output)


def test_errors_are_those_of_the_deployed_model(studied, tmp_path):
    """The same training by ``metalff train``, deployed and validated, has the error in the table."""
    out, _, _, _ = studied
    rows = list(csv.DictReader((out / "learning-curve.csv").open()))
    row = next(r for r in rows if r["frames"] == "40" and r["temperature"] == "all")
    spaced = thinned(gathered(("zuo2020-Cu:train",)), 40)
    from metalff.calculator import MLFFCalculator
    from metalff.study.trial import VALID_FRACTION
    from metalff.train.configuration import configuration
    from metalff.train.training import prepare, train

    kept = json.loads((out / "results.json").read_text())["trials"]
    settings = next(t["settings"] for t in kept.values() if t["frames"] == 40)
    config = configuration("nep", {"elements": ["Cu"], "threads": 1, "budget_s": 1e7, "seed": 1, "zbl": 0.0} | settings)
    prepare("nep", config, spaced, tmp_path / "run", valid_fraction=VALID_FRACTION, block=1)
    train(tmp_path / "run")
    nep.deploy(tmp_path / "run", tmp_path / "model.mlff", accept_errors=True)
    calculator, square, count = MLFFCalculator(tmp_path / "model.mlff"), 0.0, 0
    for frame in gathered(("zuo2020-Cu:test",)):
        atoms = frame.to_atoms()
        atoms.calc = calculator
        square += ((atoms.get_forces() - frame.forces) ** 2).sum()
        count += frame.forces.size
    assert float(row["force_rmse"]) == pytest.approx(np.sqrt(square / count), rel=2e-3)
    assert float(row["normalised"]) == pytest.approx(float(row["force_rmse"]) / float(row["force_rms"]), rel=1e-4)
    assert float(row["normalised_low"]) < float(row["normalised"]) < float(row["normalised_high"])


def test_temperatures_are_parts_of_the_whole(studied):
    out, _, _, _ = studied
    row = next(iter(json.loads((out / "results.json").read_text())["trials"].values()))
    assert row["test"]["all"]["frames"] == len(gathered(("zuo2020-Cu:test",)))
    assert {"300", "all"} < set(row["test"])


def test_groups_are_parts_of_the_whole(studied):
    """Of results with groups a table of its own; those of an older MetalFF, without, change nothing."""
    out, before, _, _ = studied
    lines = list(csv.DictReader((out / "groups.csv").open()))
    trial = next(iter(before["trials"].values()))
    own = [line for line in lines if line["frames"] == "12"]
    assert {line["group"]: float(line["force_rmse"]) for line in own} == {
        g: pytest.approx(e["force_rmse"], rel=1e-5) for g, e in trial["groups"].items()
    }
    assert [line["group"] for line in own if line["group"].startswith("aimd")] == ["aimd", "aimd 300 K", "aimd 1000 K", "aimd 3000 K"]
    assert sum(float(line["share"]) for line in own if not line["group"].endswith(" K")) == pytest.approx(1, abs=1e-5)
    assert all(line["normalised"] == "" for line in own if line["group"] == "strain")
    assert group_lines([trial | {"groups": {}}]) == group_lines([{key: value for key, value in trial.items() if key != "groups"}]) == []


def test_key_depends_on_what_the_result_depends_on():
    trial = Trial("nep", {"r_max": 4.0}, ("zuo2020-Cu:train",), ("zuo2020-Cu:test",), 1, 12, {"metal": "Cu"})
    others = [
        Trial("mace", trial.settings, trial.train, trial.test, 1, 12),
        Trial("nep", {"r_max": 4.1}, trial.train, trial.test, 1, 12),
        Trial("nep", trial.settings, ("zuo2020-Cu:train[frames=0:40]",), trial.test, 1, 12),
        Trial("nep", trial.settings, trial.train, trial.test, 2, 12),
        Trial("nep", trial.settings, trial.train, trial.test, 1, 13),
    ]
    assert len({t.key for t in [trial, *others]}) == 6
    assert Trial("nep", trial.settings, trial.train, trial.test, 1, 12, {"metal": "other"}).key == trial.key


def test_key_of_before_there_were_two_optimizers_means_the_first():
    """Recorded in November 2026 by a MetalFF whose NEP knew Adam alone; today's default is another, and has another key."""
    first = Trial("nep", {"r_max": 4.0, "optimizer": "adam", "lr": 0.01, "batch_size": 4}, ("zuo2020-Cu:train",), ("zuo2020-Cu:test",), 1, 12)
    content = {
        "family": "nep",
        "settings": {"r_max": 4.0},
        "train": fingerprint(first.train),
        "test": fingerprint(first.test),
        "seed": 1,
        "frames": 12,
    }
    before = hashlib.sha256(json.dumps(content | {"valid_fraction": 0.1}, sort_keys=True).encode()).hexdigest()[:16]
    assert first.key == before != Trial("nep", {"r_max": 4.0}, first.train, first.test, 1, 12).key
    assert Trial("nep", first.settings | {"lr": 0.02}, first.train, first.test, 1, 12).key != before


def test_every_training_takes_the_same_number_of_steps():
    trials = by_frames({"nep": {"batch_size": 4}}, ["zuo2020-Cu:train"], ["zuo2020-Cu:test"], [20, 200], [1], 900)
    for trial in trials:
        steps = trial.settings["max_epochs"] * -(-0.9 * trial.frames // 4)
        assert 900 <= steps < 1000
    assert epochs_of(900, 20, 4) == 180


def test_exponent_of_a_power_law():
    frames = np.array([25.0, 50, 100, 200])
    rows = [{"family": "nep", "frames": n, "settings": {}, "test": {"all": {"force_rmse": [0.3 * n**-0.42, 0, 0]}}} for n in frames for _ in range(2)]
    assert exponent(curve(rows, "frames")["nep"]) == pytest.approx(0.42)
    assert exponent(curve(rows[:4], "frames")["nep"]) is None


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--frames", "5000"], "fewer than the 5000 asked for"),
        (["--frames", "ten"], "--frames ten: give 25,50,all"),
        ([], "give --frames, such as"),
        (["--frames", "20", "--family", "nepp"], "no family nepp"),
        (["--frames", "20", "--set", "mace.channels=4"], "mace is not among the --family"),
        (["--frames", "20", "--set", "neurons=4"], "unknown key neurons"),
    ],
)
def test_bad_input(tmp_path, words, sentence):
    result = metalff(*COMMAND, *words, "--out", tmp_path / "out")
    assert isinstance(result.exception, MetalffError) and re.search(sentence, str(result.exception))
    assert not (tmp_path / "out").exists()


def test_too_many_frames_is_a_metalff_error():
    with pytest.raises(MetalffError, match="has 31 frames"):
        thinned(gathered(("zuo2020-Cu:test",)), 32)
