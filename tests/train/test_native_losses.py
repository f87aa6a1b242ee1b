"""MACE's loss by the native engine against torch's double backward on the same model and frames."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metalff.deploy
import metalff.train
from metalff.data import Dataset, load
from metalff.environments import environment_python
from metalff.train import training
from metalff.train.configuration import configuration

SCRIPT = Path(__file__).with_name("mace_losses.py")

MODELS = {
    "default": {"elements": ["Cu"]},
    "alloy": {
        "elements": ["Cu", "Ni"], "channels": 6, "max_L": 2, "l_max": 3, "num_layers": 3, "correlation": 2, "zbl": True,
        "r_max": 3.5, "radial_mlp": [12, 10], "num_bessel": 5, "readout_channels": 5,
    },
    "one layer of scalars": {"elements": ["Cu"], "channels": 9, "max_L": 0, "num_layers": 1, "l_max": 3},
    "weights and a robust loss": {"elements": ["Cu"], "channels": 6, "num_layers": 1, "huber": 0.5, "weight": ["element=Cu:0.3"]},
}  # fmt: skip


def datasets(elements):
    """Small frames, six to train on and two others, the second without stress; in an alloy of both elements."""
    frames = sorted(load("zuo2020-Cu", "train"), key=len)[:8]
    frames = [replace(f, weight=0.5 + 0.5 * k) for k, f in enumerate(frames)]
    frames = [f if k == 1 else replace(f, stress=np.diag([0.01, 0.0, -0.02])) for k, f in enumerate(frames)]
    if len(elements) > 1:
        rng = np.random.default_rng(0)
        frames = [replace(f, numbers=np.where(rng.random(len(f)) < 0.5, 28, 29)) for f in frames]
    return Dataset("few", tuple(frames[:6])), Dataset("others", tuple(frames[6:]))


@pytest.fixture(scope="module")
def compared(mace_environment, tmp_path_factory):
    """By name of a model: what mace_losses.py found."""
    folders = []
    for values in MODELS.values():
        data, valid = datasets(values["elements"])
        folders.append(tmp_path_factory.mktemp("losses") / "training")
        training.prepare("mace", configuration("mace", values), data, folders[-1], valid)
    code = [Path(module.__file__).parent for module in (metalff.train, metalff.deploy)]
    command = [environment_python("mace"), "-P", SCRIPT, *code, *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(MODELS, (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))))


@pytest.mark.parametrize("model", MODELS)
def test_losses_agree(model, compared):
    found = compared[model]
    assert found["losses"][0] == pytest.approx(found["losses"][1], rel=1e-6)
    assert found["losses"][0] > 0.1
    assert found["gradient"] < 1e-6 and not found["alone"]
    assert found["energy"] < 1e-6 and found["forces"] < 1e-6
