"""Reference data: one in-memory type, readers, bundled DFT sets."""

from pathlib import Path

from metalff.data.bundled import load, names, splits
from metalff.data.extxyz import read_extxyz, write_extxyz
from metalff.data.frame import Dataset, Frame, hold_out
from metalff.data.mlearn import read_mlearn
from metalff.errors import MetalffError, nearest

__all__ = [
    "Dataset",
    "Frame",
    "hold_out",
    "load",
    "names",
    "read",
    "read_extxyz",
    "read_mlearn",
    "splits",
    "write_extxyz",
]

READERS = {".json": read_mlearn, ".xyz": read_extxyz, ".extxyz": read_extxyz}


def read(spec) -> Dataset:
    """Read a bundled set or a file.

    Args:
        spec: ``zuo2020-Cu``, ``zuo2020-Cu:test``, or a path ending in ``.xyz``,
            ``.extxyz`` or ``.json``, with or without .gz.

    Raises:
        MetalffError: neither a set nor a file, an unknown ending, or a bad file.
    """
    name, _, split = str(spec).partition(":")
    if name in names():
        return load(name, split or None)
    path = Path(spec)
    if not path.exists():
        raise MetalffError(
            f"{spec} is neither a file nor a bundled set{nearest(name, names())}; sets: {', '.join(names())}"
        )
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending not in READERS:
        known = ", ".join(READERS)
        raise MetalffError(f"{spec}: unknown ending {ending or '(none)'}; metalff reads {known}, with or without .gz")
    return READERS[ending](path)
