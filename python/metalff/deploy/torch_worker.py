"""Check and export a user's module: ``python -P torch_worker.py FILE.py OUT_DIR NAME ARGUMENTS [WEIGHTS]``.

ARGUMENTS is a JSON object of keyword arguments of NAME, WEIGHTS a safetensors file or a state dict of torch. Runs with any Python
that has torch, ase, matscipy and what the module imports. Writes
``float64.zip``, ``float32.zip`` (program.py), ``weights.safetensors``, ``selftest.json`` and ``model.json`` into OUT_DIR.
"""

import json
import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parent))
import conformance
from program import read_header, read_safetensors, safetensors
from reference import selftest
from user_module import ContractError, Layers, ModuleCalculator, make


def say(text):
    print(json.dumps({"say": text}), flush=True)


def read_weights(path):
    """Tensors by name, and the record that ``metalff train torch`` left with them, or an empty one."""
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        return read_safetensors(data), json.loads(read_header(data).get("training", "{}"))
    return torch.load(path, map_location="cpu", weights_only=True), {}


def restore(file, name, arguments, weights):
    """The module with its weights, in the contract, in float64; and what made it."""
    state, record = None, {}
    if weights:
        try:
            state, record = read_weights(weights)
        except Exception:  # what is raised depends on what is wrong with the file
            raise ContractError(
                f"{weights.name} is no state dict: give a .safetensors file, or a .pt file that holds nothing but tensors by name"
            ) from None
    module, arguments = make(file, name, record.get("arguments", {}) | arguments)
    conformance.check_attributes(module)
    if state is not None:
        try:
            module.double().load_state_dict(state)
        except Exception as error:
            lines = [line.strip() for line in str(error).strip().splitlines()]
            raise ContractError(f"{weights.name} does not fit {name}: {' '.join(lines[1:3]) or lines}") from None
    model = Layers(module, record.get("e0"), record.get("scale", 1.0))
    return model.double().eval(), arguments


def main():
    file, out, name, arguments = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    weights = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    torch.set_num_threads(1)
    try:
        torch.set_default_dtype(torch.float64)
        model, arguments = restore(file, name, json.loads(arguments), weights)
        say("checking the contract")
        conformance.check(model, file)
        say("reference energies, forces and stresses from the module itself")
        (out / "selftest.json").write_text(json.dumps(selftest(ModuleCalculator(model), model.elements[:4])))
        (out / "weights.safetensors").write_bytes(safetensors(model.module.state_dict()))
        for dtype in (torch.float64, torch.float32):
            precision = str(dtype).removeprefix("torch.")
            say(f"exporting the program in {precision}")
            (out / f"{precision}.zip").write_bytes(conformance.export(model, dtype, file))
    except ContractError as error:
        sys.exit(str(error))
    description = {
        "elements": model.elements,
        "r_max": model.r_max,
        "layers": model.layers,
        "arguments": arguments,
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "versions": {"torch": torch.__version__},
    }
    (out / "model.json").write_text(json.dumps(description))


if __name__ == "__main__":
    main()
