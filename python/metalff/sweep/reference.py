"""Reference data of a plan: which set belongs to a metal, what identifies it, and whether it fits the metal."""

import hashlib
import warnings
from pathlib import Path

import numpy as np

from metalff.data import names, read, store
from metalff.data.metals import metal, metals
from metalff.data.selection import whole_of
from metalff.errors import MetalffError, nearest
from metalff.potentials.per_element import FIELD
from metalff.versions import versions

FAR, FARTHER = 0.15, 0.5
"""Deviation of the volume of an atom from that of the crystal which is warned of, and which is refused: of another lattice, or in other units."""


def data_spec(data, element: str) -> str:
    """The set of one metal.

    Args:
        data: of the plan: a set with all metals, a template with ``{element}``, or a mapping of metals to sets.
    Raises:
        MetalffError: there is none for this metal.
    """
    if isinstance(data, dict):
        if element not in data:
            raise MetalffError(f"data: names no set for {element}")
        return _of(data[element], element)
    if FIELD in data:
        spec = data.replace(FIELD, element)
        base = whole_of(spec).partition(":")[0]
        if base not in names() and base not in store.names() and not Path(whole_of(spec)).exists():
            raise MetalffError(f"there is no set {base} for {element}{nearest(base, [*names(), *store.names()])}")
        return _of(spec, element)
    return _of(data, element)


def _of(spec: str, element: str) -> str:
    """The part of a set that is of one metal.

    Raises:
        MetalffError: it has nothing of it, where that is known without reading all of it.
    """
    known = _elements(spec)
    if known and element not in known:
        raise MetalffError(f"{whole_of(spec)} is of {' '.join(known)} and has nothing of {element}; correct data:")
    return spec if spec.endswith("]") or known == [element] else f"{spec}[element={element}]"


def _elements(spec: str) -> list[str]:
    """Of a set whose files name them; empty where that is not known without reading it."""
    base = whole_of(spec).partition(":")[0]
    if base in store.names():
        return sorted({str(found.get("element", "")) for found in store.index(base)["files"].values()} - {""})
    return read(spec).elements if base in names() else []


def data_key(spec: str) -> str:
    """What identifies a set without reading all of it: the content of a file, the index of an imported set, the version that bundles it.

    Raises:
        MetalffError: there is none.
    """
    whole = whole_of(spec)
    base = whole.partition(":")[0]
    if base in names():
        return f"bundled {versions()['metalff']}"
    path = store.home() / base / store.INDEX if base in store.names() else Path(whole)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not path.is_dir():
        raise MetalffError(f"data: {whole} is neither a file nor a set{nearest(whole, [*names(), *store.names()])}; sets: {', '.join(names())}")
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def reference(spec: str, element: str):
    """The frames of one metal.

    Raises:
        MetalffError: the set is of other elements, or so far from the metal's density that it is another phase or in other units.
    """
    dataset = read(spec)
    if dataset.elements != [element]:
        raise MetalffError(f"{spec} is of {' '.join(dataset.elements)}, not of {element} alone; correct data:")
    if element in metals():
        _check_volume(dataset, spec, element)
    return dataset


def _check_volume(dataset, spec: str, element: str) -> None:
    found = [abs(np.linalg.det(frame.cell)) / len(frame) for frame in dataset.frames if np.all(frame.pbc)]
    if not found:
        return
    cell = metal(element).unit_cell()
    expected = cell.get_volume() / len(cell)
    off = float(np.min(np.abs(np.array(found) / expected - 1)))
    said = f"{spec}: an atom has {np.median(found):.1f} Å³, in {metal(element).crystal} {element} it is {expected:.1f} Å³"
    if off > FARTHER:
        raise MetalffError(f"{said}; the reference is of another lattice or in other units")
    if off > FAR:
        warnings.warn(f"{said}: the reference may be of another lattice", stacklevel=3)
