"""Work done in a child process that faults.c, preloaded, disturbs at one call after the other; started by test_faults.py.

Arguments: scenario, fault, stride between the calls, folder. Prints JSON: how many calls were tried, what was wrong afterwards, what the child said.
"""

import ctypes
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import h5py  # noqa: F401  before the forks
import numpy as np
import pandas
import pyarrow.parquet  # noqa: F401

import metalff
import metalff.properties.run  # noqa: F401
import metalff.validate.parity  # noqa: F401
from metalff.data import store
from metalff.errors import MetalffError
from metalff.sweep.expand import jobs
from metalff.sweep.job import JobFolder
from metalff.sweep.plan import read_plan
from metalff.sweep.run import locked
from metalff.sweep.trajectory import read_trajectory

KILL, FULL, NO_LOCKS = 1, 2, 3
fault = ctypes.CDLL(None)


class Job:
    """LAMMPS has ended; its segments become results, the record says so, the segments go."""

    def prepare(self, folder: Path, source: Path) -> None:
        shutil.copytree(source, folder)

    def work(self, folder: Path) -> None:
        job = self.job(folder)
        job.clean() if job.record()["status"] == "finished" else job.finish("lmp")

    def job(self, folder: Path) -> JobFolder:
        plan = read_plan(folder / "sweep.yaml")
        return JobFolder(folder / "out", jobs(plan, folder)[0])

    def wrong(self, folder: Path) -> str:
        job = self.job(folder)
        if job.record()["status"] != "finished":
            return "" if (job.path / "segments/001/run.dump").is_file() else "the segments are gone before the record says finished"
        for name, digest in job.record()["files"].items():
            if hashlib.sha256((job.path / name).read_bytes()).hexdigest() != digest:
                return f"{name} is not what the record says"
        return ""

    def whole(self, folder: Path) -> str:
        path = self.job(folder).path
        if (path / "segments").exists() or len(read_trajectory(path / "trajectory.h5").steps) != 3 or len(pandas.read_csv(path / "thermo.csv")) != 4:
            return "the results are not whole"
        return ""


class Import:
    """Files of a set become HDF5, the index says so."""

    def prepare(self, folder: Path, source: Path) -> None:
        folder.mkdir()

    def work(self, folder: Path) -> None:
        os.environ["METALFF_HOME"] = str(folder)
        set_ = store.Import(Path(sys.argv[5]), "copper")
        with set_.claim():
            for file, arguments in set_.tasks().items():
                set_.add(file, store.import_file(*arguments))
            set_.finish()

    def wrong(self, folder: Path) -> str:
        os.environ["METALFF_HOME"] = str(folder)
        if not list(folder.glob("**/index.json")):
            return ""
        for found in store.index("copper")["files"].values():
            list(store.read_frames(store.home() / "copper" / found["h5"], "", None, ""))
        return ""

    def whole(self, folder: Path) -> str:
        os.environ["METALFF_HOME"] = str(folder)
        frames = store.load("copper").frames
        return "" if len(frames) == 2 and np.isfinite(frames[0].forces).all() else "the set is not whole"


class Validation:
    """A potential is evaluated on a set, and the folder is written."""

    def prepare(self, folder: Path, source: Path) -> None:
        folder.mkdir()

    def work(self, folder: Path) -> None:
        metalff.run_validation("Cu/poly", sys.argv[5], out=folder / "out")

    def wrong(self, folder: Path) -> str:
        """What is there is whole, or is not called a validation."""
        if not (folder / "out" / "validate.json").exists():
            return ""
        return self.whole(folder)

    def whole(self, folder: Path) -> str:
        read = metalff.read_validation(folder / "out")
        reference, predicted, _ = read.forces("Cu/poly")
        rmse = float(np.sqrt(np.mean((reference - predicted) ** 2)))
        said = read.document["potentials"][0]["overall"]["force_rmse"]["value"]
        whole = len(read.frames) == len(list((folder / "out" / "frames.csv").open())) - 1 == read.document["dataset"]["frames"]
        return "" if whole and abs(rmse - said) < 1e-9 else "the validation is not whole"


class Properties:
    """A property is measured and kept."""

    def prepare(self, folder: Path, source: Path) -> None:
        folder.mkdir()

    def work(self, folder: Path) -> None:
        metalff.measure("Cu/poly", measurements="lattice", out=folder / "out")

    def wrong(self, folder: Path) -> str:
        return self.whole(folder) if (folder / "out" / "properties.json").exists() else ""

    def whole(self, folder: Path) -> str:
        (row,) = metalff.read_properties(folder / "out")["results"]
        return "" if row["status"] == "done" and abs(row["values"]["a"]["value"] - 3.63) < 0.02 else "the property is not whole"


class Lock:
    """A sweep takes its folder."""

    def prepare(self, folder: Path, source: Path) -> None:
        folder.mkdir()

    def work(self, folder: Path) -> None:
        with locked(folder, "sweep"):
            pass

    def wrong(self, folder: Path) -> str:
        return ""

    whole = wrong


def child(scenario, folder: Path, mode: int, call: int, say: int) -> None:
    """Never returns."""
    fault.fault_arm(mode, call, os.fsencode(folder))
    status = 0
    try:
        scenario.work(folder)
    except (MetalffError, OSError) as error:
        os.write(say, f"{error}\n".encode())
        status = 1
    except BaseException as error:
        os.write(say, f"traceback: {error!r}\n".encode())
        status = 2
    fault.fault_arm(0, 0, b"")
    os._exit(status)


def main(name: str, mode: int, stride: int, root: Path) -> None:
    scenario = {"job": Job, "import": Import, "validation": Validation, "properties": Properties, "lock": Lock}[name]()
    said_to, problems, call = root / "said", [], 0
    say = os.open(said_to, os.O_WRONLY | os.O_CREAT, 0o644)
    while True:
        folder = root / f"{call:04d}"
        scenario.prepare(folder, root / "source")
        if (pid := os.fork()) == 0:
            child(scenario, folder, mode, call, say)
        _, status = os.waitpid(pid, 0)
        try:
            if problem := scenario.wrong(folder):
                problems.append(f"call {call}: {problem}")
            scenario.work(folder)
            if problem := scenario.whole(folder):
                problems.append(f"call {call}, run again: {problem}")
        except Exception as error:
            problems.append(f"call {call}, run again: {error!r}")
        if left := [str(path) for path in folder.glob("**/*.part")]:
            problems.append(f"call {call}: left over: {left}")
        shutil.rmtree(folder)
        if status == 0 or mode == NO_LOCKS:
            break
        call += stride
    json.dump({"calls": call, "problems": problems, "said": sorted(set(said_to.read_text().splitlines()))}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
