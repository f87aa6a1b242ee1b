"""Logs: whole rows only, LAMMPS' sentence without its position."""

import pytest

from metalff.progress import clock
from metalff.sweep import log
from metalff.sweep.progress import time_left

LOG = """LAMMPS (22 Jul 2025 - Update 4)
   Step          Temp          PotEng         KinEng         TotEng         Press          Volume
         0  600 -1 2 1 5 100
WARNING: something in between
        10  590 -1.5 2.5 1 5 100
Loop time of 0.5 on 1 procs for 10 steps with 32 atoms
   Step          Temp          PotEng         KinEng         TotEng         Press          Volume
        10  590 -1.5 2.5 1 5 100
        20  580 nan 2.5 1 5 1"""


def test_rows(tmp_path):
    path = tmp_path / "log.lammps"
    path.write_text(LOG)
    assert log.thermo_rows(path)[:, 0].tolist() == [0, 10, 10]
    assert log.last_step(path) == 10
    assert log.speed(path) == (320.0, 0.5)
    assert log.version(path) == "22 Jul 2025 - Update 4"


def test_nothing_yet(tmp_path):
    path = tmp_path / "log.lammps"
    assert log.last_step(path) is None
    path.write_text("LAMMPS (22 Jul 2025)\n")
    assert len(log.thermo_rows(path)) == 0 and log.last_step(path) is None and log.error(path) == ""


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("ERROR: Lost atoms: original 32 current 31 (src/thermo.cpp:494)", "Lost atoms: original 32 current 31"),
        ("ERROR on proc 0: Cannot open file x.snap (src/a.cpp:1)Abort(1) on node 0", "Cannot open file x.snap"),
    ],
)
def test_error(tmp_path, line, sentence):
    path = tmp_path / "screen.txt"
    path.write_text(f"ERROR: an earlier one\n{line}\nLast input line: run 1\n")
    assert log.error(tmp_path / "none", path) == sentence


def test_time_left():
    """Two workers: half of the work, but not less than the longest job; unknown potentials count as usual ones."""
    jobs = [("a", 100), ("a", 100), ("b", 1000)]
    assert time_left(jobs, {}, 2) is None
    assert time_left(jobs, {"a": 1.0, "b": 10.0}, 2) == 150
    assert time_left(jobs, {"a": 1.0}, 2) == 1000
    assert clock(3725) == "1:02:05"


def test_out_of_memory_is_a_sentence_with_numbers(tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1200000000, -1))
    path = tmp_path / "screen.txt"
    path.write_text(
        "Created 864000 atoms\npair_style mlff: predicted peak memory 900 MB of the largest rank, 900 MB of the fullest machine; 1 MB left on this one\n"
        "C++ memory allocation failed: std::bad_alloc\nAbort(1) on node 0\n"
    )
    assert log.error(path) == (
        "the memory is full: 864000 atoms need more than the 1200 MB that a process may have (ulimit -v) (predicted peak memory 900 MB of the largest "
        "rank, 900 MB of the fullest machine; 1 MB left on this one); use fewer atoms, fewer jobs at a time, or more memory"
    )
