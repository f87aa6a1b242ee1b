"""Errors of energies, forces and stresses against a reference: pure functions on arrays.

| metric | unit | what it measures, and where it misleads |
|---|---|---|
| force RMSE, MAE | eV/Å, per component | dominated by hot and distorted frames |
| normalised force RMSE | 1 | RMSE / RMS of the reference forces: 1 is "predicts zero"; comparable over temperatures; none where forces vanish |
| energy RMSE, MAE | eV/atom | raw: contains the zero of energy, which EAM and MEAM choose freely |
| … after offset | eV/atom | one constant per element fitted by least squares on the compared frames themselves |
| stress RMSE | eV/Å³, over the 6 distinct components | DFT stress carries the Pulay error of its basis |

Intervals are 95% percentile intervals of a circular block bootstrap (Politis and Romano 1992) within trajectories: a block
never joins frames of two, and each keeps its number of frames in every resample. Blocks have ``n^(1/3)`` consecutive
frames of a trajectory's ``n`` unless told otherwise (Hall, Horowitz and Jing, Biometrika 82, 561 (1995)). Trajectories with
one frame cannot be resampled by themselves; they are drawn from together, one by one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
SEED = 20200124
LEVEL = 0.95
AT_ONCE = 10**7
"""Random numbers, or frames of resamples, that are in memory at a time."""

STILL = 0.002
"""eV/Å: where the RMS reference force is smaller, symmetry makes the forces vanish but for the noise of their labels (0.0011 in strained crystals of
nickel in zuo2020), and no error is taken relative to them."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; the interval is None with fewer than two frames."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Metrics:
    """Errors over one selection of frames; units in the table of this module."""

    frames: int
    atoms: int
    force_rms_reference: float
    force_rmse: Estimate
    force_mae: Estimate
    force_rmse_normalised: Estimate | None
    energy_rmse: Estimate
    energy_mae: Estimate
    energy_rmse_offset: Estimate
    energy_mae_offset: Estimate
    stress_rmse: Estimate | None
    stress_frames: int


class FrameErrors(NamedTuple):
    """Errors frame by frame, of which all errors over selections of frames are made; columns [F], NaN where there is no label."""

    atoms: np.ndarray
    force_square_error: np.ndarray  # Σ |F − F_ref|², eV²/Å²
    force_absolute_error: np.ndarray  # Σ |F − F_ref| over components, eV/Å
    force_square: np.ndarray  # Σ |F_ref|², eV²/Å²
    energy_error: np.ndarray  # eV per atom
    stress_square_error: np.ndarray  # mean over the 6 distinct components, (eV/Å³)²
    stress_absolute_error: np.ndarray  # likewise, eV/Å³


def frame_errors(reference_energy, energy, reference_forces, forces, reference_stress, stress) -> FrameErrors:
    """Errors of each of F frames; arguments as those of ``metrics``."""
    difference = [np.asarray(p) - np.asarray(r) for p, r in zip(forces, reference_forces, strict=True)]
    atoms = np.array([len(d) for d in difference])
    upper = np.triu_indices(3)
    by_stress = [
        np.full(6, np.nan) if r is None or p is None else (np.asarray(p) - np.asarray(r))[upper]
        for r, p in zip(reference_stress, stress, strict=True)
    ]
    return FrameErrors(
        atoms=atoms,
        force_square_error=np.array([np.sum(d**2) for d in difference]),
        force_absolute_error=np.array([np.sum(np.abs(d)) for d in difference]),
        force_square=np.array([np.sum(np.square(r)) for r in reference_forces]),
        energy_error=(np.asarray(energy, float) - np.asarray(reference_energy, float)) / atoms,
        stress_square_error=np.array([np.mean(d**2) for d in by_stress]),
        stress_absolute_error=np.array([np.mean(np.abs(d)) for d in by_stress]),
    )


