"""The mlearn reader on entries made here in the source's layout."""

import gzip
import json

import numpy as np
import pytest

from metalff import data
from metalff.data.mlearn import group_of, temperature_of
from metalff.errors import MetalffError

KBAR = 1 / 1602.176634


def entry(element="Cu", **outputs):
    sites = [{"species": [{"element": element, "occu": 1}], "xyz": [0.1, 0.2, 0.3 + k]} for k in range(2)]
    return {
        "structure": {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 1, 4]]}, "sites": sites},
        "outputs": {"energy": -7.5, "forces": [[0, 0, 1], [0, 0, -1]], "virial_stress": [1, 2, 3, 4, 5, 6], **outputs},
        "element": element,
        "group": "AIMD-NVT",
        "tag": "train",
        "description": "Snapshot 6 of 40 of AIMD NVT simulation at 1000 K",
    }


def saved(tmp_path, content):
    path = tmp_path / "some.json.gz"
    path.write_bytes(gzip.compress((content if isinstance(content, str) else json.dumps(content)).encode()))
    return path


def test_fields(tmp_path):
    frame = data.read(saved(tmp_path, [entry()])).frames[0]
    assert frame.energy == -7.5 and frame.temperature == 1000.0 and frame.group == "aimd"
    assert frame.cell[2].tolist() == [0, 1, 4] and frame.positions[1].tolist() == [0.1, 0.2, 1.3]
    assert frame.pbc.all() and frame.elements == ["Cu"]


STRESS = {
    "Cu": [[1, 4, 5], [4, 2, 6], [5, 6, 3]],
    "Ni": [[1, 4, 5], [4, 2, 6], [5, 6, 3]],
    "Mo": [[1, 4, 5], [4, 2, 6], [5, 6, 3]],
    "Li": [[1, 4, 6], [4, 2, 5], [6, 5, 3]],
}


@pytest.mark.parametrize("element", STRESS)
def test_stress(element, tmp_path):
    frame = data.read(saved(tmp_path, [entry(element)])).frames[0]
    assert np.allclose(frame.stress, -KBAR * np.array(STRESS[element]), rtol=1e-12)


def test_no_stress_where_the_order_was_not_checked(tmp_path):
    assert data.read(saved(tmp_path, [entry("Ge")])).frames[0].stress is None


DESCRIPTIONS = {
    "Snapshot 6 of 20 of Vacancy AIMD NVT simulation at 300 K": ("Vacancy", "vacancy", 300.0),
    "Snapshot 2 of 9 of AIMD NVT simulation for expanded structure at 680 K": ("AIMD-NVT", "aimd", 680.0),
    "Cu_surface_mp/Cu_mp-30_(2_1_0)": ("Surface", "surface", None),
    "Cu 3x3x3 cell, mode 6, strain 0.0700": ("Elastic", "strain", None),
    "Ground state crystal": ("Elastic", "ground", None),
    "Mo 3x3x3 cell relaxed": ("Elastic", "ground", None),
    "something new": ("Melt", "melt", None),
}


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_labels(description):
    source, group, temperature = DESCRIPTIONS[description]
    assert group_of(source, description) == group
    assert temperature_of(description) == temperature


NEGATIVE_CONTROLS = {
    "truncated": ('[{"structure": {', "not valid JSON"),
    "not a list": ('{"a": 1}', "expected a list of mlearn entries"),
    "no forces": (
        [entry(), {**entry(), "outputs": {"energy": 1.0}}],
        "entry 1: not an mlearn entry with structure, energy and forces",
    ),
    "short forces": ([entry(forces=[[0, 0, 0]])], "entry 0: not an mlearn entry"),
    "NaN": ([entry(energy=float("nan"))], "entry 0: energy is not a finite number"),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case, tmp_path):
    content, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        data.read(saved(tmp_path, content))
