"""The experiment on one metal, small: data with both labels, held-out ends of trajectories, trainings, tables and figures; and what its numbers mean."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.progress import Bar
from metalff.study import learnability, outcome
from metalff.synth import synth


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("learnability")
    plan = learnability.Plan(("Cu",), frames=10, epochs=1)
    with pytest.MonkeyPatch.context() as shorter:
        for name, ps in (("EQUILIBRATE_PS", 1.0), ("SETTLE_PS", 0.5), ("CORRELATE_PS", 0.5), ("MELT_PS", 2.0)):
            shorter.setattr(synth, name, ps)
        return out, plan, learnability.make_data("Cu", out, plan)


def test_both_label_the_same_configurations(made):
    out, _, found = made
    for part, count in (("train", found["train"]), ("test", found["test"])):
        first, second = (data.read(learnability.data_file(out, "Cu", label, part)) for label in ("eam", "meam"))
        assert len(first) == len(second) == count
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.positions, b.positions)
            assert abs(a.forces - b.forces).max() > 1e-3
    assert {f.group.partition("-")[0] for f in data.read(learnability.data_file(out, "Cu", "eam", "test"))} == {"eam", "meam"}


def test_no_test_frame_is_in_the_training_data(made):
    out, _, _ = made
    train, test = ({f.positions.tobytes() for f in data.read(learnability.data_file(out, "Cu", "meam", part))} for part in ("train", "test"))
    assert not train & test


def test_made_once(made):
    out, plan, found = made
    before = learnability.data_file(out, "Cu", "eam", "train").stat().st_mtime_ns
    assert learnability.make_data("Cu", out, plan) == found
    assert learnability.data_file(out, "Cu", "eam", "train").stat().st_mtime_ns == before


def test_data_that_are_there_need_no_budget(made):
    out, plan, found = made
    two = learnability.Plan(("Cu", "Al"), frames=plan.frames, epochs=plan.epochs)
    assert learnability.make_all(out, two, 1, Bar(), go_on=lambda: False) == ({"Cu": found}, False)


def test_same_settings_but_for_cutoffs_in_units_of_the_distance():
    al, w = learnability.settings("Al", "nep"), learnability.settings("W", "nep")
    assert {key for key in al if al[key] != w[key]} == {"r_max", "r_max_angular"}
    assert al["r_max"] / w["r_max"] == pytest.approx(4.05 * 0.5**0.5 / (3.16 * 0.75**0.5), rel=1e-3)


def test_shared_trainings_are_run_once(made):
    out, plan, found = made
    trials = learnability.trials(out, plan, {"Cu": found})
    keys = {}
    for trial in trials:
        keys.setdefault(trial.key, set()).add(trial.labels["section"])
    assert any(sections >= {"metals", "dose", "frames"} for sections in keys.values())


def row(metal, label, family, seed, value, section="metals"):
    return {
        "labels": {"section": section, "metal": metal, "label": label},
        "family": family,
        "seed": seed,
        "test": {"all": {"normalised": [value, 0.9 * value, 1.1 * value]}},
    }


def test_ratio_and_its_interval():
    rows = [row("Cu", label, "nep", 1, value) for label, value in (("eam", 0.02), ("meam", 0.06))]
    one = outcome.per_metal(rows, "nep")["Cu"]
    assert one["ratio"] == pytest.approx(3) and one["seeds"] == 1
    assert np.log(one["ratio_high"] / one["ratio"]) == pytest.approx(np.hypot(*[np.log(1.1 / 0.9) / 2] * 2))
    for seed, factor in ((2, 1.1), (3, 1 / 1.1)):
        rows += [row("Cu", "eam", "nep", seed, 0.02, "seeds"), row("Cu", "meam", "nep", seed, 0.06 * factor, "seeds")]
    three = outcome.per_metal(rows, "nep")["Cu"]
    assert three["ratio"] == pytest.approx(3) and three["seeds"] == 3
    of_seeds, of_frames = 4.3027 * np.log(1.1) / 3**0.5, np.log(1.1 / 0.9) / 2
    assert np.log(three["ratio_high"] / three["ratio"]) == pytest.approx(np.hypot(of_seeds, of_frames * 2**0.5), rel=1e-3)
    assert np.log(three["meam_high"] / three["meam"]) == pytest.approx(np.hypot(of_seeds, of_frames), rel=1e-3)
    assert three["eam_low"] < three["eam"] == pytest.approx(0.02)


def test_controls_stand_between_eam_and_meam():
    rows = [row("Cu", label, "nep", 1, value) for label, value in (("eam", 0.02), ("meam", 0.06))]
    rows.append(row("Cu", learnability.WIDE, "nep", 1, 0.05, "smooth"))
    assert "NEP, EAM / MEAM cut off over 1 Å (delr = 1) / MEAM: Cu 2.0 / 5.0 / 6.0%." in outcome.statements(rows)
    assert not any("step by step" in sentence for sentence in outcome.statements(rows))
    rows += [row("Cu", label, "nep", 1, value, "screen") for label, value in zip(learnability.UNSCREENED, (0.03, 0.04))]
    assert any(sentence.endswith("Cu 2.0 / 3.0 / 4.0 / 5.0 / 6.0%.") for sentence in outcome.statements(rows))


def test_a_finer_basis_is_a_comparison_of_its_own():
    rows = [row("Cu", label, "nep", 1, value) for label, value in (("eam", 0.02), ("meam", 0.06))]
    rows += [row("Cu", label, "nep", 1, value, "fine") for label, value in (("eam", 0.01), ("meam", 0.05))]
    said = outcome.statements(rows)
    assert said[0].startswith("NEP: of 1 metals") and "geometric mean of the ratio is 3.00" in said[0]
    assert said[1].startswith("NEP with a finer radial basis: of 1 metals") and "geometric mean of the ratio is 5.00" in said[1]


def test_command_within_a_budget_of_nothing_keeps_what_it_has(made, monkeypatch):
    out, _, _ = made
    words = ("study", "learnability", "--elements", "Cu", "--frames", 10, "--max-epochs", 1, "--jobs", 1, "--out", out)
    monkeypatch.setattr(learnability, "DOSED", ())
    monkeypatch.setattr(learnability, "SEEDED", ())
    monkeypatch.setattr(learnability, "FAMILIES", ("nep",))
    monkeypatch.setattr(learnability, "make_all", lambda *_: ({"Cu": made[2]}, True))
    first = metalff(*words, "--budget", "0.001s")
    assert isinstance(first.exception, MetalffError) and "the same command goes on" in str(first.exception)
    second = metalff(*words)
    assert second.exit_code == 0, (second.output, second.exception)
    table = list(csv.DictReader((out / "metals.csv").open()))
    assert [(r["family"], r["metal"]) for r in table] == [("nep", "Cu"), ("nep-fine", "Cu")] and float(table[0]["ratio"]) > 0
    assert {p.name for p in out.glob("*.png")} == {f"{kind}-{name}.png" for kind in ("ratio", "metals") for name in ("nep", "nep-fine")}
    assert "NEP: of 1 metals" in second.output and "NEP with a finer radial basis: of 1 metals" in second.output


def test_metal_without_both_potentials(tmp_path):
    result = metalff("study", "learnability", "--elements", "Rb", "--out", tmp_path / "out")
    assert isinstance(result.exception, MetalffError) and "Rb has no EAM and MEAM that both pass" in str(result.exception)
