"""Results of other programs: what ``ase.io`` reads, from a list of formats that hold data and run nothing, and what ``dpdata`` does."""

import fnmatch
from pathlib import Path

import numpy as np

from metalff.data.checks import check_frame
from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys, Labels, without_named
from metalff.data.text import chunks_of
from metalff.errors import MetalffError

ASE_FORMATS = {
    "vasp-xml": "vasprun.xml of VASP",
    "vasp-out": "OUTCAR of VASP",
    "espresso-out": "output of Quantum ESPRESSO",
    "traj": "trajectory of ASE",
    "db": "database of ASE",
    "json": "database of ASE, as JSON",
    "aims-output": "output of FHI-aims",
    "castep-castep": "output of CASTEP",
    "gpaw-out": "output of GPAW",
    "abinit-out": "output of ABINIT",
    "onetep-out": "output of ONETEP",
}
"""Formats of ``ase.io`` with energies and forces; none of them keeps Python objects."""

NAMES = {"*.traj": "traj", "*.db": "db", "*vasprun*.xml*": "vasp-xml", "*.xml": "vasp-xml", "*OUTCAR*": "vasp-out"}
"""Names of files whose format needs no look inside."""

DPDATA = {"*MOVEMENT*": "pwmat/movement", "*OUT.MLMD*": "pwmat/mlmd"}
CP2K = "CP2K|"
"""What an output of CP2K has among its first lines."""
HEAD = 1 << 16
"""Bytes that tell a format."""


def ase_format(path: Path) -> str | None:
    """Name of the format in ``ase.io``, by name and content; None when it is none that is read."""
    from ase.io.formats import UnknownFileTypeError, filetype

    for pattern, name in NAMES.items():
        if fnmatch.fnmatch(path.name, pattern):
            return name
    try:
        found = filetype(str(path))
    except (UnknownFileTypeError, OSError, ValueError, EOFError):
        return None
    return found if found in ASE_FORMATS else None


def dpdata_format(path: Path) -> str | None:
    """Name of the format in ``dpdata``; None when it is none that is read."""
    for pattern, name in DPDATA.items():
        if fnmatch.fnmatch(path.name, pattern):
            return name
    return "cp2k/output" if CP2K in head(path) else None


def head(path: Path) -> str:
    """The first characters of a file, also of one that is gzipped."""
    return next(chunks_of(path), b"")[:HEAD].decode("latin-1")


def read_ase(path, format: str | None = None, keys: Keys = NO_KEYS) -> Dataset:
    """Read every structure of a file with ``ase.io``; labels by the policy of ``labels``, where results of the calculator have no family.

    Raises:
        MetalffError: the file cannot be read by ASE, or a structure lacks energy or forces.
    """
    import warnings

    from ase.io import iread

    path = Path(path)
    format = format or ase_format(path)
    labels, frames = Labels(path.name, keys), []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structures = list(_rows(path, format) if format in ("db", "json") else iread(str(path), index=":", format=format))
    except MetalffError:
        raise
    except Exception as error:  # parsers of other people's files raise anything
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise MetalffError(f"{path}: ASE cannot read it as {ASE_FORMATS.get(format) or format} ({reason}); is it whole?") from None
    for index, atoms in enumerate(structures):
        frames.append(frame_of_atoms(atoms, f"{path}: frame {index}", path.name, index, labels))
    if not frames:
        raise MetalffError(f"{path}: the file holds no structures")
    if format == "vasp-xml" and (begun := sum(chunk.count(b"<calculation>") for chunk in chunks_of(path))) > len(frames):
        raise MetalffError(
            f"{path}: the file ends within calculation {len(frames)} of {begun}; it is truncated, or VASP was stopped: end it after the last whole one"
        )
    return Dataset(path.name, tuple(frames), notes=labels.notes)


def _rows(path, format):
    """Structures of a database with its key-value pairs and data in ``info``."""
    from ase.db import connect

    for row in connect(str(path), type=format, use_lock_file=False).select():
        yield row.toatoms(add_additional_information=True)


