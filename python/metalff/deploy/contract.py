"""Module → exported program in MetalFF's contract; shared by the deploying workers, so it needs only torch.

A worker puts this file's directory at the end of its path: it runs inside the family's environment, where MetalFF is not installed.
"""

import io
import json
import struct

import torch
from torch.fx.experimental.proxy_tensor import make_fx

NOISY_META = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


class Program(torch.nn.Module):
    """``energy(edge_vec, edge_index, types) → E_i[N]`` becomes the contract: energies and dE/d edge_vec."""

    def __init__(self, energy: torch.nn.Module):
        super().__init__()
        self.energy = energy

    def forward(self, edge_vec, edge_index, types, mask):
        edge_vec = edge_vec.detach().requires_grad_(True)
        atomic = self.energy(edge_vec, edge_index, types)
        (grad,) = torch.autograd.grad((atomic * mask).sum(), edge_vec)
        return atomic.detach(), grad


def export_program(energy: torch.nn.Module, edge_vec, edge_index, n_types: int = 1) -> bytes:
    """``torch.export`` archive of a module of atomic energies, for any number (≥ 2) of atoms and edges.

    Args:
        energy: module of ``(edge_vec[E,3], edge_index[2,E], types[N]) → E_i[N]`` whose parameters have edge_vec's dtype.
        edge_vec, edge_index: an example graph.

    Raises:
        ValueError: the exported program does not reproduce the module on another graph.
    """
    for parameter in energy.parameters():
        parameter.requires_grad_(False)
    n = int(edge_index.max()) + 1
    args = (edge_vec, edge_index, torch.arange(n) % n_types, torch.ones(n, dtype=edge_vec.dtype))
    program = Program(energy)
    graph = make_fx(program, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*args)
    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    exported = torch.export.export(
        graph, args, dynamic_shapes=({0: edges}, {1: edges}, {0: nodes}, {0: nodes}), strict=False
    )
    _verify(program, exported, args, n)
    for node in exported.graph.nodes:
        for key in NOISY_META:
            node.meta.pop(key, None)
    archive = io.BytesIO()
    torch.export.save(exported, archive)
    return archive.getvalue()


def _verify(program, exported, args, n):
    """Another size (two copies of the graph) and another mask: nothing may be specialised to the example."""
    edge_vec, edge_index, types, _ = args
    mask = torch.ones(2 * n, dtype=edge_vec.dtype)
    mask[n:] = 0
    other = (torch.cat([edge_vec, 0.97 * edge_vec]), torch.cat([edge_index, edge_index + n], 1), types.repeat(2), mask)
    for want, got in zip(program(*other), exported.module()(*other)):
        scale = float(want.abs().max()) + 1.0
        if not torch.allclose(want, got, rtol=0, atol=scale * (1e-10 if want.dtype == torch.float64 else 1e-4)):
            raise ValueError("the exported program does not reproduce the model on a graph of another size")


def reference(atoms) -> dict:
    """A self-test structure (ase Atoms with a calculator) with its energy (eV), forces (eV/Å) and stress (eV/Å³)."""
    return {
        "symbols": list(atoms.symbols),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energy": float(atoms.get_potential_energy()),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress(voigt=False).tolist(),
    }


def safetensors(tensors: dict) -> bytes:
    """Named tensors in the safetensors layout: an 8-byte length, a JSON header, raw little-endian data."""
    names = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL"}
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        data = tensor.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)
