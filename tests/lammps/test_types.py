"""Types, hybrids and changing atoms: pair_style mlff with the EAM oracle is eam/alloy wherever LAMMPS lets it stand."""

import re
from dataclasses import replace

import numpy as np
import pytest

from inputs import by_position, crystal, ends, same
from metalff.lammps import potentials_dir

EAM_FILE = "Cu_mishin1.eam.alloy"  # of the oracle
ALLOY_FILE = "CuNi.eam.alloy"
NVE = ["velocity all create 600 11 loop geom", "fix move all nve"]


@pytest.fixture(scope="module")
def alloy(second):
    return second


def pairs(lines, model, file=EAM_FILE):
    """The pair commands with {style} and {file} filled in: for eam/alloy, for mlff."""
    eam = [line.format(style="eam/alloy", file=potentials_dir() / file) for line in lines]
    return eam, [line.format(style="mlff", file=model) for line in lines]


LJ = "0.05 2.3 6.0"
NULLS = {
    "NULL with lj": [
        "pair_style hybrid {style} lj/cut 6.0",
        "pair_coeff * * {style} {file} Cu NULL",
        f"pair_coeff 1 2 lj/cut {LJ}",
        f"pair_coeff 2 2 lj/cut {LJ}",
    ],
    "lj named first": [
        "pair_style hybrid lj/cut 6.0 {style}",
        f"pair_coeff 1 2 lj/cut {LJ}",
        f"pair_coeff 2 2 lj/cut {LJ}",
        "pair_coeff * * {style} {file} Cu NULL",
    ],
    "the first type is NULL": [
        "pair_style hybrid {style} lj/cut 6.0",
        "pair_coeff * * {style} {file} NULL Cu",
        f"pair_coeff 1 * lj/cut {LJ}",
    ],
    "NULL with zbl": [
        "pair_style hybrid {style} zbl 2.0 4.0",
        "pair_coeff * * {style} {file} Cu NULL",
        "pair_coeff 1 2 zbl 29 28",
        "pair_coeff 2 2 zbl 28 28",
    ],
    "the other cutoff is longer": [
        "pair_style hybrid {style} lj/cut 9.0",
        "pair_coeff * * {style} {file} Cu NULL",
        "pair_coeff * 2 lj/cut 0.05 2.3 9.0",
    ],
    "lj over NULL": [
        "pair_style hybrid/overlay {style} lj/cut 6.0",
        "pair_coeff * * {style} {file} Cu NULL",
        f"pair_coeff * * lj/cut {LJ}",
    ],
    "two types on one element": ["pair_style {style}", "pair_coeff * * {file} Cu Cu"],
    "two types on one element under lj": [
        "pair_style hybrid/overlay lj/cut 6.0 {style}",
        "pair_coeff * * {style} {file} Cu Cu",
        f"pair_coeff 2 2 lj/cut {LJ}",
    ],
}


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NULLS)
def test_types_of_one_element(name, ranks, oracle, tmp_path):
    box = crystal(types=2)
    eam, ours = pairs(NULLS[name], oracle)
    run = [*NVE, "run 10"] if ranks == 2 else ["run 0"]
    reference = ends(tmp_path / "eam", box, eam, run, ranks)
    assert set(reference.types) == {1, 2}
    same(ends(tmp_path / "ours", box, ours, run, ranks), reference, atoms=108, moved=ranks == 2)


@pytest.mark.parametrize("ghosts", ["exchange", "wide"])
@pytest.mark.parametrize("name", ["NULL with lj", "the first type is NULL", "lj over NULL"])
def test_messages_past_a_skipped_type(name, ghosts, bundled_model, tmp_path):
    """Message passing under hybrid: 2 and 4 ranks give the numbers of one."""
    box = crystal(types=2)
    _, pair = pairs(NULLS[name], bundled_model)
    reference = by_position(ends(tmp_path / "one", box, pair))
    pair = [line.replace("mlff lj", f"mlff ghosts {ghosts} lj") for line in pair]
    for ranks in (2, 4):
        same(by_position(ends(tmp_path / "several", box, pair, ranks=ranks)), reference)


def test_one_type_is_seen_by_nobody(oracle, tmp_path):
    """NULL for every type but one that has no atoms: zero, not an error."""
    box = [*crystal(types=2), "set group all type 2"]
    lines = [
        "pair_style hybrid {style} lj/cut 6.0",
        "pair_coeff * * {style} {file} Cu NULL",
        f"pair_coeff * 2 lj/cut {LJ}",
    ]
    eam, ours = pairs(lines, oracle)
    for ranks in (1, 2):
        same(ends(tmp_path / "ours", box, ours, ranks=ranks), ends(tmp_path / "eam", box, eam, ranks=ranks))


