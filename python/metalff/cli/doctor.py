"""``metalff doctor``: is everything in order on this machine, and what to do where it is not."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    app.command("doctor", help="Check LAMMPS, MPI, torch, the plugin, the compiler and the environments.")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list for programs.")] = False,
) -> None:
    """Exit status 1 when something that MetalFF cannot work without fails."""
    from metalff.doctor import examine

    checks = []
    for check in examine():
        checks.append(check)
        if as_json:
            continue
        status = typer.style(f"{check.status:<5}", fg=COLOURS[check.status])
        advice = f" → {check.advice}" if check.advice else ""
        typer.echo(f"{status} {check.name:<18} {check.found}{advice}")
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=1, ensure_ascii=False))
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
