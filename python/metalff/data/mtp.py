"""``.cfg`` of MLIP-2 and MLIP-3, the data of moment tensor potentials (Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002 (2021)).

``PlusStress`` is −stress × volume in eV. Types are numbers; which elements they are, the file does not say.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.checks import check_frame
from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys, without_named
from metalff.data.text import text_lines
from metalff.errors import MetalffError
from metalff.paths import atomic_write

NAMED = re.compile(r"([A-Z][a-z]?)[_.-]")
"""Name of a file that begins with an element."""

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
PLACES = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1), "zy": (1, 2), "zx": (0, 2), "yx": (0, 1)}
SIGN = {"PlusStress:": -1.0, "Stress:": -1.0, "MinusStress:": 1.0}
"""Of each way to write a stress × volume."""


def read_cfg(path, elements: tuple[str, ...] = (), keys: Keys = NO_KEYS) -> Dataset:
    """Read the configurations of a .cfg file that have energy and forces.

    Args:
        elements: symbols of the types, in their order.
    Raises:
        MetalffError: a type without an element, a configuration that is damaged or has no energy or forces.
    """
    path, notes = Path(path), ()
    without_named(keys, path)
    for symbol in elements:
        if atomic_numbers.get(symbol, 0) < 1:
            raise MetalffError(f"{path}: elements={'|'.join(elements)}: {symbol} is no chemical symbol")
    named = NAMED.match(path.name)
    guess = (named[1],) if named and named[1] in atomic_numbers and not elements else ()
    said = set()
    frames = tuple(_frames(path, elements, guess, keys.stress_factor, said))
    if not frames:
        raise MetalffError(f"{path}: no configuration (BEGIN_CFG) was found")
    if guess and not said:
        notes = (f"{path.name} does not name its elements; its one type is taken for {guess[0]}, by the name of the file",)
    return Dataset(path.name, frames, notes=notes)


def _frames(path, elements, guess, factor, said) -> Iterator[Frame]:
    block, number, start = None, 0, 0
    for place, line in enumerate(text_lines(path), 1):
        word = line.strip()
        if word == "BEGIN_CFG":
            block, start = [], place
        elif word == "END_CFG" and block is not None:
            where = f"{path}: configuration {number} (line {start})"
            try:
                yield _frame(where, block, elements, guess, factor, said, path.name, number)
            except (ValueError, IndexError, KeyError) as error:
                raise MetalffError(f"{where}: the configuration is damaged ({type(error).__name__}: {str(error)[:60]})") from None
            block, number = None, number + 1
        elif block is not None and word:
            block.append(word)
    if block is not None:
        raise MetalffError(f"{path}: configuration {number} (line {start}): the file ends within it; it is truncated")


def _frame(where, block, elements, guess, factor, said, source, index) -> Frame:
    found, features, cell, virial, atoms = {}, {}, [], None, {}
    place = 0
    while place < len(block):
        words, place = block[place].split(), place + 1
        if words[0] == "Size":
            found["size"] = int(block[place].split()[0])
        elif words[0].lower() == "supercell":
            while len(cell) < 3 and _is_vector(block[place]):
                cell.append(list(map(float, block[place].split())))
                place += 1
        elif words[0] in ("AtomData:", "Atomic_data:"):
            rows = [line.split() for line in block[place : place + found["size"]]]
            place += found["size"]
            if len(rows) < found["size"] or any(len(row) != len(words) - 1 for row in rows):
                raise MetalffError(f"{where}: an atom line does not match its AtomData; is the file damaged?")
            atoms = dict(zip(words[1:], zip(*rows, strict=True), strict=True))
        elif words[0] == "Energy":
            found["energy"] = float(block[place].split()[0])
        elif words[0] in SIGN:
            virial = np.zeros((3, 3))
            for name, value in zip(words[1:], block[place].split(), strict=True):
                virial[PLACES[name]] = virial[PLACES[name][::-1]] = SIGN[words[0]] * float(value)
        elif words[0] == "Feature" and len(words) > 2:
            features[words[1].lower()] = words[2:]
    said |= set(features.get("elements", ()))
    elements = elements or tuple(features.get("elements", guess))
    periodic, cell = len(cell), np.array(cell + [[0.0] * 3] * (3 - len(cell)))
    if "energy" not in found or not {"fx", "fy", "fz"} <= set(atoms):
        raise MetalffError(f"{where}: no {'forces' if 'energy' in found else 'energy'}; calculate it first")
    types = np.array(list(map(int, atoms["type"])))
    if types.min() < 0 or types.max() >= len(elements):
        raise MetalffError(
            f"{where}: type {types.max()} is an element that the file does not name; give them in order: '{source}[elements=Cu|Zr]'"
            if types.min() >= 0
            else f"{where}: a negative type"
        )
    direct = {"direct_x", "direct_y", "direct_z"} <= set(atoms)
    positions = np.array([list(map(float, atoms[f"{'direct' if direct else 'cartes'}_{c}"])) for c in "xyz"]).T
    volume = abs(np.linalg.det(cell))
    frame = Frame(
        numbers=np.array([atomic_numbers[elements[t]] for t in types]),
        positions=positions @ cell if direct else positions,
        cell=cell,
        pbc=np.arange(3) < periodic,
        energy=found["energy"],
        forces=np.array([list(map(float, atoms[f"f{c}"])) for c in "xyz"]).T,
        stress=factor * virial / volume if virial is not None and volume else None,
        group=" ".join(features.get("group", features.get("config_type", ()))),
        temperature=float(features["temperature"][0]) if "temperature" in features else None,
        weight=float(features.get("weight", ("1",))[0]),
        source=source,
        index=index,
    )
    return check_frame(frame, where)


def _is_vector(line: str) -> bool:
    words = line.split()
    return len(words) == 3 and all(word[:1].isdigit() or word[:1] in "+-." for word in words)


def write_cfg(frames, path) -> None:
    """Write frames as .cfg, types in the order of atomic numbers; atomic. Numbers have the digits that restore them; a feature names the elements."""
    numbers = sorted({int(z) for frame in frames for z in np.unique(frame.numbers)})
    types = {z: k for k, z in enumerate(numbers)}
    with atomic_write(path) as stream:
        for frame in frames:
            lines = ["BEGIN_CFG", " Size", f"    {len(frame)}"]
            if frame.pbc.any():
                lines += [" Supercell", *(f"    {_words(vector)}" for vector in frame.cell[frame.pbc])]
            lines.append(" AtomData:  id type cartes_x cartes_y cartes_z fx fy fz")
            for k, (z, position, force) in enumerate(zip(frame.numbers, frame.positions, frame.forces), 1):
                lines.append(f"    {k} {types[int(z)]} {_words(position)} {_words(force)}")
            lines += [" Energy", f"    {float(frame.energy)!r}"]
            if frame.stress is not None:
                virial = -frame.stress * abs(np.linalg.det(frame.cell))
                lines += [f" PlusStress:  {' '.join(VOIGT)}", f"    {_words([virial[PLACES[name]] for name in VOIGT])}"]
            if frame.weight != 1.0:
                lines.append(f" Feature   weight      {float(frame.weight)!r}")
            if frame.temperature is not None:
                lines.append(f" Feature   temperature {float(frame.temperature)!r}")
            if frame.group:
                lines.append(f" Feature   group       {frame.group}")
            lines += [" Feature   elements    " + " ".join(chemical_symbols[z] for z in numbers), "END_CFG", ""]
            stream.write("\n".join(lines) + "\n")


def _words(array) -> str:
    return " ".join(repr(float(value)) for value in array)
