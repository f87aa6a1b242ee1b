"""Measure what is missing, one thing at a time, on one core."""

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from metalff.benchmark.crystals import melting_point
from metalff.benchmark.plan import Settings, Task, seen_in_training
from metalff.benchmark.progress import Cost
from metalff.benchmark.record import Record
from metalff.benchmark.stability import steps_of, survive
from metalff.compiled import prepare
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.speed.lammps import cells_of, lattice, measure
from metalff.validate.compare import compare

REPEATS = 3
"""Timed runs, of which the fastest counts."""

SECONDS = 2.0
"""Aim of each timed run."""

FEWEST, MOST = 3, 20000
"""Steps of a timed run."""


class Runner:
    """Does tasks whose results are not kept yet.

    Args:
        progress: object with ``update(title, done, total, seconds left or None)`` and ``line(text)``.
        limit_s: seconds of wall time for each stability run.
        lock: file descriptor that LAMMPS keeps open.
    """

    def __init__(self, record: Record, settings: Settings, progress, limit_s: float | None = None, lock: int | None = None):
        self.record, self.settings, self.progress, self.limit_s, self.lock = record, settings, progress, limit_s, lock

    def run(self, todo: list[Task]) -> bool:
        """Returns whether all of them have a result.

        A model that fails is a result. What could not be run at all is kept as ``{"error": sentence}`` and tried again the next time.
        """
        waiting = [task for task in todo if not self._is_done(task)]
        complete = True
        for number, task in enumerate(waiting):
            done = len(todo) - len(waiting) + number
            step = self._steps(task, done, len(todo), waiting[number + 1 :], Cost(self.record, todo, self.settings, self.limit_s))
            step(0.0)
            try:
                if task.model.potential.kind == "mlff":
                    prepare(task.model.potential.files[0], self.progress.line)
                result = getattr(self, task.part)(task, step)
            except MetalffError as error:
                result, complete = {"error": str(error)}, False
            self.record.keep(task, result)
            self.progress.line(f"[{done + 1}/{len(todo)}] {task.title}: {sentence(task.part, result)}")
        self.progress.update("done", len(todo), len(todo), 0.0)
        return complete

    def accuracy(self, task: Task, step: Callable[[float], None]) -> dict:
        """Errors on a data set, the energy offset, and how many of the frames the model was trained on."""
        potential = resolve(task.model.spec, task.dataset.elements)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            (result,) = compare([potential], task.dataset, lambda name, done, total: step(done / total))
        return {
            "energy_offset": result.energy_offset,
            "overall": asdict(result.overall),
            "groups": result.groups,
            "by_temperature": {key: asdict(value) for key, value in result.by_temperature.items()},
            "by_group": {key: asdict(value) for key, value in result.by_group.items()},
            "seen_in_training": seen_in_training(task.model, task.dataset),
            "warnings": sorted({str(warning.message) for warning in warned}),
        }

    def speed(self, task: Task, step: Callable[[float], None]) -> dict:
        """µs of processor time per atom and step of the fastest of some runs (with ``wall µs/atom``), and the peak memory in MB.

        Processor time is what a run takes on an idle machine, also where others are at work.
        """
        pair = resolve(task.model.spec, [task.element]).lammps_commands()
        cells = cells_of(self.settings.atoms, lattice(task.element)[1])
        runs = [measure(pair, cells, FEWEST, element=task.element)]
        steps = max(FEWEST, min(MOST, round(SECONDS / max(runs[0]["s/step"], 1e-9))))
        for number in range(REPEATS):
            runs.append(measure(pair, cells, steps, element=task.element))
            step((number + 1) / REPEATS)
        atoms, best = runs[0]["atoms"], min(runs[1:], key=lambda run: run["processor s/step"])
        return {
            "µs/atom": 1e6 * best["processor s/step"] / atoms,
            "wall µs/atom": 1e6 * best["s/step"] / atoms,
            "MB": max(run["MB"] for run in runs),
            "atoms": atoms,
            "steps": steps,
        }

    def stability(self, task: Task, step: Callable[[float], None]) -> dict:
        """See `survive`."""
        steps = steps_of(task.element, self.settings.ps)
        result = survive(
            resolve(task.model.spec, [task.element]),
            task.element,
            task.fraction * melting_point(task.element),
            self.settings.ps,
            self.settings.seed,
            folder_of(task, self.record.path.parent),
            self.limit_s,
            lambda done: step(done / steps),
            self.lock,
        )
        return result | {"limit_s": self.limit_s}

    def _is_done(self, task: Task) -> bool:
        """Whether there is a result that stands; a stability run that an earlier, shorter limit ended goes on.

        Errors of an older MetalFF, which did not know those of groups, are measured again.
        """
        result = self.record.result(task)
        if not result or "error" in result or (task.part == "accuracy" and "groups" not in result):
            return False
        return result.get("over", True) or (self.limit_s is not None and self.limit_s <= result["limit_s"])

    def _steps(self, task: Task, done: int, total: int, later: list[Task], cost: Cost) -> Callable[[float], None]:
        """What a task calls with the part of it that is done, between 0 and 1."""
        started, after = time.monotonic(), cost.of(later)

        def step(part: float) -> None:
            spent = time.monotonic() - started
            own = spent / part - spent if part > 0 else cost.of([task])
            left = None if after is None or own is None else own + after
            self.progress.update(task.title, done + part, total, left)

        return step


def folder_of(task: Task, out: Path) -> Path:
    """Where a stability run keeps its files while it is under way."""
    return out / "md" / f"{task.model.potential.sha256[:12]}-{task.element}-{task.fraction:g}Tm"


def sentence(part: str, result: dict) -> str:
    """A result in a few words."""
    if "error" in result:
        return f"not measured: {result['error']}"
    if part == "speed":
        return f"{result['µs/atom']:.3g} µs per atom and step, {result['MB']:.0f} MB"
    if part == "accuracy":
        return f"force RMSE {result['overall']['force_rmse']['value']:.4f} eV/Å"
    if result["failure"]:
        return f"failed after {result['ps']:.3f} ps: {result['failure']}"
    return f"survived {result['ps']:g} ps" + ("" if result["over"] else ", ended by --limit")
