"""A real training of a NEP, tiny, by the command: killed and resumed, deployed, refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from metalff import MLFFCalculator
from metalff.data import load, read_extxyz, write_extxyz
from metalff.deploy import nep
from metalff.deploy.nep_reference import Formulas

TINY = [f"--set={word}" for word in ("n_max=[2, 2]", "basis_size=[4, 4]", "l_max=[3, 2, 0]", "neuron=8")]
EPOCHS = 40


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Few and small frames of copper, and the same with the second half of each frame's atoms called nickel."""
    folder = tmp_path_factory.mktemp("frames")
    small = sorted(load("zuo2020-Cu", "train"), key=len)[:12]
    mixed = [replace(f, numbers=np.where(np.arange(len(f)) < len(f) // 2, 29, 28)) for f in small]
    for name, some in (("cu", small), ("cuni", mixed)):
        write_extxyz(some[::2], folder / f"{name}-train.xyz")
        write_extxyz(some[1::2], folder / f"{name}-valid.xyz")
    return folder


def command(frames: Path, out: Path, data="cu", *more):
    words = ["--data", frames / f"{data}-train.xyz", "--valid-data", frames / f"{data}-valid.xyz", "--out", out, "--threads", 1]
    words += ["--max-epochs", EPOCHS, "--batch-size", 2, "--lr", 0.05, *TINY, *more]
    return [sys.executable, "-m", "metalff.cli", "train", "nep", *map(str, words)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True)


def history(out: Path):
    if not (out / "history.csv").exists():
        return []
    with (out / "history.csv").open() as stream:
        return [(row["epoch"], row["force_rmse_valid"], row["energy_rmse_valid"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def trained(frames, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "cu"
    done = run(frames, out)
    assert done.returncode == 0, done.stderr
    return out


def test_it_learns(trained):
    errors = [float(row[1]) for row in history(trained)]
    assert len(errors) == EPOCHS and errors[-1] < 0.9 * errors[0]


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content, sentence", [("hostile", "holds more than tensors and numbers"), pytest.param("cut", "", marks=pytest.mark.slow)])
def test_a_checkpoint_runs_nothing(frames, trained, tmp_path, content, sentence):
    out, file = tmp_path / "cu", tmp_path / "ran"
    shutil.copytree(trained, out)
    (out / "result.json").unlink()
    checkpoint = out / "checkpoint.pt"
    if content == "hostile":
        torch.save(torch.load(checkpoint, weights_only=True) | {"more": Hostile(file)}, checkpoint)
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    done = run(frames, out)
    assert done.returncode == 1 and not file.exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("metalff: error")]
    assert re.search(rf"the training failed: checkpoint.pt .*{sentence}.*; remove it to begin this training anew; the log is", line)


def test_killed_and_resumed_it_is_the_same(frames, trained, tmp_path):
    process = subprocess.Popen(command(frames, tmp_path / "cu"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not ((tmp_path / "cu" / "checkpoint.pt").exists() and history(tmp_path / "cu")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    assert process.wait() == 1 and len(history(tmp_path / "cu")) < EPOCHS
    resumed = run(frames, tmp_path / "cu")
    assert resumed.returncode == 0, resumed.stderr
    assert history(tmp_path / "cu") == history(trained)
    first, again = (np.loadtxt(out / "nep.txt", skiprows=7) for out in (trained, tmp_path / "cu"))
    np.testing.assert_allclose(again, first, rtol=1e-9, atol=1e-9)


def weights(out: Path):
    return (out / "nep.txt").read_bytes()


@pytest.mark.parametrize("disturbance", ["held up", "told to end"])
def test_a_seed_is_a_result(disturbance, frames, trained, tmp_path):
    """Bit for bit: a worker that a busy machine holds up, or that ends within an epoch and is resumed, leaves the same model."""
    out = tmp_path / "cu"
    process = subprocess.Popen(command(frames, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not history(out):
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.01)
    (worker,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    if disturbance == "held up":
        os.kill(worker, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(worker, signal.SIGCONT)
        assert process.wait() == 0
    else:
        os.kill(worker, signal.SIGTERM)
        assert process.wait() == 1 and len(history(out)) < EPOCHS
        assert run(frames, out).returncode == 0
    assert history(out) == history(trained) and weights(out) == weights(trained)
    assert json.loads((out / "config.json").read_text())["budget_s"] == 0


ADAM = ["--set", "optimizer=adam"]


def test_the_learning_rate_of_adam_follows_the_steps(frames, tmp_path):
    """Three steps per epoch; that of the last one of each."""
    assert run(frames, tmp_path / "cu", "cu", *ADAM).returncode == 0
    with (tmp_path / "cu" / "history.csv").open() as stream:
        rates = [float(row["lr"]) for row in csv.DictReader(stream)]
    progress = (np.arange(EPOCHS) + 2 / 3) / EPOCHS
    warm = np.minimum(1.0, 3 * np.arange(1, EPOCHS + 1) / 50)
    np.testing.assert_allclose(rates, 0.05 * warm * (0.002 + 0.998 * 0.5 * (1 + np.cos(np.pi * progress))), rtol=6e-3)


def test_a_budget_besides_the_epochs_is_a_hard_stop(frames, tmp_path):
    done = run(frames, tmp_path / "cu", "cu", *ADAM, "--max-epochs", "1000000", "--budget", "1s")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert f"note: the budget ended the training after {len(history(tmp_path / 'cu'))} of 1000000 epochs" in said
    assert json.loads((tmp_path / "cu" / "result.json").read_text())["epochs"] < 1000000


def test_a_training_that_diverges_goes_back_to_its_best_weights(frames, tmp_path):
    """At a hundred times a good learning rate; every time it is lowered, until the training goes on."""
    done = run(frames, tmp_path / "cu", "cu", *ADAM, "--lr", "1")
    assert done.returncode == 0, done.stderr
    said = " ".join((tmp_path / "cu" / "train.log").read_text().split())
    result = json.loads((tmp_path / "cu" / "result.json").read_text())
    assert 1 <= result["setbacks"] == said.count("note: the training diverged in epoch")
    assert "it goes on from its best weights, at 0.3 times the learning rate" in " ".join(done.stderr.split())
    errors = np.array([float(row[1]) for row in history(tmp_path / "cu")])
    assert len(errors) == EPOCHS and np.isfinite(errors[-1]) and errors[-1] < 5 * np.nanmin(errors)
    described = json.loads((tmp_path / "cu" / "training.json").read_text())
    assert described["errors"]["validation"]["force_rmse"] == pytest.approx(np.nanmin(errors), rel=0.5)


def test_what_is_not_learnt_is_said_and_not_deployed(frames, tmp_path):
    trained = tmp_path / "cu"
    done = run(frames, trained, "cu", *ADAM, "--max-epochs", "2")
    assert done.returncode == 0, done.stderr
    described = json.loads((trained / "training.json").read_text())
    bad = {group for group, e in described["errors"]["groups"].items() if e["force_rmse"] > 0.5 * e["force_rms"] > 0.05}
    assert described["unlearnt"] and set(described["unlearnt"]) <= bad
    assert f"note: the forces of {described['unlearnt'][0]} (" in " ".join(done.stderr.split())
    deploy = [sys.executable, "-m", "metalff.cli", "deploy", "nep", str(trained), "-o", str(tmp_path / "Cu.mlff")]
    refused = subprocess.run(deploy, capture_output=True, text=True)
    assert refused.returncode == 1 and "--accept-errors" in refused.stderr and not (tmp_path / "Cu.mlff").exists()
    assert subprocess.run([*deploy, "--accept-errors"], capture_output=True).returncode == 0
    shown = subprocess.run([sys.executable, "-m", "metalff.cli", "inspect", str(tmp_path / "Cu.mlff")], capture_output=True, text=True).stdout
    below = shown.partition("error on validation")[2].partition("\nnote")[0].splitlines()
    assert (
        described["unlearnt"][0] in [line.strip().partition("  ")[0] for line in below]
        and "are not learnt" in shown
        and described["pressure"] in shown
    )


def test_deployed_it_has_the_errors_of_its_training(frames, trained, tmp_path):
    manifest = nep.deploy(trained, tmp_path / "Cu.mlff", accept_errors=True, say=lambda line: None)
    assert manifest.training.frames == 6 and manifest.training.seed == 1 and manifest.elements == ["Cu"]
    calculator, square = MLFFCalculator(tmp_path / "Cu.mlff"), []
    for frame in read_extxyz(frames / "cu-valid.xyz"):
        atoms = frame.to_atoms()
        atoms.calc = calculator
        square.append(((atoms.get_forces() - frame.forces) ** 2).ravel())
    rmse = np.sqrt(np.mean(np.concatenate(square)))
    assert rmse == pytest.approx(manifest.training.errors["validation"]["force_rmse"], abs=1e-5)


def test_two_elements_start_at_their_averages(frames, tmp_path):
    """One neuron per element carries what NEP4's common bias cannot."""
    done = run(frames, tmp_path / "cuni", "cuni", "--elements", "Ni,Cu")
    assert done.returncode == 0, done.stderr
    assert float(history(tmp_path / "cuni")[0][2]) < 0.5  # eV/atom; without a start at the averages: some eV
    assert (tmp_path / "cuni" / "nep.txt").read_text().startswith("nep4_zbl 2 Ni Cu\n")


def test_atoms_closer_than_any_in_the_data_repel_each_other(frames, trained, tmp_path):
    """However little it has learnt: the nuclear repulsion, from a little less than the shortest distance of the data on."""
    described = json.loads((trained / "training.json").read_text())
    shortest = described["shortest_distance"]
    assert described["config"]["zbl"] == pytest.approx(0.95 * shortest, abs=1e-3)
    assert (trained / "nep.txt").read_text().split("\n")[1] == f"zbl {described['config']['zbl'] / 2:g} {described['config']['zbl']:g}"
    energies = []
    for share in (0.4, 0.5, 0.6, 0.7, 1.0):
        pair = Atoms(
            "Cu2",
            positions=[[0, 0, 0], [0, 0, share * shortest]],
            cell=[20, 20, 20],
            pbc=True,
            calculator=Formulas((trained / "nep.txt").read_text()),
        )
        energies.append(pair.get_potential_energy())
    assert (np.diff(energies) < 0).all() and energies[0] - energies[-1] > 100.0
    assert run(frames, tmp_path / "cu", "cu", "--max-epochs", "1", "--set", "zbl=0").returncode == 0
    assert (tmp_path / "cu" / "nep.txt").read_text().startswith("nep4 1 Cu\n")


def test_no_environment_is_needed(frames, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "nowhere"))
    assert run(frames, tmp_path / "cu", "cu", "--max-epochs", "1").returncode == 0
    manifest = nep.deploy(tmp_path / "cu", tmp_path / "Cu.mlff", accept_errors=True, say=lambda line: None)
    assert "formulas in torch" in manifest.training.reference


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--set", "r_max_angular=7"], "r_max_angular 7 must not exceed r_max 5"),
        (["--set", "l_max=[1, 2, 0]"], "q_222 needs a first number of at least 2"),
        (["--precision", "float32"], "precision: input should be 'float64', not 'float32'"),
        (["--set", "neurons=9"], 'unknown key neurons (did you mean "neuron"?)'),
    ],
)
def test_bad_configuration(words, sentence, frames, tmp_path):
    done = run(frames, tmp_path / "cu", "cu", *words)
    assert done.returncode == 1 and sentence in " ".join(done.stderr.split()), done.stderr
    assert not (tmp_path / "cu").exists() and "Traceback" not in done.stderr


def test_a_directory_without_a_finished_training_is_refused(tmp_path):
    from metalff.errors import MetalffError

    (tmp_path / "nep.txt").write_text("nep4 1 Cu\n")
    with pytest.raises(MetalffError, match="holds no finished training"):
        nep.deploy(tmp_path, tmp_path / "x.mlff")


def test_stress_is_learnt_where_the_data_have_it(frames, trained, tmp_path):
    """The stress of a model that was trained without, a hundredth of eV/Å³ off, is what another learns."""
    nep.deploy(trained, tmp_path / "without.mlff", accept_errors=True, say=lambda line: None)
    without = MLFFCalculator(tmp_path / "without.mlff")

    def moved(frame):
        atoms = frame.to_atoms()
        atoms.calc = without
        return replace(frame, stress=atoms.get_stress(voigt=False) + 0.01 * np.eye(3))

    for part in ("train", "valid"):
        write_extxyz([moved(f) for f in read_extxyz(frames / f"cu-{part}.xyz")], tmp_path / f"cu-{part}.xyz")
    assert run(tmp_path, tmp_path / "with").returncode == 0
    assert json.loads((tmp_path / "with" / "config.json").read_text())["stress_weight"] == 10.0
    nep.deploy(tmp_path / "with", tmp_path / "with.mlff", accept_errors=True, say=lambda line: None)
    errors = []
    for calculator in (without, MLFFCalculator(tmp_path / "with.mlff")):
        differences = []
        for frame in read_extxyz(tmp_path / "cu-train.xyz"):
            atoms = frame.to_atoms()
            atoms.calc = calculator
            differences.append(atoms.get_stress(voigt=False) - frame.stress)
        errors.append(np.sqrt(np.mean(np.square(differences))))
    assert errors[1] < 0.8 * errors[0]
