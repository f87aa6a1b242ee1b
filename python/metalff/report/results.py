"""Folders of ``metalff sweep``, ``validate``, ``properties``, ``study errors`` and ``train``, read and checked."""

import csv
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas

from metalff.errors import MetalffError
from metalff.report.studies import is_whole
from metalff.report.sweeps import DRIVEN, check
from metalff.sweep.runs import THERMO
from metalff.sweep.trajectory import Trajectory, read_trajectory

SCHEMAS = {"sweep.json": (1, 2), "validate.json": (1,), "properties.json": (1,), "errors.json": (1,)}
"""What this report reads of each kind of folder."""

COMMANDS = {
    "sweep.json": "metalff sweep",
    "validate.json": "metalff validate",
    "properties.json": "metalff properties",
    "errors.json": "metalff study errors",
    "training.json": "metalff train",
}
"""File that a folder is known by → what writes it."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished molecular dynamics run of a sweep; ``potential`` is the name of its folder."""

    id: str
    folder: Path
    element: str
    potential: str
    temperature: float
    label: str
    record: dict

    @property
    def thermo(self) -> pandas.DataFrame:
        """``thermo.csv``.

        Raises:
            MetalffError: it is not the file that the sweep wrote, or no table of a run.
        """
        path = self._whole("thermo.csv")
        try:
            found = pandas.read_csv(path)
            numbers = found[[name for name in found.columns if name != "stage"]].to_numpy(float)
            whole = set(THERMO) <= set(found.columns) and len(found) and np.isfinite(numbers).all() and (np.diff(found["step"]) > 0).all()
        except (OSError, ValueError, TypeError):  # those of pandas are ValueErrors
            whole = False
        if not whole:
            raise MetalffError(f"{path} is damaged; remove {self.folder} and run the sweep again")
        return found

    @property
    def trajectory(self) -> Trajectory:
        """``trajectory.h5``, read anew each time: a campaign has more of them than memory holds.

        Raises:
            MetalffError: it is damaged, or not the file that the sweep wrote.
        """
        return read_trajectory(self._whole("trajectory.h5"))

    def _whole(self, name: str) -> Path:
        path = self.folder / name
        if _sha256(path) != self.record["files"][name]:
            raise MetalffError(f"{path} is not the file that the sweep wrote; remove {self.folder} and run it again")
        return path


@dataclass(frozen=True)
class Unfinished:
    """A job without results: ``status`` is waiting, running, failed or cancelled; ``kind`` and ``step`` are those of a failure."""

    id: str
    folder: Path
    element: str
    potential: str
    temperature: float | None
    status: str
    sentence: str
    kind: str = ""
    step: int | None = None
    last_frame: str = ""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep's folder: its record, finished runs at one temperature, jobs without results, and finished ramps, strains and coexistences (``driven``)."""

    folder: Path
    record: dict
    runs: tuple[Run, ...]
    unfinished: tuple[Unfinished, ...]
    driven: tuple[Run, ...] = ()

    @property
    def elements(self) -> list[str]:
        return list(dict.fromkeys(item.element for item in (*self.runs, *self.driven, *self.unfinished)))


