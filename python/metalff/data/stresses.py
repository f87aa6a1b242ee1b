"""Whether stresses have the right unit and sign: by the energies of the same frames, and by their size.

Two frames of one crystal whose atoms differ little differ in energy by the work of stresses and forces between them,

    E₂ − E₁ = ½ V (σ₁ + σ₂) : ε − ½ (F₁ + F₂) · u,

to third order in strain ε and displacements u. The slope of the left side, less the work of forces, over that of stresses is 1 when unit and sign are
right, and the unit itself else. Where there are no such pairs, mean energies and stresses of trajectories at several volumes serve, more coarsely.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from metalff.data.frame import Dataset

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


def judge(dataset: Dataset) -> Verdict:
    """Compare the stresses of a set with the energies of its own frames, else with what metals have."""
    frames = [frame for frame in dataset if frame.stress is not None and frame.pbc.all() and len(frame)]
    if not frames:
        return Verdict()
    for sides, near in ((_pairs(frames), NEAR), (_trajectories(frames), 3 * NEAR)):
        verdict = _verdict(dataset.name, frames, *sides, near)
        if verdict.slope is not None:
            return verdict
    typical = float(np.median([np.abs(frame.stress).max() for frame in frames]))
    if typical > NO_METAL:
        words = ", ".join(f"{UNITS[unit]:.5g} from {unit}" for unit in ("kbar", "GPa", "bar"))
        return Verdict(f"{dataset.name}: stresses are of {typical:.3g} eV/Å³, which no metal has; convert them (--stress-factor {words})")
    return Verdict()


def _verdict(name, frames, energy, work, near) -> Verdict:
    if len(work) < FEWEST:
        return Verdict()
    clear = float(energy @ work / np.sqrt((energy @ energy) * (work @ work) + 1e-300))
    if abs(clear) < CLEAR:
        return Verdict()
    slope = float(energy @ work / (work @ work))
    if abs(np.log(abs(slope))) < 2 * near and slope > 0:
        return Verdict(pairs=len(work), slope=slope)
    volume = float(np.median([abs(np.linalg.det(frame.cell)) for frame in frames]))
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


def _pairs(frames) -> tuple[np.ndarray, np.ndarray]:
    """Differences of energies less the work of forces, and the work of stresses, eV per atom, of pairs of frames that differ little."""
    alike = defaultdict(list)
    for frame in frames:
        alike[frame.numbers.tobytes()].append(frame)
    energy, work = [], []
    for group in alike.values():
        group = group[:: -(-len(group) // FRAMES)]
        fractional = [np.linalg.solve(frame.cell.T, frame.positions.T).T for frame in group]
        for a, b in combinations(range(len(group)), 2):
            one, two = group[a], group[b]
            deformation = np.linalg.solve(one.cell, two.cell) - np.eye(3)  # row vectors: h₂ = h₁ (1 + ε)
            strain = 0.5 * (deformation + deformation.T)
            largest = np.abs(deformation).max()
            if largest > STRAIN or not largest:
                continue
            shift = fractional[b] - fractional[a]
            shift -= np.rint(shift)
            shift -= shift.mean(0)
            u = shift @ (0.5 * (one.cell + two.cell))
            if np.abs(u).max() > DISPLACEMENT:
                continue
            volumes = abs(np.linalg.det(one.cell)), abs(np.linalg.det(two.cell))
            of_stress = 0.5 * float(np.sum((volumes[0] * one.stress + volumes[1] * two.stress) * strain)) / len(one)
            of_forces = -0.5 * float(np.sum((one.forces + two.forces) * u)) / len(one)
            energy.append((two.energy - one.energy) / len(one) - of_forces)
            work.append(of_stress)
    energy, work = np.array(energy), np.array(work)
    said = np.maximum(np.abs(energy), np.abs(work)) > LEAST_WORK
    return energy[said], work[said]


def _trajectories(frames) -> tuple[np.ndarray, np.ndarray]:
    """The same of the means of trajectories of one composition and temperature at several volumes, by pressure alone."""
    classes = defaultdict(list)
    for frame in frames:
        if frame.temperature is not None:
            volume = abs(np.linalg.det(frame.cell)) / len(frame)
            counts = tuple(np.bincount(frame.numbers)[np.unique(frame.numbers)] / len(frame))
            classes[counts, tuple(frame.elements), frame.temperature].append((volume, frame.energy / len(frame), np.trace(frame.stress) / 3))
    energy, work = [], []
    for found in classes.values():
        by_volume = defaultdict(list)
        for volume, e, stress in found:
            by_volume[round(volume, 2)].append((volume, e, stress))
        means = [np.mean(part, axis=0) for part in by_volume.values() if len(part) >= 5]
        for one, two in combinations(means, 2):
            if abs(two[0] / one[0] - 1) > 0.03:
                energy.append(two[1] - one[1])
                work.append(0.5 * (one[2] + two[2]) * (two[0] - one[0]))
    return np.array(energy), np.array(work)
