"""Folders of data in the layout of Metal-43: ``<El>_<lattice>_<T>.extxyz``, one trajectory per file, and ``manifest.json``."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.extxyz import read_extxyz
from metalff.data.frame import Dataset
from metalff.errors import MetalffError
from metalff.paths import atomic_write

NAME = re.compile(r"(?P<element>[A-Z][a-z]?)_(?P<lattice>[A-Za-z0-9-]+)_(?P<temperature>\d+(?:\.\d+)?)\.(?:ext)?xyz(?:\.gz)?")

MANIFEST = "manifest.json"


def file_name(element: str, lattice: str, temperature: float) -> str:
    return f"{element}_{lattice}_{temperature:.0f}.extxyz"


def parse(name: str) -> tuple[str, str, float] | None:
    """(element, lattice, temperature in K) of a file's name; None when it is not in the layout."""
    found = NAME.fullmatch(name)
    if not found or found["element"] not in atomic_numbers:
        return None
    return found["element"], found["lattice"], float(found["temperature"])


def files(folder: Path) -> list[Path]:
    """The files in the layout, by element and temperature."""
    named = [(parse(path.name), path) for path in Path(folder).iterdir()]
    return [item[-1] for item in sorted((k[0], k[2], k[1], p.name, p) for k, p in named if k)]


def manifest(folder: Path) -> dict:
    """Content of ``manifest.json``; empty without one.

    Raises:
        MetalffError: it is damaged.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise MetalffError(f"{path} is damaged; remove it, or make the data again") from None


def write_manifest(folder: Path, content: dict) -> None:
    with atomic_write(Path(folder) / MANIFEST) as stream:
        json.dump(content, stream, indent=1)


def read_file(path: Path, phase: str = "") -> Dataset:
    """One file: temperature by its name (never recomputed), ``group`` the phase, else the lattice.

    Raises:
        MetalffError: as ``read_extxyz``, or another element than the name says.
    """
    path = Path(path)
    element, lattice, temperature = parse(path.name)
    dataset = read_extxyz(path)
    if dataset.elements != [element]:
        raise MetalffError(f"{path}: the name says {element}, but the frames contain {' '.join(dataset.elements)}")
    source = f"{path.parent.name}/{path.name}"
    return replace(dataset, frames=tuple(replace(f, temperature=temperature, group=phase or lattice, source=source) for f in dataset))


def read_folder(folder) -> Dataset:
    """All files of a folder in the layout as one set; ``group`` is the phase by the manifest, where it says one, else the lattice.

    Raises:
        MetalffError: no file in the layout, or a bad one.
    """
    folder = Path(folder)
    found = files(folder)
    if not found:
        raise MetalffError(f"{folder} holds no file named <El>_<lattice>_<T>.extxyz, such as Al_fcc_300.extxyz")
    said = manifest(folder)
    entries = said.get("files", {})
    parts = [read_file(path, entries.get(path.name, {}).get("phase", "")) for path in found]
    return Dataset(folder.name, tuple(frame for part in parts for frame in part), said.get("citation", ""), said.get("licence", ""))


def write_file(frames, path) -> None:
    """Write frames with the keys of Metal-43; atomic. Positions and forces have eight decimals, energies twelve."""
    with atomic_write(path) as stream:
        for frame in frames:
            words = [f'Lattice="{_numbers(frame.cell)}"', "Properties=species:S:1:pos:R:3:forces:R:3"]
            words += [f"energy={frame.energy:.12f}", f"free_energy={frame.energy:.12f}"]
            words += [f'stress="{_numbers(frame.stress)}"'] if frame.stress is not None else []
            words += [f'pbc="{" ".join("FT"[int(flag)] for flag in frame.pbc)}"']
            lines = [f"{len(frame)}", " ".join(words)]
            columns = np.hstack([frame.positions, frame.forces]).tolist()
            symbols = [chemical_symbols[z] for z in frame.numbers]
            lines += [f"{symbol} {a:.8f} {b:.8f} {c:.8f} {d:.8f} {e:.8f} {f:.8f}" for symbol, (a, b, c, d, e, f) in zip(symbols, columns)]
            stream.write("\n".join(lines) + "\n")


def _numbers(array) -> str:
    return " ".join(f"{value:.12g}" for value in np.ravel(array))
