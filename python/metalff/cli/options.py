"""Options that several commands share: an option has one name, one type and one meaning wherever it is."""

import functools
import inspect
import re
from pathlib import Path
from typing import Annotated

import typer

from metalff.errors import MetalffError
from metalff.paths import check_file, check_folder

PICOSECONDS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3}


def out_folder(text: str, kind=Path):
    """``--out``, a folder; refused before any work where it cannot be one."""

    def check(value: kind) -> Path | None:
        return value if value is None else check_folder(value)

    return Annotated[kind, typer.Option("--out", "-o", metavar="FOLDER", callback=check, help=text)]


def out_file(text: str, example: str, kind=Path):
    """``--out``, a file; refused before any work where it cannot be written."""

    def check(value: kind) -> Path | None:
        return value if value is None else check_file(value, example)

    return Annotated[kind, typer.Option("--out", "-o", metavar="FILE", callback=check, help=text)]


def out_of(text: str):
    """``--out``, a folder, or a file where what is read is one; the command checks which."""

    def check(value: Path) -> Path:
        check_folder(value.parent)
        return value

    return Annotated[Path, typer.Option("--out", "-o", metavar="PATH", callback=check, help=text)]


def jobs(what: str):
    """``--jobs``: how many of ``what`` at a time."""
    return Annotated[int | None, typer.Option("--jobs", "-j", min=1, help=f"{what} at a time; default: number of cores.")]


def duration(name: str, text: str):
    """Wall time, in seconds for the command."""

    def parse(said: str) -> float:
        from metalff.train.configuration import seconds

        return seconds(said) if isinstance(said, str) else said

    return Annotated[float | None, typer.Option(name, parser=parse, metavar="DURATION", help=f"{text} Such as 90s, 15min, 2h or 1h30m.")]


def md_time(name: str, text: str, kind=float):
    """Time that passes in molecular dynamics, in ps for the command."""

    def parse(said: str) -> float:
        return picoseconds(said, name) if isinstance(said, str) else said

    return Annotated[kind, typer.Option(name, parser=parse, metavar="MD-TIME", help=f"{text} Such as 500fs, 20ps or 0.1ns.")]


def picoseconds(text: str, option: str) -> float:
    """``20ps``, ``500fs``, ``0.1ns`` in ps.

    Raises:
        MetalffError: not such a time, or not longer than zero.
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(fs|ps|ns)", text.strip())
    if not found or not float(found[1]):
        raise MetalffError(f"{option} {text!r} is no length of a run; give one such as 20ps, 500fs or 0.1ns")
    return float(found[1]) * PICOSECONDS[found[2]]


def precisions(names: dict[str, str], kind=str):
    """``--precision``; double and float64 are the same, single and float32 too.

    Args:
        names: what the command calls ``double`` and ``single``.
    """
    same = {"float64": names["double"], "float32": names["single"]} | names

    def parse(said: str) -> str:
        return same.get(said, said)

    return Annotated[kind, typer.Option("--precision", parser=parse, metavar="PRECISION", help="double or single; float64 and float32 are the same.")]


RUNNING = {"double": "double", "single": "single"}
TRAINING = {"double": "float64", "single": "float32"}
"""Names of precisions where models run, and in the configuration of a training."""


def _option(kind, name: str, text: str):
    return Annotated[kind | None, typer.Option(name, help=text)]


LABELS = {
    "energy_key": _option(str, "--energy-key", "Of the files' headers, where it is none of the usual names: eV."),
    "forces_key": _option(str, "--forces-key", "Column with the forces: eV/Å."),
    "stress_key": _option(str, "--stress-key", "eV/Å³, negative under compression."),
    "virial_key": _option(str, "--virial-key", "eV: −stress × volume."),
    "stress_factor": _option(float, "--stress-factor", "Multiply stresses and virials: 6.2415e-4 for kbar, −1 for the other sign."),
}
"""Names of options, all None where nothing is said."""


def with_keys(command):
    """A command that takes the options of ``LABELS`` and gets them as ``keys``."""
    own = inspect.signature(command)
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in LABELS.items()]

    @functools.wraps(command)
    def run(*args, **said):
        return command(*args, keys=keys_of(**{name: said.pop(name) for name in LABELS}), **said)

    run.__signature__ = own.replace(parameters=[p for p in own.parameters.values() if p.name != "keys"] + more)
    return run


def keys_of(energy_key, forces_key, stress_key, virial_key, stress_factor):
    """``metalff.data.Keys`` of the options.

    Raises:
        MetalffError: both a stress and a virial, or a factor of zero.
    """
    from metalff.data import Keys

    if stress_key and virial_key:
        raise MetalffError("give --stress-key or --virial-key, not both")
    if stress_factor == 0.0:
        raise MetalffError("--stress-factor 0 would make all stresses zero; leave them out with --stress-weight 0 in the training")
    return Keys(energy_key, forces_key, stress_key, virial_key, 1.0 if stress_factor is None else stress_factor)
