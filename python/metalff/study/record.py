"""``results.json`` of a study: every result as it comes; a later run of the same or another plan extends it."""

import csv
import hashlib
import json
import textwrap
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.speed.run import machine
from metalff.study.trial import without_adam
from metalff.validate.groups import UNNAMED

SCHEMA = 1
"""Number of the layout of ``results.json``."""

NAME = "results.json"


class Record:
    """``results.json`` in memory: ``trials`` by key.

    Args:
        out: folder of the study; made when there is something to write.
        study: name of the study.
        command: the command line.
    Raises:
        MetalffError: ``out`` is no folder, or holds something else, or its file is damaged.
    """

    def __init__(self, out: Path, study: str, command: list[str]):
        self.path = Path(out) / NAME
        found = self._found(study)
        commands = found.get("commands", [])
        self.content = {"schema": SCHEMA, "study": study, "commands": commands + [command] * (command not in commands), "machine": machine()}
        self.content |= {"failed": found.get("failed", {}), "names": found.get("names", {}), "trials": found.get("trials", {})}
        self.content |= {"pace": found["pace"]} if isinstance(found.get("pace"), dict) else {}

    def _found(self, study: str) -> dict:
        if self.path.parent.exists() and not self.path.parent.is_dir():
            raise MetalffError(f"{self.path.parent} is not a folder; choose another --out")
        if not self.path.exists():
            return {}
        try:
            found = json.loads(self.path.read_text("utf-8"))
            ours = (found["schema"], found["study"]) == (SCHEMA, study) and "trials" in found
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise MetalffError(f"{self.path} holds no results of this study; choose another --out")
        if wrong := damage(found):
            raise MetalffError(f"{self.path} is damaged: {wrong}; mend it, or choose another --out")
        return found

    @property
    def trials(self) -> dict[str, dict]:
        return self.content["trials"]

    def add(self, key: str, row: dict) -> None:
        """Keep a result on disk."""
        self.trials[key] = row
        self.content["failed"].pop(key, None)
        self.write()

    def fail(self, key: str, title: str, sentence: str) -> None:
        """Keep why a trial failed; a later run tries it again."""
        self.content["failed"][key] = {"title": title, "reason": sentence}
        self.write()

    def rows(self, trials) -> list[dict]:
        """Results of those trials that have one, with the labels of the trial."""
        return [self.trials[t.key] | {"labels": t.labels} for t in trials if t.key in self.trials]

    def know(self, trials) -> None:
        """Remember what these trials are called, so that ``named`` finds their results without their data; labels that differ in nothing share one."""
        self.content["names"] |= {name_of(t.family, t.told, t.labels, t.seed): t.key for t in trials if "metal" in t.labels and t.key in self.trials}

    def named(self, trials) -> list[dict]:
        """Results of trials whose data are not on this machine, so that they have no key: by family, settings, metal, label and seed; the last of each."""
        keys = {name_of(row["family"], row["settings"], row["labels"], row["seed"]): key for key, row in self.trials.items()} | self.content["names"]
        found = [(t, keys.get(name_of(t.family, t.told, t.labels, t.seed))) for t in trials]
        return [self.trials[key] | {"labels": t.labels} for t, key in found if key in self.trials]

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as stream:
            json.dump(self.content, stream, indent=1)


NUMBER = (int, float)
LAYOUT = {
    "labels": dict, "family": str, "settings": dict, "seed": int, "frames": int, "epochs": int, "seconds": NUMBER, "test": dict,
}  # fmt: skip
"""Of a result: what is read, and its type."""


def damage(found: dict) -> str | None:
    """What is wrong with the content of a file of results, if anything."""
    for key, kind in (("commands", list), ("failed", dict), ("names", dict), ("trials", dict)):
        if not isinstance(found.get(key, kind()), kind):
            return f"{key} is no {'list' if kind is list else 'object'}"
    if not all(isinstance(key, str) for key in found.get("names", {}).values()):
        return "names are no texts"
    return next((f"trial {key} is no result" for key, row in found["trials"].items() if not _is_result(row)), None)


def _is_result(row) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), kind) for key, kind in LAYOUT.items()):
        return False
    groups = row.get("groups", {})
    if not isinstance(groups, dict) or not all(isinstance(group, dict) and "frames" in group for group in groups.values()):
        return False
    return "all" in row["test"] and all(map(_are_errors, row["test"].values()))


def _are_errors(errors) -> bool:
    """Whether these are errors as ``trial.errors_of`` gives them."""
    if not isinstance(errors, dict) or not all(isinstance(errors.get(key), NUMBER) for key in ("frames", "force_rms", "energy_rmse")):
        return False
    return _is_interval(errors.get("force_rmse")) and (errors.get("normalised", ()) is None or _is_interval(errors.get("normalised")))


def _is_interval(values) -> bool:
    """Value, low and high; of a single frame the last two are None."""
    if not isinstance(values, list) or len(values) != 3:
        return False
    return isinstance(values[0], NUMBER) and all(value is None or isinstance(value, NUMBER) for value in values[1:])


def name_of(family: str, settings: dict, labels: dict, seed: int) -> str:
    """What a result is found by without its data: a hash."""
    words = [family, without_adam(family, settings), labels.get("metal"), labels.get("label"), seed]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


def flat(rows: list[dict]) -> list[dict]:
    """One line per result and temperature, for a table."""
    lines = []
    for row in rows:
        for temperature, errors in row["test"].items():
            value, low, high = errors["normalised"] or (None, None, None)
            line = {**row["labels"], "family": row["family"], "frames": row["frames"], "seed": row["seed"], "temperature": temperature}
            line |= {"epochs": row["epochs"], "seconds": row["seconds"], "test_frames": errors["frames"], "force_rms": errors["force_rms"]}
            line |= {"force_rmse": errors["force_rmse"][0], "normalised": value, "normalised_low": low, "normalised_high": high}
            lines.append(line | {"energy_rmse": errors["energy_rmse"]})
    return lines


def group_lines(rows: list[dict]) -> list[dict]:
    """One line per result and group of the test data; results of an older MetalFF have none."""
    lines = []
    for row in rows:
        trained = {**row["labels"], "family": row["family"], "frames": row["frames"], "seed": row["seed"], "seconds": row["seconds"]}
        for group, errors in row.get("groups", {}).items():
            lines.append(trained | {"group": group or UNNAMED, "test_frames": errors["frames"]} | {k: v for k, v in errors.items() if k != "frames"})
    return lines


def bullets(sentences) -> list[str]:
    """Sentences as a list in Markdown, wrapped."""
    return [
        textwrap.fill(text, 100, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for text in sentences
    ]


def write_csv(path: Path, lines: list[dict]) -> None:
    """A table of lines that may have different keys; numbers with six digits."""
    keys = list(dict.fromkeys(key for line in lines for key in line))
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(keys)
        for line in lines:
            values = [line.get(key) for key in keys]
            writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in values])
