"""Queues of EMT labels: the machinery is the same, a label takes milliseconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def calculators_are_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture
def structures(tmp_path):
    """Five rattled cells of copper, with temperatures."""
    frames = []
    for seed in range(5):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.info = {"temperature": 300.0 if seed < 3 else 1358.0}
        frames.append(atoms)
    write(tmp_path / "cu.extxyz", frames, format="extxyz")
    return tmp_path / "cu.extxyz", frames


@pytest.fixture
def plan(tmp_path, structures):
    """Writes ``plan.yaml`` with this calculator, for those structures, and returns its path."""

    def written(calculator="emt", name="plan.yaml", parts=None, **more):
        content = {
            "out": str(tmp_path / "queue"),
            "calculator": calculator,
            "parts": parts or [{"name": "copper", "structures": str(structures[0])}],
            **more,
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content))
        return path

    return written


@pytest.fixture
def metalff():
    """Runs the command, or starts it; whatever was started is ended."""
    started = []

    def command(*words, wait=True):
        process = subprocess.Popen(
            [sys.executable, "-m", "metalff.cli", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    yield command
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def until(condition, seconds=60.0):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def labels_are_emt(frames, structures):
    """Frames have EMT's energies and forces."""
    from ase.calculators.emt import EMT

    assert len(frames) == len(structures)
    for frame, atoms in zip(frames, structures, strict=True):
        atoms = atoms.copy()
        atoms.calc = EMT()
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-6)
        np.testing.assert_allclose(frame.stress, atoms.get_stress(voigt=False), atol=1e-8)
