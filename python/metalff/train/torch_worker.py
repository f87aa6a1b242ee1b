"""Train a user's module; runs with MetalFF's own Python: see ``loop.py``."""

import json
import sys
from pathlib import Path

import torch

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import conformance
import loop
from program import safetensors
from user_module import ContractError, Layers, energies, make


class Torch(loop.Family):
    """Energies are E0 + scale × the module's. Kept as ``weights.safetensors`` with the arguments, E0 and the scale in it."""

    def __init__(self):
        self.buffers = {}

    def build(self, cfg, e0, neighbours, scale):
        file, dtype = Path(cfg["module"].split(":")[0]).resolve(), torch.get_default_dtype()
        offered = {"elements": cfg["elements"], "r_max": cfg["r_max"], "avg_num_neighbors": neighbours}
        torch.manual_seed(cfg["seed"])
        module, arguments = make(file, cfg["module"].split(":")[1], cfg["arguments"], offered)
        conformance.check_attributes(module)
        for option, own, given in (
            ("--elements", list(module.elements), cfg["elements"]),
            ("--r-max", float(module.r_max), cfg["r_max"]),
        ):
            if own != given:
                raise ContractError(
                    f"{cfg['module']} has {own} for {option} and the training {given}: give what the module has, or let it take this as an argument"
                )
        model = Layers(module, scale=scale).eval()
        conformance.check(model, file, trained=False)
        torch.set_default_dtype(dtype)
        for name, buffer in module.named_buffers():
            if not torch.allclose(self.buffers.setdefault(name, buffer.double()), buffer.double(), rtol=1e-5, atol=1e-6):
                raise ContractError(f"the buffer {name} of {cfg['module']} is another one each time: make it a parameter, or fix its values")
        self.record = {"arguments": arguments, "e0": list(map(float, e0)), "scale": float(scale)}
        return model.to(dtype)

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        return energies(model, edge_vec, edge_index, types)

    def save(self, model, cfg, out):
        data = safetensors(model.module.state_dict(), {"training": json.dumps(self.record)})
        loop.save_atomically(lambda path: path.write_bytes(data), out / "weights.safetensors")


if __name__ == "__main__":
    try:
        loop.main(Torch())
    except ContractError as error:
        sys.exit(str(error))
