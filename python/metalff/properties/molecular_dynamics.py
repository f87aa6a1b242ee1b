"""Molecular dynamics for measurements: stretches of time, one after the other, kept on disk as they come.

A measurement asks for stretches by name: ``follow(subject, "600K", start, stage)``. Where the subject has a folder for checkpoints every
``KEPT`` frames become one file with the state that they end with. What is there already is not run again, so that a measurement that was
killed goes on where it was; velocities and positions continue exactly, the inner variables of thermostat and barostat begin at rest.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers

from metalff.errors import MetalffError
from metalff.paths import atomic_write, make_folder
from metalff.properties.measurement import Skip, Subject
from metalff.simulation import DAMP, PRESSURE_DAMP, BlownUp, Simulation, time_step
from metalff.validate.distributions import unwrapped
from metalff.validate.order import phase, solid_fraction
from metalff.validate.stability import shortest_distance

KEPT = 50
"""Frames of one file."""

APART = 0.35
"""A run has blown up when two atoms are closer than this part of the nearest-neighbour distance of the crystal."""

MELT = (2.0, 2.5, 3.0, 4.0)
"""Temperatures at which melting is tried, one after the other, in those of the liquid that is wanted."""

MELT_PS = 4.0

MOLTEN = 0.2
"""Solid fraction below which a cell is liquid."""

HOT = 3.0
"""A run whose temperature exceeds its target by this factor has blown up."""

GPA = 1 / units.GPa
"""eV/Å³ in GPa."""

KINETIC = 1.0364269e-4
"""eV of one u (Å/ps)²."""

BOLTZMANN = 8.617333262e-5
"""eV/K."""


@dataclass(frozen=True)
class Stage:
    """What a stretch of time is like.

    Attributes:
        ensemble: ``npt`` (no pressure), ``nvt`` or ``nve``.
        temperature: K, at its beginning; of ``nve`` only the limit of what is physical.
        ps: how long.
        every_ps: between frames.
        end: K, at its end; None: as at the beginning.
    """

    ensemble: str
    temperature: float
    ps: float
    every_ps: float = 0.1
    end: float | None = None


@dataclass(frozen=True, eq=False)
class State:
    """Attributes: positions[N,3] Å in the cell, velocities[N,3] Å/ps (None: drawn at the start), lengths[3] Å of the orthogonal cell."""

    positions: np.ndarray
    velocities: np.ndarray | None
    lengths: np.ndarray

    def scaled(self, lengths) -> "State":
        """In a cell of other lengths."""
        return State(self.positions * (lengths / self.lengths), self.velocities, np.asarray(lengths, float))


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames of one stage.

    Attributes:
        time: [F] ps since the beginning of the stage.
        positions: [F,N,3] Å, in the cell.
        velocities: [F,N,3] Å/ps.
        forces: [F,N,3] eV/Å.
        lengths: [F,3] Å.
        potential: [F] eV.
        pressure: [F,3,3] GPa, kinetic part included.
        last: state at the end.
        mass: u.
    """

    time: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    forces: np.ndarray
    lengths: np.ndarray
    potential: np.ndarray
    pressure: np.ndarray
    last: State
    mass: float

    @property
    def cells(self) -> np.ndarray:
        """[F,3,3] Å."""
        return np.einsum("fi,ij->fij", self.lengths, np.eye(3))

    @property
    def unwrapped(self) -> np.ndarray:
        """[F,N,3] Å, without jumps across the cell."""
        return unwrapped(self.positions, self.cells)

    @property
    def kinetic(self) -> np.ndarray:
        """[F] eV."""
        return 0.5 * KINETIC * self.mass * (self.velocities**2).sum(axis=(1, 2))

    @property
    def temperature(self) -> np.ndarray:
        """[F] K."""
        return self.kinetic / (1.5 * BOLTZMANN * (self.positions.shape[1] - 1))

    @property
    def volume(self) -> np.ndarray:
        """[F] Å³."""
        return self.lengths.prod(axis=1)

    def solid_fractions(self, crystal: str, most: int = 50) -> np.ndarray:
        """Of at most so many frames, evenly spaced."""
        chosen = np.unique(np.linspace(0, len(self.time) - 1, most).astype(int))
        return np.array([solid_fraction(self.positions[k], self.cells[k], crystal) for k in chosen])

    def phase(self, crystal: str) -> str:
        return phase(self.solid_fractions(crystal))


class LammpsEngine:
    """A ``Simulation``, asked in picoseconds."""

    def __init__(self, subject: Subject, state: State, temperature: float):
        self.metal = subject.metal
        self.simulation = Simulation(subject.potential, _atoms(subject.element, state), temperature, subject.settings.seed)
        if state.velocities is not None:
            self.simulation.give_velocities(state.velocities)
        self.dt = self.simulation.dt

    def begin(self, ensemble: str, temperature: float, isotropic: bool) -> None:
        if ensemble == "npt":
            self.simulation.barostat(temperature, isotropic)
        elif ensemble == "nvt":
            self.simulation.thermostat(temperature)
        else:
            self.simulation.free()

    def run(self, steps: int) -> None:
        self.simulation.run(steps)

    def look(self) -> dict[str, np.ndarray]:
        frame = self.simulation.frame(0.0, "", "", 0)
        return {
            "positions": frame.positions,
            "velocities": self.simulation.velocities(),
            "forces": frame.forces,
            "lengths": np.diag(frame.cell).copy(),
            "potential": np.array(frame.energy),
            "virial": -np.asarray(frame.stress),
        }

    def close(self) -> None:
        self.simulation.close()


