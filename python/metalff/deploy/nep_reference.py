"""NEP4 by its formulas, in torch with automatic derivatives: the reference of a self-test where NEP_CPU is not needed or not there.

It shares nothing with the engine: the angular part is written with Legendre polynomials of the angles between neighbours and a traceless matrix, not with
harmonics and 3j symbols. Fan et al., J. Chem. Phys. 157, 114801 (2022). It is slow, and covers what ``metalff train nep`` makes: one cutoff for all
elements, the invariants q_222 and q_1111, and a ZBL of two cutoffs.
"""

import math

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from matscipy.neighbours import neighbour_list

NAME = "NEP4 by its formulas in torch, with automatic derivatives (metalff.deploy.nep_reference)"
UNIVERSAL = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
"""Factors and decays of the screening function of Ziegler, Biersack and Littmark."""


class NotCovered(ValueError):
    """What a nep.txt has that these formulas have not."""


class Nep4:
    """The model of a nep.txt.

    Raises:
        NotCovered: it has something that is not covered; the sentence says what.
    """

    def __init__(self, text: str):
        lines = text.splitlines()
        head = lines[0].split()
        if head[0] not in ("nep4", "nep4_zbl"):
            raise NotCovered(f"it is a {head[0]}")
        self.elements, types = head[2:], len(head) - 2
        start = 7 if head[0] == "nep4_zbl" else 6
        words = {line.split()[0]: line.split()[1:] for line in lines[1:start]}
        if len(words["cutoff"]) != 4:
            raise NotCovered("its elements have cutoffs of their own")
        self.zbl = tuple(map(float, words["zbl"][:2])) if "zbl" in words else None
        if self.zbl and (len(words["zbl"]) > 2 or not self.zbl[1]):
            raise NotCovered("its ZBL differs between pairs of elements")
        orders = [int(word) for word in words["l_max"]]
        if any(orders[3:]):
            raise NotCovered("it has invariants beyond q_222 and q_1111")
        self.l_max, self.q_222, self.q_1111 = (*orders[:3], 0, 0)[:3]
        self.cutoffs = tuple(map(float, words["cutoff"][:2]))
        n, k = ([int(word) + 1 for word in words[key]] for key in ("n_max", "basis_size"))
        neurons = int(words["ANN"][0])
        dim = n[0] + n[1] * (self.l_max + bool(self.q_222) + bool(self.q_1111))
        values = torch.tensor([float(line) for line in lines[start:]], dtype=torch.float64)
        sizes = [neurons * dim, neurons, neurons] * types + [1, n[0] * k[0] * types**2, n[1] * k[1] * types**2, dim]
        if sum(sizes) != len(values):
            raise NotCovered(f"it has {len(values)} numbers where {sum(sizes)} belong")
        parts = values.split(sizes)
        self.networks = [(parts[3 * t].view(neurons, dim), parts[3 * t + 1], parts[3 * t + 2]) for t in range(types)]
        self.bias, self.scale = parts[-4], parts[-1]
        self.radial, self.angular = (part.view(n[m], k[m], types, types) for m, part in enumerate(parts[-3:-1]))

    def functions(self, r, cutoff: float, count: int):
        """f_k(r) [count, E]."""
        inside = r < cutoff
        smooth = torch.where(inside, 0.5 * (1 + torch.cos(math.pi * r / cutoff)), 0.0)
        x = torch.where(inside, 2 * (r / cutoff - 1) ** 2 - 1, 0.0)
        chebyshev = [torch.ones_like(x), x]
        while len(chebyshev) < count:
            chebyshev.append(2 * x * chebyshev[-1] - chebyshev[-2])
        return torch.stack([0.5 * (t + 1) * smooth for t in chebyshev[:count]])

    def energy(self, kind: int, vec, kinds):
        """Energy of one atom (eV) with neighbours at ``vec`` [E,3] of the elements ``kinds`` [E]."""
        r = torch.linalg.norm(vec, dim=1)
        q = [(self.coefficients(self.radial, kind, kinds) * self.functions(r, self.cutoffs[0], self.radial.shape[1])).sum((1, 2))]
        g = (self.coefficients(self.angular, kind, kinds) * self.functions(r, self.cutoffs[1], self.angular.shape[1])).sum(1)
        unit = vec / r[:, None]
        cosine = unit @ unit.T
        legendre = [torch.ones_like(cosine), cosine]
        for order in range(2, self.l_max + 1):
            legendre.append(((2 * order - 1) * cosine * legendre[-1] - (order - 1) * legendre[-2]) / order)
        pairs = [(2 * order + 1) * torch.einsum("nj,jk,nk->n", g, legendre[order], g) / (4 * math.pi) for order in range(1, self.l_max + 1)]
        q += pairs
        if self.q_222:
            square = unit[:, :, None] * unit[:, None, :]
            matrix = 5 * torch.einsum("nj,jab->nab", g, 1.5 * square - 0.5 * torch.eye(3, dtype=r.dtype))
            cube = torch.einsum("nab,nbc,nca->n", matrix, matrix, matrix)
            q.append(-8 / 105 * cube / (math.sqrt(125 * 2 / 35) * (4 * math.pi) ** 1.5))  # 3j(2 2 2; 0 0 0) = -√(2/35)
        if self.q_1111:
            q.append(7 / 15 * pairs[0] ** 2)
        w0, b0, w1 = self.networks[kind]
        return torch.tanh(w0 @ (torch.cat(q) * self.scale) - b0) @ w1 - self.bias[0] + self.repulsion(kind, r, kinds)

    def coefficients(self, table, kind: int, kinds):
        """c_nk of each neighbour, [n, k, E]."""
        return table[:, :, kind, kinds]

    def repulsion(self, kind: int, r, kinds):
        """Half of the ZBL of each pair, eV."""
        if not self.zbl:
            return 0.0
        inner, outer = self.zbl[0], min(self.zbl[1], self.cutoffs[1])
        near = r < outer
        r, z = r[near], torch.tensor([float(atomic_numbers[symbol]) for symbol in self.elements], dtype=r.dtype)
        a, b = z[kind], z[kinds[near]]
        x = r * (a**0.23 + b**0.23) * 2.134563
        screening = sum(factor * torch.exp(-decay * x) for factor, decay in UNIVERSAL)
        switch = torch.where(r > inner, 0.5 * (1 + torch.cos(math.pi * (r - inner) / (outer - inner))), 1.0)
        return (0.5 * 14.399645 * a * b / r * screening * switch).sum()


class Formulas(Calculator):
    """Energy (eV), energies, forces (eV/Å) and stress (eV/Å³) of a ``Nep4``."""

    implemented_properties = ("energy", "energies", "forces", "stress")

    def __init__(self, text: str):
        super().__init__()
        self.model = Nep4(text)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        model, n = self.model, len(self.atoms)
        i, j, vec = neighbour_list("ijD", self.atoms, max(model.cutoffs))
        kinds = torch.tensor([model.elements.index(symbol) for symbol in self.atoms.symbols])
        edges = torch.tensor(vec, dtype=torch.float64, requires_grad=True)
        energies = torch.stack([model.energy(int(kinds[a]), edges[i == a], kinds[j[i == a]]) for a in range(n)])
        grad = np.zeros_like(vec)
        if len(vec):
            grad = torch.autograd.grad(energies.sum(), edges)[0].numpy()
        forces = np.zeros((n, 3))
        np.add.at(forces, i, grad)
        np.add.at(forces, j, -grad)
        virial = vec.T @ grad
        stress = 0.5 * (virial + virial.T) / self.atoms.get_volume()
        self.results = {
            "energy": float(energies.detach().sum()),
            "energies": energies.detach().numpy(),
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
