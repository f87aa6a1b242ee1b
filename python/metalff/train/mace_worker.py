"""Train a MACE model; runs inside MACE's private environment: see ``loop.py``.

The parameters are those of mace's own modules. Where the native engine covers the architecture, it gives the loss and its gradient by the
tensors of its payload, and torch differentiates only the few products and sums that make these tensors (``mace_weights.Form``).
"""

import sys
from pathlib import Path

import ase.data
import numpy as np
import torch
from mace import modules  # before e3nn: mace lets torch load e3nn's constants

# isort: split
from e3nn import o3

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import loop
import mace_weights
import native


class Mace(loop.Family):
    """Kept as ``mace.model``, in mace's own format, and as ``weights.safetensors``, which is no pickle."""

    recorded = ("mace-torch", "e3nn")

    def precision(self, cfg):
        self.native = self._native(cfg)
        if cfg["precision"] != "auto":
            return cfg["precision"]
        return "float64" if self.native else "float32"

    def _native(self, cfg):
        """Whether the native engine trains this model."""
        if cfg["engine"] == "torch" or (cfg["engine"] == "auto" and cfg["precision"] == "float32"):
            return False
        torch.set_default_dtype(torch.float64)
        try:
            native.engine()
            mace_weights.Form(self.build(cfg, np.zeros(len(cfg["elements"])), 1.0, 1.0))
        except (ImportError, mace_weights.NotCovered) as reason:
            if cfg["engine"] == "native":
                sys.exit(f"the native engine does not train this model: {reason}; use engine torch")
            print(f"note: the native engine does not train this model: {reason}; training with torch", flush=True)
            return False
        return True

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

    def prepare(self, model, run):
        if self.native:
            self.form = mace_weights.Form(model)
            payload, frames = self.form.payload(model), [*run.train, *run.valid, *run.tested]
            self.trainer = native.Trainer("mace", payload, frames, run.cfg["threads"])

    def loss(self, model, part, e0, energy_weight, stress_weight, huber=0.0):
        if not self.native:
            return super().loss(model, part, e0, energy_weight, stress_weight, huber)
        return self.trainer.loss(self.form.flat(model), part, energy_weight, stress_weight, huber)

    def predict(self, model, part, e0):
        if not self.native:
            return super().predict(model, part, e0)
        return self.trainer.predict(self.form.flat(model), part, e0)

    def decayed(self, name):
        return "linear" in name and "products" not in name

    def save(self, model, cfg, out):
        loop.save_atomically(lambda path: torch.save(model, path), out / "mace.model")
        loop.save_atomically(lambda path: path.write_bytes(mace_weights.save(model)), out / "weights.safetensors")

    def result(self):
        return {"engine": "native" if self.native else "torch"}


if __name__ == "__main__":
    loop.main(Mace())
