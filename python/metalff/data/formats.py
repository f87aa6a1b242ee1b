"""Which reader a file or folder goes to, and the formats that are written."""

import re
from dataclasses import replace
from pathlib import Path

from metalff.data import deepmd, layout, mtp, others
from metalff.data.extxyz import read_extxyz, write_extxyz, write_gpumd
from metalff.data.fitsnap import is_fitsnap, read_fitsnap
from metalff.data.frame import Dataset
from metalff.data.labels import NO_KEYS, Keys, with_factor, without_named
from metalff.data.mlearn import read_mlearn
from metalff.errors import MetalffError

KNOWN = (
    "extxyz (.xyz, .extxyz), JSON of mlearn, maml and FitSNAP, .cfg of MLIP, folders of deepmd-kit, FitSNAP, Metal-43 and TM23, "
    "vasprun.xml, OUTCAR, output of Quantum ESPRESSO, CASTEP, FHI-aims, GPAW and ABINIT, .traj and .db of ASE, and, with dpdata, MOVEMENT of PWmat and CP2K's output of one structure"
)


def read_path(path, keys: Keys = NO_KEYS, elements: tuple[str, ...] = ()) -> Dataset:
    """Read a file or folder in any format that is known, by name and content.

    Args:
        keys: that the user names.
        elements: of types that a format numbers.
    Raises:
        MetalffError: no format that is known, or as its reader.
    """
    path = Path(path)
    reader = reader_of(path)
    if reader is mtp.read_cfg:
        return reader(path, elements, keys)
    without_elements(elements, path)
    return reader(path, keys)


def reader_of(path: Path):
    """The function that reads a file or folder.

    Raises:
        MetalffError: no format that is known.
    """
    return _of_folder(path) if path.is_dir() else _of_file(path)


def without_elements(elements: tuple[str, ...], path) -> None:
    """Refuse elements of types for a format that names its elements.

    Raises:
        MetalffError: some are named.
    """
    if elements:
        raise MetalffError(f"{path}: elements=… is for .cfg of MLIP, whose types are numbers; this format names its elements")


def _mlearn(path: Path, keys: Keys) -> Dataset:
    without_named(keys, path)
    dataset = read_mlearn(path)
    return replace(dataset, frames=tuple(replace(frame, stress=with_factor(frame.stress, keys)) for frame in dataset))


def _of_folder(path: Path):
    if layout.files(path) or (path / layout.MANIFEST).exists():
        return layout.read_folder
    if deepmd.systems(path):
        return deepmd.read_deepmd
    if any(path.rglob("*.json")):
        return read_fitsnap
    raise MetalffError(
        f"{path} holds no file named {layout.EXAMPLE}, no system of deepmd-kit (type.raw) and no .json of FitSNAP; give a file inside it"
    )


def _of_file(path: Path):
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending in (".xyz", ".extxyz"):
        return read_extxyz
    if ending == ".zip":
        raise MetalffError(f"{path} is an archive; import it once: metalff data import {path}")
    head = others.head(path)
    if ending == ".json":
        if is_fitsnap(head):
            return read_fitsnap
        # a database of ASE is an object with numbered rows; mlearn and maml have a list
        return _ase("json") if re.match(r'\s*\{\s*"(\d+|ids|nextid)"\s*:', head) else _mlearn
    if "BEGIN_CFG" in head:
        return mtp.read_cfg
    if found := others.dpdata_format(path):  # first: ASE takes CP2K's for that of another program
        return lambda file, keys: others.read_dpdata(file, found, keys)
    if found := others.ase_format(path):
        return _ase(found)
    if "Properties=" in head or "Lattice=" in head:
        return read_extxyz
    raise MetalffError(f"{path}: no format that is known{f' has the ending {ending}' if ending else ''}; metalff reads {KNOWN}")


def _ase(format: str):
    return lambda file, keys: others.read_ase(file, format, keys)


WRITERS = {"extxyz": write_extxyz, "gpumd": write_gpumd, "deepmd": deepmd.write_deepmd, "mtp": mtp.write_cfg}
"""Formats that ``metalff data convert`` writes, each with a function of frames and path."""


def lost(frames, format: str) -> list[str]:
    """What a format cannot say of these frames, in sentences."""
    found = []
    if format == "deepmd":
        for what, has in (
            ("weights", lambda f: f.weight != 1.0),
            ("temperatures", lambda f: f.temperature is not None),
            ("groups, also that of free atoms", lambda f: f.group),
        ):
            if count := sum(map(bool, map(has, frames))):
                found.append(f"{what} of {count} frames are left out: folders of deepmd-kit have no place for them")
    if format == "mtp" and (count := sum(f.stress is not None and not f.pbc.all() for f in frames)):
        found.append(f"the stress of {count} frames that are not periodic in all directions is left out: .cfg has only periodic cell vectors")
    return found


def format_of(path: Path) -> str | None:
    """The format of a name to be written; None where it says none."""
    if path.name == "train.xyz" or path.name == "test.xyz":
        return "gpumd"
    return {".xyz": "extxyz", ".extxyz": "extxyz", ".cfg": "mtp", "": "deepmd"}.get(path.suffix)
