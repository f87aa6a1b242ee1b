"""Train a NequIP or an Allegro model; runs inside nequip's private environment: see ``loop.py``."""

import sys
from pathlib import Path

import torch

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import loop
import nequip_layers


class NequIP(loop.Family):
    """Kept as ``weights.safetensors`` with the arguments of nequip's builder in it."""

    recorded = ("nequip", "nequip-allegro", "e3nn")

    def build(self, cfg, e0, neighbours, scale):
        self.e0 = torch.tensor(e0)
        self.config = arguments(cfg, e0, neighbours, scale)
        precision = str(torch.get_default_dtype()).removeprefix("torch.")
        model = nequip_layers.layers_of(nequip_layers.build(self.config, precision))
        # nequip changes the default
        torch.set_default_dtype(getattr(torch, precision))
        return model

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        vec = edge_vec.double()  # the model computes in its own precision; energies come in double, with their last digits
        features, energy = None, 0.0
        for k in range(model.layers):
            part, features = model.layer(k, vec, edge_index, types, features, len(types))
            energy = energy + part
        return energy - self.e0[types]

    def save(self, model, cfg, out):
        data = nequip_layers.save(model.model, self.config)
        loop.save_atomically(lambda path: path.write_bytes(data), out / "weights.safetensors")


def arguments(cfg, e0, neighbours, scale):
    """Arguments of nequip's builder for a configuration of MetalFF."""
    common = {
        "seed": cfg["seed"],
        "r_max": cfg["r_max"],
        "type_names": cfg["elements"],
        "l_max": cfg["l_max"],
        "parity": cfg["parity"],
        "num_layers": cfg["num_layers"],
        "avg_num_neighbors": float(neighbours),
        "per_type_energy_scales": {symbol: float(scale) for symbol in cfg["elements"]},
        "per_type_energy_shifts": {symbol: float(e) for symbol, e in zip(cfg["elements"], e0)},
    }
    if cfg["family"] == "nequip":
        names = ("num_features", "num_bessels", "polynomial_cutoff_p", "radial_mlp_depth", "radial_mlp_width")
        return {"builder": "NequIPGNNModel"} | common | {name: cfg[name] for name in names}
    return (
        {"builder": "AllegroModel"}
        | common
        | {name: cfg[name] for name in ("num_scalar_features", "num_tensor_features")}
        | {f"{network}_hidden_layers_width": cfg["mlp_width"] for network in ("scalar_embed_mlp", "allegro_mlp", "readout_mlp")}
        | {
            "radial_chemical_embed": {
                "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
                "num_bessels": cfg["num_bessels"],
                "polynomial_cutoff_p": cfg["polynomial_cutoff_p"],
            }
        }
    )


if __name__ == "__main__":
    loop.main(NequIP())
