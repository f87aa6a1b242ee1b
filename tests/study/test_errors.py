"""``metalff study errors``: data divided, models trained and taken, errors as ``validate`` gives them, resuming, what is refused."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.cli.study import alone
from metalff.cli.study_errors import made_by
from metalff.data import layout, read, read_extxyz
from metalff.data.frame import Dataset
from metalff.errors import MetalffError
from metalff.study import errors as study
from metalff.study import errors_outcome as outcome
from metalff.study.errors import bundled_parts, divided, evaluate, kept, parts
from metalff.study.trial import Trial

SMALL = [
    "--set",
    "nep.n_max=[2,2]",
    "--set",
    "nep.basis_size=[3,3]",
    "--set",
    "nep.neuron=4",
    "--set",
    "nep.l_max=[2,0,0]",
    "--set",
    "nep.max_epochs=1",
]
SMALL += ["--set", "nep.r_max=4", "--set", "nep.r_max_angular=3.5"]


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def metal43(tmp_path_factory):
    """Frames of bundled runs of molecular dynamics in the layout of Metal-43: two metals at two temperatures."""
    folder = tmp_path_factory.mktemp("layout") / "metals"
    folder.mkdir()
    for symbol, lattice, temperatures in (("Cu", "fcc", (300, 1000)), ("Ni", "fcc", (300, 1500))):
        frames = read(f"zuo2020-{symbol}:train[group=aimd]").frames
        for temperature, own in zip(temperatures, (frames[:20], frames[-20:]), strict=True):
            layout.write_file(own, folder / layout.file_name(symbol, lattice, temperature))
    return folder


@pytest.fixture(scope="module")
def studied(metal43, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    command = ["study", "errors", "--data", metal43, "--family", "nep,eam", "--universal", "nep", *SMALL, "--jobs", 1, "--out", out]
    begun = metalff(*command, "--budget", "0.001s")
    whole = metalff(*command)
    assert whole.exit_code == 0, (whole.output, whole.exception)
    return out, command, begun, whole


def rows_of(out):
    return json.loads((out / "errors.json").read_text())["rows"]


def test_the_end_of_every_trajectory_is_tested_on(metal43, tmp_path):
    found = parts(str(metal43), None, tmp_path, 0.1, 12)
    assert [part.symbol for part in found] == ["Cu", "Ni"]
    train, test = read_extxyz(found[0].train[0]), read_extxyz(found[0].test[0])
    assert len(train) == 12 and sorted({frame.temperature for frame in test}) == [300.0, 1000.0]
    for temperature in (300, 1000):
        whole = layout.read_file(metal43 / f"Cu_fcc_{temperature}.extxyz")
        last = [frame.energy for frame in whole][-round(0.1 * len(whole)) :]
        assert [frame.energy for frame in test if frame.temperature == temperature] == pytest.approx(last, abs=1e-9)


def test_an_archive_is_divided_like_its_folder(metal43, tmp_path):
    packed = shutil.make_archive(tmp_path / "metals", "zip", metal43.parent, metal43.name)
    of_archive, of_folder = (parts(str(source), ["Ni"], tmp_path / str(number), 0.1, 12) for number, source in enumerate((packed, metal43)))
    for theirs, ours in zip(of_archive, of_folder, strict=True):
        for one, other in ((theirs.train, ours.train), (theirs.test, ours.test)):
            assert Path(*one).read_text() == Path(*other).read_text() and len(read(*one)) >= 4


def test_given_splits_and_short_trajectories():
    frames = list(read("zuo2020-Cu"))
    train, test = divided(frames, 0.1)
    assert (len(train), len(test)) == (262, 31) and {frame.source for frame in test} == {"zuo2020-Cu:test"}
    alone = [replace(frame, source=f"file-{k}") for k, frame in enumerate(frames[:40])]
    train, test = divided(alone, 0.1)
    assert len(test) == 4 and not {frame.source for frame in test} & {frame.source for frame in train}
    assert divided(frames, 1.0) == ([], frames)
    with pytest.raises(MetalffError, match="too few to hold out"):
        divided(alone[:3], 0.1)


def test_alloys_are_left_out_loudly(tmp_path):
    frame = read("zuo2020-Cu:test").frames[0]
    mixed = replace(frame, numbers=frame.numbers.copy())
    mixed.numbers[0] = 28
    own = [replace(frame, index=k) for k in range(20)]
    from metalff.data import write_extxyz

    write_extxyz([*own, mixed], tmp_path / "set.extxyz")
    said = []
    found = parts(str(tmp_path / "set.extxyz"), ["Cu"], tmp_path / "out", 0.1, None, said.append)
    assert said == ["Cu: 1 frames with other elements beside it are left out"] and len(read_extxyz(found[0].test[0])) == 2


def test_budget_then_the_rest(studied):
    out, _, begun, whole = studied
    assert begun.exit_code != 0 and "the same command goes on" in str(begun.exception)
    assert "predicted time" in begun.output and "3 of 3 trainings" in begun.output
    assert {path.name for path in (out / "models").iterdir()} == {"Cu-nep.mlff", "Ni-nep.mlff", "CuNi-nep.mlff"}
    for name in ("errors.csv", "outcome.md", "temperatures.png", "universal.png", "table-nep-normalised.png", "table-eam-raw.png"):
        assert (out / name).stat().st_size > 0


def test_again_nothing_is_computed(studied):
    out, command, *_ = studied
    before = {path: path.stat().st_mtime_ns for folder in ("models", "evaluations") for path in (out / folder).iterdir()}
    rows = rows_of(out)
    again = metalff(*command)
    assert again.exit_code == 0 and "0 of 3 trainings" in again.output
    assert {path: path.stat().st_mtime_ns for folder in ("models", "evaluations") for path in (out / folder).iterdir()} == before
    assert rows_of(out) == rows


def test_errors_are_those_of_validate(studied, tmp_path):
    """The same model on the same frames by the other command."""
    out, *_ = studied
    found = metalff("validate", out / "models" / "Cu-nep.mlff", "--data", out / "data" / "Cu-test.extxyz", "--out", tmp_path / "v")
    assert found.exit_code == 0
    said = json.loads((tmp_path / "v" / "validate.json").read_text())["potentials"][0]
    row = next(r for r in outcome.whole(rows_of(out)) if (r["model"], r["element"]) == ("nep", "Cu"))
    assert row["force_rmse"] == pytest.approx(said["overall"]["force_rmse"]["value"], rel=1e-5)
    assert row["normalised_high"] == pytest.approx(said["overall"]["force_rmse_normalised"]["high"], rel=1e-5)
    hot = next(r for r in rows_of(out) if (r["model"], r["element"], r["temperature"]) == ("nep", "Cu", 1000.0))
    assert hot["force_rmse"] == pytest.approx(said["by_temperature"]["1000"]["force_rmse"]["value"], rel=1e-5)


def test_rows_and_table_agree(studied):
    out, *_ = studied
    rows = rows_of(out)
    with (out / "errors.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert float(line["force_rmse"]) == row["force_rmse"]
    hot = next(line for line in lines if line["element"] == "Cu" and line["temperature"] == "1000")
    assert float(hot["t_over_tm"]) == pytest.approx(1000 / 1357.77, abs=2e-3)
    assert all(row["normalised"] == pytest.approx(row["force_rmse"] / row["force_rms"], rel=1e-4) for row in rows)


def test_a_model_that_was_exchanged_is_trained_anew(studied, tmp_path):
    """What is told of a training is of its own model, whatever lies under its name."""
    out, command, *_ = studied
    shutil.copytree(out, tmp_path / "copy")
    shutil.copy(out / "models" / "CuNi-nep.mlff", tmp_path / "copy" / "models" / "Cu-nep.mlff")
    assert metalff(*command[:-1], tmp_path / "copy").exit_code == 0
    by, before = ({(r["model"], r["element"]): r["force_rmse"] for r in outcome.whole(rows_of(folder))} for folder in (tmp_path / "copy", out))
    assert by["nep", "Cu"] == pytest.approx(before["nep", "Cu"], rel=1e-3)
    assert by["nep", "Cu"] != pytest.approx(by["nep, universal", "Cu"], rel=1e-3)
    assert by["nep", "Ni"] == before["nep", "Ni"]


def test_a_model_of_other_frames_is_not_compared():
    """One for all against one per metal: only where both know the metal's frames."""

    def row(symbol, universal, value, here):
        return {"element": symbol, "model": "nep, universal" if universal else "nep", "family": "nep", "universal": universal, "trained_on_these": here} | {
            "temperature": None, "group": "", "frames": 9, "force_rms": 1.0, "force_rmse": value, "normalised": value, "normalised_low": 0.9 * value,
            "normalised_high": 1.1 * value,
        }  # fmt: skip

    rows = [row("Cu", False, 0.1, True), row("Mo", False, 0.2, True), row("Cu", True, 0.3, True), row("Mo", True, 0.1, False)]
    (sentence,) = [text for text in outcome.statements(rows, []) if "against one per metal" in text]
    assert "Cu 3.00; geometric mean 3.00" in sentence and "worse: Cu; better: none" in sentence
    assert "different frames: Mo" in sentence


