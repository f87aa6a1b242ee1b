"""Energies of one path by GPAW: ``python -P paths_worker.py TASK.json``; runs in the environment of GPAW.

TASK.json: ``nodes`` (λ), ``structures`` (one each: numbers, positions in Å, cell), ``parameter`` (λ asked for), ``setup``, ``basis``, ``ecut`` (eV), ``k_points`` (of
the density), ``meshes``, ``widths`` (eV), ``reference`` (the structure at λ = 0), ``done``, ``failed`` and ``eigenvalues`` (.npz), the files to write.

The density is made self-consistent in plane waves at the nodes. Its potential gives Hamiltonian and overlap in a basis of local orbitals (double zeta),
which reach a finite way: on a mesh large enough they become matrices between cells, and from those the matrices of any k-point follow. Between the nodes
they are polynomials in λ. The free energy is that of Harris and Foulkes: bands of that potential, and the double counting of the density, of which an error counts
in the second order.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Ha

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "dft"))
from label_worker import reason, versions, write

MARGIN = 2.0
"""Å: for projectors, through which orbitals that do not touch have matrix elements, too."""

TELLING = 1e-3
"""eV: an eigenvalue of a matrix made of those between cells may be so far from that of the matrix itself; the difference is smooth along the path."""

CONTROL = [0.137, 0.281, 0.419]
"""Fractional k-point on no mesh."""

P_VALENCE = "pvalence.dz"
"""Name of a basis that is made here."""

LONGEST = 10.0
"""Bohr, of its orbitals."""

NEAR, ALIKE = 1.0, 0.25
"""eV: states so near the Fermi level must be those of plane waves to so much, in the root of the mean square, but for a shift of all."""

DENSITY_WIDTH = 0.2
"""eV: Fermi–Dirac width of the density."""


def atoms_of(structure):
    return Atoms(structure["numbers"], structure["positions"], cell=structure["cell"], pbc=True)


def make_basis(task):
    """The orbitals that gpaw-data lacks: empty p states of the free atom as valence states, in place of functions that only polarise."""
    import gpaw
    from gpaw.atom.basis import BasisMaker
    from gpaw.atom.configurations import parameters, parameters_extra

    symbol, kind = Atoms(numbers=task["reference"]["numbers"]).symbols[0], task["setup"]
    configuration = (parameters_extra if kind else parameters)[symbol]
    name = ".".join(filter(None, (kind, P_VALENCE.partition(".")[0])))
    maker = BasisMaker.from_symbol(symbol, name=name, gtxt=None, xc="PBE", generator_run_kwargs={"write_xml": False, **configuration})
    shells = maker.valence_data
    chosen = sorted((j for j, n in enumerate(shells.n_j) if n > 0), key=lambda j: shells.l_j[j])
    maker.generate(2, 0, txt=None, jvalues=chosen, rcutmax=LONGEST).write_xml()
    gpaw.setup_paths.insert(0, Path.cwd())


def settings(task):
    found = {"xc": "PBE"}
    if task["setup"]:
        found["setups"] = {"default": task["setup"]}
    return found


def converge(atoms, task, more=None):
    """The calculation in plane waves."""
    from gpaw.new.ase_interface import GPAW

    arguments = {
        "mode": {"name": "pw", "ecut": task["ecut"]},
        "kpts": {"size": task["k_points"], "gamma": True},
        "occupations": {"name": "fermi-dirac", "width": DENSITY_WIDTH},
        "symmetry": {"symmorphic": False},
        "convergence": {"density": 1e-4, "eigenstates": 1e-4, "energy": 1e-3},
        "maxiter": 60,
    }
    atoms.calc = GPAW(**settings(task), **(arguments | (more or {})), txt="gpaw.txt")
    energy = atoms.get_potential_energy(force_consistent=True)
    return atoms.calc.dft, energy


def between_cells(dft, atoms, task, size):
    """Hamiltonian (eV) and overlap between the orbitals of two cells, [2, size³, M, M], real, and both at the k-point ``CONTROL``, [2, M, M]."""
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 3)
    half = places[[tuple(place) <= tuple(-place % size) for place in places]]
    pairs = matrices(dft, atoms, task, [*(half / size), CONTROL])
    found = np.zeros((2, *size, *pairs.shape[2:]), complex)
    for place, pair in zip(half, pairs[:-1], strict=True):
        found[(slice(None), *place)] = pair
        found[(slice(None), *(-place % size))] = pair.conj()
    return np.fft.ifftn(found, axes=(1, 2, 3)).real.reshape(2, -1, *pairs.shape[2:]), pairs[-1]


def matrices(dft, atoms, task, points):
    """Hamiltonian (eV) and overlap in the basis, [k, 2, M, M], at fractional k-points, in the potential of ``dft``."""
    from gpaw.dft import Parameters
    from gpaw.mpi import serial_comm
    from gpaw.new.lcao.hamiltonian import LCAOHamiltonian
    from gpaw.new.logger import Logger

    grid = dft.density.nt_sR.desc.size
    symmetry = {"point_group": False, "time_reversal": False}
    parameters = Parameters(mode="lcao", basis=task["basis"], kpts=points, gpts=grid, symmetry=symmetry, **settings(task))
    builder = parameters.dft_component_builder(atoms, log=Logger(None, serial_comm))
    basis = builder.create_basis_set()
    calculator = LCAOHamiltonian(basis).create_hamiltonian_matrix_calculator(dft.potential)
    functions = list(builder.create_ibz_wave_functions(basis, None))
    if not np.allclose([one.kpt_c for one in functions], points):
        raise ValueError("GPAW has other k-points than it was given")
    return np.array([[calculator.calculate_matrix(one).data * Ha, one.S_MM.data] for one in functions])


def supercell(atoms, longest):
    """Cells along each axis, so that two orbitals of this length (Å) that touch are nearer than any of their images."""
    apart = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=2).max()
    return np.ceil((4 * longest + 2 * apart + MARGIN) * np.linalg.norm(atoms.cell.reciprocal(), axis=1)).astype(int)


def images(size, cell):
    """Of each cell of the supercell the nearest image, or images, with their share: indices [n], vectors [n, 3] in units of the cell, shares [n]."""
    inside = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 3)
    shifts = np.stack(np.meshgrid(*[(-2, -1, 0, 1)] * 3, indexing="ij"), -1).reshape(-1, 3) * size
    every = inside[:, None] + shifts[None]
    distance = np.linalg.norm(every @ cell, axis=2)
    nearest = distance < distance.min(axis=1, keepdims=True) + 1e-6
    index, which = np.nonzero(nearest)
    return index, every[index, which], 1 / nearest.sum(axis=1)[index]


def phases(points, size, cell):
    """cos and sin [k, size³] that take matrices between cells to k-points."""
    index, vectors, share = images(size, cell)
    angle = -2 * np.pi * points @ vectors.T
    found = np.zeros((2, len(points), int(np.prod(size))))
    for part, values in zip(found, (np.cos(angle) * share, np.sin(angle) * share), strict=True):
        np.add.at(part.T, index, values.T)
    return found


def at(points, phase):
    """Matrices [2, k, M, M] at k-points out of those between cells [2, cells, M, M]; ``phase`` is that of ``phases``."""
    count = points.shape[-1]
    flat = points.reshape(2, -1, count * count)
    return np.array([(phase[0] @ one + 1j * (phase[1] @ one)).reshape(-1, count, count) for one in flat])


def eigenvalues(pair):
    """Eigenvalues [k, M] of Hamiltonians with overlaps [2, k, M, M], eV, rising."""
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(pair[1]))
    except np.linalg.LinAlgError:
        raise ValueError(
            "the overlap of the local orbitals is not positive: they reach beyond the mesh of their matrices, or are nearly dependent"
        ) from None
    return np.linalg.eigvalsh(inverse @ pair[0] @ inverse.conj().swapaxes(1, 2))


def filled(values, weights, electrons, width):
    """Fermi level, occupations [k, n] (0 to 1), band energy and −TS (eV) of two electrons a state; the weights' sum is one."""
    from scipy.optimize import brentq
    from scipy.special import expit, xlogy

    def occupations(level):
        return expit((level - values) / width)

    level = brentq(lambda x: 2 * weights @ occupations(x).sum(axis=1) - electrons, values.min() - 1, values.max() + 1, xtol=1e-11)
    f = occupations(level)
    entropy = xlogy(f, f) + xlogy(1 - f, 1 - f)
    return level, f, 2 * weights @ (f * values).sum(axis=1), 2 * width * weights @ entropy.sum(axis=1)


