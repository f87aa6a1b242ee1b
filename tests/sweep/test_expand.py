"""Plans of many metals: which jobs they are, what is refused and what is skipped."""

import pytest
import yaml

from metalff.data.metals import REPEATS, metals
from metalff.errors import MetalffError
from metalff.sweep.elements import groups, members
from metalff.sweep.expand import expand, jobs
from metalff.sweep.plan import BASIS, Plan, block, read_plan
from metalff.sweep.reference import reference

SMALL = {"elements": ["Cu"], "potentials": ["Cu/eam"], "temperatures": [300]}


def write(folder, plan: dict):
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def ids(tmp_path, **changes) -> list[str]:
    plan = {key: value for key, value in (SMALL | changes).items() if value is not None}
    return [job.id for job in jobs(read_plan(write(tmp_path, plan)), tmp_path)]


def test_groups():
    assert members(["noble"]) == ["Cu", "Ag", "Au"] and members(["alkali", "Li", "W"]) == ["Li", "Na", "K", "Rb", "Cs", "W"]
    assert set(members(["fcc", "bcc", "hcp"])) == set(members(["all"])) == set(metals())
    for name, found in groups().items():
        assert found and set(found) <= set(metals()), name


TEMPERATURES = [
    ([300, "600 K", "0.5 Tm"], ["300K", "600K", "679K"]),
    ("0.25Tm", ["340K"]),
    ({"from": "zuo2020-Cu"}, ["300K", "1000K", "3000K"]),
    ([679, "0.5 Tm"], ["679K"]),
]


@pytest.mark.parametrize("given, expected", TEMPERATURES)
def test_temperatures(given, expected, tmp_path):
    found = [name.rpartition("/")[2] for name in ids(tmp_path, temperatures=given)]
    assert set(expected) <= set(found) if isinstance(given, dict) else found == expected


def test_names_of_jobs(tmp_path):
    """The first cell, seed and ensemble have no suffix, so a longer list keeps the names of a shorter one."""
    assert ids(tmp_path, seeds=[5, 6], ensembles=["NVT", "NVE"], cells=[{"replicas": 2}, 108]) == [
        f"Cu/Cu-eam/300K{ensemble}{cell}{seed}" for ensemble in ("", "-NVE") for cell in ("", "-3x3x3") for seed in ("", "-s6")
    ]
    more = {
        "ramps": [{"from": 300, "to": "1.2 Tm", "rate": 50}, {"from": 300, "to": "1.2 Tm", "rate": 500}],
        "strains": [{"to": -0.05}, {"direction": "volume", "to": 0.02, "temperature": "0.5 Tm"}],
        "coexistence": True,
        "properties": "cheap",
        "data": "zuo2020-{element}",
    }
    assert ids(tmp_path, temperatures=None, **more) == [
        f"Cu/Cu-eam/{name}"
        for name in (
            "ramp-300K-1630K",
            "ramp-300K-1630K-500Kps",
            "strain-x--0.05-300K",
            "strain-volume-0.02-679K",
            "coexistence-1358K",
            "properties",
            "errors",
        )
    ]


def test_what_is_not_said_is_that_of_the_metal(tmp_path):
    found = jobs(read_plan(write(tmp_path, SMALL | {"elements": ["Al", "Mg", "W"], "potentials": ["{element}/eam"]})), tmp_path)
    for job in found:
        metal = metals()[job.element]
        assert (job.variables["lattice"], float(job.variables["a0"])) == (metal.crystal, metal.a)
        assert tuple(int(job.variables[name]) for name in ("nx", "ny", "nz")) == REPEATS[metal.crystal]
        assert job.atoms == len(metal.supercell())
    steps = {job.element: float(job.variables["timestep"]) for job in found}
    assert steps["Mg"] < steps["Al"] < steps["W"] == 2.0


