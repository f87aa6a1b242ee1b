"""Synthetic data of several metals side by side, one process each."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path

from metalff.benchmark.progress import Bar
from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.synth.synth import Settings, synthesise


def element_of(name: str) -> str:
    """The metal of a potential's name, ``Cu`` of ``Cu/eam``.

    Raises:
        MetalffError: the name does not begin with a metal.
    """
    symbol = name.partition("/")[0]
    if "/" not in name or symbol not in metals():
        raise MetalffError(f"{name}: give a metal and a potential such as Cu/eam; metals: {' '.join(metals())}")
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
    failed, start, total = [], time.monotonic(), 0
    with multiprocessing.get_context("spawn").Manager() as manager, Bar() as bar:
        state = manager.dict()
        pool = ProcessPoolExecutor(min(jobs, len(names)), mp_context=multiprocessing.get_context("spawn"))
        try:
            running = {pool.submit(_one, name, out, settings, lattice, state): name for name in names}
            total = sum(len(settings.of(element_of(name))) for name in names) * settings.frames
            waiting = set(running)
            while waiting:
                finished, waiting = wait(waiting, timeout=1.0)
                done = sum(dict(state).values())
                left = (time.monotonic() - start) / done * (total - done) if done else None
                bar.update(f"{len(running) - len(waiting)} of {len(running)} potentials", done, total, left)
                for future in finished:
                    try:
                        content = future.result()
                    except MetalffError as error:
                        failed.append(f"{running[future]}: {error}")
                        continue
                    for file, found in content["files"].items():
                        state_of = found.get("blown_up") and f"blown up: {found['blown_up']}" or found.get("phase", "")
                        spacing = f", {1e3 * found['spacing_ps']:.0f} fs apart" if "spacing_ps" in found else ""
                        bar.line(f"{folder_of(running[future], out) / file}: {found['frames']} frames{spacing}, {state_of}")
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return failed


def _one(name: str, out: Path, settings: Settings, lattice: str | None, state) -> dict:
    def progress(file, done, frames):
        state[f"{name} {file}"] = done

    return synthesise(element_of(name), name, folder_of(name, out), settings, lattice, progress)
