"""Is it a potential at all: the checks that OpenKIM made standard, each with a number and a letter."""

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from metalff.errors import MetalffError
from metalff.properties.dimer import LONGEST, evaluate
from metalff.properties.measurement import Measured, Measurement, Subject, Value

GRADES = (("A", 1e-5), ("B", 1e-4), ("C", 1e-3), ("D", 1e-2))
"""Largest number of each letter; F above."""

RATTLE = 0.12
"""Standard deviation of displacements, Å."""

STEP = 2e-3
"""Å, of central differences of fourth order."""

STRAIN = 5e-4

FLOOR = 0.1
"""eV/Å: forces are compared with their root mean square, at least this."""

STRESS_FLOOR = 0.01
"""eV/Å³ (1.6 GPa), the same of stresses."""

AROUND = 1e-4
"""Å on both sides of the cutoff."""


def grade(number: float) -> str:
    return next((letter for letter, limit in GRADES if number <= limit), "F")


def evaluated(calculator, atoms) -> tuple[float, np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = calculator
    return float(atoms.get_potential_energy()), atoms.get_forces()


def structure(cell, rng) -> Atoms:
    """A crystal of at least 30 atoms, strained and rattled, without any symmetry."""
    repeats = [2, 2, 2] if len(cell) > 2 else [3, 3, 2]
    atoms = cell * repeats
    strain = np.eye(3) + 0.02 * rng.standard_normal((3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.positions += RATTLE * rng.standard_normal(atoms.positions.shape)
    return atoms


def slope(function, step: float) -> float:
    """Derivative at zero by central differences of fourth order."""
    return (8 * (function(step) - function(-step)) - (function(2 * step) - function(-2 * step))) / (12 * step)


def forces_check(calculator, atoms, rng) -> float:
    """Largest deviation of F from −dE/dx along random directions and single coordinates, relative to the forces."""
    forces = evaluated(calculator, atoms)[1]
    directions = [rng.standard_normal(forces.shape) for _ in range(2)]
    for _ in range(4):
        single = np.zeros_like(forces)
        single[rng.integers(len(atoms)), rng.integers(3)] = 1.0
        directions.append(single)
    worst = 0.0
    for direction in directions:
        direction = direction / np.linalg.norm(direction)

        def along(step, direction=direction):
            moved = atoms.copy()
            moved.positions += step * direction
            return evaluated(calculator, moved)[0]

        worst = max(worst, abs(slope(along, STEP) + np.sum(forces * direction)))
    return worst / _scale(forces)


def virial_check(calculator, atoms) -> float:
    """Largest deviation of the stress from dE/dstrain ÷ volume, relative to the stress."""
    still = atoms.copy()
    still.calc = calculator
    stress = still.get_stress(voigt=False)
    found = np.zeros((3, 3))
    for i in range(3):
        for j in range(i, 3):

            def along(step, i=i, j=j):
                strain = np.zeros((3, 3))
                strain[i, j] += step / 2
                strain[j, i] += step / 2
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
                return evaluated(calculator, strained)[0]

            found[i, j] = found[j, i] = slope(along, STRAIN) / atoms.get_volume()
    return float(np.abs(found - stress).max() / max(np.abs(stress).max(), STRESS_FLOOR))


def _scale(forces) -> float:
    return max(float(np.sqrt(np.mean(forces**2))), FLOOR)


def _differ(one, other) -> float:
    """Of two (energy/atom, forces): the larger of the difference of energies in eV/atom and of forces relative to their root mean square."""
    return max(abs(one[0] - other[0]), float(np.abs(one[1] - other[1]).max()) / _scale(one[1]))


def symmetry_checks(calculator, atoms, rng) -> dict[str, float]:
    """Rotation, translation, permutation, inversion, periodicity: what should change nothing."""

    def of(changed):
        energy, forces = evaluated(calculator, changed)
        return energy / len(changed), forces

    base = of(atoms)
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    rotated = Atoms(atoms.symbols, atoms.positions @ rotation.T, cell=atoms.cell.array @ rotation.T, pbc=True)
    moved = atoms.copy()
    moved.positions += rng.uniform(-5, 5, 3)
    moved.wrap()
    order = rng.permutation(len(atoms))
    inverted = atoms.copy()
    inverted.positions *= -1
    inverted.wrap()
    double = atoms * (2, 1, 1)
    energy, forces = of(rotated)
    energy_permuted, forces_permuted = of(atoms[order])
    energy_inverted, forces_inverted = of(inverted)
    energy_double, forces_double = of(double)
    return {
        "rotation": _differ(base, (energy, forces @ rotation)),
        "translation": _differ(base, of(moved)),
        "permutation": _differ((base[0], base[1][order]), (energy_permuted, forces_permuted)),
        "inversion": _differ(base, (energy_inverted, -forces_inverted)),
        "periodicity": _differ((base[0], np.tile(base[1], (2, 1))), (energy_double, forces_double)),
    }


def extensivity_check(calculator, element: str, near: float) -> float:
    """Two clusters far apart against twice one, eV/atom."""
    corners = near * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0], [0.5, 0.29, 0.82]]) * 1.05
    box = [90.0, 40.0, 40.0]
    one = Atoms([element] * 4, corners + 15, cell=box, pbc=True)
    both = one + Atoms([element] * 4, corners + [60, 15, 15])
    return abs(evaluated(calculator, both)[0] - 2 * evaluated(calculator, one)[0]) / 8


