"""Relaxation of atoms in a fixed cell."""

from ase.optimize import BFGS, FIRE

from metalff.errors import MetalffError


def relax(atoms, calculator, settings, what: str):
    """Relax ``atoms`` in place until no force exceeds ``settings.force``; returns their energy (eV).

    Args:
        what: for the sentence, such as ``the vacancy``.
    Raises:
        MetalffError: it does not relax within ``settings.steps``.
    """
    atoms.calc = calculator
    few = min(40, settings.steps)
    if not BFGS(atoms, logfile=None).run(fmax=settings.force, steps=few) and not FIRE(atoms, logfile=None).run(
        fmax=settings.force, steps=settings.steps
    ):
        raise MetalffError(f"{what} does not relax to {settings.force:g} eV/Å within {settings.steps} steps; the potential may have no minimum there")
    return float(atoms.get_potential_energy())
