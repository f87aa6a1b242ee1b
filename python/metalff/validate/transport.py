"""Transport coefficients from equilibrium fluctuations: pure functions on arrays.

| quantity | unit | what it measures, and where it misleads |
|---|---|---|
| D | Å²/ps (10⁻⁸ m²/s) | by blocks of a trajectory; of a periodic cell too small, as a moving atom drags its own images along |
| viscosity | GPa ps (10⁻³ Pa s) | V/kT times the integral of the autocorrelation of shear stresses; the integral of noise grows as a random walk |
| conductivity | W/(m K) | of atoms alone, by heat fluxes; in a metal electrons carry most |
"""

import numpy as np

from metalff.errors import MetalffError
from metalff.validate.blocks import BLOCKS
from metalff.validate.structure import diffusion_coefficient, mean_squared_displacement

BOLTZMANN = 8.617333262e-5
"""eV/K."""

GPA_A3 = 1 / 160.21766208
"""eV."""

YEH_HUMMER = 2.837297
"""Of a cube (Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004))."""

SMOOTH = 5
"""Lags that a correlation is averaged over before it is asked where it ends."""

WATT = 1602.176634
"""W/(m K) of 1 eV/(Å ps K)."""


def diffusion_of_blocks(time_ps, positions, blocks: int = BLOCKS) -> np.ndarray:
    """[blocks] Å²/ps, D of each part of a trajectory.

    Args:
        time_ps: [F] ps, equally spaced.
        positions: [F,N,3] Å, unwrapped.
    Raises:
        MetalffError: parts have too few frames.
    """
    found = []
    for part in np.array_split(np.arange(len(time_ps)), blocks):
        lag = np.asarray(time_ps)[part] - np.asarray(time_ps)[part[0]] if len(part) else np.zeros(1)
        found.append(diffusion_coefficient(lag, mean_squared_displacement(np.asarray(positions)[part])))
    return np.array(found)


def autocovariance(series) -> np.ndarray:
    """[T] ⟨x(0) x(t)⟩ at lags 0, 1, …, over all origins and summed over the columns of [T,k]; the mean is not taken away."""
    series = np.asarray(series, float).reshape(len(series), -1)
    length = len(series)
    spectrum = np.fft.rfft(series, 2 * length, axis=0)
    sums = np.fft.irfft((abs(spectrum) ** 2).sum(axis=1), 2 * length)[:length]
    return sums / np.arange(length, 0, -1)


def running_integral(correlation, step: float) -> np.ndarray:
    """[T] of a correlation by trapezoids, 0 at the first lag."""
    correlation = np.asarray(correlation, float)
    return np.concatenate([[0.0], np.cumsum((correlation[1:] + correlation[:-1]) / 2)]) * step


def lost(correlation) -> int:
    """The lag from which on a correlation is lost in noise: where the mean of ``SMOOTH`` lags first is no more than zero, a quarter of all at most."""
    smooth = np.convolve(np.asarray(correlation, float), np.ones(SMOOTH) / SMOOTH, mode="same")
    quarter = max(1, len(smooth) // 4)
    below = np.flatnonzero(smooth[SMOOTH:quarter] <= 0)
    return SMOOTH + int(below[0]) if len(below) else quarter


def shear_stresses(pressure) -> np.ndarray:
    """[F,5] independent shear components of pressure tensors [F,3,3]: xy, xz, yz, (xx − yy)/2, (yy − zz)/2."""
    p = np.asarray(pressure, float)
    return np.stack([p[:, 0, 1], p[:, 0, 2], p[:, 1, 2], (p[:, 0, 0] - p[:, 1, 1]) / 2, (p[:, 1, 1] - p[:, 2, 2]) / 2], axis=1)


def viscosity_of_blocks(pressure, step_ps: float, volume: float, temperature: float, blocks: int = BLOCKS) -> tuple[np.ndarray, float]:
    """[blocks] mPa s by Green and Kubo, all up to the lag at which the correlation of the whole is lost in noise, and that lag (ps).

    Args:
        pressure: [F,3,3] GPa at intervals of ``step_ps``, short against the decay of shear stress (0.1 ps).
        volume: Å³.
        temperature: K.
    """
    stresses = shear_stresses(pressure)
    integrals, lag = _integrals(stresses - stresses.mean(axis=0), step_ps, blocks)
    return volume * GPA_A3 / (BOLTZMANN * temperature) * integrals, lag


def _integrals(series, step_ps: float, blocks: int) -> tuple[np.ndarray, float]:
    """[blocks] integrals of the autocorrelation of a series [F,k], a mean over its columns, up to a common lag; that lag.

    Raises:
        MetalffError: the blocks are shorter than the correlation.
    """
    columns = series.shape[1]
    last = lost(autocovariance(series) / columns)
    parts = np.array_split(series, blocks)
    if len(parts[-1]) <= last:
        raise MetalffError(f"fluctuations are correlated over {last * step_ps:.1f} ps, longer than a block of the run; run longer")
    return np.array([running_integral(autocovariance(part) / columns, step_ps)[last] for part in parts]), last * step_ps


def yeh_hummer(temperature: float, viscosity_mpas: float, edge: float) -> float:
    """Å²/ps that a cubic periodic cell takes from D: 2.837 kT ÷ (6π η L).

    Args:
        temperature: K.
        viscosity_mpas: mPa s.
        edge: Å.
    Raises:
        MetalffError: the viscosity is not positive.
    """
    if viscosity_mpas <= 0:
        raise MetalffError("the viscosity is not positive: the run is too short for it")
    return YEH_HUMMER * BOLTZMANN * temperature / (6 * np.pi * viscosity_mpas * GPA_A3 * edge)


def conductivity_of_blocks(flux, step_ps: float, volume: float, temperature: float, blocks: int = BLOCKS) -> tuple[np.ndarray, float]:
    """[blocks] W/(m K) by Green and Kubo, all up to the lag at which the correlation of the whole is lost in noise, and that lag (ps).

    Args:
        flux: [F,3] eV Å/ps: the heat flux times the volume, as ``compute heat/flux`` gives it.
        volume: Å³.
        temperature: K.
    """
    integrals, lag = _integrals(np.asarray(flux, float), step_ps, blocks)
    return WATT / (BOLTZMANN * temperature**2 * volume) * integrals, lag
