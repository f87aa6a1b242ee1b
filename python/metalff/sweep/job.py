"""One job on disk: its attempts (segments), what is finished, and the results made of them.

A folder ``OUT/Cu/Cu-eam/300K`` holds ``segments/001``, ``segments/002``, … while the job is under way: one for each start of its program, each with
its own log, dump and alternating restart files. When the last step is reached the segments become ``thermo.csv``, ``trajectory.h5`` and
``log.lammps``, then ``job.json`` is written and the segments are removed, each on the disk before the next. So ``job.json`` with status ``finished``
means: all results are there. Nothing else keeps state. Measurements have their own files in the folder, and ``job.json`` in the same way.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np

from metalff.errors import MetalffError
from metalff.lammps import is_whole_restart
from metalff.paths import atomic_path, atomic_write, is_locked, lock, make_folder, shared, sync
from metalff.sweep import log, runs
from metalff.sweep.expand import MD, SCRIPTS, Job
from metalff.sweep.trajectory import write_trajectory

LOGS = {"lammps": "log.lammps", "ase": "log.ase", "python": "screen.txt"}
"""Log of a segment, by engine."""

ORDER = "order.json"
"""What a program of MetalFF's own is told."""

STOP = "stop"
"""A file of this name in a segment asks its program to end with a restart file."""

LOCK = ".lock"
"""Held by the program that runs in a job's folder, and by a worker of Parsl around it."""

GOES_ON = ("walltime", "killed", "error")
"""Failures that the next run tries again; the others are results."""

EXPLODED = re.compile(r"Non-numeric|Fix halt condition for fix-id exploded|not finite|too far|NaN|Pressure.*inf")
LOST_ATOMS = re.compile(r"Lost atoms|Out of range atoms|atoms are missing")


