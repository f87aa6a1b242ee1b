"""A real MACE training, tiny, through the command: killed and resumed, interrupted, refused, described."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from metalff.data import Dataset, Frame, load, read_extxyz, write_extxyz
from metalff.errors import MetalffError
from metalff.train.description import best_epoch, describe_training, history, neighborhoods

EPOCHS = 40

COMMAND = """
import sys
import typer
from metalff.cli import train
from metalff.errors import MetalffError

app = typer.Typer(pretty_exceptions_enable=False)
train.register(app)
try:
    app()
except MetalffError as error:
    sys.exit(f"metalff: error: {error}")
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Eight frames with few atoms for training, one a cluster without a cell; four others for validation."""
    folder = tmp_path_factory.mktemp("frames")
    small = sorted(load("zuo2020-Cu", "train"), key=len)[1:13]
    cluster = replace(small[0], cell=np.zeros((3, 3)), pbc=np.zeros(3, bool), stress=None)
    write_extxyz([cluster, *small[3::3], *small[1::3]], folder / "train.xyz")
    write_extxyz(small[2::3], folder / "valid.xyz")
    return folder


def start(frames: Path, out: Path, *arguments):
    given = ["--data", frames / "train.xyz", "--valid-data", frames / "valid.xyz", "--elements", "Cu", "--out", out]
    # so long a budget that only the number of epochs drives the learning rate, and runs can be compared
    size = "--channels 4 --l-max 1 --threads 1 --budget 100000d".split()
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND,
            "train",
            "mace",
            *map(str, given),
            *size,
            "--max-epochs",
            str(EPOCHS),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process) -> tuple[int, str]:
    """Exit status, and the output as one line whatever the width of the terminal."""
    stdout, stderr = process.communicate()
    return process.returncode, " ".join((stdout + stderr).split())


def wait_for_epochs(process, out: Path, count: int) -> None:
    """Until the checkpoint of epoch ``count`` is written: the history has one epoch more."""
    while process.poll() is None:
        table = out / "history.csv"
        if table.exists() and len(table.read_text().splitlines()) > count + 1:
            return
        time.sleep(0.02)
    pytest.fail(f"ended too early: {finish(process)}")


def worker_of(process) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


@pytest.fixture(scope="module")
def finished(mace_environment, frames, tmp_path_factory):
    """A training that nothing disturbed."""
    out = tmp_path_factory.mktemp("training") / "cu"
    status, output = finish(start(frames, out))
    assert status == 0, output
    assert "metalff deploy mace" in output and f"{EPOCHS} epochs" in output
    return out


def test_what_is_left(finished):
    left = {path.name for path in finished.iterdir()}
    assert {
        "mace.model",
        "weights.safetensors",
        "result.json",
        "history.csv",
        "history.png",
        "training.json",
        "train.log",
        "config.json",
    } <= left
    assert (finished / "history.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((finished / "result.json").read_text())
    assert result["epochs"] == EPOCHS and result["steps"] == 2 * EPOCHS
    assert result["engine"] == "native"
    rows = history(finished / "history.csv")
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    first, best = rows[0], best_epoch(finished / "history.csv", 1.0)
    assert best["energy_rmse_valid"] < first["energy_rmse_valid"]


def test_description(finished, frames):
    described = json.loads((finished / "training.json").read_text())
    assert described == describe_training(finished)
    train = read_extxyz(frames / "train.xyz")
    assert described["data"] == "train.xyz" and described["data_sha256"] == train.sha256
    assert (described["frames"], described["frames_valid"]) == (8, 4)
    assert (described["elements"], described["r_max"], described["seed"]) == (["Cu"], 4.0, 1)
    assert described["versions"]["mace-torch"] == "0.3.16" and described["versions"]["torch"].startswith("2.13.0")
    assert described["config"]["channels"] == 4
    best = best_epoch(finished / "history.csv", 1.0)
    assert described["best_epoch"] == best["epoch"]
    assert described["errors"]["validation"]["force_rmse"] == best["force_rmse_valid"]
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    distances = [np.linalg.norm(frame.positions[:, None, None] - frame.positions[:, None] - images @ frame.cell, axis=3) for frame in train]
    apart = np.concatenate([d[d > 0] for d in distances])  # 0: an atom and itself
    assert described["shortest_distance"] == pytest.approx(apart.min(), abs=1e-12)


def test_description_of_a_training_by_hand(finished, tmp_path):
    """Files elsewhere, no record of the source."""
    config, result = (json.loads((finished / name).read_text()) for name in ("config.json", "result.json"))
    del config["data"]
    config["train_file"], config["valid_file"] = (str(finished / f"{part}.extxyz") for part in ("train", "valid"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "history.csv").write_bytes((finished / "history.csv").read_bytes())
    described = describe_training(tmp_path)
    assert described["data"] == "train.extxyz" and described["data_sha256"] == read_extxyz(finished / "train.extxyz").sha256
    assert described["versions"]["mace-torch"] == "0.3.16"
    assert described["shortest_distance"] == describe_training(finished)["shortest_distance"]


@pytest.mark.parametrize("missing, sentence", [("result.json", "no finished training"), ("history.csv", "incomplete")])
def test_no_description_of_a_part(finished, tmp_path, missing, sentence):
    for name in {"config.json", "result.json", "history.csv", "train.extxyz", "valid.extxyz"} - {missing}:
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    with pytest.raises(MetalffError, match=sentence):
        describe_training(tmp_path)


def test_finished_training_is_not_repeated(finished, frames):
    model = (finished / "mace.model").stat().st_mtime_ns
    status, output = finish(start(frames, finished))
    assert status == 0 and f"{EPOCHS} epochs" in output
    assert (finished / "mace.model").stat().st_mtime_ns == model


@pytest.mark.parametrize("words", [["--precision", "float32"], ["--correlation", "4", "--max-L", "0", "--channels", "2"]])
def test_torch_where_it_is_wanted_or_needed(words, mace_environment, frames, tmp_path):
    out = tmp_path / "cu"
    status, output = finish(start(frames, out, "--max-epochs", "2", *words))
    assert status == 0, output
    assert json.loads((out / "result.json").read_text())["engine"] == "torch"
    needed = "note: the native engine does not train this model: its correlation is 4, more than 3; training with torch"
    assert (needed in output) == ("4" in words)


def test_native_or_nothing(mace_environment, frames, tmp_path):
    status, output = finish(start(frames, tmp_path / "a", "--set", "engine=native", "--precision", "float32"))
    assert status == 1 and "engine native trains in float64: leave precision out, or use engine torch" in output
    words = ["--set", "engine=native", "--correlation", "4", "--max-L", "0", "--channels", "2"]
    status, output = finish(start(frames, tmp_path / "b", *words))
    assert status == 1 and "does not train this model: its correlation is 4, more than 3; use engine torch" in output


def test_another_training_is_refused(finished, frames):
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir()}
    status, output = finish(start(frames, finished, "--seed", "2"))
    assert status == 1 and "holds another training (other seed); choose another --out" in output
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_killed_and_resumed_equals_undisturbed(finished, frames, tmp_path):
    out = tmp_path / "cu"
    process = start(frames, out)
    wait_for_epochs(process, out, 3)
    os.kill(worker_of(process), signal.SIGKILL)
    status, output = finish(process)
    assert status == 1 and "the worker was ended by SIGKILL" in output
    assert (out / "checkpoint.pt").exists() and not (out / "result.json").exists()
    with open(out / "history.csv", "a") as table:
        table.write("9999,99")  # what a kill in the middle of a line leaves

    status, output = finish(start(frames, out))
    assert status == 0, output
    assert json.loads((out / "result.json").read_text())["epochs"] == EPOCHS
    undisturbed, resumed = (history(path / "history.csv") for path in (finished, out))
    for row in (*undisturbed, *resumed):
        del row["elapsed_s"]
    assert resumed == undisturbed


def test_ctrl_c_saves_and_says_how_to_go_on(mace_environment, frames, tmp_path):
    out = tmp_path / "cu"
    process = start(frames, out, "--max-epochs", "100000")
    wait_for_epochs(process, out, 1)
    second, refusal = finish(start(frames, out, "--max-epochs", "100000"))
    assert second == 1 and f"another process trains in {out}" in refusal
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 130
    assert "this command goes on: metalff train mace" in output and shlex.quote(str(out)) in output
    assert (out / "checkpoint.pt").exists() and not (out / "result.json").exists()
    assert "Traceback" not in output


def test_worker_ends_when_its_parent_is_killed(mace_environment, frames, tmp_path):
    out = tmp_path / "cu"
    process = start(frames, out, "--max-epochs", "100000")
    wait_for_epochs(process, out, 1)
    worker = worker_of(process)
    process.kill()
    finish(process)
    while Path(f"/proc/{worker}/stat").exists() and Path(f"/proc/{worker}/stat").read_text().split()[2] != "Z":
        time.sleep(0.02)
    assert (out / "checkpoint.pt").exists() and not (out / "result.json").exists()


def test_diverged_training_is_one_sentence(mace_environment, frames, tmp_path):
    status, output = finish(start(frames, tmp_path / "cu", "--e0", "Cu=1e200"))
    assert status == 1 and "metalff: error: the training" in output and "lower learning rate" in output
    assert "Traceback" not in output


def test_energies_that_are_not_finite_are_one_sentence(mace_environment, frames, tmp_path):
    status, output = finish(start(frames, tmp_path / "cu", "--e0", "Cu=1e308"))
    assert status == 1 and "energies relative to E0 are not finite: check --e0 and the data" in output
    assert "Traceback" not in output


def test_shortest_distance_within_the_cutoff():
    dataset = load("zuo2020-Cu", "test")
    near = neighborhoods(dataset, 4.0)
    shortest = near["shortest_distance"]
    assert shortest == neighborhoods(dataset, 6.0)["shortest_distance"] > 1.0
    nothing = {"shortest_distance": 0.0, "largest_coordination": 0, "smallest_coordination": 0, "pairs": []}
    assert neighborhoods(dataset, 0.99 * shortest) == nothing
    assert near["pairs"] == [[element, element] for element in dataset.elements]


def test_coordination_and_pairs_within_the_cutoff():
    """Rock salt: 12 neighbours of the same kind, 6 of the other within a cutoff between the two shells, and beyond."""
    salt = bulk("NaCl", "rocksalt", a=5.0)
    frame = Frame(salt.numbers, salt.positions, salt.cell.array, salt.pbc, 0.0, np.zeros((2, 3)))
    dataset = Dataset("salt", (frame,))
    assert neighborhoods(dataset, 3.0) == {
        "shortest_distance": pytest.approx(2.5),
        "largest_coordination": 6,
        "smallest_coordination": 6,
        "pairs": [["Cl", "Na"]],
    }
    assert neighborhoods(dataset, 3.6)["largest_coordination"] == neighborhoods(dataset, 3.6)["smallest_coordination"] == 18
    assert neighborhoods(dataset, 3.6)["pairs"] == [["Cl", "Cl"], ["Cl", "Na"], ["Na", "Na"]]


def test_the_fewest_neighbours_of_any_frame():
    """Of a row of atoms the ends have one; an atom that is last in its frame and has none counts."""
    row = np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]])

    def frame(positions):
        return Frame(np.full(len(positions), 29), positions, np.eye(3) * 30, np.full(3, False), 0.0, np.zeros_like(positions))

    of = [neighborhoods(Dataset("rows", frames), 2.5) for frames in ((frame(row),), (frame(row), frame(row[[0, 1, 3]])))]
    assert [(one["smallest_coordination"], one["largest_coordination"]) for one in of] == [(1, 2), (0, 2)]
