"""How rough an energy along a path is: what a low-order polynomial leaves of it. Pure functions on arrays.

Every electron state that passes the Fermi level as atoms move leaves a kink in the band energy, rounded by the smearing; a sum over few k-points leaves steps of
its own, which are no physics. Two numbers say how much of both there is, and the comparison of two meshes which of the two it is.
"""

from dataclasses import dataclass

import numpy as np

ORDER = 6
"""Of the polynomial that counts as smooth. It takes a Morse well over ±5 % of its bond length to 1e-5 of its curved part."""

SHARE = 1 / 3
"""The mesh may make up so much of the roughness (a ninth of its square) in a number that counts as converged …"""

FLOOR = 0.01
"""… or so much absolutely, meV/atom: the curve is then known to be smooth to that."""

NOISE_OF_THIRD_DIFFERENCES = 20.0
"""1 + 9 + 9 + 1: their variance where every energy has an independent error of variance one."""


@dataclass(frozen=True)
class Roughness:
    """Of one curve.

    Attributes:
        residual: meV/atom: root of the sum of squares that the polynomial leaves, over the degrees of freedom; an independent error of σ in every energy
            gives σ. It does not depend on the step, but on the length of the path.
        third_difference: meV/atom: RMS of E(x+3h) − 3 E(x+2h) + 3 E(x+h) − E(x), over √20, so that an independent error of σ gives σ here, too. It is
            that of ``step``: a smooth curve's falls with the cube of it.
        curved: meV/atom: highest less lowest value of what is left of the polynomial without the straight line of least squares: what the curvature makes
            along the path, for a path across a minimum about the depth of the well.
        order: of the polynomial.
        step: between two points of the path, in its own unit.
    """

    residual: float
    third_difference: float
    curved: float
    order: int
    step: float

    @property
    def relative(self) -> float:
        """``residual`` by ``curved``: no unit, the same for any multiple of the energy."""
        return self.residual / self.curved if self.curved > 0 else float("nan")


@dataclass(frozen=True)
class Compared:
    """A curve on two meshes (or with any two settings that should not matter).

    Attributes:
        roughness: of the better one.
        mesh_error: meV/atom: ``residual`` of the difference of the two curves. What the mesh shifts evenly is not in it, what it makes rough is.
        converged: whether ``mesh_error`` is at most ``SHARE`` of the roughness, or ``FLOOR``.
    """

    roughness: Roughness
    mesh_error: float
    converged: bool


def roughness(parameter, energy, order: int = ORDER) -> Roughness:
    """Roughness of a curve.

    Args:
        parameter: [K] along the path, in equal steps, rising.
        energy: [K] eV/atom.
        order: of the polynomial of least squares.
    Raises:
        ValueError: the steps are not equal, a number is not finite, or there are fewer than ``order`` + 3 points.
    """
    x, energy = _checked(parameter, energy, order)
    fit = _polynomial(x, energy, order)
    rest = energy - fit
    bent = fit - _polynomial(x, fit, 1)
    third = np.diff(energy, 3)
    return Roughness(
        residual=1e3 * float(np.sqrt(rest @ rest / (len(x) - order - 1))),
        third_difference=1e3 * float(np.sqrt(np.mean(third**2) / NOISE_OF_THIRD_DIFFERENCES)),
        curved=1e3 * float(np.ptp(bent)),
        order=order,
        step=float(np.ptp(np.asarray(parameter, float)) / (len(x) - 1)),
    )


def compare(parameter, energy, other, order: int = ORDER) -> Compared:
    """Roughness of a curve, and whether another mesh confirms it.

    Args:
        parameter: [K] as for ``roughness``.
        energy: [K] eV/atom on the better mesh.
        other: [K] eV/atom on the other one.
    Raises:
        ValueError: as ``roughness``.
    """
    found = roughness(parameter, energy, order)
    error = roughness(parameter, np.asarray(energy, float) - np.asarray(other, float), order).residual
    return Compared(found, error, bool(error <= max(SHARE * found.residual, FLOOR)))


def residual(parameter, energy, order: int = ORDER) -> np.ndarray:
    """What the polynomial leaves at each point, eV/atom [K]; raises as ``roughness``."""
    x, energy = _checked(parameter, energy, order)
    return energy - _polynomial(x, energy, order)


def mirrored(parameter, energy) -> tuple[np.ndarray, np.ndarray]:
    """A path from 0 on whose energy is even, with its other half.

    Args:
        parameter: [K] from 0 on, rising.
        energy: [K].
    Returns:
        parameter and energy, [2 K − 1].
    """
    x, energy = np.asarray(parameter, float), np.asarray(energy, float)
    return np.concatenate([-x[:0:-1], x]), np.concatenate([energy[:0:-1], energy])


def occupied_change(weights, occupations, distance) -> np.ndarray:
    """How much of the occupied region changes from each point of a path to the next, in electrons per Å (per atom where ``weights`` say so).

    Σ_k w_k Σ_n |f_nk(next) − f_nk| over the distance, bands in order of energy, at the same fractional k-points.

    Args:
        weights: [k] of the k-points; their sum is 2 over the number of atoms for two electrons a state.
        occupations: [K, k, n] between 0 and 1.
        distance: Å between two points of the path.
    Returns:
        [K − 1].
    """
    change = np.abs(np.diff(np.asarray(occupations, float), axis=0)).sum(axis=2)
    return change @ np.asarray(weights, float) / distance


def _checked(parameter, energy, order) -> tuple[np.ndarray, np.ndarray]:
    """The parameter scaled to −1 … 1, and the energies."""
    x, energy = np.asarray(parameter, float), np.asarray(energy, float)
    if x.ndim != 1 or x.shape != energy.shape:
        raise ValueError(f"parameter and energy of a path are lists of one length, not of shapes {x.shape} and {energy.shape}")
    if len(x) < order + 3:
        raise ValueError(f"{len(x)} points are too few for a polynomial of order {order}; at least {order + 3} are needed")
    if not (np.isfinite(x).all() and np.isfinite(energy).all()):
        raise ValueError("a number of the path is not finite")
    steps = np.diff(x)
    if not (steps > 0).all() or np.ptp(steps) > 1e-6 * steps.mean():
        raise ValueError("the parameter of a path rises in equal steps")
    return np.linspace(-1, 1, len(x)), energy


def _polynomial(x, energy, order) -> np.ndarray:
    """The polynomial of least squares at ``x``, which lies in −1 … 1."""
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(x, order))
    return basis @ (basis.T @ energy)
