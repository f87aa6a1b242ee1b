"""Potentials on a batch of frames: errors frame by frame, and of chosen frames the forces; in this process or in one of a pool."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metalff.errors import MetalffError
from metalff.validate.metrics import FrameErrors, frame_errors
from metalff.validate.reference import UPPER

CELLS = 241
"""Of a density of forces along each side; odd: the middle one is around zero."""

OUTSIDE = 2**16 - 1
"""In place of a cell; there are fewer."""


class Wanted(NamedTuple):
    """What is asked of a batch of b frames besides errors.

    Attributes:
        forces: [b] bool: frames whose forces are given.
        unsure: [b] bool: frames of which deviations and errors of each atom are given.
        committee: deviations are those of the committee in the only potential's file, else of the potentials among each other.
        limit: eV/Å, of the density of force components within ±limit; None: no density.
    """

    forces: np.ndarray
    unsure: np.ndarray
    committee: bool = False
    limit: float | None = None


class Batch(NamedTuple):
    """What P potentials say of b frames.

    Attributes:
        errors: P of ``FrameErrors``.
        energy: [P,b] eV.
        stress: [P,b,6] eV/Å³; NaN for frames whose reference has none.
        forces: of each frame wanted, labels [N,3] and predictions [P,N,3], eV/Å.
        unsure: of each frame wanted, deviations and errors [N,3], eV/Å.
        cells: [P,n] places of all force components in a density [CELLS,CELLS] by prediction and label, ``OUTSIDE`` beyond; None where none was wanted.
        warnings: sentences.
    """

    errors: list[FrameErrors]
    energy: np.ndarray
    stress: np.ndarray
    forces: list[tuple[np.ndarray, np.ndarray]]
    unsure: list[tuple[np.ndarray, np.ndarray]]
    cells: np.ndarray | None
    warnings: tuple[str, ...] = ()


def evaluate(potentials, calculators, frames, wanted: Wanted, step: Callable[[str], None] = lambda name: None) -> Batch:
    """Every potential on every frame.

    Args:
        potentials: objects with a ``name``; ``calculators``: of ASE, one for each.
        step: called with the name of the potential after each frame.
    Raises:
        MetalffError: a potential fails on a frame (named in the sentence), or gives numbers that are not finite.
    """
    energies, forces, stresses, errors = [], [], [], []
    for potential, calculator in zip(potentials, calculators, strict=True):
        energy, force, stress = _predicted(potential, calculator, frames, step)
        labels = ([frame.energy for frame in frames], energy, [frame.forces for frame in frames], force, [frame.stress for frame in frames], stress)
        errors.append(frame_errors(*labels))
        energies.append(energy)
        forces.append(force)
        stresses.append([np.full(6, np.nan) if one is None else one[UPPER] for one in stress])
    together = [np.array([force[k] for force in forces]) for k in range(len(frames))]
    return Batch(
        errors,
        np.array(energies),
        np.array(stresses).reshape(len(potentials), len(frames), 6),
        [(frames[k].forces, together[k]) for k in np.flatnonzero(wanted.forces)],
        [_unsure(frames[k], together[k], calculators[0] if wanted.committee else None) for k in np.flatnonzero(wanted.unsure)],
        None if wanted.limit is None else _cells(frames, forces, wanted.limit),
    )


def _predicted(potential, calculator, frames, step):
    energy, forces, stress = [], [], []
    for frame in frames:
        atoms = frame.to_atoms()
        atoms.calc = calculator
        try:
            energy.append(float(atoms.get_potential_energy()))
            forces.append(np.array(atoms.get_forces()))
            stress.append(None if frame.stress is None else np.array(atoms.get_stress(voigt=False)))
        except MetalffError as error:
            raise MetalffError(f"{potential.name} on frame {frame.index} of {frame.source}: {error}") from error
        if not (np.isfinite(energy[-1]) and np.isfinite(forces[-1]).all()):
            raise MetalffError(f"{potential.name} on frame {frame.index} of {frame.source}: the energy or a force is not finite")
        step(potential.name)
    return energy, forces, stress


def _unsure(frame, predicted, committee):
    """Deviations and errors [N,3]: of the mean of the potentials, or of the only one with the committee of its file."""
    if committee is None:
        return predicted.std(axis=0), predicted.mean(axis=0) - frame.forces
    return committee.committee_forces(frame.to_atoms()).std(axis=0), predicted[0] - frame.forces


def _cells(frames, forces, limit: float) -> np.ndarray:
    def place(values):
        return np.minimum(((values + limit) * (CELLS / (2 * limit))).astype(int), CELLS - 1)

    across = place(np.concatenate([frame.forces.ravel() for frame in frames]))
    found = np.full((len(forces), len(across)), OUTSIDE, np.uint16)
    for own, force in zip(found, forces):
        values = np.concatenate([one.ravel() for one in force])
        inside = np.abs(values) <= limit
        own[inside] = place(values[inside]) * CELLS + across[inside]
    return found


_opened: tuple = (None, [])
"""Of a process of the pool: the potentials that it has open, pickled, and their calculators."""


def evaluate_apart(pickled: bytes, frames, wanted: Wanted) -> Batch:
    """``evaluate`` in a process of its own, which keeps the potentials open; warnings come with the result."""
    import pickle

    global _opened
    potentials = pickle.loads(pickled)  # noqa: S301  by the process that began this one
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if _opened[0] != pickled:
            _opened = pickled, [potential.calculator() for potential in potentials]
        batch = evaluate(potentials, _opened[1], frames, wanted)
    return batch._replace(warnings=tuple(dict.fromkeys(str(warning.message) for warning in said)))
