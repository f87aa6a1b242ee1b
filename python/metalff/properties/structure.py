"""Structure at temperatures: g(r), bond angles, and whether it is solid, frame by frame."""

import numpy as np

from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, crystal_start, follow, melted, settled
from metalff.validate import distributions
from metalff.validate.order import solid_frames
from metalff.validate.structure import radial_distribution

ROOM = 300.0
"""K."""

FRACTIONS = (0.5, 0.9)
"""Of the melting temperature, beside ``ROOM``."""

LIQUID = 1.2
"""Of the melting temperature, melted first."""

FRAMES = 50
"""That g(r) and angles are averaged over."""


def temperatures(melting: float) -> list[float]:
    """K, of crystals."""
    return sorted({float(round(t)) for t in (min(ROOM, 0.7 * melting), *(part * melting for part in FRACTIONS))})


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up, or the crystal does not melt."""
    crystal, melting, settings = subject.metal.crystal, subject.metal.melting_temperature, subject.settings
    values, curves, warnings, phases = {}, {}, [], {}
    hot = float(round(LIQUID * melting))
    for temperature in (*temperatures(melting), hot):
        label = f"{temperature:.0f}K"
        start = crystal_start(subject)
        state = melted(subject, label, start, temperature) if temperature == hot else settled(subject, label, start, temperature)
        stretch = follow(subject, label, state, Stage("nvt", temperature, settings.md_sample))
        fractions = stretch.solid_fractions(crystal)
        solid = solid_frames(fractions)
        phases[label] = {"temperature": temperature, "solid_fraction": fractions.tolist(), "solid_frames": solid}
        values[f"solid_frames_{label}"] = Value(solid, "")
        expected = "liquid" if temperature == hot else "solid"
        if (expected == "solid") != (solid > 0.5) or 0 < solid < 1:
            warnings.append(f"at {temperature:.0f} K {100 * solid:.0f} % of the frames are solid, where experiment is {expected}")
        some = np.unique(np.linspace(0, len(stretch.time) - 1, FRAMES).astype(int))
        positions, cells = stretch.positions[some], stretch.cells[some]
        r, g = radial_distribution(positions, cells)
        reach = distributions.first_minimum(r, g)
        angle, density = distributions.bond_angles(positions, cells, reach)
        values[f"first_peak_{label}"] = Value(float(r[np.argmax(g)]), "Å")
        values[f"coordination_{label}"] = Value(_coordination(r, g, reach, stretch), "")
        curves[f"g(r) {label}"] = Curve(r.tolist(), g.tolist(), "r (Å)", "g(r)", "g(r)")
        curves[f"angles {label}"] = Curve(angle.tolist(), density.tolist(), "bond angle (degree)", "density (1/degree)", "angles")
    notes = (f"{stretch.positions.shape[1]} atoms, {settings.md_sample:g} ps each; {hot:.0f} K melted first",)
    return Measured(values, curves, notes, tuple(warnings), {"phases": phases})


def _coordination(r, g, reach: float, stretch) -> float:
    """Atoms within the first minimum: 4π ρ ∫ g r² dr."""
    density = stretch.positions.shape[1] / stretch.volume.mean()
    inside = r <= reach
    return float(4 * np.pi * density * np.sum(g[inside] * r[inside] ** 2) * (r[1] - r[0]))


MEASUREMENTS = (
    Measurement(
        "structure",
        "Structure",
        3,
        run,
        1,
        """g(r), bond angles and the part of frames that are solid, of the crystal at room temperature, 0.5 and 0.9 of the melting temperature and of the liquid at 1.2.
Constant volume, that of no pressure at each temperature; frames are solid or liquid by the bonds of their atoms (Rein ten Wolde, Ruiz-Montero and Frenkel, 1996),
each frame by itself: a crystal that melts below experiment's melting temperature, or a liquid that freezes, is warned of. The melting temperature is
experiment's: a potential that melts at another one is not wrong at the same fraction of its own (see `melting`). Some 250 atoms suppress long phonons, so peaks
are slightly too sharp; a crystal without surface or defect may be superheated by 20 %, so that `solid` at 0.9 does not show that it melts above.""",
        needs=("lattice",),
        settings=("seed", "md_atoms", "md_equilibrate", "md_sample"),
    ),
)
