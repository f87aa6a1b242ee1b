"""The experiment on one metal, small: data with both labels, held-out ends of trajectories, trainings, tables and figures; and what its numbers mean."""

import csv
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.progress import Bar
from metalff.study import learnability, outcome, outcome_figures
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
        for name, fewer in (("DOSE", (0.0,)), ("WIDTHS", (2.0,)), ("UNSCREENED", learnability.UNSCREENED[:1])):
            shorter.setattr(learnability, name, fewer)
        yield out, plan, learnability.make_data("Cu", out, plan)


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
    assert any(sections >= {"metals", "dose", "width", "capacity"} for sections in keys.values())


def test_recorded_trainings_of_a_nep_are_of_first_order():
    """A record's key says nothing of the optimizer, as before there were two: it means what the study asks for, not today's default."""
    values = learnability.settings("Cu", "nep")
    assert (values["optimizer"], values["lr"], values["batch_size"]) == ("adam", 0.01, 4)


def test_another_meam_of_the_same_metal():
    assert learnability.potential_of("Ta-lee", "meam[t=0.5]") == "Ta/meam-lee[t=0.5]" and learnability.potential_of("Ta-lee", "eam") == "Ta/eam"
    assert learnability.possible()[-3:] == ["Au", "Au-lee", "Pb"]
    assert learnability.settings("Ta-lee", "poly") == learnability.settings("Ta", "poly")


def row(metal, label, family, seed, value, section="metals", force_rms=0.5, **labels):
    return {
        "labels": {"section": section, "metal": metal, "label": label, **labels},
        "family": family,
        "seed": seed,
        "test": {
            "all": {
                "normalised": [value, 0.9 * value, 1.1 * value],
                "force_rms": force_rms,
                "force_rmse": [force_rms * value, 0.9 * force_rms * value, 1.1 * force_rms * value],
            }
        },
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


SIX = ("Na", "Al", "Ti", "Cu", "Nb", "W")


def test_steps_from_eam_to_meam_in_both_errors():
    """Every metal's error is times 2, 1, 3 and 1 from label to label; forces of the last label are twice as large: so is the last factor of the RMSE."""
    rows = []
    for k, metal in enumerate(SIX):
        for label, value in zip(outcome.PATH, (1, 2, 2, 6, 6)):
            section = {"eam": "metals", "meam": "metals", learnability.WIDE: "smooth"}.get(label, "screen")
            rows.append(row(metal, label, "nep", 1, value / (100 + k), section, 1.0 if label == "meam" else 0.5))
    (said,) = [sentence for sentence in outcome.statements(rows) if "step by step" in sentence]
    assert (
        "distances only, another form and other parameters 2.00 (2.00–2.00), angular weights t1–t3 1.00 (1.00–1.00), screening 3.00 (3.00–3.00)"
        in said
    )
    assert said.endswith("sharp cutoff 2.00 (2.00–2.00); in all 12.00 (12.00–12.00).")
    assert "steps-nep" in outcome_figures.figures(rows)
    assert not any("step by step" in sentence for sentence in outcome.statements(rows[:4]))


def test_harder_by_one_error_only_is_told():
    """Larger normalised error, smaller forces: the RMSE is smaller."""
    rows = [row("Nb", label, "nep", 1, value, force_rms=rms) for label, value, rms in (("eam", 0.1, 1.0), ("meam", 0.2, 0.3))]
    said = outcome.statements(rows)[0]
    assert (
        "force RMSE ÷ RMS force MEAM is harder than EAM for 1 (Nb)" in said
        and "by force RMSE MEAM is harder than EAM for 0 (none), easier for 1 (Nb)" in said
    )
    assert said.endswith("Harder by both: 0 (none).")
    assert (
        "| Nb | 10.0 (9.0–11.1) | 20.0 (18.1–22.1) | 2.00 (1.74–2.30) | 100.0 (90.5–110.6) | 60.0 (54.3–66.3) | 0.60 (0.52–0.69) | 1 |"
        in outcome.markdown(rows)
    )


def test_metals_with_a_meam_of_first_neighbours_are_in_no_sentence_about_all():
    rows = [
        row(metal, label, "nep", 1, value) for metal in ("Ta", "Ta-lee") for label, value in (("eam", 0.01), ("meam", 0.8 if metal == "Ta" else 0.02))
    ]
    assert outcome.statements(rows)[0].startswith("NEP, 1 metals:") and "geometric mean 2.00" in outcome.statements(rows)[0]
    assert "| Ta* | 1.0" in outcome.markdown(rows)


def test_middle_of_metals_and_its_interval():
    assert outcome.over_metals([2.0, 8.0]) == pytest.approx([4.0, np.nan, np.nan], nan_ok=True)
    value, low, high = outcome.over_metals(np.exp(np.random.default_rng(0).normal(0, 0.5, 400)))
    assert np.log(high / low) == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15) and low < value < high
    assert outcome.over_metals([1.0, 2.0, 30.0, 1.0, 3.0], np.median)[0] == 2.0


