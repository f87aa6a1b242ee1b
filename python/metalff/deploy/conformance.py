"""Whether a user's module keeps the contract: every check fails with one sentence that names the output and what was expected."""

import copy
import math

import ase.data
import numpy as np
import torch
from contract import export_model
from program import ProgramError
from reference import crystal
from user_module import ContractError, Layers, energies, first_line, graph, place

INVARIANCE = 1e-6
"""Allowed change of an energy that should not change, relative to what neighbours contribute to it; float64."""
CUTOFF = 1e-2
"""Allowed slope at the cutoff times r_max, relative to what one neighbour half as far contributes."""


def check_attributes(module) -> None:
    """``elements``, ``r_max`` and the functions.

    Raises:
        ContractError: one is missing or of the wrong kind.
    """
    kind = type(module).__name__
    elements, r_max = getattr(module, "elements", None), getattr(module, "r_max", None)
    if not isinstance(elements, (list, tuple)) or not elements:
        raise ContractError(f"{kind} needs the attribute elements: a list of chemical symbols in the order of types, such as ['Cu']")
    for symbol in elements:
        if symbol not in ase.data.atomic_numbers or symbol == "X" or list(elements).count(symbol) > 1:
            raise ContractError(f"{kind}.elements must be different chemical symbols; {symbol!r} is not one")
    try:
        good = math.isfinite(float(r_max)) and float(r_max) > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ContractError(f"{kind} needs the attribute r_max: the cutoff in Å, a positive number, not {r_max!r}")
    if not hasattr(module, "layer"):
        if type(module).forward is torch.nn.Module.forward:
            raise ContractError(
                f"{kind} needs forward(edge_vec, edge_index, types) → atomic_energy[N], or layers and layer(k, …) for message passing"
            )
    elif not isinstance(getattr(module, "layers", None), int) or module.layers < 1:
        raise ContractError(f"{kind} has layer(k, …) and so needs the attribute layers: their number, a positive integer")


def check(model: Layers, file, trained: bool = True) -> None:
    """All that can be told without exporting; the model is left in float64.

    Args:
        file: the user's, to find the line in it where something fails.
        trained: False for initial weights, with which the energy may depend on nothing.
    Raises:
        ContractError: what is wrong.
    """
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        # a copy: what was float32 once has lost digits
        Checks(copy.deepcopy(model).to(dtype), file, dtype).outputs()
    checks = Checks(model.double(), file, torch.float64)
    checks.gradients(trained)
    checks.symmetries()
    checks.locality()
    checks.cutoff()


