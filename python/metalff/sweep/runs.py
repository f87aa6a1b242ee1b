"""Segments of a run → its table, its trajectory and what it comes to: the same for every script and engine."""

from pathlib import Path

import numpy as np
import pandas

from metalff.errors import MetalffError
from metalff.sweep import log
from metalff.sweep.dump import dump_frames
from metalff.sweep.expand import Job
from metalff.sweep.trajectory import Trajectory
from metalff.validate.stability import instability, shortest_distance

THERMO = ("step", "stage", "time_ps", "T", "pe", "ke", "etotal", "press", "vol")
"""First columns of ``thermo.csv``: K, eV, eV, eV, bar, Å³; those of a strain are bar and Å."""

HOTTEST = 10.0
"""Multiple of the temperature beyond which a row or frame is not physical; as ``hottest`` of the scripts."""


class Lost(MetalffError):
    """Rows or frames that were written are not there any more; ``step`` is the first."""

    def __init__(self, sentence: str, step: int):
        super().__init__(sentence)
        self.step = step


class Exploded(MetalffError):
    """A number is not finite; ``step`` is the first."""

    def __init__(self, sentence: str, step: int):
        super().__init__(sentence)
        self.step = step


def merged(segments: list[Path], log_name: str):
    """Thermo rows and frames by step; what a later segment did again replaces what an earlier one did."""
    rows, frames = {}, {}
    for segment in segments:
        if not (segment / log_name).is_file():
            continue
        new = log.thermo_rows(segment / log_name)
        if not len(new):
            continue
        start = new[0, 0]
        rows = {step: row for step, row in rows.items() if step < start} | {int(row[0]): row for row in new}
        # A frame at the very start stays when the segment has none: its stage had ended there.
        frames = {step: frame for step, frame in frames.items() if step <= start}
        if (segment / "run.dump").is_file():
            frames |= dump_frames(segment / "run.dump")
    return rows, frames


def stage_of(job: Job, step: int) -> str:
    """The stage that starts at or runs through a step; the last one that has steps at the very end."""
    names = list(job.stages)
    ends = [job.stages[name] for name in names]
    for name, end in zip(names, ends, strict=True):
        if step < end:
            return name
    return next(name for name, end, before in zip(names[::-1], ends[::-1], [*ends[-2::-1], 0], strict=True) if end > before)


def interval_of(job: Job, name: str) -> int:
    return int(job.variables[f"{name}_interval"])


def table(job: Job, rows: dict, more: tuple[str, ...]) -> pandas.DataFrame:
    """``thermo.csv``.

    Args:
        more: names of further columns.
    Raises:
        Lost, Exploded
    """
    wanted = sorted({*range(0, job.steps + 1, interval_of(job, "thermo")), *job.stages.values()})
    if missing := [step for step in wanted if step not in rows]:
        raise Lost(f"{len(missing)} thermo rows of {job.id} are missing (first: step {missing[0]}); {_again()}", missing[0])
    values = np.array([rows[step] for step in wanted])
    if not np.isfinite(values).all():
        first = wanted[int(np.argmin(np.isfinite(values).all(axis=1)))]
        raise Exploded(f"temperature, energy or pressure is not finite at step {first}; the run has blown up", first)
    columns = [wanted, [stage_of(job, step) for step in wanted], np.array(wanted) * _ps(job), *values[:, 1:].T]
    return pandas.DataFrame(dict(zip((*THERMO, *more), columns, strict=True)))


