"""``metalff speed``: what is measured, that it resumes, table and plot, bad input."""

import json

import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.speed import run as running
from metalff.speed.cases import Case, plan
from metalff.speed.figure import rows


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.05)


def speed(*words):
    return CliRunner().invoke(build_app(), ["speed", *map(str, words)])


def test_plan(bundled_model, oracle):
    cases = plan([bundled_model], [500, 4000], [1, 2], ["native", "torch"], ["double"], ["MACECalculator", "NEP_CPU"])
    assert Case(bundled_model, "native", "double", 4000, 2) in cases
    assert Case(bundled_model, "torch", "double", 500, 2, weak=True) in cases
    assert Case(bundled_model, "MACECalculator", "double", 500) in cases
    assert {case.engine for case in cases} == {"native", "torch", "MACECalculator"}  # NEP_CPU runs no MACE
    assert not any(case.peer and case.ranks > 1 for case in cases)
    assert len(cases) == len({case.key for case in cases}) == 2 * 3 + 2 * 2
    with pytest.raises(MetalffError, match="has no payload for engine native"):
        plan([oracle], [500], [1], ["native"], ["double"])


def test_weak_scaling_grows_the_crystal(bundled_model):
    one, two = Case(bundled_model, "native", "double", 500), Case(bundled_model, "native", "double", 500, 2, weak=True)
    assert one.crystal() == ("Cu", (5, 5, 5))
    assert two.crystal() == ("Cu", (10, 5, 5))


def test_a_run_and_its_continuation(bundled_model, tmp_path, quick, monkeypatch):
    words = (bundled_model, "--engine", "native", "--atoms", 100, "--ranks", 1, "--ranks", 2, "--out", tmp_path / "b")
    outcome = speed(*words)
    assert outcome.exit_code == 0, outcome.output
    document = json.loads((tmp_path / "b" / "speed.json").read_text())
    assert len(document["results"]) == 6
    for entry in document["results"].values():
        assert entry["atoms"] == 108 * (2 if entry["weak"] else 1)
        assert entry["µs/atom"] > 0 and entry["MB"] > 10 and 0 < entry["outside %"] < 100
    assert (tmp_path / "b" / "speed.md").read_text().count("| Cu-mace | native |") == 6
    assert (tmp_path / "b" / "speed.png").stat().st_size > 10_000

    # two results are lost, as by a kill: these two alone are measured
    lost = list(document["results"])[2:4]
    for key in lost:
        del document["results"][key]
    (tmp_path / "b" / "speed.json").write_text(json.dumps(document))
    measured = []
    monkeypatch.setattr(running, "_lammps", lambda case: measured.append(case.key) or {"s/step": 1.0, "atoms": 108})
    assert speed(*words).exit_code == 0
    assert measured == lost


def test_other_models_start_anew(bundled_model, tmp_path):
    """Results of a file that was changed since are not mixed in."""
    document = running.load(tmp_path / "none.json", [bundled_model]) | {"results": {"x": {}}}
    (tmp_path / "speed.json").write_text(json.dumps(document))
    assert running.load(tmp_path / "speed.json", [bundled_model])["results"] == {"x": {}}
    document["models"] = {str(bundled_model): "another hash"}
    (tmp_path / "speed.json").write_text(json.dumps(document))
    assert running.load(tmp_path / "speed.json", [bundled_model])["results"] == {}


def test_rows():
    common = {"model": "m", "precision": "double", "atoms": 500, "ranks": 1, "weak": False}
    results = {
        "a": common | {"engine": "native", "µs/atom": 10.0, "MB": 40.0, "outside %": 3.0},
        "b": common | {"engine": "torch", "µs/atom": 250.0},
    }
    assert rows(results) == [
        ["m", "native", "double", "500", "1", "10.0", "25.0×", "40", "3.0"],
        ["m", "torch", "double", "500", "1", "250.0", "1.0×", "", ""],
    ]


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--engine", "gpu"), "--engine must be native or torch, not 'gpu'"),
        (("--precision", "half"), "--precision must be double or single, not 'half'"),
        (("--symmetrix", "/nowhere/python"), "--symmetrix names /nowhere/python, which is not a Python"),
        (("/nowhere/model.mlff",), "'/nowhere/model.mlff' does not exist"),
    ],
)
def test_bad_input(words, sentence, tmp_path):
    outcome = speed(*words, "--out", tmp_path / "b")
    assert outcome.exit_code != 0
    assert isinstance(outcome.exception, MetalffError) and sentence in str(outcome.exception)
    assert not (tmp_path / "b").exists()


def test_a_damaged_file_of_results(tmp_path):
    (tmp_path / "speed.json").write_text("{")
    with pytest.raises(MetalffError, match="is not a file of results"):
        running.load(tmp_path / "speed.json", [])


def test_lammps_that_stops_says_why(bundled_model, tmp_path, quick):
    from metalff.speed.lammps import measure, mlff

    with pytest.raises(MetalffError, match="LAMMPS stopped: .*unknown keyword 'presision'"):
        measure(mlff([bundled_model], "presision single"), 2, 1)
