"""Names and folders of published sets of metals: Metal-43 and TM23.

Metal-43: ``<El>_<lattice>_<T>.extxyz``, one trajectory per file, and, where we write it, ``manifest.json``. TM23 (Owen et al., npj Comput. Mater. 10,
92 (2024)): ``<El>_{cold,warm,melt}_nequip_{train,test}.xyz`` at 0.25, 0.75 and 1.25 of the melting temperature, and ``<El>_2700cwm_{train,test}.xyz``
with frames of all three.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.extxyz import each_of_extxyz, each_of_lines
from metalff.data.frame import Dataset, Frame
from metalff.data.labels import NO_KEYS, Keys
from metalff.data.metals import metals
from metalff.data.text import text_lines
from metalff.errors import MetalffError
from metalff.paths import atomic_write

ENDING = r"\.(?:ext)?xyz(?:\.gz)?"
METAL43 = re.compile(rf"(?P<element>[A-Z][a-z]?)_(?P<lattice>[A-Za-z0-9-]+)_(?P<temperature>\d+(?:\.\d+)?){ENDING}")
TM23 = re.compile(rf"(?P<element>[A-Z][a-z]?)_(?:(?P<kind>cold|warm|melt)(?:_nequip)?|2700cwm)_(?P<split>train|test){ENDING}")
TM23_TEMPERATURES = {"cold": 0.25, "warm": 0.75, "melt": 1.25}
"""In units of the melting temperature."""

EXAMPLE = "<El>_<lattice>_<T>.extxyz, such as Al_fcc_300.extxyz (Metal-43), or <El>_cold_nequip_train.xyz (TM23)"

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Name:
    """What the name of a file says.

    Attributes:
        element: symbol.
        lattice: as the name has it, such as fcc or p6-mmm; '' in TM23.
        temperature: K; None where frames of several temperatures are in the file. In TM23 the nominal one, by the experimental melting temperature.
        group: ``cold``, ``warm``, ``melt`` or ``cwm`` in TM23; '' else.
        split: ``train`` or ``test`` in TM23; '' else.
    """

    element: str
    lattice: str = ""
    temperature: float | None = None
    group: str = ""
    split: str = ""

    @property
    def order(self) -> tuple:
        """By element, temperature (files of several last), lattice and split."""
        return (self.element, self.temperature is None, self.temperature or 0.0, self.lattice, self.group, self.split)


def file_name(element: str, lattice: str, temperature: float) -> str:
    return f"{element}_{lattice}_{temperature:.0f}.extxyz"


def parse(name: str) -> Name | None:
    """What a file's name says; None when it is not in a layout that is known."""
    if (found := METAL43.fullmatch(name)) and found["element"] in atomic_numbers:
        return Name(found["element"], found["lattice"], float(found["temperature"]))
    if (found := TM23.fullmatch(name)) and found["element"] in metals():
        temperature = found["kind"] and round(TM23_TEMPERATURES[found["kind"]] * metals()[found["element"]].melting_temperature)
        return Name(found["element"], "", temperature and float(temperature), found["kind"] or "cwm", found["split"])
    return None


def files(folder: Path) -> list[Path]:
    """The files in a layout, by element and temperature.

    Raises:
        MetalffError: the folder cannot be read.
    """
    try:
        named = [(parse(path.name), path) for path in Path(folder).iterdir() if path.is_file()]
    except OSError as error:
        raise MetalffError(f"{folder}: cannot be read: {error.strerror}") from None
    return [path for _, path in sorted(((name.order, path) for name, path in named if name), key=lambda item: (item[0], item[1].name))]


