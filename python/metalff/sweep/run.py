"""Run the jobs of a plan side by side on this machine, each as a program of its own."""

import errno
import os
import time
from contextlib import contextmanager
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import lock as hold
from metalff.sweep.attempt import FULL, GRACE, Attempt, conclude, full, launch
from metalff.sweep.job import JobFolder
from metalff.sweep.plan import Plan
from metalff.sweep.queue import CANCEL, Queue

__all__ = ["FULL", "locked", "run_jobs"]

POLL = 0.1
"""Seconds between looks at the running jobs; short runs are looked at more often."""

LINGER = 2.0
"""Seconds to wait for processes of an ended sweep that are still on their way out."""


def run_jobs(plan: Plan, queue: Queue, out: Path, progress, lock: int) -> bool:
    """Run what waits in the queue. Returns whether every job is finished.

    A failing job is recorded and the others go on. On an interruption the running programs are asked to stop, so that they write a restart file, and
    the exception goes on.

    Args:
        progress: object with ``update(running)``, ``finished(folder, result)``, ``repeated(folder, step)`` and ``failed(folder, sentence)``.
        lock: descriptor of the folder's lock, which programs keep open.
    Raises:
        MetalffError: the disk is full, or there is no LAMMPS.
    """
    try:
        return _Runner(plan, queue, out, progress, lock).run()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(out) from error
        if error.errno == errno.EROFS:
            raise MetalffError(f"nothing can be written in {out} ({error.strerror}); choose another --out") from error
        raise


def workers_of(plan: Plan) -> int:
    """Jobs at a time."""
    if plan.executor == "parsl":
        per_node = plan.parsl.max_workers or max(1, int(len(os.sched_getaffinity(0)) // plan.parsl.cores_per_worker))
        return per_node * plan.parsl.nodes * plan.parsl.blocks
    return plan.workers or max(1, len(os.sched_getaffinity(0)) // plan.ranks)


class _Runner:
    def __init__(self, plan: Plan, queue: Queue, out: Path, progress, lock: int):
        self.plan, self.queue, self.out, self.progress, self.lock = plan, queue, out, progress, lock
        self.workers = workers_of(plan)
        self.running: list[Attempt] = []

    def run(self) -> bool:
        try:
            while True:
                if (self.out / CANCEL).exists():
                    self.queue.drop_waiting()
                    for item in self.running:
                        item.ask_to_stop("cancelled")
                while len(self.running) < self.workers and (folder := self.queue.take()) is not None:
                    self._start(folder)
                if not (self.running or self.queue.waiting):
                    break
                self.progress.update(self.running)
                time.sleep(POLL)
                self._collect()
        finally:
            self._stop_all()
        self.progress.update([])
        return self.queue.all_finished()

    def _start(self, folder: JobFolder) -> None:
        own = folder.take_lock()
        if own is None:  # a worker of an earlier manager was quicker
            self.queue.give_back(folder)
            return
        try:
            self.running.append(launch(self.plan, folder, [self.lock, own]))
        finally:
            os.close(own)

    def _collect(self) -> None:
        for item in [item for item in self.running if item.is_over()]:
            self.running.remove(item)
            self.queue.put_back(item.folder, conclude(item, self.out))

    def _stop_all(self) -> None:
        """After an exception: whatever runs still is ended, with a restart file where it takes no longer than ``GRACE``."""
        for item in self.running:
            item.ask_to_stop("cancelled", GRACE)
        try:
            while any([not item.is_over() for item in self.running]):
                time.sleep(0.02)
        except KeyboardInterrupt:
            for item in self.running:
                item.signal(9)
                item.process.wait()
        for item in self.running:
            conclude(item, self.out)


@contextmanager
def locked(out: Path, what: str):
    """Lock the folder for this process and the programs it starts; gives the file descriptor that these keep open.

    Raises:
        MetalffError: another ``what`` is at work there.
    """
    descriptor = os.open(out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + LINGER
    try:
        while True:
            try:
                hold(descriptor, out)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise MetalffError(
                        f"another {what}, or a LAMMPS that one left behind, is still at work in {out}; wait for it or end it"
                    ) from error
                time.sleep(POLL)
        yield descriptor
    finally:
        os.close(descriptor)
