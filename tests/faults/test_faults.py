"""Full disks, missing locks and kills at every call that changes a file: nothing finished is lost, and the same command goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from metalff.lammps import environment, lmp_executable
from metalff.paths import PART, atomic_path, atomic_write
from metalff.sweep.expand import jobs
from metalff.sweep.job import JobFolder
from metalff.sweep.plan import read_plan
from metalff.sweep.record import Record
from metalff.sweep.sweep import run_sweep

HERE = Path(__file__).parent
KILL, FULL, NO_LOCKS = 1, 2, 3

PLAN = {
    "element": "Cu",
    "lattice": "fcc",
    "a0": 3.615,
    "replicas": 2,
    "potentials": ["Cu/eam"],
    "temperatures": [300],
    "steps": {"equilibrate": 10, "sample": 20, "drift": 0},
    "dump_interval": 10,
    "thermo_interval": 10,
    "out": "out",
}


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Path:
    """A sweep's folder whose LAMMPS has ended, before its results are written."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(PLAN))
    plan = read_plan(folder / "sweep.yaml")
    job = JobFolder(folder / "out", jobs(plan, folder)[0])
    segment, arguments = job.open_segment()
    with (segment / "screen.txt").open("w") as screen:
        subprocess.run([lmp_executable(), *arguments], cwd=segment, env=environment(), stdout=screen, check=True)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A set of two files."""
    folder = tmp_path_factory.mktemp("set")
    for number in range(2):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=number)
        atoms.calc = EMT()
        atoms.get_forces()
        write(folder / f"Cu_fcc_{300 * (number + 1)}.extxyz", atoms)
    return folder


def disturbed(preloaded, name: str, fault: int, stride: int, root: Path, *more) -> dict:
    done = subprocess.run(
        [sys.executable, HERE / "scenarios.py", name, str(fault), str(stride), root, *more],
        env={**os.environ, "LD_PRELOAD": str(preloaded)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_while_a_job_becomes_results(stride, preloaded, ended, tmp_path):
    shutil.copytree(ended, tmp_path / "source")
    found = disturbed(preloaded, "job", KILL, stride, tmp_path)
    assert not found["problems"] and found["calls"] > 20, found


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_the_disk_is_full_while_a_job_becomes_results(stride, preloaded, ended, tmp_path):
    """Also inside HDF5, which has sentences of its own."""
    shutil.copytree(ended, tmp_path / "source")
    found = disturbed(preloaded, "job", FULL, stride, tmp_path)
    assert not found["problems"] and found["calls"] > 10, found
    assert all(line.startswith("[Errno 28] No space left on device: ") for line in found["said"]), found


@pytest.mark.parametrize("fault", [KILL, FULL])
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_an_import(fault, stride, preloaded, published, tmp_path):
    found = disturbed(preloaded, "import", fault, stride, tmp_path, published)
    assert not found["problems"] and found["calls"] > 10, found
    assert all(line.startswith("[Errno 28] No space left on device: ") for line in found["said"]), found


@pytest.mark.parametrize("fault", [KILL, FULL])
@pytest.mark.parametrize("name", ["validation", "properties"])
@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_validations_and_properties(name, fault, stride, preloaded, published, tmp_path):
    """The same command goes on after any of it, and what has its name is whole."""
    found = disturbed(preloaded, name, fault, stride, tmp_path, published)
    assert not found["problems"] and found["calls"] > 5, found
    assert all("No space left on device" in line for line in found["said"]), found


def test_a_file_system_without_locks(preloaded, tmp_path):
    found = disturbed(preloaded, "lock", NO_LOCKS, 1, tmp_path)
    assert found["said"] and "gives no locks (No locks available)" in found["said"][0]
    assert not found["problems"]


def test_data_and_names_are_on_the_disk_before_the_record_and_the_record_before_sources_go(ended, tmp_path, monkeypatch):
    shutil.copytree(ended, tmp_path / "copy")
    plan = read_plan(tmp_path / "copy/sweep.yaml")
    job = JobFolder(tmp_path / "copy/out", jobs(plan, tmp_path)[0])
    events, fsync, replace, rmtree = [], os.fsync, os.replace, shutil.rmtree

    def short(path) -> str:
        name = Path(path).name
        return name.split(".")[1] if PART.fullmatch(name) else name

    monkeypatch.setattr(os, "fsync", lambda d: (events.append(f"sync {short(os.readlink(f'/proc/self/fd/{d}'))}"), fsync(d)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(f"name {Path(b).name}"), replace(a, b)))
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: (events.append(f"remove {Path(path).name}"), rmtree(path)))
    job.finish("lmp")
    for name in ("thermo.csv", "trajectory.h5", "log.lammps", "job.json"):
        at = events.index(f"name {name}")
        assert events[at - 1] == f"sync {name.split('.')[0]}" and events[at + 1] == "sync 300K", events
    assert max(events.index(f"name {name}") for name in ("thermo.csv", "trajectory.h5")) < events.index("name job.json")
    assert events[-1] == "remove segments"


def test_temporary_files_of_dead_writers_go(tmp_path, monkeypatch):
    from metalff import paths

    dead = subprocess.Popen(["true"])
    dead.wait()
    with atomic_path(tmp_path / "a") as mine:
        pass
    here = PART.fullmatch(mine.name)["system"]
    old, other = f".x.00000000-{os.getpid()}.abc.part", ".x.00000000-7.abc.part"
    names = [f".x.{here}-{dead.pid}.abc.part", f".x.{here}-{os.getppid()}.abc.part", old, other, ".x.part"]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / old, (1e9, 1e9))
    monkeypatch.setattr(paths, "_looked_at", set())
    with atomic_write(tmp_path / "a") as stream:
        stream.write("b")
    assert {path.name for path in tmp_path.iterdir()} == {"a", names[1], other, ".x.part"}


def test_frames_that_are_lost_are_run_again(ended, tmp_path, capfd):
    """The job goes on from the last restart file before them, or anew; it is not to be deleted by hand."""
    shutil.copytree(ended, tmp_path / "copy")
    out = tmp_path / "copy/out"
    dump = out / "Cu-eam/300K/segments/001/run.dump"
    text = dump.read_text()
    plan = read_plan(tmp_path / "copy/sweep.yaml")
    Record(tmp_path / "new", plan, tmp_path, jobs(plan, tmp_path), [], []).claim()
    shutil.copy(tmp_path / "new/sweep.json", out)
    dump.write_text(text[: len(text) // 2] + "\0" * (len(text) // 2) + "\n")
    _, complete = run_sweep(tmp_path / "copy/sweep.yaml")
    assert complete and "written from step 20 on is not there any more; it is run again" in capfd.readouterr().err
    assert json.loads((out / "Cu-eam/300K/job.json").read_text())["status"] == "finished"
