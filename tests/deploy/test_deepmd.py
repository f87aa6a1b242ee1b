"""DeePMD models: what deepmd-kit's files give, what is refused; the numbers are compared in lammps/test_parity.py."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import metalff.deploy
import metalff.train
from metalff.deploy import deepmd
from metalff.environments import create, environment_python
from metalff.errors import MetalffError

REFUSED = {
    "attention": "the descriptor se_atten is not covered, only se_e2_a is",
    "spin": "models with spin are not covered",
    "dipole": "the fitting net dipole is not covered, only ener is",
    "frame parameters": "numb_fparam",
    "atom parameters": "numb_aparam",
    "pairs of the descriptor": "excluded pairs",
    "pairs of the model": "excluded pairs",
    "types": "excluded types",
    "vacuum": "atom_ener",
    "symbol": "'B1' in the model's type_map is not a chemical symbol",
    "heads": "several heads",
    "weights": "weights are missing or too many: ",
    "damaged pt": "'damaged.pt' cannot be read as a model of deepmd",
    "damaged pth": "'damaged.pth' cannot be read as a model of deepmd",
    "damaged dp": "'damaged.dp' cannot be read as a model of deepmd",
    "damaged yaml": "'damaged.yaml' cannot be read as a model of deepmd",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What ``deepmd_files.py`` leaves."""
    create("deepmd")
    folder = tmp_path_factory.mktemp("deepmd")
    script = Path(__file__).with_name("deepmd_files.py")
    rooms = [Path(package.__file__).parent for package in (metalff.deploy, metalff.train)]
    done = subprocess.run([environment_python("deepmd"), "-P", script, *rooms, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_kind_of_file_gives_the_same_model(folder):
    same = json.loads((folder / "files.json").read_text())
    assert same == dict.fromkeys(("model.pt", "model.pth", "older.pth", "model.dp", "model.yaml", "single.pt"), True)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_sentence(folder, kind):
    sentence = json.loads((folder / "refused.json").read_text())[kind]
    assert sentence and REFUSED[kind] in sentence and "\n" not in sentence


def test_statistics_are_those_of_deepmd(folder):
    found = json.loads((folder / "statistics.json").read_text())
    for ours, theirs in zip(found["ours"], found["deepmd"]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert np.array(found["ours"][0])[:, 0].min() > 0.01


def test_nothing_is_written_when_refused(folder, tmp_path):
    with pytest.raises(MetalffError, match="'.*damaged.dp' could not be deployed: 'damaged.dp' cannot be read") as error:
        deepmd.deploy(folder / "damaged.dp", tmp_path / "model.mlff", say=lambda line: None)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_no_model_and_another_family(oracle, tmp_path):
    with pytest.raises(MetalffError, match="there is no model of deepmd at .*\\(.pt, .pth, .dp, .yaml, .yml\\)"):
        deepmd.deploy(tmp_path, tmp_path / "model.mlff")
    with pytest.raises(MetalffError, match="there is no '.*model.pt': give a directory of 'metalff train deepmd', a .pt, .pth, .dp or .yaml file"):
        deepmd.deploy(tmp_path / "model.pt", tmp_path / "model.mlff")
    with pytest.raises(MetalffError, match="is a model of eam, not of deepmd: run metalff deploy eam"):
        deepmd.deploy(oracle, tmp_path / "model.mlff")
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    create("deepmd")
    with pytest.raises(MetalffError, match="these are not the weights of a DeePMD model"):
        deepmd.deploy(weights, tmp_path / "model.mlff", say=lambda line: None)
    assert list(tmp_path.iterdir()) == [weights]


def test_the_environment_is_missing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    with pytest.raises(MetalffError, match="run: metalff env create deepmd"):
        deepmd.deploy(folder / "model.pt", tmp_path / "model.mlff")