def trajectory(job: Job, rows: dict, frames: dict) -> Trajectory:
    """``trajectory.h5``: the frames of the stage that is sampled.

    Raises:
        Lost
    """
    names = list(job.stages)
    place = names.index(job.frames)
    start, end = job.stages[names[place - 1]] if place else 0, job.stages[job.frames]
    every = interval_of(job, "dump")
    wanted = range(-(-start // every) * every, end + 1, every)
    if missing := [step for step in wanted if step not in frames or step not in rows]:
        raise Lost(f"{len(missing)} frames of {job.id} are missing (first: step {missing[0]}); {_again()}", missing[0])
    atoms = np.array([frames[step][1] for step in wanted])
    return Trajectory(
        steps=np.array(wanted, dtype=np.int64),
        time_ps=np.array(wanted) * _ps(job),
        positions=atoms[:, :, 0:3],
        velocities=atoms[:, :, 3:6],
        forces=atoms[:, :, 6:9],
        cell=np.array([frames[step][0] for step in wanted]),
        energy=np.array([rows[step][2] for step in wanted]),
        temperature=np.array([rows[step][1] for step in wanted]),
        element=job.element,
        potential=job.potential.name,
        target_temperature=job.temperature,
        potential_sha256=job.potential.sha256,
        plan_hash=job.hash,
    )


def unstable(job: Job, thermo: pandas.DataFrame, run: Trajectory) -> str:
    """Why the run is not to be trusted, or ''. LAMMPS itself stops when atoms are lost."""
    atoms = run.positions.shape[1]
    # while the two halves of a coexistence are prepared one is far hotter
    later = thermo[thermo.stage == job.frames] if job.kind == "coexistence" else thermo[thermo.stage != "equilibrate"]
    return instability(later["T"], job.target, atoms, atoms, shortest_distance(run.positions, run.cell), job.neighbour_distance)


def summary(job: Job, thermo: pandas.DataFrame, run: Trajectory) -> dict:
    """What a ramp, a strain or a coexistence comes to: numbers with units; empty for other kinds."""
    made = {"ramp": _ramp, "strain": _strain, "coexistence": _coexistence}.get(job.kind)
    return made(job, thermo, run) if made else {}


def _ramp(job, thermo, run) -> dict:
    part = thermo[thermo.stage == "ramp"]
    return {
        "steepest_volume_T": {"value": _steepest(part), "unit": "K"},
        "volume_start": {"value": float(part.vol.iloc[:5].mean() / job.atoms), "unit": "Å³/atom"},
        "volume_end": {"value": float(part.vol.iloc[-5:].mean() / job.atoms), "unit": "Å³/atom"},
    }


def _steepest(part) -> float:
    """K, where the volume changes most with time: melting or freezing, where the ramp crosses it."""
    width = max(2, len(part) // 20)
    volume = part.vol.rolling(width).mean().diff(width).abs()
    return float(part["T"].rolling(width).mean()[volume.idxmax()]) if volume.notna().any() else float(part["T"].mean())


def _strain(job, thermo, run) -> dict:
    """Largest stress along the strain, and the strain there."""
    part = thermo[thermo.stage == "strain"]
    direction, end = job.variables["direction"], float(job.variables["strain"])
    column = {"x": "pxx", "y": "pyy", "z": "pzz", "xy": "pxy", "volume": "press"}[direction]
    stress = -part[column].to_numpy() * 1e-4
    strained = (part.step.to_numpy() - job.stages["equilibrate"]) / (job.steps - job.stages["equilibrate"]) * end
    most = int(np.argmax(stress * np.sign(end)))
    return {
        "largest_stress": {"value": float(stress[most]), "unit": "GPa"},
        "strain_at_largest_stress": {"value": float(strained[most]), "unit": ""},
    }


def _coexistence(job, thermo, run) -> dict:
    """The temperature of the second half, a melting temperature where both phases are there to the end."""
    from metalff.properties.melting import coexistence_temperature, phase_of
    from metalff.validate.order import NEIGHBOURS, solid_fraction

    part = thermo[thermo.stage == "sample"]
    mean, low, high = coexistence_temperature(part["T"])
    found = {"coexistence_temperature": {"value": mean, "unit": "K", "low": low, "high": high}}
    if (lattice := job.variables["lattice"]) in NEIGHBOURS:
        fractions = [solid_fraction(positions, cell, lattice) for positions, cell in zip(run.positions, run.cell, strict=True)]
        found["phase"] = phase_of(fractions)
        found["solid_part"] = {"value": float(np.mean(fractions[len(fractions) // 2 :])), "unit": ""}
        if found["phase"] == "both":
            found["melting_temperature"] = found["coexistence_temperature"]
    return found


def last_good_frame(job: Job, segments: list[Path], before: int | None):
    """The newest frame of any stage whose numbers are finite and whose temperature is not absurd, as (step, ``ase.Atoms``); None without one.

    Args:
        before: step from which on the run is known to be bad.
    """
    found = {}
    for segment in segments:
        for path in (segment / "run.dump", *segment.glob("run.last.*")):
            try:
                found |= dump_frames(path)
            except (MetalffError, OSError):
                continue
    for step in sorted(found, reverse=True):
        if (before is None or step < before) and _is_good(job, *found[step]):
            return step, _as_atoms(job, *found[step])
    return None


def _is_good(job: Job, cell, atoms) -> bool:
    if len(atoms) != job.atoms or not (np.isfinite(cell).all() and np.isfinite(atoms).all()):
        return False
    kinetic = 0.5 * 1.0364269e-4 * float(job.variables["mass"]) * (atoms[:, 3:6] ** 2).sum()
    return kinetic / (1.5 * 8.617333e-5 * len(atoms)) < HOTTEST * job.target


def _as_atoms(job: Job, cell, atoms):
    from ase import Atoms, units
    from ase.calculators.singlepoint import SinglePointCalculator

    made = Atoms(job.element * len(atoms), positions=atoms[:, :3], cell=cell, pbc=True)
    made.set_velocities(atoms[:, 3:6] / (1000 * units.fs))
    made.calc = SinglePointCalculator(made, forces=atoms[:, 6:9])
    return made


def _ps(job: Job) -> float:
    return float(job.variables["timestep"]) / 1000


def _again() -> str:
    return "run the sweep again, which goes on from what is whole"