class JobFolder:
    """The folder of one job below the output folder ``out``."""

    def __init__(self, out: Path, job: Job):
        self.job, self.path = job, Path(out) / job.id
        self.log = LOGS[job.engine]

    def record(self) -> dict:
        """``job.json``, or ``{"status": "waiting"}``."""
        return read_job(self.path)

    def is_stale(self) -> bool:
        """Whether something was run here with other inputs than the job's. Properties never are: each measurement knows its own inputs."""
        found = self.record()
        if self.job.kind == "properties":
            return False
        return "hash" in found and found["hash"] != self.job.hash

    def changes(self) -> list[str]:
        """Names of inputs that differ from those of what was run here."""
        before, now = self.record().get("inputs", {}), self.job.inputs
        names = []
        for key in now:
            if before.get(key) == now[key]:
                continue
            if isinstance(now[key], dict) and isinstance(before.get(key), dict):
                names += sorted(name for name in now[key].keys() | before[key].keys() if now[key].get(name) != before[key].get(name))
            else:
                names.append(key)
        return names

    def segments(self) -> list[Path]:
        """Starts of the program so far, oldest first."""
        return sorted((self.path / "segments").glob("[0-9][0-9][0-9]"))

    def restart_file(self) -> Path | None:
        """The newest complete restart file."""
        for segment in reversed(self.segments()):
            whole = [path for path in segment.glob("run.restart.?") if self._is_whole(path)]
            if whole:
                return max(whole, key=lambda path: path.stat().st_mtime_ns)
        return None

    def _is_whole(self, path: Path) -> bool:
        if self.job.engine == "lammps":
            return is_whole_restart(path)
        from metalff.sweep.ase_engine import is_whole

        return is_whole(path)

    def open_segment(self) -> tuple[Path, list[str]]:
        """A new segment with its input files, and the arguments of ``lmp``, or of Python, that continue from the newest restart file."""
        restart = self.restart_file() if self.job.kind in MD else None
        earlier = self.segments()
        segment = self.path / "segments" / f"{int(earlier[-1].name) + 1 if earlier else 1:03d}"
        make_folder(segment)
        found = self.record()
        self._write({"status": "running", "starts": found.get("starts", 0) + 1 if found.get("hash") == self.job.hash else 1})
        given = f"../{restart.parent.name}/{restart.name}" if restart else ""
        return segment, self._lammps(segment, given) if self.job.engine == "lammps" else self._python(segment, given)

    def _lammps(self, segment: Path, restart: str) -> list[str]:
        script = SCRIPTS[self.job.kind]
        shutil.copyfile(shared("lammps_inputs", script), segment / script)
        (segment / "pot.in").write_text("\n".join(self.job.potential.lammps_commands()) + "\n")
        variables = {"potential": "pot.in", "prefix": "run", **self.job.variables} | ({"restart": restart} if restart else {})
        arguments = ["-in", script, "-log", self.log, "-nocite"]
        for name, value in variables.items():
            arguments += ["-var", name, value]
        return arguments

    def _python(self, segment: Path, restart: str) -> list[str]:
        job = self.job
        order = {"kind": job.kind, "element": job.element, "spec": job.spec, "variables": job.variables, "stages": job.stages, "frames": job.frames}
        order |= {"settings": job.settings, "restart": restart, "out": str(self.path.absolute())}
        (segment / ORDER).write_text(json.dumps(order))
        return ["-m", "metalff.sweep.ase_engine" if job.engine == "ase" else "metalff.sweep.measuring", ORDER]

    def step(self) -> int:
        """The newest step in the log of the newest segment that has one."""
        for segment in reversed(self.segments()):
            if (step := log.last_step(segment / self.log)) is not None:
                return step
        return 0

    def is_complete(self) -> bool:
        """Whether the last step has been reached, or all is measured."""
        if self.job.kind in MD:
            return self.step() >= self.job.steps
        return bool(self.segments()) and (self.segments()[-1] / "done").is_file()

    def is_locked(self) -> bool:
        """Whether a worker, or a program that one has left, writes here."""
        return is_locked(self.path / LOCK)

    def take_lock(self) -> int | None:
        """A descriptor that locks the folder as long as any process keeps it; None where another process has it."""
        make_folder(self.path)
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            lock(descriptor, self.path)
            return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None

    def ask_to_stop(self) -> None:
        """Ask the program of the newest segment to end with a restart file."""
        if self.segments():
            (self.segments()[-1] / STOP).touch()

    def was_asked_to_stop(self) -> bool:
        return bool(self.segments()) and (self.segments()[-1] / STOP).exists()

    def error(self) -> str:
        """The last error sentence in the newest segment, or the last line that its program wrote."""
        segment = self.segments()[-1]
        if sentence := log.error(segment / self.log, segment / "screen.txt"):
            return sentence
        lines = (segment / "screen.txt").read_text(errors="replace").split("\n") if (segment / "screen.txt").is_file() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word").removeprefix("metalff: error: ")

    def kind_of_error(self, sentence: str) -> str:
        """``lost_atoms``, ``exploded`` or ``error``."""
        if LOST_ATOMS.search(sentence):
            return "lost_atoms"
        return "exploded" if EXPLODED.search(sentence) else "error"

    def fail(self, kind: str, sentence: str, step: int | None = None) -> dict:
        """Record a failure with the last good frame; the segments stay, so that a run that goes on does so from the newest restart file.

        Args:
            kind: ``exploded``, ``lost_atoms``, ``walltime``, ``killed`` or ``error``.
            step: at which; None: the newest in the log.
        """
        name, at = None, step
        if self.job.kind in MD:
            at = self.step() if step is None else step
            kept = runs.last_good_frame(self.job, self.segments(), at + 1 if step is None else at)
            if kept is not None:
                name = "last.xyz"
                kept[1].info.update(step=kept[0], time_ps=kept[0] * float(self.job.variables["timestep"]) / 1000)
                with atomic_path(self.path / name) as temporary:
                    kept[1].write(temporary, format="extxyz")
        starts = self.record().get("starts", 1)
        failure = {"kind": kind, "sentence": sentence, "step": at, "last_frame": name}
        return self._write({"status": "failed", "failure": failure, "atoms": self.job.atoms or None, "starts": starts})

    def cancel(self) -> dict:
        """Record that the run was ended by the user; its segments stay."""
        return self._write({"status": "cancelled", "step": self.step(), "starts": self.record().get("starts", 1)})

    def finish(self, command: str) -> dict:
        """Turn complete segments into the results.

        Args:
            command: command line of the last segment, for the record.
        Raises:
            Lost: rows or frames are missing; ``go_back`` lets them be run again.
            Exploded: numbers are not finite.
        """
        own = self._finish_run() if self.job.kind in MD else self._finish_measurements()
        record = self._write({"status": "finished", "command": command} | own)
        self.clean()
        return record

    def _finish_run(self) -> dict:
        segments = [segment for segment in self.segments() if (segment / self.log).is_file()]
        rows, frames = runs.merged(segments, self.log)
        more = tuple(name.lower() for name in log.columns(segments[-1] / self.log)[len(log.COLUMNS) :])
        thermo = runs.table(self.job, rows, more)
        trajectory = runs.trajectory(self.job, rows, frames)
        with atomic_write(self.path / "thermo.csv") as stream:
            thermo.to_csv(stream, index=False, float_format="%.12g")
        write_trajectory(trajectory, self.path / "trajectory.h5")
        with atomic_write(self.path / self.log) as stream:
            for segment in segments:
                stream.write((segment / self.log).read_text(errors="replace"))
        for name in (SCRIPTS[self.job.kind], "pot.in") if self.job.engine == "lammps" else (ORDER,):
            shutil.copyfile(segments[-1] / name, self.path / name)
            sync(self.path / name)
        sync(self.path)
        (self.path / "last.xyz").unlink(missing_ok=True)
        atom_steps, seconds = np.sum([log.speed(segment / self.log) for segment in segments], axis=0)
        return {
            "unstable": runs.unstable(self.job, thermo, trajectory),
            "values": runs.summary(self.job, thermo, trajectory),
            "atoms": trajectory.positions.shape[1],
            "wall_s": round(sum(_duration(segment, self.log) for segment in segments), 3),
            "atom_steps_per_s": round(atom_steps / seconds, 1) if seconds else None,
            "starts": len(segments),
            "lammps": log.version(segments[-1] / self.log),
            "files": {name: sha256(self.path / name) for name in ("trajectory.h5", "thermo.csv")},
        }

    def _finish_measurements(self) -> dict:
        segments = self.segments()
        said = json.loads((segments[-1] / "done").read_text("utf-8"))
        sync(self.path)
        return {
            "unstable": "",
            "atoms": None,
            "wall_s": round(sum(_duration(segment, self.log) for segment in segments), 3),
            "atom_steps_per_s": None,
            "starts": len(segments),
            "values": said["values"],
            "files": {name: sha256(self.path / name) for name in said["files"]},
        }

    def is_whole(self) -> bool:
        """Whether the files of a finished job are there."""
        return all((self.path / name).is_file() for name in self.record().get("files", {}))

    def damaged(self) -> list[str]:
        """Files of a finished job that are not those which were written; each is read."""
        return [
            name for name, digest in self.record().get("files", {}).items() if not (self.path / name).is_file() or sha256(self.path / name) != digest
        ]

    def take_from(self, other: "JobFolder") -> dict:
        """The results of a finished job with the same inputs, as links to its files."""
        make_folder(self.path)
        found = other.record()
        for name in (*found["files"], other.log, *((SCRIPTS[self.job.kind], "pot.in") if self.job.engine == "lammps" else (ORDER,))):
            with atomic_path(self.path / name) as temporary:
                os.unlink(temporary)
                try:
                    os.link(other.path / name, temporary)
                except OSError:
                    shutil.copyfile(other.path / name, temporary)
        return self._write({key: value for key, value in found.items() if key not in ("hash", "inputs")} | {"same_as": other.job.id})

    def go_back(self, step: int) -> None:
        """Remove the segment that has lost ``step``, and all after it: the next start goes on from the restart file before them, or from the beginning."""
        segments = self.segments()
        starts = [log.first_step(segment / self.log) for segment in segments]
        last = max((k for k, start in enumerate(starts) if start is not None and start <= step), default=0)
        for segment in reversed(segments[last:]):
            shutil.rmtree(segment)

    def clean(self) -> None:
        """Remove the segments of a finished job."""
        shutil.rmtree(self.path / "segments", ignore_errors=True)

    def forget(self) -> None:
        """Remove all that was run here."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, content: dict) -> dict:
        content = content | {"hash": self.job.hash, "inputs": self.job.inputs}
        with atomic_write(self.path / "job.json") as stream:
            json.dump(content, stream, indent=1, allow_nan=False)
            stream.write("\n")
        return content


def read_job(folder: Path) -> dict:
    """``job.json`` of a folder, or ``{"status": "waiting"}``.

    Raises:
        MetalffError: it is damaged.
    """
    path = Path(folder) / "job.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        found["status"], found.get("hash")
        return found
    except FileNotFoundError:
        return {"status": "waiting"}
    except (ValueError, TypeError, KeyError) as error:
        raise MetalffError(f"{path} is damaged; remove it and run the sweep again") from error


def python_command(arguments: list[str]) -> list[str]:
    return [sys.executable, *arguments]


def _duration(segment: Path, log_name: str) -> float:
    """Seconds from the start of the program to the last line of its log."""
    first = segment / ("pot.in" if (segment / "pot.in").exists() else ORDER)
    return max(0.0, (segment / log_name).stat().st_mtime - first.stat().st_mtime)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
