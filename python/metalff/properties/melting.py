"""Melting temperature by coexistence of solid and liquid (``lammps_inputs/in.coexistence``)."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from metalff.errors import MetalffError
from metalff.lammps import Instance, as_word, is_whole_restart
from metalff.paths import atomic_path, atomic_write, make_folder, shared
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, crystal_start, follow, need_lammps
from metalff.simulation import time_step
from metalff.validate.blocks import block_means, interval
from metalff.validate.order import SHARE, solid_fraction

BOTH = (0.12, 0.88)
"""Part of the atoms that is solid: outside, one phase has vanished."""

ATTEMPTS = 7
"""First guesses of the temperature."""

AWAY = 0.1
"""Part of a temperature by which the next guess goes away from it while the other side is not known."""

SLENDER = 4
"""Length of the cell in its other edges."""

STAGES_PS = {"steps_npt": 6.0, "steps_melt": 10.0, "steps_settle": 4.0}

EVERY_PS = 0.2
"""Between frames."""

KEPT = 25
"""Frames between checkpoints."""

BLOCKS = 4

BEGIN = 0.4
"""Part of the run in which the temperature finds its value."""


@dataclass(frozen=True)
class Attempt:
    """Attributes: guess: K, at which both halves began; last: K, mean at the end; phase: ``both``, ``solid`` or ``liquid`` at the end."""

    guess: float
    last: float
    phase: str


def phase_of(solid_parts) -> str:
    """What is left in the second half of a run, by the part of the atoms that is solid in each frame: ``both``, ``solid`` or ``liquid``.

    A phase has vanished where it is gone in the last quarter, or in most of the half.
    """
    half = np.asarray(solid_parts, float)[len(solid_parts) // 2 :]
    for part in (half, half[len(half) // 2 :]):
        if np.median(part) < BOTH[0]:
            return "liquid"
        if np.median(part) > BOTH[1]:
            return "solid"
    return "both"


def next_guess(attempts: list[Attempt]) -> float:
    """K, after attempts in which one phase vanished.

    Where all has melted at constant enthalpy the end is hotter than the melting temperature, where all has frozen colder: the ends are its bounds.
    Of both bounds the middle is taken, of one a tenth beyond it.

    Raises:
        MetalffError: the bounds contradict each other, as where a phase vanished by chance or the crystal is not the stable one.
    """
    above = min((one.last for one in attempts if one.phase == "liquid"), default=None)
    below = max((one.last for one in attempts if one.phase == "solid"), default=None)
    if above is not None and below is not None:
        if below >= above:
            raise MetalffError(
                f"it froze up to {below:.0f} K and melted down to {above:.0f} K: no melting temperature follows; a larger cell (melting_atoms) may tell"
            )
        return (above + below) / 2
    return above * (1 - AWAY) if above is not None else below * (1 + AWAY)


def kept(series) -> np.ndarray:
    """What is left of a series after ``BEGIN``."""
    return np.asarray(series, float)[round(BEGIN * len(series)) :]


def coexistence_temperature(temperature, blocks: int = BLOCKS) -> tuple[float, float, float]:
    """Mean temperature (K) of a run in which both phases stayed, without its beginning, and its 95 % interval by blocks.

    Blocks have to be long: interfaces move back and forth within some 15 ps.
    """
    return interval(block_means(kept(temperature), blocks))


def trend(time, temperature) -> float:
    """K by which a straight line through the kept part rises from its beginning to its end."""
    time, temperature = kept(time), kept(temperature)
    return float(np.polyfit(time, temperature, 1)[0] * (time[-1] - time[0]))


def repeats(cell, atoms: int) -> tuple[int, int, int]:
    """Of the orthogonal unit cell: a square column ``SLENDER`` times as long."""
    lengths = cell.cell.lengths()
    edge = (atoms / len(cell) * cell.get_volume() / SLENDER) ** (1 / 3)
    across = [max(3, round(edge / length)) for length in lengths[:2]]
    return *across, 2 * max(3, round(SLENDER * edge / lengths[2] / 2))


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up, or one phase vanishes from every first guess; Skip: there is no pair style."""
    need_lammps(subject)
    attempts, guess = [], float(round(subject.metal.melting_temperature))
    with tempfile.TemporaryDirectory() as temporary:
        folder = subject.work or Path(temporary)
        make_folder(folder)
        while len(attempts) < ATTEMPTS:
            whole = _solid_of_crystal(subject, guess)
            rows = _coexist(subject, guess, folder / f"{guess:.0f}K")
            rows["solid"] = np.clip(rows["solid"] / whole, 0, 1)
            last = float(np.mean(rows["temperature"][-len(rows["temperature"]) // 4 :]))
            attempts.append(Attempt(guess, last, phase_of(rows["solid"])))
            if attempts[-1].phase == "both":
                return _measured(subject, attempts, rows)
            guess = float(round(next_guess(attempts)))
    said = ", ".join(f"{one.guess:.0f} K: all {one.phase} at {one.last:.0f} K" for one in attempts)
    raise MetalffError(f"one phase vanished from every first guess ({said}); a larger cell (melting_atoms) may keep both")


def _measured(subject: Subject, attempts: list[Attempt], rows: dict) -> Measured:
    mean, low, high = coexistence_temperature(rows["temperature"])
    warnings, rise = [], trend(rows["time"], rows["temperature"])
    if abs(mean - attempts[-1].guess) > AWAY * mean:
        warnings.append(f"the edges across are those of the crystal at {attempts[-1].guess:.0f} K, more than a tenth away")
    if abs(rise) > high - low:
        warnings.append(f"the temperature still moves by {rise:+.0f} K: a longer run (melting_ps) would be surer")
    values = {"melting_temperature": Value(mean, "K", low, high), "solid_part": Value(float(kept(rows["solid"]).mean()), "")}
    time = rows["time"].tolist()
    curves = {
        "temperature": Curve(time, rows["temperature"].tolist(), "time (ps)", "temperature (K)", "coexistence"),
        "solid": Curve(time, rows["solid"].tolist(), "time (ps)", "part that is solid", "solid part"),
    }
    tried = ", ".join(f"{one.guess:.0f} K ({one.phase})" for one in attempts)
    notes = (
        f"{int(rows['atoms'])} atoms, {subject.settings.melting_ps:g} ps at constant enthalpy, from {BEGIN * subject.settings.melting_ps:g} ps on; first guesses: {tried}",
    )
    return Measured(values, curves, notes, tuple(warnings), {"attempts": [[one.guess, one.last, one.phase] for one in attempts]})


def _solid_of_crystal(subject: Subject, temperature: float) -> float:
    """Part of the atoms of the hot crystal alone that count as solid.

    Raises:
        MetalffError: it is none.
    """
    stretch = follow(subject, f"crystal-{temperature:.0f}K", crystal_start(subject), Stage("npt", temperature, STAGES_PS["steps_npt"]))
    fractions = stretch.solid_fractions(subject.metal.crystal)
    found = float(np.mean(fractions[len(fractions) // 2 :]))
    # a superheated crystal may melt within the few ps; its first frames are still one
    return found if found >= SHARE else max(SHARE, float(np.max(fractions)))


def _coexist(subject: Subject, guess: float, path: Path) -> dict:
    """Time (ps), temperature (K) and part that is solid of each frame at constant enthalpy, from ``path``'s checkpoints on.

    Raises:
        MetalffError: the run is not physical.
    """
    rows, begun = _checkpoint(path)
    frames = max(8, round(subject.settings.melting_ps / EVERY_PS))
    if len(rows["time"]) < frames:
        lammps = Instance()
        try:
            _prepare(lammps, subject, guess, path, begun)
            steps = round(EVERY_PS / time_step(subject.element))
            while len(rows["time"]) < frames:
                _sample(lammps, subject, guess, rows, min(KEPT, frames - len(rows["time"])), steps)
                _save(lammps, rows, path)
                subject.tell(f"coexistence from {guess:.0f} K", len(rows["time"]) / frames)
        finally:
            lammps.close()
    return {name: np.array(values) for name, values in rows.items()}


def _prepare(lammps: Instance, subject: Subject, guess: float, path: Path, begun: int) -> None:
    """Run ``in.coexistence`` to the beginning of its last stage, from the newest restart file."""
    known, cell, step = subject.metal, subject.cell, time_step(subject.element)
    nx, ny, nz = repeats(cell, subject.settings.melting_atoms)
    (path.parent / "pot.in").write_text("\n".join(subject.potential.lammps_commands()) + "\n")
    variables = {
        "potential": path.parent / "pot.in",
        "prefix": path,
        "element": subject.element,
        "mass": atomic_masses[atomic_numbers[subject.element]],
        "lattice": known.crystal,
        "a0": float(cell.cell.lengths()[0]),
        **{"nx": nx, "ny": ny, "nz": nz},
        "T": guess,
        "timestep": 1000 * step,
        "seed": subject.settings.seed,
        "thermo_interval": 100_000,
        "dump_interval": 1_000_000,
        "restart_interval": 1000,
        **{name: round(ps / step) for name, ps in STAGES_PS.items()},
        "steps_nph": 0,
    }
    if begun:
        variables |= {"restart": _state_file(path, begun), "steps_nph": begun - sum(round(ps / step) for ps in STAGES_PS.values())}
    elif restart := [file for file in path.parent.glob(f"{path.name}.restart.?") if is_whole_restart(file)]:
        variables["restart"] = max(restart, key=lambda file: file.stat().st_mtime_ns)
    for name, value in variables.items():
        lammps.command(f"variable {name} index {as_word(value)}")
    try:
        lammps.call(lammps.lmp.file, str(shared("lammps_inputs", "in.coexistence")))
    except MetalffError as error:
        raise MetalffError(f"coexistence at {guess:.0f} K blew up before it was sampled: {error}") from None
    lammps.command("restart 0")
    lammps.command("undump last")


def _sample(lammps: Instance, subject: Subject, guess: float, rows: dict, frames: int, steps: int) -> None:
    """Append so many frames to ``rows``."""
    lmp, every = lammps.lmp, steps * time_step(subject.element)
    for _ in range(frames):
        good = len(rows["time"]) * every
        try:
            lammps.command(f"run {steps} post no")
        except MetalffError as error:
            raise MetalffError(f"coexistence from {guess:.0f} K blew up: {error}; last good at {good:.1f} ps") from None
        temperature = float(lmp.get_thermo("temp"))
        if not np.isfinite(temperature) or temperature > 3 * guess:
            raise MetalffError(f"coexistence from {guess:.0f} K blew up: the temperature is {temperature:.0f} K; last good at {good:.1f} ps")
        low, high = (np.array(side) for side in lmp.extract_box()[:2])
        positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
        rows["time"].append(good + every)
        rows["temperature"].append(temperature)
        rows["solid"].append(solid_fraction((positions - low) % (high - low), np.diag(high - low), subject.metal.crystal))
        rows["atoms"] = len(positions)


def _state_file(path: Path, step: int) -> Path:
    return path.with_name(f"{path.name}.{step}.state")


def _save(lammps: Instance, rows: dict, path: Path) -> None:
    """The state of LAMMPS, then what was found up to it; the state before is not needed any more."""
    step = int(lammps.lmp.get_thermo("step"))
    with atomic_path(_state_file(path, step)) as temporary:
        lammps.command(f"write_restart {as_word(temporary)} noinit")
    with atomic_write(path.with_suffix(".json")) as stream:
        json.dump({**rows, "step": step}, stream)
    for file in path.parent.glob(f"{path.name}.*.state"):
        if file != _state_file(path, step):
            file.unlink()


def _checkpoint(path: Path) -> tuple[dict, int]:
    """Rows so far, and the step of LAMMPS that they end with; none where the checkpoint is not whole."""
    try:
        rows = json.loads(path.with_suffix(".json").read_text("utf-8"))
        step = rows.pop("step")
        if is_whole_restart(_state_file(path, step)):
            return rows, step
    except (OSError, ValueError, KeyError):
        pass
    return {"time": [], "temperature": [], "solid": [], "atoms": 0}, 0


MEASUREMENTS = (
    Measurement(
        "melting",
        "Melting temperature",
        4,
        run,
        1,
        """Melting temperature (K) by coexistence of solid and liquid at constant enthalpy (J. R. Morris et al., Phys. Rev. B 49, 3109 (1994)).
Half of a column of the crystal is melted, then the thermostat is taken away: where the cell is too hot it melts and cools, where too cold it freezes and heats, until
both phases can be. Each frame is judged by the bonds of its atoms, as a part of what the crystal alone has at that temperature; where one phase has vanished there is no
result from that guess, its end is a bound for the next, and seven guesses are made. The mean from two fifths of the run on with the 95 % interval of four blocks; the edges across
stay those of the crystal at the guess, an error in second order. Interfaces move back and forth within some 15 ps, so that 2000 atoms and 100 ps give some 15 K; the
interval does not have what a larger cell would change (some 10 K). The crystal is that of the table of metals, also where the potential
has a more stable one. Experiment is of the metal, and DFT may be off by 100 K.""",
        needs=("lattice",),
        settings=("seed", "md_atoms", "melting_atoms", "melting_ps"),
    ),
)
