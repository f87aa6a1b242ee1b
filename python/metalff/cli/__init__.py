"""The ``metalff`` command: one file per sub-command; each defines ``register(app)``."""

import importlib
import sys
import warnings

COMMANDS = [
    "train",
    "deploy",
    "inspect",
    "check",
    "sweep",
    "validate",
    "compare",
    "benchmark",
    "study",
    "report",
    "speed",
    "potentials",
    "data",
    "dft",
    "env",
    "doctor",
]


def build_app():
    from typing import Annotated

    import typer

    from metalff.cli.command import Group

    app = typer.Typer(
        name="metalff",
        cls=Group,
        help="Machine-learned force fields for metals: train, deploy, run in LAMMPS and ASE, compare with DFT.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    def version(asked: bool) -> None:
        if asked:
            from importlib import metadata

            typer.echo(f"metalff {metadata.version('metalff')}")
            raise typer.Exit()

    @app.callback()
    def root(version: Annotated[bool, typer.Option("--version", is_eager=True, callback=version, help="Print the version.")] = False) -> None:
        pass

    for name in COMMANDS:
        importlib.import_module(f"metalff.cli.{name}").register(app)
    return app


def main() -> None:
    """Entry point: user errors become one sentence on stderr and exit status 1, Ctrl-C exits with 130."""
    from metalff.errors import MetalffError, need_torch

    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    try:
        try:
            build_app()(prog_name="metalff")
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            need_torch("this command")
            raise
    except MetalffError as error:
        sys.exit(f"metalff: error: {error}")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"metalff: error: {error.strerror or error}{where}")
    except KeyboardInterrupt:
        print("metalff: interrupted", file=sys.stderr)
        sys.exit(130)
