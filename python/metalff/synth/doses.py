"""Frames labelled by tight binding at many fillings and temperatures at once: a folder for each, and one diagonalisation per k-point for all."""

import multiprocessing
import time
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from metalff.data import layout
from metalff.errors import MetalffError
from metalff.pool import side_by_side
from metalff.potentials import resolve, usable
from metalff.progress import Bar
from metalff.synth import tight_binding
from metalff.synth.relabel import HASH, begun, check_finite, hash_of_file, structures_hash
from metalff.synth.synth import Settings, synthesise
from metalff.synth.tight_binding import Knobs, check_structure, k_mesh, ordered

MOVERS = ("eam", "meam")
"""Kinds of the potentials whose molecular dynamics make frames where nothing is said, the first that passes its checks."""


def is_tight_binding(name: str) -> bool:
    return name.partition("[")[0].endswith("/tb")


def expanded(names: list[str], fillings=(), temperatures=()) -> list[str]:
    """Each name once per filling and electronic temperature (eV).

    Raises:
        MetalffError: no tight binding, a knob given twice, or one out of range.
    """
    found = []
    for name in names:
        if not is_tight_binding(name):
            raise MetalffError(f"--filling and --kT are knobs of tight binding, such as Nb/tb; {name} has none")
        base, bracket, rest = name.partition("[")
        given = rest.removesuffix("]").split(",") if bracket else []
        for option, values, key in (("--filling", fillings, "filling="), ("--kT", temperatures, "kT=")):
            if values and any(word.startswith(key) for word in given):
                raise MetalffError(f"{name}: {key.removesuffix('=')} is in the name and in {option}; give it once")
        for filling in fillings or (None,):
            for kT in temperatures or (None,):
                more = [f"{key}={value:.10g}" for key, value in (("filling", filling), ("kT", kT)) if value is not None]
                words = ",".join(more + given)
                found.append(f"{base}[{words}]" if words else base)
    for name in found:
        Knobs.of(name)
    return list(dict.fromkeys(map(ordered, found)))


def mover(symbol: str, name: str | None = None) -> str:
    """The potential whose molecular dynamics make a metal's frames.

    Raises:
        MetalffError: there is none, or the one given is not for that metal or not in LAMMPS.
    """
    if name is not None:
        resolve(name, [symbol]).lammps_commands()
        return name
    for kind in MOVERS:
        if f"{symbol}/{kind}" in usable():
            return f"{symbol}/{kind}"
    raise MetalffError(f"{symbol} has no EAM or MEAM that passes its checks and could make frames; give --md POTENTIAL or --structures FOLDER")


def folder_of(name: str, out: Path) -> Path:
    """Folder of a dose, such as ``OUT/Nb-tb-filling4-kT0.1``; one whatever the order of the knobs."""
    name = ordered(name) if is_tight_binding(name) else name
    return Path(out) / name.translate(str.maketrans({"/": "-", "[": "-", ",": "-", "]": None, "=": None}))


