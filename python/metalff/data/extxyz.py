"""Extended XYZ, plain or gzipped: the usual exchange format of training data."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys, Labels, values, words_of
from metalff.data.text import Cut, text_lines
from metalff.errors import MetalffError, nearest
from metalff.paths import atomic_write

MOST_ATOMS = 10**9
PAIR = re.compile(r"""(?:(?<=\s)|^)([^\s=]+)\s*=(?:\s+(?=[^\s="'{\[]+\s*=)|\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[.*?\](?=\s|$)|\S+))""")
"""``key=value`` in a header, where a value is a word or is enclosed in quotes, braces or brackets."""


def read_extxyz(path, keys: Keys = NO_KEYS) -> Dataset:
    """Read every frame of an extxyz file.

    Energy (eV), stress (eV/Å³, ASE's sign, 9 or 6 numbers) and virial (−stress·V, eV) from the header, forces (eV/Å) from the columns, by the policy
    of ``labels``; so are ``temperature`` (K), ``group`` or ``config_type``, and ``weight``. Keys are compared without regard to case.

    Args:
        keys: that the user names.
    Raises:
        MetalffError: unreadable, truncated, not finite, no energy, no forces, labels that contradict each other, a cell that is none, or other units
            by the header's own words; names file, frame (from 0) and line.
    """
    path, notes = Path(path), []
    frames = tuple(each_of_extxyz(path, keys, notes))
    return Dataset(name=path.name, frames=frames, notes=tuple(notes))


def each_of_extxyz(path, keys: Keys = NO_KEYS, notes: list[str] | None = None) -> Iterator[Frame]:
    """What ``read_extxyz`` reads, frame by frame; its notes are added to ``notes`` at the end."""
    path = Path(path)
    yield from each_of_lines(text_lines(path), str(path), path.name, keys, notes)


def each_of_lines(lines: Iterable[str], name: str, file: str, keys: Keys = NO_KEYS, notes: list[str] | None = None) -> Iterator[Frame]:
    """Frames of the text of a whole file; ``name`` and ``file``: with and without its folder.

    Raises:
        MetalffError: as ``read_extxyz``.
    """
    labels, empty = Labels(file, keys), True
    for frame in frames_of(lines, name, file, labels=labels):
        empty = False
        yield frame
    if empty:
        raise MetalffError(f"{name}: the file holds no frames")
    if notes is not None:
        notes += labels.notes


def frames_of(
    lines: Iterable[str], name: str, source: str, skip: Callable[[MetalffError], None] | None = None, labels: Labels | None = None
) -> Iterator[Frame]:
    """Frames of extxyz text, one after the other, as ``read_extxyz`` reads them.

    Args:
        lines: of the text; may raise ``MetalffError`` where its source is damaged.
        name: of the file, for messages.
        source: of the frames.
        skip: called with the error of each damaged frame, which is left out; it keeps its number. None raises the error.
        labels: which keys are read, and what was left out.
    Raises:
        MetalffError: as ``read_extxyz``.
    """
    reader, number, lost = _Lines(lines), 0, []
    labels = labels or Labels(source)
    while True:
        where = f"{name}: frame {number} (line {reader.number + 1})"
        try:
            if lost:
                reader.to_next_frame(lost)
                where = f"{name}: frame {number} (line {reader.number + 1})"
            lost = []
            if (line := reader.take()) is None:
                return
            lost.append(line)
            if not line.strip():
                if reader.rest_is_empty():
                    return
                raise MetalffError(f"{where}: an empty line where a number of atoms belongs")
            try:
                atoms = int(line)
            except ValueError:
                raise MetalffError(f"{where}: expected a number of atoms, found {line.strip()[:40]!r}; is this extxyz?") from None
            if not 0 < atoms <= MOST_ATOMS:
                raise MetalffError(f"{where}: {line.strip()[:40]} is no number of atoms")
            reader.take_into(lost, atoms + 1)
            if atoms < 1 or len(lost) < atoms + 2:
                raise MetalffError(f"{where}: the file ends after {max(len(lost) - 2, 0)} of {atoms} atoms; it is truncated")
            if isinstance(lost[-1], Cut):
                raise MetalffError(
                    f"{where}: the file ends within a line, so its last number may be cut; write it again, or end the line with an editor if it is whole"
                )
            yield _frame(where, lost[1], lost[2:], source, number, labels)
            lost = []
        except MetalffError as error:
            if skip is None:
                raise
            skip(error)
        number += 1


class _Lines:
    """Lines one by one; some can be put back. ``number``: of lines taken."""

    def __init__(self, lines: Iterable[str]):
        self.lines, self.waiting, self.number = iter(lines), [], 0

    def take(self) -> str | None:
        line = self.waiting.pop() if self.waiting else next(self.lines, None)
        self.number += line is not None
        return line

    def take_into(self, taken: list[str], count: int) -> None:
        """Add up to ``count`` lines to ``taken``, also when their source raises on the way."""
        before = len(taken)
        try:
            while self.waiting and len(taken) < before + count:
                taken.append(self.waiting.pop())
            taken.extend(islice(self.lines, max(count - len(taken) + before, 0)))
        finally:
            self.number += len(taken) - before

    def put_back(self, lines: list[str]) -> None:
        self.waiting += reversed(lines)
        self.number -= len(lines)

    def rest_is_empty(self) -> bool:
        seen = []
        while (line := self.take()) is not None:
            seen.append(line)
            if line.strip():
                self.put_back(seen)
                return False
        return True

    def to_next_frame(self, lost: list[str]) -> None:
        """After a damaged frame that began with the lines ``lost``: go to one line before the next header, which may be among them."""
        self.put_back(lost[1:])
        before = self.take()
        if before is not None and _is_header(before):  # of the damaged frame itself
            before = self.take()
        while before is not None and (line := self.take()) is not None:
            if _is_header(line):
                self.put_back([before, line])
                return
            before = line


def _is_header(line: str) -> bool:
    lower = line.lower()
    return "lattice=" in lower or "properties=" in lower


def _frame(where, header, body, source, index, labels) -> Frame:
    found = PAIR.findall(header)
    pairs = [(key.lower(), value.strip("\"'{}")) for key, value in found]
    info = dict(pairs)
    for key, _ in found:
        labels.spelling[key.lower()] = key
    if len(info) < len(pairs):
        _refuse_contradictions(where, pairs)
    columns, numbers, positions = _columns(where, info.get("properties", "species:S:1:pos:R:3"), body, labels)
    cell = values(where, info, "lattice", 9, name="Lattice").reshape(3, 3) if "lattice" in info else np.zeros((3, 3))
    return labels.frame(where, info, columns, numbers=numbers, positions=positions, cell=cell, pbc=_pbc(where, info), source=source, index=index)


def _refuse_contradictions(where, pairs) -> None:
    """Two spellings of a key, such as ``energy`` and ``Energy``, must say the same."""
    seen = {}
    for key, value in pairs:
        if seen.setdefault(key, value) != value:
            raise MetalffError(f"{where}: the header says {key} twice, and not the same; take one out")


def _pbc(where, info) -> np.ndarray:
    flags = [word.lower() for word in words_of(info.get("pbc", "T T T" if "lattice" in info else "F F F"))]
    if len(flags) != 3 or not set(flags) <= {"t", "f", "true", "false", "1", "0"}:
        raise MetalffError(f"{where}: pbc must be three of T and F, not {info['pbc']!r}")
    return np.array([flag in ("t", "true", "1") for flag in flags])


def _columns(where, properties: str, body: list[str], labels: Labels) -> tuple[dict, np.ndarray, np.ndarray]:
    """Columns of numbers by name in lower case, [N,3] where they are three wide; atomic numbers [N] and positions [N,3]."""
    mismatch = MetalffError(f"{where}: an atom line does not match the Properties of the header; is the file damaged?")
    fields = properties.split(":")
    labels.spelling |= {name.lower(): name for name in fields[::3]}
    try:
        widths = dict(zip((name.lower() for name in fields[::3]), zip(fields[1::3], map(int, fields[2::3])), strict=True))
    except ValueError:
        raise MetalffError(f"{where}: Properties={properties[:80]} is no list of name:type:width") from None
    rows = [line.split() for line in body]
    end = sum(width for _, width in widths.values())
    if any(len(row) != end for row in rows):
        raise mismatch
    words, places, start = list(zip(*rows, strict=True)), {}, 0
    for name, (_, width) in widths.items():
        places[name] = words[start : start + width]
        start += width
    found = {}
    try:
        for name, (kind, width) in widths.items():
            # forces and positions have three numbers; what else there is must only have a name
            found[name] = np.array([list(map(float, column)) for column in places[name]]).T if width == 3 and kind.upper() in "RI" else None
    except ValueError:
        raise mismatch from None
    positions = found.pop("pos", None)
    if positions is None:
        raise MetalffError(f"{where}: no positions (pos:R:3) among the columns, which are {', '.join(widths)}")
    if "species" in places:
        numbers = _symbols(where, places["species"][0])
    elif "z" in places:
        try:
            numbers = np.array(list(map(int, places["z"][0])))
        except ValueError:
            raise mismatch from None
    else:
        raise MetalffError(f"{where}: no species among the columns, which are {', '.join(widths)}")
    return found, numbers, np.ascontiguousarray(positions)


def _symbols(where, words) -> np.ndarray:
    try:
        numbers = np.array([atomic_numbers[word] for word in words])
    except KeyError as error:
        word = error.args[0][:20]
        raise MetalffError(f"{where}: {word} is no chemical symbol{nearest(word.capitalize(), chemical_symbols[1:])}") from None
    if not numbers.all():
        raise MetalffError(f"{where}: X is no chemical element; name it")
    return numbers


def write_extxyz(frames, path) -> None:
    """Write frames with the keys ``REF_energy``, ``REF_forces``, ``REF_stress`` that training tools read; atomic.

    Numbers are written with the digits that restore them exactly.
    """
    with atomic_write(path) as stream:
        for frame in frames:
            entries = [
                f'Lattice="{_numbers(frame.cell)}"' if np.any(frame.cell) else "",
                "Properties=species:S:1:pos:R:3:REF_forces:R:3",
                f"REF_energy={_numbers(frame.energy)}",
                f'REF_stress="{_numbers(frame.stress)}"' if frame.stress is not None else "",
                f"temperature={_numbers(frame.temperature)}" if frame.temperature is not None else "",
                f'group="{frame.group}"' if frame.group else "",
                f"weight={_numbers(frame.weight)}" if frame.weight != 1.0 else "",
            ]
            _write(stream, frame, entries)


def write_gpumd(frames, path) -> None:
    """Write frames as GPUMD's ``train.xyz`` has them: ``energy``, ``virial`` (−stress × volume, eV), ``force``; atomic.

    Raises:
        MetalffError: a frame without a cell, which GPUMD does not read.
    """
    with atomic_write(path) as stream:
        for frame in frames:
            if not np.linalg.det(frame.cell):
                raise MetalffError(f"frame {frame.index} of {frame.source} has no cell, which GPUMD needs: put the atoms into a large box")
            virial = None if frame.stress is None else -frame.stress * abs(np.linalg.det(frame.cell))
            entries = [
                f'lattice="{_numbers(frame.cell)}"',
                "properties=species:S:1:pos:R:3:force:R:3",
                f"energy={_numbers(frame.energy)}",
                f'virial="{_numbers(virial)}"' if virial is not None else "",
                f"temperature={_numbers(frame.temperature)}" if frame.temperature is not None else "",
                f'config_type="{frame.group}"' if frame.group else "",
                f"weight={_numbers(frame.weight)}" if frame.weight != 1.0 else "",
            ]
            _write(stream, frame, entries)


def _write(stream, frame, entries) -> None:
    entries.append('pbc="' + " ".join("FT"[int(periodic)] for periodic in frame.pbc) + '"')
    stream.write(f"{len(frame)}\n{' '.join(filter(None, entries))}\n")
    for number, position, force in zip(frame.numbers, frame.positions, frame.forces, strict=True):
        stream.write(f"{chemical_symbols[number]} {_numbers(position)} {_numbers(force)}\n")


def _numbers(array) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(array))
