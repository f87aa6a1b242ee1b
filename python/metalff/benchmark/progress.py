"""How long tasks will take, from the speeds measured so far."""

from metalff.benchmark.plan import Settings, Task
from metalff.benchmark.stability import ATOMS, steps_of

START = 1.0
"""Seconds that starting LAMMPS or opening a model takes, about."""

TIMING = 10.0
"""Seconds that timing a model takes where a step is short."""

TIMED = 18
"""Steps of all timed runs of a model where a step is long: warm-up, the first look and the repeats."""


class Cost:
    """Seconds of tasks; models not timed yet are taken for average."""

    def __init__(self, record, todo: list[Task], settings: Settings, limit_s: float | None):
        self.settings, self.limit_s = settings, limit_s
        timed = [task for task in todo if task.part == "speed" or task.part == "stability"]
        self.speeds = {}
        for task in timed:
            result = record.result(Task("speed", task.model, element=task.element))
            if "µs/atom" in result:
                self.speeds.setdefault(task.model.name, 1e-6 * result["µs/atom"])

    def of(self, tasks: list[Task]) -> float | None:
        """Seconds; None while no speed is known."""
        if not self.speeds:
            return 0.0 if not tasks else None
        usual = sum(self.speeds.values()) / len(self.speeds)
        return sum(self._one(task, self.speeds.get(task.model.name, usual)) for task in tasks)

    def _one(self, task: Task, speed: float) -> float:
        """``speed``: seconds per atom and step."""
        if task.part == "speed":
            return max(TIMING, TIMED * self.settings.atoms * speed)
        if task.part == "accuracy":
            return START + sum(map(len, task.dataset)) * speed
        needed = START + steps_of(task.element, self.settings.ps) * ATOMS * speed
        return needed if self.limit_s is None else min(needed, START + self.limit_s)
