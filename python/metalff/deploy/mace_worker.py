"""Export a MACE model; runs inside MACE's private environment: ``python -P mace_worker.py MODEL OUT_DIR``.

MODEL is a file of mace, the ``weights.safetensors`` of a training, or a directory with the ``weights.safetensors`` and ``config.json`` of an
artefact.
Writes ``float64.zip``, ``float32.zip`` (program.py), ``weights.safetensors``, ``native.safetensors`` where the native engine
covers the model, ``selftest.json`` and ``model.json`` into OUT_DIR.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import torch

# e3nn and mace script parts of themselves while they are imported, and scripts would fix the number of edges
_script = torch.jit.script
torch.jit.script = lambda obj=None, *_, **__: obj if obj is not None else (lambda f: f)
import e3nn.util.jit  # noqa: E402

e3nn.util.jit.compile_mode = lambda mode: lambda cls: cls
e3nn.set_optimization_defaults(jit_script_fx=False)
from mace import modules  # noqa: E402  (before e3nn.o3: mace lets torch load e3nn's constants)
from e3nn import o3  # noqa: E402
from mace.calculators import MACECalculator  # noqa: E402
from mace.tools.scripts_utils import extract_config_mace_model  # noqa: E402

torch.jit.script = _script

import ase.data  # noqa: E402
import numpy as np  # noqa: E402
from matscipy.neighbours import neighbour_list  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parent))  # at the end, and python -P: mace.py beside this is not mace
import mace_weights  # noqa: E402
from contract import export_model  # noqa: E402
from program import read_header, read_safetensors, safetensors  # noqa: E402
from reference import crystal, selftest  # noqa: E402


class Layers(torch.nn.Module):
    """The layers of a ScaleShiftMACE as functions of edge vectors (``ScaleShiftMACE.forward``, cut between interactions)."""

    def __init__(self, model):
        super().__init__()
        self.model, self.layers = model, int(model.num_interactions)
        self.register_buffer("one_hot", torch.eye(len(model.atomic_numbers), dtype=model.r_max.dtype))

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        model, attrs = self.model, self.one_hot[types]
        edge_index = edge_index.flip(0)  # mace: from the sender (neighbour) to the receiver (centre)
        lengths = torch.linalg.norm(edge_vec, dim=1, keepdim=True)
        edge_feats, cutoff = model.radial_embedding(lengths, attrs, edge_index, model.atomic_numbers)
        features, skip = model.interactions[k](
            node_attrs=attrs,
            node_feats=model.node_embedding(attrs) if k == 0 else features,
            edge_attrs=model.spherical_harmonics(-edge_vec),
            edge_feats=edge_feats,
            edge_index=edge_index,
            cutoff=cutoff,
            first_layer=True,  # here: the block need not fetch features of ghosts
            lammps_class=True,  # here: n of the nodes are centres, and the block returns these
            lammps_natoms=(n, 0),
        )
        features = model.products[k](node_feats=features, sc=skip, node_attrs=attrs[:n])
        head = torch.zeros(n, dtype=torch.long)
        energy = features.new_zeros(n)
        readouts = model.readouts
        if len(readouts) == self.layers or k == self.layers - 1:
            energy = readouts[k if len(readouts) == self.layers else 0](features, head)[:, 0]
        if k > 0:
            return energy * torch.atleast_1d(model.scale_shift.scale)[0], features
        if hasattr(model, "pair_repulsion"):
            repulsion = model.pair_repulsion_fn(lengths, attrs, edge_index, model.atomic_numbers)
            energy = energy + repulsion[:n]
        return model.scale_shift(energy, head) + model.atomic_energies_fn(attrs[:n])[:, 0], features


def restore(path: Path):
    """The model of a training's or an artefact's weights and hyperparameters."""
    weights = (path / "weights.safetensors" if path.is_dir() else path).read_bytes()
    config = json.loads((path / "config.json").read_text() if path.is_dir() else read_header(weights)["config"])
    for name in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        config[name] = getattr(modules, config[name])
    config["gate"] = getattr(torch.nn.functional, config["gate"]) if config["gate"] else None
    for name in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        config[name] = o3.Irreps(config[name]) if config[name] else None
    config["atomic_energies"] = np.array(config["atomic_energies"])
    torch.set_default_dtype(torch.float64)
    model = modules.ScaleShiftMACE(**config)
    model.load_state_dict(read_safetensors(weights))
    return model


def rebuild(trained):
    """The same model without scripted parts."""
    torch.set_default_dtype(torch.float64)
    config = extract_config_mace_model(trained)
    if "error" in config:
        sys.exit(f"the model cannot be deployed: {config['error']}")
    model = type(trained)(**config) if isinstance(trained, modules.ScaleShiftMACE) else None
    if model is None:
        sys.exit(f"the model is a {type(trained).__name__}, and only ScaleShiftMACE can be deployed")
    model.load_state_dict(trained.double().state_dict())
    return model.eval()


def main():
    model_file, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    if Path(model_file).is_dir() or model_file.endswith(".safetensors"):
        trained = restore(Path(model_file))
    else:
        trained = torch.load(model_file, map_location="cpu", weights_only=False)  # a model of mace is a pickle; the user was told
    model = rebuild(trained)
    symbols = [ase.data.chemical_symbols[int(z)] for z in model.atomic_numbers]
    r_max = float(model.r_max)

    def say(text):
        print(json.dumps({"say": text}), flush=True)

    say("reference energies, forces and stresses from MACECalculator")
    calculator = MACECalculator(models=[trained], device="cpu", default_dtype="float64")
    (out / "selftest.json").write_text(json.dumps(selftest(calculator, symbols[:4])))
    # coupling coefficients too: a model trained in float32 carries them rounded
    (out / "weights.safetensors").write_bytes(safetensors(model.state_dict()))

    try:
        (out / "native.safetensors").write_bytes(mace_weights.payload(model))
    except mace_weights.NotCovered as reason:
        say(f"the native engine does not cover this model: {reason}; it runs on the torch engine")

    i, j, vec = neighbour_list("ijD", crystal(symbols[:4], 0).repeat((2, 1, 1)), r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    for dtype in (torch.float64, torch.float32):
        name = str(dtype).removeprefix("torch.")
        say(f"exporting the program in {name}")
        torch.set_default_dtype(dtype)
        layers = Layers(model.to(dtype))
        (out / f"{name}.zip").write_bytes(export_model(layers, torch.tensor(vec, dtype=dtype), edge_index, min(4, len(symbols))))
    config = extract_config_mace_model(trained)
    description = {
        "family": "mace",
        "elements": symbols,
        "r_max": r_max,
        "layers": int(model.num_interactions),
        "hyperparameters": {k: mace_weights.plain(v) for k, v in config.items()},
        "versions": {name: metadata.version(name) for name in ("mace-torch", "e3nn", "torch")},
    }
    (out / "model.json").write_text(json.dumps(description))


if __name__ == "__main__":
    main()
