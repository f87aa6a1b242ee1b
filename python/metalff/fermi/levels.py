"""Fermi level and density of states of eigenvalues on a mesh, with Fermi–Dirac occupations."""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from metalff.errors import MetalffError

BOLTZMANN = 8.617333262e-5
"""eV/K."""

FINER = 4
"""How much finer than the mesh of the eigenvalues that is on which electrons are counted."""

NEAR = 1.5
"""eV around the Fermi level within which a band is interpolated."""


def finer(eigenvalues, times: int) -> np.ndarray:
    """A mesh ``times`` as fine, linear in between, at the middles of its steps, in any order: for sums over states, which few points make noisy.

    Args:
        eigenvalues: [bands, n1, n2, n3].
    """
    found = np.asarray(eigenvalues, float)
    for axis in (1, 2, 3):
        after = np.roll(found, -1, axis)
        found = np.concatenate([found + (k + 0.5) / times * (after - found) for k in range(times)], axis)
    return found


def near_level(eigenvalues, electrons: float, width: float) -> tuple[float, list[int]]:
    """Fermi level of the eigenvalues as they are interpolated by ``finer``, and the bands within ``NEAR`` of it.

    Args:
        eigenvalues: [bands, n1, n2, n3] eV.
        electrons, width: see ``fermi_level``.
    Raises:
        MetalffError: see ``fermi_level``.
    """
    energies = np.asarray(eigenvalues, float)
    rough = fermi_level(energies, None, electrons, width)
    near = [band for band, field in enumerate(energies) if field.min() < rough + NEAR and field.max() > rough - NEAR]
    full = sum(field.max() <= rough - NEAR for field in energies)
    return fermi_level(finer(energies[near], FINER), None, electrons - 2 * full, width), near


def occupations(eigenvalues, level: float, width: float) -> np.ndarray:
    """Fermi–Dirac occupations, 0 to 1, of the shape of ``eigenvalues``; all in eV."""
    return expit(-(np.asarray(eigenvalues, float) - level) / width)


def fermi_level(eigenvalues, weights, electrons: float, width: float) -> float:
    """The level at which the bands hold the electrons, two to a state.

    Args:
        eigenvalues: [bands, k-points] eV, or [bands, n1, n2, n3].
        weights: [k-points] of any sum; None where all are equal.
        electrons: per cell, in these bands.
        width: kT of the Fermi–Dirac occupations, eV.
    Returns:
        eV.
    Raises:
        MetalffError: the bands cannot hold so many electrons, or hold none.
    """
    energies, shares = _flat(eigenvalues, weights)
    if not 0 < electrons < 2 * len(energies):
        raise MetalffError(
            f"{electrons:g} electrons do not fill {len(energies)} bands in part; give between 0 and {2 * len(energies)}, or more bands"
        )

    def excess(level):
        return 2 * float((occupations(energies, level, width) @ shares).sum()) - electrons

    margin = 60 * width
    return brentq(excess, energies.min() - margin, energies.max() + margin, xtol=1e-10)


def density_of_states(eigenvalues, weights, energy: float, width: float) -> float:
    """Density of states at an energy, broadened by the derivative of the Fermi–Dirac function.

    Args:
        eigenvalues, weights, width: see ``fermi_level``.
        energy: eV.
    Returns:
        states (both spins) per eV and cell.
    """
    energies, shares = _flat(eigenvalues, weights)
    return 2 * float((_peak(energies - energy, width) @ shares).sum())


def weighted_density(eigenvalues, weights, parts, energy: float, width: float) -> float:
    """``density_of_states`` with each state counted by a factor of its own, as by its d-weight: states per eV and cell.

    Args:
        parts: the factors, of the shape of ``eigenvalues``.
    """
    energies, shares = _flat(eigenvalues, weights)
    return 2 * float(((_peak(energies - energy, width) * np.reshape(parts, energies.shape)) @ shares).sum())


def _peak(distance, width: float) -> np.ndarray:
    """−df/dE in 1/eV."""
    return 0.25 / width / np.cosh(np.clip(distance / (2 * width), -300, 300)) ** 2


def _flat(eigenvalues, weights) -> tuple[np.ndarray, np.ndarray]:
    energies = np.asarray(eigenvalues, float)
    energies = energies.reshape(len(energies), math.prod(energies.shape[1:]))
    shares = np.ones(energies.shape[1]) if weights is None else np.asarray(weights, float).ravel()
    return energies, shares / shares.sum()
