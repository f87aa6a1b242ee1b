"""The protocol with GPAW itself, where its environment is: forces and stress are derivatives of the energy that is kept."""

import json

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write

from metalff import data, environments

STEP = 0.02
"""Å, and relative length."""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(environments.status("gpaw").state != "ready", reason="no environment for gpaw (metalff env create gpaw)"),
]


def test_forces_and_stress_are_derivatives_of_the_free_energy(metalff, tmp_path):
    atoms = bulk("Al", cubic=True)
    atoms.rattle(0.1, seed=1)
    frames = [atoms]
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * STEP
        longer = atoms.copy()
        longer.set_cell(np.diag([1 + sign * STEP / 2, 1, 1]) @ atoms.cell.array, scale_atoms=True)
        frames += [moved, longer]
    write(tmp_path / "al.traj", frames)
    scf = {"convergence": {"eigenstates": 1e-8, "density": 1e-6}, "mode": {"ecut": 450}}
    part = {"name": "al", "structures": str(tmp_path / "al.traj"), "smearing": [0.5], "k_density": 2.5}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"calculator": {"name": "gpaw", "arguments": scf}, "parts": [part]}))
    assert metalff("dft", "queue", tmp_path / "plan.yaml", "--out", tmp_path / "queue").returncode == 0
    ran = metalff("dft", "run", tmp_path / "queue")
    assert ran.returncode == 0, ran.stderr
    found = data.read(tmp_path / "queue" / "sets" / "al-0.5eV" / "structures.extxyz").frames
    here, right, longer, left, shorter = found
    assert -(right.energy - left.energy) / (2 * STEP) == pytest.approx(here.forces[0, 0], abs=0.01)
    slope = (longer.energy - shorter.energy) / STEP / atoms.get_volume()
    assert slope == pytest.approx(here.stress[0, 0], abs=0.002)
    assert abs(here.forces[0, 0]) > 0.1


def test_every_rung_of_the_ladder_leads_to_the_same_label(metalff, tmp_path):
    atoms = bulk("Al", cubic=True)
    atoms.rattle(0.1, seed=1)
    write(tmp_path / "al.traj", atoms)
    part = {"name": "al", "structures": str(tmp_path / "al.traj"), "k_density": 1.5}
    mixing = {"mixer": {"name": "pulay", "beta": 0.03, "nmaxold": 8, "weight": 100}}
    ways = {"straight": {}, "ladder": {"arguments": {"maxiter": 3}, "ladder": [mixing, {"start_smearing": 5.0, "maxiter": 200, **mixing}]}}
    frames = {}
    for name, more in ways.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"calculator": {"name": "gpaw", **more}, "parts": [part]}))
        metalff("dft", "queue", tmp_path / f"{name}.yaml", "--out", tmp_path / name)
        ran = metalff("dft", "run", tmp_path / name)
        assert ran.returncode == 0, ran.stderr
        frames[name] = data.read(tmp_path / name / "sets" / "al-0.1eV" / "structures.extxyz").frames[0]
    record = next(iter(json.loads((tmp_path / "ladder/sets/al-0.1eV/manifest.json").read_text())["tasks"].values()))
    assert [t["reason"] for t in record["tries"]] == ["KohnShamConvergenceError: it did not converge"] * 2
    assert frames["ladder"].energy == pytest.approx(frames["straight"].energy, abs=1e-4)
    np.testing.assert_allclose(frames["ladder"].forces, frames["straight"].forces, atol=0.01)
