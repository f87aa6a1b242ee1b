"""JSON files of FitSNAP, one or in a folder of groups (Rohskopf et al., J. Open Source Softw. 8, 5118 (2023)): a ``Dataset`` after a comment."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from metalff.data.checks import check_frame
from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys, without_named
from metalff.data.text import text_of
from metalff.errors import MetalffError

STYLES = {
    "PositionsStyle": {"angstrom": 1.0},
    "LatticeStyle": {"angstrom": 1.0},
    "EnergyStyle": {"electronvolt": 1.0},
    "ForcesStyle": {"electronvoltperangstrom": 1.0},
    "StressStyle": {"bar": 1 / 1602176.634, "kb": 1 / 1602.176634, "kbar": 1 / 1602.176634, "gpa": 1 / 160.2176634, "electronvoltperangstrom3": 1.0},
}
"""Units that are read, in eV and Å. A stress is positive under compression, as LAMMPS' pressure."""

DEFAULT = {"StressStyle": "bar"}


def is_fitsnap(text: str) -> bool:
    return '"Dataset"' in text[:4096]


def read_fitsnap(path, keys: Keys = NO_KEYS) -> Dataset:
    """Read a JSON file, or all below a folder, where a file's folder is the group of its frames.

    Raises:
        MetalffError: no such file, damaged, units that are not read, or no energy or forces.
    """
    path = Path(path)
    without_named(keys, path)
    if not path.is_dir():
        return Dataset(path.name, tuple(_file(path, text_of(path), path.name, "", keys.stress_factor)))
    frames = []
    for file in sorted(file for file in path.rglob("*.json") if not file.name.startswith("._")):  # resource forks of macOS
        group = file.parent.relative_to(path).as_posix()
        group, source = "" if group == "." else group, f"{path.name}/{group}" if group != "." else path.name
        found = _file(file, text_of(file), source, group, keys.stress_factor)
        frames += [replace(frame, index=len(frames) + k) for k, frame in enumerate(found)]
    if not frames:
        raise MetalffError(f"{path} holds no .json file of FitSNAP")
    return Dataset(path.name, tuple(frames))


def _file(path, text, source, group, factor) -> list[Frame]:
    lines = text.split("\n")
    while lines and lines[0].lstrip().startswith("#"):
        lines.pop(0)
    try:
        content = json.loads("\n".join(lines))["Dataset"]
        entries = list(content["Data"])
        units = {key: STYLES[key][str(content.get(key, DEFAULT.get(key, next(iter(STYLES[key]))))).lower()] for key in STYLES}
    except KeyError as error:
        style = (
            next((content[key] for key in STYLES if key in content and str(content[key]).lower() == error.args[0]), None)
            if "content" in locals()
            else None
        )
        reason = f"the unit {style} is not read" if style else f"{error.args[0]} is missing"
        raise MetalffError(f"{path}: {reason}; give a file of FitSNAP in eV, Å, and stresses in bar, kB or GPa") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MetalffError(f"{path}: not valid JSON of FitSNAP ({str(error)[:80]}); is the file truncated?") from None
    frames = []
    for index, entry in enumerate(entries):
        where = f"{path}: entry {index}"
        try:
            types = entry["AtomTypes"]
            frame = Frame(
                numbers=np.array([atomic_numbers[t if isinstance(t, str) else t[0]] for t in types]),
                positions=np.array(entry["Positions"], float).reshape(len(types), 3),
                cell=np.array(entry["Lattice"], float).reshape(3, 3),
                pbc=np.ones(3, bool),
                energy=float(entry["Energy"]),
                forces=np.array(entry["Forces"], float).reshape(len(types), 3),
                stress=-factor * units["StressStyle"] * np.array(entry["Stress"], float).reshape(3, 3) if entry.get("Stress") is not None else None,
                group=group,
                source=source,
                index=index,
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise MetalffError(f"{where}: not an entry of FitSNAP with AtomTypes, Positions, Lattice, Energy and Forces ({error!r})") from None
        frames.append(check_frame(frame, where))
    if not frames:
        raise MetalffError(f"{path} holds no entries")
    return frames
