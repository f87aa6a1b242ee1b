"""SevenNet models in MetalFF's contract; shared by the training and the deploying worker, so it needs only sevenn."""

import _codecs
import json
import math
import pickle
import struct
import sys
import warnings
from functools import partial

import ase.data
import e3nn
import numpy as np
import torch
from program import read_safetensors, safetensors

# scripts would fix the number of edges
e3nn.set_optimization_defaults(jit_mode="eager")
_script = torch.jit.script
torch.jit.script = lambda obj=None, *_, **__: obj if obj is not None else (lambda f: f)
warnings.filterwarnings("ignore", module="torch|e3nn")
import sevenn._const as const  # noqa: E402
import sevenn._keys as KEY  # noqa: E402
import sevenn.checkpoint  # noqa: E402
import sevenn.util  # noqa: E402
from sevenn.calculator import SevenNetCalculator  # noqa: E402
from sevenn.checkpoint import SevenNetCheckpoint  # noqa: E402
from sevenn.model_build import build_E3_equivariant_model  # noqa: E402
from sevenn.nn.node_embedding import OnehotEmbedding  # noqa: E402
from sevenn.scripts.convert_model_modality import get_single_modal_model_dct  # noqa: E402

torch.jit.script = _script


def _plain_load(path, weights_only=False, **more):
    """``torch.load`` of a checkpoint's tensors, arrays, numbers and text; whatever else a file holds could run code, and is refused."""
    try:
        with torch.serialization.safe_globals(ARRAYS):
            return torch.load(path, weights_only=True, **more)
    except pickle.UnpicklingError:
        raise ValueError("it holds more than tensors, arrays, numbers and text, or is damaged") from None


