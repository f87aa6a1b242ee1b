"""Numbers of a sweep: structure, transport, expansion, conservation and speed of each potential."""

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from metalff.report.results import Run, Sweep
from metalff.validate.stability import Drift, energy_drift
from metalff.validate.structure import (
    density,
    diffusion_coefficient,
    mean_squared_displacement,
    mean_volume,
    radial_distribution,
    thermal_expansion,
)

FEWEST_FRAMES = 8
"""A mean squared displacement is shown from this many frames on."""


LEAVES = 0.3
"""Part of (volume per atom)^⅓ that atoms are away from where they were, in the root of the mean square, when they no longer vibrate about
their sites: a crystal melts long before (Lindemann's 0.1 of that length, times √2 for two times), so that below it D is none."""


@dataclass(frozen=True, eq=False)
class RunNumbers:
    """What one run gives; None where its stage is too short.

    Attributes:
        r, g: [bins] Å and 1.
        lag_ps, msd: [F/2] ps and Å²; longer lags have too few independent origins to be shown.
        diffusion: Å²/ps; None where atoms stay at their sites.
        volume: Å³/atom, NPT.
        density: g/cm³.
        drift: of the NVE stage.
        nve_time_ps, nve_change: [n] ps and eV/atom since the start of the NVE stage.
    """

    run: Run
    r: np.ndarray
    g: np.ndarray
    lag_ps: np.ndarray | None
    msd: np.ndarray | None
    diffusion: float | None
    volume: float | None
    density: float | None
    drift: Drift | None
    nve_time_ps: np.ndarray | None
    nve_change: np.ndarray | None


def run_numbers(run: Run, trajectory, thermo) -> RunNumbers:
    """Numbers of a run from its ``trajectory`` and ``thermo``, which a campaign reads once and drops."""
    atoms = trajectory.positions.shape[1]
    r, g = radial_distribution(trajectory.positions, trajectory.cell)
    lag = msd = diffusion = volume = weight = drift = nve_time = nve_change = None
    if len(trajectory.steps) >= FEWEST_FRAMES:
        lag, msd = trajectory.time_ps - trajectory.time_ps[0], mean_squared_displacement(trajectory.positions)
        length = (np.linalg.det(trajectory.cell).mean() / atoms) ** (1 / 3)
        if msd[len(msd) // 2] > (LEAVES * length) ** 2:
            diffusion = diffusion_coefficient(lag, msd)
        lag, msd = lag[: len(lag) // 2 + 1], msd[: len(msd) // 2 + 1]
    npt = thermo[thermo.stage == "equilibrate"]
    if len(npt) > 1:
        volume = mean_volume(npt.vol, atoms)
        weight = density(volume, atomic_masses[atomic_numbers[trajectory.element]])
    nve = thermo[thermo.stage == "drift"]
    if len(nve) > 1:
        drift = energy_drift(nve.time_ps, nve.etotal, atoms)
        nve_time = nve.time_ps.to_numpy() - nve.time_ps.iloc[0]
        nve_change = (nve.etotal.to_numpy() - nve.etotal.iloc[0]) / atoms
    return RunNumbers(run, r, g, lag, msd, diffusion, volume, weight, drift, nve_time, nve_change)


def by_potential(sweep: Sweep) -> dict[str, list[RunNumbers]]:
    """Potential (its folder's name) → numbers of its runs, by temperature."""
    found = {}
    for run in sorted(sweep.runs, key=lambda run: run.temperature):
        found.setdefault(run.potential, []).append(run_numbers(run, run.trajectory, run.thermo))
    return {name: found[name] for name in sweep.record["potentials"] if name in found}


def speed(runs: list[RunNumbers]) -> float | None:
    """Atom-steps/s, median over the runs of a potential."""
    speeds = [item.run.record["atom_steps_per_s"] for item in runs if item.run.record["atom_steps_per_s"]]
    return float(np.median(speeds)) if speeds else None


def expansion(runs: list[RunNumbers]) -> float | None:
    """Linear thermal expansion in 1/K over the stable runs; None with fewer than two temperatures."""
    points = [(item.run.temperature, item.volume) for item in runs if item.volume and not item.run.record["unstable"]]
    return thermal_expansion(*zip(*points)) if len(points) > 1 else None


def worst_drift(runs: list[RunNumbers]) -> Drift | None:
    """The drift with the largest slope."""
    drifts = [item.drift for item in runs if item.drift]
    return max(drifts, key=lambda drift: abs(drift.slope)) if drifts else None
