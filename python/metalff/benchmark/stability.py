"""How long a model's crystal survives in molecular dynamics: one LAMMPS on ``lammps_inputs/in.stability``, resumable."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.io import write

from metalff.benchmark.crystals import crystal
from metalff.errors import MetalffError
from metalff.lammps import end, environment, is_whole_restart, lmp_executable
from metalff.paths import shared
from metalff.sweep import log
from metalff.sweep.dump import dump_frames
from metalff.sweep.run import FULL
from metalff.validate.stability import CLOSEST, HOTTEST, instability, shortest_distance

ATOMS = 128
"""About so many in the crystal."""

LIGHT = 20.0
"""g/mol: atoms below this move with 1 fs, others with 2 fs."""

CHECK = 5
"""Steps between looks at the crystal: the resolution of the time of failure."""

POLL = 0.2
"""Seconds between looks at the running LAMMPS."""


def timestep(element: str) -> float:
    """fs."""
    return 1.0 if atomic_masses[atomic_numbers[element]] < LIGHT else 2.0


def steps_of(element: str, ps: float) -> int:
    """Steps for so many ps, a multiple of ``CHECK``."""
    return max(1, round(1000 * ps / timestep(element) / CHECK)) * CHECK


def survive(
    potential,
    element: str,
    temperature: float,
    ps: float,
    seed: int,
    folder: Path,
    limit_s: float | None = None,
    step: Callable[[int], None] = lambda done: None,
    lock: int | None = None,
) -> dict:
    """Run the crystal until it fails or the time is over; goes on from what an earlier run left in ``folder``.

    Args:
        potential: of this element alone.
        temperature: K.
        folder: for the files of the run; removed when the run is over.
        limit_s: seconds of wall time for this call.
        step: called with the steps done.
        lock: file descriptor that LAMMPS keeps open.
    Returns:
        ``ps`` (survived), ``failure`` (why it ended, '' where it did not fail), ``over`` (False where only ``limit_s`` ended it),
        ``steps``, ``starts`` (of LAMMPS), ``timestep_fs``, ``atoms``, ``temperature`` (K), ``mean_temperature`` (K, measured, second half), ``seconds``.
    """
    atoms = crystal(element, ATOMS)
    distance = float(shortest_distance([atoms.positions], [atoms.cell.array])[0])
    steps = steps_of(element, ps)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "crystal.data", atoms, format="lammps-data", masses=True, atom_style="atomic")
    (folder / "pot.in").write_text("\n".join(potential.lammps_commands()) + "\n")
    shutil.copyfile(shared("lammps_inputs", "in.stability"), folder / "in.stability")
    number = len(list(folder.glob("log.*")))
    variables = {
        "T": temperature,
        "timestep": timestep(element),
        "steps": steps,
        "seed": seed,
        "hottest": HOTTEST,
        "closest": f"{CLOSEST * distance:.6f}",
        "check": CHECK,
        "restart_interval": max(CHECK, steps // 40),
        "seconds": limit_s or 1e9,
    }
    if restart := _restart_file(folder):
        variables["restart"] = restart.name
    arguments = ["-in", "in.stability", "-log", f"log.{number}", "-nocite"]
    for name, value in variables.items():
        arguments += ["-var", name, str(value)]
    started = time.monotonic()
    status = _run(arguments, folder, folder / f"log.{number}", step, lock)
    result = _judge(folder, status, steps, potential, element, temperature, len(atoms), distance)
    result["seconds"] = round(time.monotonic() - started, 1)
    if result["over"]:
        shutil.rmtree(folder)
    return result


def _restart_file(folder: Path) -> Path | None:
    whole = [path for path in folder.glob("stability.restart.?") if is_whole_restart(path)]
    return max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)


def _run(arguments, folder: Path, written: Path, step, lock) -> int:
    """The exit status of LAMMPS."""
    with open(folder / "screen.txt", "wb") as screen:
        process = subprocess.Popen(
            [str(lmp_executable()), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            env={**environment(), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            pass_fds=[] if lock is None else [lock],  # the folder stays locked while a LAMMPS writes to it
        )
    try:
        while process.poll() is None:
            time.sleep(POLL)
            step(log.last_step(written) or 0)
    finally:
        end(process)
    return process.returncode


def _judge(folder, status, steps, potential, element, temperature, atoms, distance) -> dict:
    """What the logs and the last frame say."""
    rows = _rows(folder)
    error = log.error(folder / "screen.txt")
    if not len(rows):
        raise MetalffError(f"LAMMPS did not start {potential.name} on {element}: {error or _last_line(folder)}")
    bad = ~np.isfinite(rows[:, 1:5]).all(axis=1) | (rows[:, 1] > HOTTEST * temperature)
    end = int(np.argmax(bad)) if bad.any() else len(rows) - 1
    done = int(rows[end, 0])
    if status == 0 and not bad.any():
        frames = dump_frames(folder / "stability.final")
        (cell, values) = frames[max(frames)]
        found = values[:, :3]
        near = shortest_distance([found], [cell]) if np.isfinite(found).all() else np.array([np.nan])
        failure = instability(rows[:, 1], temperature, len(found), atoms, near, distance)
    elif bad.any():
        failure = instability(rows[: end + 1, 1], temperature, atoms, atoms, [distance], distance) or "numbers are not finite"
    else:
        failure = error
        if not error:
            raise MetalffError(f"LAMMPS ended without an error of its own (status {status}: {_last_line(folder)}); run again to go on")
        if "No space left" in failure or shutil.disk_usage(folder).free < FULL:
            raise MetalffError(f"the disk of {folder} is full; free some space and run the same command again to go on")
    half = rows[(rows[:, 0] > rows[end, 0] / 2) & (rows[:, 0] <= rows[end, 0]), 1]
    return {
        "ps": done * timestep(element) / 1000,
        "failure": failure,
        "over": bool(failure) or done >= steps,
        "steps": done,
        "starts": len(list(folder.glob("log.*"))),
        "timestep_fs": timestep(element),
        "atoms": atoms,
        "temperature": temperature,
        "mean_temperature": round(float(half.mean()), 1) if len(half) and np.isfinite(half).all() else None,
    }


def _rows(folder: Path) -> np.ndarray:
    """Thermo rows of all starts by step; what a later start did again replaces what an earlier one did."""
    rows = {}
    for path in sorted(folder.glob("log.*"), key=lambda path: int(path.suffix[1:])):
        new = log.thermo_rows(path)
        if len(new):
            rows = {step: row for step, row in rows.items() if step < new[0, 0]} | {int(row[0]): row for row in new}
    return np.array([rows[step] for step in sorted(rows)]).reshape(-1, len(log.COLUMNS))


def _last_line(folder: Path) -> str:
    lines = (folder / "screen.txt").read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
