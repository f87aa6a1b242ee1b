"""Imported sets: each file of a published set checked and kept as HDF5 in the data folder, so that a part of it opens at once.

``<data folder>/data/<set>/<file>.h5`` and ``index.json``, which says what is in each: nothing else is read to find the files of an element.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from metalff.data import layout
from metalff.data.archive import Member, md5, members
from metalff.data.extxyz import frames_of
from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys, Labels
from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.paths import atomic_hdf5, atomic_write, data_dir, lock, make_folder

SCHEMA = 1
"""Number of the layout of ``index.json`` and of the HDF5 files."""

INDEX = "index.json"

PHASE_FRAMES = 8
"""Frames, evenly spaced, that say whether a trajectory is solid or liquid."""

LARGE = 200.0
"""A force component above this (eV/Å) is said."""

AT_ONCE = 200_000
"""Atoms of a file that are in memory at a time."""

PUBLISHED = {
    "a151f12d190537d918f5621741bc8a0a": ("Metal-43", "Geng et al., npj Comput. Mater. 12, 102 (2026), doi 10.24435/materialscloud:hm-6z"),
}
"""md5 of archives as published: name and citation."""


def home() -> Path:
    return data_dir() / "data"


def names() -> list[str]:
    """Of the imported sets."""
    return sorted(path.parent.name for path in home().glob(f"*/{INDEX}"))


def set_name(path: Path) -> str:
    """Name of a set by the name of its archive or folder."""
    stem = re.sub(r"(?i)[-_. ]?(dataset)?(\.zip)?$", "", Path(path).resolve().name)
    return re.sub(r"[^A-Za-z0-9._+-]", "-", stem) or "set"


def index(name: str) -> dict:
    """``index.json`` of an imported set: ``source``, ``citation``, ``licence``, ``complete``, ``files``.

    Raises:
        MetalffError: damaged, or of another version.
    """
    path = home() / name / INDEX
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["schema"] == SCHEMA and isinstance(found["files"], dict):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise MetalffError(f"{path} is damaged or of another version; remove {path.parent} and import the set again")


@contextmanager
def claimed(folder: Path):
    """Hold the folder of a set for one process.

    Raises:
        MetalffError: another one holds it.
    """
    make_folder(folder)
    with open(folder / ".lock", "w") as stream:
        try:
            lock(stream.fileno(), folder)
        except BlockingIOError:
            raise MetalffError(f"another import is at work in {folder}; wait until it has ended, or give another --name") from None
        yield


class Import:
    """One import, resumable: files that are there already are kept.

    Args:
        path: folder or zip archive.
        name: of the set; by that of ``path`` when None.
        skip_bad: leave damaged frames out, and say so, instead of refusing them.
        keys: that the user names.
    Raises:
        MetalffError: as ``members``, a bad name, or the name is taken by a set of another source, or read with other keys.
    """

    def __init__(self, path, name: str | None = None, skip_bad: bool = False, keys: Keys = NO_KEYS):
        from metalff.data.bundled import names as bundled

        self.path, self.skip_bad, self.keys = Path(path), skip_bad, keys
        self.members = members(self.path, skip_bad)
        published, citation = PUBLISHED.get(md5(self.path) if self.path.is_file() else "", ("", ""))
        self.name = name or published or set_name(self.path)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", self.name) or self.name in bundled():
            raise MetalffError(f"--name {self.name}: choose another, of letters, digits and . _ + -, that no bundled set has")
        self.folder = home() / self.name
        said = layout.manifest(self.path) if self.path.is_dir() else {}
        self.phases = {file: entry["phase"] for file, entry in said.get("files", {}).items() if "phase" in entry}
        self.content = {"schema": SCHEMA, "source": str(self.path.resolve()), "citation": citation or said.get("citation", "")}
        self.content |= {"licence": said.get("licence", ""), "complete": False, "keys": asdict(keys), "files": {}}

    @contextmanager
    def claim(self):
        """Hold the set for this import alone, and take up what an earlier one left.

        Raises:
            MetalffError: another import is at work on the name, or the name is taken by a set of another source, or read with other keys.
        """
        with claimed(self.folder):
            self._take_up()
            yield

    def _take_up(self) -> None:
        if (self.folder / INDEX).exists():
            before = index(self.name)
            if before["source"] != self.content["source"]:
                raise MetalffError(f"a set named {self.name} was imported from {before['source']}; give another --name, or remove {self.folder}")
            if before.get("keys", asdict(NO_KEYS)) != self.content["keys"]:
                raise MetalffError(
                    f"{self.name} was imported with other keys; give another --name, or remove it first: metalff data remove {self.name}"
                )
            self.content["files"] = before["files"]

    def tasks(self) -> dict[str, tuple]:
        """Arguments of ``import_file`` for each file that is not there yet, by file name; within ``claim``."""
        wanted = {}
        known = {member.file for member in self.members}
        self.content["files"] = {file: found for file, found in self.content["files"].items() if file in known}
        for member in self.members:
            found = self.content["files"].get(member.file, {})
            whole = found.get("stamp") == member.stamp and (self.skip_bad or not found.get("bad"))
            if not (whole and (self.file(member.file).exists() or not found["frames"])):
                wanted[member.file] = (member, self.file(member.file), self.phases.get(member.file), self.skip_bad, self.keys)
        return wanted

    def file(self, name: str) -> Path:
        return self.folder / (re.sub(layout.ENDING + "$", "", name) + ".h5")

    def add(self, file: str, found: dict) -> None:
        """Keep what ``import_file`` gave; the set is not complete before ``finish``."""
        self.content["files"][file] = found
        self._write(complete=False)

    def finish(self) -> None:
        """The set is complete if no file is missing; frames that two files of TM23 share count once."""
        files = self.content["files"]
        for found in files.values():
            found.pop("twice", None)
        whole = [file for file, found in files.items() if found["frames"]]
        for file, twice in layout.twins(whole, lambda file: read_frames(self.folder / files[file]["h5"], "", None, "")).items():
            files[file]["twice"] = sorted(twice)
        self._write(complete=len(files) == len(self.members))

    def _write(self, complete: bool) -> None:
        files = self.content["files"]
        ordered = {member.file: files[member.file] for member in self.members if member.file in files}
        self.content |= {"files": ordered, "complete": complete}
        with atomic_write(self.folder / INDEX) as stream:
            json.dump(self.content, stream, indent=1)


def import_file(member: Member, out: Path, phase: str | None, skip_bad: bool, keys: Keys = NO_KEYS) -> dict:
    """Read, check and keep one file.

    Returns:
        its entry in ``index.json``: what the name says, ``phase`` (solid, liquid or '' where it cannot be told), ``frames``, ``atoms`` (of a frame, or
        [least, most]), ``force_rms`` and ``force_max`` (eV/Å), ``energy`` (mean, eV/atom), ``stress`` (whether all have it), ``bad`` and ``notes`` (sentences). Numbers of frames that do not exist are left out.
    Raises:
        MetalffError: a damaged frame, without ``skip_bad``; another element than the name says; an empty file, without ``skip_bad``.
    """
    bad = []
    name, labels = member.name, Labels(member.file, keys)
    frames = list(frames_of(member.lines(), str(member), member.file, (lambda error: bad.append(str(error))) if skip_bad else None, labels))
    found = {"h5": out.name, "stamp": member.stamp, "element": name.element, "lattice": name.lattice, "temperature": name.temperature}
    if not frames:
        if not skip_bad:
            raise MetalffError(f"{member}: the file holds no frames")
        return found | {"group": "", "split": name.split, "phase": "", "frames": 0, "bad": bad or [f"{member}: the file holds no frames"]}
    layout.check_element(sorted({symbol for frame in frames for symbol in frame.elements}), name, member)
    phase = phase_of(frames, name) if phase is None else phase
    counts = sorted({len(frame) for frame in frames})
    forces = np.concatenate([frame.forces for frame in frames])
    found |= {"group": name.group or phase or name.lattice, "split": name.split, "phase": phase, "frames": len(frames)}
    found |= {"atoms": counts[0] if len(counts) == 1 else [counts[0], counts[-1]], "force_rms": float(np.sqrt(np.mean(forces**2)))}
    found |= {"force_max": float(abs(forces).max()), "energy": float(np.mean([frame.energy / len(frame) for frame in frames]))}
    found |= {"stress": all(frame.stress is not None for frame in frames), "bad": bad, "notes": list(labels.notes)}
    write_frames(frames, out)
    return found


def phase_of(frames: list[Frame], name: layout.Name) -> str:
    """``solid`` or ``liquid``, by the structure of some frames; '' where that says nothing, as in a file of several temperatures."""
    from metalff.validate import order

    crystal = name.lattice if name.lattice in order.NEIGHBOURS else metals()[name.element].crystal if name.element in metals() else None
    chosen = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, PHASE_FRAMES).astype(int))]
    if crystal is None or name.temperature is None or any(len(f) < 32 or not f.pbc.all() for f in chosen):
        return ""
    return order.phase([order.solid_fraction(f.positions, f.cell, crystal) for f in chosen])


def write_frames(frames: list[Frame], path: Path) -> None:
    """HDF5 of one file: atoms of all frames one after the other, in the numbers of their frames; atomic."""
    counts = np.array([len(frame) for frame in frames])
    arrays = {
        "atoms": counts.astype("i4"),
        "numbers": np.concatenate([frame.numbers for frame in frames]).astype("u1"),
        "positions": np.concatenate([frame.positions for frame in frames]),
        "forces": np.concatenate([frame.forces for frame in frames]),
        "cell": np.stack([frame.cell for frame in frames]),
        "pbc": np.stack([frame.pbc for frame in frames]),
        "energy": np.array([frame.energy for frame in frames]),
        "stress": np.stack([np.full((3, 3), np.nan) if frame.stress is None else frame.stress for frame in frames]),
        "index": np.array([frame.index for frame in frames], "i4"),
        "weight": np.array([frame.weight for frame in frames]),
    }
    make_folder(path.parent)
    with atomic_hdf5(path) as file:
        file.attrs["schema"] = SCHEMA
        for key, array in arrays.items():
            file.create_dataset(key, data=array, compression="gzip", compression_opts=1, shuffle=True, fletcher32=True)


def read_frames(path: Path, source: str, temperature: float | None, group: str, without=()) -> Iterator[Frame]:
    """Frames of ``write_frames``.

    Raises:
        MetalffError: missing or damaged.
    """
    import h5py

    damaged = MetalffError(f"{path} is missing or damaged; import the set again: metalff data import")
    without = set(without)
    try:
        with h5py.File(path, "r") as file:
            found = {key: file[key][()] for key in ("atoms", "cell", "pbc", "energy", "stress", "index")}
            weight = file["weight"][()] if "weight" in file else np.ones(len(found["atoms"]))
            has_stress = np.isfinite(found["stress"]).all(axis=(1, 2))
            ends = np.cumsum(found["atoms"])
            for first, last in _parts(ends):
                begin = int(ends[first] - found["atoms"][first])
                rows = {key: file[key][begin : ends[last - 1]] for key in ("numbers", "positions", "forces")}
                if len(rows["forces"]) < ends[last - 1] - begin:
                    raise damaged
                for k in range(first, last):
                    own = slice(ends[k] - found["atoms"][k] - begin, ends[k] - begin)
                    if k in without:
                        continue
                    yield Frame(
                        numbers=rows["numbers"][own].astype(int),
                        positions=rows["positions"][own],
                        cell=found["cell"][k],
                        pbc=found["pbc"][k],
                        energy=float(found["energy"][k]),
                        forces=rows["forces"][own],
                        stress=found["stress"][k] if has_stress[k] else None,
                        temperature=temperature,
                        group=group,
                        source=source,
                        index=int(found["index"][k]),
                        weight=float(weight[k]),
                    )
    except (OSError, KeyError):
        raise damaged from None


def _parts(ends) -> Iterator[tuple[int, int]]:
    """Ranges of frames with at most ``AT_ONCE`` atoms together, or one frame, by the numbers [F] of atoms up to their ends."""
    first = 0
    while first < len(ends):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + AT_ONCE, side="right")))
        yield first, last
        first = last


def files(name: str, element=None, group=None, temperature=None, split=None) -> Iterator[tuple[str, dict]]:
    """Files of an imported set with one of these elements, groups, temperatures (K) and splits, and what the index says of them."""
    asked = {"element": element, "group": group, "temperature": temperature, "split": split}
    asked = {key: value if isinstance(value, tuple) else (value,) for key, value in asked.items() if value is not None}
    for file, found in index(name)["files"].items():
        if all(found[key] in values for key, values in asked.items()) and len(found.get("twice", ())) < found["frames"]:
            yield file, found


def stream(name: str, **wanted) -> Iterator[Frame]:
    """Frames of an imported set, file by file; only those of ``files`` are opened."""
    for file, found in files(name, **wanted):
        source = f"{name}/{file}" + (f":{found['split']}" if found["split"] else "")
        yield from read_frames(home() / name / found["h5"], source, found["temperature"], found["group"], found.get("twice", ()))


def complete(name: str) -> dict:
    """``index`` of a set whose import has ended.

    Raises:
        MetalffError: it was interrupted.
    """
    content = index(name)
    if not content["complete"]:
        raise MetalffError(f"the import of {name} is not complete; go on with: metalff data import {content['source']}")
    return content


def load(name: str, **wanted) -> Dataset:
    """An imported set, or the part of it that ``stream`` gives; empty where nothing fits.

    Raises:
        MetalffError: the import was interrupted, or a file is damaged.
    """
    content = complete(name)
    return Dataset(name, tuple(stream(name, **wanted)), content["citation"], content["licence"])


def remove(name: str) -> None:
    """Remove an imported set from the data folder.

    Raises:
        MetalffError: an import of it is at work.
    """
    with claimed(home() / name):
        shutil.rmtree(home() / name)
