"""Export a DeePMD model; runs inside deepmd-kit's private environment: ``python -P deepmd_worker.py MODEL OUT_DIR``.

MODEL is a file of ``deepmd_layers.save`` or of deepmd itself. Writes ``float64.zip``, ``float32.zip`` (program.py), ``weights.safetensors``,
``selftest.json`` and ``model.json`` into OUT_DIR.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from matscipy.neighbours import neighbour_list

sys.path.append(str(Path(__file__).resolve().parent))
import deepmd_layers
from contract import export_model
from deepmd.calculator import DP
from reference import crystal, selftest, structures


def say(text):
    print(json.dumps({"say": text}), flush=True)


def stretch_for(config, symbols):
    """Factor on the distances of the self-test at which no atom has more neighbours than slots: deepmd would leave some out."""
    rcut, sel = config["descriptor"]["rcut"], np.array(config["descriptor"]["sel"])
    numbers = {symbol: k for k, symbol in enumerate(config["type_map"])}
    stretch = 1.0
    while any((most_neighbours(atoms, rcut, numbers) > sel).any() for atoms in structures(symbols, stretch)):
        stretch *= 1.03
    return stretch


def most_neighbours(atoms, rcut, numbers):
    """Of each type, the most that an atom has."""
    i, j = neighbour_list("ij", atoms, rcut)
    types = np.array([numbers[symbol] for symbol in atoms.symbols])
    counts = np.zeros((len(atoms), len(numbers)), int)
    np.add.at(counts, (i, types[j]), 1)
    return counts.max(0)


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    read = path.suffix == ".safetensors"
    model, config = deepmd_layers.restore(path.read_bytes()) if read else deepmd_layers.read_model(path)
    symbols, r_max = config["type_map"], config["descriptor"]["rcut"]

    say("reference energies, forces and stresses from deepmd's own calculator")
    deepmd_layers.write_checkpoint(model, config, out / "reference.pt")
    cases = selftest(DP(out / "reference.pt"), symbols[:4], stretch_for(config, symbols[:4]))
    (out / "selftest.json").write_text(json.dumps(cases))
    (out / "weights.safetensors").write_bytes(deepmd_layers.save(model, config))

    i, j, vec = neighbour_list("ijD", crystal(symbols[:4], 0).repeat((2, 1, 1)), r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    for name in ("float64", "float32"):
        say(f"exporting the program in {name}")
        same = deepmd_layers.build(config, name).eval()
        deepmd_layers.load_weights(same, model.state_dict())
        edge_vec = torch.tensor(vec, dtype=getattr(torch, name))
        (out / f"{name}.zip").write_bytes(export_model(deepmd_layers.DeepmdLayers(same), edge_vec, edge_index, min(4, len(symbols))))
    description = {
        "family": "deepmd",
        "elements": symbols,
        "r_max": r_max,
        "layers": 1,
        "hyperparameters": config,
        "versions": {name: metadata.version(name) for name in ("deepmd-kit", "torch")},
    }
    (out / "model.json").write_text(json.dumps(description))


if __name__ == "__main__":
    try:
        main()
    except deepmd_layers.Unsupported as reason:
        sys.exit(str(reason))
