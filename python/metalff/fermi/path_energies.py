"""Energies along ``paths`` by DFT, tight binding, EAM and MEAM, kept as they come, and the table of their roughness.

A folder holds a file per method, metal and path (``dft-Nb-phonon.json``), written whole; what is there, by the same task, is not computed again. Eigenvalues of DFT
lie beside it.
"""

import csv
import hashlib
import json
import os
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path as FilePath

import numpy as np
from scipy.special import entr

from metalff import environments
from metalff.data.metals import metal, metals
from metalff.dft.protocol import protocol
from metalff.dft.run import setup_variables
from metalff.errors import MetalffError, nearest
from metalff.fermi import paths
from metalff.fermi.levels import fermi_level, occupations
from metalff.fermi.roughness import SHARE, compare, mirrored, residual, roughness
from metalff.paths import atomic_write

WORKER = FilePath(__file__).with_name("paths_worker.py")

METHODS = ("dft", "tb", "eam", "meam")

WIDTHS = (0.05, 0.1, 0.2)
"""eV, Fermi–Dirac."""

MESHES = (24, 32)
"""Points per direction of the primitive cell."""

WIDE = {symbol: (30, 40) for symbol in ("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Zn", "Cd", "Al", "Ga", "In", "Tl", "Sn", "Pb")}
"""The same of metals without d states at the Fermi level, whose bands are steep there."""

LARGE = {symbol: (20, 26) for symbol in ("Sc", "Ti", "Y", "Zr", "Hf")}
"""The same of hcp metals whose cell has more than fifty orbitals."""

OF_TIGHT_BINDING = (26, 36)
"""The same for its narrow band."""

DENSITY = 6
"""Points of the mesh of the density per direction of the primitive cell."""

SMALL = {
    "Na": "1", "Mg": "2", "V": "5", "Nb": "5", "Mo": "6", "Ru": "8", "Rh": "9", "Pd": "10", "Ag": "11", "Ta": "5", "W": "6", "Os": "8", "Ir": "9", "Pt": "10",
}  # fmt: skip
"""PAW setups without semicore states: bands at the Fermi level are asked for, by few orbitals."""

P_VALENCE = ("Mg", "Cu", "Ag", "W", "Au")
"""Metals whose states at the Fermi level are p-like in part, which the orbitals of gpaw-data do not hold with these setups: the worker makes theirs."""

CUTOFF = 300.0
"""eV, of the plane waves of those setups and of sp metals."""

COLUMNS = (
    "element",
    "method",
    "path",
    "quantity",
    "width",
    "mesh",
    "roughness",
    "mesh_error",
    "third_difference",
    "curved",
    "relative",
    "occupied_change",
    "converged",
)
"""Of ``roughness.csv``: ``roughness`` (the residual), ``mesh_error``, ``third_difference``, ``curved`` in meV/atom, ``width`` in eV, ``mesh`` the two meshes,
``occupied_change`` in electrons per atom and Å; where a method has no mesh, or no electrons, a field is empty."""


def available(symbol: str) -> list[str]:
    """Methods that know a metal, in the order of ``METHODS``; raises MetalffError where it is not in the table."""
    from metalff.potentials.registry import entries
    from metalff.synth.tight_binding import d_metals

    known = {"dft": True, "tb": metal(symbol).symbol in d_metals()} | {kind: f"{symbol}/{kind}" in entries() for kind in ("eam", "meam")}
    return [method for method in METHODS if known[method]]


def check(symbol: str, name: str, method: str) -> paths.Path:
    """The path, of a metal that the method knows.

    Raises:
        MetalffError: unknown metal, path or method, or a metal that the method does not know.
    """
    if method not in METHODS:
        raise MetalffError(f"no method {method}{nearest(method, METHODS)}; there are {', '.join(METHODS)}")
    along = paths.path(symbol, name)
    if method not in available(symbol):
        raise MetalffError(f"{symbol} has no {method} here; it has {', '.join(available(symbol))}")
    return along


