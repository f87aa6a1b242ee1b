"""What leaving elements and modals out changes, as JSON: ``python -P sevennet_smaller.py DEPLOY_DIR``; runs inside sevenn's environment."""

import json
import sys

import torch

sys.path.append(sys.argv[1])
import sevennet_layers
from reference import crystal

CONFIG = {
    "elements": ["Ag", "Ni", "Cu"],
    "cutoff": 4.0,
    "channel": 4,
    "lmax": 1,
    "num_convolution_layer": 2,
    "self_connection_type": ["nequip", "linear"],
    "use_bias_in_linear": True,
    "conv_denominator": 6.0,
    "shift": [1.0, -0.5, -0.2],
    "scale": [10.0, 30.0, 25.0],
}


def change(atoms, calculators):
    """Largest change of a force, and the change of the energy per atom, between two calculators."""
    energies, forces = [], []
    for calculator in calculators:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
        forces.append(atoms.get_forces())
    return {
        "energy": abs(energies[1] - energies[0]),
        "forces": abs(forces[1] - forces[0]).max(),
        "largest": abs(forces[0]).max(),
    }


def main():
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    model = sevennet_layers.build(CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    smaller, _ = sevennet_layers.cut(model, CONFIG, ["Cu", "Ni"])
    calculators = sevennet_layers.calculator(model), sevennet_layers.calculator(smaller)
    results = {"two elements of three": change(crystal(["Cu", "Ni"], 1), calculators)}

    two = crystal(["Cu", "Ni"], 2)[:6]
    for modal in ("PBE", "r2scan"):
        whole, chosen, single, config = sevennet_layers.checkpoint("7net-mf-0", modal)
        single, config = sevennet_layers.cut(single, config, ["Ni", "Cu"])
        calculators = sevennet_layers.calculator(whole, chosen), sevennet_layers.calculator(single)
        results[chosen] = change(two, calculators) | {"total": two.get_potential_energy(), "elements": config["elements"]}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
