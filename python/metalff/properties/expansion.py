"""Thermal expansion by molecular dynamics."""

import numpy as np

from metalff.errors import MetalffError
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, crystal_start, follow, settled
from metalff.validate.blocks import mean_interval
from metalff.validate.order import solid_frames

TEMPERATURES = 5

HIGHEST = (900.0, 0.75)
"""K, and part of the melting temperature: the lower one is the highest temperature."""

RESAMPLES = 2000

ROOM = 300.0
"""K."""


def temperatures(melting: float) -> np.ndarray:
    """[TEMPERATURES] K, evenly spaced from the first to the highest."""
    highest = min(HIGHEST[0], HIGHEST[1] * melting)
    return np.round(highest * np.arange(1, TEMPERATURES + 1) / TEMPERATURES)


def coefficient(temperature, length, at: float):
    """Linear expansion d ln a / dT (1/K) at a temperature, of a parabola through lengths [n] at temperatures [n] that begin with the crystal at rest.

    The parabola goes through the first point; columns of ``length`` [n,k] are fitted side by side.
    """
    temperature, length = np.asarray(temperature, float), np.asarray(length, float)
    t = temperature[1:] - temperature[0]
    terms = np.linalg.lstsq(np.stack([t, t**2], axis=1), length[1:] - length[0], rcond=None)[0]
    x = at - temperature[0]
    return (terms[0] + 2 * terms[1] * x) / (length[0] + terms[0] * x + terms[1] * x**2)


def bootstrap(temperature, length, error, at: float, seed: int = 0) -> tuple[float, float, float]:
    """The coefficient and its 95 % interval, by drawing lengths within their standard errors.

    Args:
        temperature, length, error: [n] K, Å, Å; the first is the crystal at rest, without error.
    """
    drawn = np.asarray(length)[:, None] + np.asarray(error)[:, None] * np.random.default_rng(seed).standard_normal((len(length), RESAMPLES))
    low, high = np.quantile(coefficient(temperature, drawn, at), (0.025, 0.975))
    return float(coefficient(temperature, length, at)), float(low), float(high)


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up."""
    known, settings = subject.metal, subject.settings
    modulus = subject.found["eos"].values["bulk_modulus"].value
    at_rest = crystal_start(subject)
    unit = subject.cell.cell.lengths()
    times, rows, errors, warnings = [0.0], [unit], [0.0], []
    for temperature in temperatures(known.melting_temperature):
        label = f"{temperature:.0f}K"
        state = settled(subject, label, at_rest, temperature)
        stretch = follow(subject, label, state, Stage("nvt", temperature, settings.md_sample, min(0.05, settings.md_sample / 20)))
        solid = solid_frames(stretch.solid_fractions(known.crystal))
        if solid < 1:
            warnings.append(f"at {temperature:.0f} K only {100 * solid:.0f} % of the frames are solid; left out")
            continue
        mean, low, high = mean_interval(np.trace(stretch.pressure, axis1=1, axis2=2) / 3)
        times.append(float(temperature))
        rows.append(unit * (state.lengths / at_rest.lengths) * (1 + mean / (3 * modulus)))
        errors.append((high - low) / 2 / 1.96 / (3 * modulus))
    if len(times) < 3:
        raise MetalffError("the crystal stays solid at fewer than two temperatures, too few for an expansion")
    times, lengths = np.array(times), np.array(rows)
    length = np.cbrt(lengths.prod(axis=1) / unit.prod()) * unit[0]  # of a cube as large
    at = min(ROOM, times[-1])
    best, low, high = (1e6 * part for part in bootstrap(times, length, np.array(errors) * length, at, settings.seed))
    values = {"expansion": Value(best, "1e-6/K", low, high), f"a_{at:.0f}K": Value(float(np.interp(at, times, lengths[:, 0])), "Å")}
    half = 1.96 * np.array(errors)
    curves = {"a": _curve(times, lengths[:, 0], half, "a (Å)", "a")}
    if known.crystal == "hcp":
        curves["c"] = _curve(times, lengths[:, 2], half, "c (Å)", "c")
    notes = (f"{len(at_rest.positions)} atoms, {settings.md_sample:g} ps at each of {len(times) - 1} temperatures, the coefficient at {at:.0f} K",)
    return Measured(values, curves, notes, tuple(warnings))


def _curve(times, lengths, half, label: str, group: str) -> Curve:
    low, high = lengths * (1 - half), lengths * (1 + half)
    return Curve(times.tolist(), lengths.tolist(), "temperature (K)", label, group, low.tolist(), high.tolist())


MEASUREMENTS = (
    Measurement(
        "expansion",
        "Thermal expansion",
        3,
        run,
        1,
        """Linear expansion (1e-6/K) at 300 K and lattice constants against temperature, of molecular dynamics at five temperatures up to 900 K or 0.75 of the melting temperature.
At each a barostat gives the volume of no pressure; at that volume the mean pressure corrects what the average missed, by the bulk modulus of `eos`, as pressures
average faster than volumes. The coefficient is the slope of a parabola through the lengths and the crystal at rest; its 95 % interval comes of blocks of the
pressure, drawn anew 2000 times. Of hcp it is a third of the expansion of the volume, and a and c are averages of
the barostat. Atoms are classical: below half the Debye temperature the true crystal
expands less (see `quasi_harmonic`), and electrons are not there. Metals that melt below 400 K are measured at their highest temperature.""",
        needs=("lattice", "eos"),
        settings=("seed", "md_atoms", "md_equilibrate", "md_sample"),
    ),
)
