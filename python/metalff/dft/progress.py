"""What a queue has done and how long the rest will take: for ``status``, and while it runs."""

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from metalff.dft.plan import sources
from metalff.progress import clock


@dataclass
class Row:
    """One metal (or file of structures) of one set."""

    set: str
    source: str
    part: str
    total: int = 0
    done: int = 0
    running: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.total - self.done - len(self.failed)


def table(queue) -> list[Row]:
    """Rows in the order of the queue; failures with their reasons, CPU seconds of what is done."""
    rows, parts = {}, {source.name: source.part.name for source in sources(queue.plan)}
    for task in queue.tasks:
        row = rows.setdefault((task.set, task.source), Row(task.set, task.source, parts[task.source]))
        row.total += 1
        if found := queue.packed(task.set).get(task.id):
            row.done += 1
            row.seconds.append(found["cpu_s"])
        elif queue.done_file(task).exists():
            row.done += 1
            try:
                row.seconds.append(json.loads(queue.done_file(task).read_text("utf-8"))["cpu_s"])
            except (OSError, ValueError, KeyError):  # packed this moment, or damaged: said when it is packed
                pass
        elif queue.is_failed(task):
            try:
                reason = json.loads(queue.failed_file(task).read_text("utf-8"))["reason"]
            except (OSError, ValueError, KeyError):
                reason = "its record is damaged"
            row.failed.append((f"{task.source}/{task.index}", reason))
        elif queue.state(task) == "running":
            row.running += 1
    return list(rows.values())


def lines(rows: list[Row]) -> list[str]:
    """A table for people: a line for each metal, a column for each of its sets (done/all)."""
    by_part = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by_part[row.part][row.source][row.set.removeprefix(row.part).removeprefix("-")] = row
    text = []
    for part, own_sources in by_part.items():
        columns = list(dict.fromkeys(column for row in own_sources.values() for column in row))
        width = max(len(part), *map(len, own_sources))
        text.append(f"{part:<{width}}  " + "  ".join(f"{column:>10}" for column in columns) + "  running  failed  CPU s each")
        for source, own in own_sources.items():
            cells = (f"{own[column].done}/{own[column].total}" if column in own else "" for column in columns)
            seconds = [second for row in own.values() for second in row.seconds]
            counts = sum(row.running for row in own.values()), sum(len(row.failed) for row in own.values())
            each = f"{np.mean(seconds):.0f}" if seconds else ""
            text.append(f"{source:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells) + f"  {counts[0]:>7}  {counts[1]:>6}  {each:>10}")
        text.append("")
    return text[:-1]


def seconds_left(rows: list[Row], workers: int) -> float | None:
    """Until all is done, with a core for each worker; metals without a label yet are taken for average. None while nothing is done."""
    known = [second for row in rows for second in row.seconds]
    if not known:
        return None
    by_source = defaultdict(list)
    for row in rows:
        by_source[row.source] += row.seconds
    usual = float(np.mean(known))

    def cost(row):
        return float(np.mean(row.seconds or by_source[row.source] or [usual]))

    return sum(row.left * cost(row) for row in rows) / workers


class RunProgress:
    """Lines for what ends, and a bar where there is a terminal. Use as a context manager; called by ``run``."""

    def __init__(self, queue, workers: int):
        from metalff.progress import Bar

        self.bar, self.workers, self.queue = Bar(), workers, queue
        self.looked = 0.0
        self.rows = table(queue)
        self.total, self.done = len(queue.tasks), sum(row.done for row in self.rows)

    def __enter__(self):
        self.bar.__enter__()
        return self

    def __exit__(self, *exception):
        self.bar.__exit__(*exception)

    def update(self, queue, running, waiting) -> None:
        if time.monotonic() < self.looked + 10 and self.looked:
            return
        self.looked = time.monotonic()
        self.rows = table(queue)
        self.done = sum(row.done for row in self.rows)
        title = ", ".join(f"{item.task.set} {item.task.source}/{item.task.index}" for item in running)
        self.bar.update(title, self.done, self.total, seconds_left(self.rows, self.workers))

    def finished(self, task, seconds: float) -> None:
        self.looked = 0.0
        self.rows = table(self.queue)
        self.done = sum(row.done for row in self.rows)
        left = seconds_left(self.rows, self.workers)
        words = f"; {self.done} of {self.total} done" + (f", {clock(left)} left" if left is not None else "")
        self.bar.line(f"{task.set} {task.source}/{task.index}: {seconds:.0f} s{words}")

    def failed(self, task, sentence: str) -> None:
        self.bar.line(f"{task.set} {task.source}/{task.index}: failed: {sentence}")
