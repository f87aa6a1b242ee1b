"""Module → programs in MetalFF's contract; shared by the deploying workers, so it needs only torch (and sympy, which torch brings).

A worker puts this file's directory at the end of its path: it runs inside the family's environment, where MetalFF is not installed.
"""

import torch
from sympy import nextprime, prevprime
from torch.fx.experimental.proxy_tensor import make_fx

if __package__:
    from metalff.deploy import program
else:  # in a worker
    import program


class Forward(torch.nn.Module):
    """Layer k alone: ``(edge_vec, edge_index, types, mask[, features]) → (E_i[n], features_next[n, F])``."""

    def __init__(self, model, k: int):
        super().__init__()
        self.model, self.k = model, k

    def forward(self, edge_vec, edge_index, types, mask, features=None):
        energy, following = self.model.layer(self.k, edge_vec, edge_index, types, features, mask.shape[0])
        return energy * mask, following


class Last(torch.nn.Module):
    """The last layer and its gradients: ``(…[, features]) → (E_i[n], dE/d edge_vec[, dE/d features])``."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, edge_vec, edge_index, types, mask, features=None):
        inputs = [v.detach().requires_grad_(True) for v in (edge_vec, features) if v is not None]
        k = self.model.layers - 1
        energy, _ = self.model.layer(k, inputs[0], edge_index, types, inputs[1] if k else None, mask.shape[0])
        energy = energy * mask
        return energy.detach(), *torch.autograd.grad(energy.sum(), inputs)


class Backward(torch.nn.Module):
    """Layer k again, with gradients: ``(…[, features], grad_next[n, F]) → (dE/d edge_vec[, dE/d features])``."""

    def __init__(self, model, k: int):
        super().__init__()
        self.model, self.k = model, k

    def forward(self, edge_vec, edge_index, types, mask, *rest):
        inputs = [v.detach().requires_grad_(True) for v in (edge_vec, *rest[:-1])]
        features = inputs[1] if self.k else None
        energy, following = self.model.layer(self.k, inputs[0], edge_index, types, features, mask.shape[0])
        return torch.autograd.grad((energy * mask).sum() + (following * rest[-1]).sum(), inputs)


def export_model(model: torch.nn.Module, edge_vec, edge_index, n_types: int = 1) -> bytes:
    """The payload (``program.py``) of a model's layers, for any number (≥ 2) of nodes, centres and edges.

    A layer ends where a model needs features of its neighbours' neighbours: there the engine may exchange them between MPI ranks,
    and every layer can be evaluated a few centres at a time.

    Args:
        model: module with an int ``layers`` and a method ``layer(k, edge_vec[E,3], edge_index[2,E], types[N], features[N,F] or
            None, n) → (E_i[n], features_next[n,F'] or None)``: what layer k adds to the energy of the nodes 0 … n-1, where all
            edges start, and their features for layer k + 1. Parameters have edge_vec's dtype.
        edge_vec, edge_index: an example graph, sorted by centre.

    Returns:
        programs ``last``, and for every layer before it ``forward{k}`` and ``backward{k}``.

    Raises:
        ProgramError: the model uses an operator that no payload may hold.
        ValueError: the programs, as they are read again, do not reproduce the model on another graph.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(edge_vec.dtype)  # as when the programs are compiled
    try:
        return _export_layers(model, edge_vec, edge_index, n_types)
    finally:
        torch.set_default_dtype(default)


def _export_layers(model, edge_vec, edge_index, n_types) -> bytes:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    # an example in which not every node is a centre; primes, as torch.export takes numbers that equal a width of the model for it
    nodes = nextprime(int(edge_index.max()))
    n = prevprime(max(3, nodes // 2))
    here = edge_index[0] < n
    args = (edge_vec[here], edge_index[:, here], torch.arange(nodes) % n_types, torch.ones(n, dtype=edge_vec.dtype))
    every, centres = torch.export.Dim("nodes", min=2), torch.export.Dim("centres", min=2)
    edges = torch.export.Dim("edges", min=2)
    shapes = ({0: edges}, {1: edges}, {0: every}, {0: centres})
    programs, features = {}, ()
    for k in range(model.layers - 1):
        following = model.layer(k, *args[:3], *(features or (None,)), n)[1]
        sizes = shapes + ({0: every},) * len(features)
        programs[f"forward{k}"] = _export(Forward(model, k), (*args, *features), sizes)
        programs[f"backward{k}"] = _export(Backward(model, k), (*args, *features, following), (*sizes, {0: centres}))
        features = (following[torch.arange(nodes) % n],)
    programs["last"] = _export(Last(model), (*args, *features), shapes + ({0: every},) * len(features))
    payload = program.pack(programs)
    _verify(model, {name: program.load(payload, name) for name in programs}, edge_vec, edge_index, args[2])
    return payload


def _export(module, args, shapes):
    graph = make_fx(module, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*args)
    return torch.export.export(graph, args, dynamic_shapes=shapes, strict=False, prefer_deferred_runtime_asserts_over_guards=True)


def _verify(model, programs, edge_vec, edge_index, types):
    """Another size (two copies of the graph, all nodes centres) and another mask, against autograd through all layers."""
    nodes = len(types)
    mask = torch.ones(2 * nodes, dtype=edge_vec.dtype)
    mask[nodes:] = 0
    graph = (
        torch.cat([edge_vec, 0.97 * edge_vec]),
        torch.cat([edge_index, edge_index + nodes], 1),
        types.repeat(2),
        mask,
    )

    vec = graph[0].detach().requires_grad_(True)
    features, energy = None, 0.0
    for k in range(model.layers):
        part, features = model.layer(k, vec, *graph[1:3], features, 2 * nodes)
        energy = energy + part * mask
    want = (energy.detach(), *torch.autograd.grad(energy.sum(), vec))

    inputs, got = [()], 0.0
    for k in range(model.layers - 1):
        part, following = programs[f"forward{k}"].module()(*graph, *inputs[-1])
        inputs.append((following,))
        got = got + part
    part, grad, *rest = programs["last"].module()(*graph, *inputs[-1])
    got = got + part
    for k in reversed(range(model.layers - 1)):
        more, *rest = programs[f"backward{k}"].module()(*graph, *inputs[k], *rest)
        grad = grad + more
    for a, b in zip(want, (got, grad)):
        scale = float(a.abs().max()) + 1.0
        if not torch.allclose(a, b, rtol=0, atol=scale * (1e-10 if a.dtype == torch.float64 else 1e-4)):
            raise ValueError("the exported programs do not reproduce the model on a graph of another size")