def irreducible(atoms, size):
    """k-points and weights of a gamma-centred mesh under the symmetry of these atoms."""
    from gpaw.new.brillouin import BZPoints
    from gpaw.new.symmetry import create_symmetries_object

    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in size], indexing="ij"), -1).reshape(-1, 3)
    found = BZPoints((grid + 0.5 - 1e-9) % 1 - 0.5 + 1e-9).reduce(create_symmetries_object(atoms, symmorphic=False))
    return np.array(found.kpt_kc), np.array(found.weight_k)


def polynomials(nodes, parameter):
    """Values [λ, node] of Lagrange's polynomials."""
    nodes, parameter = np.asarray(nodes), np.asarray(parameter)
    found = np.ones((len(parameter), len(nodes)))
    for j, node in enumerate(nodes):
        for other in np.delete(nodes, j):
            found[:, j] *= (parameter - other) / (node - other)
    return found


def apart(dft, between, size, cell):
    """Spread (eV) of the differences between eigenvalues of the orbitals and of the plane waves, of states ``NEAR`` the Fermi level at the points of the density."""
    functions = list(dft.ibzwfs)
    points = np.array([one.kpt_c for one in functions])
    exact = np.array([one.eig_n for one in functions]) * Ha
    ours = eigenvalues(at(between, phases(points, size, cell)))
    count = min(exact.shape[1], ours.shape[1])
    exact, ours = exact[:, :count], ours[:, :count]
    weights = (np.abs(exact - dft.ibzwfs.fermi_levels[0] * Ha) < NEAR) * np.array([[one.weight] for one in functions])
    weights = weights / weights.sum()
    mean = (weights * (ours - exact)).sum()
    return float(np.sqrt((weights * (ours - exact - mean) ** 2).sum()))


