"""Indicators against errors: the join, what is too little to say anything, tables of users, forecasts kept from being looked up."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from label_queues import TINY, labelled_queue
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.study import fermi as study
from metalff.study import indicators as known
from metalff.study.correlation import FEWEST

METALS = ["Na", "Al", "Ti", "Cu", "Nb", "Mo", "Ta", "W", "Pb"]


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def errors_of(values, source="mine", model="m"):
    return [study.Error(source, model, s, 0.1 * v, 0.1 + 0.01 * k, v) for k, (s, v) in enumerate(values.items())]


def test_a_relation_is_found_and_chance_is_not_oversold():
    rng = np.random.default_rng(1)
    strength = {s: float(k + 1) for k, s in enumerate(METALS)}
    indicators = {s: {"true": strength[s]} | {f"noise{j}": float(rng.normal()) for j in range(5)} for s in METALS}
    lines, left_out = study.correlations(errors_of({s: 0.01 * strength[s] ** 2 for s in METALS}), indicators)
    assert len(lines) == 2 * 6 and not left_out
    best = next(line for line in lines if line.indicator == "true" and line.kind == "normalised")
    assert best.found.rho == pytest.approx(1.0) and best.corrected < 0.05 and set(best.held) == {"force", "cohesive", "block"}
    assert all(line.corrected >= line.found.p for line in lines)
    said = study.statements(lines)
    assert said[0].startswith("mine: 12 correlations were asked") and "smallest p: true over 9 metals, ρ = +1.00" in said[1]


def test_too_few_metals_and_metals_without_indicators_are_said():
    indicators = {s: {"one": float(k)} for k, s in enumerate(METALS)}
    lines, left_out = study.correlations(errors_of({s: 0.1 for s in METALS[: FEWEST - 1]} | {"Hf": 0.2}), indicators)
    assert not lines and any("no indicators of Hf" in s for s in left_out) and any("too few for a correlation" in s for s in left_out)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("element,normalized\nCu,0.1\n", "unknown column 'normalized' \\(did you mean \"normalised\"\\?\\)"),
        ("element,force_rmse\nCu,0.1\n", "needs the columns"),
        ("element,normalised\nXx,0.1\n", "line 2: Xx is no metal"),
        ("element,normalised\nCu,0.1\nCu,0.2\n", "line 3: Cu stands there twice"),
        ("element,normalised\nCu,-1\n", "line 2: normalised -1 is no positive number"),
        ("element,normalised\nCu,\n", "no error of Cu"),
        ("element,normalised\n", "has no lines"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, sentence):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(MetalffError, match=sentence):
        study.of_table(tmp_path / "t.csv")


def test_a_table_gives_its_errors(tmp_path):
    (tmp_path / "mine.csv").write_text("element,model,force_rmse,force_rms\nCu,a,0.01,1.0\nTi,a,0.2,1.0\nCu,b,0.02,1.0\n")
    found = study.of_table(tmp_path / "mine.csv")
    assert [(e.source, e.model, e.element, e.normalised) for e in found] == [
        ("mine", "a", "Cu", 0.01),
        ("mine", "a", "Ti", 0.2),
        ("mine", "b", "Cu", 0.02),
    ]


def test_errors_of_trials_leave_out_what_is_too_hot():
    def row(seed, rmse):
        test = {t: {"frames": 4, "force_rms": 2.0, "force_rmse": [r, 0, 0]} for t, r in {"all": 9.0, "300": rmse, "3000": 5.0}.items()}
        return {"family": "poly", "seed": seed, "labels": {"metal": "Cu", "section": "dft"}, "test": test}

    (error,) = study.of_trials([row(1, 0.3), row(2, 0.4)])
    assert (
        error.force_rmse == pytest.approx(np.sqrt((0.09 + 0.16) / 2))
        and error.frames == 4
        and error.normalised == pytest.approx(error.force_rmse / 2)
    )


def test_published_errors_are_of_four_metals_and_therefore_not_correlated():
    found = study.of_publications()
    assert {e.element for e in found} == {"Li", "Cu", "Ni", "Mo"}
    lines, left_out = study.correlations(found, known.shipped())
    assert not lines and all("too few" in s or "no indicators" in s for s in left_out)


def test_what_is_shipped():
    errors = study.shipped()
    assert {e.element for e in errors} == set(study.SETS) and all(0 < e.normalised < 0.5 for e in errors)
    assert set(study.SETS) <= set(known.shipped(magnetic=True)) and "Ni" not in known.shipped()


def test_labels_of_unseen_metals_wait_for_their_forecast(tmp_path, monkeypatch):
    queue = labelled_queue(tmp_path, count=24, done=24, noise=0.0)
    plan = json.loads((queue / "queue.json").read_text())
    plan["plan"]["parts"][0]["name"] = "forecast"  # the same labels as a part that is not to be looked at
    sets = {"dose-0.1eV": "forecast-0.1eV", "dose-0.5eV": "forecast-0.5eV"}
    plan["tasks"] = [[sets.get(word, "forecast" if word == "dose" else word) for word in task] for task in plan["tasks"]]
    plan["drawn"] = {"forecast" if k == "dose" else k: v for k, v in plan["drawn"].items()}
    (queue / "queue.json").write_text(json.dumps(plan))
    (queue / "structures" / "dose.extxyz").rename(queue / "structures" / "forecast.extxyz")
    for old, new in sets.items():
        (queue / "sets" / old).rename(queue / "sets" / new)
    metals, notes = study.labelled(queue, {})
    assert not metals and "not trained on before their forecast is frozen" in notes[-1]
    metals, notes = study.labelled(queue, {"Cu"})
    assert [m.symbol for m in metals] == ["Cu"] and len(notes) == 1
    monkeypatch.setattr(study.smearing, "settings", lambda symbol, family: TINY)
    trials = study.label_trials(metals, tmp_path / "out", ["poly"], [1])
    assert len(trials) == 4 and {t.labels["width"] for t in trials} == {0.1}


def test_the_command_without_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "trials", lambda families, seeds: [])
    (tmp_path / "mine.csv").write_text("element,normalised\n" + "".join(f"{s},{0.01 * (k + 1)}\n" for k, s in enumerate(known.shipped())))
    done = metalff("study", "fermi", "--family", "poly", "--table", tmp_path / "mine.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "correlations were asked" in done.output
    for name in ("errors.csv", "correlations.csv", "outcome.md", "correlations-normalised.png", "errors.png"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    refused = metalff("study", "fermi", "--table", tmp_path / "none.csv", "--out", tmp_path / "other")
    assert refused.exit_code != 0 and "cannot be read" in str(refused.exception) and not (tmp_path / "other").exists()


def test_the_control_takes_the_second_meam_of_a_metal(tmp_path):
    head = "section,metal,label,family,temperature,force_rmse,force_rms\n"
    rows = "metals,Ta,meam,nep,all,0.9,1.0\nmetals,Ta-lee,meam,nep,all,0.2,1.0\nseeds,Ta-lee,meam,nep,all,0.4,1.0\nmetals,Cu,meam,nep,300,9,1\nmetals,Cu,meam,nep,all,0.1,1.0\n"
    (tmp_path / "trainings.csv").write_text(head + rows)
    found = {e.element: e.normalised for e in study.of_learnability(tmp_path)}
    assert found == {"Ta": pytest.approx(np.sqrt((0.04 + 0.16) / 2)), "Cu": 0.1}
    with pytest.raises(MetalffError, match="is no table of trainings"):
        study.of_learnability(tmp_path / "none")


def test_tables_are_sources_of_their_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.csv").write_text("element,normalised\nCu,0.1\n")
    with pytest.raises(MetalffError, match="another source named mine"):
        study.of_tables([tmp_path / "a" / "mine.csv", tmp_path / "b" / "mine.csv"])
    (tmp_path / "eam.csv").write_text("element,normalised\nCu,0.1\n")
    with pytest.raises(MetalffError, match="another source named eam"):
        study.of_tables([tmp_path / "eam.csv"])
