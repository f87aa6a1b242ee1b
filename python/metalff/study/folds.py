"""Every frame of a set as test frame once: trainings on all folds but one, tested on that one, and their errors together."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from metalff.data import Frame, write_extxyz
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.study.trial import Trial

LEVEL = 0.95


def deal(blocks: list, count: int) -> list[list]:
    """Blocks dealt out in turn: of each fold, its members.

    Args:
        blocks: frames that stay together, such as those of one run.
        count: of folds.
    Raises:
        MetalffError: fewer blocks than folds.
    """
    if len(blocks) < count:
        raise MetalffError(f"{len(blocks)} blocks are too few for {count} folds")
    return [[member for block in blocks[fold::count] for member in block] for fold in range(count)]


def write_folds(folds: list[list[Frame]], folder: Path) -> list[tuple[str, str]]:
    """Files (train, test) of each fold in a folder of their own; what is there with the same frames is kept."""
    content = [[(len(frame), frame.source, frame.index, float(frame.energy)) for frame in fold] for fold in folds]
    names = [(str(folder / f"fold-{k}-train.extxyz"), str(folder / f"fold-{k}-test.extxyz")) for k in range(len(folds))]
    made = folder / "folds.json"
    try:
        if json.loads(made.read_text("utf-8")) == json.loads(json.dumps(content)) and all(Path(file).exists() for pair in names for file in pair):
            return names
    except (OSError, ValueError):
        pass
    folder.mkdir(parents=True, exist_ok=True)
    for k, (train, test) in enumerate(names):
        write_extxyz([frame for j, fold in enumerate(folds) if j != k for frame in fold], train)
        write_extxyz(folds[k], test)
    with atomic_write(made) as stream:
        json.dump(content, stream)
    return names


def trials(files, settings: dict[str, dict], seeds, labels: dict) -> list[Trial]:
    """A training for each family, seed and fold.

    Args:
        files: of ``write_folds``.
        settings: of each family.
        labels: of all; ``fold`` is added.
    """
    return [
        Trial(family, own, (train,), (test,), seed, None, labels | {"fold": fold})
        for family, own in settings.items()
        for seed in seeds
        for fold, (train, test) in enumerate(files)
    ]


@dataclass(frozen=True)
class Pooled:
    """Errors of all folds together, those of several seeds averaged in squares.

    Attributes:
        frames: that were tested on, each once.
        folds, seeds: trainings.
        force_rms, force_rmse: eV/Å, of the labels and of the error.
        normalised: their ratio.
        low, high: of its 95 % interval, from how much folds differ (Student's t of logarithms); NaN with one fold.
        logs: {fold: mean over seeds of ln(force RMSE)}, for comparisons fold by fold.
    """

    frames: int
    folds: int
    seeds: int
    force_rms: float
    force_rmse: float
    normalised: float
    low: float
    high: float
    logs: dict[int, float]

    @property
    def scatter(self) -> float:
        """Half the interval, as a factor."""
        return self.high / self.normalised


def pooled(rows: list[dict], temperature: str = "all") -> Pooled | None:
    """Errors of the trainings of one family on one set; None where there is none, or where they lack the temperature.

    Args:
        rows: results of ``trials``, as ``study.trial.row`` gives them.
        temperature: K as text, or ``all``.
    """
    rows = [row for row in rows if row["test"].get(temperature, {}).get("normalised")]
    if not rows:
        return None
    parts = {}
    for row in rows:
        parts.setdefault(row["labels"]["fold"], []).append(row["test"][temperature])
    counts = np.array([own[0]["frames"] for own in parts.values()], float)
    labels = np.array([own[0]["force_rms"] for own in parts.values()])
    errors = np.array([np.sqrt(np.mean([one["force_rmse"][0] ** 2 for one in own])) for own in parts.values()])
    rms, rmse = (float(np.sqrt((counts * values**2).sum() / counts.sum())) for values in (labels, errors))
    half = half_interval(np.log(errors / labels))
    return Pooled(
        frames=int(counts.sum()),
        folds=len(parts),
        seeds=max(len(own) for own in parts.values()),
        force_rms=rms,
        force_rmse=rmse,
        normalised=rmse / rms,
        low=float(rmse / rms * np.exp(-half)),
        high=float(rmse / rms * np.exp(half)),
        logs={fold: float(np.log(error)) for fold, error in zip(parts, errors, strict=True)},
    )


def half_interval(values) -> float:
    """Half the 95 % interval of the mean of values[N], by Student's t; NaN of a single one."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float("nan")
    return float(student.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def ratio(one: Pooled, other: Pooled) -> tuple[float, float, float]:
    """Force RMSE of ``one`` ÷ that of ``other``, and its 95 % interval, of the folds that both have: those are of the same structures."""
    shared = [one.logs[fold] - other.logs[fold] for fold in one.logs if fold in other.logs]
    middle, half = float(np.mean(shared)), half_interval(shared)
    return float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half))
