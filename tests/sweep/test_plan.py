"""sweep.yaml: defaults, refusals, the jobs and the hash."""

import pytest
import yaml

from metalff.errors import MetalffError
from metalff.sweep.expand import jobs
from metalff.sweep.plan import read_plan

from .conftest import PLAN, write_plan

NEGATIVE_CONTROLS = [
    ({"temperature": [300]}, 'unknown key temperature (did you mean "temperatures"?)'),
    ({"steps": {"equilibrat": 10}}, 'unknown key steps.equilibrat (did you mean "equilibrate"?)'),
    ({"element": "Qq"}, "Qq is no chemical symbol"),
    ({"lattice": "cubic"}, "lattice: Input should be 'fcc', 'bcc', 'hcp', 'diamond' or 'sc', not 'cubic'"),
    ({"temperatures": [300, -1]}, "temperatures: a temperature is above 0 and at most 10000 K, not -1"),
    ({"temperatures": [300, 300]}, "temperatures: a value is given twice"),
    ({"dump_interval": 25}, "dump_interval must be a multiple of thermo_interval"),
    ({"dump_interval": 1000}, "the trajectory would be empty"),
    ({"replicas": 0}, "replicas.0: Input should be greater than 0"),
]


@pytest.mark.parametrize("changes, message", NEGATIVE_CONTROLS)
def test_refuses(tmp_path, changes, message):
    with pytest.raises(MetalffError) as error:
        read_plan(write_plan(tmp_path, **changes))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_missing_key(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in PLAN.items() if key != "potentials"}))
    with pytest.raises(MetalffError, match="the key potentials is missing"):
        read_plan(path)


@pytest.mark.parametrize("text, message", [("a: [", "is not YAML"), ("- 1", "must hold keys and values")])
def test_foreign_file(tmp_path, text, message):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(MetalffError, match=message):
        read_plan(path)


def test_a_misspelt_key_comes_before_the_one_it_leaves_out(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("element: Cu\nlattice: fcc\na0: 3.6\nreplicas: 3\npotentials: [Cu/eam]\ntemperaturs: [300]\n")
    with pytest.raises(MetalffError, match='unknown key temperaturs .did you mean "temperatures"?'):
        read_plan(path)


def test_no_file(tmp_path):
    with pytest.raises(MetalffError, match="cannot be read: No such file"):
        read_plan(tmp_path / "sweep.yaml")


def test_jobs_have_stable_ids(tmp_path):
    plan = read_plan(write_plan(tmp_path, potentials=["Cu/eam", "Cu/meam"], temperatures=[300, 650.5]))
    assert [job.id for job in jobs(plan, tmp_path)] == [
        "Cu-eam/300K",
        "Cu-eam/650.5K",
        "Cu-meam/300K",
        "Cu-meam/650.5K",
    ]


def test_unknown_potential(tmp_path):
    with pytest.raises(MetalffError, match='no potential Cu/eem \\(did you mean "Cu/eam"\\?\\)'):
        jobs(read_plan(write_plan(tmp_path, potentials=["Cu/eem"])), tmp_path)


@pytest.mark.parametrize(
    "changes, same",
    [
        ({"out": "elsewhere"}, True),
        ({"workers": 1}, True),
        ({"ranks": 2}, True),
        ({"walltime": "1h"}, True),
        ({"temperatures": [300, 900]}, True),
        ({"potentials": ["Cu/eam", "Cu/meam"]}, True),
        ({"seed": 2}, False),
        ({"steps": {"equilibrate": 10}}, False),
        ({"ensembles": ["NVE"]}, False),
    ],
)
def test_a_job_is_known_by_its_own_inputs(tmp_path, changes, same):
    def first(**changes):
        return jobs(read_plan(write_plan(tmp_path, **changes)), tmp_path)[0]

    assert (first().hash == first(**changes).hash) == same


def test_another_potential_is_another_job(tmp_path):
    eam, meam = jobs(read_plan(write_plan(tmp_path, potentials=["Cu/eam", "Cu/meam"], temperatures=[300])), tmp_path)
    assert eam.hash != meam.hash
