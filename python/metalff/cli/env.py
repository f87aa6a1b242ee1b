"""``metalff env``: the private environments for training and deploying, one per model family."""

from dataclasses import asdict
from typing import Annotated

import typer

from metalff.cli.command import add, give, group

Family = Annotated[str, typer.Argument(help="Model family, such as mace.")]


def register(app: typer.Typer) -> None:
    env = group("Environments for training and deploying: create, list, remove.")
    add(env, "create", create, "Create or complete the environment of a family (some GB, needs the network).")
    add(env, "list", list_all, "The environments and their state.")
    add(env, "remove", remove, "Delete the environment of a family.")
    app.add_typer(env, name="env")


def create(
    family: Family,
    force: Annotated[bool, typer.Option("--force", help="Build anew even when it is ready.")] = False,
) -> None:
    from rich.console import Console

    from metalff import environments

    console = Console(stderr=True)
    before = environments.status(family)
    if before.state == "ready" and not force:
        typer.echo(f"the environment for {family} is ready: {before.path}")
        give(before)
        return
    with console.status("starting") as shown:

        def progress(step: str, line: str) -> None:
            if not line:
                console.print(step, highlight=False)
            width = max(20, console.width - len(step) - 8)
            shown.update(f"{step}  [dim]{line[:width].replace('[', '(').replace(']', ')')}[/dim]")

        made = environments.create(family, force, progress)
    typer.echo(f"the environment for {family} is ready: {made.path}")
    give(made)


def list_all() -> None:
    from metalff import environments

    found = {family: environments.status(family) for family in environments.PINS}
    for family, environment in found.items():
        typer.echo(f"{family:<10}{environment.state:<12}{' '.join(environments.PINS[family])}  {environment.path}")
    give([asdict(environment) | {"pins": environments.PINS[family]} for family, environment in found.items()])


def remove(family: Family) -> None:
    from metalff import environments

    path = environments.status(family).path
    removed = environments.remove(family)
    typer.echo(f"removed {path}" if removed else f"there is no environment for {family}")
    give({"family": family, "path": path, "removed": removed})
