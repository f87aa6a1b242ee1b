"""Train a SevenNet model, from scratch or from a pretrained one; runs inside sevenn's private environment: see ``loop.py``."""

import sys
from pathlib import Path

import numpy as np
import torch

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import loop
import sevennet_layers

OFFSET_FRAMES = 32
"""Training frames from which the energy offset of a pretrained model is fitted."""


class SevenNet(loop.Family):
    """Kept as ``weights.safetensors`` with the arguments of sevenn's builder in it. In training the model's shift is zero."""

    recorded = ("sevenn", "e3nn")

    def build(self, cfg, e0, neighbours, scale):
        self.e0, dtype = torch.tensor(e0), torch.get_default_dtype()
        if cfg["start"]:
            self.config, state = self.pretrained(cfg)
        else:
            self.config, state = arguments(cfg, neighbours, scale), None
        torch.set_default_dtype(dtype)  # sevenn's checkpoints change it
        model = sevennet_layers.build(self.config)
        if state:
            sevennet_layers.load(model, state)
        set_shift(model, torch.zeros(len(cfg["elements"])))
        return sevennet_layers.Layers(model)

    def pretrained(self, cfg):
        """Configuration and weights of a pretrained model, cut down to the elements of the data."""
        if not hasattr(self, "start"):
            _, _, model, config = sevennet_layers.checkpoint(cfg["start"], cfg["modal"] or None)
            model, config = sevennet_layers.cut(model, config, cfg["elements"])
            self.start = config, model.state_dict()
        return self.start

    def prepare(self, model, run):
        """E0 of a pretrained model: what its energies and those of the data differ by, on average, for each element."""
        if not run.cfg["start"] or model is not run.kept:  # the offset is fitted once, in float64
            return
        every = max(1, len(run.train) // OFFSET_FRAMES)
        frames = run.train[::every] + [next(f for f in run.train if k in f.types) for k in range(len(run.cfg["elements"]))]
        counts = np.array([np.bincount(f.types, minlength=len(run.cfg["elements"])) for f in frames], float)
        missing = [float(f.energy - self.total(model, f)) for f in frames]
        self.e0 = run.e0 = torch.tensor(np.linalg.lstsq(counts, np.array(missing), rcond=None)[0])

    @torch.no_grad()
    def total(self, model, frame):
        """Energy of one frame without E0, eV."""
        edge_vec, edge_index, types, batch = loop.collate([frame])
        return self.energies(model, edge_vec.double(), edge_index, types, batch, 1).sum()

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        features = None
        for k in range(model.layers):
            energy, features = model.layer(k, edge_vec, edge_index, types, features, len(types))
        return energy

    def save(self, model, cfg, out):
        set_shift(model.model, self.e0)
        config = self.config | sevennet_layers.energies_of(model.model.state_dict())
        data = sevennet_layers.save(model.model, config)
        loop.save_atomically(lambda path: path.write_bytes(data), out / "weights.safetensors")


def set_shift(model, values):
    """Energies of free atoms (eV) into a model, by type."""
    with torch.no_grad():
        model.get_parameter(sevennet_layers.SHIFT).copy_(values)


def arguments(cfg, neighbours, scale):
    """Keys of sevenn's model configuration for a configuration of MetalFF; the shift is set when the model is saved."""
    channels, layers = cfg["channels"], cfg["num_layers"]
    hidden = "+".join(f"{max(1, channels >> l)}x{l}e" for l in range(cfg["l_max"] + 1))
    species = len(cfg["elements"])
    return {
        "elements": cfg["elements"],
        "cutoff": cfg["r_max"],
        "channel": channels,
        "lmax": cfg["l_max"],
        "is_parity": cfg["parity"],
        "num_convolution_layer": layers,
        "irreps_manual": False if cfg["parity"] else [f"{channels}x0e", *[hidden] * (layers - 1), f"{channels}x0e"],
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": cfg["num_bessel"]},
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": cfg["polynomial_cutoff_p"]},
        "weight_nn_hidden_neurons": cfg["radial_mlp"],
        "self_connection_type": cfg["self_connection"],
        "conv_denominator": float(neighbours),
        "shift": [0.0] * species,
        "scale": [float(scale)] * species,
    }


if __name__ == "__main__":
    loop.main(SevenNet())
