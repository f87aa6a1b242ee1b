"""Atomic cluster expansions of pacemaker: ML-PACE's numbers, and files that are refused in a sentence."""

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import MLFFCalculator
from metalff.artifact import open_artifact
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.poly import pace
from metalff.poly.reference import Reference, polynomial
from poly_potentials import YACE, differences, numbers

ELEMENTS = ["Al", "Ni"]


@pytest.fixture(scope="module")
def potential():
    return pace.read(YACE)


@pytest.fixture(scope="module")
def converted(potential):
    return potential.polynomial()


def test_the_numbers_of_ml_pace(potential, converted):
    """By the formulas and by the programs; the splines of ML-PACE, 0.0001 Å wide, end at some 1e-11 of the forces, 123 eV/Å."""
    cases = numbers("AlNi.yace")
    exact = polynomial(converted, lambda centre, neighbour, r: potential.radial(centre, neighbour, r)[:2])
    for atom in (potential.atom, exact):
        energy, forces, stress = differences(Reference(ELEMENTS, potential.cutoff, atom), cases)
        assert energy < 1e-11 and forces < 5e-9 and stress < 1e-9
    energy, forces, stress = differences(Reference(ELEMENTS, potential.cutoff, polynomial(converted)), cases)
    assert energy < 1e-9 and forces < 1e-7 and stress < 1e-8


def test_deployed(tmp_path):
    """The engine gives ML-PACE's numbers, too, of two elements and two densities."""
    output = tmp_path / "a.mlff"
    run = CliRunner().invoke(build_app(), ["deploy", "pace", str(YACE), "-o", str(output), "--licence", "CC0"])
    assert run.exit_code == 0 and "a.mlff: pace, Al Ni" in run.output
    energy, forces, stress = differences(MLFFCalculator(output), numbers("AlNi.yace"))
    assert energy < 1e-9 and forces < 1e-7 and stress < 1e-8
    manifest = open_artifact(output).manifest
    assert (manifest.family, manifest.r_max, manifest.licence) == ("pace", 5.0, "CC0") and "Drautz" in manifest.citation
    run = CliRunner().invoke(build_app(), ["deploy", "mtp", str(YACE), "--elements", "Al,Ni", "-o", str(output)])
    assert "is a model of pace, not of mtp: run metalff deploy pace" in str(run.exception)


def test_kinks_are_told(tmp_path):
    """Where the last cutoff of ChebExpCos begins among the pairs of a self-test, the record says how closely tables follow."""
    text = YACE.read_text().replace("dcut: 0.20000000000000001", "dcut: 1.5")
    (tmp_path / "a.yace").write_text(text)
    run = CliRunner().invoke(build_app(), ["deploy", "pace", str(tmp_path / "a.yace"), "-o", str(tmp_path / "a.mlff")])
    assert run.exit_code == 0
    assert (
        "with radial functions as tables: forces of the self-test differ by up to" in open_artifact(tmp_path / "a.mlff").manifest.training.reference
    )


def test_programs_are_short(potential, converted):
    """Complex products of half the combinations of m, shared."""
    for functions, program in zip(potential.functions, converted.programs, strict=True):
        combinations = sum(len(function.ms) * len(function.factors) for function in functions)
        assert len(program.products) + len(program.terms) < 0.6 * combinations
    assert [program.weights.shape[1] for program in converted.programs] == [2, 1]  # the core of nickel joins its one density, which is linear


def test_linear_densities_are_one(potential):
    """The energy of linear embeddings does not depend on how many there are."""
    two = [np.array([[0, 0.25, 1.0], [0, 0.75, 1.0]]), potential.embeddings[1]]
    doubled = [[pace.Function(f.factors, f.ms, f.weights[:, :1] * [1.0, 1.0]) for f in potential.functions[0]], potential.functions[1]]
    one = [[pace.Function(f.factors, f.ms, f.weights[:, :1]) for f in potential.functions[0]], potential.functions[1]]
    vec, kinds = np.random.default_rng(1).normal(0, 2, (9, 3)), np.arange(9) % 2
    energies = []
    for embeddings, functions in ((two, doubled), ([np.array([[0, 1.0, 1.0]]), two[1]], one)):
        made = pace.Pace(ELEMENTS, potential.shift, embeddings, potential.bonds, functions)
        program = made.polynomial()
        assert program.programs[0].weights.shape[1] == 1
        energies += [made.atom(0, vec, kinds)[0], polynomial(program)(0, vec, kinds)[0]]
    assert np.ptp(energies) < 1e-9 * abs(energies[0])


