"""Runs of many measurements: kept, gone on with, refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from metalff.cli import properties as command
from metalff.errors import MetalffError
from metalff.properties import measure, read_properties
from metalff.properties.measurement import Measurement, Settings
from metalff.properties.registry import measurements, select


def run(*arguments, status=0):
    app = typer.Typer()
    command.register(app)
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, MetalffError):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def test_results_are_kept_and_read(tmp_path):
    out = tmp_path / "out"
    shown = run("Cu/eam", "--measure", "elastic", "--out", str(out))
    assert re.search(r"C11 +│ +17\d\.\d │ GPa +│ +168 ", shown)
    document = read_properties(out)
    assert [one["measurement"] for one in document["results"]] == ["lattice", "elastic"]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*.json")}
    again = json.loads(run("Cu/eam", "--measure", "elastic,cohesion", "--out", str(out), "--json"))
    assert len(again["results"]) == 3 and set(again["models"]) == {"Cu-eam"}
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    elastic = out / "Cu-eam" / "Cu" / "elastic.json"
    elastic.write_text(elastic.read_text()[:100])
    mended = measure("Cu/eam", measurements="elastic", out=out)["results"][1]
    assert mended["values"] == document["results"][1]["values"] and json.loads(elastic.read_text())["status"] == "done"


def test_killed_it_goes_on(tmp_path):
    words = [sys.executable, "-m", "metalff.cli", "properties", "Cu/eam", "--measure", "cheap", "--out", str(tmp_path), "--jobs", "1"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    folder = tmp_path / "Cu-eam" / "Cu"
    while process.poll() is None and not (folder / "elastic.json").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert "lattice.json" in kept and not (tmp_path / "properties.json").exists()
    assert "results:" in run("--collect", "--out", str(tmp_path))
    assert {one["measurement"] for one in read_properties(tmp_path)["results"]} >= {"lattice", "elastic"}
    measure("Cu/eam", measurements="elastic,dimer", out=tmp_path)
    assert {one["status"] for one in read_properties(tmp_path)["results"]} == {"done"}
    assert all((folder / name).stat().st_mtime_ns == kept[name] for name in ("lattice.json", "elastic.json"))


def test_a_failure_is_a_result_and_others_go_on(tmp_path, monkeypatch):
    known = measurements()

    def fails(subject):
        raise MetalffError("the crystal is not there")

    monkeypatch.setitem(known, "elastic", Measurement("elastic", "Elastic constants", 1, fails, 99, "It fails.", needs=("lattice",)))
    shown = run("Cu/eam", "--measure", "elastic,dimer", "--out", str(tmp_path), status=1)
    assert "the crystal is not there" in shown
    status = {one["measurement"]: one["status"] for one in read_properties(tmp_path)["results"]}
    assert status == {"lattice": "done", "elastic": "failed", "dimer": "done"}


def test_settings_decide_what_is_kept(tmp_path):
    first = measure("Cu/eam", measurements="surfaces", out=tmp_path)["results"]
    other = measure("Cu/eam", measurements="surfaces", out=tmp_path, settings={"slab_thickness": 11.0})["results"]
    assert first[0]["hash"] == other[0]["hash"] and first[1]["hash"] != other[1]["hash"]


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["Cu/eam", "--measure", "elastik"], 'no measurement elastik .did you mean "elastic"'),
        (["Cu/eam", "--element", "Ni"], "Cu/eam has no parameters for Ni"),
        (["Cu/eam", "--element", "Xx"], "no metal Xx"),
        (["Si/sw"], "no potential Si/sw"),
        (["{element}/nothing"], "no metal has such a potential"),
        (["Cu/eam", "--setting", "slab_thicknes=3"], 'no setting slab_thicknes .did you mean "slab_thickness"'),
        (["Cu/eam", "--setting", "images=-3"], "setting images = -3.0: input should be greater than or equal to 3"),
        (["Cu/eam", "--setting", "images"], "give a name and a number"),
        ([], "give a model"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, words, sentence):
    with pytest.raises(MetalffError, match=sentence):
        run(*words, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(MetalffError, match="holds no properties"):
        measure("Cu/eam", measurements="lattice", out=tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "properties.json").write_text('{"schema": 99, "results": [], "models": {}}')
    with pytest.raises(MetalffError, match="has schema 99"):
        measure("Cu/eam", measurements="lattice", out=other)
    (other / "properties.json").write_text("{")
    with pytest.raises(MetalffError, match="is damaged"):
        read_properties(other)
    with pytest.raises(MetalffError, match="holds no properties.json"):
        read_properties(tmp_path / "nowhere")


def test_every_measurement_says_what_it_is():
    known = measurements()
    assert [one.cost for one in known.values()] == sorted(one.cost for one in known.values())
    for one in known.values():
        assert len(one.note.splitlines()) > 1 and set(one.needs) <= set(known) and set(one.settings) <= set(Settings.model_fields)
    assert [one.name for one in select("migration")] == ["lattice", "vacancy", "migration"]
    assert one_line_each(run("--list")) >= set(known)


def one_line_each(shown: str) -> set[str]:
    return {line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")}


def test_the_page_has_every_note():
    page = " ".join((Path(__file__).parents[2] / "docs" / "properties.md").read_text("utf-8").split())
    parts = {one.name: one.note.partition("\n")[::2] for one in measurements().values()}
    assert [name for name, both in parts.items() if not all(" ".join(part.split()) in page for part in both)] == []
