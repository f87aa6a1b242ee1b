"""``metalff check FILE``."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.errors import MetalffError


def register(app: typer.Typer) -> None:
    @app.command()
    def check(
        file: Annotated[Path, typer.Argument(help="an .mlff file")],
        precision: Annotated[str, typer.Option(help="double or single")] = "double",
        engine: Annotated[str, typer.Option(help="auto, torch or native")] = "auto",
        device: Annotated[str, typer.Option(help="cpu or cuda:N")] = "cpu",
    ) -> None:
        """Replay the self-test: does this machine give the numbers of the framework that trained the model?"""
        from metalff.artifact import open_artifact
        from metalff.selftest import replay

        outcome = replay(open_artifact(file), precision, device, engine=engine)
        verdict = "passed" if outcome.passed else "FAILED"
        typer.echo(
            f"{verdict}: {outcome.structures} structures, largest deviation {outcome.describe()} "
            f"(tolerance {outcome.tolerance:g})"
        )
        if not outcome.passed:
            raise MetalffError(f"'{file}' fails its self-test on this machine: do not use it here")
