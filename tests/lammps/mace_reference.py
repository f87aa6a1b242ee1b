"""MACE's own calculator on given structures; runs inside MACE's environment: ``python -P mace_reference.py DIR``.

DIR holds an unpacked artefact (``manifest.json``, ``weights.safetensors``) and ``structures.json``. The model is rebuilt
from hyperparameters and engine-neutral weights, which so prove to be complete; writes ``reference.json``.
"""

import json
import struct
import sys
from pathlib import Path

import ase
import ase.data
import numpy as np
import torch
from mace import modules
from mace.calculators import MACECalculator
from mace.modules import blocks
from e3nn import o3


def read_safetensors(path):
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    kinds = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32, "BOOL": np.bool_}
    out = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        array = np.frombuffer(body[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
        out[name] = torch.tensor(array)
    return out


def rebuild(folder):
    config = json.loads((folder / "manifest.json").read_text())["training"]["config"]["model"]
    torch.set_default_dtype(torch.float64)
    for key in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        config[key] = getattr(blocks, config[key])
    for key in ("hidden_irreps", "MLP_irreps"):
        config[key] = o3.Irreps(config[key])
    config["gate"] = torch.nn.functional.silu
    config["atomic_energies"] = np.array(config["atomic_energies"])
    model = modules.ScaleShiftMACE(**config)
    model.load_state_dict(read_safetensors(folder / "weights.safetensors"))
    return model


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    calculator = MACECalculator(models=[rebuild(folder)], device="cpu", default_dtype="float64")
    results = {}
    for name, s in json.loads((folder / "structures.json").read_text()).items():
        atoms = ase.Atoms(s["symbols"], positions=s["positions"], cell=s["cell"], pbc=True)
        atoms.calc = calculator
        results[name] = {
            "energy": float(atoms.get_potential_energy()),
            "energies": atoms.get_potential_energies().tolist(),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress(voigt=False).tolist(),
        }
    (folder / "reference.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
