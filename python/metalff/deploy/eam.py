"""EAM in a setfl file → artefact: the oracle.

The same numbers as ``pair_style eam/alloy`` through the whole path of a machine-learned model, so that every part of the
path can be tested to round-off. Daw and Baskes, Phys. Rev. B 29, 6443 (1984):

    E_i = F(Σ_j ρ(r_ij)) + ½ Σ_j φ(r_ij)

The tables are interpolated by the cubics of LAMMPS (``PairEAM::interpolate``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from metalff.artifact import Manifest
from metalff.deploy import closed_form
from metalff.errors import MetalffError
from metalff.lammps import as_word


@dataclass(frozen=True)
class Setfl:
    """The tables of a setfl file; K elements."""

    elements: list[str]
    citation: str  # the three comment lines
    d_rho: float
    d_r: float  # Å
    r_max: float  # Å
    embedding: np.ndarray  # [K, n_rho] F(ρ), eV
    density: np.ndarray  # [K, n_r] ρ(r)
    pair: np.ndarray  # [K, K, n_r] r φ(r), eV Å


def read_setfl(path) -> Setfl:
    """Read a DYNAMO setfl file.

    Raises:
        MetalffError: the file is missing or not a setfl file.
    """
    try:
        lines = Path(path).read_text().splitlines()
        elements = lines[3].split()[1:]
        n_rho, d_rho, n_r, d_r, r_max = (float(v) for v in lines[4].split()[:5])
        n_rho, n_r, k = int(n_rho), int(n_r), len(elements)
        # per element: a header line of four fields, F(ρ), ρ(r); then r φ(r) of each pair
        words = " ".join(lines[5:]).split()
        embedding, density, at = [], [], 0
        for _ in elements:
            at += 4
            embedding.append(np.array(words[at : at + n_rho], float))
            density.append(np.array(words[at + n_rho : at + n_rho + n_r], float))
            at += n_rho + n_r
        pair = np.zeros((k, k, n_r))
        for i in range(k):
            for j in range(i + 1):
                pair[i, j] = pair[j, i] = np.array(words[at : at + n_r], float)
                at += n_r
        return Setfl(elements, " ".join(lines[:3]), d_rho, d_r, r_max, np.stack(embedding), np.stack(density), pair)
    except OSError as error:
        raise MetalffError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise MetalffError(f"'{path}' is not a setfl file: give one that pair_style eam/alloy reads") from error


def cubics(f: np.ndarray) -> torch.Tensor:
    """Coefficients [n, 4] (highest power first) of LAMMPS' interpolation of a table f[n] with unit spacing."""
    slope = np.empty_like(f)
    slope[0], slope[-1] = f[1] - f[0], f[-1] - f[-2]
    slope[1], slope[-2] = 0.5 * (f[2] - f[0]), 0.5 * (f[-1] - f[-3])
    slope[2:-2] = ((f[:-4] - f[4:]) + 8.0 * (f[3:-1] - f[1:-3])) / 12.0
    step = f[1:] - f[:-1]
    out = np.zeros((len(f), 4))
    out[:-1, 0] = slope[:-1] + slope[1:] - 2.0 * step
    out[:-1, 1] = 3.0 * step - 2.0 * slope[:-1] - slope[1:]
    out[:, 2], out[:, 3] = slope, f
    return torch.tensor(out)


class EAM(torch.nn.Module):
    """E_i[N] (eV) of edge vectors (Å) in MetalFF's contract."""

    def __init__(self, setfl: Setfl):
        super().__init__()
        self.layers, self.elements = 1, setfl.elements
        self.kinds, self.n_r, self.n_rho = len(setfl.elements), setfl.density.shape[1], setfl.embedding.shape[1]
        self.d_r, self.d_rho, self.r_max = setfl.d_r, setfl.d_rho, setfl.r_max
        self.register_buffer("density", torch.cat([cubics(f) for f in setfl.density]))
        self.register_buffer("embedding", torch.cat([cubics(f) for f in setfl.embedding]))
        self.register_buffer("pair", torch.cat([cubics(f) for row in setfl.pair for f in row]))

    @staticmethod
    def _interpolate(table, row, x, n):
        """Value of cubic table number ``row`` (of ``n`` points each) at ``x`` in units of the spacing."""
        m = torch.clamp(x.detach().floor().long(), 0, n - 2)
        p = torch.clamp(x - m, max=1.0)
        c = table[row * n + m]
        return ((c[:, 0] * p + c[:, 1]) * p + c[:, 2]) * p + c[:, 3]

    def layer(self, k, edge_vec, edge_index, types, features, n):
        """See ``contract.export_model``; the only layer."""
        centre, neighbor = edge_index[0], edge_index[1]
        r = edge_vec.pow(2).sum(1).sqrt()
        inside = (r < self.r_max).to(r.dtype)
        x = r / self.d_r
        rho_ij = inside * self._interpolate(self.density, types[neighbor], x, self.n_r)
        row = types[centre] * self.kinds + types[neighbor]
        phi_ij = inside * self._interpolate(self.pair, row, x, self.n_r) / r
        types = types[:n]
        zero = torch.zeros_like(types, dtype=r.dtype)
        rho = zero.index_add(0, centre, rho_ij)
        x = rho / self.d_rho
        embed = self._interpolate(self.embedding, types, x, self.n_rho)
        # beyond the table LAMMPS continues with the slope of its end
        last = self.embedding[types * self.n_rho + self.n_rho - 2]
        slope = (3.0 * last[:, 0] + 2.0 * last[:, 1] + last[:, 2]) / self.d_rho
        beyond = torch.clamp(rho - (self.n_rho - 1) * self.d_rho, min=0.0)
        return embed + slope * beyond + 0.5 * zero.index_add(0, centre, phi_ij), None


def deploy(source, output, name: str | None = None, licence: str = "", say=print) -> Manifest:
    """Write the artefact of a setfl file; the self-test holds the numbers of ``pair_style eam/alloy``.

    Raises:
        MetalffError: the file is missing or not a setfl file.
    """
    setfl = read_setfl(source)
    commands = ["pair_style eam/alloy", f"pair_coeff * * {as_word(Path(source).resolve())} {' '.join(setfl.elements)}"]
    return closed_form.deploy(EAM(setfl), commands, output, family="eam", name=name, citation=setfl.citation, licence=licence, say=say)
