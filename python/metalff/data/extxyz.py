"""Extended XYZ, plain or gzipped: the usual exchange format of training data."""

import gzip
import re
import zlib
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
    lines = text_lines(path)
    frames = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            if any(line.strip() for line in lines[at:]):
                raise MetalffError(
                    f"{path}: frame {len(frames)} (line {at + 1}): an empty line where a number of atoms belongs"
                )
            break
        where = f"{path}: frame {len(frames)} (line {at + 1})"
        try:
            atoms = int(lines[at])
        except ValueError:
            raise MetalffError(
                f"{where}: expected a number of atoms, found {lines[at][:40]!r}; is this extxyz?"
            ) from None
        body = lines[at + 2 : at + 2 + atoms]
        if atoms < 1 or len(body) < atoms:
            raise MetalffError(f"{where}: the file ends after {len(body)} of {atoms} atoms; it is truncated")
        frames.append(_frame(where, lines[at + 1], body, path.name, len(frames)))
        at += 2 + atoms
    if not frames:
        raise MetalffError(f"{path}: the file holds no frames")
    return Dataset(name=path.name, frames=tuple(frames))


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
    table = np.array([line.split() for line in body], dtype=str)
    columns, start = {}, 0
    for name, width in zip(fields[::3], map(int, fields[2::3]), strict=True):
        columns[name] = table[:, start : start + width]
        start += width
    if start != table.shape[1]:
        raise ValueError("columns")
    wanted = {name: columns[name].astype(float).reshape(-1, 3) for name in ("pos", *FORCE_KEYS) if name in columns}
    if "species" in columns:
        wanted["numbers"] = np.array([atomic_numbers[symbol] for symbol in columns["species"][:, 0]])
    else:
        wanted["numbers"] = columns["Z"][:, 0].astype(int)
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
                'pbc="' + " ".join("FT"[int(periodic)] for periodic in frame.pbc) + '"',
            ]
            stream.write(f"{len(frame)}\n{' '.join(filter(None, entries))}\n")
            for number, position, force in zip(frame.numbers, frame.positions, frame.forces, strict=True):
                stream.write(f"{chemical_symbols[number]} {_numbers(position)} {_numbers(force)}\n")


def _numbers(array) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(array))
