"""What all commands share: ``--json``, earlier names of options, tables in their own width."""

import functools
import inspect
import json
import math
import os
import sys
from contextlib import redirect_stdout
from contextvars import ContextVar
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from metalff.errors import nearest

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_stdout = ContextVar("stdout", default=None)
"""Where the result goes with ``--json``; None without."""


class Command(TyperCommand):
    """A command whose options may have had other names, which still work but are not shown."""

    formerly: dict[str, str] = {}
    """Earlier name → name."""

    def parse_args(self, ctx, args):
        return super().parse_args(ctx, [self._current(word) for word in args])

    def _current(self, word: str) -> str:
        name, equals, value = word.partition("=")
        return self.formerly.get(name, name) + equals + value


class Group(TyperGroup):
    """Commands under one name; one that is not there is refused with the nearest that is."""

    def resolve_command(self, ctx, args):
        if not ctx.resilient_parsing and args and args[0] not in self.commands:
            known = [name for name, command in self.commands.items() if not command.hidden]
            ctx.fail(f"no command {args[0]}{nearest(args[0], known)}; there are {', '.join(known)}")
        return super().resolve_command(ctx, args)


def add(app: typer.Typer, name: str, function, help: str, formerly: dict[str, str] | None = None, kind=Command, **more) -> None:
    """Add a command that takes ``--json``; its function calls ``give`` once, with the result.

    Args:
        help: one sentence.
        formerly: earlier names of its options, with their names now.
        kind: its class.
        more: see ``typer.Typer.command``.
    """
    own = type(kind.__name__, (kind,), {"formerly": formerly or {}})
    app.command(name, help=help, cls=own, **more)(_with_json(function))


def group(help: str) -> typer.Typer:
    """Commands under one name."""
    made = typer.Typer(help=help, cls=Group, no_args_is_help=True)
    made.callback()(lambda: None)  # a group also where it has one command
    return made


def _with_json(function):
    own = inspect.signature(function)

    @functools.wraps(function)
    def run(*args, as_json: bool = False, **said):
        if not as_json:
            return function(*args, **said)
        token = _stdout.set(sys.stdout)
        try:
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # what is for people
                return function(*args, **said)
        finally:
            _stdout.reset(token)

    flag = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), flag])
    return run


def give(result) -> None:
    """The result of a command for programs: written as JSON where the user asked for it, and where not, nothing happens.

    Args:
        result: of dictionaries, lists, dataclasses, arrays and paths; numbers that are not finite become null.
    """
    stream = _stdout.get()
    if stream is not None:
        stream.write(json.dumps(_plain(result), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        stream.flush()


def plain_console(width: int | None = None):
    """A console of rich on which names are text: ``zuo2020-Cu:train:`` is no emoji there, and ``[group=aimd]`` no style."""
    from rich.console import Console

    return Console(width=width, markup=False, emoji=False)


def whole(shown) -> None:
    """Print a table of rich in its own width, whatever that of the terminal: a number that is cut is none."""
    from rich.measure import Measurement

    console = plain_console(1000)
    shown.caption, note = None, shown.caption
    plain_console(Measurement.get(console, console.options, shown).maximum).print(shown)
    if note:
        typer.echo(note)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value):
        return _plain(asdict(value))
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
