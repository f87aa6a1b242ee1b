"""ASE calculator over the engine: the same compiled model that LAMMPS runs."""

import warnings

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.cell import Cell
from ase.stress import full_3x3_to_voigt_6_stress
from matscipy.neighbours import neighbour_list

from metalff.errors import MetalffError
from metalff.paths import name_python


class MLFFCalculator(Calculator):
    """Energy (eV), energies, forces (eV/Å) and stress (eV/Å³) of a deployed model.

    Args:
        path: the ``.mlff`` file.
        precision: ``"double"`` or ``"single"`` (float32 inside the model, sums in float64).
        device: ``"cpu"`` or ``"cuda:N"``. On a GPU edges are sent there and gradients come back with every structure, the model stays;
            MACE and NEP run natively where MetalFF was built for that (docs/pair_mlff.md).
        threads: of the engine.
        chunk: atoms evaluated at a time by the torch engine, which bounds the memory; 0: chosen by the engine.
        engine: ``"native"`` (hand-written kernels, MACE), ``"torch"``, or ``"auto"``: native where the file has a payload for it.
        spline: points of the native engine's radial splines; 0: exact radial functions; -1: chosen by the engine.

    Raises:
        MetalffError: the file cannot be used, or the atoms hold an element or a position that the model cannot take.
    """

    implemented_properties = ["energy", "energies", "forces", "stress", "free_energy"]

    def __init__(
        self,
        path,
        precision="double",
        device="cpu",
        threads=1,
        chunk=0,
        programs="",
        engine="auto",
        spline=-1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        from metalff import _engine

        name_python()
        try:
            self._engine = _engine.Engine(str(path), precision, device, threads, chunk, programs, engine, spline)
        except _engine.EngineError as error:
            raise MetalffError(str(error)) from error
        self.artifact = self._engine.artifact
        self.engine = self._engine.engine  # "torch", "native, AVX-512", …
        self._type_of = {symbol: k for k, symbol in enumerate(self.artifact.elements)}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if len(atoms) == 0:
            raise MetalffError("there are no atoms in the structure: give it at least one")
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise MetalffError("some atomic positions or cell vectors are not finite numbers: mend the structure")
        periodic = atoms.cell.array[atoms.pbc]
        if len(periodic) and np.linalg.matrix_rank(periodic) < len(periodic):
            raise MetalffError("the periodic cell vectors are zero or linearly dependent: give a cell with a volume")
        try:
            types = np.array([self._type_of[s] for s in atoms.symbols], dtype=np.int32)
        except KeyError as error:
            raise MetalffError(
                f"'{self.artifact.path}' does not describe element {error.args[0]}: it was trained on "
                + " ".join(self.artifact.elements)
            ) from None

        centre, neighbor, edge_vec = _edges(atoms, self.artifact.r_max)
        self._check_distances(edge_vec)
        energies, grad = self._engine.evaluate(centre, neighbor, edge_vec, types)
        if not np.isfinite(energies).all():
            raise MetalffError("the energy is not a finite number: look for overlapping atoms")

        n = len(atoms)
        forces = np.stack(
            [np.bincount(centre, grad[:, c], n) - np.bincount(neighbor, grad[:, c], n) for c in range(3)], axis=1
        )
        self.results = {
            "energy": energies.sum(),
            "free_energy": energies.sum(),
            "energies": energies,
            "forces": forces,
        }
        if atoms.cell.rank == 3:
            # dE/dε = Σ_edges r ⊗ dE/dr; symmetric by rotational invariance
            virial = edge_vec.T @ grad
            self.results["stress"] = full_3x3_to_voigt_6_stress(0.5 * (virial + virial.T) / atoms.get_volume())

    def _check_distances(self, edge_vec):
        known = self.artifact.shortest_distance
        shortest = np.sqrt(np.einsum("ij,ij->i", edge_vec, edge_vec).min(initial=np.inf))
        if shortest < self.artifact.overlap_distance:
            raise MetalffError(
                f"two atoms are {shortest:.3f} Å apart, but the shortest distance in the training data of "
                f"'{self.artifact.path}' is {known:.3f} Å: mend the structure"
            )
        if shortest < known:
            warnings.warn(
                f"two atoms are {shortest:.3f} Å apart, closer than any in the training data of "
                f"'{self.artifact.path}' ({known:.3f} Å): the model extrapolates",
                stacklevel=2,
            )


def _edges(atoms, cutoff):
    """Edges sorted by centre: centre[E], neighbour[E], edge_vec[E,3] (Å).

    Cell vectors that are not periodic, which may be zero, are replaced by such that span the atoms.
    """
    cell = Cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)).complete().array
    fractional = np.linalg.solve(cell.T, atoms.positions.T)
    low, high = fractional.min(axis=1), fractional.max(axis=1)
    origin = np.where(atoms.pbc, 0.0, low - 1e-3) @ cell
    cell *= np.where(atoms.pbc, 1.0, high - low + 2e-3)[:, None]
    return neighbour_list("ijD", cutoff=cutoff, positions=atoms.positions, cell=cell, pbc=atoms.pbc, cell_origin=origin)
