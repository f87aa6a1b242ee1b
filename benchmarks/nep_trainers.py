"""The native NEP trainer beside those of PyPI, torchnep and neppo: the same data, architecture, batch size, time and thread.

    python benchmarks/nep_trainers.py [--minutes 3] [--data zuo2020-Cu:train] [--test zuo2020-Cu:test] [--batch-size 4] [--peers DIR]

Each peer is installed in a virtual environment of its own in --peers (created when missing). Seconds per epoch are measured first; then each
trains for as many epochs as fill the time, with its own optimiser and loss and a rate that falls over those epochs, and its nep.txt is tested by
the same engine. Prints seconds per epoch, epochs, and the errors on the test data.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from metalff.calculator import MLFFCalculator
from metalff.data import read
from metalff.deploy import nep
from metalff.paths import data_dir
from metalff.train import training
from metalff.train.configuration import configuration
from metalff.train.description import history

PEERS = {"torchnep": "torchnep==1.0.7", "neppo": "neppo==1.0"}
ARCHITECTURE = {"r_max": 6.0, "r_max_angular": 5.0, "n_max": [6, 6], "basis_size": [10, 10], "l_max": [4, 2, 1], "neuron": 40}
WARM = 2
"""Epochs, or the first of so many, that are not timed."""

TORCHNEP = """
import sys, torch
torch.set_num_threads(1)
from torchnep import train_nep
train_nep("nep.in", "train.xyz", output_dir="out", device="cpu", valid_ratio=0.05, prediction_interval=0, checkpoint_interval=10**6)
"""
NEPPO = """
import torch
torch.set_num_threads(1)
from neppo.nep_in import run
run(".", device="cpu")
"""


def python_of(name: str, folder: Path) -> Path:
    python = folder / name / "bin" / "python"
    if not (folder / name / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        for requirement in ("torch==2.13.0", "numpy", PEERS[name]):
            subprocess.run([python, "-m", "pip", "-q", "install", requirement], check=True, stderr=subprocess.DEVNULL)
        (folder / name / "ready").touch()
    return python


def write_data(frames, path: Path) -> None:
    """The extxyz of GPUMD; the virial is −V·stress."""
    with path.open("w") as stream:
        for frame in frames:
            header = {"Lattice": " ".join(f"{v:.10f}" for v in np.ravel(frame.cell)), "energy": f"{frame.energy:.10f}"}
            if frame.stress is not None:
                virial = -abs(np.linalg.det(frame.cell)) * frame.stress
                header["virial"] = " ".join(f"{v:.10f}" for v in virial.ravel())
            words = [f'{key}="{value}"' if " " in value else f"{key}={value}" for key, value in header.items()]
            stream.write(f'{len(frame)}\n{" ".join(words)} pbc="T T T" Properties=species:S:1:pos:R:3:force:R:3\n')
            for symbol, x, f in zip(frame.to_atoms().symbols, frame.positions, frame.forces):
                stream.write(f"{symbol} {' '.join(f'{v:.10f}' for v in (*x, *f))}\n")


def nep_in(element: str, batch: int, more: list[str]) -> str:
    a = ARCHITECTURE
    lines = ["version 4", f"type 1 {element}", f"cutoff {a['r_max']} {a['r_max_angular']}"]
    lines += [f"{key} {' '.join(map(str, a[key]))}" for key in ("n_max", "basis_size", "l_max")]
    return "\n".join([*lines, f"neuron {a['neuron']}", f"batch {batch}", *more]) + "\n"


def train_peer(name: str, python: Path, dataset, folder: Path, batch: int, epochs: int) -> Path:
    folder.mkdir(parents=True)
    write_data(dataset, folder / "train.xyz")
    if name == "torchnep":
        # its two stages, forces first, then energies; each lowers its rate twentyfold and more within its half of the epochs
        step = max(1, epochs // 20)
        more = [f"epoch {epochs}", "lr_scheduler step", f"scheduler_patience {step}", "scheduler_factor 0.7"]
        more += ["stage2 1", f"stage2_scheduler_patience {step}", "stage2_scheduler_factor 0.7"]
    else:
        # neppo scales its loss by the spread of forces and energies; it has no validation part of its own
        more = [f"generation {epochs * -(-len(dataset) // batch)}", "seed 1", f"output_interval {epochs * -(-len(dataset) // batch)}"]
    (folder / "nep.in").write_text(nep_in(dataset.elements[0], batch, more))
    script = {"torchnep": TORCHNEP, "neppo": NEPPO}[name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    with (folder / "log").open("w") as log:
        done = subprocess.run([python, "-c", script], cwd=folder, env=environment, stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"{name} failed:\n{(folder / 'log').read_text()[-2000:]}")
    found = [folder / "out" / "nep_best.txt"] if name == "torchnep" else [folder / "nep.txt"]
    return found[0]


def train_own(dataset, folder: Path, batch: int, epochs: int) -> Path:
    values = {"elements": dataset.elements, "threads": 1, "batch_size": batch, "max_epochs": epochs, "budget_s": 1e7} | ARCHITECTURE
    training.prepare("nep", configuration("nep", values), dataset, folder)
    training.train(folder)
    return folder / "nep.txt"


def errors(model: Path, dataset, folder: Path) -> tuple[float, float]:
    """Force RMSE (meV/Å) and energy RMSE (meV/atom), the latter after the best constant."""
    nep.deploy(model, folder / "model.mlff", say=lambda line: None)
    calculator, forces, energies = MLFFCalculator(folder / "model.mlff"), [], []
    for frame in dataset:
        atoms = frame.to_atoms()
        atoms.calc = calculator
        forces.append((atoms.get_forces() - frame.forces).ravel())
        energies.append((atoms.get_potential_energy() - frame.energy) / len(frame))
    return 1e3 * float(np.sqrt(np.mean(np.concatenate(forces) ** 2))), 1e3 * float(np.std(energies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--data", default="zuo2020-Cu:train")
    parser.add_argument("--test", default="zuo2020-Cu:test")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--peers", type=Path, default=data_dir() / "peers")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    dataset, test, rows = read(args.data), read(args.test), {}
    print("trainer    s/epoch   epochs   minutes   forces meV/Å   energies meV/atom", flush=True)
    for name in ("metalff", *PEERS):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            if name == "metalff":
                train_own(dataset, folder / "timing", args.batch_size, WARM + 4)
                timed = history(folder / "timing" / "history.csv")
                epoch = (timed[-1]["elapsed_s"] - timed[WARM - 1]["elapsed_s"]) / (len(timed) - WARM)

                def train(path, epochs):
                    return train_own(dataset, path, args.batch_size, epochs)
            else:
                python = python_of(name, args.peers.absolute())

                def train(path, epochs, name=name, python=python):
                    return train_peer(name, python, dataset, path, args.batch_size, epochs)

                times = []
                for epochs in (1, 1 + WARM):
                    start = time.monotonic()
                    train(folder / f"timing-{epochs}", epochs)
                    times.append(time.monotonic() - start)
                epoch = (times[1] - times[0]) / WARM
            epochs = max(1, round(60 * args.minutes / epoch))
            start = time.monotonic()
            model = train(folder / "training", epochs)
            minutes = (time.monotonic() - start) / 60
            force, energy = errors(model, test, folder)
        rows[name] = {"seconds_per_epoch": epoch, "epochs": epochs, "minutes": minutes, "force_rmse": force, "energy_rmse": energy}
        print(f"{name:9s} {epoch:8.2f} {epochs:8d} {minutes:9.1f} {force:14.1f} {energy:19.1f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
