"""What a plan will take: runs, hours and disk, by kind and potential; before anything runs."""

from dataclasses import dataclass, field

from metalff.sweep.calibrate import speed_key
from metalff.sweep.expand import MD, Job
from metalff.sweep.runs import interval_of

START = {"lammps": 0.5, "ase": 3.0, "python": 3.0}
"""Seconds before the first step."""

SINGLE = 0.2
"""Speed of one frame after the other in ASE, in that of molecular dynamics."""

FRAME_BYTES = 9 * 8 * 0.92
"""Of an atom in a frame of ``trajectory.h5``: nine numbers, hardly compressible."""

DUMP_BYTES = 150
"""Of an atom in a frame of LAMMPS' text, which is there until the run is finished."""

ROW_BYTES = 115
"""Of a row of ``thermo.csv`` and of the log, together."""

USUAL_SPEED = 5e3
"""Atom-steps/s of a potential whose properties take about as long as ``properties.run.MINUTES`` says."""

PROPERTIES_BYTES = 400_000


@dataclass
class Row:
    """Jobs of one kind and potential.

    Attributes:
        seconds: of one worker, of the jobs whose speed is known.
        unknown: jobs whose time is not known.
        bytes: when finished.
        done: jobs that are finished already; they count in ``jobs`` alone.
    """

    kind: str
    potential: str
    jobs: int = 0
    done: int = 0
    unknown: int = 0
    steps: int = 0
    seconds: float = 0.0
    bytes: float = 0.0
    elements: set = field(default_factory=set)


@dataclass(frozen=True)
class Forecast:
    """Attributes: rows; hours: wall time with all workers, None where a speed is not known; peak_bytes: of disk, while the longest runs run."""

    rows: list[Row]
    hours: float | None
    peak_bytes: float


def forecast(jobs: list[Job], timed: list[Job], finished: set[str], speeds: dict[tuple, float], workers: int) -> Forecast:
    """Time and disk of jobs.

    Args:
        timed: runs whose speeds are those of their potentials, for jobs that are no molecular dynamics.
        finished: ids of jobs that are finished.
        speeds: see ``calibrate.speeds``.
        workers: jobs at a time.
    """
    rows: dict[tuple[str, str], Row] = {}
    times, passing = [], []
    by_element = {(job.element, job.folder_name): speeds.get(speed_key(job)) for job in timed}
    for job in jobs:
        name = job.folder_name.removeprefix(f"{job.element}-")
        row = rows.setdefault((job.kind, name), Row(job.kind, name))
        row.jobs += 1
        row.elements.add(job.element)
        if job.id in finished:
            row.done += 1
            continue
        row.steps += job.steps
        row.bytes += kept_bytes(job)
        passing.append(passing_bytes(job))
        seconds = seconds_of(job, speeds.get(speed_key(job)) if job.kind in MD else by_element.get((job.element, job.folder_name)))
        if seconds is None:
            row.unknown += 1
        else:
            row.seconds += seconds
            times.append(seconds)
    hours = None if any(row.unknown for row in rows.values()) else max(max(times, default=0.0), sum(times) / workers) / 3600
    peak = sum(row.bytes for row in rows.values()) + sum(sorted(passing)[-workers:])
    return Forecast(list(rows.values()), hours, peak)


def seconds_of(job: Job, speed: float | None) -> float | None:
    """Of one worker; None where it is not known."""
    if job.kind == "properties":
        from metalff.properties.registry import measurements
        from metalff.properties.run import MINUTES

        slow = min(20.0, max(0.1, USUAL_SPEED / speed)) if speed else 1.0
        return START["python"] + 60 * slow * sum(MINUTES[measurements()[name].cost] for name in job.settings["measurements"])
    if speed is None:
        return None
    if job.kind == "errors":
        atoms = atoms_of(job.settings["data"])
        return None if atoms is None else START["python"] + atoms / (SINGLE * speed)
    return START[job.engine] + job.steps * job.atoms / speed


def atoms_of(spec: str) -> int | None:
    """Atoms of all frames of a bundled set; None for others, which are not read for this."""
    from metalff.data import names, read
    from metalff.data.selection import whole_of

    return sum(map(len, read(spec).frames)) if whole_of(spec).partition(":")[0] in names() else None


def kept_bytes(job: Job) -> float:
    """Of the results of a job."""
    if job.kind not in MD:
        return PROPERTIES_BYTES
    frames, rows = frames_of(job), job.steps / interval_of(job, "thermo")
    return frames * job.atoms * FRAME_BYTES + rows * ROW_BYTES + 20_000


def passing_bytes(job: Job) -> float:
    """Of what is there only while the job runs."""
    return frames_of(job) * job.atoms * DUMP_BYTES + 4 * job.atoms * DUMP_BYTES if job.kind in MD else 0.0


def frames_of(job: Job) -> int:
    names = list(job.stages)
    place = names.index(job.frames)
    start = job.stages[names[place - 1]] if place else 0
    return (job.stages[job.frames] - start) // interval_of(job, "dump") + 1