def label(source: Path, names: list[str], out: Path, progress=lambda file, done, frames: None, go_on=lambda: True) -> bool:
    """Label a folder in the layout of Metal-43 at several doses; files that a dose has already are kept.

    Args:
        source: the folder.
        names: of one metal with one density of the mesh, such as ``Nb/tb[filling=4,kT=0.1]``.
        out: gets ``folder_of`` each.
        progress: called with (file name, frames done, frames of the file).
        go_on: False ends it before the next file.
    Returns:
        whether all files are labelled.
    Raises:
        MetalffError: a folder holds other data or labels of other structures, or a frame cannot be labelled.
    """
    names = list(dict.fromkeys(map(ordered, names)))
    knobs = {name: Knobs.of(name) for name in names}
    symbol, k = {(one.symbol, one.k) for one in knobs.values()}.pop()
    band = tight_binding.model(symbol)
    hash_of = cache(hash_of_file)
    contents = {name: begun(Path(source), resolve(name), folder_of(name, out), hash_of) | {"tight_binding": knobs[name].record} for name in names}
    for path in layout.files(Path(source)):
        todo = [name for name in names if path.name not in contents[name]["files"] or not (folder_of(name, out) / path.name).exists()]
        if todo and not go_on():
            return False
        dataset = layout.read_file(path)
        frames, meshes = {name: [] for name in todo}, set()
        for done, frame in enumerate(dataset if todo else (), 1):
            atoms = frame.to_atoms()
            try:
                check_structure(atoms)
                mesh = k_mesh(atoms, k)
                meshes.add(mesh)
                labels = band.labels(atoms, [knobs[name].dose for name in todo], mesh)
                for found in labels:
                    check_finite(found.energy, found.forces, found.stress)
            except MetalffError as error:
                raise MetalffError(f"frame {frame.index} of {frame.source}: {error}") from None
            for name, found in zip(todo, labels, strict=True):
                frames[name].append(replace(frame, energy=found.energy, forces=np.array(found.forces), stress=found.stress))
            progress(path.name, done, len(dataset))
        progress(path.name, len(dataset), len(dataset))
        said = layout.manifest(Path(source)).get("files", {}).get(path.name, {})
        digest = structures_hash(dataset) if todo else ""
        for name in todo:
            layout.write_file(frames[name], folder_of(name, out) / path.name)
            contents[name]["files"][path.name] = said | {"frames": len(dataset), HASH: digest, "meshes": sorted(map(list, meshes))}
            layout.write_manifest(folder_of(name, out), contents[name])
    return True


def run(names: list[str], out: Path, settings: Settings, lattice: str | None, jobs: int, md: str | None = None, structures: Path | None = None):
    """Make frames of each metal with a potential, or take given ones, and label them at all doses; metals run side by side.

    Args:
        names: doses, as ``expanded`` gives them.
        md: potential that makes the frames; None for ``mover``.
        structures: a folder in the layout of Metal-43, instead of molecular dynamics.
    Returns:
        the folders, and what failed, in sentences.
    Raises:
        MetalffError: no potential for the frames, or no files in the folder.
    """
    groups = {}
    for name in names:
        groups.setdefault((Knobs.of(name).symbol, Knobs.of(name).k), []).append(name)
    if structures is not None:
        if not Path(structures).is_dir() or not layout.files(Path(structures)):
            raise MetalffError(f"--structures {structures} is no folder with files named {layout.EXAMPLE}")
        sources = dict.fromkeys((symbol for symbol, _ in groups), Path(structures))
        total = sum(len(layout.read_file(path)) for path in layout.files(Path(structures))) * len(groups)
    else:
        sources = {symbol: mover(symbol, md) for symbol, _ in groups}
        total = sum(2 * settings.frames * len(settings.of(symbol)) for symbol, _ in groups)
    failed, start = [], time.monotonic()
    with multiprocessing.get_context("spawn").Manager() as manager, Bar() as bar:
        state = manager.dict()

        def tick(running):
            done = sum(dict(state).values())
            bar.update(", ".join(running), done, total, (time.monotonic() - start) / done * (total - done) if done else None)

        tasks = {
            f"{symbol}/tb, {len(group)} doses, k = {k:g} Å": (sources[symbol], symbol, group, Path(out), settings, lattice, state)
            for (symbol, k), group in groups.items()
        }
        for title, _, error in side_by_side(_one, tasks, jobs, tick):
            if error:
                failed.append(f"{title}: {error}")
                continue
            bar.line(f"{title}: done")
        tick([])
    return [folder_of(name, out) for name in names], failed


def _one(source, symbol: str, names: list[str], out: Path, settings: Settings, lattice: str | None, state) -> None:
    warnings.simplefilter("ignore")  # said by the parent already

    def progress(part):
        def told(file, done, frames):
            state[f"{part} {names[0]} {file}"] = done

        return told

    if not isinstance(source, Path):
        folder = folder_of(source, out)
        synthesise(symbol, source, folder, settings, lattice, progress("frames"))
        source = folder
    label(source, names, out, progress("labels"))
