"""The LAMMPS calculator against ASE's own EAM, finite differences and itself in other boxes."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell
from ase.calculators.eam import EAM
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from metalff import lammps
from metalff.errors import MetalffError
from metalff.lammps import LammpsCalculator, lammps_frame
from metalff.potentials import resolve

# ASE and LAMMPS interpolate the same table with different splines.
ENERGY_TOLERANCE = 1e-4  # eV/atom
FORCE_TOLERANCE = 2e-3  # eV/Å
EXACT = 1e-9  # eV, eV/Å: the same potential in another box
STRESS_TOLERANCE = 1e-7  # eV/Å³ against finite differences


def rattled(atoms, seed=0, amplitude=0.08):
    atoms.rattle(amplitude, seed=seed)
    return atoms


def sheared(atoms):
    strain = np.eye(3) + [[0.02, 0.11, -0.07], [0.03, -0.04, 0.09], [0.05, -0.02, 0.03]]
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def left_handed(atoms):
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell.array[[1, 0, 2]], pbc=atoms.pbc[[1, 0, 2]])


def slab(vacuum_vector=None, pbc=(True, True, False)):
    atoms = fcc111("Cu", (3, 2, 3), a=3.61, vacuum=None)
    cell = atoms.cell.array.copy()
    cell[2] = vacuum_vector or 0.0
    atoms.set_cell(cell)
    atoms.pbc = pbc
    return rattled(atoms)


def turned(atoms):
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


CASES = {
    "bulk": lambda: rattled(bulk("Cu", cubic=True) * (2, 2, 2)),
    "triclinic": lambda: rattled(sheared(bulk("Cu", cubic=True) * (2, 2, 2))),
    "left-handed": lambda: left_handed(rattled(sheared(bulk("Cu", cubic=True) * (2, 2, 2)))),
    "turned": lambda: turned(rattled(sheared(bulk("Cu", cubic=True) * 2))),
    "strongly tilted": lambda: make_supercell(rattled(bulk("Cu", cubic=True) * 2), [[1, 0, 0], [1, 1, 0], [-2, 1, 1]]),
    "tiny box": lambda: rattled(sheared(bulk("Cu", cubic=True))),
    "one atom": lambda: bulk("Cu"),
    "slab without a third vector": lambda: slab(),
    "slab with a skew third vector": lambda: slab((3.0, 4.0, 25.0)),
    "slab turned": lambda: turned(slab((0.0, 0.0, 25.0))),
    "wire": lambda: slab((0.0, 0.0, 25.0), (True, False, False)),
    "second direction open": lambda: slab((1.0, 0.5, 9.0), (True, False, True)),
    "cluster": lambda: slab(pbc=False),
    "isolated atom": lambda: Atoms("Cu"),
    "outside the cell": lambda: Atoms("Cu2", [[-30.0, 5.0, 80.0], [-28.0, 5.5, 81.0]], cell=[9, 9, 9], pbc=True),
}


@pytest.fixture(scope="module")
def calculator():
    made = resolve("Cu/eam").calculator()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ase_eam():
    return EAM(potential=str(resolve("Cu/eam").files[0]), form="alloy")


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_ase(name, calculator, ase_eam):
    ours, theirs = CASES[name](), CASES[name]()
    ours.calc, theirs.calc = calculator, ase_eam
    per_atom = (ours.get_potential_energy() - theirs.get_potential_energy()) / len(ours)
    assert abs(per_atom) < ENERGY_TOLERANCE
    assert np.abs(ours.get_forces() - theirs.get_forces()).max() < FORCE_TOLERANCE
    assert ours.get_potential_energies().sum() == pytest.approx(ours.get_potential_energy(), abs=EXACT)


@pytest.mark.parametrize("name", ["triclinic", "left-handed", "turned", "tiny box", "slab with a skew third vector"])
def test_derivatives(name, calculator):
    atoms = CASES[name]()
    atoms.calc = calculator
    some = [0, len(atoms) // 2]
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces[some] - calculate_numerical_forces(atoms, eps=1e-4, iatoms=some)).max() < 1e-5
    assert np.abs(stress - calculate_numerical_stress(atoms, eps=1e-5)).max() < STRESS_TOLERANCE


@pytest.mark.parametrize("name", ["Cu/meam", "Cu/snap", "Cu/qsnap"])
def test_other_styles_have_right_derivatives(name):
    atoms = CASES["tiny box"]()
    atoms.calc = resolve(name).calculator()
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces[:1] - calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0])).max() < 1e-5
    assert np.abs(stress - calculate_numerical_stress(atoms, eps=1e-5)).max() < 1e-6


def test_one_instance_through_changing_structures(calculator):
    """Number of atoms, periodicity and cell change from call to call; each result equals that of a fresh LAMMPS."""
    for name in ["bulk", "wire", "one atom", "triclinic", "cluster", "tiny box"]:
        kept, fresh = CASES[name](), CASES[name]()
        kept.calc, fresh.calc = calculator, resolve("Cu/eam").calculator()
        assert kept.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=EXACT)
        assert np.abs(kept.get_forces() - fresh.get_forces()).max() < EXACT
        fresh.calc.close()


def test_the_same_lammps_is_kept(calculator):
    atoms = CASES["bulk"]()
    atoms.calc = calculator
    atoms.get_potential_energy()
    instance = calculator._instance
    atoms.positions += 0.01
    atoms.set_cell(atoms.cell * 1.01)
    atoms.get_potential_energy()
    assert calculator._instance is instance


def test_frame_is_an_isometry():
    for make in CASES.values():
        atoms = make()
        low, box, q, x = lammps_frame(atoms.cell.array, atoms.pbc, atoms.positions)
        assert np.abs(q @ q.T - np.eye(3)).max() < 1e-12
        assert (np.diag(box) > 0).all() and np.abs(np.triu(box, 1)).max() == 0
        inside = np.linalg.solve(box.T, (x - low).T).T
        assert inside.min() > -1e-9 and inside.max() < 1 + 1e-9
        assert np.abs(box[atoms.pbc] @ q.T - atoms.cell.array[atoms.pbc]).max(initial=0) < 1e-9


def nan_positions():
    atoms = bulk("Cu")
    atoms.positions[0, 1] = np.nan
    return atoms


NEGATIVE_CONTROLS = {
    "NaN": (nan_positions, None, "positions or cell contain NaN"),
    "other element": (lambda: bulk("Ni"), None, "the potential is for Cu, but the structure contains Ni"),
    "flat cell": (lambda: Atoms("Cu", cell=[3, 3, 0], pbc=True), None, "linearly dependent"),
    "no atoms": (lambda: Atoms(cell=[3, 3, 3], pbc=True), None, "no atoms"),
    "unknown style": (lambda: bulk("Cu"), ["pair_style nonsense"], "LAMMPS: Unrecognized pair style 'nonsense'"),
    "no coefficients": (lambda: bulk("Cu"), ["pair_style eam/alloy"], "LAMMPS: All pair coeffs are not set"),
    "on top of each other": (
        lambda: Atoms("Cu2", cell=[9, 9, 9], pbc=True),
        None,
        "not finite; are atoms on top of each other",
    ),
    "missing file": (lambda: bulk("Cu"), ["pair_style eam/alloy", "pair_coeff * * gone.eam Cu"], "LAMMPS: .*gone.eam"),
}


@pytest.mark.parametrize("name", NEGATIVE_CONTROLS)
def test_refuses(name):
    make, commands, message = NEGATIVE_CONTROLS[name]
    atoms = make()
    atoms.calc = LammpsCalculator(commands or resolve("Cu/eam").lammps_commands(), ["Cu"])
    with pytest.raises(MetalffError, match=message) as caught:
        atoms.calc.calculate(atoms)
    assert ".cpp" not in str(caught.value) and "\n" not in str(caught.value)


def test_works_again_after_an_error(calculator):
    atoms = nan_positions()
    atoms.calc = calculator
    with pytest.raises(MetalffError, match="NaN"):
        atoms.get_potential_energy()
    atoms = bulk("Cu", a=3.615)
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(-3.54, abs=1e-3)


def test_executable(monkeypatch, tmp_path):
    monkeypatch.delenv("METALFF_LMP", raising=False)
    assert lammps.lmp_executable().name == "lmp"
    monkeypatch.setenv("METALFF_LMP", str(tmp_path / "gone"))
    with pytest.raises(MetalffError, match="not an executable file; correct or unset it"):
        lammps.lmp_executable()


def test_plugin_path_keeps_what_was_set(monkeypatch):
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", "/one:/two:/one")
    assert lammps.plugin_path().split(":")[-2:] == ["/one", "/two"]
    assert lammps.environment()["LAMMPS_PLUGIN_PATH"] == lammps.plugin_path()
