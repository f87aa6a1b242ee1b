"""``metalff doctor``: is everything in order on this machine, and what to do where it is not."""

import typer

from metalff.cli.command import add, give

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    add(app, "doctor", doctor, "Check LAMMPS, MPI, torch, the plugin, the compiler and the environments.")


def doctor() -> None:
    """Exit status 1 when something that MetalFF cannot work without fails."""
    from metalff.doctor import examine

    checks = []
    for check in examine():
        checks.append(check)
        status = typer.style(f"{check.status:<5}", fg=COLOURS[check.status])
        advice = f" → {check.advice}" if check.advice else ""
        typer.echo(f"{status} {check.name:<18} {check.found}{advice}")
    give(checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