def test_doses_are_relative_to_the_potential_itself():
    rows = []
    for metal in SIX:
        rows += [row(metal, label, "poly", 1, 0.1) for label in learnability.BASE]
        rows += [row(metal, learnability.width_name(f), "poly", 1, 0.1 / f, "width", cwidth=f) for f in outcome.DOSES["width"][0]]
        rows += [row(metal, learnability.dose_name(f), "poly", 1, 0.1 * f, "dose", t=f) for f in outcome.DOSES["dose"][0] if f and metal != "W"]
    angular, said = outcome.statements(rows)[1:]
    assert angular.startswith("Polynomial, factor of the angular weights t1, t2, t3, geometric means of 5 metals (Na Al Ti Cu Nb): ")
    assert (
        "force RMSE ÷ that at 1: 0.25: 0.25 (0.25–0.25), 0.5: 0.50 (0.50–0.50), 1.5: 1.50 (1.50–1.50); lower at 1.5 than at 0.25: 0 (none)."
        in angular
    )
    assert said.startswith("Polynomial, factor of the range Cmin … Cmax of the screening, geometric means of 6 metals (Na Al Ti Cu Nb W): ")
    assert "force RMSE ÷ RMS force ÷ that at 1: 0.25: 4.00 (4.00–4.00)" in said and "lower at 2 than at 0.25: 6 (Na Al Ti Cu Nb W)" in said
    assert set(outcome_figures.figures(rows)) >= {"width-poly", "dose-poly"}


def test_frames_of_either_dynamics_apart():
    """Groups are joined by their squares, temperatures of a group are parts of it."""
    found = row("Cu", "eam", "poly", 1, 0.1)
    found["groups"] = {
        "eam-liquid": {"atoms": 100, "force_rmse": 0.3, "force_rms": 1.0},
        "eam-solid": {"atoms": 300, "force_rmse": 0.1, "force_rms": 0.5},
        "eam-solid 300 K": {"atoms": 100, "force_rmse": 9.0, "force_rms": 0.5},
        "meam-solid": {"atoms": 200, "force_rmse": 0.2, "force_rms": 0.8},
    }
    assert outcome.on_frames_of(found, "force_rmse") == pytest.approx({"eam": (0.25 * 0.09 + 0.75 * 0.01) ** 0.5, "meam": 0.2})
    assert outcome.on_frames_of(found, "normalised")["eam"] == pytest.approx(((100 * 0.09 + 300 * 0.01) / (100 * 1.0 + 300 * 0.25)) ** 0.5)
    assert outcome.on_frames_of(row("Cu", "eam", "nep", 1, 0.1), "normalised") == {}


def test_every_seed_is_in_the_table_of_temperatures():
    rows = [row("Cu", "eam", "nep", seed, 0.02, "metals" if seed == 1 else "seeds") for seed in (1, 2, 3)] + [
        row("Cu", "eam", "nep", 1, 0.02, "fine")
    ]
    assert [line["seed"] for line in outcome.temperature_lines(rows)] == [1, 2, 3]


