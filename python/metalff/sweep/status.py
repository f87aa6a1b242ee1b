"""What a folder of results holds now, also while a manager works in it; nothing is written."""

from dataclasses import dataclass, field
from pathlib import Path

from metalff.paths import is_locked
from metalff.sweep import log
from metalff.sweep.job import LOGS
from metalff.sweep.record import NAME, current, mixed_versions, read_record

ORDER = ("finished", "running", "waiting", "cancelled", "failed", "stale")


@dataclass(frozen=True)
class Status:
    """Attributes: record: ``sweep.json``; jobs: as they are now, with ``step`` where one runs; at_work: a manager; notes: what else must be known."""

    out: Path
    record: dict
    jobs: dict[str, dict]
    at_work: bool
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Jobs by status."""
        found = [job["status"] for job in self.jobs.values()]
        return {name: found.count(name) for name in ORDER if name in found}

    @property
    def complete(self) -> bool:
        return all(job["status"] == "finished" for job in self.jobs.values())


def status(out, verify: bool = False) -> Status:
    """Look at a folder.

    Args:
        verify: read all files of finished jobs and compare them with what was written.
    Raises:
        MetalffError: it holds no sweep, or a record is damaged.
    """
    out = Path(out)
    record = read_record(out / NAME)
    at_work = is_locked(out / ".lock")
    jobs = current(out, record)
    notes = []
    for name, job in jobs.items():
        if job.get("stale"):
            job["status"] = "stale"
        if job["status"] == "running":
            job["step"] = _step(out / name)
            if not at_work:
                job["status"] = "waiting"
                job["interrupted"] = True
    if sentence := mixed_versions(jobs, out):
        notes.append(sentence)
    if verify:
        notes += _damages(out, jobs)
    return Status(out, record, jobs, at_work, notes)


def _step(folder: Path) -> int:
    for segment in sorted((folder / "segments").glob("[0-9][0-9][0-9]"), reverse=True):
        for name in (LOGS["lammps"], LOGS["ase"]):
            if (step := log.last_step(segment / name)) is not None:
                return step
    return 0


def _damages(out: Path, jobs: dict[str, dict]) -> list[str]:
    from metalff.errors import MetalffError
    from metalff.sweep.job import sha256
    from metalff.sweep.trajectory import read_trajectory

    notes = []
    for name, job in jobs.items():
        if job["status"] != "finished":
            continue
        for file, digest in job.get("files", {}).items():
            path = out / name / file
            if not path.is_file():
                notes.append(f"{path} is missing; run the sweep again")
                continue
            if sha256(path) != digest:
                notes.append(f"{path} is not the file that the sweep wrote; remove {out / name} and run the sweep again")
            elif file == "trajectory.h5":
                try:
                    found = read_trajectory(path).plan_hash
                except MetalffError as error:
                    notes.append(str(error))
                    continue
                if "hash" in job and found != job["hash"]:
                    notes.append(f"{path} is of another run; remove {out / name} and run the sweep again")
    return notes