class Checks:
    """The checks on one graph: a strained and rattled crystal of the first elements, some of its nodes without edges."""

    def __init__(self, model, file, dtype):
        self.model, self.file, self.dtype = model, file, dtype
        self.function = "layer" if model.layered else "forward"
        symbols = model.elements[:4]
        atoms = crystal(symbols, 0)
        vec, edge_index, self.types = graph(atoms, model.elements, model.r_max)
        if len(self.types) > len(atoms):
            raise ContractError(
                f"r_max = {model.r_max:g} Å is shorter than the distance of neighbours in a crystal of {' '.join(symbols)}: give it in Å"
            )
        # the last quarter of the nodes are like ghosts: edges end there, but none starts
        self.n = 3 * len(self.types) // 4
        here = edge_index[0] < self.n
        self.vec, self.edge_index = vec[here].to(dtype), edge_index[:, here]

    def call(self, k, vec, edge_index, types, features, n):
        """One layer's output as it comes, what the user's code raises as a sentence."""
        module = self.model.module
        try:
            if self.model.layered:
                return module.layer(k, vec, edge_index, types, features, n)
            return module(vec, edge_index, types)
        except Exception as error:
            edges, precision = len(vec), str(self.dtype).removeprefix("torch.")
            raise ContractError(
                f"{self.function} fails on edge_vec[{edges}, 3] of {precision}, edge_index[2, {edges}], types[{len(types)}]: "
                f"{first_line(error)}{place(error, self.file)}"
            ) from None

    def fail(self, reason):
        raise ContractError(f"{self.function}: {reason}")

    def outputs(self):
        """Kind, shape, dtype and finiteness of everything that comes back."""
        if not self.model.layered:
            got = self.call(0, self.vec, self.edge_index, self.types, None, None)
            self.tensor("atomic_energy[N]", got, (len(self.types),))
            return
        features, n = None, self.n
        for k in range(self.model.layers):
            got = self.call(k, self.vec, self.edge_index, self.types, features, n)
            if not isinstance(got, tuple) or len(got) != 2:
                self.fail(f"layer {k} must return (atomic_energy[n], features_next[n, F]), not a {type(got).__name__}")
            self.tensor(f"atomic_energy[n] of layer {k}", got[0], (n,))
            if k < self.model.layers - 1:
                self.tensor(f"features_next[n, F] of layer {k}", got[1], (n, None))
                features = got[1][torch.arange(len(self.types)) % n]

    def tensor(self, name, value, shape):
        expected = f"{name} must be a tensor of shape [{', '.join('F' if s is None else str(s) for s in shape)}]"
        if not isinstance(value, torch.Tensor):
            self.fail(f"{expected}, not a {type(value).__name__}")
        if value.dim() != len(shape) or any(s not in (None, d) for s, d in zip(shape, value.shape)):
            self.fail(f"{expected}, but has shape {list(value.shape)}")
        if value.dtype != self.dtype:
            wanted, got = (str(d).removeprefix("torch.") for d in (self.dtype, value.dtype))
            self.fail(
                f"{name} must be {wanted} like edge_vec, but is {got}: make constants parameters or buffers, and new tensors with edge_vec's dtype"
            )
        if bad := int((~torch.isfinite(value)).sum()):
            self.fail(f"{name} must be finite, but {bad} of its {value.numel()} numbers are not (nodes without edges have an energy, too)")

    def energies(self, vec=None, edge_index=None, types=None):
        vec, edge_index = self.vec if vec is None else vec, self.edge_index if edge_index is None else edge_index
        types = self.types if types is None else types
        try:
            return energies(self.model, vec, edge_index, types)
        except Exception as error:
            self.fail(f"fails on another graph: {first_line(error)}{place(error, self.file)}")

    def gradient(self, vec, edge_index, of=None):
        """E_i[N], and the gradient by every edge of number ``of``, or of a weighted sum in which none can cancel."""
        vec = vec.detach().requires_grad_(True)
        energy = self.energies(vec, edge_index)
        total = (energy * torch.linspace(1, 2, len(energy))).sum() if of is None else energy[of]
        try:
            (grad,) = torch.autograd.grad(total, vec)
        except RuntimeError as error:
            self.fail(
                f"atomic_energy must be a differentiable function of edge_vec, but autograd finds no way between them ({str(error).split('.')[0]})"
            )
        return energy.detach(), grad

    def gradients(self, trained):
        energy, grad = self.gradient(self.vec, self.edge_index)
        if not bool(torch.isfinite(grad).all()):
            self.fail("dE/d edge_vec[E, 3] must be finite, but is not: look for a root at zero, or a pole in torch.where")
        if trained and not bool((grad != 0).any()):
            self.fail("atomic_energy must depend on edge_vec, but its gradient is zero for every edge")
        if not torch.equal(energy, self.energies().detach()):
            self.fail("atomic_energy must be the same each time, but two calls differ: is there a random number in it?")
        # what neighbours contribute; the nodes at the end have none
        self.scale = float((energy[: self.n] - energy[self.n :].mean()).abs().max())

    def with_neighbor(self, type_, distance, centre=0):
        """The graph with one more neighbour of the first node, or the last, of this type and at this distance (Å)."""
        node = int((self.types == type_).nonzero()[-1])
        extra = torch.tensor([[0.6, -0.48, 0.64]], dtype=self.dtype) * distance
        parts = (extra, self.vec), (torch.tensor([[centre % len(self.types)], [node]]), self.edge_index)
        return (torch.cat(parts[0][:: centre or 1]), torch.cat(parts[1][:: centre or 1], 1))

    def cutoff(self):
        """Nothing at r_max or beyond, and no step there."""
        r_max, without = self.model.r_max, self.energies().detach()
        for type_ in self.types.unique().tolist():
            for factor, centre in ((1 + 1e-9, 0), (1.5, 0), (1.5, -1)):
                energy, grad = self.gradient(*self.with_neighbor(type_, factor * r_max, centre))
                change = float(torch.maximum((energy - without).abs().max(), r_max * grad[centre].abs().max()))
                if not change <= 1e-10 * (1 + self.scale):
                    self.fail(
                        "an edge at or beyond r_max must contribute nothing to atomic_energy[N] and its gradient, but one at "
                        f"{factor:.3g} r_max {'that is the only one of its node ' if centre else ''}changes them by {change:.1e} eV"
                    )
            half = float((self.energies(*self.with_neighbor(type_, 0.5 * r_max)).detach() - without).abs().max())
            energy, grad = self.gradient(*self.with_neighbor(type_, (1 - 1e-4) * r_max))
            step, slope = float((energy - without).abs().max()), float(grad[0].norm())
            if not max(step, r_max * slope) <= CUTOFF * (half + 1e-6):
                self.fail(
                    f"atomic_energy must vanish smoothly at r_max, but a neighbour just inside gives {step:.1e} eV with a slope of "
                    f"{slope:.1e} eV/Å (at half r_max: {half:.1e} eV): multiply by a cutoff function that ends at zero with its derivative"
                )

    def symmetries(self):
        energy, few = self.energies().detach(), INVARIANCE * self.scale
        rng = np.random.default_rng(0)
        q, r = np.linalg.qr(rng.normal(size=(3, 3)))
        q *= np.sign(np.linalg.det(q))
        turned = self.energies(self.vec @ torch.tensor(q, dtype=self.dtype)).detach()
        self.same(turned, energy, few, "change when edge_vec is rotated")
        order = np.lexsort((rng.random(len(self.vec)), self.edge_index[0].numpy()))
        mixed = self.energies(self.vec[order], self.edge_index[:, order]).detach()
        self.same(mixed, energy, few, "depend on the order of a node's edges")
        # node p of the new graph is node order[p] of the old one
        order = torch.tensor(np.concatenate([rng.permutation(self.n), np.arange(self.n, len(self.types))]))
        renamed = torch.argsort(order)[self.edge_index]
        sort = torch.argsort(renamed[0], stable=True)
        moved = self.energies(self.vec[sort], renamed[:, sort], self.types[order]).detach()
        self.same(moved, energy[order], few, "depend on the order of the nodes")

    def same(self, got, expected, few, what):
        change = float((got - expected).abs().max())
        if not change <= few:
            self.fail(f"atomic_energy[N] must not {what}, but one does by {change:.1e} eV")

    def locality(self):
        """Of every layer: a centre sees its own edges alone, and only where they end."""
        if self.model.layers == 1:
            _, grad = self.gradient(self.vec, self.edge_index, of=0)
            others = self.edge_index[0] != 0
            if bool((grad[others] != 0).any()):
                self.fail(
                    "the energy of a node must depend on the edges that start there alone, but node 0 sees others: a strictly local module has no "
                    "message passing; write layers and layer(k, …) for it"
                )
        features, n, fewer = None, self.n, self.n // 2
        here = self.edge_index[0] < fewer
        for k in range(self.model.layers):
            full = self.model.layer(k, self.vec, self.edge_index, self.types, features, n)
            part = self.model.layer(k, self.vec[here], self.edge_index[:, here], self.types, features, fewer)
            self.same(part[0].detach(), full[0][:fewer].detach(), INVARIANCE * self.scale, "depend on nodes that are not its own")
            if k < self.model.layers - 1:
                if not torch.allclose(part[1], full[1][:fewer], rtol=1e-6, atol=1e-9):
                    self.fail(f"features_next[n, F] of layer {k} must depend on a node's own edges and where they end alone")
                features = full[1][torch.arange(len(self.types)) % n]