@pytest.mark.parametrize("lattice", BASIS)
@pytest.mark.parametrize("atoms", [30, 256, 4000])
def test_a_block_of_about_so_many_atoms(lattice, atoms):
    cell = block(lattice, atoms)
    assert BASIS[lattice] * cell[0] * cell[1] * cell[2] == pytest.approx(atoms, rel=0.5)
    column = block(lattice, 4000, slender=4)
    high = (8 / 3) ** 0.5 if lattice == "hcp" else 1.0
    assert high * column[2] / column[0] == pytest.approx(4, rel=0.25)


def test_a_potential_that_lacks_a_metal_is_skipped_and_listed(tmp_path):
    plan = {"elements": ["Cu", "Na", "Ni"], "potentials": ["{element}/poly", "Cu/meam", "Ni/eam"], "temperatures": [300], "data": "zuo2020-{element}"}
    found, skipped = expand(read_plan(write(tmp_path, plan)), tmp_path)
    assert {job.id.rpartition("/")[0] for job in found} == {"Cu/Cu-poly", "Cu/Cu-meam", "Ni/Ni-poly", "Ni/Ni-eam"}
    assert [(one.element, one.potential) for one in skipped] == [
        ("Cu", "Ni/eam"),
        ("Na", "{element}/poly"),
        ("Na", "Cu/meam"),
        ("Na", "Ni/eam"),
        ("Ni", "Cu/meam"),
    ]
    assert all(one.reason for one in skipped)


def test_data_that_a_metal_lacks(tmp_path):
    plan = SMALL | {"elements": ["Cu", "Ni"], "potentials": ["{element}/eam"], "data": {"Cu": "zuo2020-Cu", "Ni": "zuo2020-Mo"}}
    found, skipped = expand(read_plan(write(tmp_path, plan)), tmp_path)
    assert [job.id for job in found] == ["Cu/Cu-eam/300K", "Cu/Cu-eam/errors", "Ni/Ni-eam/300K"]
    assert skipped[0].reason == "zuo2020-Mo is of Mo and has nothing of Ni; correct data:"


def test_reference_of_another_density(tmp_path):
    from dataclasses import replace

    from metalff.data import read, write_extxyz

    frames = read("zuo2020-Cu[frames=0:2]").frames
    write_extxyz([replace(frame, positions=frame.positions * 1.3, cell=frame.cell * 1.3) for frame in frames], tmp_path / "Cu.extxyz")
    with pytest.raises(MetalffError, match="Å³, in fcc Cu it is 11.8 Å³; the reference is of another lattice or in other units"):
        reference(str(tmp_path / "Cu.extxyz"), "Cu")
    with pytest.raises(MetalffError, match="is of Cu, not of Ni alone"):
        reference("zuo2020-Cu", "Ni")


