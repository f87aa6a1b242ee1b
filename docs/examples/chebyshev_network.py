"""A small learned potential: radial Chebyshev functions, angular moments, a network per atom.

    metalff train torch chebyshev_network.py:Network --data zuo2020-Cu:train --r-max 5 --out cu
    metalff deploy torch cu -o Cu.mlff --test zuo2020-Cu:test

With g_n(r) = Σ_k c_nk T_k(2r/r_max - 1) f_c(r), c of each pair of elements, and unit vectors u to the neighbours, the invariants of an atom are
Σ g_n, |Σ g_n u|² and |Σ g_n (u⊗u)|²: the angles of Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007), as moments of densities.
"""

import torch


class Network(torch.nn.Module):
    def __init__(self, elements=("Cu",), r_max=5.0, avg_num_neighbors=20.0, functions=8, order=8, width=32):
        super().__init__()
        self.elements, self.r_max, self.order, self.neighbors = list(elements), r_max, order, avg_num_neighbors
        kinds = len(self.elements)
        self.c = torch.nn.Parameter(torch.randn(kinds, kinds, order, functions) / order**0.5)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(3 * functions + kinds, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, width),
            torch.nn.SiLU(),
            torch.nn.Linear(width, 1),
        )

    def forward(self, edge_vec, edge_index, types):
        centre, neighbor = edge_index[0], edge_index[1]
        r = torch.linalg.norm(edge_vec, dim=1, keepdim=True)
        x = (r / self.r_max).clamp(max=1.0)
        chebyshev = torch.cos(torch.arange(self.order, device=r.device) * torch.acos((2 * x - 1) * 0.999999))
        cutoff = 0.5 * (1 + torch.cos(torch.pi * x))
        g = torch.einsum("ek,ekn->en", chebyshev * cutoff, self.c[types[centre], types[neighbor]])
        u = edge_vec / r
        tensors = torch.cat([torch.ones_like(r), u, (u[:, :, None] * u[:, None, :]).flatten(1)], 1)
        terms = (g[:, :, None] * tensors[:, None, :]) / self.neighbors**0.5
        sums = terms.new_zeros(types.shape[0], *terms.shape[1:]).index_add(0, centre, terms)
        scalars, vectors, matrices = sums.split([1, 3, 9], 2)
        invariants = [scalars[:, :, 0], vectors.pow(2).sum(2), matrices.pow(2).sum(2)]
        own = torch.nn.functional.one_hot(types, len(self.elements)).to(r.dtype)
        return self.network(torch.cat([*invariants, own], 1))[:, 0]
