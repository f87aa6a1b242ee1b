"""Splits into training, validation and test parts that keep consecutive frames together, and what is wrong with given ones."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from metalff.data import Dataset, hold_out
from metalff.errors import MetalffError

BLOCK = 4
"""Consecutive frames that stay together when some are held out."""


@dataclass(frozen=True)
class Fold:
    """One of the test parts that a set is cut into.

    Attributes:
        count: of parts.
        number: of this one, from 1.

    Raises:
        MetalffError: there is no such part.
    """

    count: int
    number: int

    def __post_init__(self):
        if self.count < 2:
            raise MetalffError(f"--folds {self.count}: give at least 2")
        if not 1 <= self.number <= self.count:
            raise MetalffError(f"--fold {self.number}: give a number from 1 to {self.count}, that of --folds")


def trajectory_of(frame) -> tuple:
    """What frames of one trajectory have in common, as far as it is known."""
    return frame.source, frame.group, frame.temperature


def cut(dataset: Dataset, fold: Fold, block: int = BLOCK) -> tuple[Dataset, Dataset]:
    """Cut off the test part of a fold: blocks of consecutive frames of every trajectory, dealt out to the folds in turn.

    The parts of all folds are the whole set, each frame in one of them, whatever the seed.

    Returns:
        (what is left for training, test part), both in the order of ``dataset``.
    Raises:
        MetalffError: fewer blocks than folds.
    """
    trajectories = defaultdict(list)
    for position, frame in enumerate(dataset):
        trajectories[trajectory_of(frame)].append(position)
    blocks = [frames[k : k + block] for frames in trajectories.values() for k in range(0, len(frames), block)]
    if len(blocks) < fold.count:
        raise MetalffError(
            f"{dataset.name} has {len(blocks)} blocks of {block} consecutive frames, too few for {fold.count} folds; give a smaller --block"
        )
    chosen = {position for part in blocks[fold.number - 1 :: fold.count] for position in part}
    parts = [tuple(f for k, f in enumerate(dataset) if (k in chosen) is wanted) for wanted in (False, True)]
    name = f"{dataset.name}[fold {fold.number} of {fold.count}]"
    return replace(dataset, name=f"{dataset.name}[all but fold {fold.number} of {fold.count}]", frames=parts[0]), replace(
        dataset, name=name, frames=parts[1]
    )


def held_out(dataset: Dataset, fraction: float, seed: int, block: int = BLOCK) -> tuple[Dataset, Dataset]:
    """Hold out blocks of consecutive frames from every group that has at least two frames.

    Drawn from all frames alike, a small part may be all perfect crystals, whose forces vanish, and would choose the wrong epoch; and of a group that
    is not in it nobody would know whether it is learnt. A group with four blocks spares whole ones; a smaller one a quarter of its frames, at least
    one, that follow each other. Where no group has two frames, all frames count as one group.

    Returns:
        (training part, validation part), both in the order of ``dataset``.
    Raises:
        MetalffError: ``fraction`` is not between 0 and 1, or there are too few frames for two parts.
    """
    groups = [tuple(f for f in dataset if f.group == group) for group in sorted({f.group for f in dataset})]
    groups = [frames for frames in groups if len(frames) >= 2] or [dataset.frames]
    parts = [hold_out(replace(dataset, frames=frames), fraction, seed, min(block, max(1, len(frames) // 4)))[1] for frames in groups]
    chosen = {id(frame) for part in parts for frame in part}
    train, valid = (tuple(frame for frame in dataset if (id(frame) in chosen) is wanted) for wanted in (False, True))
    return (
        replace(dataset, name=f"{dataset.name}[fit]", frames=train),
        replace(dataset, name=f"{dataset.name}[held out]", frames=valid),
    )


def refuse_same(train: Dataset, other: Dataset, what: str = "validation") -> None:
    """Refuse a frame that is in both sets.

    Raises:
        MetalffError: names it in both.
    """
    known = {_structure(frame): frame for frame in train}
    for frame in other:
        same = known.get(_structure(frame))
        if same:
            raise MetalffError(
                f"frame {frame.index} of {frame.source} in the {what} data {other.name} is frame {same.index} of {same.source} in the "
                "training data; take it out of one of them"
            )


def neighbours(train: Dataset, other: Dataset) -> int:
    """Frames of ``other`` whose predecessor or successor in the same trajectory is in ``train``."""
    known = {(*trajectory_of(frame), frame.index) for frame in train}
    return sum(any((*trajectory_of(f), f.index + step) in known for step in (-1, 1)) for f in other)


def _structure(frame) -> bytes:
    """Hash of elements, positions and cell, rounded to 1e-6 Å."""
    digest = hashlib.sha256(np.asarray(frame.numbers, "<i8").tobytes())
    for array in (frame.positions, frame.cell):
        digest.update((np.round(np.asarray(array, "<f8"), 6) + 0.0).tobytes())
    return digest.digest()
