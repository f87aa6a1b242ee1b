"""``metalff env``: the private environments for training and deploying, one per model family."""

from typing import Annotated

import typer

Family = Annotated[str, typer.Argument(help="Model family, such as mace.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Environments for training and deploying: create, list, remove.", no_args_is_help=True)
    group.command("create", help="Create or complete the environment of a family (some GB, needs the network).")(create)
    group.command("list", help="The environments and their state.")(list_all)
    group.command("remove", help="Delete the environment of a family.")(remove)
    app.add_typer(group, name="env")


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
        return
    with console.status("starting") as shown:

        def progress(step: str, line: str) -> None:
            if not line:
                console.print(step, highlight=False)
            width = max(20, console.width - len(step) - 8)
            shown.update(f"{step}  [dim]{line[:width].replace('[', '(').replace(']', ')')}[/dim]")

        made = environments.create(family, force, progress)
    typer.echo(f"the environment for {family} is ready: {made.path}")


def list_all() -> None:
    from metalff import environments

    for family, pins in environments.PINS.items():
        environment = environments.status(family)
        typer.echo(f"{family:<10}{environment.state:<12}{' '.join(pins)}  {environment.path}")


def remove(family: Family) -> None:
    from metalff import environments

    path = environments.status(family).path
    removed = environments.remove(family)
    typer.echo(f"removed {path}" if removed else f"there is no environment for {family}")
