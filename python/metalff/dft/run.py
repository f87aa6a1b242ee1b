"""Work on a queue: some labels at a time, each a process of its own; stop, pause and go on at any moment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from metalff import environments
from metalff.dft.control import PAUSE, STOP, last_line, present
from metalff.dft.noise import finish
from metalff.dft.protocol import GPAW
from metalff.dft.queue import Queue, Task, take
from metalff.errors import MetalffError
from metalff.paths import atomic_write

WORKER = Path(__file__).with_name("label_worker.py")

POLL = 0.2
"""Seconds between looks at what runs."""

PACK_EVERY = 300.0
"""Seconds after which finished labels are put into their sets."""

GRACE = 5.0
"""Seconds that a calculator gets to end after SIGTERM."""

KILLED_TIMES = 2
"""How often a label may be killed from outside, in one run, until it counts as failed."""


@dataclass
class Running:
    """A label at work."""

    task: Task
    process: subprocess.Popen
    folder: Path
    lock: int
    started: float = field(default_factory=time.monotonic)

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def run(queue: Queue, workers: int, nice: int, progress, limit_s: float | None = None) -> bool:
    """Work on what is neither done nor failed, in order, until nothing is left or ``stop`` is asked for.

    Several processes may work on one queue. When it is interrupted (Ctrl-C, SIGTERM) the running labels are ended and given back; when it is killed they
    end by themselves, keep their locks until then, and their labels count.

    Args:
        workers: labels at a time.
        nice: added to the niceness of the calculators.
        progress: object with ``update(queue, running, waiting)``, ``finished(task)`` and ``failed(task, sentence)``.
        limit_s: wall time after which no label is begun.
    Returns:
        whether every task of the queue is done.
    Raises:
        MetalffError: no environment, the calculator cannot be made, or the disk is full.
    """
    return _Manager(queue, workers, nice, progress, limit_s).run()


def _yield_to_others(nice: int) -> None:
    """Niceness of this process, and of its session: a kernel that groups processes by session shares the processor out among sessions first."""
    if nice == 0:
        return
    os.nice(nice)
    try:
        with open("/proc/self/autogroup", "w") as stream:
            stream.write(str(nice))
    except OSError:  # a kernel that does not group
        pass


class _Manager:
    def __init__(self, queue: Queue, workers: int, nice: int, progress, limit_s: float | None):
        self.queue, self.workers, self.nice, self.progress = queue, workers, nice, progress
        self.command = _command(queue.plan.calculator.name)
        self.deadline = None if limit_s is None else time.monotonic() + limit_s
        self.running: list[Running] = []
        self.killed: dict[str, int] = {}
        self.packed_at = time.monotonic()
        self.asleep = False

    def run(self) -> bool:
        work = self.queue.work
        with present(self.queue):
            for name in ("done", "failed"):
                (self.queue.folder / name).mkdir(exist_ok=True)
            waiting = [task for task in self.queue.tasks if not self.queue.is_done(task) and not self.queue.is_failed(task)]
            try:
                while waiting or self.running:
                    self._pause_or_go_on()
                    if (work / STOP).exists() or (self.deadline and time.monotonic() > self.deadline):
                        waiting = []
                    while waiting and len(self.running) < self.workers and not self.asleep:
                        started = next((task for task in waiting if self._start(task)), None)
                        if started is None and not self.running:
                            waiting = [task for task in waiting if not self.queue.is_done(task) and not self.queue.is_failed(task)]
                        if started is None:
                            break
                        waiting.remove(started)
                    self.progress.update(self.queue, self.running, waiting)
                    time.sleep(POLL)
                    for item in [item for item in self.running if item.process.poll() is not None]:
                        self.running.remove(item)
                        if again := self._end(item):
                            waiting.append(again)
                    if time.monotonic() > self.packed_at + PACK_EVERY:
                        self._pack()
            finally:
                self._stop_all()
                self._pack()
        return all(self.queue.is_done(task) for task in self.queue.tasks)

    def _pack(self) -> None:
        self.packed_at = time.monotonic()
        try:
            finish(self.queue)
        except OSError as error:
            raise _of_the_disk(self.queue, error) from error

    def _pause_or_go_on(self) -> None:
        wanted = (self.queue.work / PAUSE).exists() and not (self.queue.work / STOP).exists()
        if wanted != self.asleep:
            for item in self.running:
                item.signal(signal.SIGSTOP if wanted else signal.SIGCONT)
            self.asleep = wanted

    def _start(self, task: Task) -> bool:
        """Begin a label; False where another process has it, or it is done or failed by now."""
        lock = take(self.queue.lock_file(task))
        if lock is None:
            return False
        try:
            os.truncate(lock, 0)  # the process id of an earlier run
            if self.queue.is_done(task) or self.queue.is_failed(task):
                os.close(lock)
                return False
            folder = self.queue.work / task.id
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with atomic_write(folder / "task.json") as stream:
                json.dump(self.queue.order_of(task), stream)
            with open(folder / "said.txt", "wb") as said:
                process = subprocess.Popen(
                    [*self.command, str((folder / "task.json").absolute())],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **setup_variables(), **_absolute()},
                    start_new_session=True,  # Ctrl-C reaches only this process, which then ends the others in order
                    preexec_fn=lambda: _yield_to_others(self.nice),
                    pass_fds=[lock],
                )
            os.pwrite(lock, str(process.pid).encode(), 0)
        except BaseException as error:
            os.close(lock)
            if isinstance(error, OSError):
                raise _of_the_disk(self.queue, error) from error
            raise
        self.running.append(Running(task, process, folder, lock))
        return True

    def _end(self, item: Running) -> Task | None:
        """Take over what a label has left; gives the task back where it was killed from outside."""
        done = self.queue.is_done(item.task)  # another process may have put it into its set already
        if done or self.queue.is_failed(item.task):
            self.queue.lock_file(item.task).unlink(missing_ok=True)  # whoever waits for it finds the task done
        os.close(item.lock)
        said = last_line(item.folder / "said.txt")
        if done:
            shutil.rmtree(item.folder, ignore_errors=True)
            self.progress.finished(item.task, time.monotonic() - item.started)
            return None
        if self.queue.is_failed(item.task):
            self.progress.failed(item.task, json.loads(self.queue.failed_file(item.task).read_text("utf-8"))["reason"])
            return None
        code = item.process.returncode
        if code > 0:
            if "No space left" in said or shutil.disk_usage(self.queue.folder).free < 1 << 20:
                raise MetalffError(f"the disk of {self.queue.folder} is full; free some space and run the same command again to go on")
            raise MetalffError(f"the calculator does not run: {said or f'exit status {code}'}; what it printed is in {item.folder / 'said.txt'}")
        if -code in (signal.SIGKILL, signal.SIGTERM):
            self.killed[item.task.id] = self.killed.get(item.task.id, 0) + 1
            if self.killed[item.task.id] <= KILLED_TIMES:
                return item.task
            sentence = f"it was killed {self.killed[item.task.id]} times (signal {-code}), as the system does when the memory is full"
        else:
            sentence = f"the calculator {f'crashed (signal {-code})' if code else 'ended without a result'}" + (f": {said}" if said else "")
        with atomic_write(self.queue.failed_file(item.task)) as stream:
            json.dump({"id": item.task.id, "reason": sentence, "tries": []}, stream)
        self.progress.failed(item.task, sentence)
        return None

    def _stop_all(self) -> None:
        for item in self.running:
            item.signal(signal.SIGCONT)
            item.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for item in self.running:
            try:
                item.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                item.signal(signal.SIGKILL)
                item.process.wait()
            os.close(item.lock)
        self.running = []


def check(queue: Queue) -> None:
    """Whether the calculator of the queue can run here.

    Raises:
        MetalffError: no environment, or no setup for an element.
    """
    _command(queue.plan.calculator.name)
    if queue.plan.calculator.name != GPAW:
        return
    folders = [Path(part) for part in setup_variables().get("GPAW_SETUP_PATH", os.environ.get("GPAW_SETUP_PATH", "")).split(os.pathsep) if part]
    folders += (environments.status("gpaw").path / "lib").glob("python3*/site-packages/gpaw_data/setups")
    for source in dict.fromkeys(task.source for task in queue.tasks):
        task = next(task for task in queue.tasks if task.source == source)
        chosen = queue.arguments[task.arguments].get("setups", {})
        chosen = chosen if isinstance(chosen, dict) else {"default": chosen}
        for symbol in sorted({symbol for atoms in queue.structures(source) for symbol in atoms.symbols}):
            kind = chosen.get(symbol, chosen.get("default", ""))
            name = f"{symbol}.{kind}.PBE" if kind and kind != "paw" else f"{symbol}.PBE"
            if not any((folder / (name + ending)).exists() for folder in folders for ending in ("", ".gz")):
                raise MetalffError(
                    f"GPAW has no PAW setup {name}; make one with `gpaw dataset {symbol} -f PBE -w` and name its folder in GPAW_SETUP_PATH"
                )


def _command(calculator: str) -> list[str]:
    if calculator == GPAW:
        return [str(environments.environment_python("gpaw")), "-P", str(WORKER)]
    return [sys.executable, "-P", str(WORKER)]


def setup_variables() -> dict[str, str]:
    """Where GPAW finds setups beside those of gpaw-data."""
    own = environments.status("gpaw").path / "setups"
    return {"GPAW_SETUP_PATH": os.pathsep.join(filter(None, [str(own), os.environ.get("GPAW_SETUP_PATH")]))} if own.is_dir() else {}


def _absolute() -> dict[str, str]:
    """The calculator works in another folder."""
    given = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(str(Path(part).absolute()) for part in given.split(os.pathsep) if part)} if given else {}


def _of_the_disk(queue: Queue, error: OSError) -> Exception:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MetalffError(f"the disk of {queue.folder} is full; free some space and run the same command again to go on")
    return error
