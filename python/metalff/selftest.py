"""Replay an artefact's self-test: does this machine give the numbers of the framework that trained the model?"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from metalff.artifact import Artifact

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
    """Compare the engine with every reference structure; ``programs`` names a directory of compiled ones outside the cache."""
    from metalff.calculator import MLFFCalculator

    calculator = MLFFCalculator(
        artifact.path, precision=precision, device=device, programs=programs, engine=engine, spline=spline, extrapolation="ignore"
    )
    worst = np.zeros(4)
    cases = artifact.selftest()
    for case in cases:
        atoms = Atoms(case["symbols"], positions=case["positions"], cell=case["cell"], pbc=case["pbc"])
        atoms.calc = calculator
        forces = np.abs(atoms.get_forces() - case["forces"]).max()
        deviations = [
            abs(atoms.get_potential_energy() - case["energy"]) / len(atoms),
            forces,
            np.abs(atoms.get_stress(voigt=False) - case["stress"]).max() if case["stress"] is not None else 0.0,
            forces / max(1.0, np.abs(case["forces"]).max()),
        ]
        worst = np.maximum(worst, deviations)  # propagates NaN
    energy, force, stress, scaled = map(float, worst)
    return Outcome(len(cases), energy, force, stress, TOLERANCE[precision], scaled)
