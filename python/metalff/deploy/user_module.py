"""A PyTorch module from a file of the user: made, put into the contract, evaluated; shared by the deploying and the training worker.

It needs only torch, ase, numpy and matscipy: the workers run with the Python that has the module's dependencies. What users are told about
the contract is in ``docs/contract.md``.
"""

import importlib.util
import inspect
import linecache
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list


class ContractError(Exception):
    """A module breaks the contract: one sentence that names the output and what was expected."""


def place(error, file) -> str:
    """`` (model.py line 12: code)``: the innermost line of the user's file in a traceback; empty where there is none."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == Path(file)]
    return f" ({Path(file).name} line {lines[-1]}: {linecache.getline(str(file), lines[-1]).strip()})" if lines else ""


def first_line(error) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def make(file, name: str, arguments: dict | None = None, offered: dict | None = None) -> tuple[torch.nn.Module, dict]:
    """The module ``name`` of a file, and the arguments that it was made from: a class or a function, which is called, or an instance.

    Args:
        file: Python file; its folder is on the path while it is imported.
        arguments: keyword arguments of the call.
        offered: given as well, as far as the class or function has parameters of these names.
    Raises:
        ContractError: the file cannot be imported, has no such name, or what it makes is no ``torch.nn.Module``.
    """
    file = Path(file).resolve()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    namespace = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = namespace
    sys.path.insert(0, str(file.parent))
    sys.dont_write_bytecode = True  # nothing beside the user's files
    try:
        spec.loader.exec_module(namespace)
    except Exception as error:
        raise ContractError(f"{file.name} cannot be imported: {first_line(error)}{place(error, file)}") from None
    finally:
        sys.path.remove(str(file.parent))
    if not hasattr(namespace, name):
        raise ContractError(f"{file.name} has no {name}: give a class, a function that returns a module, or a module as FILE.py:NAME")
    made, given = getattr(namespace, name), arguments or {}
    if not isinstance(made, torch.nn.Module):
        if not callable(made):
            raise ContractError(f"{name} in {file.name} is neither a torch.nn.Module nor a class or function that makes one")
        parameters = inspect.signature(made).parameters
        given = {key: value for key, value in (offered or {}).items() if key in parameters} | given
        try:
            inspect.signature(made).bind(**given)
        except TypeError as error:
            raise ContractError(f"{name} in {file.name} cannot be made from the arguments ({', '.join(given) or 'none'}): {error}") from None
        try:
            made = made(**given)
        except Exception as error:
            raise ContractError(f"{name}() in {file.name} fails: {first_line(error)}{place(error, file)}") from None
    if not isinstance(made, torch.nn.Module):
        raise ContractError(f"{name} in {file.name} returns a {type(made).__name__}, but must return a torch.nn.Module")
    return made, given


class Layers(torch.nn.Module):
    """A user's module in the contract, its energies E_i = E0 of the element + scale × what the module gives.

    Args:
        module: with ``forward(edge_vec, edge_index, types)`` or ``layers`` and ``layer(k, …)``; see ``contract.export_model``.
        e0: [types] eV; zero when None.
        scale: factor of the module's energies.
    Attributes:
        elements, r_max, layers: those of the module; ``layers`` is 1 for a module with ``forward`` alone.
    """

    def __init__(self, module, e0=None, scale: float = 1.0):
        super().__init__()
        self.module, self.elements, self.r_max = module, list(module.elements), float(module.r_max)
        self.layered = hasattr(module, "layer")
        self.layers = int(module.layers) if self.layered else 1
        self.register_buffer("e0", torch.as_tensor([0.0] * len(self.elements) if e0 is None else e0, dtype=torch.float64))
        self.scale = scale

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``."""
        if self.layered:
            energy, following = self.module.layer(k, edge_vec, edge_index, types, features, n)
        else:
            energy, following = self.module(edge_vec, edge_index, types)[:n], None
        energy = energy * self.scale
        return energy + self.e0[types[:n]] if k == 0 else energy, following


def energies(model, edge_vec, edge_index, types):
    """E_i [N] of all nodes, through all layers."""
    energy, features = 0.0, None
    for k in range(model.layers):
        part, features = model.layer(k, edge_vec, edge_index, types, features, len(types))
        energy = energy + part
    return energy


def graph(atoms, elements, r_max):
    """edge_vec [E,3] in float64, edge_index [2,E] sorted by centre, and types [N] of a structure.

    Two nodes joined by edges beyond the cutoff come last where there are fewer than two edges, as in the engine.
    """
    i, j, vec = neighbour_list("ijD", atoms, r_max)
    types = [elements.index(symbol) for symbol in atoms.symbols]
    if len(i) < 2:
        a, b = len(types), len(types) + 1
        i, j = np.append(i, [a, b]), np.append(j, [b, a])
        vec = np.append(vec, [[2 * r_max, 0, 0], [-2 * r_max, 0, 0]], 0)
        types += [0, 0]
    return torch.tensor(vec), torch.tensor(np.stack([i, j]), dtype=torch.long), torch.tensor(types)


class ModuleCalculator(Calculator):
    """Energy (eV), energies, forces (eV/Å) and stress (eV/Å³) of a model in the contract, by eager autograd in float64."""

    implemented_properties = ["energy", "energies", "forces", "stress"]

    def __init__(self, model):
        super().__init__()
        self.model = model

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vec, edge_index, types = graph(self.atoms, self.model.elements, self.model.r_max)
        vec.requires_grad_(True)
        n = len(self.atoms)
        energy = energies(self.model, vec, edge_index, types)[:n]
        (grad,) = torch.autograd.grad(energy.sum(), vec)
        forces = torch.zeros(len(types), 3, dtype=grad.dtype)
        forces = forces.index_add(0, edge_index[0], grad).index_add(0, edge_index[1], -grad)
        virial = (vec.detach().T @ grad).numpy()
        stress = 0.5 * (virial + virial.T) / self.atoms.get_volume()
        self.results = {
            "energy": float(energy.detach().sum()),
            "energies": energy.detach().numpy(),
            "forces": forces[:n].numpy(),
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
