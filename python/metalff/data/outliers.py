"""Frames that do not fit the others: by their forces, and by their energies above the line of their composition."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers

from metalff.data.frame import Dataset
from metalff.errors import MetalffError

LARGE_FORCE = 50.0
"""eV/Å; larger forces are named before a training. Melts far above their melting points have forces up to some 20."""

FAR_FORCE = 5.0
"""A frame's largest force is far above the others where it exceeds so many times that of nine tenths of the frames …"""

LEAST_FORCE = 10.0
"""… and this, eV/Å: in a set of relaxed structures any rattled one is far above the others, and is welcome."""

FAR_ENERGY = 10.0
"""An energy per atom is far from the line of its composition where it is so many deviations away (1.4826 × MAD) …"""

LEAST_ENERGY = 2.0
"""… and this, eV per atom: melts, surfaces and compressed crystals are up to about one away from crystals."""

NAMED = 3
"""Frames that a sentence names; it counts the others."""


@dataclass(frozen=True)
class LeftOut:
    """Frames that a limit left out.

    Attributes:
        option: the key of the limit.
        limit: its value.
        frames: that are left out.
        of: number of frames there were.
    """

    option: str
    limit: float
    frames: tuple
    of: int

    @property
    def groups(self) -> dict[str, int]:
        """Number of frames by group."""
        return dict(sorted(Counter(frame.group for frame in self.frames).items()))

    def sentence(self, of: str) -> str:
        unit, what = (
            ("eV/Å", "a force above") if self.option == "max_force" else ("eV per atom", "an energy above the line of their composition by more than")
        )
        groups = ", ".join(f"{group or 'no group'} {count}" for group, count in self.groups.items())
        return (
            f"{len(self.frames)} of {self.of} frames of the {of} data have {what} {self.limit:g} {unit} and are left out "
            f"(--{self.option.replace('_', '-')}), by group: {groups}; {names(self.frames)}"
        )


def largest_forces(dataset: Dataset) -> np.ndarray:
    """Of each frame, eV/Å."""
    return np.array([np.linalg.norm(frame.forces, axis=1).max() for frame in dataset])


def energies_above_line(dataset: Dataset, line: dict[str, float] | None = None) -> tuple[np.ndarray, dict[str, float]]:
    """Energy per atom of each frame above a line of the composition, eV: Σ fraction × energy of the element; and these energies.

    The line has the smallest sum of absolute differences, by iteratively reweighted least squares, so that far frames do not draw it to
    themselves; for one element it is the median.

    Args:
        line: energies of the elements of another set, whose line is taken.
    """
    elements = dataset.elements
    counts = np.array([[np.count_nonzero(frame.numbers == z) for z in _numbers(elements)] for frame in dataset], float)
    fractions = counts / counts.sum(1, keepdims=True)
    energies = np.array([frame.energy for frame in dataset]) / counts.sum(1)
    if line is not None and set(elements) <= set(line):
        return energies - fractions @ np.array([line[symbol] for symbol in elements]), line
    if len(elements) == 1:
        found = np.array([np.median(energies)])
    else:
        weights = np.ones(len(energies))
        for _ in range(60):
            root = np.sqrt(weights)
            found = np.linalg.lstsq(fractions * root[:, None], energies * root, rcond=None)[0]
            weights = 1 / np.maximum(np.abs(energies - fractions @ found), 1e-4)
    return energies - fractions @ found, dict(zip(elements, found.tolist()))


def _numbers(symbols) -> list[int]:
    return [atomic_numbers[symbol] for symbol in symbols]


def limited(dataset: Dataset, max_force: float, max_energy: float, line: dict[str, float] | None = None) -> tuple[Dataset, list[LeftOut]]:
    """The frames within the limits (0: no limit), and what each limit left out.

    Args:
        line: see ``energies_above_line``.
    Raises:
        MetalffError: nothing is left.
    """
    found = []
    for option, limit in (("max_force", max_force), ("max_energy", max_energy)):
        if not limit:
            continue
        values = largest_forces(dataset) if option == "max_force" else energies_above_line(dataset, line)[0]
        if (values > limit).all():
            raise MetalffError(f"--{option.replace('_', '-')} {limit:g} leaves no frame of {dataset.name}: the smallest is {values.min():.3g}")
        out = tuple(frame for frame, value in zip(dataset, values) if value > limit)
        if out:
            found.append(LeftOut(option, limit, out, len(dataset)))
            dataset = replace(dataset, frames=tuple(frame for frame, value in zip(dataset, values) if value <= limit))
    return dataset, found


def hints(dataset: Dataset):
    """Sentences that name frames whose forces or energies are far from those of the others."""
    forces = largest_forces(dataset)
    usual = FAR_FORCE * np.quantile(forces, 0.9)
    far = np.flatnonzero((forces > LARGE_FORCE) | ((forces > usual) & (forces > LEAST_FORCE)))
    if len(far):
        yield (
            f"{len(far)} of {len(dataset)} frames have forces above {LARGE_FORCE:g} eV/Å, or far above the others, of which nine tenths stay below "
            f"{np.quantile(forces, 0.9):.3g}: {named(dataset, far, forces, 'eV/Å')}; where they are wrong, leave them out (--max-force) or "
            "bound what they count (--set huber=0.1)"
        )
    above, _ = energies_above_line(dataset)
    deviation = 1.4826 * np.median(np.abs(above - np.median(above)))
    distance = np.abs(above)
    far = np.flatnonzero((distance > FAR_ENERGY * deviation) & (distance > LEAST_ENERGY))
    if len(far):
        yield (
            f"{len(far)} of {len(dataset)} frames have energies per atom far from the line of their composition, whose usual deviation is "
            f"{deviation:.3g} eV: {named(dataset, far, above, 'eV')}; where they are wrong, leave them out (--max-energy) or bound what they count "
            "(--set huber=0.1)"
        )


def named(dataset: Dataset, chosen, values, unit: str) -> str:
    """The frames with the largest values, each with its own, and how many more there are."""
    first = sorted(chosen, key=lambda k: -abs(values[k]))[:NAMED]
    words = [f"frame {dataset.frames[k].index} of {dataset.frames[k].source} ({values[k]:.4g} {unit})" for k in first]
    return ", ".join(words) + (f" and {len(chosen) - len(first)} more" if len(chosen) > len(first) else "")


def names(frames) -> str:
    """The first frames, and how many more there are."""
    words = [f"frame {frame.index} of {frame.source}" for frame in frames[:NAMED]]
    return ", ".join(words) + (f" and {len(frames) - NAMED} more" if len(frames) > NAMED else "")
