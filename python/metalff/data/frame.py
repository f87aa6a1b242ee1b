"""The one in-memory type for reference structures: ``Frame``, and a ``Dataset`` of them."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from ase.data import chemical_symbols

from metalff.errors import MetalffError, nearest

GROUPS = ("aimd", "vacancy", "surface", "strain", "ground")
"""Names of ``Frame.group`` that the bundled sets use; other sources may use others, or an empty string."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure with its reference energy and forces.

    Attributes:
        numbers: [N] atomic numbers.
        positions: [N,3] Å.
        cell: [3,3] Å, rows are the vectors; zero when there is none.
        pbc: [3] bool.
        energy: eV, of the whole structure.
        forces: [N,3] eV/Å.
        stress: [3,3] eV/Å³ in ASE's sign (compressed is negative), or None.
        temperature: K, or None where the source gives none.
        group: kind of structure, '' where unknown (see ``GROUPS``).
        source: name of the set or file that the frame comes from; ``name:split`` for bundled sets.
        index: position in the source, from 0.
        weight: of the frame in a training's loss, 1 where the source says nothing.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    energy: float
    forces: np.ndarray
    stress: np.ndarray | None = None
    temperature: float | None = None
    group: str = ""
    source: str = ""
    index: int = 0
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in the frame, sorted by atomic number."""
        return [chemical_symbols[z] for z in np.unique(self.numbers)]

    def to_atoms(self):
        """The structure as ``ase.Atoms``, without the reference values."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Frames with the name, citation and licence of where they come from."""

    name: str
    frames: tuple[Frame, ...] = field(repr=False)
    citation: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    """What a user should know of the files: what was left out, what looks wrong."""

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self):
        return iter(self.frames)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in the set, sorted by atomic number."""
        return [chemical_symbols[z] for z in sorted({int(z) for frame in self.frames for z in np.unique(frame.numbers)})]

    def spread(self, atoms: int) -> range:
        """Numbers of evenly spaced frames with about this many atoms in all; every frame where there are fewer."""
        return range(0, len(self), max(1, -(-sum(map(len, self.frames)) // atoms)))

    @cached_property
    def sha256(self) -> str:
        """Hash of structures, reference values and weights in order, whatever file they came from."""
        digest = Digest()
        for frame in self.frames:
            digest.add(frame)
        return digest.sha256

    def filter(self, *, element=None, split=None, group=None, temperature=None) -> "Dataset":
        """The frames that contain ``element``, come from ``…:split``, and have this ``group`` and ``temperature``.

        Each may be a tuple of alternatives.

        Raises:
            MetalffError: nothing is left.
        """
        wanted = Filter(element=element, split=split, group=group, temperature=temperature)
        return replace(self, name=wanted.name_of(self), frames=tuple(wanted.of(self)))


class Digest:
    """Hash of frames in order, as ``Dataset.sha256``, one frame after the other."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, frame: Frame) -> None:
        self._hash.update(np.asarray(frame.numbers, "<i8").tobytes())
        self._hash.update(np.asarray(frame.pbc, "u1").tobytes())
        stress = np.full((3, 3), np.nan) if frame.stress is None else frame.stress
        for array in (frame.positions, frame.cell, frame.energy, frame.forces, stress):
            self._hash.update((np.asarray(array, "<f8") + 0.0).tobytes())
        if frame.weight != 1.0:
            self._hash.update(np.float64(frame.weight).tobytes())

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def short(self) -> int:
        """64 bits of it."""
        return int.from_bytes(self._hash.digest()[:8], "little")


class Filter:
    """Frames with these elements, splits, groups and temperatures, as ``Dataset.filter``; a tuple holds alternatives."""

    def __init__(self, **asked):
        self.asked = {key: value if isinstance(value, tuple) else (value,) for key, value in asked.items() if value is not None}

    @property
    def words(self) -> str:
        return ",".join(f"{key}={'|'.join(format(v, 'g') if key == 'temperature' else v for v in values)}" for key, values in self.asked.items())

    def name_of(self, frames) -> str:
        """Of a set, with what is asked of it in brackets."""
        return f"{frames.name}[{self.words}]" if self.asked else frames.name

    def has(self, frame: Frame) -> bool:
        return all(self._has(frame, *item) for item in self.asked.items())

    def _has(self, frame, key, values) -> bool:
        if key == "element":
            return any(value in frame.elements for value in values)
        if key == "split":
            return frame.source.rpartition(":")[2] in values
        return getattr(frame, key) in values

    def of(self, frames):
        """Those of a set (iterable, with a name), one after the other.

        Raises:
            MetalffError: at the end, if there was none.
        """
        found, groups, temperatures = False, set(), set()
        for frame in frames:
            groups.add(frame.group)
            temperatures.add(frame.temperature)
            if self.has(frame):
                found = True
                yield frame
        if not found:
            hint = nearest(self.asked["group"][0], groups) if any(self.asked.get("group", ())) else ""
            known = sorted(temperatures - {None})
            if "temperature" in self.asked and not hint:
                hint = f"; its temperatures are {', '.join(f'{t:g}' for t in known)} K" if known else "; it names no temperatures"
            raise MetalffError(f"{frames.name} has no frame with {self.words}{hint}")


def hold_out(dataset: Dataset, fraction: float, seed: int, block: int = 4) -> tuple[Dataset, Dataset]:
    """Split off a validation part in blocks of consecutive frames.

    Neighbouring frames of a trajectory are correlated, so frames drawn one by one would leak into the validation part.

    Args:
        fraction: of the frames that are held out, between 0 and 1; at least one block is held out.
        seed: of the choice of blocks.
        block: consecutive frames that stay together.
    Returns:
        (training part, validation part), both in the order of ``dataset``.
    Raises:
        MetalffError: ``fraction`` is not between 0 and 1, or there are too few frames for two parts.
    """
    if not 0 < fraction < 1:
        raise MetalffError(f"the held-out fraction must lie between 0 and 1, not {fraction}")
    blocks = -(-len(dataset) // block)
    if blocks < 2:
        raise MetalffError(f"{dataset.name} has {len(dataset)} frames, too few to hold out a block of {block}")
    count = min(max(round(blocks * fraction), 1), blocks - 1)
    chosen = set(np.random.default_rng(seed).permutation(blocks)[:count].tolist())
    parts = ([], [])
    for position, frame in enumerate(dataset.frames):
        parts[position // block in chosen].append(frame)
    train, valid = (replace(dataset, frames=tuple(part)) for part in parts)
    return replace(train, name=f"{dataset.name}[fit]"), replace(valid, name=f"{dataset.name}[held out]")
