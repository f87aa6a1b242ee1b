"""How fast potentials are on this machine: a few steps of each, kept by what decides them."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write, cache_dir
from metalff.sweep import log
from metalff.sweep.attempt import surroundings
from metalff.sweep.expand import Job
from metalff.sweep.job import JobFolder, python_command
from metalff.sweep.machine import lammps_command, lammps_version, machine
from metalff.sweep.plan import Plan

NAME = "sweep-speed.json"

FIRST, MOST = {"lammps": 20, "ase": 2}, 2000
"""Steps of the first trial, and of the longest."""

ENOUGH = 0.15
"""Seconds that a trial must last to count."""

LIMIT = 120.0
"""Seconds after which a trial is given up."""


def timed_runs(plan: Plan, jobs: list[Job], base) -> list[Job]:
    """The molecular dynamics of a plan; where it has none, what it would be at room temperature."""
    found = [job for job in jobs if job.variables]
    if found:
        return found
    from metalff.sweep.expand import expand

    return [job for job in expand(plan.model_copy(update={"temperatures": [300.0], "properties": [], "data": None}), base)[0] if job.variables]


def representative(jobs: list[Job]) -> dict[tuple, Job]:
    """One run to time for each potential (metals of one crystal together) and number of atoms, by its ``speed_key``."""
    found: dict[tuple, Job] = {}
    for job in jobs:
        if job.variables:
            found.setdefault(speed_key(job), job)
    return found


def speed_key(job: Job) -> tuple:
    """Runs with the same key are taken to be equally fast per atom and step."""
    return job.potential.folder.removeprefix(f"{job.element}-"), job.potential.kind, job.variables["lattice"], job.engine, job.atoms


def speeds(plan: Plan, jobs: list[Job], measure: bool, progress=lambda title, done, total: None) -> dict[tuple, float]:
    """Atom-steps/s by ``speed_key``; what has been timed before, with these inputs on this machine, is not timed again.

    Args:
        measure: time what is not known; else it is left out.
        progress: called before each trial.
    Raises:
        MetalffError: a potential does not run at all.
    """
    found, chosen = {}, representative(jobs)
    known = _read()
    for number, (key, job) in enumerate(chosen.items()):
        digest = _digest(plan, job)
        if digest not in known and measure:
            progress(job.label, number, len(chosen))
            known[digest] = _timed(plan, job)
            with atomic_write(cache_dir() / NAME) as stream:
                json.dump(known, stream, indent=1)
        if digest in known:
            found[key] = known[digest]
    return found


def _digest(plan: Plan, job: Job) -> str:
    here = machine()
    version = lammps_version(plan.lmp) if job.engine == "lammps" else ""
    content = [
        job.potential.name,
        job.potential.sha256,
        job.engine,
        job.atoms,
        plan.ranks,
        plan.lmp_args,
        plan.mpiexec,
        version,
        job.versions,
        here["cpu"],
        here["cores"],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _read() -> dict[str, float]:
    try:
        found = json.loads((cache_dir() / NAME).read_text("utf-8"))
        return {str(key): float(value) for key, value in found.items() if value > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _timed(plan: Plan, job: Job) -> float:
    steps = FIRST[job.engine]
    while True:
        speed, seconds = _trial(plan, job, steps)
        if seconds > ENOUGH or steps >= MOST or job.engine == "ase":
            return speed
        steps = min(MOST, max(2 * steps, int(steps * 1.5 * ENOUGH / max(seconds, 1e-4))))


def _trial(plan: Plan, job: Job, steps: int) -> tuple[float, float]:
    """Atom-steps/s and seconds of so many steps of the crystal at constant volume, as ``in.sweep`` runs them."""
    own = {
        "ensemble": "nvt",
        "steps_npt": 0,
        "steps_nvt": steps,
        "steps_nve": 0,
        "thermo_interval": steps,
        "dump_interval": 10**8,
        "restart_interval": 10**8,
    }
    kept = {name: job.variables[name] for name in ("element", "mass", "lattice", "a0", "nx", "ny", "nz", "T", "timestep", "seed")}
    variables = kept | {"barostat": "iso"} | {name: str(value) for name, value in own.items()}
    trial = replace(job, id="trial", kind="md", variables=variables, stages={"sample": steps}, frames="sample")
    folder = Path(tempfile.mkdtemp(prefix="metalff-speed-"))
    try:
        segment, arguments = JobFolder(folder, trial).open_segment()
        command = lammps_command(plan, arguments) if job.engine == "lammps" else python_command(arguments)
        with open(segment / "screen.txt", "wb") as screen:
            done = subprocess.run(
                command,
                **surroundings(segment, screen),
                timeout=LIMIT,
            )
        atom_steps, seconds = log.speed(segment / JobFolder(folder, trial).log) if done.returncode == 0 else (0.0, 0.0)
        if not atom_steps:
            raise MetalffError(f"{job.potential.name} does not run: {JobFolder(folder, trial).error()}; --no-calibrate plans without a trial")
        return atom_steps / max(seconds, 1e-6), seconds
    except subprocess.TimeoutExpired:
        raise MetalffError(
            f"{job.potential.name}: {steps} steps of {job.atoms} atoms take more than {LIMIT:g} s; --no-calibrate plans without a trial"
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
