"""``metalff sweep``: every potential at every temperature, in LAMMPS."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import out_folder


def register(app: typer.Typer) -> None:
    text = "Run potentials over temperatures in LAMMPS; run it again to resume after an interruption."
    add(app, "sweep", sweep, text, {"--workers": "--jobs"})


def sweep(
    plan: Annotated[Path, typer.Argument(help="sweep.yaml: crystal, potentials, temperatures, steps.")],
    out: out_folder("Folder of the results, instead of `out` in the plan.", Path | None) = None,
    jobs: jobs_option("Jobs, instead of `workers` in the plan,") = None,
) -> None:
    from metalff.sweep.sweep import interrupted, run_sweep

    try:
        folder, complete = run_sweep(plan, out, jobs, ["metalff", *sys.argv[1:]])
    except KeyboardInterrupt:
        typer.echo(interrupted(["metalff", *sys.argv[1:]]), err=True)
        raise typer.Exit(130) from None
    typer.echo(f"results: {folder}")
    give({"results": folder, "complete": complete} | json.loads((folder / "sweep.json").read_text("utf-8")))
    if not complete:
        typer.echo("some jobs failed (see above); mend the cause and run the same command again to go on with them", err=True)
        raise typer.Exit(1)