def test_two_models_have_one_correlation():
    def row(symbol, model, normalised):
        return {"element": symbol, "model": model, "family": model, "universal": False, "trained_on_these": True, "temperature": None, "group": ""} | {
            "frames": 9, "force_rms": 1.0, "force_rmse": normalised, "normalised": normalised, "normalised_low": None, "normalised_high": None,
        }  # fmt: skip

    rows = [row(symbol, model, 0.01 * k) for model in ("nep", "poly") for k, symbol in enumerate(("Li", "Ni", "Cu", "Nb", "Mo"), 1)]
    (sentence,) = [text for text in outcome.statements(rows, []) if "Spearman" in text]
    assert sentence == "Order of the metals by normalised error, nep and poly, 5 metals: Spearman's ρ +1.00 (p = 0.017)."


def test_a_model_of_several_metals_has_a_pace_of_its_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(study, "run", lambda trial, work, keep: asked.append(trial.labels["metal"]) or {"seconds": len(asked)})
    one, two = (Trial("nep", {}, ("zuo2020-Cu:test",), (), labels={"metal": metals}) for metals in ("Cu", "Cu Ni"))
    known, rows = {}, [{"family": "nep", "labels": {"metal": "Li"}, "seconds": 30.0, "work": 10.0}]
    assert study.training_pace(one, known, rows, tmp_path) == [0.0, 3.0] and not asked
    study.training_pace(two, known, rows, tmp_path)
    assert asked == ["Cu Ni", "Cu Ni"] and set(known) == {"nep", "nep, 2 metals"}


