"""A vacancy: formation and migration."""

import numpy as np
from ase.mep import NEB
from ase.optimize import FIRE

from metalff.data.metals import REPEATS
from metalff.errors import MetalffError
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.relaxing import relax

BARRIER_FORCE = 0.03
"""Largest force of a path, eV/Å."""


def formation_energy(subject: Subject, repeats) -> tuple[float, int]:
    """eV of a relaxed vacancy in ``repeats`` of the unit cell at constant volume, and the number of sites."""
    atoms = subject.cell * repeats
    sites = len(atoms)
    del atoms[0]
    energy = relax(atoms, subject.calculator, subject.settings, "the vacancy")
    return energy - len(atoms) * subject.bulk_energy, sites


def formation(subject: Subject) -> Measured:
    usual = np.array(REPEATS[subject.metal.crystal])
    small, few = formation_energy(subject, tuple((usual - 1).tolist()))
    large, many = formation_energy(subject, tuple(usual.tolist()))
    notes = (f"cells of {few} and {many} sites: {small:.3f} and {large:.3f} eV; the larger one counts",)
    warnings = () if large > 0 else ("a vacancy gains energy: the crystal is no minimum",)
    return Measured({"formation_energy": Value(large, "eV"), "size_effect": Value(large - small, "eV")}, notes=notes, warnings=warnings)


def hop(cell, repeats):
    """A supercell with a vacancy before and after an atom next to it jumps in: two ``ase.Atoms``."""
    full = cell * repeats
    distances = full.get_distances(0, range(1, len(full)), mic=True)
    mover = 1 + int(np.argmin(distances))
    before = full.copy()
    after = full.copy()
    after.positions[mover] = after.positions[mover] + full.get_distance(mover, 0, mic=True, vector=True)
    del before[0], after[0]
    return before, after


def migration(subject: Subject) -> Measured:
    """Raises: MetalffError: the path does not converge."""
    settings = subject.settings
    before, after = hop(subject.cell, REPEATS[subject.metal.crystal])
    for end in (before, after):
        relax(end, subject.calculator, settings, "the vacancy")
    images = [before, *(before.copy() for _ in range(settings.images)), after]
    for image in images:
        image.calc = subject.calculator
    band = NEB(images, climb=False, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(mic=True)
    FIRE(band, logfile=None).run(fmax=3 * BARRIER_FORCE, steps=settings.steps)
    band.climb = True
    if not FIRE(band, logfile=None).run(fmax=BARRIER_FORCE, steps=settings.steps):
        raise MetalffError(f"the path of the vacancy does not converge to {BARRIER_FORCE} eV/Å within {settings.steps} steps")
    energies = np.array([image.get_potential_energy() for image in images])
    energies -= energies[0]
    steps = [0.0] + [float(np.linalg.norm(b.positions - a.positions)) for a, b in zip(images, images[1:])]
    curve = Curve(np.cumsum(steps).tolist(), energies.tolist(), "path (Å)", "energy (eV)", "path")
    formed = subject.found["vacancy"].values["formation_energy"].value
    values = {"migration_energy": Value(float(energies.max()), "eV"), "activation_energy": Value(float(energies.max()) + formed, "eV")}
    return Measured(values, {"path": curve}, (f"{len(before)} atoms, {settings.images} images",))


MEASUREMENTS = (
    Measurement(
        "vacancy",
        "Vacancy",
        1,
        formation,
        1,
        """Formation energy of a vacancy (eV), atoms relaxed at constant volume.
Two supercells show what the size does (`size_effect`, larger less smaller). Experiment (positron annihilation, quenching) is at high temperature,
where anharmonic terms add up to tenths of an eV; GGA is often 0.1 to 0.3 eV below experiment, as electrons repel each other less at inner surfaces.""",
        needs=("lattice",),
        settings=("force", "steps"),
    ),
    Measurement(
        "migration",
        "Migration of the vacancy",
        2,
        migration,
        1,
        """Barrier (eV) of an atom that jumps into a vacancy beside it, by a climbing nudged elastic band (`ase.mep`); formation and migration make the activation of self-diffusion.
At constant volume, with equally relaxed ends. Of hcp it is the shortest jump, in the basal plane or out of it, whichever is the shorter; the other one may
have another barrier. In bcc a potential can have two maxima with a hollow between, which five images may miss.""",
        needs=("vacancy",),
        settings=("force", "steps", "images"),
    ),
)
