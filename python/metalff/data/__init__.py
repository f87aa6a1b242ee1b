"""Reference data: one in-memory type, readers, bundled DFT sets."""

from pathlib import Path

from metalff.data import store
from metalff.data.bundled import load, names, splits
from metalff.data.extxyz import read_extxyz, write_extxyz
from metalff.data.frame import Dataset, Frame, hold_out
from metalff.data.layout import read_folder
from metalff.data.mlearn import read_mlearn
from metalff.data.selection import divide, join, select
from metalff.errors import MetalffError, nearest

__all__ = [
    "Dataset",
    "Frame",
    "hold_out",
    "join",
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
    """Read a bundled set or a file, or a part of it.

    Args:
        spec: ``zuo2020-Cu``, ``zuo2020-Cu:test``, the name of an imported set (``metalff data import``; ``TM23:test``), a path ending in ``.xyz``, ``.extxyz`` or
            ``.json``, with or without .gz, or a folder in the layout of Metal-43 or TM23; any of them with a selection in brackets, such as
            ``[temperature=300|1000,group=aimd]`` or ``[frames=0:100]``.

    Raises:
        MetalffError: neither a set nor a file, an unknown ending, a bad file, or a selection that cannot be read or leaves nothing.
    """
    whole, wanted = (str(spec), {}) if Path(spec).exists() else divide(str(spec))
    name, _, split = whole.partition(":")
    if name in store.names():
        wanted |= {"split": (split,)} if split else {}
        # only the files that are asked for are opened; a range of frames counts in the whole set
        found = store.load(name, **({} if "frames" in wanted else wanted))
        found = found if len(found) else store.load(name)
    else:
        found = _read(whole)
    return select(found, **wanted) if wanted else found


def _read(spec: str) -> Dataset:
    name, _, split = spec.partition(":")
    if name in names():
        return load(name, split or None)
    path = Path(spec)
    if not path.exists():
        imported = store.names()
        raise MetalffError(
            f"{spec} is neither a file nor a bundled set{nearest(name, [*names(), *imported])}; sets: {', '.join(names())}"
            + (f"; imported: {', '.join(imported)}" if imported else "")
        )
    if path.is_dir():
        return read_folder(path)
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending == ".zip":
        raise MetalffError(f"{spec} is an archive; import it once: metalff data import {spec}")
    if ending not in READERS:
        known = ", ".join(READERS)
        raise MetalffError(f"{spec}: unknown ending {ending or '(none)'}; metalff reads {known}, with or without .gz")
    return READERS[ending](path)
