"""A sweep or campaign from its YAML file to its folder of results."""

import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import check_folder
from metalff.sweep.expand import expand
from metalff.sweep.job import JobFolder
from metalff.sweep.plan import Plan, checked_plan, read_plan
from metalff.sweep.progress import SweepProgress
from metalff.sweep.queue import CANCEL, Queue
from metalff.sweep.record import NAME, Record, mixed_versions, stored_plan
from metalff.sweep.run import locked, run_jobs, workers_of


def plan_of(path, out=None) -> tuple[Plan, Path, Path]:
    """The plan of a YAML file, of its content, or of a folder of results; the folder that its paths are relative to; the folder of results.

    Raises:
        MetalffError: the plan is not valid, or the folder holds none.
    """
    if isinstance(path, Mapping):
        plan = checked_plan(dict(path), "the plan")
        return plan, Path(), Path(out or plan.out)
    path = Path(path)
    if path.is_dir():
        if out is not None and Path(out).absolute() != path.absolute():
            raise MetalffError(f"{path} is a folder of results, which goes on where it is; leave --out out")
        plan, base = stored_plan(path)
        return plan, base, path
    plan = read_plan(path)
    return plan, path.parent, Path(out) if out else path.parent / plan.out


def run_sweep(path, out=None, workers=None, command=(), retry_failed=False, redo=False, parsl_config=None) -> tuple[Path, bool]:
    """Run, or go on with, the sweep that a YAML file describes, or that a folder of results holds.

    Args:
        path: ``sweep.yaml``; ``out`` and paths of potentials in it are relative to its folder. Or its content, with paths relative to the current
            folder. Or a folder of results.
        out: replaces ``out`` of the plan; relative to the current folder.
        workers: replaces ``workers`` of the plan.
        command: the command line, for the record.
        retry_failed: run again what has exploded or lost atoms.
        redo: run again what was run with other inputs.
        parsl_config: Python file with Parsl's ``config``, for the executor of that name.
    Returns:
        The folder of the results, and whether every job is finished.
    Raises:
        MetalffError: the plan is not valid, its folder holds something else or is in use, or the disk is full.
    """
    said, base, out = plan_of(path, out)
    plan = said
    if workers:
        plan = plan.model_copy(update={"workers": workers})
    if parsl_config is not None:
        plan = plan.model_copy(update={"executor": "parsl"})
    check_executor(plan)
    all_jobs, skipped = expand(plan, base)
    for one in skipped:
        warnings.warn(f"skipped: {one.potential} for {one.element}: {one.reason}", stacklevel=2)
    check_folder(out)
    refuse_foreign(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "sweep") as lock:
        record = Record(out, said, base, all_jobs, skipped, list(command))
        record.claim()
        (out / CANCEL).unlink(missing_ok=True)
        folders = [JobFolder(out, job) for job in all_jobs]
        compile_models(folders)
        with SweepProgress(folders, workers_of(plan)) as progress:
            queue = Queue(folders, record, out, progress, retry_failed, redo)
            tell_stale(queue, progress)
            if plan.executor == "parsl":
                from metalff.sweep.parsl_executor import run_jobs as run_by_parsl

                complete = run_by_parsl(plan, queue, out, progress, parsl_config)
            else:
                complete = run_jobs(plan, queue, out, progress, lock)
        if sentence := mixed_versions(record.content["jobs"], out):
            warnings.warn(sentence, stacklevel=2)
        (out / CANCEL).unlink(missing_ok=True)
    return out, complete


def refuse_foreign(out: Path) -> None:
    """Raises: MetalffError: the folder holds something else than a sweep."""
    if out.is_dir() and not (out / NAME).exists() and any(entry.name != ".lock" for entry in out.iterdir()):
        raise MetalffError(f"{out} is not empty and holds no sweep; choose another `out`")


def check_executor(plan: Plan) -> None:
    """Raises: MetalffError: parsl is asked for and not installed."""
    if plan.executor == "parsl":
        from metalff.errors import need_extra

        need_extra("executor: parsl", "parsl", "parsl")


def tell_stale(queue: Queue, progress) -> None:
    """What was run with other inputs, and what to do."""
    for folder in queue.stale[:5]:
        names = folder.changes()
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        progress.line(f"{folder.job.id}: kept as it is, though it was run with other inputs (it differs in {shown}); --redo runs it again")
    if len(queue.stale) > 5:
        progress.line(f"{len(queue.stale) - 5} more jobs were run with other inputs and are kept; --redo runs them again")


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