NEGATIVE_CONTROLS = [
    ({"elements": ["Cuu"]}, 'elements: Cuu is no metal and no group of metals (did you mean "Cu"?); groups are all, fcc'),
    ({"elements": ["alkalis"]}, '(did you mean "alkali"?)'),
    ({"elements": ["He"]}, "elements: He is not in the table of metals"),
    ({"element": "Cu"}, "give element: for one metal or elements: for several"),
    ({"a0": 3.6}, "a0 is that of each metal (docs/sweep.md); with elements: leave it out"),
    ({"temperatures": [0]}, "temperatures: a temperature is above 0 and at most 10000 K, not 0"),
    ({"temperatures": ["-3 K"]}, "'-3 K' is no temperature; give kelvin, such as 300, or a part of the melting temperature"),
    ({"temperatures": [50000]}, "at most 10000 K, not 50000"),
    ({"temperatures": ["0.5 Tn"]}, "'0.5 Tn' is no temperature"),
    ({"ramps": [{"from": 300, "to": 600, "rat": 1}]}, 'unknown key ramps.0.rat (did you mean "rate"?)'),
    ({"ramps": [{"from": 300, "to": 600, "rate": 0}]}, "ramps.0.rate: Input should be greater than 0"),
    ({"strains": [{"to": 0}]}, "strains.0: a strain of 0 is none"),
    ({"strains": [{"direction": "a"}]}, "strains.0.direction: Input should be 'x', 'y', 'z', 'volume' or 'xy'"),
    ({"coexistence": {"atoms": 3}}, "coexistence.atoms: Input should be greater than or equal to 200"),
    ({"cells": [{"atoms": 100, "replicas": 3}]}, "give replicas, such as [4, 4, 4], or atoms, such as 256"),
    ({"replicas": 3, "cells": [100]}, "give replicas: or cells:, not both"),
    ({"seed": 1, "seeds": [1, 2]}, "give seed: or seeds:, not both"),
    ({"properties": ["elastik"]}, 'no measurement elastik (did you mean "elastic"?)'),
    ({"settings": {"forse": 1}}, 'no setting forse (did you mean "force"?)'),
    ({"executor": "slurm"}, "executor: Input should be 'local' or 'parsl', not 'slurm'"),
    ({"walltime": "soon"}, "is not a duration"),
    ({"temperatures": []}, "nothing to run; give temperatures, ramps, strains, coexistence, properties or data"),
    ({"parsl": {"provider": "sge"}}, "parsl.provider: Input should be 'local', 'slurm', 'pbspro' or 'kubernetes'"),
]


@pytest.mark.parametrize("changes, message", NEGATIVE_CONTROLS)
def test_refuses(tmp_path, changes, message):
    with pytest.raises(MetalffError) as error:
        read_plan(write(tmp_path, SMALL | changes))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"potentials": ["Cu/eem"]}, 'no potential Cu/eem (did you mean "Cu/eam"?)'),
        ({"potentials": ["{element}/eem"]}, "{element}/eem: none of Cu has such a potential"),
        ({"potentials": ["Ni/eam"]}, "nothing is left to run (Cu: Ni/eam has no parameters for Cu"),
        ({"temperatures": ["9 Tm"]}, "9 Tm of Cu is 12222 K"),
        ({"temperatures": {"from": "nosuchset"}}, "nosuchset is neither a file nor a bundled set"),
        ({"ramps": [{"from": 679, "to": "0.5 Tm", "rate": 1}]}, "a ramp of Cu from 679 K to 679 K is none"),
        ({"engine": "lammps", "potentials": ["Cu/tb"]}, "it runs in ASE only; engine: auto or ase runs it there"),
    ],
)
def test_refuses_what_the_metal_decides(tmp_path, changes, message):
    with pytest.raises(MetalffError) as error:
        jobs(read_plan(write(tmp_path, SMALL | changes)), tmp_path)
    assert message in str(error.value)


def test_a_lattice_constant_far_from_the_metals(tmp_path):
    one = {"element": "Cu", "lattice": "fcc", "potentials": ["Cu/eam"], "temperatures": [300]}
    with pytest.raises(MetalffError, match=r"a0 = 5 Å puts neighbours 39 % farther apart than in Cu \(fcc, 3.61 Å\); correct a0 or lattice"):
        read_plan(write(tmp_path, one | {"a0": 5.0}))
    with pytest.warns(UserWarning, match="a0 = 4 Å puts neighbours 11 % farther apart"):
        read_plan(write(tmp_path, one | {"a0": 4.0}))


def test_one_metal_needs_no_more_than_its_name(tmp_path):
    plan = read_plan(write(tmp_path, {"element": "Mo", "potentials": ["Mo/eam"], "temperatures": [300]}))
    (job,) = jobs(plan, tmp_path)
    assert job.id == "Mo-eam/300K" and job.variables["lattice"] == "bcc" and job.variables["timestep"] == "1"


def test_every_key_is_in_the_docs():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/sweep.md").read_text()
    assert [name for name in Plan.model_fields if f"`{name}`" not in text] == []
