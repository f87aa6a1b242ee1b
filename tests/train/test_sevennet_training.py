"""Training of SevenNet models: what is special to them; what all families share is tested with MACE."""

import json
from dataclasses import replace

import pytest

from metalff import environments
from metalff.data import load
from metalff.errors import MetalffError
from metalff.potentials.universal import UniversalCalculator
from metalff.train import training
from metalff.train.configuration import configuration

CU = {"elements": ["Cu"], "threads": 1, "max_epochs": 1, "budget_s": 1e6}
START = CU | {"start": "7net-0"}

REFUSED = [
    (START | {"channels": 8, "l_max": 1}, "start 7net-0 has an architecture of its own: leave channels, l_max out"),
    (START | {"r_max": 4.0}, "start 7net-0 has the cutoff 5 Å: leave r_max out"),
    (START | {"e0": "average"}, "e0 is fitted to the energies of the start: leave it out"),
    (START | {"elements": ["Cu", "Po"]}, "start 7net-0 does not have Po"),
    (CU | {"modal": "PBE"}, "modal belongs to a start that has several"),
    (CU | {"start": "7net-1"}, "start: .*'7net-0'.*, not '7net-1'"),
]


@pytest.mark.parametrize("values, sentence", REFUSED)
def test_refused(values, sentence):
    with pytest.raises(MetalffError, match=sentence) as error:
        configuration("sevennet", values)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def few():
    """Small structures of copper, 0.7 eV/atom above what they are."""
    environments.create("sevennet")
    copper = load("zuo2020-Cu", "train")
    frames = sorted(copper, key=len)[:6]
    return replace(copper, frames=tuple(replace(f, energy=f.energy + 0.7 * len(f)) for f in frames))


def train(config, few, out):
    """Row of the history of a training's only epoch."""
    valid = replace(few, frames=few.frames[1::2], name="others")
    training.prepare("sevennet", config, replace(few, frames=few.frames[::2]), out, valid)
    described = training.train(out)
    assert (out / "weights.safetensors").is_file() and described["epochs"] == 1
    return described


def test_from_scratch(few, tmp_path):
    small = {"channels": 4, "radial_mlp": [8], "r_max": 4.0, "parity": True, "self_connection": "nequip"}
    described = train(configuration("sevennet", CU | small), few, tmp_path / "cu")
    assert described["e0"] == [0.0] and described["config"]["start"] == ""


@pytest.mark.slow
def test_a_start_is_the_pretrained_model_but_for_its_offset(few, tmp_path):
    """Hardly trained: the errors of the pretrained model itself, whose energies are 0.7 eV/atom off before the fit."""
    described = train(configuration("sevennet", START | {"lr": 1e-12}), few, tmp_path / "cu")
    calculator, forces, energies = UniversalCalculator("7net-0"), [], []
    for frame in few.frames[1::2]:
        atoms = frame.to_atoms()
        atoms.calc = calculator
        forces.append(((atoms.get_forces() - frame.forces) ** 2).mean())
        energies.append(abs(atoms.get_potential_energy() - frame.energy) / len(frame))
    calculator.close()
    found = described["errors"]["validation"]
    sizes = [len(frame) for frame in few.frames[1::2]]
    rmse = (sum(f * n for f, n in zip(forces, sizes)) / sum(sizes)) ** 0.5
    assert found["force_rmse"] == pytest.approx(rmse, abs=1e-4)
    assert found["energy_rmse"] < 0.01 < 0.6 < min(energies)
    config = json.loads((tmp_path / "cu" / "config.json").read_text())
    assert config["start"] == "7net-0" and config["r_max"] == 5.0
