"""Diffusion in the liquid."""

import numpy as np

from metalff.errors import MetalffError
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, crystal_start, follow, melted
from metalff.validate.blocks import BLOCKS, interval
from metalff.validate.order import solid_frames
from metalff.validate.structure import mean_squared_displacement
from metalff.validate.transport import diffusion_of_blocks, viscosity_of_blocks, yeh_hummer

FRACTION = 1.1
"""Of the melting temperature."""

EVERY = 0.02
"""ps between frames, short against the decay of shear stress."""

POINTS = 200


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up, the crystal does not melt, or the liquid freezes."""
    crystal, temperature = subject.metal.crystal, float(round(FRACTION * subject.metal.melting_temperature))
    state = melted(subject, "liquid", crystal_start(subject), temperature)
    stretch = follow(subject, "liquid", state, Stage("nvt", temperature, subject.settings.liquid_ps, EVERY))
    solid = solid_frames(stretch.solid_fractions(crystal))
    if solid > 0:
        raise MetalffError(
            f"the liquid freezes at {temperature:.0f} K: {100 * solid:.0f} % of its frames are solid, so that it has no diffusion of a liquid"
        )
    positions, edge = stretch.unwrapped, float(np.cbrt(stretch.volume.mean()))
    found, low, high = (10 * value for value in interval(diffusion_of_blocks(stretch.time, positions)))
    step = float(stretch.time[0])
    thick, lag = viscosity_of_blocks(stretch.pressure, step, float(stretch.volume.mean()), temperature)
    eta = interval(thick)
    values = {"diffusion_of_cell": Value(found, "1e-9 m²/s", low, high), "viscosity": Value(eta[0], "mPa s", *eta[1:])}
    taken = 10 * yeh_hummer(temperature, eta[0], edge)
    half = float(np.hypot((high - low) / 2, taken * (eta[2] - eta[1]) / 2 / eta[0]))
    values = {"diffusion": Value(found + taken, "1e-9 m²/s", found + taken - half, found + taken + half)} | values
    some = np.unique(np.linspace(0, len(stretch.time) // 2, POINTS).astype(int))
    msd = mean_squared_displacement(positions)
    curve = Curve((some * step).tolist(), msd[some].tolist(), "time (ps)", "mean squared displacement (Å²)", "msd")
    notes = (
        f"{len(state.positions)} atoms, {subject.settings.liquid_ps:g} ps at {temperature:.0f} K, {BLOCKS} blocks; edge {edge:.1f} Å; "
        f"shear stress is lost in noise after {lag:.2f} ps",
    )
    return Measured(values, {"msd": curve}, notes, (), {"temperature": temperature})


MEASUREMENTS = (
    Measurement(
        "diffusion",
        "Diffusion in the liquid",
        3,
        run,
        2,
        """Diffusion in the liquid (1e-9 m²/s) at 1.1 of experiment's melting temperature, of an infinite cell and of the one that ran, and its viscosity (mPa s).
The crystal is melted where it becomes liquid by structure, cooled, brought to no pressure, and moves at that volume; a frame that is solid fails the measurement.
D is the slope of the mean squared displacement by six, with the 95 % interval of five blocks. Images of an atom drag it: 2.837 kT/(6πηL) (Yeh and Hummer,
2004) is added, some 10 to 20 % with 250 atoms, with the viscosity η of the same run (Green and Kubo, shear stresses every 0.02 ps), whose interval is in that of D. The
temperature is experiment's: a potential with a higher melting temperature is measured undercooled and is slower there for that reason. Experiments differ by 20 %.""",
        needs=("lattice",),
        settings=("seed", "md_atoms", "md_equilibrate", "liquid_ps"),
    ),
)