def cutoff_check(calculator, element: str, cutoff: float) -> float:
    """Largest jump of the energy (eV) and the force (eV/Å) of two atoms across the cutoff, beyond what a smooth curve changes by."""
    outer = evaluate(calculator, element, cutoff + AROUND)
    inner = evaluate(calculator, element, cutoff - AROUND)
    before = evaluate(calculator, element, cutoff - 3 * AROUND)
    return max(abs((outer[k] - inner[k]) - (inner[k] - before[k])) for k in (0, 1))


def smooth_check(calculator, element: str, near: float, cutoff: float) -> float:
    """Largest jump of the energy of two atoms that their forces do not explain, eV."""
    distances = np.arange(0.8 * near, cutoff + 0.2, 0.02)
    energies, forces = np.array([evaluate(calculator, element, r) for r in distances]).T
    allowed = np.abs(np.diff(forces, 2)).max() * 0.02 / 6  # error of the rule of trapezia
    unexplained = np.abs(np.diff(energies) + (forces[1:] + forces[:-1]) / 2 * 0.02).max()
    return max(0.0, float(unexplained - allowed))


def run(subject: Subject) -> Measured:
    rng = np.random.default_rng(1)
    calculator, element, near = subject.unguarded, subject.element, subject.metal.nearest_neighbour
    cutoff = subject.potential.cutoff or LONGEST
    atoms = structure(subject.metal.unit_cell(), rng)
    checks = {
        "forces": (forces_check(calculator, atoms, rng), ""),
        "virial": (virial_check(calculator, atoms), ""),
        **{name: (number, "") for name, number in symmetry_checks(calculator, atoms, rng).items()},
        "extensivity": (extensivity_check(calculator, element, near), "eV/atom"),
        "cutoff": (cutoff_check(calculator, element, cutoff), "eV, eV/Å"),
        "dimer": (smooth_check(calculator, element, near, cutoff), "eV"),
    }
    broken = [name for name, (number, _) in checks.items() if not np.isfinite(number)]
    if broken:
        raise MetalffError(f"{', '.join(broken)}: energy or forces are no finite numbers")
    letters = {name: grade(number) for name, (number, _) in checks.items()}
    values = {name: Value(float(number), unit) for name, (number, unit) in checks.items()}
    warnings = tuple(f"{name} fails: {values[name].value:.2g}" for name, letter in letters.items() if letter == "F")
    return Measured(values, warnings=warnings, grade=letters | {"overall": max(letters.values())})


MEASUREMENTS = (
    Measurement(
        "verification",
        "Verification",
        1,
        run,
        1,
        """Is it a potential at all: F = −dE/dx, stress = dE/dstrain, rotation, translation, permutation, inversion, periodicity, extensivity, a smooth dimer up to the cutoff.
After the verification checks of OpenKIM (Tadmor et al., JOM 63, 17 (2011)). A rattled, strained crystal of some 32 atoms; numbers are relative to the root mean
square of forces (at least 0.1 eV/Å) or the largest stress (at least 1.6 GPa), energies in eV/atom; the dimer's in eV and eV/Å. A up to 1e-5, B 1e-4, C 1e-3, D
1e-2, F above; `overall` is the worst. Models in float32 have C or B by rounding alone, MEAM ends within 0.1 Å, so two atoms feel a step at its cutoff, which screening
hides in a crystal. A good
grade says that the energy is conserved and nothing of whether it is right.""",
    ),
)
