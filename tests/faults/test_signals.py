"""What a batch system, a terminal that goes, and Ctrl-C send: children end, restart files stay, a line says how to go on."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from metalff import data
from metalff.data import layout
from metalff.lammps import is_whole_restart
from metalff.pool import side_by_side
from metalff.signals import TOGETHER
from metalff.sweep.log import last_step

COMMAND = [sys.executable, "-c", "from metalff.cli import main; main()"]

PLAN = {
    "element": "Cu",
    "lattice": "fcc",
    "a0": 3.615,
    "replicas": 3,
    "potentials": ["Cu/eam"],
    "temperatures": [300, 600],
    "steps": {"equilibrate": 10, "sample": 10000000, "drift": 0},
    "dump_interval": 10000,
    "thermo_interval": 100,
    "restart_interval": 200,
    "workers": 2,
    "out": "out",
}


def lammps_below(folder) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/cwd").startswith(str(folder)):
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_ends_its_lammps(number, tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(PLAN))
    process = subprocess.Popen([*COMMAND, "sweep", tmp_path / "sweep.yaml"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    logs = [tmp_path / f"out/Cu-eam/{t}K/segments/001/log.lammps" for t in (300, 600)]
    while not all((last_step(log) or 0) > 300 for log in logs):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    assert len(lammps_below(tmp_path / "out")) >= 2
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert f"stopping ({number.name}); once more to stop at once" in said
    assert "To go on from the last restart files: metalff sweep" in said
    assert not lammps_below(tmp_path / "out")
    assert all(any(map(is_whole_restart, log.parent.glob("run.restart.?"))) for log in logs)


def test_a_validation_ends_its_processes_and_leaves_nothing(tmp_path):
    layout.write_file(data.read("zuo2020-Cu:test").frames * 60, tmp_path / "Cu_fcc_300.extxyz")
    (tmp_path / "here").mkdir()
    words = ["validate", "Cu/meam", "--data", tmp_path / "Cu_fcc_300.extxyz", "--out", "out", "--jobs", "2"]
    process = subprocess.Popen([*COMMAND, *words], cwd=tmp_path / "here", stderr=subprocess.PIPE, text=True, start_new_session=True)
    while len(lammps_below(tmp_path / "here")) < 4:  # the command, two processes, and what looks after these
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM and "stopping (SIGTERM)" in said and "Traceback" not in said
    assert not lammps_below(tmp_path / "here") and not list((tmp_path / "here").iterdir())


def test_a_computation_that_python_cannot_interrupt():
    """The first signal is acknowledged at once all the same, and the second cuts it off."""
    script = (
        "import ctypes, time; from metalff.signals import TOGETHER, ending\n"
        "wait = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(('sem_wait', ctypes.CDLL(None)))\n"
        "with ending():\n"
        " print('in', flush=True)\n"
        " none = ctypes.create_string_buffer(64)\n"
        " deaf = ctypes.CDLL(None).siginterrupt\n"
        " [deaf(number, 0) for number in (1, 2, 15)]\n"  # the wait goes on after a signal, as a computation does
        " wait(ctypes.addressof(none))\n"
        " print('never')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.stderr.readline()
    assert process.stderr.readline() == "metalff: stopping (SIGTERM); once more to stop at once\n"
    time.sleep(2 * TOGETHER)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM and process.stdout.read() == ""


@pytest.mark.parametrize("where", ["__del__", "callback"])
def test_an_interruption_that_python_swallows_comes_again(where):
    """What is raised in a destructor or in a callback of a weak reference, Python reports and forgets."""
    script = (
        "import sys, time, weakref; from metalff.signals import ending\n"
        "class Slow:\n"
        " def __del__(self): wait('__del__')\n"
        "def wait(where):\n"
        " if where == sys.argv[1]: print('in', flush=True); time.sleep(30)\n"
        "with ending() as found:\n"
        " try:\n"
        "  slow = Slow(); kept = weakref.ref(slow, lambda _: wait('callback')); del slow\n"
        "  time.sleep(30)\n"
        " except KeyboardInterrupt: print('ended', found.status)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "ended 143\n") and "Traceback" not in said and said.count("stopping") == 1


def test_a_signal_that_was_ignored_stays_ignored():
    """As `nohup` and a shell's background jobs have it."""
    script = "import os, signal; from metalff.signals import ending\nwith ending():\n os.kill(os.getpid(), signal.SIGHUP); print('alive')"
    done = subprocess.run(["nohup", sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "alive\n"


def sleeper(folder: str) -> None:
    """A child in a session of its own, ended on the way out, as every LAMMPS is."""
    process = subprocess.Popen(["sleep", "1000"], cwd=folder, start_new_session=True)
    try:
        process.wait()
    finally:
        process.kill()
        process.wait()


def test_processes_of_a_pool_end_their_children(tmp_path):
    def interrupt(running) -> None:
        if len(lammps_below(tmp_path)) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(sleeper, {"a": (str(tmp_path),), "b": (str(tmp_path),)}, 2, interrupt))
    assert not lammps_below(tmp_path)


def test_processes_of_a_pool_end_with_the_one_that_is_killed(tmp_path):
    """SIGKILL, as of a system whose memory is full, leaves the one that began them no time to tell them."""
    script = (
        "import time; from metalff.pool import side_by_side\nif __name__ == '__main__': list(side_by_side(time.sleep, {1: (1000,), 2: (1000,)}, 2))"
    )
    (tmp_path / "pool.py").write_text(script)
    process = subprocess.Popen([sys.executable, "pool.py"], cwd=tmp_path)
    while len(lammps_below(tmp_path)) < 4:  # with that which counts the resources of both
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while lammps_below(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lammps_below(tmp_path)
