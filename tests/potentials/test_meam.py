"""MEAM libraries, and angular weights scaled."""

import numpy as np
import pytest
from ase.build import bulk

from metalff.errors import MetalffError
from metalff.lammps import potentials_dir
from metalff.potentials import checks, entries, resolve, usable
from metalff.potentials.meam import read_library


def energy_and_forces(name, atoms):
    calculator = resolve(name).calculator()
    atoms = atoms.copy()
    atoms.calc = calculator
    found = atoms.get_potential_energy(), atoms.get_forces()
    calculator.close()
    return found


@pytest.fixture
def rattled():
    atoms = bulk("Cu", cubic=True) * 2
    atoms.rattle(0.15, seed=2)
    return atoms


def test_library_of_the_wheel():
    library = read_library(potentials_dir() / "library.meam")
    assert library["Cu"].angular == pytest.approx((3.138, 2.494, 2.953), abs=1e-3) and library["Cu"].words[1] == "fcc"


def test_factor_one_changes_nothing(rattled):
    energy, forces = energy_and_forces("Cu/meam", rattled)
    same, same_forces = energy_and_forces("Cu/meam[t=1]", rattled)
    assert same == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(same_forces, forces, atol=1e-10)


def test_angles_act_on_distorted_structures_only(rattled):
    perfect = bulk("Cu", cubic=True) * 2
    assert energy_and_forces("Cu/meam[t=0]", perfect)[0] == pytest.approx(energy_and_forces("Cu/meam", perfect)[0], abs=1e-8)
    forces = [energy_and_forces(f"Cu/meam[t={t}]", rattled)[1] for t in (0, 0.5, 1)]
    assert abs(forces[2] - forces[0]).max() > 2e-2 and abs(forces[1] - forces[0]).max() > 1e-2


def test_width_of_the_cutoff():
    """0.1 Å is LAMMPS' own; a wide one moves sodium, whose second shell lies near the cutoff; a library without parameters gets some."""
    atoms = bulk("Na", cubic=True, a=4.29) * 3
    atoms.rattle(0.2, seed=3)
    energy, forces = energy_and_forces("Na/meam", atoms)
    same, same_forces = energy_and_forces("Na/meam[delr=0.1]", atoms)
    assert same == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(same_forces, forces, atol=1e-10)
    assert abs(energy_and_forces("Na/meam[delr=1]", atoms)[1] - forces).max() > 0.05
    assert resolve("Au/meam[delr=1]").pair_coeff[0].split()[-2] != "NULL"


@pytest.mark.parametrize("name", ["Cu/meam", "Ti/meam", "Ta/meam"])
def test_without_screening(name):
    """Screening acts on the farther shells of a perfect crystal, too; without it forces are still derivatives of the energy."""
    own, unscreened = f"{name}[screen=1]", f"{name}[screen=0]"
    metal = name.partition("/")[0]
    atoms = bulk(metal, cubic=metal != "Ti") * 3
    assert energy_and_forces(own, atoms)[0] == pytest.approx(energy_and_forces(name, atoms)[0], abs=1e-10)
    assert abs(energy_and_forces(unscreened, atoms)[0] - energy_and_forces(name, atoms)[0]) > 0.01 * len(atoms)
    atoms.rattle(0.15, seed=2)
    step, energies = 1e-4, []
    for shift in (-step, step):
        moved = atoms.copy()
        moved.positions[0, 1] += shift
        energies.append(energy_and_forces(unscreened, moved)[0])
    assert energy_and_forces(unscreened, atoms)[1][0, 1] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("name", ["Cu/meam", "Ti/meam", "Au/meam"])
def test_width_of_the_screening(name):
    """Once its own width changes nothing, with a parameter file and without; a softer one does, and its forces are derivatives of the energy."""
    metal = name.partition("/")[0]
    atoms = bulk(metal, cubic=metal != "Ti") * 3
    atoms.rattle(0.2, seed=2)
    energy, forces = energy_and_forces(name, atoms)
    same, same_forces = energy_and_forces(f"{name}[cwidth=1]", atoms)
    assert same == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(same_forces, forces, atol=1e-5)
    step, energies, softer = 1e-4, [], f"{name}[cwidth=2]"
    for shift in (-step, step):
        moved = atoms.copy()
        moved.positions[0, 1] += shift
        energies.append(energy_and_forces(softer, moved)[0])
    found = energy_and_forces(softer, atoms)[1]
    assert abs(found - forces).max() > 1e-2
    assert found[0, 1] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=1e-5)


