"""Train a MACE model; runs inside MACE's private environment: see ``loop.py``."""

import sys
from pathlib import Path

import ase.data
import torch
from mace import modules  # before e3nn: mace lets torch load e3nn's constants

# isort: split
from e3nn import o3

sys.path.append(str(Path(__file__).resolve().parent))
import loop


class Mace(loop.Family):
    """Kept as ``mace.model``, in mace's own format."""

    recorded = ("mace-torch", "e3nn")

    def build(self, cfg, e0, neighbours, scale):
        irreps = " + ".join(f"{cfg['channels']}x{l}{'e' if l % 2 == 0 else 'o'}" for l in range(cfg["max_L"] + 1))
        return modules.ScaleShiftMACE(
            r_max=cfg["r_max"],
            num_bessel=cfg["num_bessel"],
            num_polynomial_cutoff=cfg["num_polynomial_cutoff"],
            max_ell=cfg["l_max"],
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
            num_interactions=cfg["num_layers"],
            num_elements=len(cfg["elements"]),
            hidden_irreps=o3.Irreps(irreps),
            MLP_irreps=o3.Irreps(f"{cfg['readout_channels']}x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=e0,
            avg_num_neighbors=neighbours,
            atomic_numbers=[ase.data.atomic_numbers[e] for e in cfg["elements"]],
            correlation=cfg["correlation"],
            radial_type="bessel",
            radial_MLP=cfg["radial_mlp"],
            pair_repulsion=cfg["zbl"],
            atomic_inter_scale=scale,
            atomic_inter_shift=0.0,
        )

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        data = {
            "positions": edge_vec.new_zeros(len(types), 3),
            "shifts": edge_vec,
            "unit_shifts": torch.zeros_like(edge_vec),
            "edge_index": edge_index.flip(0),  # mace: sender, receiver; vectors point to the receiver
            "node_attrs": torch.nn.functional.one_hot(types, len(model.atomic_numbers)).to(edge_vec.dtype),
            "batch": batch,
            "ptr": torch.zeros(frames + 1, dtype=torch.long),
            "cell": edge_vec.new_zeros(3 * frames, 3),
        }
        energy = model(data, training=model.training, compute_force=False)["node_energy"]
        return energy - model.atomic_energies_fn(data["node_attrs"]).flatten()

    def decayed(self, name):
        return "linear" in name and "products" not in name

    def save(self, model, cfg, out):
        loop.save_atomically(lambda path: torch.save(model, path), out / "mace.model")


if __name__ == "__main__":
    loop.main(Mace())
