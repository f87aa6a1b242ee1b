"""Evaluate potentials on reference frames and sum up their errors; reads and writes no file.

Frames pass by twice: ``reference.reference_of`` keeps their labels, ``compare`` evaluates them batch by batch, in processes side by side where that is
worth it. Of each frame and potential some twenty numbers stay in memory.
"""

import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.frame import Digest, Frame
from metalff.errors import MetalffError
from metalff.pool import side_by_side
from metalff.validate.evaluate import Batch, Wanted, evaluate, evaluate_apart
from metalff.validate.groups import Condition, group_errors, groups_of
from metalff.validate.metrics import FrameErrors, Metrics, energy_offset, metrics_of
from metalff.validate.reference import Reference, reference_of
from metalff.validate.unfinished import Unfinished

BATCH = 2000
"""Atoms of a batch, about; it has at least one frame."""

PATIENCE = 10.0
"""Seconds of work left for which other processes begin."""


@dataclass(frozen=True, eq=False)
class Result:
    """Errors of one potential: over all frames, per temperature (``"300"``, in K), per group, per element, and per ``Condition``.

    The element of a frame with several is such as ``Cu-Ni``.

    Attributes:
        potential: a ``metalff.potentials.Potential``.
        reference: the labels.
        errors, energy, stress: frame by frame: ``FrameErrors``, [F] eV, [F,6] eV/Å³ as in ``Reference``.
        energy_offset: eV per atom of each element, added to the energies for the metrics named ``…_offset``; ``shift``: [F] eV that it adds.
        groups: those of the set with their shares of the squared error, see ``groups.group_errors``.
    """

    potential: object
    reference: Reference
    errors: FrameErrors
    energy: np.ndarray
    stress: np.ndarray
    energy_offset: dict[str, float]
    shift: np.ndarray
    overall: Metrics
    by_temperature: dict[str, Metrics]
    by_group: dict[str, Metrics]
    by_element: dict[str, Metrics]
    by_condition: dict[Condition, Metrics]
    groups: dict[str, dict[str, float]]


class Keep:
    """What else is asked of batches, and taken from them in the order of the frames; asks for nothing."""

    def wanted(self, frames: slice) -> Wanted:
        nothing = np.zeros(frames.stop - frames.start, bool)
        return Wanted(nothing, nothing)

    def add(self, frames: slice, batch: Batch) -> None:
        """``frames``: numbers of those of the batch."""


def compare(
    potentials,
    data,
    progress: Callable[[str, int, int], None] | None = None,
    block: int | None = None,
    reference: Reference | None = None,
    keep: Keep | None = None,
    jobs: int | None = 1,
    unfinished: Unfinished | None = None,
) -> list[Result]:
    """Run every potential over every frame.

    Args:
        potentials: objects with ``name`` and ``calculator()``, such as ``metalff.potentials.Potential``; to be pickled for several processes.
        data: iterable of frames, such as a ``Dataset`` or ``Stream``.
        progress: called as (name of the potential at work, frames done of all potentials, frames in all).
        block: consecutive frames that the bootstrap keeps together.
        reference: of the data, where it is known.
        keep: takes forces of frames.
        jobs: processes; 1: this one; None: this one, and one for each core when more than ``PATIENCE`` is left.
        unfinished: where what is evaluated is kept, and what an earlier comparison has evaluated is found.
    Raises:
        MetalffError: ``block`` is none, the dataset is empty or changes under way, or a potential fails on a frame (named in the sentence).
    """
    if block is not None and (not isinstance(block, int) or block < 1):
        raise MetalffError(f"block = {block!r}: give a number of frames, 1 or more")
    reference = reference or reference_of(data)
    keep = keep or Keep()
    names, total = [potential.name for potential in potentials], len(reference)
    if not names:
        return []
    collected = [_Columns(total) for _ in potentials]
    done, waiting, following = 0, {}, 0

    def told(name: str, frames: int) -> None:
        nonlocal done
        done += frames
        if progress:
            progress(name, done, total * len(names))

    def take(frames: slice, batch: Batch) -> None:
        for columns, errors, energy, stress in zip(collected, batch.errors, batch.energy, batch.stress):
            columns.add(frames, errors, energy, stress)
        keep.add(frames, batch)

    for frames, batch in unfinished.known() if unfinished else ():
        take(frames, batch)
        following = frames.stop
        told(names[-1], len(names) * (frames.stop - frames.start))
    for frames, batch in _batches(potentials, _parts(data, reference, keep, following), jobs, total - following, told):
        waiting[frames.start] = frames, batch
        while following in waiting:
            one = waiting.pop(following)
            take(*one)
            if unfinished:
                unfinished.add(*one)
            following = one[0].stop
    return [summarise(potential, columns, reference, block) for potential, columns in zip(potentials, collected)]