ARRAYS = [(np.zeros(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"), np.zeros(0).__reduce__()[0], np.ndarray, np.dtype, _codecs.encode]
ARRAYS += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")]
"""What arrays of numpy are made with."""
sevenn.checkpoint.torch_load = _plain_load
_dtype_correct = sevenn.util.dtype_correct

PRETRAINED = ("7net-0", "7net-mf-0", "7net-l3i5")
"""Models whose weights are inside sevenn's wheel."""

ACCELERATORS = {KEY.USE_FLASH_TP: False, KEY.CUEQUIVARIANCE_CONFIG: {}, KEY.USE_OEQ: False}
DEFAULTS = {k: v for k, v in const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG.items() if k not in ACCELERATORS}
"""Of sevenn, for the keys that make a model; sevenn removes some of its own while it reads a checkpoint."""

SHIFT, SCALE = "rescale_atomic_energy.shift", "rescale_atomic_energy.scale"


class Layers(torch.nn.Module):
    """A SevenNet model, cut between its convolutions."""

    def __init__(self, model):
        super().__init__()
        self.model, self.layers = model, sum(name.endswith("_convolution") for name in model._modules)
        self.species = model._modules["onehot_idx_to_onehot"].num_classes

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        parts = self.model._modules
        embedding = parts["edge_embedding"]
        lengths = torch.linalg.norm(edge_vec, dim=-1)
        radial = embedding.basis_function(lengths) * embedding.cutoff_function(lengths).unsqueeze(-1)
        attrs = torch.nn.functional.one_hot(types, self.species).to(edge_vec.dtype)
        x = features if k else parts["onehot_to_feature_x"].linear(attrs)

        own = {KEY.NODE_FEATURE: x[:n], KEY.NODE_ATTR: attrs[:n], KEY.ATOM_TYPE: types[:n]}
        own = parts[f"{k}_self_connection_intro"](own)
        block = parts[f"{k}_convolution"]
        inside = (lengths < self.model.cutoff).to(edge_vec.dtype)  # the cutoff functions do not end there
        sent = parts[f"{k}_self_interaction_1"].linear(x)
        message = block.convolution(sent[edge_index[1]], embedding.spherical.sph(edge_vec), block.weight_nn(radial) * inside.unsqueeze(-1))
        received = message.new_zeros(n, message.shape[1]).index_add(0, edge_index[0], message)
        own[KEY.NODE_FEATURE] = received / block.denominator
        for name in (f"{k}_self_interaction_2", f"{k}_self_connection_outro", f"{k}_equivariant_gate"):
            own = parts[name](own)
        if k < self.layers - 1:
            return edge_vec.new_zeros(n), own[KEY.NODE_FEATURE]
        for name in ("reduce_input_to_hidden", "reduce_hidden_to_energy", "readout_FCN", "rescale_atomic_energy"):
            own = parts[name](own) if name in parts else own
        return own[KEY.ATOMIC_ENERGY][:, 0], None


class Onehot(OnehotEmbedding):
    """sevenn's, in torch's default dtype instead of float32."""

    def forward(self, data):
        data = super().forward(data)
        for key in (self.key_output, self.key_additional_output):
            data[key] = data[key].to(torch.get_default_dtype())
        return data


def assemble(config):
    """A model with random weights for a complete configuration of sevenn, in torch's default dtype."""
    model = build_E3_equivariant_model(config | ACCELERATORS)
    model.replace_module(
        "onehot_idx_to_onehot",
        Onehot(config[KEY.NUM_SPECIES], data_key_save=KEY.ATOM_TYPE, data_key_additional=KEY.NODE_ATTR),
    )
    return model.to(torch.get_default_dtype()).eval()


def build(config):
    """A model with random weights, in torch's default dtype.

    Args:
        config: keys of sevenn's model configuration and ``elements``, the symbols in the order of the types; numbers, text, lists and
            dictionaries only. What is missing has sevenn's default.
    """
    numbers = [ase.data.atomic_numbers[symbol] for symbol in config["elements"]]
    types = {KEY.NUM_SPECIES: len(numbers), KEY.TYPE_MAP: {z: k for k, z in enumerate(numbers)}}
    return assemble(DEFAULTS | config | types)


def checkpoint(source, modal=None):
    """The model of one of sevenn's checkpoints, in float64.

    Args:
        source: one of ``PRETRAINED``, or the path of a checkpoint.
        modal: of a model trained on several kinds of data: whose energies it gives; PBE when None.

    Returns:
        (model as sevenn knows it, its modal or None, the same as a model of one modal, its configuration for ``build``). Coupling
        coefficients are exact: a checkpoint carries them rounded to float32.
    """
    path = sevenn.util.pretrained_name_to_path(source) if source in PRETRAINED else source
    torch.set_default_dtype(torch.float32)  # sevenn compares constants of its old checkpoints in this
    try:
        found = SevenNetCheckpoint(path)
        config = found.config
        modals = list(config.get(KEY.MODAL_MAP) or {}) if config.get(KEY.USE_MODALITY) else []
        modal = choose(modal, modals)
        state = found.build_model().double().state_dict()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.exit(f"it is not a checkpoint that sevenn {sevenn.__version__} can read ({reason})")
    torch.set_default_dtype(torch.float64)
    whole = assemble(config)
    load(whole, state)
    if modals:
        state = get_single_modal_model_dct(state, config, modal)  # changes config, too
    numbers = sorted(config[KEY.TYPE_MAP], key=config[KEY.TYPE_MAP].get)
    kept = {KEY.CUTOFF, KEY.CONV_DENOMINATOR, *DEFAULTS}
    plain = {key: value for key, value in config.items() if key in kept}
    plain |= {"elements": [ase.data.chemical_symbols[z] for z in numbers]} | energies_of(state)
    plain = json.loads(json.dumps(plain))
    model = build(plain)
    load(model, state)
    return whole, modal, model, plain


def choose(modal, modals):
    """The modal of a model that has some: as asked for, without regard to case, else PBE."""
    if not modals:
        if modal:
            sys.exit(f"the model has no modals, so leave --modal {modal} out")
        return None
    for name in modals:
        if name.lower() == (modal or "PBE").lower():
            return name
    sys.exit(f"{f'there is no modal {modal}' if modal else 'give --modal'}: the model has {', '.join(modals)}")


def energies_of(state) -> dict:
    """Shift and scale (eV) as ``build`` wants them: a number for all elements, or one for each."""
    values = {KEY.SHIFT: state[SHIFT].tolist(), KEY.SCALE: state[SCALE].tolist()}
    return {key: value if len(value) > 1 else value[0] for key, value in values.items()}


def load(model, state):
    """Parameters by name into a model, whose constants stay as they were built."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])


def cut(model, config, elements):
    """The model for some of its elements, with the same energies.

    A linear map of n one-hot types is divided by √n (e3nn's normalisation), so weights shrink with the number of types.

    Returns:
        (model, its configuration).
    """
    for symbol in elements:
        if symbol not in config["elements"]:
            sys.exit(f"the model has no {symbol}; it is for {' '.join(s for s in config['elements'] if s != 'X')}")
    if list(elements) == config["elements"]:
        return model, config
    chosen = [config["elements"].index(symbol) for symbol in elements]
    shrink = math.sqrt(len(elements) / len(config["elements"]))
    state = dict(model.named_parameters())
    energies = {name: state[name][chosen] if len(state[name]) > 1 else state[name] for name in (SHIFT, SCALE)}
    config = config | {"elements": list(elements)} | energies_of(energies)
    smaller = build(config)
    load(smaller, {n: energies.get(n, p if p.shape == q.shape else q) for (n, p), q in zip(state.items(), smaller.parameters())})
    with torch.no_grad():
        for name, part in model._modules.items():
            if name == "onehot_to_feature_x":
                axis, maps = 0, (part.linear, smaller._modules[name].linear)
            elif hasattr(part, "fc_tensor_product"):
                axis, maps = 1, (part.fc_tensor_product, smaller._modules[name].fc_tensor_product)
            else:
                continue
            for before, after in zip(*map(blocks, maps)):
                after.copy_(before.index_select(axis, torch.tensor(chosen)) * shrink)
    return smaller, config


def blocks(part):
    """Weights of a linear map or a tensor product of e3nn, one view for every path."""
    offset = 0
    for instruction in part.instructions:
        shape = instruction.path_shape
        if len(shape) > 1:  # not a bias
            yield part.weight[offset : offset + math.prod(shape)].view(shape)
            offset += math.prod(shape)


def calculator(model, modal=None):
    """SevenNetCalculator, in torch's default dtype instead of float32."""
    sevenn.util.dtype_correct = partial(_dtype_correct, float_dtype=torch.get_default_dtype())
    warnings.filterwarnings("ignore", module="sevenn")
    return SevenNetCalculator(model, file_type="model_instance", device="cpu", modal=modal)


def save(model, config) -> bytes:
    """A model as a safetensors file: its parameters, in float32 where that loses nothing; its configuration as metadata ``config``."""
    state = {name: parameter.detach().double() for name, parameter in model.named_parameters()}
    state = {name: p.float() if torch.equal(p.float().double(), p) else p for name, p in state.items()}
    return safetensors(state, {"config": json.dumps(config)})


def restore(data: bytes):
    """The model of a file that ``save`` wrote, in float64, and its configuration."""
    (length,) = struct.unpack("<Q", data[:8])
    config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["config"])
    torch.set_default_dtype(torch.float64)
    model = build(config)
    load(model, read_safetensors(data))
    return model, config
