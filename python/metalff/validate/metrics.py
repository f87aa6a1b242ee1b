"""Errors of energies, forces and stresses against a reference: pure functions on arrays.

| metric | unit | what it measures, and where it misleads |
|---|---|---|
| force RMSE, MAE | eV/Å, per component | dominated by hot and distorted frames |
| normalised force RMSE | 1 | RMSE / RMS of the reference forces: 1 is "predicts zero"; comparable over temperatures |
| energy RMSE, MAE | eV/atom | raw: contains the zero of energy, which EAM and MEAM choose freely |
| … after offset | eV/atom | one constant per element fitted by least squares on the compared frames themselves |
| stress RMSE | eV/Å³, over the 6 distinct components | DFT stress carries the Pulay error of its basis |

Intervals are 95% percentile intervals of a circular block bootstrap over frames (Politis and Romano 1992), with
blocks of ``n^(1/3)`` consecutive frames unless told otherwise (Hall, Horowitz and Jing, Biometrika 82, 561 (1995)).
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
SEED = 20200124
LEVEL = 0.95


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


def bootstrap_indices(
    frames: int, block: int | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> np.ndarray:
    """Frame numbers [resamples, frames] of a circular block bootstrap."""
    block = block or max(1, round(frames ** (1 / 3)))
    starts = np.random.default_rng(seed).integers(frames, size=(resamples, -(-frames // block)))
    return ((starts[:, :, None] + np.arange(block)) % frames).reshape(resamples, -1)[:, :frames]


def estimate(numerator, denominator, indices=None, *, root: bool = False) -> Estimate:
    """Σ numerator / Σ denominator over frames (its square root with ``root``) and its interval.

    Args:
        numerator, denominator: [F] per-frame sums, such as squared force errors and numbers of components.
        indices: [B,F] of ``bootstrap_indices``.
    """
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    finish = np.sqrt if root else np.asarray
    value = float(finish(numerator.sum() / denominator.sum()))
    if indices is None or len(numerator) < 2:
        return Estimate(value)
    totals = denominator[indices].sum(axis=1)
    samples = finish(numerator[indices].sum(axis=1)[totals > 0] / totals[totals > 0])
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


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


def _stress_rmse(square, block) -> Estimate | None:
    if not square:
        return None
    return estimate(square, np.ones(len(square)), bootstrap_indices(len(square), block), root=True)


def metrics(reference_energy, energy, reference_forces, forces, reference_stress, stress, shift, block=None) -> Metrics:
    """All metrics of one potential on F frames.

    Args:
        reference_energy, energy: [F] eV.
        reference_forces, forces: F arrays [N_f,3] eV/Å.
        reference_stress, stress: F arrays [3,3] eV/Å³, or None for frames without.
        shift: [F] eV that the fitted offset adds to ``energy``.
        block: frames per bootstrap block.
    """
    atoms = np.array([len(f) for f in reference_forces])
    indices = bootstrap_indices(len(atoms), block)
    difference = [np.asarray(p) - np.asarray(r) for p, r in zip(forces, reference_forces, strict=True)]
    square = [np.sum(d**2) for d in difference]
    reference_square = np.array([np.sum(np.square(r)) for r in reference_forces])
    raw = (np.asarray(energy, float) - np.asarray(reference_energy, float)) / atoms
    shifted = raw + np.asarray(shift, float) / atoms
    ones = np.ones(len(atoms))
    upper = np.triu_indices(3)
    pairs = [(r, p) for r, p in zip(reference_stress, stress, strict=True) if r is not None and p is not None]
    stress_square = [np.mean((np.asarray(p) - np.asarray(r))[upper] ** 2) for r, p in pairs]
    return Metrics(
        frames=len(atoms),
        atoms=int(atoms.sum()),
        force_rms_reference=float(np.sqrt(reference_square.sum() / (3 * atoms.sum()))),
        force_rmse=estimate(square, 3 * atoms, indices, root=True),
        force_mae=estimate([np.sum(np.abs(d)) for d in difference], 3 * atoms, indices),
        force_rmse_normalised=estimate(square, reference_square, indices, root=True)
        if reference_square.any()
        else None,
        energy_rmse=estimate(raw**2, ones, indices, root=True),
        energy_mae=estimate(np.abs(raw), ones, indices),
        energy_rmse_offset=estimate(shifted**2, ones, indices, root=True),
        energy_mae_offset=estimate(np.abs(shifted), ones, indices),
        stress_rmse=_stress_rmse(stress_square, block),
        stress_frames=len(pairs),
    )