class _Columns:
    """Of one potential, filled batch by batch."""

    def __init__(self, frames: int):
        self.errors = FrameErrors(*(np.zeros(frames, int if name == "atoms" else float) for name in FrameErrors._fields))
        self.energy, self.stress = np.zeros(frames), np.zeros((frames, 6))

    def add(self, frames: slice, errors: FrameErrors, energy, stress) -> None:
        for column, values in zip(self.errors, errors):
            column[frames] = values
        self.energy[frames], self.stress[frames] = energy, stress


def _parts(data, reference: Reference, keep: Keep, first: int = 0) -> Iterator[tuple[slice, list[Frame], Wanted]]:
    """Batches of frames from ``first`` on; each is handed out when it is sure that all frames up to its end are those of ``reference``."""
    changed = MetalffError(f"{reference.name} changed while it was read; leave its files alone and start again")
    digest, start, frames, atoms = Digest(), first, [], 0
    for number, frame in enumerate(data):
        digest.add(frame)
        if number >= len(reference) or digest.short != reference.until[number]:
            raise changed
        if number < first:
            continue
        frames.append(frame)
        atoms += len(frame)
        if atoms >= BATCH:
            numbers = slice(start, start + len(frames))
            yield numbers, frames, keep.wanted(numbers)
            start, frames, atoms = numbers.stop, [], 0
    if frames:
        numbers = slice(start, start + len(frames))
        yield numbers, frames, keep.wanted(numbers)
    if digest.sha256 != reference.sha256:
        raise changed


def _batches(potentials, parts, jobs: int | None, total: int, told) -> Iterator[tuple[slice, Batch]]:
    """Results of ``total`` frames as they come; ``told`` is called with a name and the frames that are done more."""
    cores = jobs or len(os.sched_getaffinity(0))
    if jobs is None or jobs == 1:
        calculators, begun, done = [potential.calculator() for potential in potentials], time.monotonic(), 0
        for frames, own, wanted in parts:
            yield frames, evaluate(potentials, calculators, own, wanted, lambda name: told(name, 1))
            spent, done = time.monotonic() - begun, done + frames.stop - frames.start
            if jobs is None and cores > 1 and spent * (total / done - 1) > PATIENCE and not _alone(potentials):
                break
        else:
            return
        del calculators
    names = ", ".join(potential.name for potential in potentials)
    pickled, said = pickle.dumps(potentials), set()
    tasks = ((frames.start, (frames, (pickled, own, wanted))) for frames, own, wanted in parts)
    running: dict[int, slice] = {}

    def taken():
        for start, (frames, arguments) in tasks:
            running[start] = frames
            yield start, arguments

    with _one_thread():
        for start, batch, error in side_by_side(evaluate_apart, taken(), cores, ahead=2 * cores):
            if error is not None:
                raise error
            for sentence in batch.warnings:
                if sentence not in said:
                    said.add(sentence)
                    warnings.warn(sentence, stacklevel=2)
            frames = running.pop(start)
            told(names, len(potentials) * (frames.stop - frames.start))
            yield frames, batch


def _alone(potentials) -> bool:
    """Whether one of them runs in a framework of its own, which takes all cores, and gigabytes."""
    parts = [part for potential in potentials for part in getattr(potential, "parts", {"": potential}).values()]
    return any(getattr(part, "kind", "") == "universal" for part in parts)


@contextmanager
def _one_thread():
    """Processes that begin within have one thread each in numerical libraries."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def summarise(potential, columns: _Columns, reference: Reference, block=None) -> Result:
    """Metrics of the columns of one potential; the energy offset is fitted once, on all frames, and used in every selection."""
    errors, conditions = columns.errors, reference.conditions
    offset = energy_offset(reference.energy, columns.energy, reference.counts)
    shift = reference.counts @ offset

    def over(chosen):
        return metrics_of(FrameErrors(*(column[chosen] for column in errors)), shift[chosen], block, reference.trajectories[chosen])

    def split(key):
        chosen = {}
        for k, condition in enumerate(conditions):
            if (value := key(condition)) not in (None, ""):
                chosen.setdefault(value, []).append(k)
        return {f"{value:g}" if isinstance(value, float) else value: over(np.array(chosen[value])) for value in sorted(chosen, key=order)}

    def order(value):
        return (atomic_numbers.get(value.element, 200), *(0 if v is None else v for v in value)) if isinstance(value, Condition) else value

    return Result(
        potential=potential,
        reference=reference,
        errors=errors,
        energy=columns.energy,
        stress=columns.stress,
        energy_offset={chemical_symbols[z]: float(c) for z, c in zip(reference.species, offset, strict=True)},
        shift=shift,
        overall=over(slice(None)),
        by_temperature=split(lambda condition: condition.temperature),
        by_group=split(lambda condition: condition.group),
        by_element=dict(sorted(split(lambda condition: condition.element).items(), key=lambda item: atomic_numbers.get(item[0], 200))),
        by_condition=split(lambda condition: condition),
        groups=group_errors(groups_of(conditions), errors, shift / errors.atoms),
    )
