"""Moment tensor potentials: motep's numbers, and files that are refused in a sentence."""

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import MLFFCalculator
from metalff.artifact import open_artifact
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.poly import mtp
from metalff.poly.reference import Reference, polynomial
from poly_potentials import PUBLISHED, differences, numbers, random_mtp


def read(tmp_path, text, name="a.mtp"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return mtp.read(path)


@pytest.fixture(params=["Li", "Ni", "random.mtp"])
def potential(request, tmp_path):
    """A potential, its elements, and motep's numbers."""
    if request.param == "random.mtp":
        return read(tmp_path, random_mtp()), ["Al", "Ni"], numbers("random.mtp")
    return mtp.read(PUBLISHED / f"{request.param}.mtp"), [request.param], numbers(request.param)


def test_the_numbers_of_motep(potential):
    """By the formulas to round-off, by the program with its tables to 1e-9 eV/Å."""
    given, elements, cases = potential
    assert max(differences(Reference(elements, given.max_dist, given.atom), cases)) < 1e-11
    converted = given.polynomial(elements)
    assert converted.r_max == given.max_dist and not np.any(converted.shift - given.species)
    assert max(differences(Reference(elements, given.max_dist, polynomial(converted)), cases)) < 1e-9


def test_products_of_the_program():
    """The published potential of nickel has 295 basic moments and 6349 products; harmonics are 165, and squares of tensors need no product."""
    program = mtp.read(PUBLISHED / "Ni.mtp").polynomial(["Ni"]).programs[0]
    assert program.moments == 165
    assert len(program.products) + len(program.terms) < 6900
    assert len(program.channels) == 5


def test_closer_than_any_atoms(tmp_path):
    """The polynomials go on below min_dist down to half of it, then straight lines."""
    given = read(tmp_path, random_mtp())
    radial = given.polynomial(["Al", "Ni"]).pairs[0, 1]
    assert radial.first == pytest.approx(0.5 * given.min_dist)
    r = np.linspace(radial.first, given.max_dist, 501)
    values, slopes, _ = given.functions(0, 1, r)
    assert np.abs(radial(r)[0] - values).max() < 1e-10 * np.abs(values).max() and np.abs(radial(r)[1] - slopes).max() < 1e-9 * np.abs(slopes).max()
    below = radial.first - np.array([0.1, 0.2, 0.3])
    line = radial(below)[0]
    assert np.allclose(line[0] - line[1], line[1] - line[2], rtol=1e-12) and np.allclose(radial(below)[1], slopes[0], rtol=1e-9)


def test_mlip3_and_motep_write_it_otherwise(tmp_path):
    """.almtp has its selection at the end, in binary; motep groups min, max and size; older files scale the radial basis."""
    text = random_mtp()
    same = read(tmp_path, text)
    forms = {
        "selection": text.encode() + b"#MVS_v1.1\nenergy_weight 1\n#" + bytes(range(256)) * 9 + b"\n#\n",
        "windows": text.replace("\n", "\r\n"),
        "motep": text.replace("min_dist", "min").replace("max_dist", "max").replace("radial_basis_size", "size"),
        "within the basis": text.replace("scaling = 2.5e-01\n", "").replace("\tmin_dist", "\tscaling = 2.5e-01\n\tmin_dist"),
    }
    for form in forms.values():
        other = read(tmp_path, form)
        assert np.array_equal(other.radial, same.radial) and np.array_equal(other.times, same.times) and other.min_dist == same.min_dist


def deploy(*words):
    """Status, and what was said."""
    run = CliRunner().invoke(build_app(), ["deploy", *map(str, words)])
    return run.exit_code, run.output + run.stderr + str(run.exception or "")


@pytest.mark.parametrize("name", ["Li", pytest.param("Ni", marks=pytest.mark.slow), "random.mtp"])
def test_deployed(name, tmp_path):
    """The engine gives motep's numbers, too, and the file says where it is from."""
    source, output, elements, cases = PUBLISHED / f"{name}.mtp", tmp_path / "a.mlff", [name], numbers(name)
    if name == "random.mtp":
        source, elements = tmp_path / "a.mtp", ["Al", "Ni"]
        source.write_text(random_mtp())
    test = ["--test", "zuo2020-Li:test"] if name == "Li" else []
    status, said = deploy("mtp", source, "--elements", ",".join(elements), "-o", output, "--name", "one", "--licence", "CC0", *test)
    assert status == 0 and "a.mlff: mtp, " + " ".join(elements) in said
    assert max(differences(MLFFCalculator(output), cases)) < 1e-9
    manifest = open_artifact(output).manifest
    assert (manifest.name, manifest.family, manifest.licence, manifest.elements) == ("one", "mtp", "CC0", elements)
    assert manifest.r_max == mtp.read(source).max_dist and "Shapeev" in manifest.citation and "the formulas of MTP" in manifest.training.reference
    assert len(open_artifact(output).selftest()) == 4
    if test:  # as by motep
        assert manifest.training.errors["zuo2020-Li:test"]["force_rmse"] == pytest.approx(0.0132, abs=5e-5)


def test_refused_to_deploy(tmp_path):
    source, output = tmp_path / "a.mtp", tmp_path / "a.mlff"
    source.write_text(random_mtp())
    for words, sentence in (
        (["mtp", source, "--elements", "Ni"], "has 2 species and --elements names 1 (Ni): name each once"),
        (["mtp", source, "--elements", "Ni,Ni"], "has 2 species and --elements names 2 (Ni Ni): name each once"),
        (["mtp", source, "--elements", "Ni,Q"], "'Q' is no chemical element: give --elements as symbols"),
        (["mtp", tmp_path / "b.mtp", "--elements", "Ni"], "there is no '"),
        (["mtp", tmp_path, "--elements", "Ni"], "is no file: give a .mtp or .almtp of MLIP"),
        (["pace", source], "is a model of mtp, not of pace: run metalff deploy mtp"),
        (["nep", source], "is a model of mtp, not of nep: run metalff deploy mtp"),
    ):
        status, said = deploy(*words, "-o", output)
        assert status != 0 and sentence in said and not output.exists(), (words, said)


TEXT = random_mtp()
REFUSED = {
    "other": ("nep4 1 Cu\n", "is no moment tensor potential: the first line"),
    "empty": ("", "is no moment tensor potential"),
    "binary": (b"\x00\xff" * 50, "is no moment tensor potential"),
    "untrained": (TEXT[: TEXT.index("species_coeffs")], "has no species_coeffs: it is a form of a potential that was never trained"),
    "cut": (TEXT[: TEXT.index("alpha_index_times_count")], "has no species_coeffs"),
    "cut in a list": (TEXT[: TEXT.rindex(",")], "line 33: a list in braces { } belongs here"),
    "magnetic": (TEXT.replace("\tradial_coeffs", "magnetic_basis_type = BChebyshev\n\tradial_coeffs"), "line 12: the potential has magnetic moments"),
    "another basis": (TEXT.replace("= RBChebyshev", "= RBChebyshev_repuls"), "line 7: the radial basis RBChebyshev_repuls is not covered"),
    "twice": (TEXT.replace("\tmin_dist", "\tmin_dist = 2\n\tmin_dist"), "line 9: min_dist is given twice"),
    "strange key": (TEXT.replace("potential_name", "potential_nam"), "line 3: the key 'potential_nam' is not covered"),
    "no number": (TEXT.replace("max_dist = 4.9", "max_dist = 4.9x"), "line 9: a list holds something other than numbers: '4.9x'"),
    "not finite": (TEXT.replace("max_dist = 4.9", "max_dist = inf"), "line 9: a list holds a number that is not finite"),
    "distances": (TEXT.replace("max_dist = 4.9", "max_dist = 1.9"), "line 9: min_dist 2.1 and max_dist 1.9 are no range of distances"),
    "species": (TEXT.replace("species_count = 2", "species_count = 3"), "line 19: radial_coeffs of 1-0 where those of 0-2 belong"),
    "no species": (TEXT.replace("species_count = 2", "species_count = 0"), "line 5: species_count is '0', not a number up to 118"),
    "huge": (TEXT.replace("alpha_moments_count = 25", "alpha_moments_count = 99999999"), "line 25: alpha_moments_count is '99999999'"),
    "fewer": (TEXT.replace("alpha_index_basic_count = 14", "alpha_index_basic_count = 13"), "line 27: 14 entries of alpha_index_basic where"),
    "beyond": (TEXT.replace("alpha_moments_count = 25", "alpha_moments_count = 20"), "a moment beyond alpha_moments_count, 20"),
    "no such function": (TEXT.replace("{1, 0, 0, 0}", "{7, 0, 0, 0}"), "line 27: a moment names a radial function or a power"),
    "powers": (TEXT.replace("{1, 0, 0, 0}", "{1, 0, 0, 13}"), "line 27: a moment has more than 12 powers"),
    "twice a moment": (TEXT.replace("{1, 0, 0, 0}", "{0, 0, 0, 0}"), "line 27: a moment is given twice"),
    "parts": (TEXT.replace("{1, 0, 0, 0}", "{1, 0, 0.5, 0}"), "line 27: alpha_index_basic holds a number that is not whole"),
    "rows": (TEXT.replace("{1, 0, 0, 0}", "{1, 0, 0}"), "line 27: a list of 55 numbers where entries have 4 each"),
    "order": (TEXT.replace("{0, 0, 1, 14}", "{0, 16, 1, 14}"), "line 29: product 5 adds to a moment that was read before"),
    "overwrites": (TEXT.replace("{0, 0, 1, 14}", "{0, 0, 1, 3}"), "line 29: product 1 names a moment that there is not, or writes to a basic one"),
}


@pytest.mark.parametrize("text, sentence", REFUSED.values(), ids=REFUSED)
def test_refused_in_a_sentence(text, sentence, tmp_path):
    with pytest.raises(MetalffError) as refused:
        read(tmp_path, text)
    words = str(refused.value)
    assert sentence in words and "a.mtp" in words and len(words) < 400 and "\n" not in words


def test_damaged(tmp_path):
    """A file with letters changed, lost or doubled is read, or refused in a sentence; what is read is converted."""
    rng, read_at_all = np.random.default_rng(11), 0
    for _ in range(120):
        text = list(TEXT)
        place, most = int(rng.integers(len(text))), int(rng.choice([1, 3, 30]))
        match int(rng.integers(4)):
            case 0:
                text[place] = str(rng.choice(list("0123456789-{}.,e= \n")))
            case 1:
                del text[place : place + most]
            case 2:
                text[place:place] = text[max(0, place - most) : place]
            case _:
                text.insert(place, str(rng.choice(["nan", "1e400", "-", "{", "0", "#"])))
        try:
            read(tmp_path, "".join(text)).polynomial(["Al", "Ni"])
            read_at_all += 1
        except MetalffError as refused:
            assert "a.mtp" in str(refused) and len(str(refused)) < 400
    assert 0 < read_at_all < 120


def test_no_file(tmp_path):
    with pytest.raises(MetalffError, match=r"cannot read '.*none.mtp': No such file or directory; give a .mtp or .almtp of MLIP"):
        mtp.read(tmp_path / "none.mtp")
