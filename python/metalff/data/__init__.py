"""Reference data: one in-memory type, readers, bundled DFT sets."""

import warnings
from pathlib import Path

from metalff.data.bundled import load, names, splits
from metalff.data.extxyz import read_extxyz, write_extxyz
from metalff.data.formats import reader_of
from metalff.data.frame import Dataset, Frame, hold_out
from metalff.data.labels import NO_KEYS, Keys
from metalff.data.mlearn import read_mlearn
from metalff.data.selection import join, named, whole_of
from metalff.data.streams import Stream, stream
from metalff.errors import MetalffError

__all__ = [
    "NO_KEYS",
    "Dataset",
    "Frame",
    "Keys",
    "MetalffError",
    "Stream",
    "hold_out",
    "join",
    "load",
    "names",
    "read",
    "read_extxyz",
    "read_mlearn",
    "splits",
    "stream",
    "write_extxyz",
]


def read(spec, keys: Keys = NO_KEYS) -> Dataset:
    """Read a bundled set, a file or a folder, or a part of it; what was left out of a file is warned of, once.

    Args:
        spec: ``zuo2020-Cu``, ``zuo2020-Cu:test``, the name of an imported set (``metalff data import``; ``TM23:test``), a file or folder in a format that
            ``formats`` knows; any of them with words in brackets: a selection such as ``[temperature=300|1000,group=aimd]`` or ``[frames=0:100]``, and
            how a file is read: ``[energy_key=dft_energy]``, ``[stress_factor=-1]``, ``[elements=Cu|Zr]``.
        keys: that the user names, for every file.

    Raises:
        MetalffError: neither a set nor a file, no format that is known, a bad file, or a selection that cannot be read or leaves nothing.
    """
    path = Path(whole_of(named(spec)))
    if path.suffix == ".zip" and path.is_file():
        reader_of(path)  # refuses it
    found = stream(spec, keys)
    found = found if isinstance(found, Dataset) else found.dataset()
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    return found
