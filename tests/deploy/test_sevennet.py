"""SevenNet models: what can be left out of them, and what is refused. That they deploy right: tests/lammps/test_parity.py."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from metalff import environments
from metalff.deploy import sevennet
from metalff.errors import MetalffError


@pytest.fixture(scope="module")
def environment():
    return environments.create("sevennet")


def test_elements_and_modals_left_out_change_nothing(environment):
    script = Path(__file__).with_name("sevennet_smaller.py")
    command = [environment.python, "-P", script, Path(sevennet.__file__).parent]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    results = json.loads(completed.stdout.splitlines()[-1])
    assert set(results) == {"two elements of three", "PBE", "R2SCAN"}
    for result in results.values():
        assert result["energy"] < 1e-10 and result["forces"] < 1e-10 and result["largest"] > 0.1
    assert abs(results["PBE"]["total"] - results["R2SCAN"]["total"]) > 1, "two kinds of data"
    assert results["PBE"]["elements"] == ["Ni", "Cu"]


REFUSED = [
    ("7net-0", {"elements": ["Cu", "Po"]}, "'7net-0' could not be deployed: the model has no Po; it is for Ac Ag "),
    ("7net-0", {"modal": "PBE"}, "the model has no modals, so leave --modal PBE out"),
    ("7net-mf-0", {"modal": "SCAN"}, "there is no modal SCAN: the model has R2SCAN, PBE"),
    ("thesis.pth", {}, "'.*thesis.pth' is no SevenNet model: give 7net-0, a directory of 'metalff train sevennet', a checkpoint"),
    (
        "hostile.pth",
        {},
        "could not be deployed: it is not a checkpoint that sevenn .* can read .it holds more than tensors, arrays, numbers and text",
    ),
    ("7net-1", {}, 'there is no model 7net-1 .did you mean "7net-.*: give 7net-0, 7net-l3i5, 7net-mf-0, or a file'),
]


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("source, options, sentence", REFUSED)
def test_refused(environment, tmp_path, source, options, sentence):
    (tmp_path / "thesis.pth").write_bytes(b"years of work")
    torch.save({"model_state_dict": Hostile(tmp_path / "ran"), "config": {}}, tmp_path / "hostile.pth")
    given = tmp_path / source if source.endswith(".pth") else source
    with pytest.raises(MetalffError, match=sentence) as error:
        sevennet.deploy(given, tmp_path / "model.mlff", say=lambda line: None, **options)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".pth"] == []


def test_missing_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    with pytest.raises(MetalffError, match="run: metalff env create sevennet"):
        sevennet.deploy("7net-0", tmp_path / "model.mlff", say=lambda line: None)