MODELS = {
    "two models side by side": [
        "pair_style hybrid {style} {style} lj/cut 6.0",
        "pair_coeff * * {style} 1 {file} Cu NULL",
        "pair_coeff * * {style} 2 {file} NULL Cu",
        f"pair_coeff 1 2 lj/cut {LJ}",
    ],
    "two models on top of each other": [
        "pair_style hybrid/overlay {style} {style}",
        "pair_coeff * * {style} 1 {file} Cu Cu",
        "pair_coeff * * {style} 2 {file} Cu NULL",
    ],
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_two_models(name, ranks, oracle, tmp_path):
    box = crystal(types=2)
    eam, ours = pairs(MODELS[name], oracle)
    same(ends(tmp_path / "ours", box, ours, ranks=ranks), ends(tmp_path / "eam", box, eam, ranks=ranks))


ZBL = "zbl 1.0 2.0"
CLOSE = "create_atoms 1 single 2.6 2.6 1.0 units box"  # within ZBL's reach of its neighbours
SUMS = {  # pair lines, factor of the model, factor of the other
    "zbl after": ([f"pair_style hybrid/overlay mlff {ZBL}"], 1.0, 1.0),
    "zbl before": ([f"pair_style hybrid/overlay {ZBL} mlff"], 1.0, 1.0),
    "scaled": ([f"pair_style hybrid/scaled 0.7 mlff 0.25 {ZBL}"], 0.7, 0.25),
    "scaled, zbl before": ([f"pair_style hybrid/scaled 0.25 {ZBL} 0.7 mlff"], 0.7, 0.25),
    "scaled by variables": (
        ["variable a equal 0.6", "variable b equal 2*v_a", f"pair_style hybrid/scaled v_a mlff v_b {ZBL}"],
        0.6,
        1.2,
    ),
    "factor zero": ([f"pair_style hybrid/scaled 0.0 mlff 1.0 {ZBL}"], 0.0, 1.0),
}


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", SUMS)
def test_sum_of_the_parts_run_apart(name, ranks, oracle, eam_commands, tmp_path):
    box = [*crystal(), CLOSE]
    style, a, b = SUMS[name]
    zbl = ends(tmp_path / "zbl", box, [f"pair_style {ZBL}", "pair_coeff 1 1 29 29"], ranks=ranks)
    eam = ends(tmp_path / "eam", box, eam_commands, ranks=ranks)
    assert np.abs(zbl.forces).max() > 1 and np.abs(eam.forces).max() > 1, "both parts must matter"
    pair = [*style, f"pair_coeff * * mlff {oracle} Cu", "pair_coeff 1 1 zbl 29 29"]
    ours = ends(tmp_path / "ours", box, pair, ranks=ranks)
    quantities = ("energy", "stress", "forces", "energies")
    expected = replace(eam, **{q: a * getattr(eam, q) + b * getattr(zbl, q) for q in quantities})
    same(ours, expected, tolerance=1e-8)  # ZBL's forces are some hundred eV/Å


ELEMENTS = {  # boxes' elements by LAMMPS type, of a model of Cu and Ni
    "both": "Cu Ni",
    "both, the other way": "Ni Cu",
    "fewer types than elements": "Ni",
    "three types": "Ni Cu Ni",
    "a type of no atom": "Cu Ni Cu Ni",
}


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", ELEMENTS)
def test_types_of_an_alloy(name, ranks, alloy, tmp_path):
    elements = ELEMENTS[name]
    count = len(elements.split())
    box = [*crystal(types=count), *(["set group all type/fraction 3 0.2 78"] if count == 3 else [])]
    eam, ours = pairs(["pair_style {style}", f"pair_coeff * * {{file}} {elements}"], alloy, ALLOY_FILE)
    reference = ends(tmp_path / "eam", box, eam, ranks=ranks)
    same(ends(tmp_path / "ours", box, ours, ranks=ranks), reference)


def test_the_elements_of_an_alloy_are_told_apart(alloy, tmp_path):
    """The control of the test above: the wrong order of elements is far off."""
    box = crystal(types=2)
    energies = [ends(tmp_path, box, ["pair_style mlff", f"pair_coeff * * {alloy} {e}"]).energy for e in ("Cu Ni", "Ni Cu")]
    assert abs(energies[0] - energies[1]) > 1


OPEN = ["change_box all boundary p p m z final -6 40 units box"]
CHANGES = {  # types, commands, atoms at the end
    "part of the atoms moves": (
        1,
        ["region half block INF INF INF INF 0 5.0 units box", "group half region half", "group rest subtract all half"]
        + ["velocity half create 900 11 loop geom", "fix move half nve", "fix hold rest setforce 0 0 0", "run 30"],
        108,
    ),
    "atoms are deposited": (
        1,
        [*OPEN, "velocity all create 300 11 loop geom"]
        + ["region drop block 1 10 1 10 22 26 units box", "fix move all nve"]
        + ["fix drop all deposit 4 1 5 3313 region drop near 2.0 vz -30 -30 units box", "run 30"],
        112,
    ),
    "atoms are deposited of a second type": (
        2,
        [*OPEN, "velocity all create 300 11 loop geom"]
        + ["region drop block 1 10 1 10 22 26 units box", "fix move all nve"]
        + ["fix drop all deposit 4 2 5 3313 region drop near 2.0 vz -30 -30 units box", "run 30"],
        112,
    ),
    "atoms are deleted between runs": (
        1,
        [*NVE, "run 10", "group some id 3 17 40:45", "delete_atoms group some compress no", "run 20"],
        100,
    ),
    "atoms are deleted and ids closed up": (
        1,
        [*NVE, "run 10", "group some id 3 17 40:45", "delete_atoms group some compress yes", "run 20"],
        100,
    ),
    "atoms evaporate": (
        1,
        [*NVE, "region corner block 0 4 0 4 0 4 units box", "fix gone all evaporate 5 2 corner 991", "run 22"],
        None,
    ),
    "atoms are added between runs": (
        1,
        [*NVE, "run 10", "create_atoms 1 single 1.9 1.8 0.1 units box", "run 5"],
        109,
    ),
    "ids with gaps": (1, [*NVE, "group some id 3 17 40:45", "delete_atoms group some compress no", "run 20"], 100),
    "types change": (2, [*NVE, "run 5", "group some id 1:108:3", "set group some type 2", "run 10"], 108),
    "atoms swap": (2, [*NVE, "fix swap all atom/swap 5 8 1121 900 ke no types 1 2", "run 21"], 108),
}


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CHANGES)
def test_atoms_that_change(name, ranks, oracle, alloy, tmp_path):
    types, commands, atoms = CHANGES[name]
    model, file = (oracle, EAM_FILE) if types == 1 else (alloy, ALLOY_FILE)
    eam, ours = pairs(["pair_style {style}", "pair_coeff * * {file} Cu" + " Ni" * (types - 1)], model, file)
    box = crystal(types=types)
    reference = ends(tmp_path / "eam", box, eam, commands, ranks)
    if "ids" in name and "closed" not in name:
        assert reference.ids.max() > len(reference.ids), "ids are 1..N"
    same(ends(tmp_path / "ours", box, ours, commands, ranks), reference, atoms=atoms, moved=True)


