"""Whether frames of several sources can be learnt together: units that differ, and constants between their energies.

The constant between two sources is found beside what a linear model explains: the energy per atom is fitted by composition, by radial densities
around the atoms (means over atoms, of themselves and of their squares), and by a constant for each element and source but the first. What such
a model leaves unexplained, some meV per atom for MD of a metal, bounds the constants that can be told from a difference of the structures.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers

from metalff.data.frame import Dataset
from metalff.errors import MetalffError
from metalff.neighbours import edges

UNITS = {
    "hartree and bohr": (27.211386, 51.422067),
    "hartree (forces per Å)": (27.211386, 27.211386),
    "hartree for energies alone": (27.211386, 1.0),
    "rydberg and bohr": (13.605693, 25.711034),
    "rydberg for energies alone": (13.605693, 1.0),
    "kcal/mol": (1 / 23.060548, 1 / 23.060548),
    "kJ/mol": (1 / 96.485332, 1 / 96.485332),
    "hartree/bohr for forces alone": (1.0, 51.422067),
    "rydberg/bohr for forces alone": (1.0, 25.711034),
}
"""Value of a unit of energies (eV) and of forces (eV/Å)."""

CUTOFF = 6.0  # Å, of the radial densities
FUNCTIONS = 12  # of them, where there are frames enough
FRAMES_PER_COLUMN = 5
FRAMES = 500  # of a source, evenly drawn
SIGNIFICANCE = 5.0  # standard errors
RESOLUTION = 3.0  # of what the model leaves unexplained, RMS


def source_of(frame) -> str:
    """The set or file that a frame comes from, whatever its split."""
    return frame.source.partition(":")[0]


@dataclass(frozen=True)
class Offset:
    """The constant of an element in one source against another.

    Attributes:
        energy: eV per atom of the element.
        error: standard error, eV.
        unexplained: RMS of the energy per atom that the model does not explain, eV.
    """

    source: str
    reference: str
    element: str
    energy: float
    error: float
    unexplained: float

    @property
    def told(self) -> bool:
        """Whether it is told from zero."""
        return abs(self.energy) > SIGNIFICANCE * self.error

    @property
    def significant(self) -> bool:
        """Whether it is, and is more than what structures leave unexplained."""
        return self.told and abs(self.energy) > RESOLUTION * self.unexplained


def shared_elements(dataset: Dataset) -> dict[str, list[str]]:
    """Sources by element, for elements in more than one; the one with most frames first."""
    frames = Counter((source_of(f), symbol) for f in dataset for symbol in f.elements)
    found = {}
    for symbol in dataset.elements:
        sources = sorted((s for s, e in frames if e == symbol), key=lambda s: (-frames[s, symbol], s))
        if len(sources) > 1:
            found[symbol] = sources
    return found


def check_units(dataset: Dataset) -> None:
    """Refuse sources of the same elements whose energies or forces differ by a factor between units.

    Energies by the median energy per atom. Forces by the RMS force, which depends on what was sampled and so need be of the right order
    only; where energies agree and forces alone would differ, by frames of the same group and temperature.

    Raises:
        MetalffError: names the sources and the unit that one seems to have.
    """
    for symbol, (first, *others) in shared_elements(dataset).items():
        for other in others:
            a, b = ([f for f in dataset if source_of(f) == s and f.elements == [symbol]] for s in (first, other))
            if not (a and b):
                continue
            energy, force = _ratio(a, b, _energy), _ratio(a, b, _force)
            alike = {(f.group, f.temperature) for f in a} & {(f.group, f.temperature) for f in b if f.temperature}
            matched = [_ratio(*([f for f in part if (f.group, f.temperature) == k] for part in (a, b)), _force) for k in alike]
            found = []
            for name, (e, f) in UNITS.items():
                for small, large, sign in ((other, first, 1), (first, other, -1)):
                    away = abs(sign * energy - np.log(e))
                    forces = matched if e == 1 else [force]
                    if away < 0.2 and forces and all(abs(sign * r - np.log(f)) < (0.7 if e == 1 else 1.1) for r in forces):
                        found.append((away + 0.05 * abs(sign * forces[0] - np.log(f)), name, small, large))
            if found:
                _, name, small, large = min(found)
                raise MetalffError(
                    f"{small} seems to be in {name}: its energies of {symbol} and those of {large} differ by a factor of "
                    f"{np.exp(abs(energy)):.3g}, its forces by {np.exp(abs(force)):.3g}; convert them to eV and eV/Å, or say --offsets ignore if "
                    "they are right"
                )


def _energy(frames) -> float:
    return float(np.median([frame.energy / len(frame) for frame in frames]))


def _force(frames) -> float:
    return float(np.sqrt(np.mean([np.mean(frame.forces**2) for frame in frames])))


def _ratio(a, b, of) -> float:
    """Logarithm of the ratio; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(np.float64(of(a)) / np.float64(of(b))))


