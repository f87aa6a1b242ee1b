"""Files of deepmd-kit, read back: ``python -P deepmd_files.py DEPLOY_DIR TRAIN_DIR DIR``; runs inside its environment.

Writes into DIR ``files.json``: of each kind of file, whether the model that it gives is the one written; ``refused.json``: of each model
that is not covered, the sentence; ``statistics.json``: those of ``deepmd_worker`` and those of deepmd itself, on the same frames.
"""

import copy
import json
import sys
from pathlib import Path

import ase.build
import numpy as np
import torch

sys.path += [sys.argv[2], sys.argv[1]]  # both have a deepmd_worker; the training one is meant
import deepmd_layers
import deepmd_worker
import loop
from deepmd.dpmodel.utils.serialization import save_dp_model
from deepmd.pt.model.model import get_model
from deepmd.pt.train.wrapper import ModelWrapper

FOLDER = Path(sys.argv[3])
CONFIG = {
    "type_map": ["Ni", "Cu"],
    "descriptor": {
        "type": "se_e2_a",
        "rcut": 4.0,
        "rcut_smth": 1.5,
        "sel": [50, 60],
        "neuron": [3, 6],
        "axis_neuron": 2,
        "activation_function": "silu",
        "type_one_side": False,
        "seed": 1,
    },
    "fitting_net": {"type": "ener", "neuron": [4, 4], "activation_function": "gelu", "resnet_dt": False, "seed": 2},
}
ATTENTION = {"type": "se_atten", "rcut": 4.0, "rcut_smth": 1.5, "sel": 60, "neuron": [3, 6], "axis_neuron": 2, "attn_layer": 0}
REFUSED = {
    "attention": {"descriptor": ATTENTION},
    "spin": {"spin": {"use_spin": [True, False], "virtual_scale": [0.3]}},
    "dipole": {"fitting_net": {"type": "dipole", "neuron": [4, 4]}},
    "frame parameters": {"fitting_net": {"numb_fparam": 2}},
    "atom parameters": {"fitting_net": {"numb_aparam": 2}},
    "pairs of the descriptor": {"descriptor": {"exclude_types": [[0, 1]]}},
    "pairs of the model": {"pair_exclude_types": [[0, 1]]},
    "types": {"atom_exclude_types": [0]},
    "vacuum": {"fitting_net": {"atom_ener": [[1.0], [2.0]]}},
    "symbol": {"type_map": ["Ni", "B1"]},
}


def merged(change):
    config = copy.deepcopy(CONFIG)
    for key, value in change.items():
        if isinstance(value, dict) and "type" not in value and key in config:
            config[key] |= value
        else:
            config[key] = value
    return config


def checkpoint(config, path):
    torch.save({"model": ModelWrapper(get_model(config), model_params=config).state_dict()}, path)


class Holder(torch.nn.Module):
    """A frozen model of a release without tables for compressed models: the same weights under the same names, but for those tables."""

    model_def_script: str

    def __init__(self, weights):
        super().__init__()
        self.model_def_script = json.dumps(CONFIG)
        for name, tensor in weights.items():
            place, *parts = self, *name.split(".")
            for part in parts[:-1]:
                if part not in place._modules:
                    place.add_module(part, torch.nn.Module())
                place = place._modules[part]
            place.register_buffer(parts[-1], tensor)


def files():
    model = get_model(CONFIG)
    model.atomic_model.descriptor.sea.mean[:, :, 0] = 0.05
    model.atomic_model.out_bias[:] = 1.5
    torch.save({"model": ModelWrapper(model, model_params=CONFIG).state_dict()}, FOLDER / "model.pt")
    model.model_def_script = json.dumps(CONFIG)
    torch.jit.save(torch.jit.script(model), FOLDER / "model.pth")
    for suffix in ("dp", "yaml"):
        save_dp_model(str(FOLDER / f"model.{suffix}"), {"model": model.serialize(), "model_def_script": CONFIG, "@variables": {}})
    older = {name: tensor for name, tensor in model.state_dict().items() if "compress_" not in name and not name.endswith("_extra_state")}
    assert len(older) < len(model.state_dict())
    torch.jit.save(torch.jit.script(Holder(older)), FOLDER / "older.pth")
    torch.jit.save(torch.jit.script(Holder(dict(list(older.items())[:-1]))), FOLDER / "less.pth")
    single = merged({"descriptor": {"precision": "float32"}, "fitting_net": {"precision": "float32"}})
    checkpoint(single, FOLDER / "single.pt")
    same = {}
    for name in ("model.pt", "model.pth", "older.pth", "model.dp", "model.yaml", "single.pt"):
        read, config = deepmd_layers.read_model(FOLDER / name)
        weights = model.state_dict() if name != "single.pt" else get_model(single).state_dict()
        expected = deepmd_layers.configuration(model)
        same[name] = config == expected and all(torch.equal(weights[key].double(), value) for key, value in read.state_dict().items())
    return same


def refused():
    sentences = {}
    for name, change in REFUSED.items():
        checkpoint(merged(change), FOLDER / "refused.pt")
        sentences[name] = sentence("refused.pt")
    sentences["weights"] = sentence("less.pth")
    heads = {"model_dict": {"a": CONFIG, "b": CONFIG}}
    torch.save({"model": {"_extra_state": {"model_params": heads}}}, FOLDER / "refused.pt")
    sentences["heads"] = sentence("refused.pt")
    for suffix in ("pt", "pth", "dp", "yaml"):
        (FOLDER / f"damaged.{suffix}").write_bytes((FOLDER / f"model.{suffix}").read_bytes()[:700])
        sentences[f"damaged {suffix}"] = sentence(f"damaged.{suffix}")
    return sentences


def sentence(file):
    try:
        deepmd_layers.read_model(FOLDER / file)
    except deepmd_layers.Unsupported as reason:
        return str(reason)


def statistics():
    structures, frames, samples = [], [], []
    for seed, symbols in ((1, ["Cu", "Ni", "Ni", "Cu"]), (2, ["Cu"] * 4)):
        atoms = ase.build.bulk("Cu", cubic=True)
        atoms.symbols = symbols
        atoms.rattle(0.1, seed=seed)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = 0.0, np.zeros((4, 3))
        structures.append(atoms)
    ase.io.write(FOLDER / "frames.xyz", structures, format="extxyz")
    frames = loop.read_frames(FOLDER / "frames.xyz", [28, 29], 4.0, torch.float64)
    for frame, atoms in zip(frames, structures):
        box = torch.tensor(atoms.cell.array).reshape(1, 9)
        samples.append({"coord": frame.positions[None], "atype": frame.types[None], "box": box})
    descriptor = get_model(CONFIG).atomic_model.descriptor
    descriptor.compute_input_stats(samples)
    ours = deepmd_worker.statistics(frames, 4.0, 1.5, CONFIG["descriptor"]["sel"])
    return {
        "ours": [part.tolist() for part in ours],
        "deepmd": [part[:, 0].tolist() for part in (descriptor.sea.mean, descriptor.sea.stddev)],
    }


for task in (files, refused, statistics):
    (FOLDER / f"{task.__name__}.json").write_text(json.dumps(task()))
