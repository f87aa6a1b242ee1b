"""``metalff dft``: labels of structures by DFT, from a queue."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Folder of the queue.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="DFT labels: queue structures, run, status, stop; sets that --data reads.", no_args_is_help=True)
    group.command("queue", help="Make the queue of a plan: draw or read its structures, list its labels.")(queue)
    group.command("run", help="Label what is not labelled yet; run it again to go on after any interruption.")(run)
    group.command("status", help="Done, failed with the reason, time left; noise of the k-mesh.")(status)
    group.command("stop", help="Let running labels finish, end everyone who works on the queue, put labels into their sets.")(stop)
    group.command("pause", help="Let running labels sleep until `metalff dft resume`.")(pause)
    group.command("resume", help="Wake what `metalff dft pause` put to sleep.")(resume)
    app.add_typer(group, name="dft")


def queue(
    plan: Annotated[Path, typer.Argument(help="plan.yaml: parts with metals or structures, smearings, calculator.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the queue, instead of `out` in the plan.")] = None,
    extend: Annotated[bool, typer.Option("--extend", help="Add what the plan has more than the queue.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Metals whose structures are drawn at a time; all cores by default.")] = None,
) -> None:
    from rich.console import Console

    from metalff.dft.queue import make

    console = Console(stderr=True)
    with console.status("reading the plan") as shown:
        made = make(plan, out, extend, jobs or len(os.sched_getaffinity(0)), shown.update)
    sets = list(dict.fromkeys(task.set for task in made.tasks))
    done = sum(made.is_done(task) for task in made.tasks)
    typer.echo(f"{made.folder}: {len(made.tasks)} labels in {len(sets)} sets ({', '.join(sets)}), {done} done")
    typer.echo(f"next: metalff dft run {made.folder}")


def run(
    folder: Folder,
    workers: Annotated[int | None, typer.Option(min=1, help="Labels at a time; all cores by default.")] = None,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Niceness of the calculators.")] = 0,
    background: Annotated[bool, typer.Option("--background", help="Detach from the terminal; `metalff dft stop` ends it.")] = False,
    again: Annotated[bool, typer.Option("--retry-failed", help="Try failed labels again.")] = False,
    budget: Annotated[str | None, typer.Option(help="Begin no label after this wall time, such as 2h.")] = None,
) -> None:
    from metalff.dft import control
    from metalff.dft import run as runs
    from metalff.dft.progress import RunProgress
    from metalff.dft.queue import Queue
    from metalff.errors import MetalffError
    from metalff.train.configuration import seconds

    found = Queue(folder)
    workers = workers or len(os.sched_getaffinity(0))
    limit = None if budget is None else seconds(budget)
    runs.check(found)
    if again:
        for path in (found.folder / "failed").glob("*.json"):
            path.unlink()
    if background:
        words = ["--workers", str(workers), "--nice", str(nice), *(["--budget", budget] if budget else [])]
        pid = control.in_background(found, words)
        log = found.work / control.LOG
        typer.echo(f"already at work on {folder}; what it says: {log}" if pid is None else f"at work on {folder} (process {pid}); what it says: {log}")
        typer.echo(f"metalff dft status {folder}, metalff dft stop {folder}")
        return

    def end(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with RunProgress(found, workers) as shown:
        complete = runs.run(found, workers, nice, shown, limit)
    typer.echo(f"sets: {found.folder / 'sets'}")
    failed = sum(found.is_failed(task) for task in found.tasks)
    if failed:
        raise MetalffError(f"{failed} of {len(found.tasks)} labels failed; metalff dft status {folder} tells why, --retry-failed tries them again")
    if not complete:
        typer.echo("stopped before the end; the same command goes on", err=True)


def status(folder: Folder) -> None:
    from metalff.dft import control, noise
    from metalff.dft.progress import lines, seconds_left, table
    from metalff.dft.queue import Queue
    from metalff.sweep.progress import clock

    found = Queue(folder)
    rows = table(found)
    for line in lines(rows):
        typer.echo(line)
    for row in rows:
        for where, reason in row.failed:
            typer.echo(f"failed: {row.set} {where}: {reason}")
    measured = noise.lines(noise.table(found))
    for line in ["", *measured] if measured else []:
        typer.echo(line)
    running = sum(row.running for row in rows)
    left = seconds_left(rows, max(1, running))
    done, total = sum(row.done for row in rows), len(found.tasks)
    state = "paused" if (found.work / control.PAUSE).exists() else "at work" if control.at_work(found) or running else "nobody is at work"
    eta = "" if left is None else f"; {clock(left)} left with {max(1, running)} core{'s' if running > 1 else ''}"
    typer.echo(f"\n{done} of {total} labels done{eta}; {state}")


def stop(
    folder: Folder,
    now: Annotated[bool, typer.Option("--now", help="End running labels instead of waiting for them; they are made again.")] = False,
) -> None:
    from rich.console import Console

    from metalff.dft import control
    from metalff.dft.queue import Queue

    found = Queue(folder)
    with Console(stderr=True).status("stopping") as shown:
        count = control.stop(found, now, lambda left: shown.update(f"{left} label{'s' if left > 1 else ''} still running"))
    done = sum(found.is_done(task) for task in found.tasks)
    typer.echo(f"{'ended' if now else 'finished'} {count} running labels; {done} of {len(found.tasks)} are done")


def pause(folder: Folder) -> None:
    from metalff.dft import control
    from metalff.dft.queue import Queue

    control.pause(Queue(folder))
    typer.echo(f"paused; metalff dft resume {folder} goes on")


def resume(folder: Folder) -> None:
    from metalff.dft import control
    from metalff.dft.queue import Queue

    control.go_on(Queue(folder))
    typer.echo("going on")