def compute(symbol: str, name: str, method: str, folder: FilePath) -> FilePath:
    """One path of a metal by a method; nothing is done where the file is there.

    Args:
        method: of ``METHODS``.
        folder: for the files.
    Returns:
        the file.
    Raises:
        MetalffError: as ``check``, or no environment of GPAW, or GPAW failed.
    """
    along = check(symbol, name, method)
    make, asked = {"dft": (_dft, order), "tb": (_tight_binding, _order_of_tight_binding)}.get(method, (_classical, _potential))
    task = hashlib.sha256(json.dumps(asked(along, method), sort_keys=True).encode()).hexdigest()[:16]
    file = file_of(folder, method, symbol, name)
    if file.exists() and read(file)["task"] == task:
        return file
    records, details = make(along, method, FilePath(folder))
    found = {"element": symbol, "method": method, "path": name, "task": task, "parameter": along.parameter.tolist()}
    FilePath(folder).mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as stream:
        json.dump(found | {"records": records, "details": details}, stream)
    return file


def file_of(folder: FilePath, method: str, symbol: str, name: str) -> FilePath:
    return FilePath(folder) / f"{method}-{symbol}-{name}.json"


def read(file: FilePath) -> dict:
    """A file of ``compute``.

    Raises:
        MetalffError: it is none, or damaged.
    """
    try:
        found = json.loads(FilePath(file).read_text("utf-8"))
        points = len(found["parameter"])
        along = paths.path(found["element"], found["path"])
        fits = found["method"] in METHODS and isinstance(found["task"], str) and np.allclose(found["parameter"], along.parameter)
        fits &= bool(found["records"]) and isinstance(found["details"], dict)
        for record in found["records"]:
            lists = [(record["energy"], points)]
            lists += [(record[key], count) for key, count in (("other", points), ("change", points - 1)) if record[key] is not None]
            fits &= all(np.shape(values) == (count,) and np.isfinite(values).all() for values, count in lists)
            fits &= isinstance(record["quantity"], str) and isinstance(record["mesh"], str | None)
            fits &= record["width"] is None or (isinstance(record["width"], float) and 0 < record["width"] < np.inf)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MetalffError):
        fits = False
    if not fits:
        raise MetalffError(f"{file} is damaged, or no energies along a path; delete it, and it is computed again")
    return found


def _record(quantity, width, mesh, energy, other, change) -> dict:
    """Energies in eV/atom on the better mesh and on the other, change of the occupied region in electrons per atom and Å."""
    lists = [None if values is None else np.asarray(values, float).tolist() for values in (energy, other, change)]
    return {"quantity": quantity, "width": width, "mesh": mesh} | dict(zip(("energy", "other", "change"), lists, strict=True))


def _potential(along, method) -> dict:
    """What a task of a classical potential is."""
    from metalff.potentials import resolve

    return {"potential": resolve(f"{along.symbol}/{method}").record(), "parameter": along.parameter.tolist()}


def _classical(along, method, folder):
    from metalff.potentials import resolve

    potential = resolve(f"{along.symbol}/{method}")
    calculator = potential.calculator()
    energies = []
    for atoms in along.atoms():
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
    return [_record("energy", None, None, energies, None, None)], {"potential": potential.record()}


def _order_of_tight_binding(along, method) -> dict:
    from metalff.synth.tight_binding import model

    repulsion = round(model(along.symbol).repulsion, 9)
    return {
        "repulsion": repulsion,
        "meshes": paths.meshes(along.place(0.0), OF_TIGHT_BINDING),
        "widths": WIDTHS,
        "parameter": along.parameter.tolist(),
    }


