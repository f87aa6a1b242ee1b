"""Campaigns by Parsl: the same folder, the same resume, and a worker that is killed loses nothing."""

import json
import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from metalff.errors import MetalffError
from metalff.sweep.plan import ParslSettings, read_plan

from .conftest import descendants, kill_all, start, write_plan

parsl = pytest.importorskip("parsl")

LONG = {
    "replicas": 3,
    "potentials": ["Cu/eam"],
    "temperatures": [500, 600],
    "steps": {"equilibrate": 2000, "sample": 4000, "drift": 2000},
    "restart_interval": 500,
    "executor": "parsl",
    "parsl": {"max_workers": 2},
}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def lammps_of(job: Path) -> int:
    """Process of LAMMPS that works in a job's folder, the outermost one; workers of Parsl are no children of the manager."""
    return min(int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if cwd_of(pid).startswith(str(job.resolve())))


def cwd_of(pid) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def wait_for_step(process, job: Path, step: int) -> None:
    from metalff.sweep.log import last_step

    while not any((last_step(log) or -1) >= step for log in job.glob("segments/*/log.lammps")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def starts_at_zero(folder: Path) -> int:
    lines = (folder / "log.lammps").read_text().split("\n")
    return [int(after.split()[0]) for line, after in pairwise(lines) if line.split()[:2] == ["Step", "Temp"]].count(0)


@pytest.mark.parametrize("with_lammps", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["with its LAMMPS", "alone"])
def test_a_killed_worker(with_lammps, tmp_path):
    """Its job is taken up again by another worker, from the newest restart file, or when the LAMMPS that it left has ended; the other job does not notice."""
    plan, out = write_plan(tmp_path, **LONG), tmp_path / "out"
    process = start(plan)
    hit, other = out / "Cu-eam/600K", out / "Cu-eam/500K"
    wait_for_step(process, hit, 2500)
    lammps = lammps_of(hit)
    worker = parent_of(lammps)
    assert "multiprocessing" in command_of(worker)
    tree = descendants(lammps) if with_lammps else []
    for pid in [worker, *tree]:
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Cu-eam/600K: its worker was lost" in errors
    jobs = json.loads((out / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs.values()] == ["finished"] * 2
    assert jobs["Cu-eam/600K"]["starts"] == 1 + with_lammps and jobs["Cu-eam/500K"]["starts"] == 1
    assert starts_at_zero(hit) == starts_at_zero(other) == 1


@pytest.mark.slow
def test_a_killed_manager_goes_on_here(tmp_path):
    """The folder of a campaign by Parsl is gone on with by the local executor, which waits for what workers still write; nothing is run twice."""
    plan, out = write_plan(tmp_path, **LONG), tmp_path / "out"
    process = start(plan)
    for job in ("Cu-eam/500K", "Cu-eam/600K"):
        wait_for_step(process, out / job, 1500)
    kill_all(process)  # its workers and their LAMMPS live on
    process = start(write_plan(tmp_path, **{**LONG, "executor": "local"}))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for job in ("Cu-eam/500K", "Cu-eam/600K"):
        assert starts_at_zero(out / job) == 1 and json.loads((out / job / "job.json").read_text())["starts"] == 1


def test_providers():
    from metalff.sweep.parsl_executor import config_of, provider_of

    slurm = provider_of(ParslSettings(provider="slurm", nodes=3, account="a", partition="p", walltime="10:00:00", scheduler_options="#SBATCH --x"))
    assert (slurm.nodes_per_block, slurm.account, slurm.partition, slurm.walltime) == (3, "a", "p", "10:00:00")
    assert f'{Path(sys.prefix) / "bin"}' in slurm.worker_init and "#SBATCH --x" in slurm.scheduler_options
    pbs = provider_of(ParslSettings(provider="pbspro", queue="q", worker_init="module load x"))
    assert pbs.queue == "q" and "module load x" in pbs.worker_init
    config = config_of(ParslSettings(max_workers=3, cores_per_worker=2), Path("/tmp"))
    assert config.executors[0].max_workers_per_node == 3 and config.executors[0].cores_per_worker == 2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"provider": "slurm", "queue": "q"}, "parsl.queue means nothing to the provider slurm; it knows account, partition"),
        ({"provider": "kubernetes"}, "parsl.image is missing"),
    ],
)
def test_refuses_settings_of_another_provider(settings, message):
    from metalff.sweep.parsl_executor import provider_of

    with pytest.raises(MetalffError, match=message):
        provider_of(ParslSettings(**settings))


@pytest.mark.parametrize("text, message", [("config = 1", "must define config"), ("1/0", "does not run: ZeroDivisionError"), (None, "there is no such file")])
def test_refuses_a_file_without_a_configuration(text, message, tmp_path):
    from metalff.sweep.parsl_executor import config_of_file

    if text:
        (tmp_path / "my.py").write_text(text)
    with pytest.raises(MetalffError, match=message):
        config_of_file(tmp_path / "my.py")


def test_files_are_not_named_by_the_plan(tmp_path):
    """A plan may come from anywhere, and a file of Parsl's is executed."""
    with pytest.raises(MetalffError, match="unknown key parsl.config"):
        read_plan(write_plan(tmp_path, executor="parsl", parsl={"config": "my.py"}))


def test_without_parsl(tmp_path, monkeypatch):
    import importlib.util

    from metalff.sweep.sweep import run_sweep

    usual = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "parsl" else usual(name, *rest))
    with pytest.raises(MetalffError, match=r"executor: parsl needs parsl, not installed here; run: pip install 'metalff\[parsl\]'"):
        run_sweep(write_plan(tmp_path, executor="parsl"))
    assert not (tmp_path / "out").exists()
