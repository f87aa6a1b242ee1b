"""A real fit of a polynomial, tiny, by the command: interrupted and resumed, deployed, refused."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from metalff import MLFFCalculator
from metalff.artifact import read_manifest
from metalff.cli import build_app
from metalff.data import load, read_extxyz, write_extxyz
from metalff.deploy import poly
from metalff.errors import MetalffError
from metalff.poly.program import from_bytes

SMALL = [f"--set={word}" for word in ("degree=[5, 6, 6]", "radial=3", "l_max=3", "radial_steps=2", "polynomials=5", "cutoff_power=3")]


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Few and small frames of lithium, and the same with the second half of each frame's atoms called copper."""
    folder = tmp_path_factory.mktemp("frames")
    small = [f for f in load("zuo2020-Li", "train") if len(f) >= 32][:24]
    mixed = [replace(f, numbers=np.where(np.arange(len(f)) < len(f) // 2, 3, 29)) for f in small]
    for name, some in (("li", small), ("licu", mixed)):
        write_extxyz(some[::2], folder / f"{name}-train.xyz")
        write_extxyz(some[1::2], folder / f"{name}-valid.xyz")
    return folder


def command(frames: Path, out: Path, data="li", *more):
    words = ["--data", frames / f"{data}-train.xyz", "--valid-data", frames / f"{data}-valid.xyz", "--out", out, "--threads", 1, "--r-max", 5]
    return [sys.executable, "-m", "metalff.cli", "train", "poly", *map(str, (*words, *SMALL, *more))]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True)


@pytest.fixture(scope="module")
def fitted(frames, tmp_path_factory):
    out = tmp_path_factory.mktemp("fitted") / "li"
    outcome = run(frames, out)
    assert outcome.returncode == 0, outcome.stderr
    return out


def test_the_fit_learns_and_says_what_it_did(fitted, frames):
    described = json.loads((fitted / "training.json").read_text())
    forces = np.concatenate([f.forces for f in read_extxyz(frames / "li-valid.xyz")])
    assert described["errors"]["validation"]["force_rmse"] < 0.25 * np.sqrt(np.mean(forces**2))
    with (fitted / "sizes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    functions, errors = ([float(row[key]) for row in rows] for key in ("functions", "held_out_error"))
    assert functions == sorted(functions) and len(rows) > 2 and errors[-1] < errors[0]
    assert sum(row["chosen"] == "1" for row in rows) == 1
    steps = [line for line in (fitted / "train.log").read_text().splitlines() if line.startswith("step ")]
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in steps]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_deployed(fitted, frames, tmp_path):
    manifest = poly.deploy(fitted, tmp_path / "Li.mlff", say=lambda line: None)
    assert (manifest.family, manifest.elements, manifest.r_max) == ("poly", ["Li"], 5.0)
    calculator, errors = MLFFCalculator(tmp_path / "Li.mlff"), []
    for frame in read_extxyz(frames / "li-valid.xyz"):
        atoms = frame.to_atoms()
        atoms.calc = calculator
        errors.append(atoms.get_forces() - frame.forces)
    rmse = np.sqrt(np.mean(np.concatenate(errors) ** 2))
    assert rmse == pytest.approx(json.loads((fitted / "training.json").read_text())["errors"]["validation"]["force_rmse"], rel=1e-3)


def test_atoms_too_close_repel(fitted, tmp_path):
    poly.deploy(fitted, tmp_path / "Li.mlff", say=lambda line: None)
    calculator = MLFFCalculator(tmp_path / "Li.mlff", extrapolation="ignore")
    energies = [Atoms("Li2", [[0, 0, 0], [0, 0, d]], calculator=calculator).get_potential_energy() for d in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert np.all(np.diff(energies) < 0) and energies[0] > 100


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_fit_goes_on(fitted, frames, tmp_path, sign):
    out = tmp_path / "li"
    process = subprocess.Popen(command(frames, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (out / "radial.npz").exists():
        time.sleep(0.01)
    process.send_signal(sign)
    assert process.wait() != 0 or sign == signal.SIGTERM
    outcome = run(frames, out)
    assert outcome.returncode == 0, outcome.stderr
    ours, theirs = (from_bytes((folder / "poly.safetensors").read_bytes()) for folder in (out, fitted))
    assert np.allclose(ours.programs[0].weights, theirs.programs[0].weights, rtol=1e-4, atol=1e-8)
    assert np.allclose(ours.pairs[0, 0].table, theirs.pairs[0, 0].table, rtol=1e-6, atol=1e-9)


def test_two_elements(frames, tmp_path):
    out = tmp_path / "licu"
    outcome = run(frames, out, "licu", "--set", "degree=[4,4,4]")
    assert outcome.returncode == 0, outcome.stderr
    poly.deploy(out, tmp_path / "LiCu.mlff", accept_errors=True, say=lambda line: None)
    manifest = read_manifest(tmp_path / "LiCu.mlff")
    frame = read_extxyz(frames / "licu-valid.xyz").frames[0]
    atoms = frame.to_atoms()
    atoms.calc = MLFFCalculator(tmp_path / "LiCu.mlff")
    assert manifest.elements == ["Li", "Cu"]
    assert np.sqrt(np.mean((atoms.get_forces() - frame.forces) ** 2)) < 0.6 * np.sqrt(np.mean(frame.forces**2))


def test_a_damaged_state_is_told(frames, tmp_path):
    out = tmp_path / "li"
    assert run(frames, out).returncode == 0
    (out / "result.json").unlink()
    (out / "radial.npz").write_bytes(b"PK\3\4nothing")
    outcome = run(frames, out)
    assert outcome.returncode == 1 and "radial.npz cannot be read" in outcome.stderr and "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--set", "lr=0.1"], "a polynomial is fitted by least squares, which has no lr"),
        (["--set", "polynomials=2"], "3 radial functions cannot be sums of 2 polynomials"),
        (["--set", "degree=[]"], "degree"),
        (["--set", "l_max=40"], "l_max"),
        (["--lr", "0.1"], "No such option: --lr"),
        (["--set", "radial=12", "--set", "degree=[40,40,40]", "--set", "l_max=8", "--set", "radial_steps=0"], "is too large to fit"),
    ],
)
def test_refused_in_a_sentence(frames, tmp_path, words, sentence):
    outcome = run(frames, tmp_path / "li", "li", *words)
    assert outcome.returncode != 0 and "Traceback" not in outcome.stderr
    assert sentence in " ".join(outcome.stderr.split())


def test_nothing_to_deploy(tmp_path):
    outcome = CliRunner().invoke(build_app(), ["deploy", "poly", str(tmp_path), "-o", str(tmp_path / "x.mlff")])
    assert outcome.exit_code != 0 and not (tmp_path / "x.mlff").exists()
    with pytest.raises(MetalffError, match="holds no finished fit: give a directory of 'metalff train poly'"):
        poly.deploy(tmp_path, tmp_path / "x.mlff")
