"""What a LAMMPS log tells: thermo rows, speed, version, the error."""

import os
import re
import resource
from pathlib import Path

import numpy as np

COLUMNS = ("Step", "Temp", "PotEng", "KinEng", "TotEng", "Press", "Volume")
"""What every ``thermo_style`` of ``lammps_inputs`` begins with: step, K, eV, eV, eV, bar, Å³."""

TAIL = 4096
"""Bytes at the end of a log that surely hold a thermo row while LAMMPS runs."""


def thermo_rows(path) -> np.ndarray:
    """Thermo rows [n,7 or more] (see ``columns``) in the order written; a line cut off by a kill is left out."""
    rows, width = [], 0
    for line in _whole_lines(Path(path).read_text(errors="replace")):
        words = line.split()
        if tuple(words[: len(COLUMNS)]) == COLUMNS:
            width = len(words)
        elif line.startswith("Loop time"):
            width = 0
        elif width and len(words) == width and (row := _row(words)):
            rows.append(row)
    return np.array(rows).reshape(len(rows), -1) if rows else np.empty((0, len(COLUMNS)))


def columns(path) -> tuple[str, ...]:
    """Names of the columns of ``thermo_rows``."""
    with open(path, errors="replace") as stream:
        found = next((words for line in stream if tuple((words := line.split())[: len(COLUMNS)]) == COLUMNS), COLUMNS)
    return tuple(found)


def first_step(path) -> int | None:
    """The step of the first thermo row; None where there is none."""
    rows = thermo_rows(path) if Path(path).is_file() else ()
    return int(rows[0, 0]) if len(rows) else None


def last_step(path) -> int | None:
    """The step of the newest thermo row; cheap, for a log that grows."""
    row = last_row(path)
    return None if row is None else int(row[0])


def last_row(path) -> list[float] | None:
    """The newest thermo row; cheap, for a log that grows."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return None
    rows = [row for line in _whole_lines(text)[1:] if (row := _row(line.split()))]
    return rows[-1] if rows else None


def speed(path) -> tuple[float, float]:
    """Atom-steps and seconds of the stages that ran to their end."""
    loops = re.findall(
        r"^Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms",
        Path(path).read_text(errors="replace"),
        re.MULTILINE,
    )
    return sum(float(steps) * float(atoms) for _, steps, atoms in loops), sum(float(seconds) for seconds, _, _ in loops)


def version(path) -> str:
    """``22 Jul 2025 - Update 4``, or '' when the log does not say."""
    found = re.search(r"^LAMMPS \((.*)\)", Path(path).read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else ""


def error(*paths) -> str:
    """LAMMPS' last error sentence in these files, without its prefix and source position, or ''."""
    for path in paths:
        if not Path(path).is_file():
            continue
        found = re.findall(r"^ERROR(?: on proc \d+)?:?\s+(.*)", Path(path).read_text(errors="replace"), re.MULTILINE)
        if found:
            return re.sub(r"\s*\(\S*\.(?:cpp|h):\d+\).*", "", found[-1]).strip()
    return next((full for path in paths if (full := out_of_memory(path))), "")


def out_of_memory(path) -> str:
    """A sentence where LAMMPS asked for more memory than it got, with what is known of how much it needed; else ''."""
    text = Path(path).read_text(errors="replace") if Path(path).is_file() else ""
    if not re.search(r"std::bad_alloc|Failed to (?:re)?allocate|Cannot allocate memory", text):
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    where = "this machine has left" if limit == resource.RLIM_INFINITY else f"the {limit / 1e6:.0f} MB that a process may have (ulimit -v)"
    atoms = re.findall(r"^Created (\d+) atoms|^  (\d+) atoms$", text, re.MULTILINE)
    forecast = re.findall(r"^pair_style mlff: (predicted peak memory .*)", text, re.MULTILINE)
    said = f"{''.join(atoms[-1])} atoms need" if atoms else "it needs"
    return f"the memory is full: {said} more than {where}{f' ({forecast[-1]})' if forecast else ''}; use fewer atoms, fewer jobs at a time, or more memory"


def _whole_lines(text: str) -> list[str]:
    return text.split("\n")[:-1]


def _row(words):
    if len(words) < len(COLUMNS) or not words[0].isdigit():
        return None
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