def _tight_binding(along, method, folder):
    from metalff.synth.tight_binding import Dose, model

    band = model(along.symbol)
    step = along.length * (along.parameter[1] - along.parameter[0])
    sizes = paths.meshes(along.place(0.0), OF_TIGHT_BINDING)
    energies = {width: np.zeros((2, 2, len(along.parameter))) for width in WIDTHS}
    changes, last = {width: [] for width in WIDTHS}, {}
    for place, atoms in enumerate(along.atoms()):
        count = len(atoms)
        (alone,) = band.labels(atoms, [Dose(0.0)], (1, 1, 1), gradients=False)  # without electrons: the repulsion
        for of_mesh, size in enumerate(sizes):
            values = band.eigenvalues(atoms, size).reshape(5 * count, -1)
            for width in WIDTHS:
                f = occupations(values, fermi_level(values, None, band.electrons * count, width), width)
                own = 2 * (f * values).sum() / values.shape[1]
                entropy = 2 * (entr(f) + entr(1 - f)).sum() / values.shape[1]
                energies[width][:, of_mesh, place] = np.array([own, own - width * entropy + alone.energy]) / count
                if of_mesh and width in last:
                    changes[width].append(2 * np.abs(f - last[width]).sum() / values.shape[1] / count / step)
                last |= {width: f} if of_mesh else {}
    name = " ".join("×".join(map(str, size)) for size in sizes)
    records = [
        _record(quantity, width, name, fine, coarse, changes[width])
        for width in WIDTHS
        for quantity, (coarse, fine) in zip(("band_energy", "free_energy"), energies[width], strict=True)
    ]
    return records, {"d_electrons": band.electrons}


def _dft(along, method, folder):
    task = order(along, method)
    found = _run(along, task, folder)
    count = len(task["reference"]["numbers"])
    coarse, fine = found.pop("meshes")
    step = along.length * (along.parameter[1] - along.parameter[0])
    double_counting = np.array(found.pop("double_counting"))
    name = " ".join("×".join(map(str, mesh["mesh"])) for mesh in (coarse, fine))
    records = []
    for less, more in zip(coarse["widths"], fine["widths"], strict=True):
        change = np.array(more["change"]) / count / step
        both = [np.array(one["band_energy"]) for one in (more, less)]
        records.append(_record("band_energy", more["width"], name, *(one / count for one in both), change))
        both = [energy + np.array(one["entropy"]) + double_counting for energy, one in zip(both, (more, less), strict=True)]
        records.append(_record("free_energy", more["width"], name, *(one / count for one in both), change))
    return records, found | {"setup": task["setup"], "ecut": task["ecut"]}


def order(along: paths.Path, method: str = "dft") -> dict:
    """What the worker is asked for."""
    own = protocol().metals.get(along.symbol)
    perfect = along.place(0.0)
    places = paths.nodes(along)
    usual = own.ecut if own and own.ecut else protocol().arguments["mode"]["ecut"]
    return {
        "nodes": places.tolist(),
        "structures": [plain(along.place(value)) for value in places],
        "parameter": along.parameter.tolist(),
        "reference": plain(perfect),
        "setup": SMALL.get(along.symbol, ""),
        "basis": "pvalence.dz" if along.symbol in P_VALENCE else "dzp",
        "ecut": CUTOFF if along.symbol in SMALL else usual,
        "k_points": paths.meshes(perfect, (DENSITY,))[0],
        "meshes": paths.meshes(perfect, (WIDE | LARGE).get(along.symbol, MESHES)),
        "widths": list(WIDTHS),
    }


def plain(atoms) -> dict:
    """A structure as the worker takes it."""
    return {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist(), "cell": atoms.cell.array.tolist()}


def _run(along, task, folder) -> dict:
    """Run the worker; its eigenvalues go to the folder."""
    command = [str(environments.environment_python("gpaw")), "-P", str(WORKER)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="metalff-path-", dir=folder) as work:
        places = {name: FilePath(work).absolute() / f"{name}.json" for name in ("done", "failed")}
        values = places["done"].with_name("eigenvalues.npz")
        task = task | {name: str(place) for name, place in places.items()} | {"eigenvalues": str(values)}
        (FilePath(work) / "task.json").write_text(json.dumps(task))
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **setup_variables()}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([*command, "task.json"], cwd=work, env=variables, **streams)
        try:
            said, _ = process.communicate()
        finally:
            process.kill()
        title = f"{along.symbol} {along.name}"
        if places["failed"].exists():
            raise MetalffError(f"{title}: {json.loads(places['failed'].read_text('utf-8'))['reason']}; it is left out")
        if process.returncode or not places["done"].exists():
            lines = said.decode(errors="replace").strip().splitlines()
            raise MetalffError(
                f"{title}: GPAW ended without a result (exit status {process.returncode}): {lines[-1] if lines else 'it said nothing'}; it is left out"
            )
        os.replace(values, file_of(folder, "dft", along.symbol, along.name).with_suffix(".npz"))
        return json.loads(places["done"].read_text("utf-8"))