class AseEngine:
    """Molecular dynamics of ASE, for potentials that LAMMPS does not have; a barostat keeps the shape of the cell."""

    def __init__(self, subject: Subject, state: State, temperature: float):
        self.atoms = _atoms(subject.element, state)
        self.atoms.calc = subject.calculator
        self.dt = time_step(subject.element)
        velocities = state.velocities
        if velocities is None:
            width = np.sqrt(2 * BOLTZMANN * temperature / (KINETIC * self.atoms.get_masses()[0]))
            velocities = np.random.default_rng(subject.settings.seed).normal(0, width, self.atoms.positions.shape)
            velocities -= velocities.mean(axis=0)
        self.atoms.set_velocities(velocities / (1000 * units.fs))

    def begin(self, ensemble: str, temperature: float, isotropic: bool) -> None:
        from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
        from ase.md.verlet import VelocityVerlet

        step, ps = 1000 * self.dt * units.fs, 1000 * units.fs
        if ensemble == "npt":
            self.mover = IsotropicMTKNPT(self.atoms, step, temperature_K=temperature, pressure_au=0.0, tdamp=DAMP * ps, pdamp=PRESSURE_DAMP * ps)
        elif ensemble == "nvt":
            self.mover = NoseHooverChainNVT(self.atoms, step, temperature_K=temperature, tdamp=DAMP * ps)
        else:
            self.mover = VelocityVerlet(self.atoms, step)

    def run(self, steps: int) -> None:
        try:
            self.mover.run(steps)
        except MetalffError as error:
            raise BlownUp(str(error)) from None

    def look(self) -> dict[str, np.ndarray]:
        lengths = self.atoms.cell.lengths()
        return {
            "positions": self.atoms.positions % lengths,
            "velocities": self.atoms.get_velocities() * (1000 * units.fs),
            "forces": self.atoms.get_forces(),
            "lengths": lengths,
            "potential": np.array(self.atoms.get_potential_energy()),
            "virial": -self.atoms.get_stress(voigt=False),
        }

    def close(self) -> None:
        pass


def _atoms(element: str, state: State) -> Atoms:
    return Atoms(element * len(state.positions), positions=state.positions, cell=state.lengths, pbc=True)


def in_lammps(subject: Subject) -> bool:
    """Whether LAMMPS has a pair style of the potential."""
    return subject.potential.kind not in ("universal", "tb")


def need_lammps(subject: Subject) -> None:
    """Raises: Skip: there is no pair style."""
    if not in_lammps(subject):
        raise Skip(f"{subject.potential.name} runs in ASE only, and this needs LAMMPS")


def repeats(cell, atoms: int) -> tuple[int, int, int]:
    """Of a unit cell, so that the block is near a cube of about so many atoms, and no edge is a single cell."""
    lengths = cell.cell.lengths()
    edge = (atoms / len(cell) * cell.get_volume()) ** (1 / 3)
    return tuple(max(2, round(edge / length)) for length in lengths)


def crystal_start(subject: Subject) -> State:
    """A block of the relaxed crystal, about ``md_atoms`` of it, at rest."""
    atoms = subject.cell * repeats(subject.cell, subject.settings.md_atoms)
    return State(atoms.get_positions(wrap=True), None, atoms.cell.lengths())


def follow(subject: Subject, label: str, start: State, stage: Stage, isotropic: bool | None = None) -> Stretch:
    """Run a stage, or what is left of it.

    Args:
        label: of its checkpoints, unique in a measurement.
        start: where it begins.
        isotropic: whether a barostat keeps the shape; None: as the crystal has it (hcp has two lengths).
    Raises:
        MetalffError: the run is not physical; the sentence says when it was last.
    """
    isotropic = subject.metal.crystal != "hcp" if isotropic is None else isotropic
    parts, state, done = kept_parts(subject, label), start, 0
    if parts:
        done = sum(len(part["potential"]) for part in parts)
        state = State(parts[-1]["positions"][-1], parts[-1]["velocities"][-1], parts[-1]["lengths"][-1])
    frames = max(2, round(stage.ps / stage.every_ps))
    if done < frames:
        engine = (LammpsEngine if in_lammps(subject) else AseEngine)(subject, state, stage.temperature)
        try:
            _go_on(subject, engine, label, stage, isotropic, frames, parts)
        finally:
            engine.close()
    return _joined(parts, stage, subject.element)


