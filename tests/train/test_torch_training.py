"""A module of the user's own, trained by the command on folds: killed and resumed, deployed, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import metalff.deploy
from metalff import artifact
from metalff.data import load, read, write_extxyz
from metalff.deploy import torch_module
from metalff.train.description import history

NETWORK = Path(__file__).parents[2] / "docs" / "examples" / "chebyshev_network.py"
EPOCHS = 8


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Few and small frames: the hottest lithium."""
    path = tmp_path_factory.mktemp("frames") / "li.xyz"
    write_extxyz(load("zuo2020-Li", "train").filter(group="aimd", temperature=907.0).frames[:16], path)
    return path


def command(frames: Path, out: Path, *more, module=f"{NETWORK}:Network"):
    words = [module, "--data", frames, "--out", out, "--folds", 4, "--fold", 2, "--block", 2, "--threads", 1, "--batch-size", 2]
    words += [
        "--budget",
        "1000d",
        "--max-epochs",
        EPOCHS,
        "--r-max",
        5,
        "--set",
        "warmup_steps=1",
        "--lr",
        0.03,
        "--set",
        "arguments={width: 8, functions: 4, order: 4}",
        *more,
    ]
    return [sys.executable, "-m", "metalff.cli", "train", "torch", *map(str, words)]


def run(*arguments, **named):
    return subprocess.run(command(*arguments, **named), capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(frames, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "li"
    done = run(frames, out)
    assert done.returncode == 0, done.stderr
    assert "test part of the fold" in done.stdout and f"next: metalff deploy torch {out}" in done.stdout
    return out


def test_it_learns(trained):
    errors = [row["force_rmse_valid"] for row in history(trained / "history.csv")]
    assert len(errors) == EPOCHS and min(errors) < 0.95 * errors[0]


def test_the_deployed_model_has_the_errors_that_were_said(trained, tmp_path):
    """On the test part of the fold; by the module itself in float64, so up to the float32 of the training."""
    described = json.loads((trained / "training.json").read_text())
    said = described["errors"]["test"]
    assert described["folds"] == 4 and described["fold"] == 2 and "__pycache__" not in os.listdir(trained)
    sys.path.append(str(Path(metalff.deploy.__file__).parent))
    try:
        from torch_worker import ModuleCalculator, restore
    finally:
        sys.path.pop()
    model, _ = restore(trained / NETWORK.name, "Network", {}, trained / "weights.safetensors")
    forces, energies = [], []
    for frame in read(trained / "test.extxyz"):
        atoms = frame.to_atoms()
        atoms.calc = ModuleCalculator(model)
        forces.append(atoms.get_forces() - frame.forces)
        energies.append((atoms.get_potential_energy() - frame.energy) / len(frame))
    assert len(energies) == said["frames"] >= 4
    assert np.sqrt(np.mean(np.concatenate(forces) ** 2)) == pytest.approx(said["force_rmse"], rel=1e-4)
    assert np.sqrt(np.mean(np.square(energies))) == pytest.approx(said["energy_rmse"], rel=1e-3)

    torch_module.deploy(trained, tmp_path / "li.mlff", accept_errors=True, say=lambda line: None)
    opened = artifact.open_artifact(tmp_path / "li.mlff")
    assert opened.manifest.training.errors["test"] == said and opened.manifest.r_max == 5
    assert opened.manifest.training.config["model"]["arguments"]["width"] == 8
    (bulk, *_) = opened.selftest()
    from ase import Atoms

    atoms = Atoms(bulk["symbols"], positions=bulk["positions"], cell=bulk["cell"], pbc=True, calculator=ModuleCalculator(model))
    assert atoms.get_potential_energy() == pytest.approx(bulk["energy"], abs=1e-9)


def test_killed_and_resumed_it_is_the_same(frames, trained, tmp_path):
    """Also the errors on the test part, which are those of the best epoch, whichever run it was in."""
    out = tmp_path / "li"
    process = subprocess.Popen(command(frames, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (out / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.02)
    worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    os.kill(worker, signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists(), "it was not killed in time"
    done = run(frames, out)
    assert done.returncode == 0, done.stderr
    results = [json.loads((path / "result.json").read_text()) for path in (trained, out)]
    assert results[0]["test"] == results[1]["test"] and results[0]["steps"] == results[1]["steps"]


def test_another_module_is_another_training(frames, trained, tmp_path):
    changed = tmp_path / NETWORK.name
    changed.write_text(NETWORK.read_text() + "\n# another\n")
    done = run(frames, trained, module=f"{changed}:Network")
    assert done.returncode == 1 and "holds another training (other module_sha256)" in done.stderr.replace("\n", " ")


FIXED = """
import torch
class Pairs(torch.nn.Module):
    elements, r_max = ["Li"], 3.5
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))
    def forward(self, v, e, t):
        r = torch.linalg.norm(v, dim=1)
        return self.w * torch.zeros_like(t, dtype=v.dtype).index_add(0, e[0], {pair})
"""


@pytest.mark.parametrize(
    "pair, more, sentence",
    [
        ("(1 - (r / 3.5).clamp(max=1)) ** 2", [], "has 3.5 for --r-max and the training 5.0"),
        ("(1 - (r / 3.5).clamp(max=1))", ["--r-max", "3.5"], "atomic_energy must vanish smoothly at r_max"),
        ("(1 - (r / 3.5).clamp(max=1)) ** 2", ["--r-max", "3.5", "--set", "arguments={width: 3}"], "unexpected keyword argument 'width'"),
    ],
)
def test_refused_before_the_first_step(pair, more, sentence, frames, tmp_path):
    module = tmp_path / "pairs.py"
    module.write_text(FIXED.format(pair=pair))
    done = run(frames, tmp_path / "out", "--set", "arguments={}", *more, module=f"{module}:Pairs")
    assert done.returncode == 1 and "the training failed: " in done.stderr and sentence in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out" / "history.csv").exists()
