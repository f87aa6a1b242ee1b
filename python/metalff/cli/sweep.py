"""``metalff sweep``: every potential at every temperature, in LAMMPS."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command(
        "sweep", help="Run potentials over temperatures in LAMMPS; run it again to resume after an interruption."
    )(sweep)


def sweep(
    plan: Annotated[Path, typer.Argument(help="sweep.yaml: crystal, potentials, temperatures, steps.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results, instead of `out` in the plan.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time, instead of `workers` in the plan.")
    ] = None,
) -> None:
    from metalff.sweep.sweep import interrupted, run_sweep

    try:
        folder, complete = run_sweep(plan, out, workers, ["metalff", *sys.argv[1:]])
    except KeyboardInterrupt:
        typer.echo(interrupted(["metalff", *sys.argv[1:]]), err=True)
        raise typer.Exit(130) from None
    typer.echo(f"results: {folder}")
    if not complete:
        typer.echo(
            "some jobs failed (see above); mend the cause and run the same command again to go on with them", err=True
        )
        raise typer.Exit(1)