def test_capacity_levels_off_where_it_does():
    rows = []
    for metal in SIX:
        for label, values in (("eam", (0.04, 0.02, 0.01)), ("meam", (0.2, 0.1, 0.1))):
            for size, value in zip((6, 8, 10), values):
                rows.append(row(metal, label, "poly", 1, value, "capacity", size=size) | {"functions": 10 * size})
    (said,) = outcome.statements(rows)
    assert (
        "100 functions 1.0 and 10.0 %, ratio 10.00" in said
        and "the last size times the error of the one before: EAM 0.50 (0.50–0.50), MEAM 1.00 (1.00–1.00)" in said
    )
    assert set(outcome_figures.figures(rows)) == {"capacity"}


def test_a_finer_basis_is_a_comparison_of_its_own():
    rows = [row("Cu", label, "nep", 1, value) for label, value in (("eam", 0.02), ("meam", 0.06))]
    rows += [row("Cu", label, "nep", 1, value, "fine") for label, value in (("eam", 0.01), ("meam", 0.05))]
    said = outcome.statements(rows)
    assert said[0].startswith("NEP, 1 metals:") and "geometric mean 3.00" in said[0]
    assert said[1].startswith("NEP with a finer radial basis, 1 metals:") and "geometric mean 5.00" in said[1]


def test_command_within_a_budget_of_nothing_keeps_what_it_has(made, monkeypatch, tmp_path):
    out, _, _ = made
    words = ("study", "learnability", "--elements", "Cu", "--frames", 10, "--max-epochs", 1, "--jobs", 1, "--out", out)
    monkeypatch.setattr(learnability, "DOSED", ())
    monkeypatch.setattr(learnability, "SEEDED", ())
    monkeypatch.setattr(learnability, "WIDENED", ())
    monkeypatch.setattr(learnability, "FAMILIES", ("nep", "poly"))
    monkeypatch.setattr(learnability, "DOSE", ())
    monkeypatch.setattr(learnability, "WIDTHS", ())
    monkeypatch.setattr(learnability, "UNSCREENED", ())
    monkeypatch.setattr(learnability, "SIZES", (4,))
    monkeypatch.setattr(learnability, "DEGREE", 4)
    monkeypatch.setattr(learnability, "make_all", lambda *_: ({"Cu": made[2]}, True))
    first = metalff(*words, "--budget", "0.001s")
    assert isinstance(first.exception, MetalffError) and "the same command goes on" in str(first.exception)
    second = metalff(*words)
    assert second.exit_code == 0, (second.output, second.exception)
    table = list(csv.DictReader((out / "metals.csv").open()))
    assert [(r["family"], r["metal"]) for r in table] == [("poly", "Cu"), ("nep", "Cu"), ("nep-fine", "Cu")]
    assert all(float(r["ratio"]) > 0 and float(r["ratio_absolute"]) > 0 and float(r["eam_mev"]) > 1 for r in table)
    assert {p.name for p in out.glob("*.png")} == {f"{kind}-{name}.png" for kind in ("ratio", "metals") for name in ("poly", "nep", "nep-fine")}
    labels = {r["label"]: r for r in csv.DictReader((out / "labels.csv").open()) if r["family"] == "poly"}
    assert set(labels) == {"eam", "meam", learnability.WIDE} and float(labels["eam"]["force_rmse_on_meam_frames"]) > 0
    assert "Polynomial, 1 metals" in second.output and "NEP with a finer radial basis, 1 metals" in second.output
    monkeypatch.setattr(learnability, "make_all", lambda *_: ({}, False))  # another machine, without the data
    monkeypatch.setattr(outcome_figures, "figures", lambda rows: {})
    shutil.copy(out / "results.json", tmp_path / "results.json")
    third = metalff(*words[:-1], tmp_path)
    assert isinstance(third.exception, MetalffError) and "not every training has its result" in str(third.exception)
    again = list(csv.DictReader((tmp_path / "metals.csv").open()))
    assert [r["ratio"] for r in again] == [r["ratio"] for r in table] and (tmp_path / "outcome.md").read_text() == (out / "outcome.md").read_text()


def test_metal_without_both_potentials(tmp_path):
    result = metalff("study", "learnability", "--elements", "Rb", "--out", tmp_path / "out")
    assert isinstance(result.exception, MetalffError) and "Rb has no EAM and MEAM that both pass" in str(result.exception)