def test_intervals_by_temperature_are_of_the_normalised_error():
    """Copper's overlap, molybdenum's do not, though the force errors of both are ten times as large when hot."""

    def row(symbol, temperature, force_rmse, normalised):
        return {"element": symbol, "model": "nep", "family": "nep", "universal": False, "trained_on_these": True, "group": "", "frames": 9} | {
            "temperature": temperature, "force_rms": force_rmse / normalised, "force_rmse": force_rmse, "normalised": normalised,
            "normalised_low": 0.9 * normalised, "normalised_high": 1.1 * normalised,
        }  # fmt: skip

    rows = [row("Cu", 300, 0.01, 0.10), row("Cu", 1000, 0.1, 0.11), row("Mo", 300, 0.02, 0.2), row("Mo", 3000, 0.2, 0.1)]
    (sentence,) = [text for text in outcome.statements(rows, []) if "lowest to highest" in text]
    assert "the force RMSE grows in 2; the normalised error falls in 1 (Mo); " in sentence
    assert sentence.endswith("the intervals of the normalised error do not overlap in 1 (Mo).")


def test_taken_models_say_what_they_were_trained_on(tmp_path):
    out = tmp_path / "out"
    found = metalff("study", "errors", "--family", "nep,mtp", "--universal", "nep", "--elements", "Mo,W", "--out", out)
    assert found.exit_code == 0, (found.output, found.exception)
    here = {(r["model"], r["element"]): r["trained_on_these"] for r in outcome.whole(rows_of(out))}
    assert here["nep", "Mo"] is True and here["nep, universal", "Mo"] is False and here["nep, universal", "W"] is True
    assert "mtp: none for W" in found.output and not (out / "models").exists()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--family", "nepp"], "there is no family nepp"),
        (["--elements", "Au"], "--elements Au: no frames of it"),
        (["--test-fraction", "0"], "--test-fraction 0"),
        (["--test-fraction", "1"], "is for data that are not divided yet"),
        (["--family", "eam", "--elements", "Li"], "eam: nothing for Li"),
        (["--set", "poly.degree=[3]"], "poly is not trained here"),
        (["--train", "--set", "degree=[3]"], "say of which family"),
        (["--train", "--universal", "poly"], "too many functions"),
        (["--data", "nowhere"], "neither a file nor a bundled set"),
        (["--data", "metal43"], "Metal-43 is not imported"),
        (["--family", "model.mlff"], "no such file"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, words, sentence):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "home"))
    result = metalff("study", "errors", *words, "--out", tmp_path / "out")
    assert result.exit_code != 0 and sentence in str(result.exception) and not (tmp_path / "out" / "errors.json").exists()


