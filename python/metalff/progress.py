"""What long work tells on stderr while it runs: a bar on a terminal, a line now and then where there is none, as in a batch job."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

FIRST, EVERY = 10.0, 60.0
"""Seconds until the first line where there is no terminal, and between lines."""


class Bar:
    """Progress, and lines for what is done. Use as a context manager."""

    def __init__(self):
        self.console = Console(stderr=True, soft_wrap=True)
        columns = [
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TextColumn("{task.description}", markup=False),
        ]
        self.bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bars.add_task("", total=None, note="")
        self.beat = Beat()

    def __enter__(self):
        self.bars.start()
        return self

    def __exit__(self, *exception):
        self.bars.stop()

    def update(self, title: str, done: float, total: float | None, left: float | None, due: bool = False) -> None:
        """Show what is done of ``total`` (None: not known) and the seconds left (None: not known).

        Args:
            due: where there is no terminal, tell it now if the last line is ``EVERY`` old, or none was told.
        """
        note = "" if left is None else f"{clock(left)} left"
        if self.console.is_terminal:
            self.bars.update(self.task, description=title, completed=done, total=total, note=note)
        elif self.beat.is_due(due):
            part = f"{100 * done / total:.0f}% done" if total else ""
            self.line(": ".join(filter(None, [", ".join(filter(None, [part, note])), title])))

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


class Beat:
    """When a line is due: after ``FIRST`` seconds, then once in ``EVERY``."""

    def __init__(self):
        self.next, self.told = time.monotonic() + FIRST, False

    def is_due(self, first: bool = False) -> bool:
        """Whether a line is due, which then counts as told.

        Args:
            first: the very first line need not wait.
        """
        now = time.monotonic()
        if now < self.next and (self.told or not first):
            return False
        self.next, self.told = now + EVERY, True
        return True


class Pace:
    """The time left of work that goes on evenly."""

    def __init__(self):
        self.first = None

    def left(self, fraction: float) -> float | None:
        """Seconds left with this fraction done, 0 to 1; None until it has grown."""
        now = time.monotonic()
        if self.first is None:
            self.first = now, fraction
        start, before = self.first
        return (now - start) / (fraction - before) * (1 - fraction) if fraction > before else None


def clock(seconds: float) -> str:
    """``0:05:42``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
