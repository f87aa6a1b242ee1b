"""Two atoms."""

import numpy as np
from ase import Atoms

from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value

STEP = 0.05
"""Å."""

SHORTEST = 0.45
"""First distance, in nearest-neighbour distances of the crystal."""

LONGEST = 7.0
"""Å, where a potential does not say its cutoff."""

BOX = 40.0
"""Å."""


def pair(element: str, distance: float):
    """Two atoms in a large periodic box."""
    middle = BOX / 2
    return Atoms([element] * 2, [[middle - distance / 2, middle, middle], [middle + distance / 2, middle, middle]], cell=[BOX] * 3, pbc=True)


def evaluate(calculator, element: str, distance: float) -> tuple[float, float]:
    """Energy (eV) and force along the bond (eV/Å, positive: repulsive)."""
    atoms = pair(element, distance)
    atoms.calc = calculator
    return float(atoms.get_potential_energy()), float(atoms.get_forces()[1, 0])


def run(subject: Subject) -> Measured:
    near = subject.metal.nearest_neighbour
    cutoff = subject.potential.cutoff or LONGEST
    distances = np.arange(SHORTEST * near, cutoff + 0.3, STEP)
    energies, forces = np.array([evaluate(subject.unguarded, subject.element, r) for r in distances]).T
    free = evaluate(subject.unguarded, subject.element, BOX / 2.5)[0]
    energies = energies - free
    lowest = int(np.argmin(np.where(distances > 0.7 * near, energies, np.inf)))
    values = {"bond_length": Value(float(distances[lowest]), "Å"), "binding_energy": Value(float(-energies[lowest]), "eV")}
    warnings = []
    attractive = distances[(distances < 0.75 * near) & (forces < 0)]
    if len(attractive):
        values["hole"] = Value(float(attractive.max()), "Å")
        warnings.append(f"two atoms closer than {attractive.max():.2f} Å attract each other: at high temperature they may fuse")
    mean = (forces[1:] + forces[:-1]) / 2
    roughness = np.abs(np.diff(energies) + mean * np.diff(distances))
    notes = (f"trained or fitted above {shortest:.2f} Å",) if (shortest := _shortest(subject.potential)) else ()
    labels = "distance (Å)", "energy against two free atoms (eV)"
    curves = {
        "energy": Curve(distances.tolist(), energies.tolist(), *labels, "energy"),
        "force": Curve(distances.tolist(), forces.tolist(), "distance (Å)", "force (eV/Å)", "force"),
    }
    return Measured(
        values, curves, notes, tuple(warnings), {"shortest_distance": shortest, "roughness": float(roughness[distances[1:] > near].max())}
    )


def _shortest(potential) -> float | None:
    """Å, the shortest distance of the training data of a model."""
    if potential.kind != "mlff":
        return None
    from metalff.artifact import read_manifest

    return read_manifest(potential.files[0]).training.shortest_distance or None


MEASUREMENTS = (
    Measurement(
        "dimer",
        "Dimer",
        1,
        run,
        1,
        """Energy (eV) and force of two atoms from 0.45 nearest-neighbour distances to beyond the cutoff.
It shows a hole at short distance, a rough curve, or an end that is not smooth. It is no prediction of the molecule: potentials of metals are fitted
to crowded atoms, and a model of many bodies extrapolates here unless its data had dimers. The shortest distance of the training is in the notes.""",
        needs=("lattice",),
    ),
)