@pytest.mark.parametrize("base", pace.BASES)
def test_derivatives_of_radial_functions(base):
    """First and second ones, by differences; the repulsion, too."""
    bond = pace.Bond(base, 2.5, 5, np.zeros((0, 0, 0)), 5.0, 0.5, 2.0, 0.7, 30.0, 1.1)
    r, h = np.linspace(0.7, 4.99, 97), 1e-5
    for functions in (bond.basis, lambda r: bond.core(r)[:, :, None]):
        before, at, after = functions(r - h), functions(r), functions(r + h)
        for order in (0, 1):
            found = (after[order] - before[order]) / (2 * h)
            assert np.abs(found - at[order + 1]).max() < 2e-6 * max(1.0, np.abs(at[order + 1]).max())
    assert not bond.basis(np.array([5.0, 6.0]))[:2].any() and not bond.core(np.array([5.0, 6.0]))[:2].any()
    assert not bond.basis(np.array([1.2]))[:2].any() and not bond.core(np.array([2.1])).any()


TEXT = YACE.read_text()
FUNCTION = next(line for line in TEXT.splitlines() if "mu0: 0, rank: 3" in line and "ls: [0, 0, 0]" not in line)
BOND = TEXT[TEXT.index("  [1, 1]: ") : TEXT.index("functions:")]


def other(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


REFUSED = {
    "zbl": (
        TEXT.replace("inner_cutoff_type: distance", "inner_cutoff_type: zbl"),
        "bond [0, 0]: the core repulsion 'zbl' switches by the nearest neighbour",
    ),
    "ChebLinear": (other("SBessel", "ChebLinear"), "bond [0, 0]: the radial functions ChebLinear do not go to zero at the cutoff"),
    "ACE.jl": (other("SBessel", "ACE.jl.base"), "bond [0, 0]: radial functions of ACE.jl are not covered"),
    "another basis": (other("SBessel", "TEST_x"), "bond [0, 0]: the radial functions TEST_x are not covered; ChebExpCos"),
    "embedding": (other("npoti: FinnisSinclairShiftedScaled", "npoti: Tanh"), "embedding 0: the embedding 'Tanh' is not covered"),
    "switched off": (
        other("npoti: FinnisSinclair, rho_core_cutoff: 100000", "npoti: FinnisSinclair, rho_core_cutoff: 300"),
        "embedding 1: the core repulsion switches the other functions off from 50 eV on",
    ),
    "a bond is missing": (TEXT.replace(BOND, ""), "bonds has none of [1, 1]"),
    "not for each": (other("\n  1:\n", "\n  2:\n"), "functions is not given for each of the 2 elements"),
    "element": (other("[Al, Ni]", "[Al, Xy]"), "'Xy' is no chemical element"),
    "twice an element": (other("[Al, Ni]", "[Al, Al]"), "elements is no list of different elements"),
    "no numbers": (other("E0: [0, 0]", "E0: [0, a]"), "E0 holds something other than numbers"),
    "shape": (other("E0: [0, 0]", "E0: [0]"), "E0 has the shape [1] where [2] belongs"),
    "not finite": (other("E0: [0, 0]", "E0: [0, .inf]"), "E0 holds a number that is not finite"),
    "cutoff": (other("rcut: 5,", "rcut: -5,"), "bond [0, 0]: rcut is '-5', not a number from 0.1 to 100"),
    "order": (TEXT.replace(FUNCTION, FUNCTION.replace("ns: [1", "ns: [9")), "its bond has no radial function n = 9"),
    "m": (TEXT.replace(FUNCTION, FUNCTION.replace("ms_combs: [0", "ms_combs: [7")), "an m is larger than its l"),
    "fewer": (TEXT.replace(FUNCTION, FUNCTION.replace("ctildes: [", "ctildes: [1.0, ")), "ctildes has the shape"),
    "rank": (TEXT.replace(FUNCTION, FUNCTION.replace("rank: 3", "rank: 9")), "rank is '9', not a whole number from 0 to 8"),
    "no invariant": (
        TEXT.replace(FUNCTION, FUNCTION.replace("ctildes: [", "ctildes: [9.0e+3, 0, ").rsplit(", ", 2)[0] + "]}"),
        "change when its neighbours are turned",
    ),
    "twice": (other("E0: [0, 0]", "E0: [0, 0]\nE0: [1, 1]"), "is not YAML, so it is not a .yace file of pacemaker: a key is given twice"),
    "a bond twice": (TEXT.replace(BOND, BOND + BOND), "a key is given twice"),
    "no YAML": ("a: b: c", "is not YAML, so it is not a .yace file of pacemaker"),
    "a list": ("- 1", "holds no keys with values"),
    "something else": ("a: 1", "elements is missing, so it is not a .yace file of pacemaker"),
    "pacemaker's own": ("species: []\n", "is a .yaml of pacemaker: make a .yace of it"),
}


@pytest.mark.parametrize("text, sentence", REFUSED.values(), ids=REFUSED)
def test_refused_in_a_sentence(text, sentence, tmp_path):
    path = tmp_path / "a.yace"
    path.write_text(text)
    with pytest.raises(MetalffError) as refused:
        pace.read(path)
    words = str(refused.value)
    assert sentence in words and "a.yace" in words and len(words) < 500 and "\n" not in words


def test_the_old_format(tmp_path):
    with pytest.raises(MetalffError, match="is in the old format .ace, which is not covered"):
        pace.read(tmp_path / "Al.ace")