@dataclass(frozen=True, eq=False)
class Validation:
    """A validation's folder; its tables are read anew each time: those of several large sets are more than memory holds."""

    folder: Path
    document: dict

    def element_of(self, frames: pandas.DataFrame | None) -> np.ndarray | None:
        """[rows of ``frames``] symbols; None where they are not known."""
        if frames is None:
            return None
        if "element" in frames.columns:
            return frames["element"].fillna("").to_numpy(str)
        elements = self.document["dataset"]["elements"]
        return np.full(len(frames), elements[0]) if len(elements) == 1 else None

    def forces(self, potential: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of ``forces.parquet``: reference and predicted [n,3] eV/Å, and numbers of their frames [n].

        Raises:
            MetalffError: the file is missing or damaged, or knows nothing of the potential.
        """
        path = self.folder / "forces.parquet"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        found = _forces(path, potential, stamp)
        if not len(found[0]):
            raise MetalffError(f"{path} does not belong to {self.folder / 'validate.json'}; run metalff validate again")
        return found

    @property
    def frames(self) -> pandas.DataFrame | None:
        """``frames.csv``; None where it is missing."""
        path = self.folder / "frames.csv"
        return pandas.read_csv(path) if path.exists() else None


@dataclass(frozen=True, eq=False)
class Document:
    """A folder that is one JSON document: of properties, or of a study of errors."""

    folder: Path
    document: dict


@dataclass(frozen=True, eq=False)
class Training:
    """A training's folder: ``training.json`` and the rows of ``history.csv``."""

    folder: Path
    description: dict
    history: list[dict[str, float]]


@dataclass(eq=False)
class Results:
    """All that was found, in the order of the folders."""

    sweeps: list[Sweep] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    properties: list[Document] = field(default_factory=list)
    studies: list[Document] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)

    @property
    def elements(self) -> list[str]:
        found = [symbol for sweep in self.sweeps for symbol in sweep.elements]
        found += [symbol for validation in self.validations for symbol in validation.document["dataset"]["elements"]]
        found += [row["element"] for document in self.properties for row in document.document["results"]]
        found += [row["element"] for document in self.studies for row in document.document["rows"]]
        return list(dict.fromkeys(found))


def read_results(folders) -> Results:
    """What is in these folders, or else in the folders just below them; a sweep brings along the validations and properties that were its jobs.

    Raises:
        MetalffError: there is none, a folder is none of these, or a file is damaged, of another schema, or not the one that was recorded.
    """
    found, folders = Results(), [Path(folder) for folder in folders]
    if not folders:
        raise MetalffError(f"there is nothing to report on; give folders of {', '.join(COMMANDS.values())}")
    for folder in folders:
        below = [folder] if _documents(folder) else sorted(path for path in folder.glob("*") if path.is_dir() and _documents(path))
        if not below:
            said = "is not there" if not folder.exists() else f"holds none of {', '.join(COMMANDS)}"
            raise MetalffError(f"{folder} {said}; give folders of {', '.join(COMMANDS.values())}")
        for one in below:
            for name in _documents(one):
                _READERS[name](one, found)
    return found


def read_sweep(folder: Path) -> Sweep:
    """A sweep alone; raises like ``read_results``."""
    found = Results()
    _read_sweep(folder, found)
    return found.sweeps[0]


def read_validation(folder: Path) -> Validation:
    """A validation alone; raises like ``read_results``."""
    found = Results()
    _read_validation(folder, found)
    return found.validations[0]


def _documents(folder: Path) -> list[str]:
    return [name for name in COMMANDS if (folder / name).is_file()]


