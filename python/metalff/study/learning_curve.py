"""Learning curves: error on test data against the number of training frames, or against the time spent on training."""

import math

import numpy as np

from metalff.study.trial import VALID_FRACTION, Trial, gathered, thinned


def epochs_of(steps: int, frames: int, batch_size: int) -> int:
    """Epochs that take at least ``steps`` steps; a part of the frames is held out for validation."""
    return math.ceil(steps / math.ceil(frames * (1 - VALID_FRACTION) / batch_size))


def by_frames(families: dict[str, dict], train, test, frames: list[int], seeds: list[int], steps: int) -> list[Trial]:
    """One training per family, number of frames and seed, the small ones first; each takes the same number of steps.

    Args:
        families: settings of each family.
    Raises:
        MetalffError: more frames than there are.
    """
    trials = []
    for count in sorted(frames):
        thinned(gathered(tuple(train)), count)
        for seed in seeds:
            for family, settings in families.items():
                epochs = epochs_of(steps, count, settings.get("batch_size", 4))
                trials.append(Trial(family, settings | {"max_epochs": epochs}, tuple(train), tuple(test), seed, count, {"curve": "frames"}))
    return trials


def by_time(families: dict[str, dict], train, test, budgets_s: list[float], seeds: list[int]) -> list[Trial]:
    """One training per family, time (s) and seed: each with its whole schedule within that time, not one run looked at on its way."""
    return [
        Trial(family, settings | {"budget_s": float(budget)}, tuple(train), tuple(test), seed, None, {"curve": "time"})
        for budget in sorted(budgets_s)
        for seed in seeds
        for family, settings in families.items()
    ]


def curve(rows: list[dict], x: str, temperature: str = "all") -> dict[str, np.ndarray]:
    """Of each family [K,4]: ``x`` (``frames`` or ``seconds``), force RMSE in eV/Å (mean over seeds) and the least and greatest of the seeds."""
    found = {}
    for row in rows:
        if temperature in row["test"]:
            position = row["settings"]["budget_s"] if x == "seconds" else row["frames"]
            found.setdefault(row["family"], {}).setdefault(position, []).append(row["test"][temperature]["force_rmse"][0])
    return {
        family: np.array([(at, np.mean(values), min(values), max(values)) for at, values in sorted(points.items())])
        for family, points in found.items()
    }


def exponent(points: np.ndarray) -> float | None:
    """b of error ∝ x^−b by least squares on logarithms; None with fewer than three points."""
    if len(points) < 3:
        return None
    return -float(np.polyfit(np.log(points[:, 0]), np.log(points[:, 1]), 1)[0])
