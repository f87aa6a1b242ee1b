"""The calculator among ASE's tools: options and names, databases and trajectories, per-atom stresses, filters, phonons, bands of images."""

import copy
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import get_calculator_class
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import LinearCombinationCalculator, SumCalculator
from ase.db import connect
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.io.trajectory import Trajectory
from ase.mep import NEB
from ase.optimize import BFGS
from ase.phonons import Phonons

from cases import BAR, STRUCTURES, Script, lammps
from metalff import MLFFCalculator, artifact
from metalff.errors import MetalffError
from metalff.paths import shared
from nep_variants import put, write_nep

CU = shared("potentials", "mlff", "Cu-nep.mlff")
MACE = shared("potentials", "mlff", "Cu-mace.mlff")


def crystal(repeat=2, seed=0):
    atoms = bulk("Cu", cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=seed)
    return atoms


def with_calculator(calculator, atoms=None):
    atoms = atoms.copy() if atoms is not None else crystal()
    atoms.calc = calculator
    return atoms


REFUSED = {
    "misspelt": ({"presicion": "single"}, r'no option presicion \(did you mean "precision"\?\): it takes path, precision, device, threads'),
    "of mace": ({"default_dtype": "float32"}, r'no option default_dtype \(did you mean "precision"\?\)'),
    "of others": ({"n_threads": 8}, r'no option n_threads \(did you mean "threads"\?\)'),
    "of pair_style": ({"ensemble": "mean"}, r"no option ensemble: it takes path, "),
    "a value of pair_style": (
        {"extrapolation": "error"},
        r"extrapolation must be 'warn', 'stop' or 'ignore', not 'error' \('error' of pair_style mlff is 'stop'",
    ),
    "no action": ({"extrapolation": "shout"}, "extrapolation must be 'warn', 'stop' or 'ignore', not 'shout'$"),
    "of mace's models": ({"model_paths": "Cu.model"}, r'no option model_paths \(did you mean "path"\?\)'),
    "a restart": ({"restart": "old"}, "no option restart"),
    "no number": ({"threads": "many"}, "threads must be a whole number, not 'many'"),
    "a fraction": ({"chunk": 1.5}, "chunk must be a whole number, not 1.5"),
    "too large": ({"threads": 2**40}, "threads must be a whole number, not"),
    "another model": (
        {"sha256": "0" * 64},
        "Cu-nep.mlff' is not the model that is asked for: its hash is [0-9a-f]{12} and not 000000000000; find that file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_are_refused(case):
    options, sentence = REFUSED[case]
    with pytest.raises(MetalffError, match=sentence):
        MLFFCalculator(CU, **options)
    atoms = with_calculator(MLFFCalculator(CU))
    energy, parameters = atoms.get_potential_energy(), dict(atoms.calc.parameters)
    with pytest.raises(MetalffError, match=sentence):
        atoms.calc.set(**options)
    assert atoms.calc.parameters == parameters, "nothing has changed"
    assert atoms.calc.get_property("energy", atoms, allow_calculation=False) == energy


def test_what_it_is_in_one_line():
    calculator = MLFFCalculator("Cu/nep", precision="single", threads=2)
    assert repr(calculator) == "MLFFCalculator('Cu/nep', precision='single', threads=2)"
    assert eval(repr(calculator)).parameters == calculator.parameters


def test_what_ase_gives_any_calculator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atoms = crystal()
    calculator = MLFFCalculator(CU, atoms=atoms, label="run/copper")
    assert atoms.calc is calculator and calculator.label == "run/copper" and calculator.directory == "run"
    assert MLFFCalculator(CU, directory=tmp_path).directory == str(tmp_path)


def test_set():
    atoms = with_calculator(MLFFCalculator(CU))
    double = atoms.get_potential_energy()
    assert atoms.calc.set(precision="double") == {} == atoms.calc.set()
    assert atoms.calc.results, "nothing changed, nothing dropped"
    assert atoms.calc.set(precision="single", threads=np.int64(2)) == {"precision": "single", "threads": 2}
    single = atoms.get_potential_energy()
    assert single == with_calculator(MLFFCalculator(CU, precision="single")).get_potential_energy() != double
    assert set(atoms.calc.set(path=MACE)) == {"path", "sha256"}
    assert atoms.calc.artifact.manifest.family == "mace"
    assert atoms.get_potential_energy() == pytest.approx(with_calculator(MLFFCalculator(MACE, "single")).get_potential_energy(), abs=1e-9)
    atoms.calc.set(extrapolation="stop")
    assert atoms.calc.guard.action == "stop"
    with pytest.raises(MetalffError, match="nowhere.mlff' does not exist"):
        atoms.calc.set(path="nowhere.mlff")


def test_threads_give_the_same_numbers():
    for path in (CU, MACE):
        one, two = (with_calculator(MLFFCalculator(path, threads=threads), crystal(3)) for threads in (1, 2))
        np.testing.assert_allclose(two.get_forces(), one.get_forces(), rtol=0, atol=1e-12)
        assert two.calc.parameters["threads"] == 2


NAMES = {
    "Cu/eam": r'Cu/eam is no .mlff model: metalff.potentials.resolve\("Cu/eam"\).calculator\(\) is its calculator for ASE',
    "chgnet": r'chgnet is no .mlff model: metalff.potentials.resolve\("chgnet"\).calculator\(\)',
    "CuNi/zhou": "CuNi/zhou is no .mlff model",
    "Ti/meam[t=0.5]": "is no .mlff model",
    "Cu/mase": r"there is no file and no bundled model 'Cu/mase' \(did you mean \"Cu/mace\"\?\): give the path of a .mlff file",
    "Cu.mlff": "Cu.mlff' does not exist or is not a file: check the path",
    "/nowhere/at/all": "'/nowhere/at/all' does not exist or is not a file",
}


def test_names_of_bundled_models(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    calculator = MLFFCalculator("Cu/nep")
    assert calculator.parameters["path"] == "Cu/nep" and calculator.artifact.path == CU
    assert with_calculator(calculator).get_potential_energy() == with_calculator(MLFFCalculator(CU)).get_potential_energy()
    assert (
        with_calculator(get_calculator_class("mlff")("Cu/mace")).get_potential_energy()
        == with_calculator(MLFFCalculator(MACE)).get_potential_energy()
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MetalffError, match=NAMES[name]):
        MLFFCalculator(name)


def test_no_path():
    with pytest.raises(MetalffError, match="needs the path of a .mlff file or the name of a bundled model, such as Cu/mace"):
        MLFFCalculator()
    with pytest.raises(MetalffError, match=r'no option model_paths \(did you mean "path"\?\)'):
        MLFFCalculator(model_paths="Cu.model")


def test_the_calculator_that_the_sentence_names(eam_commands):
    from metalff.potentials import resolve

    assert np.isfinite(with_calculator(resolve("Cu/eam").calculator()).get_potential_energy())


def test_cuda_is_the_first_card():
    try:
        calculator = MLFFCalculator(CU, device="cuda")
    except MetalffError as error:
        assert "device cuda:0" in str(error) and "\n" not in str(error)
    else:
        assert calculator.parameters["device"] == "cuda:0"


def test_databases_know_the_model(tmp_path):
    atoms = with_calculator(MLFFCalculator(CU, precision="single", extrapolation="ignore"))
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    expected = atoms.calc.todict()
    assert expected["sha256"] == artifact.open_artifact(CU).sha256 and expected["path"] == str(CU)
    assert json.loads(json.dumps(expected)) == expected and "precision" in expected and "threads" in expected
    with connect(tmp_path / "atoms.db") as database:
        database.write(atoms)
    row = connect(tmp_path / "atoms.db").get()
    assert row.calculator == "mlff" and dict(row.calculator_parameters) == expected and row.energy == energy
    assert connect(tmp_path / "atoms.db").count(calculator="mlff") == 1
    np.testing.assert_array_equal(row.forces, forces)
    with Trajectory(tmp_path / "atoms.traj", "w") as trajectory:
        trajectory.write(atoms)
    back = read(tmp_path / "atoms.traj")
    assert back.calc.name == "mlff" and dict(back.calc.parameters) == expected
    assert back.get_potential_energy() == energy
    np.testing.assert_array_equal(back.get_stress(), stress)
    # the record opens the model again, and only that one
    assert with_calculator(MLFFCalculator(**back.calc.parameters)).get_potential_energy() == energy
    with pytest.raises(MetalffError, match="is not the model that is asked for"):
        MLFFCalculator(**{**expected, "path": str(MACE)})
    write(tmp_path / "atoms.extxyz", atoms)
    np.testing.assert_allclose(read(tmp_path / "atoms.extxyz").get_forces(), forces, atol=1e-7)


def test_nothing_is_evaluated_twice():
    atoms = with_calculator(MLFFCalculator(CU))
    forces = atoms.get_forces()
    assert atoms.calc.check_state(atoms) == [] and not atoms.calc.calculation_required(atoms, ["energy", "forces", "stress"])
    before = atoms.calc.results
    atoms.get_potential_energy(), atoms.get_stress()
    assert atoms.calc.results is before
    stresses = atoms.get_stresses()  # asked for, so it is evaluated
    np.testing.assert_array_equal(atoms.get_forces(), forces)
    assert stresses.shape == (len(atoms), 6)
    atoms.positions[0, 0] += 1e-3
    assert atoms.calc.check_state(atoms) == ["positions"]
    assert atoms.calc.calculation_required(atoms, ["energy"])


# Per-atom stresses


@pytest.mark.parametrize("name", ["bulk", "triclinic", "surface", "tiny box", "cluster in a corner", "isolated atom"])
@pytest.mark.parametrize("path", [CU, MACE], ids=["NEP", "MACE"])
def test_stresses_add_up_to_the_stress(name, path):
    atoms = with_calculator(MLFFCalculator(path, extrapolation="ignore"), STRUCTURES[name])
    stresses = atoms.get_stresses()
    assert stresses.shape == (len(atoms), 6)
    np.testing.assert_allclose(stresses.sum(axis=0), atoms.get_stress(), rtol=0, atol=1e-11)
    full = atoms.get_stresses(voigt=False)
    np.testing.assert_array_equal(full, full.transpose(0, 2, 1))


def test_the_sum_rule_is_that_of_ase():
    atoms = with_calculator(LennardJones(sigma=2.3, epsilon=0.4, rc=5.0), crystal())
    np.testing.assert_allclose(atoms.get_stresses().sum(axis=0), atoms.get_stress(), atol=1e-12)


@pytest.mark.parametrize("name", ["bulk", "triclinic", "surface", "cluster in a corner"])
@pytest.mark.parametrize("path", [CU, MACE], ids=["NEP", "MACE"])
def test_stresses_are_those_of_lammps(name, path, tmp_path):
    """compute stress/atom is stress × volume of an atom, in bar Å³."""
    atoms = STRUCTURES[name]
    lines = ["units metal", "atom_style atomic", *Script(atoms)._box(), "pair_style mlff extrapolation ignore", f"pair_coeff * * {path} Cu"]
    lines += ["compute s all stress/atom NULL virial", "run 0"]
    lines += [f"write_dump all custom {tmp_path}/dump id {' '.join(f'c_s[{k}]' for k in (1, 2, 3, 6, 5, 4))} modify sort id format float %.17g"]
    done = lammps(tmp_path, lines)
    assert done.returncode == 0, done.stdout[-2000:]
    theirs = np.loadtxt(tmp_path / "dump", skiprows=9, ndmin=2)[:, 1:] * BAR  # eV
    ours = with_calculator(MLFFCalculator(path, extrapolation="ignore"), atoms).get_stresses() * atoms.get_volume()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert np.abs(ours).max() > 0.1 and np.abs(ours[:, 3:]).max() > 0.01


def test_no_volume_no_stresses():
    atoms = with_calculator(MLFFCalculator(CU), Atoms("Cu2", positions=[[0, 0, 0], [2.4, 0, 0]]))
    for ask in (atoms.get_stress, atoms.get_stresses):
        with pytest.raises(NotImplementedError):
            ask()
    assert np.isfinite(atoms.get_forces()).all()


# What is not a number, and what is far away


def infinite(path):
    """A NEP whose one angular density is infinite: the energy is the bound of tanh, the slope 0 · ∞."""
    text = write_nep(path, n_max=(0, 0), basis=(0, 0), l_max="4 0 0", neurons=1).read_text().splitlines()
    values = [*np.ones(5), 0.1, 1.0, 0.5, 0.3, 1.7e308, *np.ones(5)]
    assert len(text) == 6 + len(values)
    return "\n".join([*text[:6], *(f"{value:.9e}" for value in values)]).encode() + b"\n"


def test_forces_that_are_not_numbers(tmp_path):
    calculator = MLFFCalculator(put(tmp_path / "model.mlff", infinite(tmp_path / "nep.txt"), ["Cu"], atoms=Atoms("Cu")))
    atoms = with_calculator(calculator, Atoms("Cu2", positions=[[0, 0, 0], [0.3, 0.2, 1.9]], cell=np.eye(3) * 9, pbc=True))
    for ask in (atoms.get_forces, atoms.get_potential_energy, atoms.get_stress):
        with pytest.raises(MetalffError, match="a force is not a finite number: look for overlapping atoms"):
            ask()
    assert np.isfinite(with_calculator(calculator, Atoms("Cu")).get_potential_energy())


@pytest.mark.parametrize("path", [CU, MACE], ids=["NEP", "MACE"])
def test_far_atoms_cost_no_memory(path):
    import resource

    calculator = MLFFCalculator(path, extrapolation="ignore")
    alone, pair = Atoms("Cu"), Atoms("Cu2", positions=[[0, 0, 0], [2.4, 0, 0]])
    one, two = (with_calculator(calculator, atoms).get_potential_energy() for atoms in (alone, pair))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    far = Atoms("Cu4", positions=[[0, 0, 0], [2.4, 0, 0], [1e6, 1e6, 1e6], [-1e6, 0, 5e5]])
    assert with_calculator(calculator, far).get_potential_energy() == pytest.approx(two + 2 * one, abs=1e-9)
    for cell in (np.eye(3) * 1e6, [[1e6, 0, 0], [9e5, 1e5, 0], [0, 7e5, 1e6]]):
        huge = Atoms("Cu4", positions=[[0, 0, 0], [2.4, 0, 0], [5e5, 0, 0], [0, 5e4, 0]], cell=cell, pbc=True)
        assert with_calculator(calculator, huge).get_potential_energy() == pytest.approx(two + 2 * one, abs=1e-9)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kB"


# ASE's tools


def test_mixing():
    nep, lj = MLFFCalculator(CU), LennardJones(sigma=2.0, epsilon=0.05, rc=5.0)
    apart = [with_calculator(calculator) for calculator in (nep, lj)]
    together = with_calculator(SumCalculator([MLFFCalculator(CU), LennardJones(sigma=2.0, epsilon=0.05, rc=5.0)]))
    for ask in ("get_potential_energy", "get_forces", "get_stress"):
        parts = [getattr(atoms, ask)() for atoms in apart]
        np.testing.assert_allclose(getattr(together, ask)(), parts[0] + parts[1], rtol=0, atol=1e-10)
    half = with_calculator(LinearCombinationCalculator([MLFFCalculator(CU), MLFFCalculator(MACE)], [0.5, 0.5]))
    both = [with_calculator(MLFFCalculator(path)).get_forces() for path in (CU, MACE)]
    np.testing.assert_allclose(half.get_forces(), np.mean(both, axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", [CU, MACE], ids=["NEP", "MACE"])
def test_relaxing_the_cell(path):
    strained = bulk("Cu", a=3.45)
    strained.set_cell(strained.cell.array @ [[1.02, 0.03, 0], [0, 0.99, 0], [0, 0, 1]], scale_atoms=True)
    atoms = with_calculator(MLFFCalculator(path, extrapolation="ignore"), strained)
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=60)
    assert np.abs(atoms.get_stress()).max() < 1e-4
    assert atoms.get_volume() == pytest.approx(3.63**3 / 4, rel=0.02)
    np.testing.assert_allclose(atoms.cell.lengths(), atoms.cell.lengths().mean(), rtol=1e-4)  # fcc again


def test_phonons(tmp_path):
    phonons = Phonons(bulk("Cu", a=3.63), MLFFCalculator(CU), supercell=(4, 4, 4), delta=0.01, name=str(tmp_path / "phonons"))
    phonons.run()
    phonons.read(acoustic=True)
    at_gamma, at_x = (1000 * np.real(phonons.band_structure([q])[0]) for q in ([0, 0, 0], [0.5, 0.5, 0]))
    np.testing.assert_allclose(at_gamma, 0, atol=0.1)  # meV
    # measured at X: 5.13 and 7.25 THz (Svensson, Brockhouse, Rowe, Phys. Rev. 155, 619 (1967)), 21.2 and 30.0 meV
    np.testing.assert_allclose(at_x, [21.2, 21.2, 30.0], rtol=0.12)


@pytest.mark.parametrize("shared_calculator", [True, False])
def test_a_band_of_images(shared_calculator):
    """A vacancy of copper changes places with a neighbour."""

    def calculator():
        return MLFFCalculator(MACE, extrapolation="ignore")

    start = bulk("Cu", a=3.63, cubic=True).repeat(2)
    hole = start.positions[0].copy()
    del start[0]
    end = start.copy()
    nearest = np.argmin(np.linalg.norm(start.positions - hole, axis=1))
    end.positions[nearest] = hole
    for atoms in (start, end):
        atoms.calc = calculator()
        assert BFGS(atoms, logfile=None).run(fmax=0.02, steps=60)
    images, one = [start, *(start.copy() for _ in range(3)), end], calculator()
    for image in images[1:-1]:
        image.calc = one if shared_calculator else calculator()
    band = NEB(images, allow_shared_calculator=shared_calculator, method="improvedtangent", climb=True)
    band.interpolate()
    assert BFGS(band, logfile=None).run(fmax=0.05, steps=80)
    energies = [image.get_potential_energy() for image in images]
    assert energies[0] == pytest.approx(energies[-1], abs=1e-3) and energies[1] == pytest.approx(energies[3], abs=5e-3)
    assert energies[2] - energies[0] == pytest.approx(0.70, abs=0.25)  # measured: 0.70 eV (Landolt-Börnstein III/25)
    # forces of each image are its own
    for image in images:
        np.testing.assert_allclose(image.get_forces(), with_calculator(calculator(), image).get_forces(), rtol=0, atol=1e-12)


def test_images_in_threads():
    """NEB(parallel=True) evaluates each image in a thread of its own; deep copies share the engines."""
    first = crystal()
    last = crystal(seed=1)
    calculator = MLFFCalculator(MACE)
    images = [first, *(first.copy() for _ in range(4)), last]
    for image in images:
        image.calc = copy.deepcopy(calculator)
    band = NEB(images, parallel=True, method="improvedtangent")
    band.interpolate()
    assert np.isfinite(band.get_forces()).all()
    for image in images[1:-1]:
        assert image.calc.results
        np.testing.assert_array_equal(image.get_forces(), with_calculator(MLFFCalculator(MACE), image).get_forces())


def test_the_home_directory(tmp_path, monkeypatch):
    shutil.copy(CU, tmp_path / "own.mlff")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert MLFFCalculator("~/own.mlff").parameters["path"] == str(tmp_path / "own.mlff")


# Found by name


FOUND = """
import sys
{first}
from ase._4.plugins import plugins
(found,) = [plugin for plugin in plugins.calculators if plugin.name == "mlff"]
calculator = found()(sys.argv[1])
from ase.calculators.calculator import get_calculator_class, names
assert get_calculator_class("mlff") is type(calculator) and "mlff" in names
print(type(calculator).__name__)
"""


@pytest.mark.parametrize("first", ["", "import metalff", "import metalff.ase_plugin", "import metalff.calculator"])
def test_ase_finds_the_calculator(first):
    done = subprocess.run([sys.executable, "-c", FOUND.format(first=first), str(CU)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "MLFFCalculator\n", done.stderr


def test_ase_lists_the_calculator():
    done = subprocess.run([sys.executable, "-m", "ase", "info", "--plugins"], capture_output=True, text=True, timeout=120)
    assert "\nmlff\n" in done.stdout.partition("metalff ")[2], done.stdout + done.stderr
