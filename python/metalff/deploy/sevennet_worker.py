"""Export a SevenNet model; runs inside sevenn's private environment: ``python -P sevennet_worker.py MODEL OUT_DIR MODAL ELEMENTS``.

MODEL is a file of ``sevennet_layers.save``, a checkpoint of sevenn or the name of a pretrained model; MODAL may be empty; ELEMENTS, with commas
between them, may be empty, too: then all are kept. Writes ``float64.zip``, ``float32.zip`` (program.py),
``weights.safetensors``, ``selftest.json`` and ``model.json`` into OUT_DIR.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from matscipy.neighbours import neighbour_list

sys.path.append(str(Path(__file__).resolve().parent))
import sevennet_layers
from contract import export_model
from reference import crystal, selftest

COMMON = ("Cu", "Ni", "Al", "Mo")
"""Elements of the self-test of a model that has all of them."""


def say(text):
    print(json.dumps({"say": text}), flush=True)


def read(path, modal, elements):
    """The model for the elements asked for, its configuration, its modal and the calculator of the model as it was given."""
    torch.set_default_dtype(torch.float64)
    modal = modal or None
    if path.suffix == ".safetensors":
        model, config = sevennet_layers.restore(path.read_bytes())
        modal = sevennet_layers.choose(modal, [])
        given = model
    else:
        named = path.name in sevennet_layers.PRETRAINED and not path.exists()
        given, modal, model, config = sevennet_layers.checkpoint(path.name if named else str(path), modal)
    calculator = sevennet_layers.calculator(given, modal)
    elements = elements.split(",") if elements else [symbol for symbol in config["elements"] if symbol != "X"]
    return *sevennet_layers.cut(model, config, elements), modal, calculator


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    model, config, modal, calculator = read(path, *sys.argv[3:5])
    symbols, r_max = config["elements"], float(config["cutoff"])
    tested = list(COMMON) if set(COMMON) <= set(symbols) else symbols[:4]

    say("reference energies, forces and stresses from SevenNetCalculator")
    (out / "selftest.json").write_text(json.dumps(selftest(calculator, tested)))
    check(model, calculator, tested)
    (out / "weights.safetensors").write_bytes(sevennet_layers.save(model, config))

    i, j, vec = neighbour_list("ijD", crystal(symbols[:4], 0).repeat((2, 1, 1)), r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    for name in ("float64", "float32"):
        say(f"exporting the program in {name}")
        dtype = getattr(torch, name)
        torch.set_default_dtype(dtype)
        same = sevennet_layers.build(config)
        sevennet_layers.load(same, model.state_dict())
        layers = sevennet_layers.Layers(same)
        (out / f"{name}.zip").write_bytes(export_model(layers, torch.tensor(vec, dtype=dtype), edge_index, min(4, len(symbols))))
    description = {
        "family": "sevennet",
        "elements": symbols,
        "r_max": r_max,
        "layers": layers.layers,
        "modal": modal,
        "hyperparameters": config,
        "versions": {name: metadata.version(name) for name in ("sevenn", "e3nn", "torch")},
    }
    (out / "model.json").write_text(json.dumps(description))


def check(model, calculator, symbols):
    """The model without other modals and elements has the energy of the whole one."""
    atoms = crystal(symbols, 1)
    energies = []
    for calc in (calculator, sevennet_layers.calculator(model)):
        atoms.calc = calc
        energies.append(atoms.get_potential_energy())
    if abs(energies[1] - energies[0]) > 1e-8 * len(atoms):
        sys.exit(f"the energy changes by {energies[1] - energies[0]:.1e} eV when other modals and elements are left out")


if __name__ == "__main__":
    main()
