"""Folders of ``metalff sweep`` and ``metalff validate``, read and checked."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from metalff.errors import MetalffError
from metalff.sweep.record import read_record
from metalff.sweep.trajectory import Trajectory, read_trajectory

VALIDATION_SCHEMA = 1
"""Schema of ``validate.json`` that this report reads."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished job of a sweep."""

    id: str
    potential: str
    temperature: float
    record: dict
    thermo: pandas.DataFrame
    trajectory: Trajectory


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep's folder; ``unfinished`` are (id, status, error) of the jobs without results."""

    folder: Path
    record: dict
    runs: tuple[Run, ...]
    unfinished: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, eq=False)
class Validation:
    """A validation's folder; ``forces``: name of the potential → (reference, predicted), both [n,3] eV/Å."""

    folder: Path
    document: dict
    forces: dict[str, tuple[np.ndarray, np.ndarray]]


def read_results(folders) -> tuple[list[Sweep], list[Validation]]:
    """Sweeps and validations in these folders, in the order given.

    Raises:
        MetalffError: a folder holds neither, or a file is damaged, of another schema, or not the one that was recorded.
    """
    sweeps, validations = [], []
    for folder in map(Path, folders):
        is_sweep, is_validation = (folder / "sweep.json").is_file(), (folder / "validate.json").is_file()
        if not (is_sweep or is_validation):
            raise MetalffError(f"{folder} holds neither sweep.json nor validate.json; give folders of metalff sweep or validate")
        if is_sweep:
            sweeps.append(_sweep(folder))
        if is_validation:
            validations.append(_validation(folder))
    return sweeps, validations


def _sweep(folder: Path) -> Sweep:
    record = read_record(folder / "sweep.json")
    runs, unfinished = [], []
    for name, job in record["jobs"].items():
        if job["status"] != "finished":
            unfinished.append((name, job["status"], job.get("error", "")))
            continue
        for file, expected in job["files"].items():
            if _sha256(folder / name / file) != expected:
                raise MetalffError(f"{folder / name / file} is not the file that the sweep wrote; remove {folder / name} and run it again")
        thermo = pandas.read_csv(folder / name / "thermo.csv")
        trajectory = read_trajectory(folder / name / "trajectory.h5")
        runs.append(Run(name, job["potential"], job["temperature"], job, thermo, trajectory))
    return Sweep(folder, record, tuple(runs), tuple(unfinished))


def _validation(folder: Path) -> Validation:
    path = folder / "validate.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        schema, names = document["schema"], [potential["name"] for potential in document["potentials"]]
    except (ValueError, KeyError, TypeError) as error:
        raise MetalffError(f"{path} is damaged; run metalff validate again") from error
    if schema != VALIDATION_SCHEMA:
        raise MetalffError(f"{path} has schema {schema}, this report reads {VALIDATION_SCHEMA}; validate again with this version")
    try:
        table = pandas.read_parquet(folder / "forces.parquet")
        forces = {}
        for name in names:
            rows = table[table.potential == name]
            forces[name] = tuple(rows[[f"{kind}_f{axis}" for axis in "xyz"]].to_numpy() for kind in ("reference", "predicted"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise MetalffError(f"{folder / 'forces.parquet'} is missing or damaged; run metalff validate again") from error
    if not all(len(reference) for reference, _ in forces.values()):
        raise MetalffError(f"{folder / 'forces.parquet'} does not belong to {path}; run metalff validate again")
    return Validation(folder, document, forces)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
