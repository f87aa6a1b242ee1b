"""``benchmark.json``: the settings, and every result as it comes; what a later run finds there it does not measure again."""

import json
from dataclasses import asdict
from pathlib import Path

from metalff.benchmark.plan import Model, Settings
from metalff.data import Dataset
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.speed.run import machine
from metalff.validate.metrics import LEVEL, RESAMPLES

SCHEMA = 1
"""Number of the layout of ``benchmark.json``."""

WORDS = {"ps": "--md-time", "atoms": "--atoms", "seed": "--seed"}
"""Settings by the names of their options."""

UNITS = {"ps": "ps"}
"""Units of settings that have one."""


class Record:
    """``benchmark.json`` in memory.

    Args:
        out: folder of the benchmark; made when there is something to write.
        command: the command line.
    Raises:
        MetalffError: ``out`` is no folder, holds something else, or a benchmark with other settings.
    """

    def __init__(self, out: Path, settings: Settings, command: list[str]):
        self.path = Path(out) / "benchmark.json"
        self.content = self._found(settings) or {"schema": SCHEMA, "settings": asdict(settings), "results": {}}
        self.content |= {
            "command": command,
            "machine": machine(),
            "interval": {"level": LEVEL, "method": "circular block bootstrap within trajectories", "resamples": RESAMPLES},
            "models": {},
            "data": {},
        }
        self.results = self.content["results"]

    def _found(self, settings: Settings) -> dict | None:
        out = self.path.parent
        if out.exists() and not out.is_dir():
            raise MetalffError(f"{out} is not a folder; choose another --out")
        if not self.path.exists():
            if out.is_dir() and any(path.name != ".lock" for path in out.iterdir()):
                raise MetalffError(f"{out} is not empty and holds no benchmark; choose another --out")
            return None
        try:
            found = json.loads(self.path.read_text("utf-8"))
            schema, before, _ = found["schema"], found["settings"], found["results"].keys()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MetalffError(f"{self.path} is damaged or no record of a benchmark; choose another --out") from None
        if schema != SCHEMA:
            raise MetalffError(f"{self.path} has schema {schema}, this MetalFF reads {SCHEMA}; choose another --out")
        if before != (mine := asdict(settings)):
            other = ", ".join(f"{WORDS[key]} {value:g}{UNITS.get(key, '')}" for key, value in before.items() if mine.get(key) != value)
            raise MetalffError(f"{out} holds another benchmark ({other}); choose another --out, or the same settings")
        return found

    def describe(self, models: list[Model], datasets: list[Dataset]) -> None:
        """What the names of models and data sets mean."""
        self.content["models"] = {model.name: model.record() for model in models}
        self.content["data"] = {
            dataset.name: {
                "sha256": dataset.sha256,
                "frames": len(dataset),
                "atoms": sum(map(len, dataset)),
                "elements": dataset.elements,
                "citation": dataset.citation,
                "licence": dataset.licence,
                "not_covered_by": [model.name for model in models if not model.covers(dataset)],
            }
            for dataset in datasets
        }

    def key(self, task) -> str:
        return task.key(self.content["machine"]["processor"])

    def result(self, task) -> dict:
        """The result of a task so far; {} when there is none."""
        return self.results.get(self.key(task), {})

    def keep(self, task, result: dict) -> None:
        """Add a result and write the file."""
        self.results[self.key(task)] = {
            "part": task.part,
            "model": task.model.name,
            **({"data": task.dataset.name} if task.dataset else {"element": task.element}),
            **({"fraction": task.fraction} if task.fraction else {}),
            **result,
        }
        self.write()

    def write(self) -> None:
        with atomic_write(self.path) as stream:
            json.dump(self.content, stream, indent=1, allow_nan=False, ensure_ascii=False)
            stream.write("\n")
