"""Eigenvalues of metals on full meshes, by GPAW: the primitive cell at the experimental lattice constants, the settings of ``dft/protocol.yaml``.

The density converges on 12³ points; on finer meshes it is kept. Only irreducible points are computed, and symmetry gives the others. A file per metal and mesh
is written as soon as it is known, so nothing is lost when the work is ended, and nothing is computed twice.
"""

import hashlib
import json
import math
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metalff import environments, pool
from metalff.data.metals import Metal, metal
from metalff.dft.protocol import CalculatorSpec, arguments_of, ladder_of, protocol
from metalff.dft.run import setup_variables
from metalff.errors import MetalffError
from metalff.paths import cache_dir

WORKER = Path(__file__).with_name("bands_worker.py")

SELF_CONSISTENT = 12
"""Points along the longest reciprocal vector where the density converges; along others so many that they are as close."""

MESHES = (24, 16)
"""The same, of the measures, and of what their mesh costs."""

ABOVE = 1.6
"""eV above the Fermi level up to which bands are converged."""

EIGENSTATES = 1e-4
"""Residual of the eigenstates on the finer meshes, eV² per electron; eigenvalues are then converged to 1 µeV."""

EMPTY = 5
"""Empty bands per atom; more are added where these do not reach ``ABOVE``."""


@dataclass(frozen=True)
class Bands:
    """Of one metal.

    Attributes:
        symbol: of the element.
        eigenvalues: [bands, n1, n2, n3] eV on the full mesh, Γ first.
        d_shares: of the same shape: the part of l = 2 in a state's charge inside the augmentation spheres.
        reciprocal: [3, 3] rows, 1/Å.
        electrons: in these bands, per cell.
        atoms: in the cell.
        details: ``tries`` of the ladder, ``cpu_s``, ``versions``.
    """

    symbol: str
    eigenvalues: np.ndarray
    d_shares: np.ndarray
    reciprocal: np.ndarray
    electrons: float
    atoms: int
    details: dict


def primitive_cell(of: Metal):
    """The primitive cell as ``ase.Atoms``: one atom (fcc, bcc) or two (hcp), at the experimental lattice constants."""
    from ase.build import bulk

    return bulk(of.symbol, of.crystal, of.a, c=of.c) if of.crystal == "hcp" else bulk(of.symbol, of.crystal, of.a)


def mesh_of(atoms, size: int) -> list[int]:
    """Points along each reciprocal vector: ``size`` along the longest, and as close along the others."""
    lengths = np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    return [math.ceil(round(size * length / lengths.max(), 6)) for length in lengths]


def folder_of(folder: Path | None = None) -> Path:
    """Where eigenvalues are kept: the cache, unless a folder is given."""
    return cache_dir() / "fermi" if folder is None else Path(folder)


def orders(symbol: str, folder: Path, meshes=MESHES) -> dict:
    """What the worker is asked for, with the files to write.

    Raises:
        MetalffError: unknown metal.
    """
    atoms = primitive_cell(metal(symbol))
    spec = CalculatorSpec()
    arguments = arguments_of(spec, mesh_of(atoms, SELF_CONSISTENT), protocol().smearing, atoms.symbols)
    arguments = {key: value for key, value in arguments.items() if key != "symmetry"} | {"nbands": -EMPTY * len(atoms)}
    task = {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "arguments": arguments,
        "ladder": ladder_of(spec),
        "above": ABOVE,
        "eigenstates": EIGENSTATES,
    }
    name = json.dumps(task, sort_keys=True)
    task["meshes"] = [
        {
            "size": mesh_of(atoms, size),
            "task": hashlib.sha256(f"{name} {size}".encode()).hexdigest()[:16],
            "file": str(folder.absolute() / f"{symbol}-{size}.npz"),
        }
        for size in meshes
    ]
    return task


def compute(symbols, folder: Path, meshes=MESHES, jobs: int = 1, tick=lambda running: None):
    """Compute what is not there yet; gives (symbol, error) of each metal as it comes, the error None where its files are there.

    Args:
        symbols: of metals.
        folder: for the files.
        meshes: points along an axis.
        jobs: metals at a time.
        tick: called with the metals that run, at least every second.
    Raises:
        MetalffError: unknown metal, or no environment for GPAW.
    """
    asked = {symbol: orders(symbol, folder, meshes) for symbol in dict.fromkeys(symbols)}
    missing = {symbol: [mesh for mesh in task["meshes"] if not is_there(mesh)] for symbol, task in asked.items()}
    for symbol in asked:
        if not missing[symbol]:
            yield symbol, None
    todo = {symbol: (symbol, task | {"meshes": missing[symbol]}) for symbol, task in asked.items() if missing[symbol]}
    if todo:
        environments.environment_python("gpaw")
        folder.mkdir(parents=True, exist_ok=True)
    for symbol, _, error in pool.side_by_side(_compute, todo, jobs, tick):
        yield symbol, error


