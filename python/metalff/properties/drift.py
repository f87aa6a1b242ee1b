"""Conservation of the energy at constant energy and volume."""

import numpy as np
from scipy.stats import t as student

from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, crystal_start, follow, settled
from metalff.simulation import time_step
from metalff.validate.stability import BLOCKS, energy_drift

FRACTION = 0.5
"""Of the melting temperature."""

POINTS = 250
"""Of the curve."""


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up."""
    temperature = FRACTION * subject.metal.melting_temperature
    state = settled(subject, "drift", crystal_start(subject), temperature)
    thermal = follow(subject, "drift-nvt", state, Stage("nvt", temperature, subject.settings.md_equilibrate))
    every = min(0.1, subject.settings.drift_ps / (4 * BLOCKS))
    stretch = follow(subject, "drift-nve", thermal.last, Stage("nve", temperature, subject.settings.drift_ps, every))
    atoms = stretch.positions.shape[1]
    total = stretch.potential + stretch.kinetic
    found = energy_drift(stretch.time, total, atoms)
    half = None if found.slope_error is None else 1000 * found.slope_error * float(student.ppf(0.975, BLOCKS - 2))
    per_atom = 1000 * (total - total.mean()) / atoms
    ripple = per_atom - np.polyval(np.polyfit(stretch.time, per_atom, 1), stretch.time)
    slope = 1000 * found.slope
    values = {
        "drift": Value(slope, "meV/atom/ns", *(() if half is None else (slope - half, slope + half))),
        "fluctuation": Value(float(np.sqrt(np.mean(ripple**2))), "meV/atom"),
        "temperature": Value(float(stretch.temperature.mean()), "K"),
    }
    some = np.unique(np.linspace(0, len(total) - 1, POINTS).astype(int))
    curve = Curve(stretch.time[some].tolist(), per_atom[some].tolist(), "time (ps)", "total energy − mean (meV/atom)", "drift")
    notes = (f"{atoms} atoms, {found.duration_ps:.0f} ps at about {temperature:.0f} K, steps of {1000 * time_step(subject.element):.2f} fs",)
    return Measured(values, {"energy": curve}, notes)


MEASUREMENTS = (
    Measurement(
        "drift",
        "Conservation of energy",
        3,
        run,
        1,
        """Drift (meV/atom/ns) and fluctuation (meV/atom) of the total energy at constant energy and volume, of the crystal at half its melting temperature.
The slope of the total energy, with the 95 % interval of six blocks, and the root mean square about it. A step of 2 fs (less for atoms lighter than 50 u) makes the
fluctuation, which grows with its square and says nothing of the potential; a drift that is not zero within its interval comes of forces that are not the gradient
of the energy, of steps in it (a cutoff that is not smooth), or of rounding in float32 models. A drift that begins only after
longer than the run, as where atoms rarely meet a hole of the potential, is not seen. It does not say whether the energy is right.""",
        needs=("lattice",),
        settings=("seed", "md_atoms", "md_equilibrate", "drift_ps"),
    ),
)
