"""Who works on a queue, and how to make them stop, sleep or begin, from another process."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from metalff.dft.noise import finish
from metalff.dft.queue import Queue, take
from metalff.errors import MetalffError
from metalff.paths import is_locked

STOP, PAUSE, MANAGERS, STOPPING, LOG = "stop", "pause", "managers.lock", "stop.lock", "run.log"
"""Files in ``work/``: asked to stop; asked to pause; held by everyone who works on the queue; held by who stops it; what a run in the background says."""

POLL = 0.2
"""Seconds between looks."""


@contextmanager
def present(queue: Queue):
    """Held by everyone who works on the queue; the first one forgets earlier requests to stop or to sleep.

    Raises:
        MetalffError: the queue is being stopped.
    """
    work = queue.work
    work.mkdir(exist_ok=True)
    if is_locked(work / STOPPING):
        raise MetalffError(f"{queue.folder} is being stopped (metalff dft stop); wait for that, then run it again")
    alone = take(work / MANAGERS)
    if alone is not None:
        (work / STOP).unlink(missing_ok=True)
        go_on(queue)
        os.close(alone)
    descriptor = os.open(work / MANAGERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def at_work(queue: Queue) -> bool:
    """Whether a manager works on the queue."""
    return is_locked(queue.work / MANAGERS)


def in_background(queue: Queue, arguments: list[str]) -> int | None:
    """Start ``metalff dft run`` detached from this terminal; gives its process id, or None where one is at work already.

    Raises:
        MetalffError: it ended at once; with its last line.
    """
    if at_work(queue):
        return None
    queue.work.mkdir(exist_ok=True)
    log = queue.work / LOG
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "metalff.cli", "dft", "run", str(queue.folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    for _ in range(100):
        time.sleep(0.1)
        if process.poll():
            raise MetalffError(last_line(log).removeprefix("metalff: error: "))
        if process.poll() == 0 or at_work(queue):
            break
    return process.pid


def stop(queue: Queue, now: bool, tick=lambda left: None) -> int:
    """Ask all who work on the queue to stop, and wait until they have; labels that run are finished, or given back where ``now``.

    Labels whose manager was killed are ended too. Finished labels are put into their sets.

    Args:
        tick: called with the number of labels that still run.
    Returns:
        labels that were running.
    Raises:
        MetalffError: another process is stopping it.
    """
    queue.work.mkdir(exist_ok=True)
    lock = take(queue.work / STOPPING)
    if lock is None:
        raise MetalffError(f"another process is stopping {queue.folder} already; wait for it")
    try:
        return _stop(queue, now, tick)
    finally:
        os.close(lock)


def _stop(queue: Queue, now: bool, tick) -> int:
    go_on(queue)
    count = len(running_tasks(queue))
    while (left := running_tasks(queue)) or at_work(queue):
        (queue.work / STOP).touch()  # again and again: a run that began just now may have taken it away
        tick(len(left))
        for pid in left.values() if now else ():
            _signal(pid, signal.SIGKILL)
        time.sleep(POLL)
    finish(queue)
    (queue.work / STOP).unlink(missing_ok=True)
    return count


def pause(queue: Queue) -> None:
    """Let all labels sleep, until ``go_on``; those whose manager was killed too."""
    queue.work.mkdir(exist_ok=True)
    (queue.work / PAUSE).touch()
    _tell(queue, signal.SIGSTOP)


def go_on(queue: Queue) -> None:
    (queue.work / PAUSE).unlink(missing_ok=True)
    _tell(queue, signal.SIGCONT)


def _tell(queue: Queue, number: int) -> None:
    for pid in running_tasks(queue).values():
        _signal(pid, number)


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def running_tasks(queue: Queue) -> dict[str, int]:
    """Process group of each label at work, by task."""
    found = {}
    for path in queue.work.glob("*.lock"):
        if path.name in (MANAGERS, STOPPING, "queue.lock", "pack.lock") or not is_locked(path):
            continue
        try:
            found[path.stem] = int(path.read_text())
        except (OSError, ValueError):  # claimed a moment ago
            pass
    return found


def last_line(path: Path) -> str:
    """Of a text file, the last that is not empty; '' where there is none."""
    try:
        return next((line.strip() for line in reversed(path.read_text("utf-8", "replace").splitlines()) if line.strip()), "")
    except OSError:
        return ""
