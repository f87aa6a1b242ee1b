"""Measurements against numbers that are computed another way, with ASE's EMT and the EAM of copper."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from broken_calculators import Directed, ScaledForces, cut_off
from metalff.potentials import resolve
from metalff.properties import measure
from metalff.properties.elastic import run as elastic
from metalff.properties.eos import birch_murnaghan
from metalff.properties.eos import run as eos
from metalff.properties.lattice import energy
from metalff.properties.measurement import Skip, Subject
from metalff.properties.phonons import harmonic
from metalff.properties.phonons import run as phonons
from metalff.properties.registry import measurements
from metalff.properties.surfaces import run as surfaces
from metalff.properties.trust import grouped, trust_table, verdicts
from metalff.properties.verification import run as verify


def subject(make=EMT, kind="other", cutoff=5.8):
    return Subject(SimpleNamespace(name="emt", kind=kind, cutoff=cutoff, calculator=make), "Cu")


@pytest.fixture(scope="module")
def emt():
    return subject()


@pytest.fixture(scope="module")
def eam():
    made = Subject(resolve("Cu/eam"), "Cu")
    yield made
    made.close()


def test_elastic_constants_are_second_derivatives_of_the_energy(emt):
    found = elastic(emt).values
    cell, volume, h = emt.cell, emt.cell.get_volume(), 2e-3

    def second(strain):
        def at(step):
            atoms = cell.copy()
            atoms.set_cell(cell.cell.array @ (np.eye(3) + step * np.array(strain)), scale_atoms=True)
            return energy(emt.calculator, atoms)

        return (at(h) - 2 * at(0) + at(-h)) / h**2 / volume * 160.21766

    c11 = second(np.diag([1.0, 0, 0]))
    assert found["C11"].value == pytest.approx(c11, rel=0.01)
    assert found["C12"].value == pytest.approx((second(np.diag([1.0, 1, 0])) - 2 * c11) / 2, rel=0.02)
    shear = second([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])
    assert found["C44"].value == pytest.approx(shear, rel=0.01)
    assert eos(emt).values["bulk_modulus"].value == pytest.approx(found["bulk_modulus"].value, rel=0.03)


def test_birch_murnaghan_finds_what_a_curve_was_made_of():
    v0, b, derivative = 12.0, 0.9, 4.7
    v = v0 * np.linspace(0.92, 1.08, 9)
    eta = (v0 / v) ** (2 / 3) - 1
    e = -3.5 + 9 * v0 * b / 16 * (eta**3 * derivative + eta**2 * (6 - 4 * (eta + 1)))
    assert birch_murnaghan(v, e) == pytest.approx((v0, -3.5, b, derivative), rel=1e-6)


def test_phonons_end_where_a_frozen_wave_does(emt):
    """The longitudinal wave at X of fcc moves planes against each other: its frequency from energies alone."""
    found = phonons(emt)
    a = float(emt.cell.cell.lengths()[0])
    h = 0.01

    def at(step):
        atoms = bulk("Cu", "fcc", a, cubic=True)
        atoms.positions[:, 0] += step * np.cos(2 * np.pi * atoms.positions[:, 0] / a)
        return energy(emt.calculator, atoms) / len(atoms)

    k = 2 * (at(h) - at(0)) / h**2
    terahertz = np.sqrt(k * 1.602176634e-19 * 1e20 / (63.546 * 1.66053907e-27)) / (2 * np.pi) / 1e12
    assert found.values["max_frequency"].value == pytest.approx(terahertz, rel=0.02)
    assert found.values["imaginary"].value == 0 and not found.warnings
    dos = found.curves["dos"]
    assert np.trapezoid(dos.y, dos.x) == pytest.approx(3, rel=0.02)
    assert 0.9 * 24.94 < found.values["heat_capacity_300K"].value < 24.94


def test_surfaces_are_ordered_and_need_no_thickness(emt):
    found = surfaces(emt).values
    assert found["111"].value < found["100"].value < found["110"].value
    thin = surfaces(Subject(emt.potential, "Cu", emt.settings.model_copy(update={"slab_thickness": 11.0}))).values
    assert thin["111"].value == pytest.approx(found["111"].value, rel=0.02)


def test_eam_of_copper_is_what_its_paper_says(eam):
    """Mishin et al., Phys. Rev. B 63, 224106 (2001), Tables III to V."""
    run = {name: measurements()[name].run(eam) for name in ("lattice", "cohesion", "vacancy", "stacking_fault")}
    eam.found["vacancy"] = run["vacancy"]
    faces, barrier = surfaces(eam).values, measurements()["migration"].run(eam).values["migration_energy"].value
    assert run["lattice"].values["a"].value == pytest.approx(3.615, abs=1e-3)
    assert run["cohesion"].values["cohesive_energy"].value == pytest.approx(3.54, abs=0.002)
    assert run["vacancy"].values["formation_energy"].value == pytest.approx(1.272, abs=0.02)
    assert barrier == pytest.approx(0.689, abs=0.02)
    assert [faces[name].value for name in ("111", "100", "110")] == pytest.approx([1.239, 1.345, 1.475], rel=0.01)
    assert run["stacking_fault"].values["intrinsic"].value == pytest.approx(44.4, rel=0.02)


def test_a_good_potential_is_verified(eam):
    assert verify(eam).grade["overall"] == "A"


@pytest.mark.parametrize("make, check", [(ScaledForces, "forces"), (Directed, "rotation"), (Directed, "virial"), (cut_off, "cutoff")])
def test_a_broken_potential_gets_a_bad_grade(make, check):
    found = verify(subject(make, cutoff=5.0))
    assert found.grade[check] in "DF" and found.grade["overall"] in "DF"
    assert found.grade["permutation"] == "A"


def test_no_free_atom_no_cohesive_energy(emt):
    with pytest.raises(Skip, match="no cohesive energy"):
        measurements()["cohesion"].run(emt)
    with pytest.raises(Skip, match="does not say"):
        measurements()["cohesion"].run(Subject(resolve("Cu/nep"), "Cu"))


def test_verdicts_follow_the_rules():
    found = measure(["Cu/eam"], measurements="lattice,eos,elastic,vacancy,surfaces,stacking_fault,verification,dimer")
    said = verdicts(next(iter(grouped(found).values())))
    known = ("crystal", "elasticity", "vacancies", "surfaces", "faults", "energy")
    assert said == dict.fromkeys(known, "yes") | dict.fromkeys(("vibrations", "expansion"), "?")
    for one in found["results"]:
        if one["measurement"] == "elastic":
            one["values"]["C44"]["value"] *= 1.5
    assert verdicts(next(iter(grouped(found).values())))["elasticity"] == "no"
    assert "| Cu | Cu-eam | A | yes | no |" in trust_table(found)


def test_expansion_is_what_the_entropy_of_two_volumes_says(emt):
    """α = (∂S/∂V) ÷ 3B at 300 K, a relation of thermodynamics, without any fit of free energies."""
    emt.found["eos"] = eos(emt)
    found = measurements()["quasi_harmonic"].run(emt)
    at = found.values["a_300K"].value / float(emt.cell.cell.lengths()[0]) - 1
    entropies, volumes = [], []
    for strain in (at - 0.003, at + 0.003):
        crystal = harmonic(emt, strain)
        crystal.run_mesh(40.0)
        crystal.run_thermal_properties(t_min=300, t_max=300, t_step=10, cutoff_frequency=0.05)
        entropies.append(float(crystal.thermal_properties.entropy[-1]) / 6.02214076e23)  # J/K per primitive cell
        volumes.append(float(np.linalg.det(crystal.primitive.cell)) * 1e-30)
    slope = np.diff(entropies)[0] / np.diff(volumes)[0]
    alpha = slope / (3 * found.values["bulk_modulus_300K"].value * 1e9) * 1e6
    assert found.values["expansion"].value == pytest.approx(alpha, rel=0.03)