def _blocks(trajectories, block: int | None, resamples: int, seed: int):
    """For each trajectory its frames [n], the length of its blocks, and an iterator over their first places [resamples, blocks], some resamples at a time."""
    labels = np.zeros(trajectories, int) if isinstance(trajectories, int) else np.asarray(trajectories)
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(labels, kind="stable")
    members = [own for own in np.split(order, np.cumsum(sizes)[:-1]) if len(own) > 1]
    lengths = [block or max(1, round(len(own) ** (1 / 3))) for own in members]
    if len(single := np.flatnonzero(sizes[labels] == 1)):
        members, lengths = [*members, single], [*lengths, 1]
    rng = np.random.default_rng(seed)
    for own, length in zip(members, lengths, strict=True):
        count = -(-len(own) // length)
        rows = max(1, AT_ONCE // count)
        yield own, length, (rng.integers(len(own), size=(min(rows, resamples - first), count)) for first in range(0, resamples, rows))


def bootstrap_indices(trajectories, block: int | None = None, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Frame numbers [resamples, F] of a circular block bootstrap within trajectories; of many frames ``bootstrap_sums`` needs less memory.

    Args:
        trajectories: [F] which trajectory each frame belongs to; or F, for one trajectory.
        block: consecutive frames of a trajectory that stay together.
    """
    parts = []
    for own, length, drawn in _blocks(trajectories, block, resamples, seed):
        starts = np.concatenate(list(drawn))
        chosen = ((starts[:, :, None] + np.arange(length)) % len(own)).reshape(resamples, -1)[:, : len(own)]
        parts.append(own[chosen].astype(np.int32))
    return np.concatenate(parts, axis=1)


def bootstrap_sums(columns, trajectories, block: int | None = None, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Sums [K, resamples] of columns [K,F] over the frames that ``bootstrap_indices`` draws; a block is summed once, not each time it is drawn."""
    columns = np.atleast_2d(np.asarray(columns, float))
    sums = np.zeros((len(columns), resamples))
    for own, length, drawn in _blocks(trajectories, block, resamples, seed):
        count = -(-len(own) // length)
        values = columns[:, own]
        last = _windows(values, len(own) - (count - 1) * length)
        whole = _windows(values, length) if count > 1 else last
        row = 0
        for starts in drawn:
            rows = slice(row, row + len(starts))
            row += len(starts)
            for k in range(len(columns)):
                sums[k, rows] += whole[k][starts[:, :-1]].sum(axis=1) + last[k][starts[:, -1]]
    return sums


def _windows(values, length: int) -> np.ndarray:
    """[K,n] sums of ``length`` ≤ n consecutive values of [K,n], around the end."""
    around = np.concatenate([values, values[:, : length - 1]], axis=1)
    return np.lib.stride_tricks.sliding_window_view(around, length, axis=1).sum(axis=2)


def estimate(numerator, denominator, indices=None, *, root: bool = False) -> Estimate:
    """Σ numerator / Σ denominator over frames (its square root with ``root``) and its interval.

    Args:
        numerator, denominator: [F] per-frame sums, such as squared force errors and numbers of components.
        indices: [B,F] of ``bootstrap_indices``.
    """
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    if indices is None or len(numerator) < 2:
        return _estimate(numerator, denominator, None, None, root)
    several = np.array_split(indices, max(1, indices.size // AT_ONCE))  # for memory
    totals, sums = (np.concatenate([values[part].sum(axis=1) for part in several]) for values in (denominator, numerator))
    return _estimate(numerator, denominator, sums, totals, root)


def _estimate(numerator, denominator, sums, totals, root: bool) -> Estimate:
    """``estimate`` with the sums [B] over each resample; None without."""
    finish = np.sqrt if root else np.asarray
    value = float(finish(numerator.sum() / denominator.sum()))
    if sums is None:
        return Estimate(value)
    low, high = np.quantile(finish(sums[totals > 0] / totals[totals > 0]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def estimates(ratios: dict[str, tuple], trajectories, block: int | None = None) -> dict[str, Estimate]:
    """``estimate`` of several (numerator [F], denominator [F], root) by name, with the same resamples."""
    columns = {id(column): np.asarray(column, float) for numerator, denominator, _ in ratios.values() for column in (numerator, denominator)}
    sums = {}
    if len(trajectories) > 1:
        sums = dict(zip(columns, bootstrap_sums(list(columns.values()), trajectories, block)))
    return {
        name: _estimate(columns[id(over)], columns[id(under)], sums.get(id(over)), sums.get(id(under)), root)
        for name, (over, under, root) in ratios.items()
    }


def energy_offset(reference, predicted, counts) -> np.ndarray:
    """Constants c[S] in eV per atom of each species that minimise Σ ((predicted + counts·c − reference) / N)².

    Args:
        reference, predicted: [F] eV.
        counts: [F,S] atoms of each species in each frame.
    """
    counts = np.asarray(counts, float)
    atoms = counts.sum(axis=1)
    error = (np.asarray(reference, float) - np.asarray(predicted, float)) / atoms
    return np.linalg.lstsq(counts / atoms[:, None], error, rcond=None)[0]


def metrics(
    reference_energy,
    energy,
    reference_forces,
    forces,
    reference_stress,
    stress,
    shift,
    block=None,
    trajectories=None,
) -> Metrics:
    """All metrics of one potential on F frames.

    Args:
        reference_energy, energy: [F] eV.
        reference_forces, forces: F arrays [N_f,3] eV/Å.
        reference_stress, stress: F arrays [3,3] eV/Å³, or None for frames without.
        shift: [F] eV that the fitted offset adds to ``energy``.
        block: frames per bootstrap block.
        trajectories: [F] which trajectory each frame belongs to; one for all when None.
    """
    errors = frame_errors(reference_energy, energy, reference_forces, forces, reference_stress, stress)
    return metrics_of(errors, shift, block, trajectories)


def metrics_of(errors: FrameErrors, shift, block=None, trajectories=None) -> Metrics:
    """All metrics of frames whose errors are known; other arguments as those of ``metrics``."""
    atoms, ones = errors.atoms, np.ones(len(errors.atoms))
    trajectories = np.zeros(len(atoms), int) if trajectories is None else np.asarray(trajectories)
    shifted = errors.energy_error + np.asarray(shift, float) / atoms
    components = 3 * atoms
    rms = float(np.sqrt(errors.force_square.sum() / components.sum()))
    found = estimates(
        {
            "force_rmse": (errors.force_square_error, components, True),
            "force_mae": (errors.force_absolute_error, components, False),
            **({"force_rmse_normalised": (errors.force_square_error, errors.force_square, True)} if rms >= STILL else {}),
            "energy_rmse": (errors.energy_error**2, ones, True),
            "energy_mae": (np.abs(errors.energy_error), ones, False),
            "energy_rmse_offset": (shifted**2, ones, True),
            "energy_mae_offset": (np.abs(shifted), ones, False),
        },
        trajectories,
        block,
    )
    stressed = np.flatnonzero(np.isfinite(errors.stress_square_error))
    stress = {}
    if len(stressed):
        stress = estimates({"stress_rmse": (errors.stress_square_error[stressed], ones[stressed], True)}, trajectories[stressed], block)
    return Metrics(
        frames=len(atoms),
        atoms=int(atoms.sum()),
        force_rms_reference=rms,
        **{"force_rmse_normalised": None, "stress_rmse": None} | found | stress,
        stress_frames=len(stressed),
    )
