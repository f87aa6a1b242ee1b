"""Replay an artefact's self-test: does this machine give the numbers of the framework that trained the model?"""

from dataclasses import dataclass

from metalff import _engine
from metalff.artifact import Artifact
from metalff.errors import MetalffError

TOLERANCE = {"double": 1e-8, "single": 2e-4}
"""Largest allowed deviation of energy (eV/atom), forces (eV/Å; of those above 1 eV/Å as a part of the structure's largest) and stress (eV/Å³)."""


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
