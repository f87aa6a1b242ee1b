"""One job on disk: its attempts (segments), what is finished, and the results made of them.

A folder ``OUT/Cu-eam/300K`` holds ``segments/001``, ``segments/002``, … while the job is under way: one for each start of
LAMMPS, each with its own log, dump and two alternating restart files. When LAMMPS has reached the last step the segments
become ``thermo.csv``, ``trajectory.h5`` and ``log.lammps``, then ``job.json`` is written and the segments are removed, each
on the disk before the next. So ``job.json`` with status ``finished`` means: all results are there. Nothing else keeps state.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas

from metalff.errors import MetalffError
from metalff.paths import atomic_write, make_folder, shared, sync
from metalff.sweep import log
from metalff.sweep.dump import dump_frames
from metalff.sweep.plan import STAGES, Job, Plan
from metalff.sweep.trajectory import Trajectory, write_trajectory
from metalff.validate.stability import instability, shortest_distance

RESTART_MAGIC = b"LammpS RestartT\0"
"""First and last bytes of a complete LAMMPS restart file."""

THERMO = ("step", "stage", "time_ps", "T", "pe", "ke", "etotal", "press", "vol")
"""Columns of ``thermo.csv``: K, eV, eV, eV, bar, Å³."""


class Lost(MetalffError):
    """Rows or frames that were written are not there any more; ``step`` is the first."""

    def __init__(self, sentence: str, step: int):
        super().__init__(sentence)
        self.step = step


class JobFolder:
    """The folder of one job.

    Args:
        out: folder of the sweep.
        plan_hash: of the sweep; goes into the trajectory.
    """

    def __init__(self, out: Path, job: Job, plan: Plan, plan_hash: str):
        self.job, self.plan, self.plan_hash = job, plan, plan_hash
        self.path = out / job.id

    def record(self) -> dict:
        """``job.json``, or ``{"status": "waiting"}``."""
        try:
            return json.loads((self.path / "job.json").read_text("utf-8"))
        except FileNotFoundError:
            return {"status": "waiting"}
        except ValueError as error:
            raise MetalffError(f"{self.path / 'job.json'} is damaged; remove it and run the sweep again") from error

    def segments(self) -> list[Path]:
        """Starts of LAMMPS so far, oldest first."""
        return sorted((self.path / "segments").glob("[0-9][0-9][0-9]"))

    def restart_file(self) -> Path | None:
        """The newest complete restart file."""
        for segment in reversed(self.segments()):
            whole = [path for path in segment.glob("run.restart.?") if is_complete(path)]
            if whole:
                return max(whole, key=lambda path: path.stat().st_mtime_ns)
        return None

    def open_segment(self) -> tuple[Path, list[str]]:
        """A new segment with its input files, and the arguments of ``lmp`` that continue from the newest restart file."""
        restart = self.restart_file()
        earlier = self.segments()
        segment = self.path / "segments" / f"{int(earlier[-1].name) + 1 if earlier else 1:03d}"
        make_folder(segment)
        shutil.copyfile(shared("lammps_inputs", "in.sweep"), segment / "in.sweep")
        (segment / "pot.in").write_text("\n".join(self.job.potential.lammps_commands()) + "\n")
        variables = {"potential": "pot.in", "prefix": "run", **self.plan.variables(self.job.temperature)}
        if restart:
            variables["restart"] = f"../{restart.parent.name}/{restart.name}"
        arguments = ["-in", "in.sweep", "-log", "log.lammps", "-nocite"]
        for name, value in variables.items():
            arguments += ["-var", name, value]
        return segment, arguments

    def step(self) -> int:
        """The newest step in the log of the newest segment that has one."""
        for segment in reversed(self.segments()):
            if (step := log.last_step(segment / "log.lammps")) is not None:
                return step
        return 0

    def is_complete(self) -> bool:
        """Whether LAMMPS has reached the last step."""
        return self.step() >= self.plan.steps.total

    def error(self) -> str:
        """LAMMPS' last error sentence in the newest segment, or the last line that it wrote."""
        segment = self.segments()[-1]
        if sentence := log.error(segment / "log.lammps", segment / "screen.txt"):
            return sentence
        lines = (segment / "screen.txt").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "LAMMPS ended without a word")

    def fail(self, sentence: str) -> dict:
        """Record a failure; the segments stay, so that the next run goes on from the newest restart file."""
        return self._write_record({"status": "failed", "error": sentence})

    def finish(self, command: str) -> dict:
        """Turn complete segments into the results.

        Args:
            command: command line of the last segment, for the record.
        Raises:
            Lost: rows or frames are missing; ``go_back`` lets them be run again.
            MetalffError: numbers are not finite.
        """
        segments = [segment for segment in self.segments() if (segment / "log.lammps").is_file()]
        rows, frames = self._merged(segments)
        thermo, trajectory = self._table(rows), self._trajectory(rows, frames)
        with atomic_write(self.path / "thermo.csv") as stream:
            thermo.to_csv(stream, index=False, float_format="%.12g")
        write_trajectory(trajectory, self.path / "trajectory.h5")
        with atomic_write(self.path / "log.lammps") as stream:
            for segment in segments:
                stream.write((segment / "log.lammps").read_text(errors="replace"))
        for name in ("in.sweep", "pot.in"):
            shutil.copyfile(segments[-1] / name, self.path / name)
            sync(self.path / name)
        sync(self.path)
        atom_steps, seconds = np.sum([log.speed(segment / "log.lammps") for segment in segments], axis=0)
        record = self._write_record(
            {
                "status": "finished",
                "unstable": self._unstable(thermo, trajectory),
                "atoms": trajectory.positions.shape[1],
                "wall_s": round(sum(_duration(segment) for segment in segments), 3),
                "atom_steps_per_s": round(atom_steps / seconds, 1) if seconds else None,
                "starts": len(segments),
                "command": command,
                "lammps": log.version(segments[-1] / "log.lammps"),
                "files": {name: _sha256(self.path / name) for name in ("trajectory.h5", "thermo.csv")},
            }
        )
        self.clean()
        return record

    def go_back(self, step: int) -> None:
        """Remove the segment that has lost ``step``, and all after it: the next start goes on from the restart file before them, or from the beginning."""
        segments = self.segments()
        starts = [log.first_step(segment / "log.lammps") for segment in segments]
        last = max((k for k, start in enumerate(starts) if start is not None and start <= step), default=0)
        for segment in reversed(segments[last:]):
            shutil.rmtree(segment)

    def clean(self) -> None:
        """Remove the segments of a finished job."""
        shutil.rmtree(self.path / "segments", ignore_errors=True)

    def _merged(self, segments):
        """Thermo rows and frames by step; what a later segment did again replaces what an earlier one did."""
        rows, frames = {}, {}
        for segment in segments:
            new = log.thermo_rows(segment / "log.lammps")
            if not len(new):
                continue
            start = new[0, 0]
            rows = {step: row for step, row in rows.items() if step < start} | {int(row[0]): row for row in new}
            # A frame at the very start stays when the segment has none: its stage had ended there.
            frames = {step: frame for step, frame in frames.items() if step <= start}
            if (segment / "run.dump").is_file():
                frames |= dump_frames(segment / "run.dump")
        return rows, frames

    def _table(self, rows) -> pandas.DataFrame:
        plan = self.plan
        wanted = sorted({*range(0, plan.steps.total + 1, plan.thermo_interval), *plan.steps.ends.values()})
        if missing := [step for step in wanted if step not in rows]:
            raise Lost(
                f"{len(missing)} thermo rows of {self.job.id} are missing (first: step {missing[0]}); {self._again()}",
                missing[0],
            )
        values = np.array([rows[step] for step in wanted])
        if not np.isfinite(values).all():
            first = wanted[int(np.argmin(np.isfinite(values).all(axis=1)))]
            raise MetalffError(f"{self.job.id}: temperature, energy or pressure is not finite at step {first}; the run has blown up")
        columns = [
            wanted,
            [self._stage(step) for step in wanted],
            np.array(wanted) * plan.timestep / 1000,
            *values[:, 1:].T,
        ]
        return pandas.DataFrame(dict(zip(THERMO, columns, strict=True)))

    def _trajectory(self, rows, frames) -> Trajectory:
        plan = self.plan
        start, end = plan.steps.equilibrate, plan.steps.ends["sample"]
        first = -(-start // plan.dump_interval) * plan.dump_interval
        wanted = range(first, end + 1, plan.dump_interval)
        if missing := [step for step in wanted if step not in frames or step not in rows]:
            raise Lost(
                f"{len(missing)} frames of {self.job.id} are missing (first: step {missing[0]}); {self._again()}",
                missing[0],
            )
        atoms = np.array([frames[step][1] for step in wanted])
        return Trajectory(
            steps=np.array(wanted, dtype=np.int64),
            time_ps=np.array(wanted) * plan.timestep / 1000,
            positions=atoms[:, :, 0:3],
            velocities=atoms[:, :, 3:6],
            forces=atoms[:, :, 6:9],
            cell=np.array([frames[step][0] for step in wanted]),
            energy=np.array([rows[step][2] for step in wanted]),
            temperature=np.array([rows[step][1] for step in wanted]),
            element=plan.element,
            potential=self.job.potential.name,
            target_temperature=self.job.temperature,
            potential_sha256=self.job.potential.sha256,
            plan_hash=self.plan_hash,
        )

    def _unstable(self, thermo, trajectory) -> str:
        """Why the run is not to be trusted, or ''. LAMMPS itself stops when atoms are lost."""
        atoms = trajectory.positions.shape[1]
        return instability(
            thermo[thermo.stage != "equilibrate"]["T"],
            self.job.temperature,
            atoms,
            atoms,
            shortest_distance(trajectory.positions, trajectory.cell),
            self.plan.neighbour_distance,
        )

    def _stage(self, step: int) -> str:
        """The stage that starts at or runs through a step; the last one at the very end."""
        ends = self.plan.steps.ends
        for stage in STAGES:
            if step < ends[stage]:
                return stage
        return "drift" if self.plan.steps.drift else "sample"

    def _again(self) -> str:
        return "run the sweep again, which goes on from what is whole"

    def _write_record(self, content: dict) -> dict:
        with atomic_write(self.path / "job.json") as stream:
            json.dump(content, stream, indent=1, allow_nan=False)
            stream.write("\n")
        return content


def is_complete(restart: Path) -> bool:
    """Whether LAMMPS wrote this restart file to its end."""
    content = restart.read_bytes()
    return len(content) > 2 * len(RESTART_MAGIC) and content.startswith(RESTART_MAGIC) and content.endswith(RESTART_MAGIC)


def _duration(segment: Path) -> float:
    """Seconds from the start of LAMMPS to the last line of its log."""
    return (segment / "log.lammps").stat().st_mtime - (segment / "pot.in").stat().st_mtime


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