def in_order(folder: FilePath) -> list[FilePath]:
    """Files of a folder, by atomic number, method and path."""

    def place(file):
        method, symbol, name = file.stem.split("-", 2)
        return list(metals()).index(symbol) if symbol in metals() else -1, METHODS.index(method) if method in METHODS else -1, name

    return sorted(FilePath(folder).glob("*-*-*.json"), key=place)


def _row(one: dict, record: dict) -> dict:
    along = paths.path(one["element"], one["path"])
    x, energy = whole(along, record["energy"])
    error, converged = None, True
    if record["other"] is None:
        of = roughness(x, energy)
    else:
        compared = compare(x, energy, whole(along, record["other"])[1])
        of, error, converged = compared.roughness, compared.mesh_error, compared.converged
    change = None if record["change"] is None else float(np.mean(record["change"]))
    values = (one["element"], one["method"], one["path"], record["quantity"], record["width"], record["mesh"])
    measures = (of.residual, error, of.third_difference, of.curved, of.relative, change)
    return dict(zip(COLUMNS, (*values, *measures, converged), strict=True))


def whole(along: paths.Path, energy) -> tuple[np.ndarray, np.ndarray]:
    """Parameter and energy of both halves of a path, [2 K − 1] where it is even."""
    return mirrored(along.parameter, energy) if along.even else (along.parameter, np.asarray(energy, float))


def write_tables(taken: list[FilePath], out: FilePath) -> list[dict]:
    """``roughness.csv`` and ``curves.csv`` (λ, energy and what the polynomial leaves of it, eV/atom) of files of ``compute``; gives the rows of the first.

    Raises:
        MetalffError: a file is damaged.
    """
    found = [read(file) for file in taken]
    rows = [_row(one, record) for one in found for record in one["records"]]
    FilePath(out).mkdir(parents=True, exist_ok=True)
    with atomic_write(FilePath(out) / "roughness.csv") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: as_text(value) for key, value in row.items()} for row in rows)
    with atomic_write(FilePath(out) / "curves.csv") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["element", "method", "path", "quantity", "width", "parameter", "energy", "residual"])
        for one in found:
            along = paths.path(one["element"], one["path"])
            for record in one["records"]:
                left = residual(*whole(along, record["energy"]))[-len(along.parameter) :]
                words = [one["element"], one["method"], one["path"], record["quantity"], as_text(record["width"])]
                for value, energy, rest in zip(along.parameter, record["energy"], left, strict=True):
                    writer.writerow([*words, f"{value:.6g}", f"{energy:.7f}", f"{rest:.7f}"])
    return rows


def resolved(row: dict) -> bool:
    """Whether the number of a row can be compared with others: its mesh error is at most ``SHARE`` of it. Where not, the larger of the two is a bound from above."""
    return row["mesh_error"] is None or row["mesh_error"] <= SHARE * row["roughness"]


def as_text(value) -> str:
    """A field of the table: four digits, yes or no, empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table() -> list[dict]:
    """The table that ships with MetalFF: ``COLUMNS``, numbers as float, None where a field is empty, ``converged`` as bool."""
    with (files("metalff.fermi") / "roughness.csv").open(encoding="utf-8", newline="") as stream:
        return [_typed(row) for row in csv.DictReader(stream)]


TEXTS = ("element", "method", "path", "quantity", "mesh")


def _typed(row: dict) -> dict:
    found = {key: (value or None) if key in TEXTS else float(value) if value else None for key, value in row.items() if key != "converged"}
    return found | {"converged": row["converged"] == "yes"}
