"""The worker as a subprocess: progress lines, log, interruption, failure in one sentence."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import lock
from metalff.progress import Beat, Pace, clock

LOG = "train.log"
STOPPED = 130
"""Exit status of a worker that a signal told to save and end."""
FULL = re.compile(r"MemoryError|bad_alloc|not enough memory|can't allocate memory|out of memory", re.IGNORECASE)
"""What Python, C++ and torch say when memory ends."""
LESS = "use a smaller --batch-size, a smaller model (--size, --r-max or its widths), or a machine with more memory"
ISOLATED = ("PYTHONPATH", "PYTHONHOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the calling process that must not reach the worker: it has its own packages and number of threads."""

ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_TOP_PAD_": str(2**26)}
"""Of glibc: freed arrays up to 32 MB (the most that it takes) are kept for the next ones, whose pages are then there already; a step of a torch model makes
hundreds of a few MB each."""


@dataclass(frozen=True)
class Message:
    """One line of progress.

    Attributes:
        epoch: epochs done.
        fraction: of the training that is done, 0 to 1.
        force_rmse: of the validation part after the last epoch, eV/Å; None before the first has ended.
        energy_rmse: the same, eV/atom.
        step: steps done of the epoch in progress; 0 where an epoch has just ended.
        steps: of an epoch.
    """

    epoch: int
    fraction: float
    force_rmse: float | None
    energy_rmse: float | None
    step: int = 0
    steps: int = 0

    def __str__(self):
        now = f"epoch {self.epoch + 1}, step {self.step} of {self.steps}" if self.step else f"epoch {self.epoch}"
        if self.force_rmse is None:
            return now
        return f"{now}: force RMSE {self.force_rmse:.4f} eV/Å, energy RMSE {1000 * self.energy_rmse:.2f} meV/atom"


@contextmanager
def claim(out: Path):
    """Hold ``out`` for one training; yields the file descriptor of the lock, which the worker inherits.

    Raises:
        MetalffError: another process trains there (also a worker whose parent was killed, until it has saved).
    """
    with open(out / ".lock", "w") as stream:
        try:
            lock(stream.fileno(), out)
        except BlockingIOError:
            raise MetalffError(f"another process trains in {out}; wait until it has ended") from None
        yield stream.fileno()


def write_log(out: Path, lines: list[str]) -> None:
    """Add lines to the log of the training in ``out``."""
    with open(out / LOG, "a", encoding="utf-8") as log:
        log.writelines(f"{line}\n" for line in lines)


class Process:
    """A worker that runs in ``out``, prints progress as JSON lines and saves its state on SIGTERM.

    Args:
        command: the worker's command line; the own process id is appended, so that the worker ends with its parent.
        lock: descriptor from ``claim``.
    """

    def __init__(self, command: list[str], out: Path, lock: int):
        self.command = [*command, str(os.getpid())]
        self.out, self.lock = out, lock
        self.chatter = set()  # lines of the log that were on stdout; they come late and explain no failure

    def run(self, progress: Callable[[Message | str], None]) -> None:
        """Run to the end; ``progress`` also gets the lines that begin with ``note:``. All that comes goes into the log, too, within an epoch once in
        ``EVERY``.

        Raises:
            MetalffError: the worker failed; its last line, and where the log is.
            KeyboardInterrupt: after the worker has saved; a second one kills it.
        """
        variables = ALLOCATION | {key: value for key, value in os.environ.items() if key not in ISOLATED}
        with open(self.out / LOG, "a") as log:
            start = log.tell()
            process = subprocess.Popen(
                self.command,
                cwd=self.out,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=[self.lock],
                start_new_session=True,  # Ctrl-C comes to this process alone, which tells the worker
            )
            try:
                self._follow(process.stdout, log, progress)
                status = process.wait()
            except BaseException:
                self._stop(process)
                raise
            finally:
                process.stdout.close()
        if status:
            raise MetalffError(f"the training failed: {self._reason(status, start)}; the log is {self.out / LOG}")

    def _follow(self, stdout, log, progress) -> None:
        pace, beat = Pace(), Beat()
        for line in stdout:
            try:
                message = Message(**json.loads(line))
            except (ValueError, TypeError):
                self._log(log, line.strip())
                if line.startswith("note: "):
                    progress(line.strip())
                continue
            left = pace.left(message.fraction)
            if beat.is_due() or not message.step:
                self._log(
                    log,
                    f"{datetime.now():%Y-%m-%d %H:%M:%S} {message}, {100 * message.fraction:.0f}% done" + (f", {clock(left)} left" if left else ""),
                )
            progress(message)

    def _log(self, log, line: str) -> None:
        self.chatter.add(line)
        log.write(line + "\n")
        log.flush()

    def _stop(self, process) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.stdout.read()  # else a worker that prints would wait for a reader
            process.wait()
        except KeyboardInterrupt:
            process.kill()
            process.wait()

    def _reason(self, status: int, start: int) -> str:
        if status == -signal.SIGKILL:
            return f"the worker was ended by SIGKILL, as the system does when the memory is full; if it was, {LESS}"
        if status == STOPPED:
            return "the worker was told to end, by another process, and has saved its state; the same command goes on"
        with open(self.out / LOG) as log:
            log.seek(start)
            lines = [line.strip() for line in log]
        lines = [line for line in lines if line and line not in self.chatter]
        traceback = max((k for k, line in enumerate(lines) if line.startswith("Traceback")), default=max(len(lines) - 1, 0))
        full = next((line for line in lines[traceback:] if FULL.search(line)), None)
        if full:
            tried = re.search(r"tried to allocate (\d+) bytes", full)
            return f"the memory is full{f' (another {int(tried[1]) / 1e9:.1f} GB were asked for)' if tried else ''}; {LESS}"
        if status < 0:
            return f"the worker was ended by {signal.Signals(-status).name}"
        return lines[-1] if lines else f"the worker ended with status {status}"
