"""ASE calculator over the engine: the same compiled model that LAMMPS runs."""

import os
from inspect import signature
from numbers import Integral

import numpy as np
from ase.calculators.calculator import Calculator, Parameters, all_changes, external_calculators, register_calculator_class
from ase.stress import full_3x3_to_voigt_6_stress

from metalff.artifact import Artifact, open_artifact
from metalff.engines import Engines, model_file
from metalff.errors import MetalffError, nearest
from metalff.extrapolation import ACTIONS, Guard
from metalff.neighbours import edges_of

OF_THE_ENGINE = ("precision", "device", "threads", "chunk", "programs", "engine", "spline")
OPTIONS = ("path", *OF_THE_ENGINE, "extrapolation", "sha256")
OF_ASE = ("atoms", "label", "directory")

ELSEWHERE = {"default_dtype": "precision", "dtype": "precision", "model": "path", "model_path": "path", "model_paths": "path", "nthreads": "threads"}
"""Names that other calculators give to what is an option here."""


class MLFFCalculator(Calculator):
    """Energy (eV), energies, forces (eV/Å), stress and stresses (eV/Å³) of a deployed model.

    Args:
        path: the ``.mlff`` file, or the name of a bundled model (``Cu/mace``; ``metalff potentials list``).
        precision: ``"double"`` or ``"single"`` (float32 inside the model, sums in float64).
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. On a GPU edges are sent there and gradients come back with every structure, the model stays;
            MACE and NEP run natively where MetalFF was built for that (docs/pair_mlff.md).
        threads: of the engine.
        chunk: atoms evaluated at a time by the torch engine, which bounds the memory; 0: chosen by the engine.
        engine: ``"native"`` (hand-written kernels, MACE and NEP), ``"torch"``, or ``"auto"``: native where the file has a payload for it.
        spline: points of the native engine's radial splines; 0: exact radial functions; -1: chosen by the engine.
        extrapolation: what is done about structures beyond the training data (distances, numbers of neighbours, pairs of elements): ``"warn"`` once of
            each kind, and stop where two atoms are closer than 0.6 of the shortest distance there; ``"stop"``; ``"ignore"``.
        sha256: the hash that the model must have; empty: any. ``parameters`` holds it, so that ``MLFFCalculator(**parameters)`` opens the same model or none.
        atoms, label, directory: as of any calculator of ASE; it writes no files.

    Raises:
        MetalffError: an option is unknown, the file cannot be used, the atoms hold an element or a position that the model cannot take, or an energy, a
            force or the stress is not a finite number.

    ``stresses`` [N,6] shares the virial of an edge equally between its ends, r_a ∂E/∂r_b for a component ab, as ``compute stress/atom`` of LAMMPS does,
    over the volume of the cell: their sum is ``stress``. Copies and pickles work: copies share engines, one for each thread that evaluates; a pickle
    opens the file again, by its path and hash.
    """

    implemented_properties = ["energy", "energies", "forces", "stress", "stresses", "free_energy"]

    def __init__(
        self,
        path=None,
        precision="double",
        device="cpu",
        threads=1,
        chunk=0,
        programs="",
        engine="auto",
        spline=-1,
        extrapolation="warn",
        sha256="",
        *,
        atoms=None,
        label=None,
        directory=".",
        **unknown,
    ):
        _refuse(unknown)
        if path is None:
            raise MetalffError("MLFFCalculator needs the path of a .mlff file or the name of a bundled model, such as Cu/mace")
        super().__init__(label=label, directory=directory)
        options = dict(precision=precision, device=device, threads=threads, chunk=chunk, programs=programs, engine=engine, spline=spline)
        self._use(*_opened(dict(path=path, **options, extrapolation=extrapolation, sha256=sha256)))
        if atoms is not None:
            atoms.calc = self

    def _get_name(self):
        return "mlff"

    def __repr__(self):
        defaults = signature(MLFFCalculator).parameters
        said = [f"{key}={value!r}" for key, value in self.parameters.items() if key not in ("path", "sha256") and value != defaults[key].default]
        return f"MLFFCalculator({', '.join([repr(self.parameters['path']), *said])})"

    @property
    def artifact(self):
        """The opened file: ``path``, ``manifest`` and ``sha256`` (`metalff.artifact.Artifact`)."""
        return self.guard.artifact

    @property
    def engine(self) -> str:
        """What evaluates: "torch", "native, AVX-512", …"""
        with self._engines.one() as engine:
            return engine.engine

    def todict(self, skip_default=False) -> dict:
        """All options, the path and the hash of the model, for databases and trajectories; ``MLFFCalculator(**todict)`` opens it again."""
        return dict(self.parameters)

    def set(self, **options) -> dict:
        """Change options; the model is opened anew and results are dropped where one differs.

        Returns:
            what differed.
        Raises:
            MetalffError: as when the calculator is made; nothing has changed then.
        """
        _refuse({key: value for key, value in options.items() if key not in OPTIONS})
        if not options:
            return {}
        before = self.parameters
        if "path" in options:  # another file has another hash
            options = {"sha256": "", **options}
        parameters, engines, artifact = _opened({**before, **options})
        changed = {key: value for key, value in parameters.items() if before[key] != value}
        if changed:
            self._use(parameters, engines, artifact)
            self.reset()
        return changed

    def _use(self, parameters, engines, artifact):
        self.parameters, self._engines = parameters, engines
        self.guard = Guard(artifact, parameters["extrapolation"])
        self._type_of = {symbol: k for k, symbol in enumerate(artifact.manifest.elements)}

    @property
    def committee(self) -> int:
        """Members of a committee that came in the file, besides the model itself."""
        with self._engines.one() as engine:
            return engine.committee

    def committee_forces(self, atoms) -> np.ndarray:
        """[M,N,3] eV/Å of the committee's members, whose standard deviation says how far the forces can be trusted.

        Raises:
            MetalffError: the file holds no committee.
        """
        if not self.committee:
            raise MetalffError(f"'{self.artifact.path}' holds no committee: train one with metalff train poly --set committee=8")
        types = np.array([self._type_of[s] for s in atoms.symbols], dtype=np.int32)
        with self._engines.one() as engine:
            return engine.evaluate_committee(*edges_of(atoms, self.artifact.manifest.r_max), types)[1]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms, manifest = self.atoms, self.artifact.manifest
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
                f"'{self.artifact.path}' does not describe element {error.args[0]}: it was trained on " + " ".join(manifest.elements)
            ) from None

        centre, neighbour, edge_vec = edges_of(atoms, manifest.r_max)
        self.guard.check(centre, neighbour, edge_vec, types)
        with self._engines.one() as engine:
            energies, grad = engine.evaluate(centre, neighbour, edge_vec, types)
        if not np.isfinite(energies).all():
            raise MetalffError("the energy is not a finite number: look for overlapping atoms")
        if not np.isfinite(grad).all():
            raise MetalffError("a force is not a finite number: look for overlapping atoms")

        n = len(atoms)
        forces = np.stack([np.bincount(centre, grad[:, c], n) - np.bincount(neighbour, grad[:, c], n) for c in range(3)], axis=1)
        results = {"energy": energies.sum(), "free_energy": energies.sum(), "energies": energies, "forces": forces}
        if atoms.cell.rank == 3:
            # dE/dε = Σ_edges r ⊗ dE/dr; symmetric by rotational invariance
            virial = edge_vec.T @ grad
            results["stress"] = full_3x3_to_voigt_6_stress(0.5 * (virial + virial.T) / atoms.get_volume())
            if "stresses" in properties:
                pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
                products = [edge_vec[:, a] * grad[:, b] for a, b in pairs]
                shares = [0.5 * (np.bincount(centre, w, n) + np.bincount(neighbour, w, n)) for w in products]
                results["stresses"] = np.stack(shares, axis=1) / atoms.get_volume()
        if not (np.isfinite(forces).all() and np.isfinite(results.get("stress", 0.0)).all()):
            raise MetalffError("a force or the stress is not a finite number: look for overlapping atoms")
        self.results = results


