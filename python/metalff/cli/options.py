"""Options that several commands share: which keys of a file are its labels."""

import functools
import inspect
from typing import Annotated

import typer


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
    from metalff.errors import MetalffError

    if stress_key and virial_key:
        raise MetalffError("give --stress-key or --virial-key, not both")
    if stress_factor == 0.0:
        raise MetalffError("--stress-factor 0 would make all stresses zero; leave them out with --stress-weight 0 in the training")
    return Keys(energy_key, forces_key, stress_key, virial_key, 1.0 if stress_factor is None else stress_factor)
