"""Options that several commands share: which keys of a file are its labels."""

from typing import Annotated

import typer

EnergyKey = Annotated[str | None, typer.Option("--energy-key", help="Of the files' headers, where it is none of the usual names: eV.")]
ForcesKey = Annotated[str | None, typer.Option("--forces-key", help="Column with the forces: eV/Å.")]
StressKey = Annotated[str | None, typer.Option("--stress-key", help="eV/Å³, negative under compression.")]
VirialKey = Annotated[str | None, typer.Option("--virial-key", help="eV: −stress × volume.")]
StressFactor = Annotated[float | None, typer.Option("--stress-factor", help="Multiply stresses and virials: 6.2415e-4 for kbar, −1 for the other sign.")]


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