def test_the_c_that_halves_a_pair_stays():
    """(1 − (1 − x)⁴)² is a half there, whatever the width."""
    text = resolve("Au/meam-lee[cwidth=0.5]").files[1].read_text()
    low, high = (float(line.split("=")[1]) for line in text.splitlines() if line.startswith(("Cmin", "Cmax")))
    assert high - low == pytest.approx(0.5 * (2.80 - 1.53))
    for least, width in ((1.53, 1.27), (low, high - low)):
        x = (1.53 + 0.26435 * 1.27 - least) / width
        assert (1 - (1 - x) ** 4) ** 2 == pytest.approx(0.5, abs=1e-4)


def test_nothing_but_distances_without_screening_and_angular_weights():
    """Four atoms around a fifth, farther from each other than the cutoff: the angles between them do not matter, with t they do."""
    from ase import Atoms

    def of_directions(name, directions):
        ring = 3.9 * np.array(directions, float) / np.linalg.norm(directions, axis=1)[:, None]
        atoms = Atoms("Cu5", np.vstack([[0, 0, 0], ring]) + 15, cell=[30, 30, 30], pbc=True)
        return energy_and_forces(name, atoms)[0]

    tetrahedron, cross = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]
    plain = [of_directions("Cu/meam[t=0,screen=0]", d) for d in (tetrahedron, cross)]
    assert plain[0] == pytest.approx(plain[1], abs=1e-10)
    angular = [of_directions("Cu/meam[screen=0]", d) for d in (tetrahedron, cross)]
    assert abs(angular[0] - angular[1]) > 1e-7


def test_changes_go_together_in_any_order():
    both, turned = resolve("Ti/meam[t=0.5,delr=1]"), resolve("Ti/meam[delr=1,t=0.5]")
    assert both.name == "Ti/meam[t=0.5,delr=1]" and both.label.endswith("t × 0.5, delr 1 Å")
    atoms = bulk("Ti") * 3
    atoms.rattle(0.1, seed=1)
    np.testing.assert_allclose(energy_and_forces(both.name, atoms)[1], energy_and_forces(turned.name, atoms)[1], atol=1e-10)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("Cu/eam[delr=1]", "only MEAM has a width"),
        ("Na/meam[delr=5]", "above 0 and below the cutoff of 4.8 Å"),
        ("Cu/eam[screen=0]", "only MEAM has a screening"),
        ("Cu/meam[screen=0.5]", "screening is 0 .none. or 1"),
        ("Cu/eam[cwidth=2]", "only MEAM has a screening"),
        ("Cu/meam[cwidth=0]", "cwidth must be above 0"),
        ("Cu/meam[t=0,width=1]", "no change width .*there are t, delr, screen, cwidth"),
        ("Ti/meam[cwidth=2,cwidth=3]", "cwidth is there twice"),
        ("Ti/meam[cwidth=nan]", "cwidth=nan is no change.*there are t, delr"),
        ("Ti/meam[cwidth=-1]", "cwidth=-1 is no change.*there are t, delr"),
        ("Ti/meam[]", "a change is empty"),
    ],
)
def test_changes_that_make_no_sense(name, sentence):
    with pytest.raises(MetalffError, match=sentence):
        resolve(name)


def test_only_meam_has_angular_weights():
    with pytest.raises(MetalffError, match="only MEAM has angular weights"):
        resolve("Cu/eam[t=0.5]")


def test_a_potential_that_fails_is_never_used_silently():
    failing = [name for name in entries() if checks().get(name, {}).get("failed")]
    assert failing and not set(failing) & set(usable())
    with pytest.warns(UserWarning, match="fails its check"):
        resolve(failing[0])


def test_checks_are_of_the_files_that_ship():
    for name, row in checks().items():
        if not row["failed"]:
            assert resolve(name).sha256 == row["sha256"]


def test_metals_of_the_study_have_both():
    both = {n.partition("/")[0] for n in usable() if n.endswith("/eam")} & {n.partition("/")[0] for n in usable() if n.endswith("/meam")}
    assert len(both) >= 18 and {"Ti", "Zr", "V", "Nb", "Ta", "Al", "Mg", "Cu", "W"} <= both
