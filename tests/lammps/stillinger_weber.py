"""Stillinger-Weber as an artefact: the angular oracle, the same numbers as ``pair_style sw``.

Stillinger and Weber, Phys. Rev. B 31, 5262 (1985), with the sum over pairs of neighbours as moments of the neighbourhood,
as in the angular densities of MEAM. With g_j = exp(γσ / (r_j - aσ)), A = Σ g_j, B = Σ g_j n_j and C = Σ g_j n_j⊗n_j over
the unit vectors n_j to the neighbours:

    Σ_{j≠k} g_j g_k (cos θ_jk - c)² = C:C - 2c B·B + c²A² - (1 - c)² Σ g_j²
"""

from dataclasses import astuple, dataclass
from pathlib import Path

import torch

from metalff.deploy import closed_form


@dataclass(frozen=True)
class Parameters:
    """In the order of a line of LAMMPS' ``.sw`` file; invented, and near copper in its distances."""

    epsilon: float = 0.4  # eV
    sigma: float = 2.35  # Å
    a: float = 1.92  # cutoff / σ
    lambda_: float = 3.0
    gamma: float = 1.2
    cos_theta: float = -1 / 3
    A: float = 7.05
    B: float = 0.6
    p: float = 4.0
    q: float = 0.0
    tol: float = 0.0  # LAMMPS' own: no shortening of the cutoff


class StillingerWeber(torch.nn.Module):
    """E_i[N] (eV) of edge vectors (Å) in MetalFF's contract; the energy of a triple goes to its middle atom."""

    def __init__(self, element: str, parameters: Parameters):
        super().__init__()
        self.layers, self.elements, self.constants = 1, [element], parameters
        self.r_max = parameters.a * parameters.sigma

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``; the only layer."""
        s, centre = self.constants, edge_index[0]
        r = edge_vec.pow(2).sum(1).sqrt()
        inside = r < self.r_max
        # beyond the cutoff neither value nor gradient may see the pole of 1 / (r - aσ)
        decay = s.sigma / (torch.where(inside, r, 0.5 * self.r_max) - self.r_max)
        x = s.sigma / r
        phi = torch.where(inside, s.A * (s.B * x**s.p - x**s.q) * torch.exp(decay), 0.0)
        g = torch.where(inside, torch.exp(s.gamma * decay), 0.0)

        direction = edge_vec / r[:, None]
        outer = (direction[:, :, None] * direction[:, None, :]).flatten(1)
        terms = torch.cat([phi[:, None], g[:, None], (g * g)[:, None], g[:, None] * direction, g[:, None] * outer], 1)
        pair, a, squares, b, c = terms.new_zeros(n, 15).index_add(0, centre, terms).split([1, 1, 1, 3, 9], 1)
        cos = s.cos_theta
        triples = (c * c).sum(1) - 2 * cos * (b * b).sum(1) + (cos**2 * a * a - (1 - cos) ** 2 * squares)[:, 0]
        return 0.5 * s.epsilon * (pair[:, 0] + s.lambda_ * triples), None


def deploy(folder: Path, element: str = "Cu", parameters: Parameters = Parameters()) -> tuple[Path, list[str]]:
    """An artefact in ``folder``, and the commands of ``pair_style sw`` for the same potential."""
    file, model = folder / f"{element}.sw", folder / f"{element}-sw.mlff"
    file.write_text(" ".join([element] * 3 + [repr(value) for value in astuple(parameters)]) + "\n")
    commands = ["pair_style sw", f"pair_coeff * * {file} {element}"]
    closed_form.deploy(StillingerWeber(element, parameters), commands, model, family="sw", say=lambda line: None)
    return model, commands
