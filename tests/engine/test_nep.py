"""NEP on the native engine against NEP_CPU, and what it does with a damaged nep.txt."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import metalff.deploy
from metalff import MLFFCalculator, artifact
from metalff.cli import build_app
from metalff.compiled import prepare
from metalff.deploy import nep
from metalff.environments import create, environment_python
from metalff.errors import MetalffError
from nep_variants import VARIANTS, crystals, put, write_nep

REFERENCE = Path(__file__).parents[1] / "lammps" / "framework_reference.py"


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """By name of a variant: its artefact, and NEP_CPU's numbers by structure."""
    create("nep")
    made = {}
    for name, words in VARIANTS.items():
        folder = tmp_path_factory.mktemp("nep")
        elements = words.get("elements", ("Cu",))
        (folder / "native").mkdir()
        text = write_nep(folder / "native/nep.txt", **words)
        described = {
            key: {"symbols": list(a.symbols), "positions": a.positions.tolist(), "cell": a.cell.tolist()} for key, a in crystals(elements).items()
        }
        (folder / "structures.json").write_text(json.dumps(described))
        deploying = Path(metalff.deploy.__file__).parent
        command = [environment_python("nep"), "-P", REFERENCE, "nep", deploying, folder]
        subprocess.run(command, check=True, capture_output=True)
        numbers = json.loads((folder / "reference.json").read_text())
        made[name] = put(folder / "nep.mlff", text.read_bytes(), elements), numbers
    return made


@pytest.mark.parametrize("precision, close", [("double", 1e-11), ("single", 1e-5)])
@pytest.mark.parametrize("name", VARIANTS)
def test_numbers_of_nep_cpu(name, precision, close, references):
    path, numbers = references[name]
    calculator = MLFFCalculator(path, precision=precision)
    assert "native" in calculator.engine
    for key, atoms in crystals(VARIANTS[name].get("elements", ("Cu",))).items():
        want = numbers[key]
        atoms.calc = calculator
        scale = np.abs(want["forces"]).max() if key != "small" else 1.0  # one atom: no forces
        assert scale > 1e-3
        np.testing.assert_allclose(atoms.get_potential_energies(), want["energies"], rtol=close, atol=close)
        np.testing.assert_allclose(atoms.get_forces(), want["forces"], rtol=0, atol=close * scale)
        stress = np.array(want["stress"])
        np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, rtol=0, atol=close * np.abs(stress).max())


def test_nothing_is_compiled(tmp_path):
    """What sweeps and benchmarks do before the first use of a model."""
    text = write_nep(tmp_path / "nep.txt").read_bytes()
    prepare(put(tmp_path / "a.mlff", text, ["Cu"]), say=pytest.fail)


def test_invariants_matter(tmp_path):
    """Each flag stands for a part of its own."""
    atoms = crystals(["Cu"])["hot"]
    energies = set()
    for flags in ("0 0", "2 0", "0 1", "0 0 1", "0 0 0 1", "0 0 0 0 1", "0 0 0 0 0 1"):
        text = write_nep(tmp_path / "nep.txt", l_max="4 " + flags)
        atoms.calc = MLFFCalculator(put(tmp_path / f"{flags}.mlff", text.read_bytes(), ["Cu"]))
        energies.add(round(atoms.get_potential_energy(), 6))
    assert len(energies) == 7


def test_rotation(tmp_path):
    text = write_nep(tmp_path / "nep.txt", l_max="4 2 1 1 1 1 1")
    atoms = crystals(["Cu"])["hot"]
    atoms.calc = MLFFCalculator(put(tmp_path / "nep.mlff", text.read_bytes(), ["Cu"]))
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    matrix = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    atoms.set_cell(atoms.cell.array @ matrix, scale_atoms=True)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces @ matrix, atol=1e-11)


def test_threads(tmp_path):
    text = write_nep(tmp_path / "nep.txt", elements=("Cu", "Al"))
    path = put(tmp_path / "nep.mlff", text.read_bytes(), ["Cu", "Al"])
    atoms = crystals(["Cu", "Al"])["hot"]
    atoms.calc = MLFFCalculator(path)
    forces = atoms.get_forces()
    atoms.calc = MLFFCalculator(path, threads=3)
    np.testing.assert_array_equal(atoms.get_forces(), forces)


@pytest.mark.parametrize("isa", ["base", "x86-64-v3"])
def test_lesser_instruction_sets(isa, tmp_path):
    """Registers of other sizes: more groups of radial functions, other sums over lanes."""
    text = write_nep(tmp_path / "nep.txt", l_max="4 2 1 1 1 1 1", n_max=(4, 9))
    path = put(tmp_path / "nep.mlff", text.read_bytes(), ["Cu"])
    atoms = crystals(["Cu"])["hot"]
    for precision, close in (("double", 1e-11), ("single", 1e-5)):
        atoms.calc = MLFFCalculator(path, precision=precision)
        forces = atoms.get_forces()
        atoms.calc = None
        atoms.write(tmp_path / "atoms.xyz")
        code = (
            "import sys, numpy as np; from ase.io import read; from metalff import MLFFCalculator; a = read(sys.argv[2]);"
            f"a.calc = MLFFCalculator(sys.argv[1], precision='{precision}'); np.save(sys.argv[3], a.get_forces())"
        )
        command = [sys.executable, "-c", code, path, tmp_path / "atoms.xyz", tmp_path / "forces.npy"]
        subprocess.run(command, check=True, env=os.environ | {"METALFF_ISA": isa})
        # positions in the file have eight decimals
        other = np.load(tmp_path / "forces.npy")
        np.testing.assert_allclose(other, forces, rtol=0, atol=max(close, 1e-6) * np.abs(forces).max())