def test_swaps_are_accepted(alloy, tmp_path):
    """The control of 'atoms swap': the types do change."""
    types, commands, _ = CHANGES["atoms swap"]
    pair = ["pair_style mlff", f"pair_coeff * * {alloy} Cu Ni"]
    told = [*commands, 'print "SWAPS $(f_swap[1]) $(f_swap[2])"']
    text = ends(tmp_path, crystal(types=types), pair, told).text
    tried, accepted = (float(w) for w in next(t for t in text.splitlines() if t.startswith("SWAPS")).split()[1:])
    assert tried > accepted > 0


@pytest.mark.parametrize("ranks", [1, 2])
def test_atom_map(ranks, oracle, eam_commands, tmp_path):
    """Neither plain atoms, which have no map, nor those with one are treated by id."""
    head, *rest = crystal()
    box = [head, rest[0], "atom_modify map yes", *rest[1:]]
    reference = ends(tmp_path / "eam", box, eam_commands, [*NVE, "run 20"], ranks)
    ours = ends(tmp_path / "ours", box, ["pair_style mlff", f"pair_coeff * * {oracle} Cu"], [*NVE, "run 20"], ranks)
    same(ours, reference, moved=True)


SPECIAL = {
    "weakened": "special_bonds lj 0.5 0.5 0.5 coul 0.5 0.5 0.5",
    "nearly off": "special_bonds lj 1e-12 1e-12 1e-12 coul 1e-12 1e-12 1e-12",
    "on": "special_bonds lj 1 1 1 coul 1 1 1",
}


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SPECIAL)
def test_bonded_atoms_see_each_other(name, ranks, oracle, eam_commands, tmp_path):
    """Weights of special bonds are no business of a many-body model: eam/alloy without bonds is the reference."""
    extra = "bond/types 1 extra/bond/per/atom 12 extra/special/per/atom 90"
    bonds = ["bond_style zero nocoeff", "bond_coeff *", "create_bonds many all all 1 1.0 2.9", SPECIAL[name]]
    pair = ["pair_style mlff", f"pair_coeff * * {oracle} Cu", "mass * 63.546", "comm_modify cutoff 9"]
    reference = ends(tmp_path / "eam", crystal(), eam_commands, ranks=ranks)
    ours = ends(tmp_path / "ours", crystal(style="bond", extra=extra), [*pair, *bonds], ranks=ranks)
    (made,) = re.findall(r"Added (\d+) bonds", ours.text)
    assert int(made) > 300
    same(ours, reference)
