"""Extended XYZ, plain or gzipped: the usual exchange format of training data."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.frame import Dataset, Frame
from metalff.errors import MetalffError
from metalff.paths import atomic_write

ENERGY_KEYS = ("energy", "REF_energy", "free_energy")
FORCE_KEYS = ("forces", "force", "REF_forces")
STRESS_KEYS = ("stress", "REF_stress")
VOIGT = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
UNIT_KEY = re.compile(r"(energy|energies|forces?|stress|virial|lengths?|positions?|distances?)?[-_]?units?", re.IGNORECASE)
OUR_UNITS = {"ev", "å", "a", "ang", "angstrom", "metal", "ase"}
"""Units that are read, and names of systems that consist of them; others are these multiplied and divided, such as eV/Å^3."""
PAIR = re.compile(r'([^\s=]+)\s*=\s*("[^"]*"|\{[^}]*\}|\[.*?\](?=\s|$)|\S+)')
"""``key=value`` in a header, where a value is a word or is enclosed in quotes, braces or brackets."""


def read_extxyz(path) -> Dataset:
    """Read every frame of an extxyz file.

    Energy (eV) from the first of ``ENERGY_KEYS`` in the header, forces (eV/Å) from the first of ``FORCE_KEYS`` among
    the columns, stress (eV/Å³, ASE's sign, 9 or 6 numbers) where there is one, else from ``virial`` = −stress·V (eV).
    ``temperature`` (K) and ``group`` (or ``config_type``) are optional.

    Raises:
        MetalffError: unreadable, truncated, not finite, no energy, no forces, or other units by the header's own words; names
            file, frame (from 0) and line.
    """
    path = Path(path)
    frames = tuple(frames_of(text_lines(path), str(path), path.name))
    if not frames:
        raise MetalffError(f"{path}: the file holds no frames")
    return Dataset(name=path.name, frames=frames)


def frames_of(lines: Iterable[str], name: str, source: str, skip: Callable[[MetalffError], None] | None = None) -> Iterator[Frame]:
    """Frames of extxyz text, one after the other, as ``read_extxyz`` reads them.

    Args:
        lines: of the text; may raise ``MetalffError`` where its source is damaged.
        name: of the file, for messages.
        source: of the frames.
        skip: called with the error of each damaged frame, which is left out; it keeps its number. None raises the error.
    Raises:
        MetalffError: as ``read_extxyz``.
    """
    reader, number, lost = _Lines(lines), 0, []
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
            while len(lost) < atoms + 2 and (line := reader.take()) is not None:
                lost.append(line)
            if atoms < 1 or len(lost) < atoms + 2:
                raise MetalffError(f"{where}: the file ends after {max(len(lost) - 2, 0)} of {atoms} atoms; it is truncated")
            yield _frame(where, lost[1], lost[2:], source, number)
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
    return "Lattice=" in line or "Properties=" in line


def text_lines(path: Path) -> list[str]:
    """Lines of a text file, gunzipped when the name ends in .gz."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise MetalffError(f"{path}: the gzip stream is damaged or truncated; fetch the file again") from None
    except UnicodeDecodeError:
        raise MetalffError(f"{path}: not a text file") from None
    except OSError as error:
        raise MetalffError(f"{path}: cannot be read: {error.strerror}") from None


def _frame(where, header, body, source, index) -> Frame:
    info = {key: value.strip('"{}') for key, value in PAIR.findall(header)}
    for key, value in info.items():
        words = re.split(r"[\s,;/*]+", re.sub(r"\^?-?\d", "", value).lower())
        if UNIT_KEY.fullmatch(key) and not set(words) - {""} <= OUR_UNITS | {"atom"}:
            raise MetalffError(f"{where}: {key}={value} in the header; convert the file to eV and Å, and their quotients")
    try:
        columns = _columns(info.get("Properties", "species:S:1:pos:R:3"), body)
    except (ValueError, KeyError, IndexError):
        raise MetalffError(
            f"{where}: an atom line does not match the Properties of the header; is the file damaged?"
        ) from None
    energy = next((info[key] for key in ENERGY_KEYS if key in info), None)
    forces = next((columns[key] for key in FORCE_KEYS if key in columns), None)
    if energy is None:
        raise MetalffError(f"{where}: no energy in the header; one of {', '.join(ENERGY_KEYS)} is needed")
    if forces is None:
        raise MetalffError(f"{where}: no forces among the columns; one of {', '.join(FORCE_KEYS)} is needed")
    cell = _values(where, info, "Lattice", 9).reshape(3, 3) if "Lattice" in info else np.zeros((3, 3))
    flags = _words(info.get("pbc", "T T T" if "Lattice" in info else "F F F"))
    if len(flags) != 3 or not {flag.lower() for flag in flags} <= {"t", "f", "true", "false", "1", "0"}:
        raise MetalffError(f"{where}: pbc must be three of T and F, not {info['pbc']!r}")
    read = {
        "energy": _values(where, {"energy": energy}, "energy", 1),
        "forces": forces,
        "positions": columns["pos"],
        "cell": cell,
        "stress": _stress(where, info, cell),
        "temperature": _values(where, info, "temperature", 1) if "temperature" in info else None,
    }
    for name, value in read.items():
        if value is not None and not np.isfinite(value).all():
            raise MetalffError(f"{where}: {name} is not a finite number")
    return Frame(
        numbers=columns["numbers"],
        positions=columns["pos"],
        cell=cell,
        pbc=np.array([flag.lower() in ("t", "true", "1") for flag in flags]),
        energy=float(read["energy"][0]),
        forces=forces,
        stress=read["stress"],
        temperature=float(read["temperature"][0]) if "temperature" in info else None,
        group=info.get("group", info.get("config_type", "")),
        source=source,
        index=index,
    )


def _words(text: str) -> list[str]:
    return re.sub(r"[\[\],]", " ", text).split()


def _values(where, info, key, *counts) -> np.ndarray:
    """The numbers of a header entry; their count must be one of ``counts``."""
    try:
        values = np.array(_words(info[key]), float)
    except ValueError:
        raise MetalffError(f"{where}: {key} is not a finite number") from None
    if values.size not in counts:
        raise MetalffError(f"{where}: {key} must have {' or '.join(map(str, counts))} numbers, not {values.size}")
    return values


def _columns(properties: str, body: list[str]) -> dict[str, np.ndarray]:
    """Columns that are needed: atomic ``numbers`` [N], ``pos`` [N,3] and forces [N,3]."""
    fields = properties.split(":")
    words = [line.split() for line in body]
    places, end = {}, 0
    for name, width in zip(fields[::3], map(int, fields[2::3]), strict=True):
        places[name] = slice(end, end + width)
        end += width
    if any(len(row) != end for row in words):
        raise ValueError("columns")

    def numbers(name):
        return np.array([float(word) for row in words for word in row[places[name]]]).reshape(-1, 3)

    wanted = {name: numbers(name) for name in ("pos", *FORCE_KEYS) if name in places}
    if "species" in places:
        wanted["numbers"] = np.array([atomic_numbers[row[places["species"].start]] for row in words])
    else:
        wanted["numbers"] = np.array([int(row[places["Z"].start]) for row in words])
    wanted["pos"]
    return wanted


def _stress(where, info, cell):
    key = next((key for key in (*STRESS_KEYS, "virial") if key in info), None)
    if key is None:
        return None
    value = _values(where, info, key, 9, 6)
    value = value[VOIGT] if value.size == 6 else value.reshape(3, 3)
    return -value / abs(np.linalg.det(cell)) if key == "virial" else value


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
                'pbc="' + " ".join("FT"[int(periodic)] for periodic in frame.pbc) + '"',
            ]
            stream.write(f"{len(frame)}\n{' '.join(filter(None, entries))}\n")
            for number, position, force in zip(frame.numbers, frame.positions, frame.forces, strict=True):
                stream.write(f"{chemical_symbols[number]} {_numbers(position)} {_numbers(force)}\n")


def _numbers(array) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(array))
