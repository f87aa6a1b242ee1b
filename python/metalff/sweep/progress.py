"""Progress of a sweep, with the time left from the steps in the logs."""

import re
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from metalff.progress import Beat, clock
from metalff.sweep.expand import MD

GUESS = 1e5
"""Atom-steps/s of a potential that has not run yet, where no other has."""

MEASURING = {"properties": 60.0, "errors": 30.0}
"""Seconds of other jobs, until one of them has ended."""


class SweepProgress:
    """A bar for the sweep and one for each running job; lines where there is no terminal.

    Use as a context manager; ``update``, ``finished``, ``repeated``, ``cancelled`` and ``failed`` are called by executors.

    Args:
        folders: of all jobs.
        workers: jobs at a time.
    """

    def __init__(self, folders, workers: int):
        self.folders, self.workers = folders, workers
        self.console = Console(stderr=True, soft_wrap=True)
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
        ]
        self.bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.beat = Beat()
        self.total = self.bars.add_task("sweep", total=None, note="")
        self.tasks = {}
        self.done = {folder.job.id for folder in folders if folder.record()["status"] == "finished"}
        self.rates = {}

    def __enter__(self):
        self.bars.start()
        return self

    def __exit__(self, *exception):
        self.bars.stop()

    def update(self, running) -> None:
        """``running``: attempts, with ``folder``, ``first_step`` and ``started``."""
        parts = {item.folder.job.id: part_of(item.folder) for item in running}
        now = time.monotonic()
        for item in running:
            job, part = item.folder.job, parts[item.folder.job.id]
            if job.id not in self.tasks:
                self.tasks[job.id] = self.bars.add_task(job.id, total=1.0, note="")
            gained = part - (item.first_step / job.steps if job.steps else 0.0)
            if gained > 0 and now > item.started:
                self.rates[key_of(job)] = gained * amount_of(job) / (now - item.started)
            self.bars.update(self.tasks[job.id], completed=part)
        left = [(key_of(f.job), amount_of(f.job) * (1 - parts.get(f.job.id, 0.0))) for f in self.folders if f.job.id not in self.done]
        known = time_left(left, self.rates, self.workers)
        total = sum(seconds_of(f.job) for f in self.folders)
        completed = total - sum(seconds_of(f.job) * (1 - parts.get(f.job.id, 0.0)) for f in self.folders if f.job.id not in self.done)
        note = "" if known is None else f"{clock(known)} left"
        self.bars.update(self.total, total=total, completed=completed, note=note)
        if not self.console.is_terminal and running and self.beat.is_due():
            jobs = ", ".join(f"{name} {100 * part:.0f}%" for name, part in parts.items())
            self.line(f"{100 * completed / total:.0f}% done{note and f', {note}'}: {jobs}")

    def finished(self, folder, result) -> None:
        speed = result["atom_steps_per_s"]
        line = (
            f"{folder.job.id}: finished"
            + (f", {speed:,.0f} atom-steps/s" if speed else "")
            + (f", as {result['same_as']}" if "same_as" in result else "")
        )
        self._close(folder, line + (f", but not stable: {result['unstable']}" if result["unstable"] else ""))

    def repeated(self, folder, step: int) -> None:
        self.line(f"{folder.job.id}: what was written from step {step} on is not there any more; it is run again")

    def cancelled(self, folder) -> None:
        self._close(folder, f"{folder.job.id}: cancelled")

    def failed(self, folder, sentence: str) -> None:
        self._close(folder, f"{folder.job.id}: failed: {sentence}")

    def _close(self, folder, line: str) -> None:
        self.done.add(folder.job.id)
        if folder.job.id in self.tasks:
            self.bars.remove_task(self.tasks.pop(folder.job.id))
        self.line(line)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def part_of(folder) -> float:
    """How much of a running job is done, 0 to 1."""
    if folder.job.kind in MD:
        return min(1.0, folder.step() / folder.job.steps)
    screens = [segment / "screen.txt" for segment in folder.segments()[-1:]]
    said = re.findall(r"^(\d+)% done", screens[0].read_text(errors="replace"), re.MULTILINE) if screens and screens[0].exists() else []
    return min(1.0, int(said[-1]) / 100) if said else 0.0


def key_of(job) -> str:
    """Jobs with the same key run equally fast."""
    return job.potential.name if job.kind in MD else job.kind


def amount_of(job) -> float:
    """Atom-steps of molecular dynamics; other jobs count as one."""
    return float(job.steps * job.atoms) if job.kind in MD else 1.0


def seconds_of(job) -> float:
    return amount_of(job) / GUESS if job.kind in MD else MEASURING[job.kind]


def time_left(jobs, rates: dict[str, float], workers: int) -> float | None:
    """Seconds until the last job ends.

    Args:
        jobs: (key, amount left) of each job that is not finished.
        rates: amount/s by key; a potential without one is taken to run at the mean of the others.
    Returns:
        None while no rate is known.
    """
    if not rates:
        return None
    own = [rate for key, rate in rates.items() if key not in MEASURING]
    usual = sum(own) / len(own) if own else GUESS
    seconds = [amount * MEASURING[key] if key in MEASURING and key not in rates else amount / rates.get(key, usual) for key, amount in jobs]
    return max(max(seconds, default=0.0), sum(seconds) / workers)
