"""Structure and transport from trajectories: pure functions on arrays.

| quantity | unit | what it measures, and where it misleads |
|---|---|---|
| g(r) | 1 | time average over frames; peaks sharpen in small cells, which suppress long phonons |
| MSD | Å² | window average over all time origins; long lags have few independent origins |
| D | Å²/ps (= 10⁻⁸ m²/s) | slope of the MSD / 6; in a crystal without diffusion it is noise around zero |
| volume | Å³/atom | mean over the second half of the NPT stage |
| α | 1/K | slope of ln V over T / 3, a mean over the range of temperatures (classical nuclei) |
"""

import numpy as np

from metalff.errors import MetalffError

R_MAX = 8.0
"""Å: g(r) up to here, or to half the shortest height of the cell."""

AMU_PER_A3_IN_G_PER_CM3 = 1.66053906660
"""1 g/mol per Å³ in g/cm³ (CODATA 2018)."""


def radial_distribution(positions, cell, bins: int = 200, r_max: float = R_MAX):
    """Radial distribution function, averaged over frames.

    Args:
        positions: [F,N,3] Å, wrapped or not.
        cell: [F,3,3] Å, lower triangular rows.
    Returns:
        r[bins] in Å (centres of the bins), g[bins].
    """
    import freud

    r_max = min(r_max, 0.999 * min(_heights(matrix).min() for matrix in cell) / 2)
    rdf = freud.density.RDF(bins=bins, r_max=r_max)
    for matrix, frame in zip(cell, positions, strict=True):
        box = freud.box.Box.from_matrix(matrix.T)
        rdf.compute((box, box.wrap(frame)), reset=False)
    return np.asarray(rdf.bin_centers), np.asarray(rdf.rdf)


def _heights(matrix) -> np.ndarray:
    """Distances between opposite faces of a cell."""
    return 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)


def mean_squared_displacement(positions) -> np.ndarray:
    """MSD by the window method (all time origins), without the motion of the centre of mass of equal atoms.

    MSD(m) = ⟨|r_i(k + m) − r_i(k)|²⟩ over origins k and atoms i, computed with the fast Fourier transform
    (Calandrini et al., Collection SFN 12, 201 (2011), through freud).

    Args:
        positions: [F,N,3] Å, unwrapped, at equal intervals.
    Returns:
        [F] Å², from lag 0 to F−1 intervals.
    """
    import freud

    positions = np.asarray(positions, float)
    relative = positions - positions.mean(axis=1, keepdims=True)
    relative = relative - relative[:1]  # differences stay; smaller numbers lose less in freud's sums
    msd = freud.msd.MSD(mode="window")
    return np.asarray(msd.compute(relative).msd, float)


def diffusion_coefficient(time_ps, msd, first: float = 0.1, last: float = 0.5) -> float:
    """D = slope / 6 of the MSD (Einstein), by least squares over lags between two fractions of the longest one.

    Args:
        time_ps: [F] ps, lags.
        msd: [F] Å².
    Returns:
        Å²/ps, which is 10⁻⁸ m²/s.
    Raises:
        MetalffError: fewer than two lags are left.
    """
    time_ps, msd = np.asarray(time_ps, float), np.asarray(msd, float)
    chosen = (time_ps >= first * time_ps[-1]) & (time_ps <= last * time_ps[-1])
    if chosen.sum() < 2:
        raise MetalffError("the trajectory has too few frames for a diffusion coefficient; run longer or dump more often")
    return float(np.polyfit(time_ps[chosen], msd[chosen], 1)[0] / 6)


def mean_volume(volume, atoms: int) -> float:
    """Å³/atom, mean over the second half of the rows.

    Args:
        volume: [n] Å³ of the NPT stage.
        atoms: in the cell.
    """
    volume = np.asarray(volume, float)
    return float(volume[len(volume) // 2 :].mean() / atoms)


def density(volume_per_atom: float, mass: float) -> float:
    """g/cm³ from Å³/atom and g/mol."""
    return mass / volume_per_atom * AMU_PER_A3_IN_G_PER_CM3


def thermal_expansion(temperature, volume) -> float:
    """Linear coefficient α = (1/3) d ln V / dT, by least squares.

    Args:
        temperature: [n] K.
        volume: [n] Å³/atom.
    Returns:
        1/K, the mean over the range of temperatures.
    Raises:
        MetalffError: fewer than two different temperatures.
    """
    if len(set(temperature)) < 2:
        raise MetalffError("thermal expansion needs at least two temperatures")
    return float(np.polyfit(np.asarray(temperature, float), np.log(np.asarray(volume, float)), 1)[0] / 3)
