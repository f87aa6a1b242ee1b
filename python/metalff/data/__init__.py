"""Reference data: one in-memory type, readers, bundled DFT sets."""

import warnings
from pathlib import Path

from metalff.data import store
from metalff.data.bundled import load, names, splits
from metalff.data.extxyz import read_extxyz, write_extxyz
from metalff.data.formats import read_path
from metalff.data.frame import Dataset, Frame, hold_out
from metalff.data.labels import NO_KEYS, Keys
from metalff.data.mlearn import read_mlearn
from metalff.data.selection import divide, join, reading, select
from metalff.errors import MetalffError, nearest

__all__ = [
    "NO_KEYS",
    "Dataset",
    "Frame",
    "Keys",
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
    whole, wanted = (str(spec), {}) if Path(spec).exists() else divide(str(spec))
    own, elements = reading(wanted, keys)
    name, _, split = whole.partition(":")
    if name in store.names():
        if own != NO_KEYS:
            raise MetalffError(f"{spec}: keys are named when a set is imported: metalff data import --energy-key …")
        wanted |= {"split": (split,)} if split else {}
        # only the files that are asked for are opened; a range of frames counts in the whole set
        found = store.load(name, **({} if "frames" in wanted else wanted))
        found = found if len(found) else store.load(name)
    elif name in names():
        if own != NO_KEYS:
            raise MetalffError(f"{spec}: a bundled set has no keys to name; those of a file can be named in brackets: 'FILE[energy_key=…]'")
        found = load(name, split or None)
    else:
        path = Path(whole)
        if not path.exists():
            imported = store.names()
            raise MetalffError(
                f"{whole} is neither a file nor a bundled set{nearest(name, [*names(), *imported])}; sets: {', '.join(names())}"
                + (f"; imported: {', '.join(imported)}" if imported else "")
            )
        found = read_path(path, own, elements)
        for note in found.notes:
            warnings.warn(note, stacklevel=2)
    return select(found, **wanted) if wanted else found