def own_bands(dft):
    """Band energy with −TS of the plane waves' own states, eV."""
    energies = dft.energies._energies
    return (energies["band"] + energies["entropy"]) * Ha


def run(task):
    reference = atoms_of(task["reference"])
    cell = reference.cell.array
    size, between, double_counting, spread = None, [], [], []
    if task["basis"] == P_VALENCE:
        make_basis(task)
    for structure in task["structures"]:
        atoms = atoms_of(structure)
        dft, energy = converge(atoms, task)
        if size is None:
            longest = max(orbital.get_cutoff() for setup in dft.setups for orbital in setup.basis_functions_J) * Bohr
            size = np.max([supercell(atoms_of(one), longest) for one in task["structures"]], axis=0)
            control_phase = phases(np.array([CONTROL]), size, cell)
        found, control = between_cells(dft, atoms, task, size)
        off = np.abs(eigenvalues(at(found, control_phase)) - eigenvalues(control[:, None]))[:, : dft.setups.nvalence // 2 + 2 * len(atoms)].max()
        if off > TELLING:
            raise ValueError(f"the orbitals reach beyond the mesh of their matrices: an eigenvalue is off by {off:.1e} eV")
        between.append(found)
        spread.append(apart(dft, found, size, cell))
        double_counting.append(energy - own_bands(dft))
    if max(spread) > ALIKE:
        raise ValueError(
            f"the local orbitals do not hold the states at the Fermi level: their energies spread by {max(spread):.2f} eV about those of plane waves"
        )
    between = np.array(between)
    share = polynomials(task["nodes"], task["parameter"])
    found = {
        "electrons": dft.setups.nvalence,
        "orbitals": between.shape[-1],
        "spread": spread,
        "density_cpu_s": round(time.process_time(), 1),
        "double_counting": (share @ double_counting).tolist(),
        "meshes": [],
    }
    kept = {}
    for mesh in task["meshes"]:
        points, weights = irreducible(atoms_of(task["structures"][1]), mesh)
        phase = phases(points, size, cell)
        values = np.array([eigenvalues(at(np.tensordot(row, between, 1), phase)) for row in share])
        kept["x".join(map(str, mesh))] = values.astype(np.float32)
        of_widths = [of_width(values, weights, found["electrons"], width) for width in task["widths"]]
        found["meshes"].append({"mesh": mesh, "k_points": len(points), "widths": of_widths})
    np.savez_compressed(task["eigenvalues"], **kept)
    return found


def of_width(values, weights, electrons, width):
    """Numbers of one mesh and width along the path: eigenvalues [K, k, M] in eV."""
    filling = [filled(one, weights, electrons, width) for one in values]
    change = 2 * np.abs(np.diff([one[1] for one in filling], axis=0)).sum(axis=2) @ weights
    numbers = {"fermi_level": 0, "band_energy": 2, "entropy": 3}
    return {"width": width, "change": change.tolist()} | {name: [float(one[place]) for one in filling] for name, place in numbers.items()}


def main():
    with open(sys.argv[1]) as stream:
        task = json.load(stream)
    try:
        found = run(task)
    except Exception as error:
        traceback.print_exc()
        write(task["failed"], {"reason": reason(error), "cpu_s": round(time.process_time(), 1), "versions": versions()})
        return
    write(task["done"], found | {"cpu_s": round(time.process_time(), 1), "versions": versions()})


if __name__ == "__main__":
    main()