def test_deploy(tmp_path):
    """The command, from file to check."""
    create("nep")
    text = write_nep(tmp_path / "nep.txt", elements=("Cu", "Ni"), zbl="1.0 2.0")
    run = CliRunner().invoke(build_app(), ["deploy", "nep", str(text), "-o", str(tmp_path / "CuNi.mlff"), "--licence", "CC0"])
    assert run.exit_code == 0, run.output
    manifest = artifact.read_manifest(tmp_path / "CuNi.mlff")
    assert (manifest.family, manifest.elements, manifest.r_max, manifest.layers) == ("nep", ["Cu", "Ni"], 6.0, 1)
    assert manifest.licence == "CC0" and "calorine" in manifest.versions
    check = CliRunner().invoke(build_app(), ["check", str(tmp_path / "CuNi.mlff")])
    assert check.exit_code == 0, check.output
    with pytest.raises(MetalffError, match="has no torch program"):
        MLFFCalculator(tmp_path / "CuNi.mlff", engine="torch")


def lines(tmp_path):
    return write_nep(tmp_path / "good.txt", elements=("Cu", "Ni"), zbl="1.0 2.0").read_text().splitlines()


DAMAGE = {  # number of the line, from 0, and what stands there instead; what the sentence says
    "dipole": (0, "nep4_dipole 2 Cu Ni", "of the kind 'nep4_dipole', which MetalFF does not read"),
    "elements": (0, "nep4_zbl 3 Cu Ni", "line 1 of {} says 3 elements and names 2"),
    "zbl": (1, "zbl 2.0 1.0", "line 2 of {} has ZBL cutoffs that do not rise"),
    "cutoffs": (2, "cutoff 4 5 100 100", "line 3 of {} has cutoffs that are not"),
    "keyword": (3, "nmax 4 4", "line 4 of {} begins with 'nmax' and not with 'n_max'"),
    "word": (4, "basis_size 8 eight", "line 5 of {} has 'eight' where a finite number belongs"),
    "l_max": (5, "l_max 9 0 0", "line 6 of {} has 9 where an integer from 0 to 8 belongs"),
    "invariants": (5, "l_max 3 2 0 0 0 0 1", "line 6 of {} has an invariant with l = 4 and l_max = 3"),
    "layers": (6, "ANN 30 30", "line 7 of {} has 30 where an integer from 0 to 0 belongs"),
    "NaN": (100, "nan", "line 101 of {} has 'nan' where a finite number belongs"),
    "cut number": (200, "1.2e", "line 201 of {} has '1.2e' where a finite number belongs"),
    "two numbers": (300, "1.0 2.0", "line 301 of {} has more than one number"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_line(name, tmp_path):
    number, line, sentence = DAMAGE[name]
    text, bad = lines(tmp_path), tmp_path / "bad.txt"
    text[number] = line
    bad.write_text("\n".join(text) + "\n")
    run = CliRunner().invoke(build_app(), ["deploy", "nep", str(bad), "-o", str(tmp_path / "bad.mlff")])
    assert run.exit_code != 0
    assert isinstance(run.exception, MetalffError)
    assert sentence.format(f"'{bad}'") in str(run.exception)
    assert not (tmp_path / "bad.mlff").exists()


def test_truncated_anywhere(tmp_path):
    """Cut at any line, or in a number: a sentence, and never a potential."""
    whole = "\n".join(lines(tmp_path))
    cuts = np.random.default_rng(0).integers(1, len(whole) - 30, 60)
    for cut in cuts:
        with pytest.raises(MetalffError, match=r"line \d+ of|is empty|does not read|lacks"):
            MLFFCalculator(put(tmp_path / "cut.mlff", whole[:cut].encode(), ["Cu", "Ni"]))


def test_bytes_that_are_no_text(tmp_path):
    text = "\n".join(lines(tmp_path)).encode()
    text = text[:500] + b"\xff\x00\xfe" + text[503:]
    with pytest.raises(MetalffError, match=r"line \d+ of .* has '.*\?\?.*' where a finite number belongs"):
        MLFFCalculator(put(tmp_path / "bytes.mlff", text, ["Cu", "Ni"]))


def test_one_line_too_many(tmp_path):
    text = "\n".join([*lines(tmp_path), "1.0", ""])
    with pytest.raises(MetalffError, match="is one more than the first lines describe"):
        MLFFCalculator(put(tmp_path / "long.mlff", text.encode(), ["Cu", "Ni"]))


def test_not_a_nep_txt(tmp_path):
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(MetalffError, match="is not a potential in the form of GPUMD's nep.txt"):
        nep.deploy(tmp_path / "x.txt", tmp_path / "x.mlff")
    with pytest.raises(MetalffError, match="cannot read"):
        nep.deploy(tmp_path / "none.txt", tmp_path / "x.mlff")