def _read_sweep(folder: Path, found: Results) -> None:
    record = _document(folder / "sweep.json", ("plan", "potentials", "jobs", "hash"))
    check(record, folder / "sweep.json")
    runs, unfinished, driven = [], [], []
    try:
        for name, job in record["jobs"].items():
            element = job.get("element") or record["plan"]["element"]
            if job["status"] != "finished":
                failure = job.get("failure") or {}
                rest = failure.get("kind", ""), failure.get("step"), failure.get("last_frame") or ""
                sentence = failure.get("sentence") or job.get("error", "")
                unfinished.append(Unfinished(name, folder / name, element, job["potential"], job.get("temperature"), job["status"], sentence, *rest))
            elif (kind := job.get("kind", "md")) == "properties":
                _read_properties(folder / name, found)
            elif kind == "errors":
                _read_validation(folder / name, found)
            elif kind in ("md", *DRIVEN):
                (runs if kind == "md" else driven).append(
                    Run(name, folder / name, element, job["potential"], job["temperature"], job.get("label", ""), job)
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise MetalffError(f"{folder / 'sweep.json'} is damaged; run the sweep again") from error
    found.sweeps.append(Sweep(folder, record, tuple(runs), tuple(unfinished), tuple(driven)))


def _read_validation(folder: Path, found: Results) -> None:
    path = folder / "validate.json"
    document = _document(path, ("dataset", "potentials"))
    try:
        names = [potential["name"] for potential in document["potentials"]]
    except (KeyError, TypeError) as error:
        raise MetalffError(f"{path} is damaged; run metalff validate again") from error
    validation = Validation(folder, document)
    for name in names:
        validation.forces(name)
    found.validations.append(validation)


@lru_cache(maxsize=1)
def _forces(path: Path, potential: str, stamp: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See ``Validation.forces``; one row group after the other is in memory, and the last answer. ``stamp``: of the file."""
    import pyarrow
    import pyarrow.parquet

    columns = [f"{kind}_f{axis}" for kind in ("reference", "predicted") for axis in "xyz"]
    parts = []
    try:
        with pyarrow.parquet.ParquetFile(path, read_dictionary=["potential"]) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, ["potential", "frame", *columns])
                own = table.filter(pyarrow.compute.equal(table["potential"].cast(pyarrow.string()), potential))
                if len(own):
                    parts.append((np.stack([own[name].to_numpy() for name in columns], axis=1), own["frame"].to_numpy().astype(np.int32)))
    except (OSError, ValueError, KeyError) as error:  # those of pyarrow are ValueErrors and KeyErrors
        raise MetalffError(f"{path} is missing or damaged; run metalff validate again") from error
    values = np.concatenate([values for values, _ in parts]) if parts else np.zeros((0, 6))
    return values[:, :3], values[:, 3:], np.concatenate([frame for _, frame in parts]) if parts else np.zeros(0, np.int32)


def _read_properties(folder: Path, found: Results) -> None:
    document = _document(folder / "properties.json", ("models", "results"))
    if not all(isinstance(row, dict) and {"model", "element", "measurement", "status"} <= set(row) for row in document["results"]):
        raise MetalffError(f"{folder / 'properties.json'} is damaged; run metalff properties again")
    found.properties.append(Document(folder, document))


def _read_study(folder: Path, found: Results) -> None:
    document = _document(folder / "errors.json", ("rows", "models"))
    if not is_whole(document):
        raise MetalffError(f"{folder / 'errors.json'} is damaged; run metalff study errors again")
    found.studies.append(Document(folder, document))


def _read_training(folder: Path, found: Results) -> None:
    try:
        description = json.loads((folder / "training.json").read_text("utf-8"))
        with open(folder / "history.csv", newline="") as stream:
            history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
        _ = description["config"]["family"], description["elements"], [(row["elapsed_s"], row["force_rmse_valid"]) for row in history]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetalffError(f"{folder} holds no whole training (training.json, history.csv); train again") from error
    found.trainings.append(Training(folder, description, history))


def _document(path: Path, keys) -> dict:
    """A JSON document with these keys, of a schema that is known."""
    command = COMMANDS[path.name]
    try:
        document = json.loads(path.read_text("utf-8"), parse_constant=_not_finite)
        schema = document["schema"]
    except FileNotFoundError as error:
        raise MetalffError(f"{path} is missing; run {command} again") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetalffError(f"{path} is damaged; run {command} again") from error
    if schema not in SCHEMAS[path.name]:
        read = " and ".join(map(str, SCHEMAS[path.name]))
        raise MetalffError(f"{path} has schema {schema}, this report reads {read}; run {command} again with this version")
    if missing := [key for key in keys if key not in document]:
        raise MetalffError(f"{path} is damaged ({missing[0]} is missing); run {command} again")
    return document


def _not_finite(word: str):
    raise ValueError(f"{word} is no number of JSON")


_READERS = {
    "sweep.json": _read_sweep,
    "validate.json": _read_validation,
    "properties.json": _read_properties,
    "errors.json": _read_study,
    "training.json": _read_training,
}


def _sha256(path: Path) -> str:
    """'' of a file that is missing or cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
