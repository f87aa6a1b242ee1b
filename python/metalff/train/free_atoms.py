"""Free atoms among the frames of a training: they say what E0 is, and are no structures to learn forces from."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
from ase.data import chemical_symbols

from metalff.data import Dataset
from metalff.data.checks import is_free_atom

SAME = 1e-3
"""eV within which two energies of the same free atom agree."""


def taken_out(dataset: Dataset, r_max: float) -> tuple[Dataset, dict[str, float], list[str]]:
    """The other frames, the energy of a free atom of each element that has one (eV), and sentences.

    Returns:
        the set unchanged where it has no free atoms; where an element has several frames, the last one counts, and it is said when they differ.
    """
    free = [frame for frame in dataset if is_free_atom(frame, r_max)]
    if not free:
        return dataset, {}, []
    by_element = defaultdict(list)
    for frame in free:
        by_element[chemical_symbols[int(frame.numbers[0])]].append(frame)
    energies, notes = {}, []
    for symbol, frames in by_element.items():
        values = np.array([frame.energy for frame in frames])
        energies[symbol] = float(values[-1])
        if np.ptp(values) > SAME:
            notes.append(
                f"{len(frames)} frames are a free atom of {symbol}, with energies from {values.min():.4f} to {values.max():.4f} eV; that of frame "
                f"{frames[-1].index} of {frames[-1].source} is taken"
            )
    gone = set(map(id, free))
    return replace(dataset, frames=tuple(frame for frame in dataset if id(frame) not in gone)), energies, notes


def sentence(count: int, energies: dict[str, float]) -> str:
    """What free atoms were found and what became of them."""
    said = ", ".join(f"{symbol} {energy:.4f} eV" for symbol, energy in energies.items())
    frames = "1 frame is a free atom and gives" if count == 1 else f"{count} frames are free atoms and give"
    return f"{frames} E0: {said}; the training and validation parts are without {'it' if count == 1 else 'them'}"
