"""The ASE calculator: the numbers of LAMMPS, derivatives that are derivatives, and sentences for what it cannot take."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cases import STRUCTURES
from metalff import MLFFCalculator, artifact
from metalff.errors import MetalffError
from metalff.lammps import LammpsCalculator

TOLERANCE = 1e-9  # eV, eV/Å, eV/Å³: round-off of the sums


@pytest.fixture(scope="module")
def calculator(oracle):
    return MLFFCalculator(oracle)


@pytest.fixture(scope="module")
def reference(eam_commands):
    return LammpsCalculator(eam_commands, ["Cu"])


def evaluated(atoms, calculator):
    """Energy, energies, forces and stress (where the cell has a volume) of a copy of ``atoms``."""
    atoms = atoms.copy()
    atoms.calc = calculator
    stress = atoms.get_stress(voigt=False) if atoms.cell.rank == 3 else np.zeros((3, 3))
    return atoms.get_potential_energy(), atoms.get_potential_energies(), atoms.get_forces(), stress


def same(ours, theirs, tolerance=TOLERANCE):
    assert ours[0] == pytest.approx(theirs[0], abs=tolerance * len(theirs[1]))
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_lammps(name, calculator, reference):
    same(evaluated(STRUCTURES[name], calculator), evaluated(STRUCTURES[name], reference))


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 1, 0), (0, 1, 0), (1, 0, 1)])
@pytest.mark.parametrize("name", ["triclinic", "tiny cube"])
def test_partially_periodic(name, pbc, calculator, reference):
    atoms = STRUCTURES[name].copy()
    atoms.pbc = pbc
    same(evaluated(atoms, calculator), evaluated(atoms, reference))


def test_without_a_cell(calculator, reference):
    atoms = STRUCTURES["cluster in a corner"].copy()
    atoms.pbc = False
    atoms.cell = np.zeros((3, 3))
    same(evaluated(atoms, calculator), evaluated(atoms, reference))
    slab = STRUCTURES["tiny cube"].copy()
    slab.pbc = (True, True, False)
    slab.cell[2] = 0
    same(evaluated(slab, calculator), evaluated(slab, reference))


def test_atoms_outside_the_cell_and_left_handed_cells(calculator):
    atoms = STRUCTURES["triclinic"]
    reference = evaluated(atoms, calculator)
    shifted = atoms.copy()
    shifted.positions += np.random.default_rng(0).integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    same(evaluated(shifted, calculator), reference)
    swapped = atoms.copy()
    swapped.cell = atoms.cell.array[[1, 0, 2]]
    same(evaluated(swapped, calculator), reference)


STEP = 1e-4  # Å


def slope(energies):
    """Derivative from energies at -2, -1, 1, 2 steps; the error is of fourth order."""
    below2, below, above, above2 = energies
    return (8 * (above - below) - (above2 - below2)) / (12 * STEP)


@pytest.mark.parametrize("atom, axis", [(0, 0), (5, 1), (17, 2), (40, 0)])
def test_forces_are_derivatives(atom, axis, calculator):
    atoms = STRUCTURES["triclinic"]
    energies = []
    for k in (-2, -1, 1, 2):
        moved = atoms.copy()
        moved.positions[atom, axis] += k * STEP
        energies.append(evaluated(moved, calculator)[0])
    assert -slope(energies) == pytest.approx(evaluated(atoms, calculator)[2][atom, axis], abs=1e-7)


@pytest.mark.parametrize("a, b", [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])
def test_stress_is_the_derivative(a, b, calculator):
    atoms = STRUCTURES["triclinic"]
    energies = []
    for k in (-2, -1, 1, 2):
        strain = np.eye(3)
        strain[a, b] += k * STEP / 2
        strain[b, a] += k * STEP / 2
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        energies.append(evaluated(strained, calculator)[0])
    stress = evaluated(atoms, calculator)[3]
    assert slope(energies) / atoms.get_volume() == pytest.approx(stress[a, b], abs=1e-8)
    assert abs(stress[a, b]) > 1e-4, "the comparison must not be between zeros"


def test_translation_rotation_permutation(calculator):
    atoms = STRUCTURES["triclinic"]
    energy, energies, forces, stress = evaluated(atoms, calculator)
    rng = np.random.default_rng(5)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(atoms))
    turned = atoms[order]
    turned.set_cell(atoms.cell.array @ rotation)
    turned.positions = (turned.positions + [0.4, -3.0, 11.0]) @ rotation
    expected = (energy, energies[order], forces[order] @ rotation, rotation.T @ stress @ rotation)
    same(evaluated(turned, calculator), expected)


def test_forces_sum_to_zero_and_energies_to_the_energy(calculator):
    energy, energies, forces, _ = evaluated(STRUCTURES["surface"], calculator)
    assert energies.sum() == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10)


def test_single_precision(oracle, calculator):
    ours = evaluated(STRUCTURES["bulk"], MLFFCalculator(oracle, precision="single"))
    theirs = evaluated(STRUCTURES["bulk"], calculator)
    same(ours, theirs, 1e-4)
    assert np.abs(ours[2] - theirs[2]).max() > 1e-9, "this is not single precision"


def test_several_calculators_and_threads(oracle, calculator):
    reference = evaluated(STRUCTURES["bulk"], calculator)
    two = [MLFFCalculator(oracle, threads=threads) for threads in (1, 2)]
    for _ in range(2):
        for each in (*two, calculator):
            same(evaluated(STRUCTURES["bulk"], each), reference, 1e-12)
            evaluated(STRUCTURES["isolated atom"], each)


def test_nothing_stale(calculator):
    atoms = STRUCTURES["tiny cube"].copy()
    atoms.calc = calculator
    forces = atoms.get_forces()
    forces[:] = 7  # a caller's own copy
    assert np.abs(atoms.get_forces()).max() < 7
    changes = (
        lambda a: a.positions.__setitem__((0, 0), a.positions[0, 0] + 0.1),
        lambda a: a.set_cell(1.01 * a.cell.array),
        lambda a: a.set_pbc((True, True, False)),
        lambda a: a.__delitem__(1),
    )
    for change in changes:
        before = atoms.get_potential_energy()
        change(atoms)
        assert atoms.get_potential_energy() != pytest.approx(before, abs=1e-6)
        assert atoms.get_potential_energy() == pytest.approx(evaluated(atoms, calculator)[0], abs=1e-12)


def positioned(value):
    atoms = bulk("Cu", cubic=True)
    atoms.positions[2, 1] = value
    return atoms


BAD = {
    "element": (bulk("Ni"), "does not describe element Ni: it was trained on Cu"),
    "NaN": (positioned(np.nan), "some atomic positions or cell vectors are not finite numbers: mend the structure"),
    "infinity": (positioned(np.inf), "some atomic positions or cell vectors are not finite numbers"),
    "NaN cell": (Atoms("Cu", cell=[5, np.nan, 5], pbc=True), "some atomic positions or cell vectors are not finite"),
    "no atoms": (Atoms(cell=[5, 5, 5], pbc=True), "there are no atoms in the structure: give it at least one"),
    "no cell": (Atoms("Cu2", positions=[[0, 0, 0], [2.5, 0, 0]], pbc=True), "the periodic cell vectors are zero or"),
    "flat cell": (
        Atoms("Cu", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True),
        "the periodic cell vectors are zero or",
    ),
    "same place": (Atoms("Cu2", positions=np.zeros((2, 3))), "the energy is not a finite number: look for overlapping"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_atoms(case, calculator):
    atoms, sentence = BAD[case]
    with pytest.raises(MetalffError, match=sentence):
        evaluated(atoms, calculator)
    assert np.isfinite(evaluated(bulk("Cu"), calculator)[0]), "the calculator goes on"


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"precision": "half"}, "precision must be 'double' or 'single', not 'half'"),
        ({"device": "gpu"}, "device must be 'cpu' or 'cuda:N', not 'gpu'"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
    ],
)
def test_bad_options(options, sentence, oracle):
    with pytest.raises(MetalffError, match=sentence):
        MLFFCalculator(oracle, **options)


@pytest.fixture
def dimer():
    return Atoms("Cu2", positions=[[0, 0, 0], [2.0, 0, 0]])


def trained_down_to(oracle, path, distance):
    opened = artifact.open_artifact(oracle)
    members = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    training = artifact.Training(shortest_distance=distance)
    artifact.write(path, opened.manifest.model_copy(update={"training": training}), members)
    return MLFFCalculator(path)


def test_atoms_closer_than_the_training_data(oracle, dimer, tmp_path):
    with pytest.raises(MetalffError, match="two atoms are 2.000 Å apart, but the shortest distance in the training"):
        evaluated(dimer, trained_down_to(oracle, tmp_path / "far.mlff", 3.4))
    near = trained_down_to(oracle, tmp_path / "near.mlff", 3.2)
    with pytest.warns(UserWarning, match="two atoms are 2.000 Å apart, closer than any in the training data"):
        evaluated(dimer, near)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        evaluated(dimer, trained_down_to(oracle, tmp_path / "known.mlff", 1.9))
