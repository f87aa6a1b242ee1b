"""A sweep from its YAML file to its folder of results."""

import os
import shlex
from pathlib import Path

from metalff.sweep.job import JobFolder
from metalff.sweep.plan import jobs, read_plan
from metalff.sweep.progress import SweepProgress
from metalff.sweep.record import Record
from metalff.sweep.run import run_jobs


def run_sweep(path, out=None, workers=None, command=()) -> tuple[Path, bool]:
    """Run, or go on with, the sweep that a YAML file describes.

    Args:
        path: ``sweep.yaml``; ``out`` and paths of potentials in it are relative to its folder.
        out: replaces ``out`` of the plan; relative to the current folder.
        workers: replaces ``workers`` of the plan.
        command: the command line, for the record.
    Returns:
        The folder of the results, and whether every job is finished.
    Raises:
        MetalffError: the plan is not valid, its folder belongs to another sweep or is in use, or the disk is full.
    """
    path = Path(path)
    plan = read_plan(path)
    if workers:
        plan = plan.model_copy(update={"workers": workers})
    out = Path(out) if out else path.parent / plan.out
    all_jobs = jobs(plan, path.parent)
    record = Record(out, plan, all_jobs, list(command))
    record.claim()
    folders = [JobFolder(out, job, plan, record.hash) for job in all_jobs]
    compile_models(folders)
    cores = len(os.sched_getaffinity(0))
    with SweepProgress(plan.steps.total, plan.workers or max(1, cores // plan.ranks)) as progress:
        return out, run_jobs(plan, folders, record, out, progress)


def compile_models(folders: list[JobFolder]) -> None:
    """Compile models on their first use on this machine, before jobs wait for it unseen and beside each other.

    Raises:
        MetalffError: there is no compiler, or the model fails its self-test here.
    """
    from rich.console import Console

    say = Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print
    waiting = [folder.job.potential for folder in folders if folder.record()["status"] != "finished"]
    for file in dict.fromkeys(potential.files[0] for potential in waiting if potential.kind == "mlff"):
        from metalff.compiled import prepare

        prepare(file, say=say)


def interrupted(command) -> str:
    """What to tell the user after Ctrl-C."""
    return f"interrupted; nothing finished is lost. To go on from the last restart files: {shlex.join(command)}"
