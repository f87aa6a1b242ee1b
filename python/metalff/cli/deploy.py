"""``metalff deploy FAMILY``."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    deploy = typer.Typer(help="Trained model → one .mlff file.", no_args_is_help=True)
    app.add_typer(deploy, name="deploy")

    @deploy.callback()
    def families() -> None:
        """Trained model → one .mlff file."""

    @deploy.command()
    def mace(
        source: Annotated[Path, typer.Argument(help="directory of 'metalff train mace', or a .model file of mace")],
        output: Annotated[Path, typer.Option("--output", "-o", help="the .mlff file to write")],
        name: Annotated[str | None, typer.Option(help="name of the model; the file's stem by default")] = None,
        licence: Annotated[str, typer.Option(help="licence of the weights, e.g. CC-BY-4.0")] = "",
    ) -> None:
        """Deploy a MACE model (ScaleShiftMACE)."""
        from metalff.deploy.mace import deploy as deploy_mace

        manifest = deploy_mace(source, output, name, licence, lambda line: typer.echo(f"  {line}"))
        size = output.stat().st_size / 1e6
        typer.echo(f"{output}: {manifest.family}, {' '.join(manifest.elements)}, {size:.1f} MB")
        typer.echo(f"next: metalff check {output}")