def _go_on(subject, engine, label, stage, isotropic, frames, parts) -> None:
    """Append what is missing to ``parts``, in files of ``KEPT`` frames."""
    steps = max(1, round(stage.every_ps / engine.dt))
    done = sum(len(part["potential"]) for part in parts)
    hottest, moving = HOT * max(stage.temperature, stage.end or 0), False
    while done < frames:
        new = min(KEPT, frames - done)
        looks = []
        for place in range(done, done + new):
            if not moving or stage.end:
                engine.begin(stage.ensemble, _on_the_way(stage, (place + 1) / frames), isotropic)
                moving = True
            try:
                engine.run(steps)
                looks.append(_checked(engine.look(), hottest, subject.element))
            except BlownUp as error:
                good = place * steps * engine.dt
                raise MetalffError(
                    f"molecular dynamics at {stage.temperature:.0f} K ({label}) blew up: {error}; last good at {good:.2f} ps"
                ) from None
        part = {name: np.array([look[name] for look in looks]) for name in looks[0]} | {"step_ps": np.array(steps * engine.dt)}
        near = shortest_distance(part["positions"][-1:], np.diag(part["lengths"][-1])[None])[0]
        if near < APART * subject.metal.nearest_neighbour:
            good = done * steps * engine.dt
            raise MetalffError(
                f"molecular dynamics at {stage.temperature:.0f} K ({label}) blew up: two atoms are {near:.2f} Å apart; last good at {good:.2f} ps"
            )
        keep_part(subject, label, len(parts), part)
        parts.append(part)
        done += new
        subject.tell(label, done / frames)


def _on_the_way(stage: Stage, part: float) -> float:
    return stage.temperature + part * ((stage.end or stage.temperature) - stage.temperature)


def _checked(look: dict, hottest: float, element: str) -> dict:
    mass = float(atomic_masses[atomic_numbers[element]])
    temperature = KINETIC * mass * float((look["velocities"] ** 2).sum()) / (3 * BOLTZMANN * len(look["velocities"]))
    if not (np.isfinite(look["potential"]) and np.isfinite(temperature)):
        raise BlownUp("the energy is not finite")
    if temperature > hottest:
        raise BlownUp(f"the temperature has risen to {temperature:.0f} K")
    return look


def _joined(parts: list[dict], stage: Stage, element: str) -> Stretch:
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "step_ps"}
    mass = float(atomic_masses[atomic_numbers[element]])
    volume = whole["lengths"].prod(axis=1)
    kinetic = KINETIC * mass * np.einsum("fna,fnb->fab", whole["velocities"], whole["velocities"]) / volume[:, None, None]
    return Stretch(
        (1 + np.arange(len(volume))) * float(parts[0]["step_ps"]),
        whole["positions"],
        whole["velocities"],
        whole["forces"],
        whole["lengths"],
        whole["potential"],
        (whole["virial"] + kinetic) * GPA,
        State(whole["positions"][-1], whole["velocities"][-1], whole["lengths"][-1]),
        mass,
    )


def kept_parts(subject: Subject, label: str) -> list[dict]:
    """Files of a stretch, up to the first that is missing or damaged."""
    parts = []
    while subject.work is not None:
        try:
            with np.load(_file(subject, label, len(parts))) as content:
                parts.append({name: content[name] for name in content.files})
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            break
    return parts


def keep_part(subject: Subject, label: str, number: int, part: dict) -> None:
    """Write a file of a stretch, where there is a folder for it."""
    if subject.work is None:
        return
    make_folder(subject.work)
    with atomic_write(_file(subject, label, number), "wb") as stream:
        np.savez(stream, **part)


def _file(subject: Subject, label: str, number: int) -> Path:
    return subject.work / f"{label}-{number:04d}.npz"


def settled(subject: Subject, label: str, start: State, temperature: float, isotropic: bool | None = None) -> State:
    """At this temperature (K) and no pressure: equilibrated for ``md_equilibrate``, then as long again to average the lengths, which the cell is given."""
    ps = subject.settings.md_equilibrate
    before = follow(subject, f"{label}-settle", start, Stage("npt", temperature, ps), isotropic)
    mean = follow(subject, f"{label}-average", before.last, Stage("npt", temperature, ps), isotropic)
    return mean.last.scaled(mean.lengths.mean(axis=0))


def melted(subject: Subject, label: str, start: State, temperature: float) -> State:
    """A liquid at this temperature (K) and no pressure, melted where that is hot enough by structure, then cooled.

    Raises:
        MetalffError: it does not melt.
    """
    for factor in MELT:
        hot = follow(subject, f"{label}-melt-{factor:g}", start, Stage("npt", factor * temperature, MELT_PS), isotropic=True)
        fractions = hot.solid_fractions(subject.metal.crystal, 8)
        if max(fractions[-3:]) < MOLTEN:
            cooled = follow(subject, f"{label}-cool", hot.last, Stage("npt", factor * temperature, MELT_PS, end=temperature), isotropic=True)
            return settled(subject, label, cooled.last, temperature, isotropic=True)
    raise MetalffError(f"the cell does not melt at {MELT[-1] * temperature:.0f} K within {MELT_PS:g} ps")
