"""``metalff dft``: labels of structures by DFT, from a queue."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, group
from metalff.cli.options import duration, out_folder
from metalff.cli.options import jobs as jobs_option

Folder = Annotated[Path, typer.Argument(help="Folder of the queue.")]


def register(app: typer.Typer) -> None:
    dft = group("DFT labels: queue structures, run, status, stop; sets that --data reads.")
    add(dft, "queue", queue, "Make the queue of a plan: draw or read its structures, list its labels.")
    add(dft, "run", run, "Label what is not labelled yet; run it again to go on after any interruption.", {"--workers": "--jobs"})
    add(dft, "status", status, "Done, failed with the reason, time left; noise of the k-mesh.")
    add(dft, "stop", stop, "Let running labels finish, end everyone who works on the queue, put labels into their sets.")
    add(dft, "pause", pause, "Let running labels sleep until `metalff dft resume`.")
    add(dft, "resume", resume, "Wake what `metalff dft pause` put to sleep.")
    app.add_typer(dft, name="dft")


def queue(
    plan: Annotated[Path, typer.Argument(help="plan.yaml: parts with metals or structures, smearings, calculator.")],
    out: out_folder("Folder of the queue, instead of `out` in the plan.", Path | None) = None,
    extend: Annotated[bool, typer.Option("--extend", help="Add what the plan has more than the queue.")] = False,
    jobs: jobs_option("Metals whose structures are drawn,") = None,
) -> None:
    from metalff.dft.queue import make
    from metalff.progress import Bar

    with Bar() as bar:
        bar.update("reading the plan", 0, None, None)
        made = make(plan, out, extend, jobs or len(os.sched_getaffinity(0)), lambda text: bar.update(text, 0, None, None))
    sets = list(dict.fromkeys(task.set for task in made.tasks))
    done = sum(made.is_done(task) for task in made.tasks)
    typer.echo(f"{made.folder}: {len(made.tasks)} labels in {len(sets)} sets ({', '.join(sets)}), {done} done")
    typer.echo(f"next: metalff dft run {made.folder}")
    give({"folder": made.folder, "labels": len(made.tasks), "sets": sets, "done": done})


def run(
    folder: Folder,
    jobs: jobs_option("Labels") = None,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Niceness of the calculators.")] = 0,
    background: Annotated[bool, typer.Option("--background", help="Detach from the terminal; `metalff dft stop` ends it.")] = False,
    again: Annotated[bool, typer.Option("--retry-failed", help="Try failed labels again.")] = False,
    budget: duration("--budget", "Begin no label after this wall time.") = None,
) -> None:
    from metalff.dft import control
    from metalff.dft import run as runs
    from metalff.dft.progress import RunProgress
    from metalff.dft.queue import Queue
    from metalff.errors import MetalffError

    found = Queue(folder)
    workers = jobs or len(os.sched_getaffinity(0))
    runs.check(found)
    if again:
        for path in (found.folder / "failed").glob("*.json"):
            path.unlink()
    if background:
        words = ["--jobs", str(workers), "--nice", str(nice), *(["--budget", f"{budget}s"] if budget else [])]
        pid = control.in_background(found, words)
        log = found.work / control.LOG
        typer.echo(
            f"already at work on {folder}; what it says: {log}" if pid is None else f"at work on {folder} (process {pid}); what it says: {log}"
        )
        typer.echo(f"metalff dft status {folder}, metalff dft stop {folder}")
        give({"folder": folder, "process": pid, "log": log})
        return

    def end(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with RunProgress(found, workers) as shown:
        complete = runs.run(found, workers, nice, shown, budget)
    typer.echo(f"sets: {found.folder / 'sets'}")
    failed = sum(found.is_failed(task) for task in found.tasks)
    give({"sets": found.folder / "sets", "labels": len(found.tasks), "failed": failed, "complete": complete})
    if failed:
        raise MetalffError(f"{failed} of {len(found.tasks)} labels failed; metalff dft status {folder} tells why, --retry-failed tries them again")
    if not complete:
        typer.echo("stopped before the end; the same command goes on", err=True)


def status(folder: Folder) -> None:
    from metalff.dft import control, noise
    from metalff.dft.progress import lines, seconds_left, table
    from metalff.dft.queue import Queue
    from metalff.progress import clock

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
    give({"folder": folder, "labels": total, "done": done, "seconds_left": left, "state": state, "noise": noise.table(found), "rows": rows})


def stop(
    folder: Folder,
    now: Annotated[bool, typer.Option("--now", help="End running labels instead of waiting for them; they are made again.")] = False,
) -> None:
    from metalff.dft import control
    from metalff.dft.queue import Queue
    from metalff.progress import Bar

    found = Queue(folder)
    with Bar() as bar:
        count = control.stop(found, now, lambda left: bar.update(f"{left} label{'s' if left > 1 else ''} still running", 0, None, None))
    done = sum(found.is_done(task) for task in found.tasks)
    typer.echo(f"{'ended' if now else 'finished'} {count} running labels; {done} of {len(found.tasks)} are done")
    give({"folder": folder, "ended": count, "labels": len(found.tasks), "done": done})


def pause(folder: Folder) -> None:
    from metalff.dft import control
    from metalff.dft.queue import Queue

    control.pause(Queue(folder))
    typer.echo(f"paused; metalff dft resume {folder} goes on")
    give({"folder": folder, "state": "paused"})


def resume(folder: Folder) -> None:
    from metalff.dft import control
    from metalff.dft.queue import Queue

    control.go_on(Queue(folder))
    typer.echo("going on")
    give({"folder": folder, "state": "going on"})
