"""The ``metalff`` command: one file per sub-command; each defines ``register(app)``."""

import importlib
import shlex
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
    "predict",
    "report",
    "speed",
    "potentials",
    "properties",
    "data",
    "dft",
    "fermi",
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


GOES_ON = ("benchmark", "properties", "study", "data", "dft", "fermi")
"""Commands that take up what they left, and do not say so themselves."""


def main() -> None:
    """Entry point: user errors become one sentence on stderr and exit status 1, a signal n exits with 128 + n (Ctrl-C: 130)."""
    from metalff.errors import MetalffError, need_torch
    from metalff.signals import ending

    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    with ending() as came:
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
        except (KeyboardInterrupt, SystemExit) as error:
            if isinstance(error, SystemExit) and (error.code != 130 or came.number is None):
                raise
            if sys.argv[1:2] and sys.argv[1] in GOES_ON:
                print(
                    f"metalff: interrupted; what is finished is kept, and the same command goes on: metalff {shlex.join(sys.argv[1:])}",
                    file=sys.stderr,
                )
            sys.exit(came.status)
