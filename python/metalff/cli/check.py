"""``metalff check FILE``."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give
from metalff.cli.options import RUNNING, precisions
from metalff.errors import MetalffError


def register(app: typer.Typer) -> None:
    add(app, "check", check, "Replay the self-test: does this machine give the numbers of the framework that trained the model?")


def check(
    file: Annotated[Path, typer.Argument(help="An .mlff file, or the name of a bundled model such as Cu/poly.")],
    precision: precisions(RUNNING) = "double",
    engine: Annotated[str, typer.Option(help="auto, torch or native.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda:N.")] = "cpu",
) -> None:
    from metalff.artifact import open_artifact
    from metalff.engines import model_file
    from metalff.selftest import replay

    file = model_file(file) if not file.exists() else file
    outcome = replay(open_artifact(file), precision, device, engine=engine)
    verdict = "passed" if outcome.passed else "FAILED"
    typer.echo(f"{verdict}: {outcome.structures} structures, largest deviation {outcome.describe()} (tolerance {outcome.tolerance:g})")
    give({"file": file, "passed": outcome.passed, **vars(outcome)})
    if not outcome.passed:
        raise MetalffError(f"'{file}' fails its self-test on this machine: do not use it here")
