"""A SevenNet model of nickel and copper with random weights: ``python -P random_sevennet.py DEPLOY_DIR FILE``.

Runs inside sevenn's environment; DEPLOY_DIR holds ``sevennet_layers.py``.
"""

import sys
from pathlib import Path

import torch

sys.path.append(sys.argv[1])
import sevennet_layers

CONFIG = {
    "elements": ["Ni", "Cu"],
    "cutoff": 4.0,
    "channel": 4,
    "lmax": 1,
    "is_parity": True,
    "num_convolution_layer": 2,
    "self_connection_type": ["nequip", "linear"],
    "use_bias_in_linear": True,
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 6},
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.5},  # not zero beyond the cutoff
    "weight_nn_hidden_neurons": [16],
    "conv_denominator": 5.0,
    "shift": [-0.5, -0.2],
    "scale": [30.0, 25.0],
}


def main():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    model = sevennet_layers.build(CONFIG)
    Path(sys.argv[2]).write_bytes(sevennet_layers.save(model, CONFIG))


if __name__ == "__main__":
    main()
