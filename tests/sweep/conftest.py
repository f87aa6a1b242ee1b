"""A finished sweep of copper (EAM, 32 atoms), made once, and helpers to start and kill sweeps."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

PLAN = {
    "element": "Cu",
    "lattice": "fcc",
    "a0": 3.615,
    "replicas": 2,
    "potentials": ["Cu/eam"],
    "temperatures": [300, 600],
    "steps": {"equilibrate": 400, "sample": 300, "drift": 200},
    "dump_interval": 50,
    "thermo_interval": 10,
    "restart_interval": 70,
    "out": "out",
}


def write_plan(folder: Path, **changes) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}))
    return path


def start(*arguments, **kwargs) -> subprocess.Popen:
    """``metalff sweep …`` in a process group of its own."""
    script = "import typer; from metalff.cli import sweep; app = typer.Typer(); app.callback()(lambda: None); sweep.register(app); app()"
    command = [sys.executable, "-c", script, "sweep", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **kwargs)


def descendants(pid: int) -> list[int]:
    """A process and everything that it started, directly or not."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pids: list[int]) -> None:
    """SIGKILL, and wait until they are gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    while any(map(is_alive, pids)):
        time.sleep(0.01)


def kill_all(process: subprocess.Popen) -> None:
    """SIGKILL for a sweep and its LAMMPS at once."""
    kill(descendants(process.pid))
    process.communicate()


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Folder of a finished sweep."""
    from metalff.sweep.sweep import run_sweep

    out, complete = run_sweep(write_plan(tmp_path_factory.mktemp("sweep")), command=["metalff", "sweep", "sweep.yaml"])
    assert complete
    return out