def export(model: Layers, dtype, file) -> bytes:
    """``contract.export_model`` of a model that passed ``check``.

    Raises:
        ContractError: torch cannot export it; in a sentence.
    """
    torch.set_default_dtype(dtype)
    symbols = model.elements[:4]
    vec, edge_index, _ = graph(crystal(symbols, 0).repeat((2, 1, 1)), model.elements, model.r_max)
    try:
        return export_model(model.to(dtype), vec.to(dtype), edge_index, len(symbols))
    except ProgramError as error:
        raise ContractError(f"the module cannot be a program of plain data: {error}") from None
    except Exception as error:
        raise ContractError(f"torch.export cannot follow the module: {_reason(error)}{place(error, file)}") from None


def _reason(error) -> str:
    text = f"{type(error).__name__} {error}"
    if "DataDependent" in text or "data-dependent" in text or "data dependent" in text:
        return (
            "a shape or a branch depends on values (boolean masks, nonzero, unique, .item(), if on a tensor); keep all edges, and use "
            "torch.where and index_add"
        )
    if "onstraint" in text or "pecializ" in text:
        return (
            "it takes a number of nodes or edges for a constant; write types.shape[0] and not len(types) or int(…), and torch operations "
            "instead of Python loops over nodes or edges"
        )
    return first_line(error)
