"""What is kept of a set of reference frames that passes by once: labels and sums of each frame, no structure and no force."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable

import numpy as np
from ase.data import chemical_symbols

from metalff.data.frame import Digest, Frame
from metalff.data.stresses import Judgement, Verdict
from metalff.errors import MetalffError
from metalff.validate.groups import Condition, condition_of

CELL_DECIMALS = 3
"""Decimals of a cell in Å that tell trajectories apart."""

UPPER = np.triu_indices(3)
"""Places of the six distinct components of a stress, in the order of all columns [F,6]: xx xy xz yy yz zz."""


class Reference:
    """Columns of F frames, in their order.

    Attributes:
        name, citation, licence, sha256: of the set.
        until: [F] ``Digest.short`` of all frames up to each.
        source: [F] name of the file or set, ``index``: [F] number in it.
        conditions: F of ``groups.Condition``.
        atoms: [F].
        energy: [F] eV.
        stress: [F,6] eV/Å³ by ``UPPER``; NaN for frames without.
        force_square: [F] Σ |F|², eV²/Å²; ``force_max``: [F] largest component, eV/Å.
        species: atomic numbers S of the set; ``counts``: [F,S] atoms of each in each frame.
        trajectories: [F] numbers of the trajectories that frames come from, see ``Trajectories``.
        verdict: on the stresses of the set.
    """

    name: str
    citation: str
    licence: str
    sha256: str
    until: array
    source: list[str]
    index: np.ndarray
    conditions: list[Condition]
    atoms: np.ndarray
    energy: np.ndarray
    stress: np.ndarray
    force_square: np.ndarray
    force_max: np.ndarray
    species: list[int]
    counts: np.ndarray
    trajectories: np.ndarray
    verdict: Verdict

    def __len__(self) -> int:
        return len(self.atoms)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in the set, sorted by atomic number."""
        return [chemical_symbols[z] for z in self.species]

    def every(self, atoms: int) -> int:
        """The step between evenly spaced frames with about this many atoms in all; 1 where there are fewer."""
        return max(1, -(-int(self.atoms.sum()) // atoms))


def reference_of(data, step: Callable[[int], None] = lambda done: None) -> Reference:
    """Read a set once.

    Args:
        data: iterable of frames with a name, citation and licence: a ``Dataset`` or a ``Stream``.
        step: called with the frames read.
    Raises:
        MetalffError: there are none; as the reader.
    """
    digest, judgement, paths = Digest(), Judgement(), Trajectories()
    numbers: dict[str, array] = {key: array("d") for key in ("energy", "force_square", "force_max")}
    index, atoms, kind, stress = array("q"), array("q"), array("q"), array("d")
    source, conditions, compositions, same = [], [], _Numbered(), {}
    missing, until = np.full(6, np.nan), array("Q")
    for done, frame in enumerate(data, 1):
        digest.add(frame)
        until.append(digest.short)
        judgement.add(frame)
        paths.add(frame)
        condition = condition_of(frame)
        conditions.append(same.setdefault(condition, condition))
        source.append(same.setdefault(frame.source, frame.source))
        index.append(frame.index)
        atoms.append(len(frame))
        kind.append(compositions.number(np.bincount(frame.numbers).tobytes()))
        stress.extend(missing if frame.stress is None else np.asarray(frame.stress)[UPPER])
        numbers["energy"].append(frame.energy)
        numbers["force_square"].append(np.sum(np.square(frame.forces)))
        numbers["force_max"].append(np.abs(frame.forces).max())
        step(done)
    if not source:
        raise MetalffError(f"{data.name} has no frames to compare with")
    found = Reference()
    found.name, found.citation, found.licence, found.sha256 = data.name, data.citation, data.licence, digest.sha256
    found.until, found.source, found.conditions, found.index, found.atoms = until, source, conditions, np.array(index), np.array(atoms)
    for key, values in numbers.items():
        setattr(found, key, np.array(values))
    found.stress = np.array(stress).reshape(-1, 6)
    counts = [np.frombuffer(words, np.int64) for words in compositions.known]
    found.species = sorted({int(z) for each in counts for z in np.flatnonzero(each)})
    table = np.array([[each[z] if z < len(each) else 0 for z in found.species] for each in counts])
    found.counts = table[np.array(kind)]
    found.trajectories, found.verdict = paths.numbers, judgement.verdict(data.name)
    return found


class _Numbered:
    """Things in the order in which they come."""

    def __init__(self):
        self.known = {}

    def number(self, thing) -> int:
        return self.known.setdefault(thing, len(self.known))


class Trajectories:
    """Tells which frames belong together: same source, kind, temperature, composition and cell.

    A cell that no other frame has, as under a barostat, does not count.
    """

    def __init__(self):
        self._wholes, self._whole, self._cell = _Numbered(), array("q"), array("Q")

    def add(self, frame: Frame) -> None:
        whole = self._wholes.number((frame.source, frame.group, frame.temperature, np.bincount(frame.numbers).tobytes()))
        cell = np.round(frame.cell, CELL_DECIMALS).tobytes()
        self._whole.append(whole)
        self._cell.append(int.from_bytes(hashlib.blake2b(cell + whole.to_bytes(8, "little"), digest_size=8).digest(), "little"))

    @property
    def numbers(self) -> np.ndarray:
        """[F], from 0 in the order in which they come."""
        shared, seen = Counter(self._cell), _Numbered()
        return np.array([seen.number(cell if shared[cell] > 1 else -1 - whole) for whole, cell in zip(self._whole, self._cell)])


def trajectories_of(frames) -> np.ndarray:
    """[F] numbers of the trajectories of frames."""
    found = Trajectories()
    for frame in frames:
        found.add(frame)
    return found.numbers
