"""Universal models in their own framework, behind a pipe."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from metalff import environments
from metalff.errors import MetalffError
from metalff.potentials import names, resolve
from metalff.potentials.universal import UniversalCalculator


@pytest.fixture(scope="module", params=["7net-0", "chgnet"])
def potential(request):
    environments.create("sevennet" if request.param == "7net-0" else "chgnet")
    return resolve(request.param, ["Cu"])


@pytest.fixture(scope="module")
def calculator(potential):
    made = potential.calculator()
    yield made
    made.close()


def copper():
    atoms = bulk("Cu", a=3.58, cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.01, 0], [0, 0.99, 0], [0, 0, 1]], scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_numbers_hang_together(calculator):
    """Signs, units and order of what comes through the pipe, in the framework's own single precision."""
    atoms = copper()
    atoms.calc = calculator
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    assert -4.2 < energy / len(atoms) < -3.5
    assert atoms.get_potential_energies().sum() == pytest.approx(energy, abs=1e-3)
    assert np.abs(forces).max() > 0.3 and np.abs(forces.sum(axis=0)).max() < 1e-3

    def slope(change, h):
        energies = []
        for step in (h, -h):
            changed = copper()
            change(changed, step)
            changed.calc = calculator
            energies.append(changed.get_potential_energy())
        return (energies[0] - energies[1]) / (2 * h)

    def move(changed, step):
        changed.positions[2, 1] += step

    def shear(changed, step):
        matrix = np.eye(3)
        matrix[0, 1] = matrix[1, 0] = step / 2
        changed.set_cell(changed.cell.array @ matrix, scale_atoms=True)

    assert -slope(move, 0.01) == pytest.approx(forces[2, 1], abs=0.02)
    assert slope(shear, 0.01) / atoms.get_volume() == pytest.approx(stress[0, 1], abs=1e-3)


def test_one_process_serves_all_calls(calculator):
    atoms = copper()
    atoms.calc = calculator
    atoms.get_forces()
    process = calculator._process
    atoms.rattle(0.01)
    atoms.get_forces()
    assert calculator._process is process
    calculator.close()
    assert process.returncode == 0
    atoms.rattle(0.01)
    atoms.get_forces()  # starts another


def test_process_that_was_killed(calculator):
    atoms = copper()
    atoms.calc = calculator
    atoms.get_forces()
    calculator._process.kill()
    atoms.rattle(0.01)
    with pytest.raises(MetalffError, match=f"{calculator.model}: its process has ended"):
        atoms.get_forces()


def test_strangers_and_holes(calculator):
    atoms = bulk("Po", "sc", a=3.3)
    atoms.calc = calculator
    with pytest.raises(MetalffError, match="does not have Po"):
        atoms.get_forces()
    atoms = copper()
    atoms.positions[0, 0] = np.nan
    atoms.calc = calculator
    with pytest.raises(MetalffError, match="not finite"):
        atoms.get_forces()


def test_chgnet_wants_a_crystal():
    environments.create("chgnet")
    atoms = molecule("N2", vacuum=4)
    atoms.calc = UniversalCalculator("chgnet")
    with pytest.raises(MetalffError, match="chgnet: it takes only structures that are periodic in all directions"):
        atoms.get_forces()


def test_ase_only(potential):
    assert potential.name in names() and len(potential.sha256) == 64
    with pytest.raises(MetalffError, match=f"{potential.name} runs in ASE only; for LAMMPS"):
        potential.lammps_commands()


@pytest.mark.parametrize("name, family", [("chgnet", "chgnet"), ("7net-0", "sevennet")])
def test_missing_environment(monkeypatch, tmp_path, name, family):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    with pytest.raises(MetalffError, match=f"run: metalff env create {family}"):
        resolve(name)


def test_element_that_is_not_there():
    with pytest.raises(MetalffError, match="chgnet has no parameters for Po"):
        resolve("chgnet", ["Cu", "Po"])
