"""What no reader lets through, and what a person would be warned of in a set."""

from collections import defaultdict

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

LARGE_FORCE = 50.0
"""eV/Å; atoms of a metal feel more only where they overlap."""

CLOSE = 1.0
"""Å; two atoms of a metal are never closer."""

OUTLIER = 12.0
"""Robust standard deviations (1.4826 × median deviation) of the energy per atom from its composition's median."""

LARGE_PRESSURE = 5.0
"""GPa; a mean pressure of a set beyond this is worth a word."""

GPA = 160.2176634
"""GPa in an eV/Å³."""


def check_frame(frame: Frame) -> Frame:
    """The frame, if it can be one.

    Raises:
        MetalffError: a number that is not finite, no such element, a cell that is none, or a stress without a volume.
    """
    for name in ("energy", "forces", "positions", "cell", "stress", "temperature", "weight"):
        value = getattr(frame, name)
        if value is not None and not np.isfinite(value).all():
            raise MetalffError(f"{name} is not a finite number")
    if abs(frame.energy) > LARGEST_ENERGY * len(frame):
        raise MetalffError(f"an energy of {frame.energy:.3g} eV is that of no structure")
    if frame.weight < 0:
        raise MetalffError(f"weight {frame.weight:g} must not be negative")
    low, high = frame.numbers.min(), frame.numbers.max()
    if low < 1 or high > LARGEST_Z:
        raise MetalffError(f"there is no element with the atomic number {low if low < 1 else high}")
    periodic = frame.cell[frame.pbc]
    if len(periodic):
        lengths = np.sqrt((periodic**2).sum(1))
        if not lengths.all():
            raise MetalffError("pbc says periodic, but the cell vectors of these directions are zero or missing: give Lattice, or pbc F")
        # of two vectors the area, of three the volume
        gram = (periodic / lengths[:, None]) @ (periodic / lengths[:, None]).T
        if np.linalg.det(gram) < SINGULAR**2:
            raise MetalffError("the periodic cell vectors are linearly dependent: give a cell with a volume")
    if frame.stress is not None and not abs(np.linalg.det(frame.cell)):
        raise MetalffError("a stress is given, but the cell has no volume: give all three cell vectors, or take the stress out")
    return frame


def remarks(dataset: Dataset) -> list[str]:
    """What a person would say of a set before using it, in sentences."""
    from metalff.data.stresses import judge

    found = [*_forces(dataset), *_distances(dataset), *_energies(dataset), *_duplicates(dataset), *_free_atoms(dataset)]
    stress = judge(dataset)
    return found + ([stress.sentence] if stress.sentence else []) + _volumes(dataset, bool(stress.sentence))


def named(frames, most: int = 3) -> str:
    """``frame 3, 7 of some.xyz (and 5 more)``."""
    by_source = defaultdict(list)
    for frame in frames[:most]:
        by_source[frame.source].append(str(frame.index))
    words = "; ".join(f"frame{'s' * (len(numbers) > 1)} {', '.join(numbers)} of {source}" for source, numbers in by_source.items())
    return words + (f" (and {len(frames) - most} more)" if len(frames) > most else "")


def large_forces(dataset) -> list[Frame]:
    """Frames with a force component above ``LARGE_FORCE``, largest first."""
    largest = [float(np.abs(frame.forces).max()) for frame in dataset]
    order = sorted((k for k, force in enumerate(largest) if force > LARGE_FORCE), key=lambda k: -largest[k])
    return [dataset.frames[k] for k in order]


def _forces(dataset) -> list[str]:
    bad = large_forces(dataset)
    if not bad:
        return []
    force = float(np.abs(bad[0].forces).max())
    return [f"{len(bad)} frame{'s have forces' if len(bad) > 1 else ' has a force'} above {LARGE_FORCE:g} eV/Å, up to {force:.4g}: {named(bad)}"]


def _distances(dataset) -> list[str]:
    close = []
    for frame in dataset:
        distance = np.linalg.norm(edges(frame.cell, frame.pbc, frame.positions, CLOSE)[2], axis=1).min(initial=np.inf)
        if distance < CLOSE:
            close.append((distance, frame))
    if not close:
        return []
    close.sort(key=lambda item: item[0])
    words = "frame has atoms" if len(close) == 1 else "frames have atoms"
    return [f"{len(close)} {words} closer than {CLOSE:g} Å, down to {close[0][0]:.3f} Å: {named([frame for _, frame in close])}"]


def energy_outliers(dataset) -> list[tuple[Frame, float]]:
    """Frames whose energy per atom is far from the median of their composition, and by how much (eV/atom), farthest first."""
    compositions = defaultdict(list)
    for frame in dataset:
        counts = np.bincount(frame.numbers)
        divisor = np.gcd.reduce(counts[counts > 0])
        compositions[(counts // divisor).tobytes(), len(frame) > 1].append(frame)
    found = []
    for frames in compositions.values():
        energy = np.array([frame.energy / len(frame) for frame in frames])
        away = energy - np.median(energy)
        spread = 1.4826 * float(np.median(np.abs(away)))
        if len(frames) >= 8:
            limit = max(OUTLIER * spread, 1.0)
            found += [(frames[k], float(away[k])) for k in np.flatnonzero(np.abs(away) > limit)]
    return sorted(found, key=lambda item: -abs(item[1]))


def _energies(dataset) -> list[str]:
    bad = energy_outliers(dataset)
    if not bad:
        return []
    return [
        f"{len(bad)} frame{'s are' if len(bad) > 1 else ' is'} far from the median energy of the same composition, by up to {bad[0][1]:+.3g} eV/atom: "
        f"{named([frame for frame, _ in bad])}"
    ]


def _duplicates(dataset) -> list[str]:
    seen, twice = {}, []
    for frame in dataset:
        key = (frame.numbers.tobytes(), np.round(frame.positions, 6).tobytes(), np.round(frame.cell, 6).tobytes())
        if key in seen:
            twice.append(frame)
        seen.setdefault(key, frame)
    return [f"{len(twice)} frame{'s are' if len(twice) > 1 else ' is'} there twice: {named(twice)}"] if twice else []


def is_free_atom(frame: Frame) -> bool:
    """Whether a frame is one atom by itself: named so, or without periodic images."""
    word = frame.group.lower().replace("_", "").replace("-", "").replace(" ", "")
    return len(frame) == 1 and (word in ("isolatedatom", "freeatom") or not frame.pbc.any())


def _free_atoms(dataset) -> list[str]:
    found = [frame for frame in dataset if is_free_atom(frame)]
    words = ", ".join(f"{frame.elements[0]} {frame.energy:g} eV" for frame in found[:8])
    return [f"free atoms, which give E0 and are no training frames: {words}"] if found else []


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
