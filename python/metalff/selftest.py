"""Replay an artefact's self-test: does this machine give the numbers of the framework that trained the model?"""

import json
from dataclasses import dataclass

import numpy as np

from metalff import _engine
from metalff.artifact import Artifact
from metalff.errors import MetalffError
from metalff.neighbours import edges_of

TOLERANCE = {"double": 1e-8, "single": 2e-4}
"""Largest allowed deviation of energy (eV/atom), forces (eV/Å; of those above 1 eV/Å as a part of the structure's largest) and stress (eV/Å³)."""


def of_the_engine(path, atoms) -> bytes:
    """A self-test with the native engine's own numbers, for a model that no framework trained: random weights, a table of a benchmark.

    Args:
        path: an artefact without a self-test.
        atoms: ``ase.Atoms`` whose elements are taken for the model's, in turn.
    Raises:
        EngineError: the engine refuses the model.
    """
    engine = _engine.Engine(str(path), engine="native", spline=0, selftest=False)
    elements = engine.artifact.elements
    types = np.arange(len(atoms)) % len(elements)
    centre, neighbour, vectors = edges_of(atoms, engine.artifact.r_max)
    energies, gradient = engine.evaluate(centre, neighbour, vectors, types)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, centre, gradient)
    np.subtract.at(forces, neighbour, gradient)
    case = {
        "symbols": [elements[t] for t in types],
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energy": energies.sum(),
        "forces": forces.tolist(),
        "stress": None,
    }
    return json.dumps([case]).encode()


@dataclass(frozen=True)
class Outcome:
    """Largest deviations over all self-test structures."""

    structures: int
    energy: float  # eV/atom
    forces: float  # eV/Å
    stress: float  # eV/Å³
    tolerance: float
    scaled: float = 0.0  # forces: largest of deviation / max(1 eV/Å, largest reference force of the structure)

    @property
    def passed(self) -> bool:
        return bool(max(self.energy, self.scaled, self.stress) <= self.tolerance)  # NaN fails

    def describe(self) -> str:
        return f"energy {self.energy:.1e} eV/atom, forces {self.forces:.1e} eV/Å, stress {self.stress:.1e} eV/Å³"


def replay(
    artifact: Artifact,
    precision: str = "double",
    device: str = "cpu",
    programs: str = "",
    engine: str = "auto",
    spline: int = -1,
) -> Outcome:
    """Compare the engine with every reference structure; ``programs`` names a directory of compiled ones outside the cache.

    Raises:
        MetalffError: the model does not open, or its self-test is missing, has no structures or is not valid.
    """
    try:
        opened = _engine.Engine(
            str(artifact.path), precision=precision, device=device, programs=programs, engine=engine, spline=spline, selftest=False
        )
        found = opened.replay()
    except _engine.EngineError as error:
        raise MetalffError(str(error)) from None
    return Outcome(found.structures, found.energy, found.forces, found.stress, TOLERANCE[precision], found.scaled)
