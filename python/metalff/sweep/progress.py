"""Progress of a sweep, with the time left from the steps in the logs."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from metalff.progress import Beat, clock


class SweepProgress:
    """A bar for the sweep, in steps, and one for each running job; lines where there is no terminal.

    Use as a context manager; ``update``, ``finished`` and ``failed`` are called by ``run_jobs``.
    """

    def __init__(self, steps: int, workers: int):
        self.steps, self.workers = steps, workers
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
        self.done = set()
        self.rates = {}

    def __enter__(self):
        self.bars.start()
        return self

    def __exit__(self, *exception):
        self.bars.stop()

    def update(self, folders, running) -> None:
        steps = {item.folder.job.id: item.folder.step() for item in running}
        now = time.monotonic()
        for item in running:
            name = item.folder.job.id
            if name not in self.tasks:
                self.tasks[name] = self.bars.add_task(name, total=self.steps, note="")
            gained = steps[name] - item.first_step
            if gained > 0:
                self.rates[item.folder.job.potential.name] = gained / (now - item.started)
            self.bars.update(self.tasks[name], completed=steps[name])
        left = {
            folder.job.id: (folder.job.potential.name, self.steps - steps.get(folder.job.id, 0))
            for folder in folders
            if folder.job.id not in self.done
        }
        known = time_left(left.values(), self.rates, self.workers)
        total = self.steps * len(folders)
        completed = total - sum(steps_left for _, steps_left in left.values())
        note = "" if known is None else f"{clock(known)} left"
        self.bars.update(self.total, total=total, completed=completed, note=note)
        if not self.console.is_terminal and running and self.beat.is_due():
            jobs = ", ".join(f"{name} {100 * step / self.steps:.0f}%" for name, step in steps.items())
            self._line(f"{100 * completed / total:.0f}% done{note and f', {note}'}: {jobs}")

    def finished(self, folder, result) -> None:
        speed = result["atom_steps_per_s"]
        line = f"{folder.job.id}: finished" + (f", {speed:,.0f} atom-steps/s" if speed else "")
        self._close(folder, line + (f", but not stable: {result['unstable']}" if result["unstable"] else ""))

    def repeated(self, folder, step: int) -> None:
        line = f"{folder.job.id}: what was written from step {step} on is not there any more; it is run again"
        self.console.print(line, markup=False, highlight=False)

    def failed(self, folder, sentence: str) -> None:
        self._close(folder, f"{folder.job.id}: failed: {sentence}")

    def _close(self, folder, line: str) -> None:
        self.done.add(folder.job.id)
        if folder.job.id in self.tasks:
            self.bars.remove_task(self.tasks.pop(folder.job.id))
        self._line(line)

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def time_left(jobs, rates: dict[str, float], workers: int) -> float | None:
    """Seconds until the last job ends.

    Args:
        jobs: (potential, steps left) of each job that is not finished.
        rates: steps/s by potential; potentials without a rate are taken to run at the mean of the others.
    Returns:
        None while no rate is known.
    """
    if not rates:
        return None
    usual = sum(rates.values()) / len(rates)
    seconds = [steps / rates.get(potential, usual) for potential, steps in jobs]
    return max(max(seconds, default=0.0), sum(seconds) / workers)
