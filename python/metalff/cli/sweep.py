"""``metalff sweep``: potentials over metals, temperatures and kinds of runs, in LAMMPS and ASE."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import Group, add, give, whole
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import out_folder
from metalff.errors import nearest

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="sweep.yaml (docs/sweep.md), or the folder of results of an earlier run.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of results.")]
Out = out_folder("Folder of the results, instead of `out` in the plan.", Path | None)
Retry = Annotated[bool, typer.Option("--retry-failed", help="Run again what exploded or lost atoms, from the beginning.")]
Redo = Annotated[bool, typer.Option("--redo", help="Run again what was run with other inputs, such as another version.")]
ParslConfig = Annotated[
    Path | None, typer.Option("--parsl-config", metavar="FILE", help="Python file with `config`, a parsl.config.Config; it is executed.")
]


class SweepGroup(Group):
    """``metalff sweep plan.yaml`` is ``metalff sweep run plan.yaml``."""

    def parse_args(self, ctx, args):
        first = next((word for word in args if not word.startswith("-")), None)
        if (
            first is not None
            and first not in self.commands
            and not ({"-h", "--help"} & {*args[:1]})
            and (Path(first).suffix or Path(first).exists() or not nearest(first, self.commands))
        ):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    sweep = typer.Typer(
        help="Run potentials over metals, temperatures, ramps and strains: plan, run, status, resume, cancel.", cls=SweepGroup, no_args_is_help=True
    )
    sweep.callback()(lambda: None)
    add(sweep, "plan", plan, "Show what a plan would run, how long it would take and how much disk, after a quick trial of each potential.")
    add(sweep, "run", run, "Run a plan, also as `metalff sweep PLAN`; run it again to go on after an interruption.", {"--workers": "--jobs"})
    add(sweep, "status", status, "Show what is finished, running, waiting and failed, also while a manager works.")
    add(sweep, "resume", resume, "Go on with the plan that a folder of results holds.", {"--workers": "--jobs"})
    add(sweep, "cancel", cancel, "Ask who runs jobs in a folder to stop; running programs write a restart file first.")
    app.add_typer(sweep, name="sweep")


def plan(
    plan: PlanFile,
    out: Out = None,
    jobs: jobs_option("Jobs, instead of `workers` in the plan,") = None,
    no_calibrate: Annotated[bool, typer.Option("--no-calibrate", help="Run nothing: times only of potentials that were timed here before.")] = False,
) -> None:
    from metalff.progress import Bar
    from metalff.sweep.calibrate import speeds, timed_runs
    from metalff.sweep.expand import expand
    from metalff.sweep.forecast import forecast
    from metalff.sweep.job import read_job
    from metalff.sweep.run import workers_of
    from metalff.sweep.sweep import check_executor, plan_of

    found, base, folder = plan_of(plan, out)
    if jobs:
        found = found.model_copy(update={"workers": jobs})
    check_executor(found)
    all_jobs, skipped = expand(found, base)
    finished = {job.id for job in all_jobs if (record := read_job(folder / job.id))["status"] == "finished" and record.get("hash") == job.hash}
    with Bar() as bar:
        timed = timed_runs(found, all_jobs, base)
        fast = speeds(found, timed, not no_calibrate, lambda title, done, total: bar.update(f"trial of {title}", done, total, None))
    told = forecast(all_jobs, timed, finished, fast, workers_of(found))
    whole(forecast_table(told, all_jobs))
    for one in skipped:
        typer.echo(f"skipped: {one.potential} for {one.element}: {one.reason}")
    if told.hours is None:
        typer.echo("time: not known for every potential" + (" (without --no-calibrate each is tried)" if no_calibrate else ""))
    else:
        typer.echo(f"time: {time_words(told.hours * 3600)} with {workers_of(found)} jobs at a time on this machine, roughly")
    typer.echo(f"disk: {size_words(sum(row.bytes for row in told.rows))} when finished, {size_words(told.peak_bytes)} at most")
    typer.echo(f"next: metalff sweep run {plan}" + (f" --out {out}" if out else ""))
    give(
        {
            "out": folder,
            "jobs": {job.id: job.record() | {"atoms": job.atoms, "steps": job.steps, "finished": job.id in finished} for job in all_jobs},
            "skipped": [one.record() for one in skipped],
            "rows": [vars(row) for row in told.rows],
            "hours": told.hours,
            "peak_bytes": told.peak_bytes,
        }
    )


def forecast_table(told, jobs):
    """Rows of a forecast, by kind and potential."""
    from rich.table import Table

    metals = len({job.element for job in jobs})
    shown = Table(title=f"{len(jobs)} jobs for {metals} metal{'s' * (metals > 1)}")
    shown.add_column("kind")
    shown.add_column("potential", overflow="fold")
    for heading in ("metals", "jobs", "done", "steps", "one job\nat a time", "disk"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in told.rows:
        seconds = "not known" if row.unknown else time_words(row.seconds)
        shown.add_row(row.kind, row.potential, str(len(row.elements)), str(row.jobs), str(row.done), f"{row.steps:,}", seconds, size_words(row.bytes))
    return shown


def time_words(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if name != 'h' else 1}f} {name}"
    return f"{seconds / 86400:.1f} days"


def size_words(count: float) -> str:
    for limit, unit, name in ((1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (1e12, 1e9, "GB")):
        if count < limit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e12:.3g} TB"


def run(
    plan: PlanFile,
    out: Out = None,
    jobs: jobs_option("Jobs, instead of `workers` in the plan,") = None,
    retry_failed: Retry = False,
    redo: Redo = False,
    parsl_config: ParslConfig = None,
) -> None:
    """Exit status 1 where a job fails or was run with other inputs."""
    from metalff.sweep.sweep import interrupted, run_sweep

    try:
        folder, complete = run_sweep(plan, out, jobs, ["metalff", *sys.argv[1:]], retry_failed, redo, parsl_config)
    except KeyboardInterrupt:
        typer.echo(interrupted(["metalff", *sys.argv[1:]]), err=True)
        raise typer.Exit(130) from None
    typer.echo(f"results: {folder}")
    record = json.loads((folder / "sweep.json").read_text("utf-8"))
    give({"results": folder, "complete": complete} | record)
    if not complete:
        statuses = [job["status"] for job in record["jobs"].values() if job.get("of_this_plan", True)]
        if "failed" in statuses:
            typer.echo("some jobs failed (see above); mend the cause and run the same command again to go on with them", err=True)
        elif "cancelled" in statuses or "waiting" in statuses:
            typer.echo(f"cancelled; to go on: metalff sweep resume {folder}", err=True)
        raise typer.Exit(1)


def resume(
    folder: Folder,
    jobs: jobs_option("Jobs, instead of `workers` in the plan,") = None,
    retry_failed: Retry = False,
    redo: Redo = False,
    parsl_config: ParslConfig = None,
) -> None:
    """Exit status 1 where a job fails or was run with other inputs."""
    from metalff.errors import MetalffError

    if not folder.is_dir():
        raise MetalffError(f"there is no folder {folder}; resume takes the folder of results of metalff sweep run")
    run(folder, None, jobs, retry_failed, redo, parsl_config)


def status(
    folder: Folder,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file of finished jobs: truncated, altered, or of another run.")] = False,
) -> None:
    """Exit status 1 where --verify finds damage."""
    from metalff.sweep.status import status as look

    found = look(folder, verify)
    whole(status_table(found))
    for name, job in found.jobs.items():
        if job["status"] == "failed":
            typer.echo(f"{name}: failed: {failure_words(job)}")
        elif job["status"] == "stale":
            typer.echo(f"{name}: run with other inputs ({', '.join(job['stale'])}) and kept; metalff sweep resume --redo runs it again")
        elif job["status"] == "running":
            typer.echo(f"{name}: running" + (f", step {job['step']:,}" if job["step"] else ""))
        elif job.get("unstable"):
            typer.echo(f"{name}: finished, but not stable: {job['unstable']}")
    for one in found.record.get("skipped", ()):
        typer.echo(f"skipped: {one['potential']} for {one['element']}: {one['reason']}")
    for note in found.notes:
        typer.echo(note)
    typer.echo(
        ", ".join(f"{count} {name}" for name, count in found.counts.items()) + ("; a manager is at work" if found.at_work else "; nobody is at work")
    )
    if not (found.complete or found.at_work):
        typer.echo(f"to go on: metalff sweep resume {folder}")
    give({"folder": folder, "at_work": found.at_work, "complete": found.complete, "counts": found.counts, "jobs": found.jobs, "notes": found.notes})
    if verify and found.notes:
        raise typer.Exit(1)


def failure_words(job: dict) -> str:
    failure = job.get("failure")
    if not failure:
        return job.get("error", "")
    at = f" (step {failure['step']:,})" if failure["step"] else ""
    frame = f"; last good frame: {failure['last_frame']}" if failure["last_frame"] else ""
    return f"{failure['kind'].replace('_', ' ')}: {failure['sentence']}{at}{frame}"


def status_table(found):
    """Jobs by kind and potential, a column for each status."""
    from rich.table import Table

    shown = Table(title=str(found.out))
    shown.add_column("kind")
    shown.add_column("potential", overflow="fold")
    names = list(found.counts)
    for name in names:
        shown.add_column(name, justify="right")
    rows: dict[tuple[str, str], list[str]] = {}
    for job in found.jobs.values():
        potential = job["potential"].removeprefix(f"{job.get('element', '')}-")
        rows.setdefault((job.get("kind", "md"), potential), []).append(job["status"])
    for (kind, potential), statuses in rows.items():
        shown.add_row(kind, potential, *(str(statuses.count(name) or "") for name in names))
    return shown


def cancel(
    folder: Folder,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until all has stopped.")] = False,
) -> None:
    from metalff.progress import Bar
    from metalff.sweep.control import cancel as ask

    with Bar() as bar:
        found = ask(folder, not no_wait, lambda seconds: bar.update("waiting for restart files", 0, None, None))
    typer.echo(f"stopped; to go on: metalff sweep resume {folder}" if found else f"nobody runs jobs in {folder}")
    give({"folder": folder, "was_at_work": found})
