"""DeePMD models (descriptor se_e2_a) in MetalFF's contract; shared by the training and the deploying worker, so it needs only deepmd-kit.

Zhang et al., NeurIPS 31 (2018). deepmd-kit evaluates a list of ``sel`` slots per atom, some empty; here edges are summed, so no neighbour
is ever left out. An empty slot counts, too: its environment matrix is −davg/dstd, not zero. Its contribution is therefore added as
often as there are slots without a neighbour (less than never, where there are more neighbours than slots), and a neighbour that leaves
through the cutoff turns into an empty slot without a step.
"""

import copy
import json
import os
import struct
from pathlib import Path

import ase.data
import torch
from program import read_safetensors, safetensors

os.environ["DEVICE"] = "cpu"
import deepmd.env

# operators compiled for one release of torch, which need MPI: whatever is used here exists in Python, too
deepmd.env.SHARED_LIB_DIR = Path(os.devnull)
deepmd.env.GLOBAL_CONFIG["cibuildwheel"] = "0"

from deepmd.pt.model.atomic_model.dp_atomic_model import DPAtomicModel
from deepmd.pt.model.descriptor.se_a import DescrptSeA
from deepmd.pt.model.model import BaseModel, get_model
from deepmd.pt.model.task.ener import EnergyFittingNet
from deepmd.pt.train.wrapper import ModelWrapper
from deepmd.pt.utils.preprocess import compute_smooth_weight

NATIVE = (".dp", ".yaml", ".yml")
REPEATED = ("._networks.", ".compress_info.", ".compress_data.")
"""In names of weights: second names of the same ones, and tables of a compressed model, which are empty here."""


class Unsupported(ValueError):
    """A file that is no model of deepmd, or one that the layers do not cover; in one sentence."""


def environment_matrix(edge_vec, rcut, rcut_smth, protection=0.0):
    """(1, x/r, y/r, z/r) s(r)/r of every edge, [E,4], with the switch s from ``rcut_smth`` to ``rcut``."""
    length = torch.linalg.norm(edge_vec, dim=1, keepdim=True)
    protected = length + protection
    return torch.cat([1 / protected, edge_vec / protected**2], 1) * compute_smooth_weight(length, rcut_smth, rcut)


class DeepmdLayers(torch.nn.Module):
    """An energy model of deepmd with the descriptor se_e2_a: one strictly local layer."""

    def __init__(self, model):
        super().__init__()
        self.model, self.layers = model, 1

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        bias = self.model.atomic_model.out_bias[0, :, 0] + self.model.atomic_model.fitting_net.bias_atom_e[:, 0]
        energy = self.interaction(edge_vec, edge_index, types, n)
        return energy + bias.to(energy.dtype)[types[:n]], None

    def interaction(self, edge_vec, edge_index, types, n):
        """Energies of the nodes 0 … n-1 without the energies of the model's bias, [n]."""
        networks = self.model.atomic_model.fitting_net.filter_layers.networks
        descriptor = self.descriptor(edge_vec, edge_index, types, n)
        energy = networks[0](descriptor)[:, 0]
        for t in range(1, len(networks)):
            energy = torch.where(types[:n] == t, networks[t](descriptor)[:, 0], energy)
        return energy

    def descriptor(self, edge_vec, edge_index, types, n):
        """[n, M·axis_neuron] invariants of the nodes 0 … n-1."""
        sea = self.model.atomic_model.descriptor.sea
        elements, width = sea.ntypes, sea.filter_neuron[-1]
        centre, neighbour = types[edge_index[0]], types[edge_index[1]]
        matrix = environment_matrix(edge_vec, sea.rcut, sea.rcut_smth, sea.env_protection)
        mean, stddev = sea.mean[:, 0], sea.stddev[:, 0]
        matrix = (matrix - mean[centre]) / stddev[centre]
        embedded = self.embedded(matrix[:, :1], centre, neighbour)
        sums = self.contracted(matrix, embedded, edge_index[0], n)

        empty = -mean / stddev
        a, b = torch.cartesian_prod(torch.arange(elements), torch.arange(elements)).view(-1, 2).T
        slot = empty[a].unsqueeze(2) * self.embedded(empty[a, :1], a, b).unsqueeze(1)  # of each pair of types
        slot = slot.view(elements, elements, 4 * width)
        pair = edge_index[0] * elements + neighbour
        found = edge_vec.new_zeros(n * elements).index_add(0, pair, torch.ones_like(edge_vec[:, 0]))
        missing = torch.tensor(sea.sel, dtype=edge_vec.dtype) - found.view(n, elements)
        sums = sums + (missing.unsqueeze(2) * slot[types[:n]]).sum(1).view(n, 4, width)

        sums = sums / sea.nnei
        return torch.matmul(sums.transpose(1, 2), sums[:, :, : sea.axis_neuron]).flatten(1)

    def contracted(self, matrix, embedded, centre, n):
        """Σ over the edges of each centre of matrix[E,4] ⊗ embedded[E,M], [n,4,M]."""
        outer = (matrix.unsqueeze(2) * embedded.unsqueeze(1)).flatten(1)
        return matrix.new_zeros(n, outer.shape[1]).index_add(0, centre, outer).view(n, 4, -1)

    def embedded(self, radial, centre, neighbour):
        """The embedding network of each row's types, [E,M] of [E,1]."""
        sea = self.model.atomic_model.descriptor.sea
        networks = sea.filter_layers.networks
        which = neighbour if sea.type_one_side else neighbour * sea.ntypes + centre
        out = networks[0](radial)
        for k in range(1, len(networks)):
            out = torch.where((which == k).unsqueeze(1), networks[k](radial), out)
        return out