def _opened(options: dict) -> tuple[Parameters, Engines, Artifact]:
    """The options, checked and complete, and what they open."""
    for key in ("threads", "chunk", "spline"):
        if not isinstance(options[key], Integral) or isinstance(options[key], bool) or abs(options[key]) >= 2**31:
            raise MetalffError(f"{key} must be a whole number, not {options[key]!r}")
        options[key] = int(options[key])
    for key in ("path", "precision", "device", "programs", "engine", "extrapolation", "sha256"):
        options[key] = str(options[key])
    if options["extrapolation"] not in ACTIONS:
        meant = " ('error' of pair_style mlff is 'stop' here)" if options["extrapolation"] == "error" else ""
        raise MetalffError(f"extrapolation must be 'warn', 'stop' or 'ignore', not '{options['extrapolation']}'{meant}")
    if options["device"] == "cuda":
        options["device"] = "cuda:0"
    file = model_file(options["path"])
    # a name is remembered as a name, a path by where it is from here
    options["path"] = options["path"] if os.path.basename(options["path"]) != file.name else str(file)
    artifact = open_artifact(file, whole=False)
    if options["sha256"] not in ("", artifact.sha256):
        raise MetalffError(
            f"'{file}' is not the model that is asked for: its hash is {artifact.sha256[:12]} and not {options['sha256'][:12]}; find that file, or "
            "leave sha256 out"
        )
    options["sha256"] = artifact.sha256
    engines = Engines(options["path"], artifact.sha256, {key: options[key] for key in OF_THE_ENGINE})
    with engines.one():
        pass  # says what is wrong now, not in the first calculation
    return Parameters({key: options[key] for key in OPTIONS}), engines, artifact


def _refuse(unknown: dict) -> None:
    """One sentence for the first of these names of options."""
    for name in unknown:
        similar = nearest(name, [*OPTIONS, *ELSEWHERE, *OF_ASE])
        for theirs, ours in ELSEWHERE.items():
            similar = similar.replace(f'"{theirs}"', f'"{ours}"')
        raise MetalffError(f"MLFFCalculator has no option {name}{similar}: it takes {', '.join([*OPTIONS, *OF_ASE])}")


if "mlff" not in external_calculators:
    register_calculator_class("mlff", MLFFCalculator)
