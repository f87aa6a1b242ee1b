"""Synthetic data of several metals side by side, one process each."""

import multiprocessing
import time
import warnings
from pathlib import Path

from metalff.data.metals import metals
from metalff.errors import MetalffError, nearest
from metalff.pool import side_by_side
from metalff.potentials import resolve
from metalff.progress import Bar
from metalff.synth.synth import Settings, synthesise


def element_of(name: str) -> str:
    """The metal of a potential's name, ``Cu`` of ``Cu/eam``.

    Raises:
        MetalffError: the name does not begin with a metal.
    """
    symbol = name.partition("/")[0]
    if "/" not in name or symbol not in metals():
        hint = nearest(symbol, metals())
        raise MetalffError(f"{name}: give a metal and a potential such as Cu/eam{hint}; metals: {' '.join(metals())}")
    return symbol


def folder_of(name: str, out: Path) -> Path:
    return Path(out) / name.replace("/", "-").replace("[", "-").replace("]", "").replace("=", "")


def run(names: list[str], out: Path, settings: Settings, lattice: str | None, jobs: int) -> list[str]:
    """Make the data of all; one that fails is named, and the others go on.

    Returns:
        what failed, in sentences.
    Raises:
        MetalffError: an unknown potential.
    """
    for name in names:
        resolve(name, [element_of(name)])
    failed, start = [], time.monotonic()
    total = sum(len(settings.of(element_of(name))) for name in names) * settings.frames
    with multiprocessing.get_context("spawn").Manager() as manager, Bar() as bar:
        state = manager.dict()

        def tick(running):
            done = sum(dict(state).values())
            bar.update(", ".join(running), done, total, (time.monotonic() - start) / done * (total - done) if done else None)

        tasks = {name: (name, out, settings, lattice, state) for name in names}
        for name, content, error in side_by_side(_one, tasks, jobs, tick):
            if error:
                failed.append(f"{name}: {error}")
                continue
            for file, found in content["files"].items():
                spacing = f", {1e3 * found['spacing_ps']:.0f} fs apart" if "spacing_ps" in found else ""
                ended = f"blown up: {found['blown_up']}" if "blown_up" in found else found["phase"]
                bar.line(f"{folder_of(name, out) / file}: {found['frames']} frames{spacing}, {ended}")
        tick([])
    return failed


def _one(name: str, out: Path, settings: Settings, lattice: str | None, state) -> dict:
    warnings.simplefilter("ignore")  # said by the parent already

    def progress(file, done, frames):
        state[f"{name} {file}"] = done

    return synthesise(element_of(name), name, folder_of(name, out), settings, lattice, progress)
