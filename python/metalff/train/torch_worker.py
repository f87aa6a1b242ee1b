"""Train a user's module; runs with MetalFF's own Python: see ``loop.py``."""

import json
import sys
from pathlib import Path

import torch

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import conformance
import loop
from contract import safetensors
from user_module import ContractError, Layers, energies, make


class Torch(loop.Family):
    """Energies are E0 + scale × the module's. Kept as ``weights.safetensors`` with the arguments, E0 and the scale in it."""

    def build(self, cfg, e0, neighbours, scale):
        file, name = cfg["module"].split(":")
        offered = {"elements": cfg["elements"], "r_max": cfg["r_max"], "avg_num_neighbors": neighbours}
        torch.manual_seed(cfg["seed"])
        module = make(Path(cfg["out"]) / file, name, cfg["arguments"], offered)
        conformance.check_attributes(module)
        for key, given in (("elements", cfg["elements"]), ("r_max", cfg["r_max"])):
            own = list(module.elements) if key == "elements" else float(module.r_max)
            if own != given:
                raise ContractError(
                    f"{name} has {key} {own}, but the training {given}: give --{key.replace('_', '-')} as the module has it, or let {name} "
                    f"take the argument {key}"
                )
        dtype = torch.get_default_dtype()
        model = Layers(module, e0, scale).eval()
        conformance.check(model, file)
        torch.set_default_dtype(dtype)
        arguments = {key: value for key, value in offered.items() if key in parameters_of(module)} | cfg["arguments"]
        self.record = {"arguments": arguments, "e0": list(e0), "scale": float(scale)}
        return model.to(dtype)

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        return energies(model, edge_vec, edge_index, types)

    def save(self, model, cfg, out):
        data = safetensors(model.module.state_dict(), {"training": json.dumps(self.record)})
        loop.save_atomically(lambda path: path.write_bytes(data), out / "weights.safetensors")
