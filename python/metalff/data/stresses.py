"""Whether stresses have the right unit and sign: by the energies of the same frames, and by their size.

Two frames of one crystal whose atoms differ little differ in energy by the work of stresses and forces between them,

    E₂ − E₁ = ½ V (σ₁ + σ₂) : ε − ½ (F₁ + F₂) · u,

to third order in strain ε and displacements u. The slope of the left side, less the work of forces, over that of stresses is 1 when unit and sign are
right, and the unit itself else. Where there are no such pairs, mean energies and stresses of trajectories at several volumes serve, more coarsely.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from metalff.data.frame import Frame

UNITS = {
    "kbar": 1 / 1602.1766,
    "GPa": 1 / 160.21766,
    "bar": 1 / 1602176.6,
    "MPa": 1 / 160217.66,
    "hartree/bohr³": 183.6315,
    "rydberg/bohr³": 91.81577,
}
"""eV/Å³ in each."""

NO_METAL = 10.0
"""eV/Å³; no metal has such a stress."""

STRAIN, DISPLACEMENT = 0.08, 0.25
"""Largest between two frames (Å) whose energies are compared."""

FRAMES = 150
"""Of a composition whose pairs are looked at, evenly drawn."""

KEPT = 2_000_000
"""Atoms of frames that are kept for that; compositions that come later tell nothing."""

LEAST_WORK = 2e-5
"""eV per atom of work by stresses, below which a pair says nothing of them."""

FEWEST, CLEAR = 3, 0.9
"""Pairs, and correlation of the two sides, for a verdict."""

NEAR = 0.25
"""Of the logarithm of the slope from that of a unit."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the stresses of a set.

    Attributes:
        sentence: '' where nothing is, or nothing can be told.
        factor: what to multiply them by; None where no unit fits.
        pairs: how many pairs of frames, or of trajectories, told.
        slope: of the energies over the work; None without pairs enough.
    """

    sentence: str = ""
    factor: float | None = None
    pairs: int = 0
    slope: float | None = None


def judge(dataset: Iterable[Frame], name: str = "") -> Verdict:
    """Compare the stresses of a set with the energies of its own frames, else with what metals have."""
    judgement = Judgement()
    for frame in dataset:
        judgement.add(frame)
    return judgement.verdict(name or getattr(dataset, "name", ""))


class Judgement:
    """``judge`` of frames that come one after the other; at most ``KEPT`` atoms of them are kept."""

    def __init__(self):
        self._alike: dict[bytes, _Thinned] = {}
        self._kept = 0
        self._classes: dict[tuple, dict[float, list]] = defaultdict(lambda: defaultdict(lambda: [0, 0.0, 0.0, 0.0]))
        self._largest, self._volumes = array("d"), array("d")

    def add(self, frame: Frame) -> None:
        if frame.stress is None or not frame.pbc.all() or not len(frame):
            return
        volume = abs(np.linalg.det(frame.cell))
        self._largest.append(np.abs(frame.stress).max())
        self._volumes.append(volume)
        key = frame.numbers.tobytes()
        if key in self._alike or self._kept < KEPT:
            self._kept += len(frame) * self._alike.setdefault(key, _Thinned()).add(frame)
        if frame.temperature is not None:
            counts = np.bincount(frame.numbers)
            species = np.flatnonzero(counts)
            means = self._classes[tuple(counts[species] / len(frame)), tuple(species), frame.temperature][round(volume / len(frame), 2)]
            for place, value in enumerate((1, volume / len(frame), frame.energy / len(frame), np.trace(frame.stress) / 3)):
                means[place] += value

    def verdict(self, name: str) -> Verdict:
        """Of the set of this name, by all frames so far."""
        if not len(self._largest):
            return Verdict()
        volume = float(np.median(self._volumes))
        for sides, near in ((_pairs([one.frames for one in self._alike.values()]), NEAR), (_trajectories(self._classes), 3 * NEAR)):
            verdict = _verdict(name, volume, *sides, near)
            if verdict.slope is not None:
                return verdict
        typical = float(np.median(self._largest))
        if typical > NO_METAL:
            words = ", ".join(f"{UNITS[unit]:.5g} from {unit}" for unit in ("kbar", "GPa", "bar"))
            return Verdict(f"{name}: stresses are of {typical:.3g} eV/Å³, which no metal has; convert them (--stress-factor {words})")
        return Verdict()


class _Thinned:
    """Every so many of some frames, at most ``FRAMES``: the step doubles when there are more."""

    def __init__(self):
        self.frames, self.step, self.count = [], 1, 0

    def add(self, frame: Frame) -> int:
        """How many frames more are kept now."""
        before = len(self.frames)
        if not self.count % self.step:
            # of a file that was read in parts, only this frame shall stay in memory
            self.frames.append(replace(frame, positions=np.array(frame.positions), forces=np.array(frame.forces), numbers=np.array(frame.numbers)))
        self.count += 1
        if len(self.frames) > FRAMES:
            self.frames, self.step = self.frames[::2], 2 * self.step
        return len(self.frames) - before


def _verdict(name, volume, energy, work, near) -> Verdict:
    if len(work) < FEWEST:
        return Verdict()
    clear = float(energy @ work / np.sqrt((energy @ energy) * (work @ work) + 1e-300))
    if abs(clear) < CLEAR:
        return Verdict()
    slope = float(energy @ work / (work @ work))
    if abs(np.log(abs(slope))) < 2 * near and slope > 0:
        return Verdict(pairs=len(work), slope=slope)
    known = UNITS | {"eV/Å³": 1.0, "eV, as a virial": 1 / volume}
    # a volume may be near any unit, so a virial must fit better by much
    unit, value = min(known.items(), key=lambda item: abs(np.log(abs(slope) / item[1])) + 0.3 * (item[1] == 1 / volume))
    told = f"{name}: energies of {len(work)} pairs of strained frames contradict the stresses"
    if abs(np.log(abs(slope) / value)) > near:
        return Verdict(
            f"{told}: the work of these is {1 / slope:.3g} times the difference of energies, and no unit explains it", None, len(work), slope
        )
    factor = float(np.copysign(value, slope))
    words = [] if value == 1.0 else [f"they seem to be in {unit}"]
    words += ["they seem to have the other sign (ASE's is negative under compression)"] if slope < 0 else []
    return Verdict(f"{told}: {' and '.join(words)}; --stress-factor {factor:.6g} mends that", factor, len(work), slope)


def _pairs(alike) -> tuple[np.ndarray, np.ndarray]:
    """Differences of energies less the work of forces, and the work of stresses, eV per atom, of pairs of frames that differ little.

    Args:
        alike: frames of each composition.
    """
    energy, work = [], []
    for group in alike:
        fractional = [np.linalg.solve(frame.cell.T, frame.positions.T).T for frame in group]
        cells = np.stack([frame.cell for frame in group])
        volume = np.abs(np.linalg.det(cells))
        for a, b, deformation in _deformations(cells):
            one, two, strain = group[a], group[b], 0.5 * (deformation + deformation.T)
            shift = fractional[b] - fractional[a]
            shift -= np.rint(shift)
            shift -= shift.mean(0)
            u = shift @ (0.5 * (one.cell + two.cell))
            if np.abs(u).max() > DISPLACEMENT:
                continue
            of_stress = 0.5 * float(np.sum((volume[a] * one.stress + volume[b] * two.stress) * strain)) / len(one)
            of_forces = -0.5 * float(np.sum((one.forces + two.forces) * u)) / len(one)
            energy.append((two.energy - one.energy) / len(one) - of_forces)
            work.append(of_stress)
    energy, work = np.array(energy), np.array(work)
    said = np.maximum(np.abs(energy), np.abs(work)) > LEAST_WORK
    return energy[said], work[said]


def _deformations(cells):
    """(a, b, ε [3,3]) of pairs of cells [n,3,3] that differ, but little: h_b = h_a (1 + ε), rows are vectors."""
    for a in range(len(cells) - 1):
        several = np.linalg.solve(cells[a], cells[a + 1 :]) - np.eye(3)
        largest = np.abs(several).max(axis=(1, 2))
        for b in np.flatnonzero((largest <= STRAIN) & (largest > 0)):
            yield a, a + 1 + int(b), several[b]


def _trajectories(classes) -> tuple[np.ndarray, np.ndarray]:
    """The same of the means of trajectories of one composition and temperature at several volumes, by pressure alone.

    Args:
        classes: of each composition and temperature the number of frames and the sums of volume (Å³), energy (eV) and stress (eV/Å³), per atom, by volume.
    """
    energy, work = [], []
    for by_volume in classes.values():
        means = [np.array(sums) / count for count, *sums in by_volume.values() if count >= 5]
        for one, two in combinations(means, 2):
            if abs(two[0] / one[0] - 1) > 0.03:
                energy.append(two[1] - one[1])
                work.append(0.5 * (one[2] + two[2]) * (two[0] - one[0]))
    return np.array(energy), np.array(work)
