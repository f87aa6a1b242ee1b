"""Atomic cluster expansions of pacemaker: ML-PACE's numbers, and files that are refused in a sentence."""

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import MLFFCalculator
from metalff.artifact import open_artifact
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.lammps import LammpsCalculator, as_word
from metalff.poly import pace
from metalff.poly.reference import Reference, polynomial
from poly_potentials import YACE, differences, numbers, zbl_yace

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


def test_a_core_that_takes_over(tmp_path):
    """That of Ziegler, Biersack and Littmark, by the nearest neighbour: formulas, program and engine give ML-PACE's numbers, in LAMMPS, too."""
    (tmp_path / "a.yace").write_text(zbl_yace())
    given, cases = pace.read(tmp_path / "a.yace"), numbers("zbl.yace")
    program = given.polynomial()
    assert np.allclose(program.inner, [[2.1, 0.6]] * 4)
    assert max(differences(Reference(ELEMENTS, given.cutoff, given.atom), cases)) < 1e-8
    assert max(differences(Reference(ELEMENTS, given.cutoff, polynomial(program)), cases)) < 1e-7
    run = CliRunner().invoke(build_app(), ["deploy", "pace", str(tmp_path / "a.yace"), "-o", str(tmp_path / "a.mlff")])
    assert run.exit_code == 0, run.exception
    assert max(differences(MLFFCalculator(tmp_path / "a.mlff"), cases)) < 1e-7
    assert max(differences(MLFFCalculator(tmp_path / "a.mlff", precision="single"), cases)) < 1e-3
    in_lammps = LammpsCalculator(["pair_style mlff", f"pair_coeff * * {as_word(tmp_path / 'a.mlff')} Al Ni"], ELEMENTS)
    assert max(differences(in_lammps, cases)) < 1e-7


def test_where_a_core_takes_over(tmp_path):
    """The core alone, a mixture, and all, by the distance of the nearest neighbour; forces are slopes of the energy."""
    (tmp_path / "a.yace").write_text(zbl_yace())
    given = pace.read(tmp_path / "a.yace")
    atom = polynomial(given.polynomial())
    for r in (1.5, 2.05, 2.2, 2.5, 2.69, 3.5):
        vec, kinds = np.array([[0.6, 0.0, 0.8], [0.0, 4.0, 0.0]]) * [[r], [1.0]], np.array([1, 0])
        energy, gradient = given.atom(0, vec, kinds)
        other, found = atom(0, vec, kinds)
        assert other == pytest.approx(energy, rel=1e-8) and np.allclose(found, gradient, atol=1e-6 * np.abs(gradient).max())
        core = sum(float(given.bonds[0, kind].core(np.array([length]))[0, 0]) for kind, length in ((1, r), (0, 4.0)))
        assert bool(energy == pytest.approx(core + given.shift[0], rel=1e-12)) == (r < 2.1)
        steps = [given.atom(0, vec + h, kinds)[0] - given.atom(0, vec - h, kinds)[0] for h in 1e-5 * np.eye(6).reshape(6, 2, 3)]
        assert np.allclose(np.array(steps).reshape(2, 3) / 2e-5, gradient, atol=1e-6 * max(1.0, np.abs(gradient).max()))


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
    "zbl here and there": (TEXT.replace(BOND, BOND.replace("distance", "zbl")), "some bonds have the core repulsion zbl and others have not"),
    "zbl without a range": (TEXT.replace("type: distance", "type: zbl"), "bond [0, 0]: rcut_in 0 with dcut_in 0 is no smooth inner cutoff"),
    "unknown core": (other("type: distance", "type: wall"), "bond [0, 0]: the inner cutoff 'wall' is not covered"),
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
