"""Export a NequIP or an Allegro model; runs inside nequip's private environment: ``python -P nequip_worker.py MODEL OUT_DIR``.

MODEL is a file of ``nequip_layers.save``. Writes
``float64.zip``, ``float32.zip`` (program.py), ``weights.safetensors``, ``selftest.json`` and ``model.json`` into
OUT_DIR.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from matscipy.neighbours import neighbour_list

sys.path.append(str(Path(__file__).resolve().parent))
import nequip_layers
from contract import export_model
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.integrations.ase import NequIPCalculator
from reference import crystal, selftest


def say(text):
    print(json.dumps({"say": text}), flush=True)


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    model, config = nequip_layers.restore(path.read_bytes())
    symbols, r_max = list(config["type_names"]), float(config["r_max"])
    family = "allegro" if config["builder"].startswith("Allegro") else "nequip"

    say("reference energies, forces and stresses from NequIPCalculator")
    transforms = [ChemicalSpeciesToAtomTypeMapper(symbols), NeighborListTransform(r_max=r_max)]
    calculator = NequIPCalculator(model, "cpu", transforms=transforms)
    (out / "selftest.json").write_text(json.dumps(selftest(calculator, symbols[:4])))
    (out / "weights.safetensors").write_bytes(nequip_layers.save(model, config))

    i, j, vec = neighbour_list("ijD", crystal(symbols[:4], 0).repeat((2, 1, 1)), r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    for name in ("float64", "float32"):
        say(f"exporting the program in {name}")
        same = nequip_layers.build(config, name).eval()
        same.load_state_dict(model.state_dict())
        dtype = getattr(torch, name)
        torch.set_default_dtype(dtype)
        layers = nequip_layers.layers_of(same)
        (out / f"{name}.zip").write_bytes(export_model(layers, torch.tensor(vec, dtype=dtype), edge_index, min(4, len(symbols))))
    packages = ("nequip", "e3nn", "torch", *(["nequip-allegro"] if family == "allegro" else []))
    description = {
        "family": family,
        "elements": symbols,
        "r_max": r_max,
        "layers": layers.layers,
        "hyperparameters": config,
        "versions": {name: metadata.version(name) for name in packages},
    }
    (out / "model.json").write_text(json.dumps(description))


if __name__ == "__main__":
    main()