def manifest(folder: Path) -> dict:
    """Content of ``manifest.json``; empty without one.

    Raises:
        MetalffError: it is damaged, or no manifest of data.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise MetalffError(f"{path} is damaged; remove it, or make the data again") from None
    entries = content.get("files", {}) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise MetalffError(f"{path} is no manifest of data: it must be a mapping whose files are mappings; remove it, or make the data again")
    return content


def write_manifest(folder: Path, content: dict) -> None:
    with atomic_write(Path(folder) / MANIFEST) as stream:
        json.dump(content, stream, indent=1)


def named(frames, name: Name, source: str, phase: str = ""):
    """Frames of a file with what its name says: temperature (never recomputed), ``group`` that of the name, else the phase, else the lattice.

    Args:
        source: of the frames, without the split.
        phase: '' where it is unknown.
    """
    group, source = name.group or phase or name.lattice, f"{source}:{name.split}" if name.split else source
    return [replace(f, temperature=name.temperature, group=group, source=source) for f in frames]


def check_element(elements: list[str], name: Name, where) -> None:
    """Raises: MetalffError: another element than the name says."""
    if elements != [name.element]:
        raise MetalffError(f"{where}: the name says {name.element}, but the frames contain {' '.join(elements)}")


def read_file(path: Path, phase: str = "", keys: Keys = NO_KEYS) -> Dataset:
    """One file, its frames as ``named``.

    Raises:
        MetalffError: as ``read_extxyz``, or another element than the name says.
    """
    path, notes = Path(path), []
    frames = tuple(each_of_file(text_lines(path), str(path), path.name, path.parent.name, phase, keys, notes))
    return Dataset(path.name, frames, notes=tuple(notes))


def each_of_file(lines, where: str, file: str, folder: str, phase: str, keys: Keys, notes: list[str]) -> Iterator[Frame]:
    """Frames of the text of one file, as ``named``.

    Args:
        where: file with its folder or archive, for messages; ``folder``: name of that, for the sources of the frames.
        notes: where those of the file are added.
    Raises:
        MetalffError: as ``read_file``; another element is found out at the end.
    """
    name, elements = parse(file), {}
    for frame in each_of_lines(lines, where, file, keys, notes):
        elements.setdefault(frame.numbers.tobytes(), frame)
        yield from named([frame], name, f"{folder}/{file}", phase)
    check_element(Dataset(file, tuple(elements.values())).elements, name, where)


def read_folder(folder, keys: Keys = NO_KEYS) -> Dataset:
    """All files of a folder in a layout as one set; ``group`` is the phase by the manifest, where it says one.

    Raises:
        MetalffError: no file in a layout, or a bad one.
    """
    notes: list[str] = []
    said, frames = manifest(folder), tuple(each_of_folder(folder, keys, notes))
    return Dataset(Path(folder).name, frames, said.get("citation", ""), said.get("licence", ""), tuple(notes))


def files_of(folder) -> tuple[list[Path], list[Path]]:
    """Files in a layout, and those that the manifest alone knows: of several elements, or of no known temperature.

    Raises:
        MetalffError: there are none.
    """
    folder = Path(folder)
    found = files(folder)
    entries = manifest(folder).get("files", {})
    others = [folder / name for name in entries if not parse(name) and Path(name).name == name and (folder / name).is_file()]
    if not found and not others:
        raise MetalffError(f"{folder} holds no file named {EXAMPLE}")
    return found, others


def each_of_folder(folder, keys: Keys, notes: list[str]) -> Iterator[Frame]:
    """What ``read_folder`` reads, frame by frame; notes of each file are added to ``notes``."""
    folder = Path(folder)
    found, others = files_of(folder)
    phases = {name: entry.get("phase", "") for name, entry in manifest(folder).get("files", {}).items()}
    texts = [(path.name, str(path), folder.name, lambda path=path: text_lines(path)) for path in found]
    yield from each_of_files(texts, keys, notes, phases)
    for path in others:
        for frame in each_of_extxyz(path, keys, notes):
            yield replace(frame, source=f"{folder.name}/{path.name}")


def each_of_files(texts, keys: Keys, notes: list[str], phases: dict[str, str]) -> Iterator[Frame]:
    """Frames of files in a layout, each once: those of TM23's files of all temperatures that are in another one, too, are left out.

    Args:
        texts: (name, name with its folder or archive, name of that, function that gives the lines) of each, in the order of ``Name.order``: a file of
            all temperatures comes after the others of its metal.
        phases: by name.
    """
    names = {file: parse(file) for file, *_ in texts}
    mixed = {name.element for name in names.values() if name.temperature is None}
    known: set[str] = set()
    for file, where, folder, lines in texts:
        name = names[file]
        for frame in each_of_file(lines(), where, file, folder, phases.get(file, ""), keys, notes):
            if name.element in mixed:
                if name.temperature is not None:
                    known.add(fingerprint(frame))
                elif fingerprint(frame) in known:
                    continue
            yield frame


def fingerprint(frame) -> str:
    """Of structure and energy, to find frames that two files share."""
    return hashlib.sha256(np.ascontiguousarray(frame.positions).tobytes() + np.float64(frame.energy).tobytes()).hexdigest()[:16]


def twins(files, frames_of) -> dict[str, set[int]]:
    """Frames of TM23's files of all temperatures that are in the files of one temperature too, by file; the latter say more, so they stay.

    Args:
        files: their names.
        frames_of: gives the frames of one; called only for metals with a file of all temperatures.
    """
    names = {file: parse(file) for file in files}
    found = {}
    for element in {name.element for name in names.values() if name.temperature is None}:
        own = [file for file, name in names.items() if name.element == element]
        known = {fingerprint(frame) for file in own if names[file].temperature is not None for frame in frames_of(file)}
        for file in own:
            twice = {k for k, frame in enumerate(frames_of(file)) if fingerprint(frame) in known} if names[file].temperature is None else ()
            if twice:
                found[file] = twice
    return found


def write_file(frames, path, more=None) -> None:
    """Write frames with the keys of Metal-43; atomic. Positions and forces have eight decimals, energies twelve.

    Args:
        more: ``key=value`` for the header of each frame; nothing when None.
    """
    with atomic_write(path) as stream:
        for frame, word in zip(frames, more or [""] * len(frames), strict=True):
            words = [f'Lattice="{_numbers(frame.cell)}"', "Properties=species:S:1:pos:R:3:forces:R:3"]
            words += [f"energy={frame.energy:.12f}", f"free_energy={frame.energy:.12f}"]
            words += [f'stress="{_numbers(frame.stress)}"'] if frame.stress is not None else []
            words += [f'pbc="{" ".join("FT"[int(flag)] for flag in frame.pbc)}"', *filter(None, [word])]
            lines = [f"{len(frame)}", " ".join(words)]
            columns = np.hstack([frame.positions, frame.forces]).tolist()
            symbols = [chemical_symbols[z] for z in frame.numbers]
            lines += [f"{symbol} {a:.8f} {b:.8f} {c:.8f} {d:.8f} {e:.8f} {f:.8f}" for symbol, (a, b, c, d, e, f) in zip(symbols, columns)]
            stream.write("\n".join(lines) + "\n")


def _numbers(array) -> str:
    return " ".join(f"{value:.12g}" for value in np.ravel(array))
