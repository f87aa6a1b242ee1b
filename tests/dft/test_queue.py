"""The queue: every task labelled once, whatever is killed; failures named; sets that ``--data`` reads."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from dft.conftest import labels_are_emt, until
from metalff import data
from metalff.dft import control
from metalff.dft.queue import Queue, make
from metalff.dft.sets import pack
from metalff.errors import MetalffError


def count(log) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_labels_become_sets_in_the_layout(plan, metalff, structures, tmp_path):
    made = metalff("dft", "queue", plan())
    assert made.returncode == 0 and "5 labels in 1 sets (copper), 0 done" in made.stdout
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0
    folder = tmp_path / "queue" / "sets" / "copper"
    assert sorted(path.name for path in folder.iterdir()) == ["Cu_fcc_1358.extxyz", "Cu_fcc_300.extxyz", "manifest.json"]
    found = data.read(folder)
    assert [frame.temperature for frame in found] == [300.0] * 3 + [1358.0] * 2
    labels_are_emt(found, structures[1])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["calculator"] == "emt" and manifest["force_consistent"] and len(manifest["tasks"]) == 5
    assert not list((tmp_path / "queue" / "done").iterdir())
    shown = metalff("dft", "status", tmp_path / "queue").stdout
    assert "5/5" in shown and "5 of 5 labels done; 0:00:00 left" in shown and "nobody is at work" in shown


def test_a_second_run_labels_nothing_again_also_without_the_loose_files(plan, metalff, tmp_path):
    log = tmp_path / "log"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"log": str(log)}}))
    metalff("dft", "run", tmp_path / "queue")
    metalff("dft", "run", tmp_path / "queue")
    assert count(log) == 5
    # of a fresh checkout: what is committed
    for name in ("done", "failed", "work"):
        os.rename(tmp_path / "queue" / name, tmp_path / name)
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0
    assert count(log) == 5


def test_killed_manager_loses_no_label_and_begins_none_twice(plan, metalff, structures, tmp_path):
    log, ends = tmp_path / "log", tmp_path / "ends"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"until": str(ends), "log": str(log)}}))
    manager = metalff("dft", "run", tmp_path / "queue", "--jobs", 2, wait=False)
    until(lambda: count(log) == 2)
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait()
    ends.touch()
    assert metalff("dft", "run", tmp_path / "queue", "--jobs", 2).returncode == 0
    assert count(log) == 5  # the two that went on alone were not begun again
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), structures[1])


def test_killed_worker_is_begun_again(plan, metalff, structures, tmp_path):
    log = tmp_path / "log"
    metalff("dft", "queue", plan({"name": "calculators:Dies", "arguments": {"log": str(log), "times": 2}}))
    assert metalff("dft", "run", tmp_path / "queue", "--jobs", 1).returncode == 0
    assert count(log) == 7
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), structures[1])


def test_killed_time_and_again_is_a_failure_with_the_reason(plan, metalff, tmp_path):
    metalff("dft", "queue", plan({"name": "calculators:Dies", "arguments": {"log": str(tmp_path / "log"), "times": 1000}}))
    ran = metalff("dft", "run", tmp_path / "queue", "--jobs", 2)
    assert ran.returncode == 1 and "5 of 5 labels failed" in ran.stderr and "Traceback" not in ran.stderr
    assert metalff("dft", "status", tmp_path / "queue").stdout.count("memory is full") == 5


def test_two_managers_share_the_work(plan, metalff, structures, tmp_path):
    log = tmp_path / "log"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"seconds": 0.5, "log": str(log)}}))
    both = [metalff("dft", "run", tmp_path / "queue", "--jobs", 1, wait=False) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert count(log) == 5
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), structures[1])


def test_interrupted_run_gives_its_labels_back(plan, metalff, tmp_path):
    log = tmp_path / "log"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"seconds": 30, "log": str(log)}}))
    manager = metalff("dft", "run", tmp_path / "queue", wait=False)
    until(lambda: count(log))
    os.kill(manager.pid, signal.SIGTERM)
    assert manager.wait(20) == 130
    queue = Queue(tmp_path / "queue")
    assert {queue.state(task) for task in queue.tasks} == {"waiting"}


def test_background_stop_pause(plan, metalff, tmp_path):
    log, ends = tmp_path / "log", tmp_path / "ends"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"seconds": 1, "until": str(ends), "log": str(log)}}))
    folder = tmp_path / "queue"
    started = metalff("dft", "run", folder, "--background", "--jobs", 1, "--nice", 19)
    assert started.returncode == 0 and "at work on" in started.stdout
    assert "already at work" in metalff("dft", "run", folder, "--background").stdout
    until(lambda: count(log))
    metalff("dft", "pause", folder)
    pid = next(iter(control.running_tasks(Queue(folder)).values()))
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    group = Path(f"/proc/{pid}/autogroup")
    assert not group.exists() or group.read_text().split()[-1] == "19"  # niceness among sessions, where the kernel groups by these
    state = lambda: open(f"/proc/{pid}/stat").read().rpartition(") ")[2][0]  # noqa: E731
    until(lambda: state() == "T")
    begun = count(log)
    ends.touch()
    time.sleep(2)
    assert count(log) == begun and "paused" in metalff("dft", "status", folder).stdout
    metalff("dft", "resume", folder)
    until(lambda: count(log) > begun)
    stopped = metalff("dft", "stop", folder)
    assert stopped.returncode == 0 and "running labels" in stopped.stdout
    queue = Queue(folder)
    states = [queue.state(task) for task in queue.tasks]
    assert not control.at_work(queue) and set(states) == {"done", "waiting"} and states.count("done") == count(log)
    assert metalff("dft", "run", folder).returncode == 0 and count(log) == 5


def test_stop_now_reaches_labels_whose_manager_was_killed(plan, metalff, tmp_path):
    log = tmp_path / "log"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"seconds": 600, "log": str(log)}}))
    manager = metalff("dft", "run", tmp_path / "queue", "--jobs", 1, wait=False)
    until(lambda: count(log))
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait()
    queue = Queue(tmp_path / "queue")
    assert [queue.state(task) for task in queue.tasks].count("running") == 1
    assert "ended 1 running labels; 0 of 5 are done" in metalff("dft", "stop", tmp_path / "queue", "--now").stdout
    assert {queue.state(task) for task in queue.tasks} == {"waiting"}


def test_ladder(plan, metalff, structures, tmp_path):
    ladder = [{"mixing": 0.3}, {"mixing": 0.05}]
    metalff("dft", "queue", plan({"name": "calculators:Stubborn", "ladder": ladder}))
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0
    tasks = json.loads((tmp_path / "queue" / "sets" / "copper" / "manifest.json").read_text())["tasks"]
    for record in tasks.values():
        assert record["changed"] == {"mixing": 0.05}
        assert [t["changed"] for t in record["tries"]] == [{}, {"mixing": 0.3}]
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), structures[1])


def test_failures_are_kept_with_their_reason_and_tried_again_when_asked(plan, metalff, tmp_path):
    folder = tmp_path / "queue"
    metalff("dft", "queue", plan({"name": "calculators:Stubborn", "arguments": {"never": True}, "ladder": [{"mixing": 0.01}]}))
    ran = metalff("dft", "run", folder)
    assert ran.returncode == 1 and "5 of 5 labels failed" in ran.stderr and "--retry-failed" in ran.stderr
    shown = metalff("dft", "status", folder).stdout
    assert shown.count("failed: copper copper/") == 5 and "CalculationFailed: the density did not converge" in shown
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "failed").iterdir()}
    metalff("dft", "run", folder)
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "failed").iterdir()} == before
    metalff("dft", "run", folder, "--retry-failed")
    assert all(path.stat().st_mtime_ns > before[path.name] for path in (folder / "failed").iterdir())


def test_numbers_that_are_none_are_a_failure(plan, metalff, tmp_path):
    metalff("dft", "queue", plan("calculators:Broken"))
    assert metalff("dft", "run", tmp_path / "queue").returncode == 1
    assert "not finite" in metalff("dft", "status", tmp_path / "queue").stdout


def test_forces_of_other_atoms_are_a_failure_and_the_others_are_kept(plan, metalff, structures, tmp_path):
    metalff("dft", "queue", plan("calculators:Short"))
    ran = metalff("dft", "run", tmp_path / "queue")
    wrong = [atoms for atoms in structures[1] if atoms.positions[0, 0] < 0]
    assert 0 < len(wrong) < 5 and ran.returncode == 1 and f"{len(wrong)} of 5 labels failed" in ran.stderr
    assert "forces of shape (2, 3) for 4 atoms" in metalff("dft", "status", tmp_path / "queue").stdout
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), [atoms for atoms in structures[1] if atoms.positions[0, 0] >= 0])


@pytest.mark.parametrize("number, sentence", [(11, "crashed (signal 11)"), (0, "ended without a result")])
def test_crash_is_a_failure_at_once(plan, metalff, tmp_path, number, sentence):
    metalff("dft", "queue", plan({"name": "calculators:Crashes", "arguments": {"number": number}}))
    assert metalff("dft", "run", tmp_path / "queue").returncode == 1
    assert metalff("dft", "status", tmp_path / "queue").stdout.count(sentence) == 5


def test_run_waits_for_no_forgotten_pause_and_not_beside_a_stop(plan, metalff, tmp_path):
    folder, ends = tmp_path / "queue", tmp_path / "ends"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"until": str(ends), "log": str(tmp_path / "log")}}))
    metalff("dft", "pause", folder)
    manager = metalff("dft", "run", folder, "--jobs", 1, wait=False)
    until(lambda: count(tmp_path / "log"))
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait()
    stopping = metalff("dft", "stop", folder, wait=False)
    until(lambda: control.is_locked(folder / "work" / control.STOPPING))
    refused = metalff("dft", "run", folder)
    assert refused.returncode == 1 and "is being stopped" in refused.stderr
    ends.touch()
    assert stopping.wait(30) == 0 and count(tmp_path / "log") == 1


def test_labels_that_another_process_packs_are_no_failures(plan, metalff, structures, tmp_path):
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"seconds": 0.3}}))
    manager = metalff("dft", "run", tmp_path / "queue", "--jobs", 1, wait=False)
    queue = Queue(tmp_path / "queue")
    while manager.poll() is None:
        pack(queue)
        time.sleep(0.005)
    assert manager.returncode == 0, manager.stderr.read()
    assert {queue.state(task) for task in queue.tasks} == {"done"}
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "copper"), structures[1])


def test_run_wakes_labels_that_sleep_without_a_manager(plan, metalff, tmp_path):
    folder, log, ends = tmp_path / "queue", tmp_path / "log", tmp_path / "ends"
    metalff("dft", "queue", plan({"name": "calculators:Slow", "arguments": {"until": str(ends), "log": str(log)}}))
    manager = metalff("dft", "run", folder, "--jobs", 1, wait=False)
    until(lambda: count(log))
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait()
    metalff("dft", "pause", folder)
    ends.touch()
    assert metalff("dft", "run", folder).returncode == 0 and count(log) == 5


def test_sets_say_what_the_plan_says_of_them(plan, metalff, tmp_path):
    metalff("dft", "queue", plan(citation="Somebody (2026)", licence="CC0-1.0"))
    metalff("dft", "run", tmp_path / "queue")
    found = data.read(tmp_path / "queue" / "sets" / "copper")
    assert (found.citation, found.licence) == ("Somebody (2026)", "CC0-1.0")


def test_calculator_on_a_relative_path(plan, metalff, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(os.environ["PYTHONPATH"]))
    metalff("dft", "queue", plan("calculators:Slow"))
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0


def test_full_disk_is_one_sentence_and_no_failure(plan, metalff, tmp_path):
    metalff("dft", "queue", plan("calculators:Full"))
    ran = metalff("dft", "run", tmp_path / "queue")
    assert ran.returncode == 1 and "is full; free some space" in ran.stderr and "Traceback" not in ran.stderr
    queue = Queue(tmp_path / "queue")
    assert {queue.state(task) for task in queue.tasks} == {"waiting"}


def test_damaged_label_is_put_aside_and_made_again(plan, metalff, structures, tmp_path):
    folder = tmp_path / "queue"
    metalff("dft", "queue", plan())
    queue = Queue(folder)
    (folder / "done").mkdir()
    queue.done_file(queue.tasks[1]).write_text('{"id": "')
    ran = metalff("dft", "run", folder)
    assert ran.returncode == 1 and "is damaged; it was put aside" in ran.stderr
    assert metalff("dft", "run", folder).returncode == 0
    labels_are_emt(data.read(folder / "sets" / "copper"), structures[1])


def test_same_structure_and_arguments_are_labelled_once(plan, structures):
    part = {"structures": str(structures[0])}
    with pytest.warns(UserWarning, match="5 of 10 labels are the same as others"):
        queue = make(plan(parts=[{"name": "one", **part}, {"name": "two", **part}]))
    assert len(queue.tasks) == 5 and {task.set for task in queue.tasks} == {"one"}


def test_changed_plan_is_refused_and_says_what_changed(plan, structures, tmp_path):
    make(plan())
    with pytest.raises(
        MetalffError, match=r"another plan: calculator.arguments.seconds is new|calculator.name \"emt\" → \"calculators:Slow\".*--extend"
    ):
        make(plan({"name": "calculators:Slow", "arguments": {"seconds": 0}}))
    with pytest.raises(MetalffError, match="the calculator is another than that of the queue"):
        make(plan({"name": "calculators:Slow", "arguments": {"seconds": 0}}), extend=True)
    with pytest.raises(MetalffError, match="are not in this plan; --extend only adds"):
        make(plan(parts=[{"name": "renamed", "structures": str(structures[0])}]), extend=True)
    assert [path.name for path in (tmp_path / "queue" / "structures").iterdir()] == ["copper.extxyz"]


def test_extended_plan_keeps_what_is_done(plan, metalff, structures, tmp_path):
    metalff("dft", "queue", plan())
    metalff("dft", "run", tmp_path / "queue")
    parts = [
        {"name": "copper", "structures": str(structures[0])},
        {"name": "more", "metals": {"Al": {"potential": "Al/eam", "atoms": 8}}, "frames": 4},
    ]
    refused = metalff("dft", "queue", plan(parts=parts))
    assert refused.returncode == 1 and "parts.more is new" in refused.stderr
    extended = metalff("dft", "queue", plan(parts=parts), "--extend")
    assert extended.returncode == 0 and "9 labels in 2 sets (copper, more), 5 done" in extended.stdout
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0
    assert len(data.read(tmp_path / "queue" / "sets" / "more")) == 4


def test_structures_without_temperature_are_a_set_too(plan, metalff, structures, tmp_path):
    from ase.build import bulk
    from ase.io import write

    alloy = bulk("Cu", cubic=True)
    alloy.symbols[0] = "Ag"
    write(tmp_path / "mixed.traj", [structures[1][0], alloy])
    metalff("dft", "queue", plan(parts=[{"name": "mixed", "structures": str(tmp_path / "mixed.traj")}]))
    assert metalff("dft", "run", tmp_path / "queue").returncode == 0
    labels_are_emt(data.read(tmp_path / "queue" / "sets" / "mixed"), [structures[1][0], alloy])


def test_lost_structures_are_read_again_and_a_damaged_queue_says_how(plan, metalff, tmp_path):
    metalff("dft", "queue", plan())
    (tmp_path / "queue" / "structures" / "copper.extxyz").unlink()
    ran = metalff("dft", "run", tmp_path / "queue")
    assert ran.returncode == 1 and "make the queue again: metalff dft queue PLAN.yaml" in ran.stderr
    assert metalff("dft", "queue", plan()).returncode == 0 and metalff("dft", "run", tmp_path / "queue").returncode == 0
    (tmp_path / "queue" / "queue.json").write_text("{")
    refused = metalff("dft", "queue", plan())
    assert refused.returncode == 1 and "remove that file" in refused.stderr
    (tmp_path / "queue" / "queue.json").unlink()
    assert "5 done" in metalff("dft", "queue", plan()).stdout
