"""Evaluate potentials on reference frames and sum up their errors; reads and writes no file."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.frame import Dataset
from metalff.errors import MetalffError
from metalff.validate.groups import Condition, condition_of, group_errors, groups_of
from metalff.validate.metrics import FrameErrors, Metrics, energy_offset, frame_errors, metrics_of

CELL_DECIMALS = 3
"""Decimals of a cell in Å that tell trajectories apart."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one potential says about every frame of a dataset.

    Attributes:
        potential: a ``metalff.potentials.Potential``.
        energy: [F] eV.
        forces: F arrays [N_f,3] eV/Å.
        stress: F arrays [3,3] eV/Å³; None for frames whose reference has no stress.
    """

    potential: object
    energy: np.ndarray
    forces: tuple[np.ndarray, ...]
    stress: tuple[np.ndarray | None, ...]


@dataclass(frozen=True, eq=False)
class Result:
    """Errors of one potential: over all frames, per temperature (``"300"``, in K), per group, per element, and per ``Condition``.

    The element of a frame with several is such as ``Cu-Ni``.

    ``groups`` are those of the set with their shares of the squared error, see ``groups.group_errors``; ``energy_offset`` holds eV per atom of each
    element, added to the energies for the metrics named ``…_offset``.
    """

    prediction: Prediction
    energy_offset: dict[str, float]
    overall: Metrics
    by_temperature: dict[str, Metrics]
    by_group: dict[str, Metrics]
    by_element: dict[str, Metrics]
    by_condition: dict[Condition, Metrics]
    groups: dict[str, dict[str, float]]


def compare(potentials, dataset: Dataset, progress: Callable[[str, int, int], None] | None = None, block=None) -> list[Result]:
    """Run every potential over every frame.

    Args:
        potentials: objects with ``name`` and ``calculator()``, such as ``metalff.potentials.Potential``.
        progress: called as (name of the potential, frames done of all potentials, frames in all).
        block: consecutive frames that the bootstrap keeps together.
    Raises:
        MetalffError: the dataset is empty, or a potential fails on a frame (named in the sentence).
    """
    if not len(dataset):
        raise MetalffError(f"{dataset.name} has no frames to compare with")
    results = []
    for number, potential in enumerate(potentials):

        def step(frames_done, name=potential.name, before=number * len(dataset)):
            if progress:
                progress(name, before + frames_done, len(potentials) * len(dataset))

        results.append(summarise(predict(potential, dataset, step), dataset, block))
    return results


def predict(potential, dataset: Dataset, step: Callable[[int], None] = lambda done: None) -> Prediction:
    """Energies, forces and stresses of one potential on every frame."""
    calculator = potential.calculator()
    energy, forces, stress = [], [], []
    for done, frame in enumerate(dataset.frames, 1):
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
        step(done)
    return Prediction(potential, np.array(energy), tuple(forces), tuple(stress))


def trajectories_of(frames) -> np.ndarray:
    """[F] numbers of the trajectories that frames come from: same source, kind, temperature, composition and cell.

    A cell that no other frame has, as under a barostat, does not count.
    """
    whole = [(f.source, f.group, f.temperature, np.bincount(f.numbers).tobytes()) for f in frames]
    cells = [(own, np.round(f.cell, CELL_DECIMALS).tobytes()) for own, f in zip(whole, frames, strict=True)]
    shared = Counter(cells)
    seen = {}
    keys = [cell if shared[cell] > 1 else (own, None) for own, cell in zip(whole, cells, strict=True)]
    return np.array([seen.setdefault(key, len(seen)) for key in keys])


def summarise(prediction: Prediction, dataset: Dataset, block=None) -> Result:
    """Metrics of a prediction; the energy offset is fitted once, on all frames, and used in every selection."""
    frames = dataset.frames
    reference = np.array([frame.energy for frame in frames])
    species = sorted({int(z) for frame in frames for z in np.unique(frame.numbers)})
    counts = np.array([[np.count_nonzero(frame.numbers == z) for z in species] for frame in frames])
    offset = energy_offset(reference, prediction.energy, counts)
    shift = counts @ offset
    trajectories = trajectories_of(frames)

    errors = frame_errors(
        reference,
        prediction.energy,
        [frame.forces for frame in frames],
        prediction.forces,
        [frame.stress for frame in frames],
        prediction.stress,
    )

    def over(chosen):
        return metrics_of(FrameErrors(*(column[chosen] for column in errors)), shift[chosen], block, trajectories[chosen])

    def split(key):
        chosen = {}
        for k, frame in enumerate(frames):
            if (value := key(frame)) not in (None, ""):
                chosen.setdefault(value, []).append(k)
        return {f"{value:g}" if isinstance(value, float) else value: over(chosen[value]) for value in sorted(chosen, key=order)}

    def order(value):
        return (atomic_numbers.get(value.element, 200), *(0 if v is None else v for v in value)) if isinstance(value, Condition) else value

    return Result(
        prediction=prediction,
        energy_offset={chemical_symbols[z]: float(c) for z, c in zip(species, offset, strict=True)},
        overall=over(list(range(len(frames)))),
        by_temperature=split(lambda frame: frame.temperature),
        by_group=split(lambda frame: frame.group),
        by_element=dict(sorted(split(lambda frame: condition_of(frame).element).items(), key=lambda item: atomic_numbers.get(item[0], 200))),
        by_condition=split(condition_of),
        groups=group_errors(groups_of(frames), errors, shift / errors.atoms),
    )
