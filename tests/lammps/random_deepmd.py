"""A DeePMD model of nickel and copper with random weights: ``python -P random_deepmd.py DEPLOY_DIR FILE.pt``.

Runs inside deepmd-kit's environment; DEPLOY_DIR holds ``deepmd_layers.py``. Written as a checkpoint of deepmd itself.
"""

import sys

import torch

sys.path.append(sys.argv[1])
import deepmd_layers

CONFIG = {
    "type_map": ["Ni", "Cu"],
    "descriptor": {
        "type": "se_e2_a",
        "rcut": 4.0,
        "rcut_smth": 1.5,
        "sel": [60, 70],
        "neuron": [4, 8, 16],
        "axis_neuron": 4,
        "type_one_side": False,
        "resnet_dt": True,
        "seed": 1,
    },
    "fitting_net": {"type": "ener", "neuron": [16, 16], "seed": 2},
}


def main():
    model = deepmd_layers.build(CONFIG)
    atomic = model.atomic_model
    # as after statistics of data: an empty slot is not zero, and kinds of centres differ
    atomic.descriptor.sea.mean[:, :, 0] = torch.tensor([[0.05], [0.07]])
    atomic.descriptor.sea.stddev[:] = torch.tensor([[0.11, 0.06, 0.06, 0.06], [0.14, 0.07, 0.07, 0.07]])[:, None]
    atomic.fitting_net.bias_atom_e[:, 0] = torch.tensor([-0.5, -0.2])
    atomic.out_bias[0, :, 0] = torch.tensor([-3.0, -2.0])
    with torch.no_grad():
        for network in atomic.fitting_net.filter_layers.networks:
            network.layers[-1].matrix *= 20  # forces as large as those of a metal
    deepmd_layers.write_checkpoint(model, CONFIG, sys.argv[2])


if __name__ == "__main__":
    main()
