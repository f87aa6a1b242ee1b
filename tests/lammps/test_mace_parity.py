"""The bundled MACE: LAMMPS, ASE and mace's own MACECalculator agree; the energy is conserved and rotates as it should."""

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps
from metalff import MLFFCalculator
from metalff.environments import create, environment_python

ENERGY = 1e-8  # eV/atom
FORCES = 1e-7  # eV/Å
STRESS = 1e-8  # eV/Å³

WORKER = Path(__file__).with_name("mace_reference.py")


@pytest.fixture(scope="module")
def reference(bundled_model, tmp_path_factory):
    """Energies, forces and stresses of mace's own calculator, by structure."""
    create("mace")
    folder = tmp_path_factory.mktemp("reference")
    with zipfile.ZipFile(bundled_model) as archive:
        archive.extractall(folder)
    described = {
        name: {"symbols": list(a.symbols), "positions": a.positions.tolist(), "cell": a.cell.tolist()}
        for name, a in STRUCTURES.items()
    }
    (folder / "structures.json").write_text(json.dumps(described))
    subprocess.run([str(environment_python("mace")), "-P", str(WORKER), str(folder)], check=True, capture_output=True)
    return json.loads((folder / "reference.json").read_text())


@pytest.fixture(scope="module")
def calculator(bundled_model):
    return MLFFCalculator(bundled_model)


def agrees(reference, energy, forces, stress, energies):
    n = len(reference["forces"])
    assert abs(energy - reference["energy"]) / n <= ENERGY
    np.testing.assert_allclose(forces, reference["forces"], rtol=0, atol=FORCES)
    np.testing.assert_allclose(stress, reference["stress"], rtol=0, atol=STRESS)
    np.testing.assert_allclose(energies, reference["energies"], rtol=0, atol=ENERGY)


@pytest.mark.parametrize("name", STRUCTURES)
def test_ase_agrees_with_mace(name, calculator, reference):
    atoms = STRUCTURES[name].copy()
    atoms.calc = calculator
    agrees(
        reference[name],
        atoms.get_potential_energy(),
        atoms.get_forces(),
        atoms.get_stress(voigt=False),
        atoms.get_potential_energies(),
    )


WAYS = [(1, ""), (2, "ghosts exchange"), (4, "ghosts exchange"), (2, "ghosts wide"), (4, "ghosts wide"), (2, "chunk 7")]


@pytest.mark.parametrize("ranks, keywords", WAYS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_lammps_agrees_with_mace(name, ranks, keywords, bundled_model, reference, tmp_path):
    pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {bundled_model} Cu"]
    (ours,) = Script(STRUCTURES[name]).run(tmp_path, [pair], ranks=ranks)
    (xx, yy, zz, yz, xz, xy) = ours.stress
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    agrees(reference[name], ours.energy, ours.forces, stress, ours.energies)


def test_forces_and_stress_are_derivatives_of_the_energy(calculator):
    atoms = STRUCTURES["triclinic"].copy()
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    h = 1e-4
    for i, c in ((0, 0), (31, 1), (70, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, c] += sign * h
            moved.calc = calculator
            energies.append(moved.get_potential_energy())
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[i, c], abs=2e-6)
    for a, b in ((0, 0), (1, 1), (0, 1), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            strained.calc = calculator
            energies.append(strained.get_potential_energy())
        assert (energies[0] - energies[1]) / (2 * h) / atoms.get_volume() == pytest.approx(stress[a, b], abs=1e-7)


def test_the_energy_is_invariant(calculator):
    atoms = STRUCTURES["vacancy"].copy()
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation, scale_atoms=False)
    turned.positions = (atoms.positions + [0.3, -1.1, 5.0]) @ rotation
    order = rng.permutation(len(atoms))
    turned = turned[order]
    turned.calc = calculator
    assert turned.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(turned.get_forces(), (forces @ rotation)[order], rtol=0, atol=1e-9)


def test_single_precision_stays_near_double(bundled_model, reference, tmp_path):
    pair = ["pair_style mlff precision single", f"pair_coeff * * {bundled_model} Cu"]
    (ours,) = Script(STRUCTURES["bulk"]).run(tmp_path, [pair])
    np.testing.assert_allclose(ours.forces, reference["bulk"]["forces"], rtol=0, atol=2e-4)
    assert np.abs(ours.forces - reference["bulk"]["forces"]).max() > 1e-9, "this is not single precision"


def test_nve_conserves_the_energy(bundled_model, tmp_path):
    """10 ps at 600 K with 1 fs: no drift beyond 1e-5 eV/atom, as a straight line through the total energy."""
    n = 32
    lines = ["units metal", "atom_style atomic", "lattice fcc 3.65", "region b block 0 2 0 2 0 2", "create_box 1 b"]
    lines += ["create_atoms 1 box", "mass 1 63.546", "pair_style mlff", f"pair_coeff * * {bundled_model} Cu"]
    lines += ["velocity all create 1200 7 loop geom", "fix move all nve", "thermo_style custom step etotal temp"]
    lines += ["thermo_modify format float %.12g", "thermo 20", "run 10000"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode == 0, completed.stdout[-2000:]
    rows = [line.split() for line in completed.stdout.splitlines()]
    table = np.array([r for r in rows if len(r) == 3 and r[0].isdigit() and int(r[0]) % 20 == 0], float)
    assert len(table) == 501
    steps, energy, temperature = table.T
    assert 450 < temperature[100:].mean() < 750
    slope = np.polyfit(steps, energy / n, 1)[0]
    assert abs(slope * 10000) <= 1e-5
