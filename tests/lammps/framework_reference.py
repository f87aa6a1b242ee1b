"""A framework's own calculator on given structures; runs inside its environment: ``python -P framework_reference.py FAMILY DEPLOY_DIR DIR``.

DEPLOY_DIR holds MetalFF's deploying modules, DIR an unpacked artefact and ``structures.json``; writes ``reference.json``. MACE,
NequIP, SevenNet and DeePMD models are rebuilt from hyperparameters and engine-neutral weights, which so prove to be complete.
"""

import json
import struct
import sys
from pathlib import Path

import ase
import numpy as np


def mace(folder):
    import torch
    from mace import modules  # before e3nn: mace lets torch load e3nn's constants
    from mace.calculators import MACECalculator
    from mace.modules import blocks

    # isort: split
    from e3nn import o3

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
    return MACECalculator(models=[model], device="cpu", default_dtype="float64")


def nequip(folder):
    import torch
    from allegro.model import AllegroModel
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    config = json.loads((folder / "manifest.json").read_text())["training"]["config"]["model"]
    builder = {"AllegroModel": AllegroModel, "NequIPGNNModel": NequIPGNNModel}[config.pop("builder")]
    model = builder(**config, model_dtype="float64").eval()
    model.load_state_dict(read_safetensors(folder / "weights.safetensors"))
    symbols = config["type_names"]
    transforms = [ChemicalSpeciesToAtomTypeMapper(symbols), NeighborListTransform(r_max=config["r_max"])]
    return NequIPCalculator(model, torch.device("cpu"), transforms=transforms)


def deepmd(folder):
    import deepmd_layers
    import torch
    from deepmd.calculator import DP
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    class WithAtomicEnergies(DP):
        implemented_properties = [*DP.implemented_properties, "energies"]

        def calculate(self, atoms=None, properties=(), system_changes=()):
            super().calculate(atoms)
            types = [self.type_dict[symbol] for symbol in atoms.symbols]
            coordinates, cell = atoms.positions.reshape(1, -1), atoms.cell.array.reshape(1, -1)
            self.results["energies"] = self.dp.eval(coordinates, cell, types, atomic=True)[3].flatten()

    config = json.loads((folder / "manifest.json").read_text())["training"]["config"]["model"]
    model = get_model(config)  # float64 is deepmd's default
    missing, unexpected = model.load_state_dict(read_safetensors(folder / "weights.safetensors"), strict=False)
    assert not unexpected and all(any(part in name for part in deepmd_layers.REPEATED) for name in missing)
    torch.save({"model": ModelWrapper(model, model_params=config).state_dict()}, folder / "reference.pt")
    return WithAtomicEnergies(folder / "reference.pt")


def sevennet(folder):
    import sevennet_layers

    model, _ = sevennet_layers.restore((folder / "weights.safetensors").read_bytes())
    return sevennet_layers.calculator(model)


def nep(folder):
    from nep_worker import NepCpu

    return NepCpu(folder / "native/nep.txt")


def read_safetensors(path):
    import torch

    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    kinds = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32, "BOOL": np.bool_}
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            array = np.frombuffer(body[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
            out[name] = torch.tensor(array)
    return out


def main():
    family, folder = sys.argv[1], Path(sys.argv[3])
    sys.path.append(sys.argv[2])
    by_family = {"mace": mace, "nep": nep, "nequip": nequip, "allegro": nequip, "sevennet": sevennet, "deepmd": deepmd}
    calculator = by_family[family](folder)
    results = {}
    for name, s in json.loads((folder / "structures.json").read_text()).items():
        atoms = ase.Atoms(s["symbols"], positions=s["positions"], cell=s["cell"], pbc=True)
        atoms.calc = calculator
        results[name] = {
            "energy": float(atoms.get_potential_energy()),
            "energies": np.array(atoms.get_potential_energies()).flatten().tolist(),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress(voigt=False).tolist(),
        }
    (folder / "reference.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