def build(config, precision="float64"):
    """A model of deepmd.

    Args:
        config: ``type_map``, ``descriptor`` and ``fitting_net`` as in deepmd's own input files.
        precision: float32 or float64.
    """
    config = copy.deepcopy(config)
    for part in ("descriptor", "fitting_net"):
        config[part]["precision"] = precision
    return get_model(config)


def save(model, config) -> bytes:
    """A model as a safetensors file: its weights in float64 under deepmd's own names, ``config`` as metadata."""
    kept = {name: tensor.double() for name, tensor in model.state_dict().items() if not any(part in name for part in REPEATED)}
    return safetensors(kept, {"config": json.dumps(config)})


def restore(data: bytes):
    """The model of a file that ``save`` wrote, in float64, and its ``config``.

    Raises:
        Unsupported: another file.
    """
    try:
        (length,) = struct.unpack("<Q", data[:8])
        config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["config"])
        model = build(config)
        load_weights(model, read_safetensors(data))
    except (struct.error, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise Unsupported(f"these are not the weights of a DeePMD model ({str(error).splitlines()[0]})") from None
    return model.eval(), config


def load_weights(model, weights):
    """Put named weights of ``save``, or those of a model of the same architecture, into ``model``, in its precision."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    lost = [name for name in missing if not any(part in name for part in REPEATED)]
    if lost or unexpected:
        raise ValueError(f"weights are missing or too many: {', '.join([*lost, *unexpected][:3])}")


def read_model(path):
    """A model that deepmd itself wrote: ``.pt`` (checkpoint), ``.pth`` (frozen), ``.dp`` or ``.yaml`` (native).

    Returns:
        The model in float64 and its ``config``, see ``build``.
    Raises:
        Unsupported: not such a file, or a model that the layers do not cover.
    """
    path = Path(path)
    try:
        model = {".pt": _checkpoint, ".pth": _frozen}.get(path.suffix, _native)(path)
    except Unsupported:
        raise
    except Exception as error:  # whatever torch, h5py, yaml or deepmd say about a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"'{path.name}' cannot be read as a model of deepmd ({reason})") from None
    config = configuration(model)
    same = build(config)
    load_weights(same, model.state_dict())
    return same.eval(), config


def _checkpoint(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("model", state)
    params = state["_extra_state"]["model_params"]
    _refuse(params)
    wrapper = ModelWrapper(get_model(params))
    _load(wrapper, state)
    return wrapper.model["Default"]


def _frozen(path):
    extra = {"data_modifier.pth": ""}
    frozen = torch.jit.load(path, map_location="cpu", _extra_files=extra)
    if extra["data_modifier.pth"]:
        raise Unsupported("this model has a data modifier, which is not covered")
    params = json.loads(frozen.model_def_script)
    _refuse(params)
    state = frozen.state_dict()
    if any(part in name and tensor.numel() for part in REPEATED[1:] for name, tensor in state.items()):
        raise Unsupported("this model is compressed: deploy the one that it was compressed from")
    model = get_model(params)
    _load(model, state)
    return model


def _load(model, state):
    """Put the weights of a file into a model. Files of older releases of deepmd-kit have no tables of compressed models, which are empty in others."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    lost = [name for name in missing if not any(part in name for part in REPEATED[1:])]
    if lost or unexpected:
        raise ValueError(f"weights are missing or too many: {', '.join([*lost, *unexpected][:3])}")


def _native(path):
    from deepmd.dpmodel.utils.serialization import load_dp_model

    data = load_dp_model(str(path))["model"]
    _refuse(data | {"fitting_net": data.get("fitting", {})})
    return BaseModel.deserialize(data)


def _refuse(params):
    """Kinds of models by their description, before they are built."""
    if "model_dict" in params:
        raise Unsupported("this model has several heads: freeze one of them with dp --pt freeze --head")
    if "spin" in params:
        raise Unsupported("models with spin are not covered")
    if "use_srtab" in params:
        raise Unsupported("models with a table of short range (use_srtab) are not covered")
    if "modifier" in params:
        raise Unsupported("models with a data modifier are not covered")
    kind = params.get("type", "standard")
    if kind != "standard":
        raise Unsupported(f"models of the type {kind} are not covered, only those with the descriptor se_e2_a")
    descriptor = params["descriptor"]["type"]
    if descriptor not in ("se_e2_a", "se_a"):
        raise Unsupported(f"the descriptor {descriptor} is not covered, only se_e2_a is")
    fitting = params.get("fitting_net", {}).get("type", "ener")
    if fitting != "ener":
        raise Unsupported(f"the fitting net {fitting} is not covered, only ener is")


def configuration(model):
    """The architecture of a model of deepmd, see ``build``.

    Raises:
        Unsupported: it has something that the layers do not cover.
    """
    atomic = model.atomic_model
    if not isinstance(atomic, DPAtomicModel) or not isinstance(atomic.descriptor, DescrptSeA):
        raise Unsupported("only models with the descriptor se_e2_a are covered")
    sea, fitting = atomic.descriptor.sea, atomic.fitting_net
    refused = {
        "another fitting net than ener": not isinstance(fitting, EnergyFittingNet),
        "parameters of frames (numb_fparam)": fitting.numb_fparam,
        "parameters of atoms (numb_aparam)": fitting.numb_aparam,
        "an embedding of cases (dim_case_embd)": fitting.dim_case_embd,
        "energies in vacuum (atom_ener)": fitting.remove_vaccum_contribution is not None,
        "excluded types (atom_exclude_types, exclude_types)": atomic.atom_exclude_types or fitting.exclude_types,
        "excluded pairs (pair_exclude_types, exclude_types)": atomic.pair_exclude_types or sea.exclude_types,
        "statistics that differ between slots": bool((sea.mean != sea.mean[:, :1]).any()) or bool((sea.stddev != sea.stddev[:, :1]).any()),
    }
    for what, present in refused.items():
        if present:
            raise Unsupported(f"models with {what} are not covered")
    symbols = list(atomic.type_map)
    for symbol in symbols:
        if symbol not in ase.data.atomic_numbers or symbol == "X":
            raise Unsupported(f"'{symbol}' in the model's type_map is not a chemical symbol")
    return {
        "type_map": symbols,
        "descriptor": {
            "type": "se_e2_a",
            "rcut": sea.rcut,
            "rcut_smth": sea.rcut_smth,
            "sel": list(sea.sel),
            "neuron": list(sea.neuron),
            "axis_neuron": sea.axis_neuron,
            "resnet_dt": sea.resnet_dt,
            "type_one_side": sea.type_one_side,
            "set_davg_zero": sea.set_davg_zero,
            "activation_function": sea.activation_function,
            "env_protection": sea.env_protection,
        },
        "fitting_net": {
            "type": "ener",
            "neuron": list(fitting.neuron),
            "resnet_dt": fitting.resnet_dt,
            "activation_function": fitting.activation_function,
        },
    }


def write_checkpoint(model, config, path):
    """A file that deepmd's own calculator opens."""
    params = copy.deepcopy(config)
    for part in ("descriptor", "fitting_net"):
        params[part]["precision"] = "float64"
    torch.save({"model": ModelWrapper(model, model_params=params).state_dict()}, path)
