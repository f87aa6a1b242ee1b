"""What no reader lets through, and what a person would be warned of in a set."""

import re
from dataclasses import replace

import numpy as np
from ase.data import chemical_symbols

from metalff.data.frame import Dataset, Frame
from metalff.errors import MetalffError
from metalff.neighbours import edges

LARGEST_Z = len(chemical_symbols) - 1
LARGEST_ENERGY = 1e7
"""eV per atom; an all-electron energy of the heaviest elements is a tenth of it."""

SINGULAR = 1e-6
"""Volume ÷ product of the lengths of the periodic cell vectors, below which these are linearly dependent."""

CLOSE = 1.0
"""Å; two atoms of a metal are never closer."""

CUTOFF = 6.0
"""Å, of usual models: an atom that sees none within it is free."""

SHORTEST_VECTOR = 0.5
"""Å; no atom is that close to its own image."""

LARGE_PRESSURE = 5.0
"""GPa; a mean pressure of a set beyond this is worth a word."""

GPA = 160.2176634
"""GPa in an eV/Å³."""


def check_frame(frame: Frame, where: str) -> Frame:
    """The frame, if it can be one.

    Args:
        where: file and frame, for messages.
    Raises:
        MetalffError: a number that is not finite, no such element, a cell that is none, or a stress without a volume.
    """
    if reason := _reason(frame):
        raise MetalffError(f"{where}: {reason}")
    return frame


def _reason(frame: Frame) -> str:
    """Why a frame is none; empty where it is one."""
    for name in ("energy", "forces", "positions", "cell", "stress", "temperature", "weight"):
        value = getattr(frame, name)
        if value is not None and not np.isfinite(value).all():
            return f"{name} is not a finite number"
    if abs(frame.energy) > LARGEST_ENERGY * len(frame):
        return f"an energy of {frame.energy:.3g} eV is that of no structure"
    if frame.weight < 0:
        return f"weight {frame.weight:g} must not be negative"
    low, high = frame.numbers.min(), frame.numbers.max()
    if low < 1 or high > LARGEST_Z:
        return f"there is no element with the atomic number {low if low < 1 else high}"
    periodic = frame.cell[frame.pbc]
    if len(periodic):
        lengths = np.sqrt((periodic**2).sum(1))
        if not lengths.all():
            return "pbc says periodic, but the cell vectors of these directions are zero or missing: give Lattice, or pbc F"
        # of two vectors the area, of three the volume
        gram = (periodic / lengths[:, None]) @ (periodic / lengths[:, None]).T
        if np.linalg.det(gram) < SINGULAR**2:
            return "the periodic cell vectors are linearly dependent: give a cell with a volume"
        if lengths.min() < SHORTEST_VECTOR:
            return f"a periodic cell vector of {lengths.min():.3g} Å is that of no crystal; is the cell in Å?"
    if frame.stress is not None and not abs(np.linalg.det(frame.cell)):
        return "a stress is given, but the cell has no volume: give all three cell vectors, or take the stress out"
    return ""


def remarks(dataset: Dataset) -> list[str]:
    """What a person would say of a set before using it, in sentences."""
    from metalff.data.outliers import hints
    from metalff.data.stresses import judge

    free = [is_free_atom(frame) for frame in dataset]
    bound = replace(dataset, frames=tuple(frame for frame, alone in zip(dataset, free) if not alone))
    found = [*(hints(bound) if len(bound) else ()), *_distances(bound), *duplicates(dataset)]
    if any(free):
        words = ", ".join(f"{frame.elements[0]} {frame.energy:g} eV" for frame, alone in zip(dataset, free) if alone)
        found.append(f"free atoms, which give E0 and are no training frames: {words}")
    stress = judge(dataset)
    return found + ([stress.sentence] if stress.sentence else []) + _volumes(dataset, bool(stress.sentence))


def _distances(dataset) -> list[str]:
    from metalff.data.outliers import names

    close = []
    for frame in dataset:
        distance = np.linalg.norm(edges(frame.cell, frame.pbc, frame.positions, CLOSE)[2], axis=1).min(initial=np.inf)
        if distance < CLOSE:
            close.append((distance, frame))
    if not close:
        return []
    close.sort(key=lambda item: item[0])
    words = "frame has atoms" if len(close) == 1 else "frames have atoms"
    return [f"{len(close)} {words} closer than {CLOSE:g} Å, down to {close[0][0]:.3f} Å: {names([frame for _, frame in close])}"]


def duplicates(dataset) -> list[str]:
    """A sentence that names structures that are there more than once, or nothing."""
    from metalff.data.outliers import names

    seen, twice = {}, []
    for frame in dataset:
        key = (frame.numbers.tobytes(), np.round(frame.positions, 6).tobytes(), np.round(frame.cell, 6).tobytes())
        if key in seen:
            twice.append(frame)
        seen.setdefault(key, frame)
    return [f"{len(twice)} frame{'s are' if len(twice) > 1 else ' is'} there twice: {names(twice)}"] if twice else []


def is_free_atom(frame: Frame, r_max: float = CUTOFF) -> bool:
    """Whether a frame is one atom that is called an isolated one, or has no image of itself within ``r_max`` (Å)."""
    if len(frame) != 1:
        return False
    if re.sub(r"[\s_-]", "", frame.group).lower() in ("isolatedatom", "freeatom"):
        return True
    return len(edges(frame.cell, frame.pbc, frame.positions, r_max)[0]) == 0


def _volumes(dataset, stress_is_wrong: bool) -> list[str]:
    bulk = [frame for frame in dataset if frame.pbc.all()]
    if len(bulk) < 2:
        return []
    found = []
    per_atom = np.array([abs(np.linalg.det(frame.cell)) / len(frame) for frame in bulk])
    if np.ptp(per_atom) < 1e-3 * per_atom.mean():
        found.append(f"all frames have one volume, {per_atom.mean():.2f} Å³/atom: a model of them alone knows no pressure and no thermal expansion")
    stresses = [np.trace(frame.stress) / 3 for frame in bulk if frame.stress is not None]
    mean = -GPA * float(np.mean(stresses)) if stresses else 0.0
    if abs(mean) > LARGE_PRESSURE and not stress_is_wrong:
        found.append(f"the mean pressure is {mean:.1f} GPa")
    return found