def test_a_folder_of_another_study(studied, metal43):
    out, *_ = studied
    other = metalff("study", "errors", "--data", metal43, "--family", "eam", "--test-fraction", "0.2", "--out", out)
    assert other.exit_code != 0 and "holds the study of other data (other fraction: 0.1)" in str(other.exception)


def test_data_without_known_metals(tmp_path):
    from metalff.data import write_extxyz

    frame = read("zuo2020-Cu:test").frames[0]
    strange = Dataset("x", (replace(frame, numbers=frame.numbers * 0 + 14),))
    write_extxyz(strange.frames, tmp_path / "si.extxyz")
    with pytest.raises(MetalffError, match="no frames of a metal that is known"):
        parts(str(tmp_path / "si.extxyz"), None, tmp_path / "out", 0.1, None)


def test_relative_temperatures():
    from metalff.study.errors import relative

    assert math.isnan(relative(None, "Cu")) and relative(1357.77, "Cu") == pytest.approx(1, abs=2e-3)


def test_a_model_of_another_training_under_the_same_name_is_not_taken_for_it(studied, tmp_path):
    out, *_ = studied
    rows, file = json.loads((out / "results.json").read_text())["trials"].values(), out / "models/Cu-nep.mlff"
    assert [made_by(row, file) for row in rows if row["labels"]["metal"] == "Cu"] == [True]
    row = next(row for row in rows if row["labels"]["metal"] == "Cu")
    assert not made_by(row, out / "models/Ni-nep.mlff") and not made_by(None, file) and not made_by(row, tmp_path / "none.mlff")
    cut = tmp_path / "cut.mlff"
    cut.write_bytes(file.read_bytes()[:3000])
    assert not made_by(row, cut)


def test_a_source_that_changes_is_divided_anew(metal43, tmp_path):
    folder, said = shutil.copytree(metal43, tmp_path / "metals"), []
    before = parts(str(folder), ["Cu"], tmp_path / "out", 0.1, 10, said.append)[0]
    whole = read(before.test[0]).sha256
    (tmp_path / "out/data/Cu-test.extxyz").write_text("1\n")
    assert read(parts(str(folder), ["Cu"], tmp_path / "out", 0.1, 10, said.append)[0].test[0]).sha256 == whole
    assert not said
    for file in folder.glob("Cu*"):
        layout.write_file(list(read_extxyz(file))[:-1], file)
    assert read(parts(str(folder), ["Cu"], tmp_path / "out", 0.1, 10, said.append)[0].test[0]).sha256 != whole
    assert "changed" in said[0]


def test_errors_of_an_archive_that_changed_are_computed_anew(tmp_path):
    """In one process, too, where sets are remembered."""
    frames, out, found = read("zuo2020-Cu:test").frames, tmp_path / "out", []
    for some in (frames[:4], frames[4:8]):
        layout.write_file(some, tmp_path / "metals/Cu_fcc_300.extxyz")
        packed = shutil.make_archive(tmp_path / "metals", "zip", tmp_path, "metals")
        (part,) = parts(packed, None, out, 1.0, None)
        found.append(evaluate("Cu/eam", part, tmp_path / "kept.json", {"element": "Cu"}))
    assert found[0]["test"] != found[1]["test"] and found[0]["rows"][0]["force_rmse"] != found[1]["rows"][0]["force_rmse"]


def test_a_damaged_evaluation_is_none(tmp_path):
    (part,), file, about = bundled_parts(["Cu"]), tmp_path / "eam-Cu.json", {"element": "Cu", "model": "eam"}
    found = evaluate("Cu/eam", part, file, about)
    assert kept("Cu/eam", part, file, about) == found and kept("Cu/meam", part, file, about) is None
    damaged = [
        found | {"rows": []},
        found | {"rows": [{}]},
        found | {"rows": [row | {"force_rmse": math.inf} for row in found["rows"]]},
        found | {"rows": found["rows"][1:]},
        {key: value for key, value in found.items() if key != "potential"},
        [found],
    ]
    for content in damaged:
        file.write_text(json.dumps(content))
        assert kept("Cu/eam", part, file, about) is None


def test_two_at_a_time_in_one_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("metalff.sweep.run.LINGER", 0.0)
    with alone(tmp_path / "out"):
        found = metalff("study", "errors", "--elements", "Cu", "--family", "eam", "--plan", "--out", tmp_path / "out")
        assert found.exit_code == 1 and "at work" in str(found.exception)
    assert not (tmp_path / "out").exists()
