"""A DeePMD training, tiny: what is decided from the data, killed and resumed, deployed, refused."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metalff.artifact import read_manifest
from metalff.data import Dataset, load
from metalff.deploy import deepmd
from metalff.environments import create
from metalff.errors import MetalffError
from metalff.train import training
from metalff.train.configuration import configuration

CU = {"elements": ["Cu"], "r_max": 4.0}
TINY = {"elements": ["Ni", "Cu"], "r_max": 4.0, "neuron": [4, 8], "axis_neuron": 4, "fitting_neuron": [8, 8]}
EPOCHS = 6
REFUSED = [
    ({"rcut_smth": 4.0}, "rcut_smth 4 must be below r_max 4"),
    ({"axis_neuron": 9, "neuron": [4, 8]}, "axis_neuron 9 must not exceed the last width of neuron, 8"),
    ({"sel": [40, 40]}, "sel must give one number for each of Cu"),
    ({"sel": "automatic"}, "sel must be auto or a list"),
    ({"neuron": []}, "neuron: "),
    ({"activation_function": "tan"}, "activation_function: .*'tanh'.*not 'tan'"),
    ({"l_max": 2}, "unknown key l_max"),
]


@pytest.mark.parametrize("values, sentence", REFUSED)
def test_refused(values, sentence):
    with pytest.raises(MetalffError, match=sentence) as error:
        configuration("deepmd", CU | values)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def parts():
    """Few and small frames, every other atom called nickel."""
    small = sorted(load("zuo2020-Cu", "train"), key=len)[:12]
    mixed = [replace(f, numbers=np.where(np.arange(len(f)) % 2, 28, 29)) for f in small]
    return Dataset("train", tuple(mixed[::2])), Dataset("valid", tuple(mixed[1::2]))


def prepared(out, parts, **more):
    chosen = configuration("deepmd", TINY | {"max_epochs": EPOCHS, "budget_s": 1e9, "threads": 1, "batch_size": 2} | more)
    return training.prepare("deepmd", chosen, parts[0], out, parts[1])


def curve(out):
    return [row.split(",")[:2] + row.split(",")[3:] for row in (out / "history.csv").read_text().splitlines()]  # without times


@pytest.fixture(scope="module")
def finished(parts, tmp_path_factory):
    create("deepmd")
    out = tmp_path_factory.mktemp("training") / "cuni"
    prepared(out, parts)
    training.train(out)
    return out


def test_slots_are_counted_in_the_training_part(finished, parts, tmp_path):
    sel = json.loads((finished / "config.json").read_text())["sel"]
    most = [0, 0]
    for frame in parts[0]:
        images = np.array(list(np.ndindex(7, 7, 7))) - 3
        vectors = frame.positions[None, :, None] - frame.positions[:, None, None] + images @ frame.cell
        distances = np.linalg.norm(vectors, axis=3)
        near = ((distances > 0) & (distances < TINY["r_max"])).sum(2)
        most = [max(most[k], near[:, frame.numbers == z].sum(1).max()) for k, z in enumerate((28, 29))]
    assert all(1.25 * count <= slots < 1.25 * count + 4 and slots % 4 == 0 for count, slots in zip(most, sel))
    assert prepared(tmp_path / "given", parts, sel=[30, 50])["sel"] == [30, 50]


def test_killed_and_resumed_equals_undisturbed(finished, parts, tmp_path):
    out = tmp_path / "cuni"
    prepared(out, parts)

    def kill(message):
        if message.epoch == 3:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            (worker,) = [pid for pid in children if b"deepmd_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(int(worker), signal.SIGKILL)

    with pytest.raises(MetalffError, match="ended by SIGKILL"):
        training.train(out, kill)
    assert (out / "checkpoint.pt").exists() and not (out / "result.json").exists()
    prepared(out, parts)
    training.train(out)
    assert len(curve(out)) == 1 + EPOCHS and curve(out) == curve(finished)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (out, finished)]
    assert weights[0] == weights[1]


def test_the_first_epoch_begins_at_the_average_energy(finished):
    first = curve(finished)[1]
    assert float(first[4]) < 0.5, "eV/atom, where the energies are about -4"


def test_deployed_with_its_record(finished, tmp_path):
    deepmd.deploy(finished, tmp_path / "CuNi.mlff", accept_errors=True, say=lambda line: None)
    manifest = read_manifest(tmp_path / "CuNi.mlff")
    assert (manifest.family, manifest.elements, manifest.r_max, manifest.layers) == ("deepmd", ["Ni", "Cu"], 4.0, 1)
    config = manifest.training.config
    assert config["model"]["descriptor"]["sel"] == config["training"]["sel"]
    assert manifest.versions["deepmd-kit"] == "3.2.0" and manifest.training.frames == 6
    again = deepmd.deploy(tmp_path / "CuNi.mlff", tmp_path / "again.mlff", accept_errors=True, say=lambda line: None)
    assert again.training == manifest.training and again.name == "CuNi"