def find_offsets(dataset: Dataset) -> list[Offset]:
    """Constants of every element that several sources have; those that the data cannot tell are left out.

    A constant is told from a difference of the structures when the sources have similar ones, or enough of them.
    """
    shared = shared_elements(dataset)
    columns = [(symbol, source) for symbol, sources in shared.items() for source in sources[1:]]
    if not columns:
        return []
    dataset = replace(dataset, frames=_drawn(dataset))
    numbers = [atomic_numbers[symbol] for symbol in dataset.elements]
    composition = np.array([[np.mean(f.numbers == z) for z in numbers] for f in dataset])
    of_source = np.array([source_of(f) for f in dataset])
    constants = np.stack([composition[:, dataset.elements.index(e)] * (of_source == s) for e, s in columns], 1)
    functions = min(FUNCTIONS, (len(dataset) // FRAMES_PER_COLUMN - len(columns) - len(numbers)) // (2 * len(numbers)))
    structure = np.stack([_densities(f, numbers, max(functions, 0)) for f in dataset])
    energy = np.array([f.energy / len(f) for f in dataset])
    rest = np.concatenate([composition, structure], 1)
    rest = rest / np.maximum(np.abs(rest).max(0), 1e-12)
    found = []
    solution, *_ = np.linalg.lstsq(np.concatenate([constants, rest], 1), energy, rcond=1e-10)
    unexplained = energy - np.concatenate([constants, rest], 1) @ solution
    rms = float(np.sqrt(unexplained @ unexplained / max(len(energy) - np.linalg.matrix_rank(rest) - len(columns), 1)))
    for k, (symbol, source) in enumerate(columns):
        others = np.concatenate([np.delete(constants, k, 1), rest], 1)
        own = constants[:, k] - others @ np.linalg.lstsq(others, constants[:, k], rcond=1e-10)[0]
        if own @ own > 1e-6 * (constants[:, k] @ constants[:, k]):
            error = rms / float(np.sqrt(own @ own))
            found.append(Offset(source, shared[symbol][0], symbol, float(solution[k]), error, rms))
    return found


def _drawn(dataset) -> tuple:
    """At most ``FRAMES`` frames of each source."""
    by_source = {}
    for frame in dataset:
        by_source.setdefault(source_of(frame), []).append(frame)
    return tuple(f for frames in by_source.values() for f in frames[:: -(-len(frames) // FRAMES)])


def _densities(frame, numbers, functions) -> np.ndarray:
    """[2 · elements · functions] Chebyshev functions of the distances, summed around each atom; mean and mean square over atoms of an element."""
    i, _, vectors = edges(frame.cell, frame.pbc, frame.positions, CUTOFF)
    x = np.linalg.norm(vectors, axis=1) / CUTOFF
    values = [np.bincount(i, np.cos(k * np.arccos(2 * x - 1)) * (1 - x) ** 2, len(frame)) for k in range(functions)]
    density = np.array(values).reshape(functions, len(frame))
    parts = [density * (frame.numbers == z) for z in numbers]
    return np.concatenate([np.concatenate([part.mean(1), (part**2).mean(1)]) for part in parts])


def check_offsets(offsets: list[Offset]) -> None:
    """Refuse sources whose energies differ by a constant.

    Raises:
        MetalffError: names the sources, the constant and the ways out.
    """
    worst = max((o for o in offsets if o.significant), key=lambda o: abs(o.energy), default=None)
    if worst:
        raise MetalffError(
            f"energies of {worst.source} and {worst.reference} disagree: by {worst.energy:+.4g} ± {worst.error:.2g} eV per atom of {worst.element}, "
            f"where structures explain all but {1000 * worst.unexplained:.2g} meV; train on one of them, or say --offsets fit to subtract the "
            "constants, or --offsets ignore"
        )


def subtract(dataset: Dataset, offsets: list[Offset]) -> Dataset:
    """The frames with the constants of their sources subtracted from their energies."""
    by_source = {}
    for offset in offsets:
        by_source.setdefault(offset.source, {})[atomic_numbers[offset.element]] = offset.energy
    return replace(
        dataset,
        frames=tuple(
            replace(f, energy=f.energy - sum(e * int(np.sum(f.numbers == z)) for z, e in by_source[source_of(f)].items()))
            if source_of(f) in by_source
            else f
            for f in dataset
        ),
    )
