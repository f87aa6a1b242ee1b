"""Folders of deepmd-kit: ``type.raw``, and arrays as ``set.*/*.npy`` or as ``*.raw`` (Wang et al., Comput. Phys. Commun. 228, 178 (2018))."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from metalff.data.frame import Dataset
from metalff.data.labels import NO_KEYS, Keys, without_named
from metalff.data.others import arrays_to_dataset
from metalff.data.text import text_of
from metalff.errors import MetalffError
from metalff.paths import atomic_path, atomic_write

ARRAYS = ("coord", "box", "energy", "force", "virial", "real_atom_types")


def systems(folder: Path) -> list[Path]:
    """Folders of systems in a folder, which may be one itself."""
    return sorted(path.parent for path in Path(folder).rglob("type.raw"))


def read_deepmd(folder, keys: Keys = NO_KEYS) -> Dataset:
    """Read every system below a folder; a system's name below it is the group of its frames.

    Raises:
        MetalffError: no system, elements that are not named, an array that is missing, damaged or of the wrong size.
    """
    folder = Path(folder)
    without_named(keys, folder)
    frames = []
    for system in systems(folder):
        name = system.relative_to(folder).as_posix()
        source = folder.name if name == "." else f"{folder.name}/{name}"
        found = _system(system, keys.stress_factor)
        frames += [replace(frame, source=source, group="" if name == "." else name, index=k) for k, frame in enumerate(found)]
    if not frames:
        raise MetalffError(f"{folder} holds no system of deepmd-kit with frames (type.raw beside set.000 or coord.raw)")
    return Dataset(folder.name, tuple(frames))


def _system(folder: Path, factor: float):
    types = _numbers(folder / "type.raw").astype(int)
    names = text_of(folder / "type_map.raw").split() if (folder / "type_map.raw").exists() else None
    if names is None:
        raise MetalffError(f"{folder} names no elements: put their symbols into {folder / 'type_map.raw'}, one for each type")
    if not types.size or types.min() < 0 or types.max() >= len(names):
        raise MetalffError(f"{folder / 'type.raw'} has types that type_map.raw ({' '.join(names)}) does not name")
    periodic = not (folder / "nopbc").exists()
    frames = []
    sets = sorted(path for path in folder.glob("set.*") if path.is_dir())
    for part in sets or [folder]:
        arrays = {name: _array(part, name, bool(sets)) for name in ARRAYS}
        coord, energy, force = (_needed(part, arrays, name) for name in ("coord", "energy", "force"))
        count, atoms = len(np.ravel(energy)), len(types)
        box = arrays["box"]
        if box is None and periodic:
            raise MetalffError(f"{part} has no box; put a file 'nopbc' into {folder} when nothing is periodic")
        sizes = {"coord": (coord, 3 * atoms), "force": (force, 3 * atoms), "box": (box, 9), "virial": (arrays["virial"], 9)}
        for name, (array, width) in sizes.items():
            if array is not None and array.size != count * width:
                raise MetalffError(f"{part}: {name} has {array.size} numbers, not {width} for each of {count} frames")
        cells = np.zeros((count, 3, 3)) if box is None else box.reshape(count, 3, 3)
        rest = coord.reshape(count, atoms, 3), cells, np.ravel(energy), force.reshape(count, atoms, 3)
        virials = None if arrays["virial"] is None else arrays["virial"].reshape(count, 3, 3)
        if arrays["real_atom_types"] is None:
            frames += arrays_to_dataset(folder, [names[t] for t in types], *rest, virials, periodic, factor)
            continue
        real = arrays["real_atom_types"].astype(int).reshape(count, atoms)  # deepmd/npy/mixed: -1 is a place without an atom
        if real.max() >= len(names):
            raise MetalffError(f"{part}: real_atom_types has types that type_map.raw ({' '.join(names)}) does not name")
        for k in range(count):
            there = real[k] >= 0
            virial = None if virials is None else virials[k : k + 1]
            one = rest[0][k : k + 1, there], cells[k : k + 1], rest[2][k : k + 1], rest[3][k : k + 1, there], virial
            frames += arrays_to_dataset(folder, [names[t] for t in real[k][there]], *one, periodic, factor)
    return frames


def _array(part: Path, name: str, npy: bool) -> np.ndarray | None:
    path = part / f"{name}{'.npy' if npy else '.raw'}"
    if not path.exists():
        return None
    if not npy:
        return _numbers(path)
    try:
        return np.asarray(np.load(path, allow_pickle=False), float)
    except (OSError, ValueError, EOFError) as error:
        raise MetalffError(f"{path} is damaged or no array of numbers ({str(error)[:80]})") from None


def _numbers(path: Path) -> np.ndarray:
    try:
        return np.array(text_of(path).split(), float)
    except ValueError:
        raise MetalffError(f"{path} holds something else than numbers") from None


def _needed(part, arrays, name) -> np.ndarray:
    if arrays[name] is None:
        raise MetalffError(f"{part} has no {name}; coordinates, energies and forces are needed")
    return arrays[name]


def write_deepmd(frames, folder) -> None:
    """Write frames as systems of deepmd-kit (npy), one for each list of atoms in order; ``set.000`` alone.

    Arrays are float64. Frames without a stress in a system where others have one go into a system of their own.
    """
    elements = sorted({int(z) for frame in frames for z in np.unique(frame.numbers)})
    alike = {}
    for frame in frames:
        order = np.argsort(frame.numbers, kind="stable")
        key = (tuple(frame.numbers[order]), frame.stress is not None, bool(frame.pbc.all()))
        if not key[2] and frame.pbc.any():
            raise MetalffError(f"frame {frame.index} of {frame.source} is periodic in some directions only, which deepmd-kit cannot say")
        alike.setdefault(key, []).append((frame, order))
    for number, ((numbers, has_stress, periodic), members) in enumerate(alike.items()):
        counts = [f"{chemical_symbols[z]}{numbers.count(z)}" for z in elements if z in numbers]
        system = Path(folder) / f"{number:03d}.{''.join(counts)}"
        (system / "set.000").mkdir(parents=True, exist_ok=True)
        texts = {
            "type.raw": "\n".join(str(elements.index(z)) for z in numbers) + "\n",
            "type_map.raw": "\n".join(chemical_symbols[z] for z in elements) + "\n",
        } | ({} if periodic else {"nopbc": ""})
        for name, text in texts.items():
            with atomic_write(system / name) as stream:
                stream.write(text)
        arrays = {
            "coord": [frame.positions[order].ravel() for frame, order in members],
            "box": [frame.cell.ravel() for frame, _ in members],
            "energy": [frame.energy for frame, _ in members],
            "force": [frame.forces[order].ravel() for frame, order in members],
        }
        if has_stress and periodic:
            arrays["virial"] = [-(frame.stress * abs(np.linalg.det(frame.cell))).ravel() for frame, _ in members]
        for name, array in arrays.items():
            with atomic_path(system / "set.000" / f"{name}.npy") as temporary, open(temporary, "wb") as stream:
                np.save(stream, np.array(array, float))