def is_there(mesh: dict) -> bool:
    """Whether a file of ``orders`` is written, by the same task."""
    try:
        return _read(Path(mesh["file"]))["task"].item() == mesh["task"]
    except (OSError, MetalffError):
        return False


def load(symbol: str, folder: Path, size: int = MESHES[0]) -> Bands:
    """Eigenvalues of a metal from their file.

    Raises:
        MetalffError: no such file, or none of these.
    """
    path = Path(folder) / f"{symbol}-{size}.npz"
    try:
        found = _read(path)
    except FileNotFoundError:
        raise MetalffError(f"there are no eigenvalues of {symbol} in {folder}; run: metalff fermi {symbol}") from None
    places, atoms = found["places"], primitive_cell(metal(symbol))
    if list(places.shape) != mesh_of(atoms, size):
        raise MetalffError(f"{path} is of another mesh than its name says; delete it, and it is computed again")
    energies, shares = found["eigenvalues"], found["d_shares"]
    return Bands(
        symbol,
        energies[:, places],
        shares[:, places],
        2 * np.pi * np.linalg.inv(found["cell"]).T,
        found["electrons"].item(),
        len(atoms),
        json.loads(found["details"].item()),
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, checked."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {key: archive[key] for key in KINDS}
    except OSError:
        raise
    except Exception as error:  # whatever numpy, zipfile and zlib say about bytes that are none of theirs
        raise MetalffError(f"{path} is damaged, or no file of eigenvalues ({error}); delete it, and it is computed again") from None
    if wrong := _wrong(found):
        raise MetalffError(f"{path} is damaged: {wrong}; delete it, and it is computed again")
    return found


KINDS = {
    "task": (0, "U"),
    "eigenvalues": (2, "f"),
    "d_shares": (2, "f"),
    "places": (3, "iu"),
    "cell": (2, "fiu"),
    "electrons": (0, "fiu"),
    "details": (0, "U"),
}
"""Axes and kind of numbers of each array in a file."""


def _wrong(found: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of a file, if anything."""
    for key, (axes, kind) in KINDS.items():
        array = found[key]
        if array.ndim != axes or array.dtype.kind not in kind:
            return f"{key} is an array of shape {array.shape} and type {array.dtype}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"not all of {key} are finite numbers"
    energies, places, cell, electrons = (found[key] for key in ("eigenvalues", "places", "cell", "electrons"))
    if (
        not energies.size
        or found["d_shares"].shape != energies.shape
        or min(places.shape) < 2
        or places.min() < 0
        or places.max() >= energies.shape[1]
    ):
        return "its arrays do not fit together"
    if cell.shape != (3, 3) or abs(np.linalg.det(cell)) < 1e-6:
        return "its cell has no volume"
    if not 0 < electrons < 2 * len(energies):
        return f"{len(energies)} bands do not hold {electrons:g} electrons"
    try:
        details = json.loads(found["details"].item())
    except ValueError:
        details = None
    return None if isinstance(details, dict) else "its details are no JSON object"


def _compute(symbol: str, task: dict) -> None:
    """Run the worker, in a folder that goes when it is done.

    Raises:
        MetalffError: the calculation failed.
    """
    with tempfile.TemporaryDirectory(prefix="metalff-fermi-") as work:
        order, failed = Path(work) / "task.json", Path(work) / "failed.json"
        order.write_text(json.dumps(task | {"failed": str(failed)}))
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **setup_variables()}
        command = [str(environments.environment_python("gpaw")), "-P", str(WORKER), str(order)]
        process = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables)
        try:
            said, _ = process.communicate()
        finally:
            process.kill()
        if failed.exists():
            raise MetalffError(f"{symbol}: {json.loads(failed.read_text())['reason']}")
        lines = said.decode(errors="replace").strip().splitlines()
        if process.returncode:
            raise MetalffError(
                f"{symbol}: GPAW ended without a result (exit status {process.returncode}): {lines[-1] if lines else 'it said nothing'}"
            )