def frame_of_atoms(atoms, where: str, source: str, index: int, labels: Labels) -> Frame:
    """A frame of ``ase.Atoms`` with results: those of its calculator, and labels among ``info`` and ``arrays``."""
    results = {} if atoms.calc is None else dict(atoms.calc.results)
    said = dict(atoms.info)
    for nested in ("key_value_pairs", "data"):
        said |= said.pop(nested, None) or {}
    header, columns = {}, {}
    for key in said.keys() & results.keys():
        if np.shape(said[key]) != np.shape(results[key]) or not np.allclose(said[key], results[key]):
            raise MetalffError(f"{where}: {key} of the calculator and {key} in info are two sets of labels that disagree; take one out")
    for key, value in (said | atoms.arrays | results).items():
        if key in ("numbers", "positions", "unique_id"):
            continue
        labels.spelling[key.lower()] = key
        if np.size(value) == 1 and not isinstance(value, str) and np.asarray(value).dtype.kind in "fiub":
            value = np.asarray(value).item()
        if np.shape(value) == (len(atoms), 3) and not any(word in key.lower() for word in ("stress", "virial")):
            columns[key.lower()] = np.asarray(value)
        elif isinstance(value, (str, int, float, np.number)) or (np.ndim(value) > 0 and np.size(value) in (6, 9)):
            header[key.lower()] = value
    # what calculators and databases always have beside labels is not worth a word
    header = {key: value for key, value in header.items() if key not in ("magmom", "dipole", "ibzkpts", "bandgap", "nbands", "spin")}
    columns = {key: value for key, value in columns.items() if key not in ("momenta", "initial_magmoms", "stresses")}
    return labels.frame(
        where, header, columns, numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell.array, pbc=atoms.pbc, source=source, index=index
    )


def read_dpdata(path, format: str, keys: Keys = NO_KEYS) -> Dataset:
    """Read a labelled system with ``dpdata``.

    Raises:
        MetalffError: dpdata is not installed, cannot read it, or there are no energies and forces in it.
    """
    path = Path(path)
    without_named(keys, path)
    try:
        import dpdata
    except ImportError:
        raise MetalffError(f"{path}: {format} is read by dpdata, which is not installed: pip install 'metalff[dpdata]'") from None
    try:
        system = dpdata.LabeledSystem(str(path), fmt=format)
        data = system.data
        symbols = np.array(data["atom_names"])[data["atom_types"]]
    except Exception as error:  # as for ASE's parsers
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise MetalffError(f"{path}: dpdata cannot read it as {format} ({reason}); is it whole?") from None
    if not len(data.get("energies", ())) or "forces" not in data:
        raise MetalffError(f"{path}: no structure with energy and forces was found by dpdata ({format})")
    virials = data.get("virials")
    return arrays_to_dataset(
        path, symbols, data["coords"], data["cells"], data["energies"], data["forces"], virials, not system.nopbc, keys.stress_factor
    )


def arrays_to_dataset(path, symbols, positions, cells, energies, forces, virials, periodic: bool, factor: float = 1.0) -> Dataset:
    """Frames of arrays with one composition: [K,N,3] Å, [K,3,3] Å, [K] eV, [K,N,3] eV/Å and, or None, [K,3,3] eV (−stress × volume)."""
    from ase.data import atomic_numbers

    path = Path(path)
    try:
        numbers = np.array([atomic_numbers[str(symbol)] for symbol in symbols])
    except KeyError as error:
        raise MetalffError(f"{path}: {error.args[0]} is no chemical symbol; name the elements in its type_map") from None
    frames = []
    for k, energy in enumerate(energies):
        volume = abs(np.linalg.det(cells[k]))
        stress = None if virials is None or not volume or not periodic else -factor * np.reshape(virials[k], (3, 3)) / volume
        frame = Frame(
            numbers=numbers,
            positions=np.array(positions[k], float),
            cell=np.array(cells[k], float) if periodic else np.zeros((3, 3)),
            pbc=np.full(3, periodic),
            energy=float(energy),
            forces=np.array(forces[k], float),
            stress=stress,
            source=path.name,
            index=k,
        )
        frames.append(check_frame(frame, f"{path}: frame {k}"))
    if not frames:
        raise MetalffError(f"{path} holds no frames")
    return Dataset(path.name, tuple(frames))
