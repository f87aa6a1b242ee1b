"""EAM in a setfl file → artefact: the oracle.

The same numbers as ``pair_style eam/alloy`` through the whole path of a machine-learned model, so that every part of the
path can be tested to round-off. Daw and Baskes, Phys. Rev. B 29, 6443 (1984):

    E_i = F(Σ_j ρ(r_ij)) + ½ Σ_j φ(r_ij)

The tables are interpolated by the cubics of LAMMPS (``PairEAM::interpolate``).
"""

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.compiled import pack_programs
from metalff.deploy.contract import export_model, reference
from metalff.errors import MetalffError


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
        self.layers = 1
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
    model = EAM(setfl)
    atoms = bulk("Cu", "fcc", a=2**0.5 * 0.55 * setfl.r_max, cubic=True)
    from matscipy.neighbours import neighbour_list

    i, j, vec = neighbour_list("ijD", atoms, setfl.r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    members = {}
    for dtype, precision in ((torch.float64, "double"), (torch.float32, "single")):
        file = f"torch/{str(dtype).removeprefix('torch.')}.pt2"
        say(f"exporting the program, {precision} precision")
        exported = export_model(model.to(dtype), torch.tensor(vec, dtype=dtype), edge_index, model.kinds)
        members[file] = (
            Payload(kind="torch.export", sha256="", size=0, precision=precision),
            pack_programs(exported),
        )
    say("reference energies, forces and stresses from pair_style eam/alloy")
    members["selftest.json"] = (Payload(kind="selftest", sha256="", size=0), _selftest(Path(source), setfl))
    manifest = Manifest(
        name=name or Path(output).stem,
        family="eam",
        elements=setfl.elements,
        r_max=setfl.r_max,
        layers=1,
        training=Training(data="none: an interatomic potential in closed form"),
        citation=setfl.citation,
        licence=licence,
        versions={"torch": torch.__version__, "metalff": metadata.version("metalff")},
    )
    artifact.write(output, manifest, members)
    return artifact.read_manifest(output)


def _selftest(source: Path, setfl: Setfl) -> bytes:
    from metalff.lammps import LammpsCalculator

    calculator = LammpsCalculator(
        ["pair_style eam/alloy", f"pair_coeff * * {source.resolve()} {' '.join(setfl.elements)}"], setfl.elements
    )
    rng = np.random.default_rng(1)
    cases = []
    for vacuum in (False, True):
        atoms = bulk("Cu", "fcc", a=2**0.5 * 0.55 * setfl.r_max, cubic=True).repeat((2, 2, 1))
        atoms.symbols = rng.choice(setfl.elements, len(atoms))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.05, (len(atoms), 3))
        if vacuum:
            atoms.cell[2] *= 4
        atoms.calc = calculator
        cases.append(reference(atoms))
    return json.dumps(cases).encode()
