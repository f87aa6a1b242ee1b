"""NequIP and Allegro models in MetalFF's contract; shared by the training and the deploying worker, so it needs only nequip (and allegro).

nequip computes lengths and the sum over types in float64 whatever the model's dtype; so do these layers.
"""

import json
import struct

import torch
from nequip.data import AtomicDataDict as Key
from nequip.model import NequIPGNNModel
from nequip.nn import AtomwiseReduce, ConvNetLayer
from nequip.utils.global_state import set_global_state
from program import read_safetensors, safetensors

BUILDERS = {"NequIPGNNModel": NequIPGNNModel}
try:
    from allegro.model import AllegroModel
except ImportError:  # models of nequip alone need no nequip-allegro
    pass
else:
    BUILDERS["AllegroModel"] = AllegroModel


def parts_of(model):
    """Modules of a model by name in their order, without the derivatives and the sum over atoms."""
    energy = model.model.func
    return {name: part for name, part in energy.named_children() if not isinstance(part, AtomwiseReduce)}


class AllegroLayers(torch.nn.Module):
    """An Allegro model: one strictly local layer."""

    def __init__(self, model):
        super().__init__()
        self.model, self.layers = model, 1

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        data = {
            Key.POSITIONS_KEY: edge_vec.new_zeros(n, 3),  # for their number alone: n of the nodes are centres
            Key.EDGE_INDEX_KEY: edge_index,
            Key.EDGE_VECTORS_KEY: edge_vec.double(),
            Key.ATOM_TYPE_KEY: types,
        }
        for part in parts_of(self.model).values():
            data = part(data)
        return data[Key.PER_ATOM_ENERGY_KEY][:, 0].to(edge_vec.dtype), None


class NequIPLayers(torch.nn.Module):
    """A NequIP model, cut between its convolutions."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        parts = parts_of(model)
        names = list(parts)
        self.convolutions = [name for name in names if isinstance(parts[name], ConvNetLayer)]
        self.before = names[: names.index(self.convolutions[0])]
        self.after = names[names.index(self.convolutions[-1]) + 1 :]
        self.layers = len(self.convolutions)

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        parts = parts_of(self.model)
        data = {
            Key.EDGE_INDEX_KEY: edge_index,
            Key.EDGE_VECTORS_KEY: edge_vec.double(),
            Key.ATOM_TYPE_KEY: types,
        }
        for name in self.before:
            data = parts[name](data)
        dtype = data[Key.NODE_FEATURES_KEY].dtype
        if k:
            data[Key.NODE_FEATURES_KEY] = features.to(dtype)
        features = self._convolve(parts[self.convolutions[k]], data, n)
        if k < self.layers - 1:
            return edge_vec.new_zeros(n), features.to(edge_vec.dtype)
        data[Key.NODE_FEATURES_KEY] = features
        data[Key.NODE_ATTRS_KEY] = data[Key.NODE_ATTRS_KEY][:n]
        for name in self.after:
            data = parts[name](data)
        return data[Key.PER_ATOM_ENERGY_KEY][:n, 0].to(edge_vec.dtype), None

    @staticmethod
    def _convolve(layer, data, n):
        """``ConvNetLayer.forward`` for the first n nodes."""
        block, x = layer.conv, data[Key.NODE_FEATURES_KEY]
        sent = block.linear_1(x)
        sent = block.avg_num_neighbors_norm({Key.NODE_FEATURES_KEY: sent, Key.ATOM_TYPE_KEY: data[Key.ATOM_TYPE_KEY]})[Key.NODE_FEATURES_KEY]
        received = block.tp_scatter(
            x=sent,
            edge_attr=data[Key.EDGE_ATTRS_KEY],
            edge_weight=block.edge_mlp(data[Key.EDGE_EMBEDDING_KEY]),
            edge_dst=data[Key.EDGE_INDEX_KEY][0],
            edge_src=data[Key.EDGE_INDEX_KEY][1],
        )[:n]
        received = block.linear_2(received)
        if block.sc is not None:
            received = received + block.sc(x[:n], data[Key.NODE_ATTRS_KEY][:n])
        received = layer.equivariant_nonlin(received)
        return x[:n] + received if layer.resnet else received


def layers_of(model):
    """The model in the contract."""
    convolutional = any(isinstance(part, ConvNetLayer) for part in parts_of(model).values())
    return NequIPLayers(model) if convolutional else AllegroLayers(model)


def build(config, precision="float64"):
    """A model of nequip.

    Args:
        config: ``builder`` (a key of ``BUILDERS``) and the builder's own arguments; numbers, text, lists and dictionaries only.
        precision: float32 or float64; wins over the ``model_dtype`` of ``config``.
    """
    set_global_state()
    arguments = {key: value for key, value in config.items() if key != "builder"} | {"model_dtype": precision}
    arguments.pop("compile_mode", None)
    return BUILDERS[config["builder"]](**arguments)


def save(model, config) -> bytes:
    """A model as a safetensors file: its weights in float64, the arguments of its builder as metadata ``config``."""
    return safetensors(model.state_dict(), {"config": json.dumps(config)})


def restore(data: bytes):
    """The model of a file that ``save`` wrote, in float64, and its ``config``."""
    (length,) = struct.unpack("<Q", data[:8])
    config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["config"])
    model = build(config)
    model.load_state_dict(read_safetensors(data))
    return model.eval(), config
