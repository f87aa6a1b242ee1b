"""Molecular dynamics in ASE, for models without a pair style: the stages, log, frames and restart files of LAMMPS' scripts.

``python -m metalff.sweep.ase_engine order.json`` in a segment's folder. It writes ``log.ase`` and ``run.dump`` in the columns of LAMMPS, so that
results are made of them in the same way. A restart keeps positions, velocities and cell; the inner variables of thermostat and barostat begin at rest.
"""

import json
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from metalff.errors import MetalffError
from metalff.lammps import BAR_PER_EV_A3
from metalff.paths import atomic_write
from metalff.sweep.log import COLUMNS

LOG, DUMP, PREFIX, STOP = "log.ase", "run.dump", "run", "stop"

HOTTEST = 10.0
"""Multiple of the temperature beyond which a run has exploded, as in the scripts."""

PS = 1000 * units.fs

ENSEMBLES = {"equilibrate": "npt", "drift": "nve", "ramp": "npt"}
"""Of stages; that of ``sample`` is in the order."""


class Exploded(MetalffError):
    """The run is not physical any more."""


@dataclass
class Order:
    """What ``order.json`` says: variables of the script that has the same stages, last step of each stage, the stage with frames, a restart file or ''."""

    element: str
    spec: str
    variables: dict[str, str]
    stages: dict[str, int]
    frames: str
    restart: str

    def number(self, name: str) -> float:
        return float(self.variables[name])

    def ensemble(self, stage: str) -> str:
        return ENSEMBLES.get(stage) or self.variables["ensemble"]

    def temperatures(self, stage: str) -> tuple[float, float]:
        """K, at the beginning and the end of a stage."""
        first = self.number("T")
        return first, self.number("T_end") if stage == "ramp" else first


def is_whole(path) -> bool:
    """Whether a restart file is whole."""
    try:
        with np.load(path) as content:
            return {"positions", "velocities", "cell", "step"} <= set(content.files)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return False


def crystal(order: Order) -> Atoms:
    """The block of unit cells that LAMMPS' ``lattice`` makes."""
    from ase.build import bulk

    a, lattice, replicas = order.number("a0"), order.variables["lattice"], [int(order.variables[name]) for name in ("nx", "ny", "nz")]
    if lattice == "hcp":
        return bulk(order.element, "hcp", a, c=a * (8 / 3) ** 0.5, orthorhombic=True) * replicas
    return bulk(order.element, lattice, a, cubic=True) * replicas


class Run:
    """One start: from the crystal or a restart file to the last step, or until it is asked to stop."""

    def __init__(self, order: Order):
        from metalff.potentials import resolve

        self.order, self.step, self.newest = order, 0, 0
        self.atoms = crystal(order)
        self.atoms.set_masses([order.number("mass")] * len(self.atoms))
        self.atoms.calc = resolve(order.spec, [order.element]).calculator()
        self.every = {name: int(order.variables[f"{name}_interval"]) for name in ("thermo", "dump", "restart")}
        self.dt = order.number("timestep") * units.fs
        self.log, self.dump = open(LOG, "w"), None

    def start(self) -> None:
        """Velocities, or the state in the restart file."""
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

        if self.order.restart:
            with np.load(self.order.restart) as content:
                self.atoms.set_cell(content["cell"])
                self.atoms.set_positions(content["positions"])
                self.atoms.set_velocities(content["velocities"])
                self.step = int(content["step"])
            return
        # twice T: in a perfect crystal half of the kinetic energy goes into the potential energy at once
        seed = np.random.RandomState(int(self.order.variables["seed"]))
        MaxwellBoltzmannDistribution(self.atoms, temperature_K=2 * self.order.number("T"), rng=seed)
        Stationary(self.atoms)
        self.atoms.set_velocities(self.atoms.get_velocities() * np.sqrt(2 * self.order.number("T") / self._temperature()))

    def all(self) -> bool:
        """Whether the last step has been reached."""
        self._say("# molecular dynamics of MetalFF in ASE; columns and units as in LAMMPS' log, units metal")
        self.start()
        began = 0
        for stage, end in self.order.stages.items():
            if self.step < end or (self.step == end and stage == list(self.order.stages)[-1]):
                if not self._stage(stage, began, end):
                    return False
            began = end
        return True

    def _stage(self, stage: str, began: int, end: int) -> bool:
        first, clock = self.step, time.monotonic()
        self._say(" ".join(f"{name:>14}" for name in COLUMNS))
        if stage == self.order.frames:
            self.dump = open(DUMP, "a")
        mover = None
        self._row()
        self._frame(stage)
        while self.step < end:
            if mover is None or self.order.temperatures(stage)[0] != self.order.temperatures(stage)[1]:
                mover = self._mover(stage, (self.step - began) / (end - began))
            steps = min(self._next(), end) - self.step
            mover.run(steps)
            self.step += steps
            self._look(stage, end)
            if self.step < end and self.step % self.every["thermo"] == 0 and Path(STOP).exists():
                self._keep("c")
                self._say(f"Stopped at step {self.step}")
                return False
        self._say(f"Loop time of {time.monotonic() - clock:.6g} on 1 procs for {self.step - first} steps with {len(self.atoms)} atoms")
        if stage == self.order.frames:
            self.dump.close()
        return True

    def _next(self) -> int:
        """The next step at which something is written."""
        return min((self.step // every + 1) * every for every in self.every.values())

    def _look(self, stage: str, end: int) -> None:
        """Write what is due; refuse numbers that are not physical."""
        energy, temperature = self.atoms.get_potential_energy(), self._temperature()
        if not (np.isfinite(energy) and np.isfinite(self.atoms.get_forces()).all() and np.isfinite(temperature)):
            raise Exploded(f"energy or temperature is not finite at step {self.step}; the run has blown up")
        if temperature > HOTTEST * max(self.order.temperatures(stage)):
            raise Exploded(f"the temperature has risen to {temperature:.0f} K at step {self.step}: NaN or an explosion is not far")
        if self.step % self.every["thermo"] == 0 or self.step == end:
            self._row()
        self._frame(stage)
        if self.step % self.every["restart"] == 0:
            self.newest = 1 - self.newest
            self._keep("ab"[self.newest])
            with atomic_write(f"{PREFIX}.last.0") as stream:
                stream.write(self._frame_text())

    def _mover(self, stage: str, part: float):
        from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
        from ase.md.verlet import VelocityVerlet

        first, last = self.order.temperatures(stage)
        temperature, ensemble = first + part * (last - first), self.order.ensemble(stage)
        if ensemble == "nve":
            return VelocityVerlet(self.atoms, self.dt)
        if ensemble == "nvt":
            return NoseHooverChainNVT(self.atoms, self.dt, temperature_K=temperature, tdamp=100 * self.dt)
        barostat = IsotropicMTKNPT if self.order.variables["barostat"] == "iso" else MTKNPT
        return barostat(self.atoms, self.dt, temperature_K=temperature, pressure_au=0.0, tdamp=100 * self.dt, pdamp=1000 * self.dt)

    def _temperature(self) -> float:
        """K; three degrees of freedom are those of the centre, as in LAMMPS."""
        return 2 * self.atoms.get_kinetic_energy() / ((3 * len(self.atoms) - 3) * units.kB)

    def _row(self) -> None:
        atoms = self.atoms
        kinetic, potential = atoms.get_kinetic_energy(), atoms.get_potential_energy()
        pressure = -atoms.get_stress(include_ideal_gas=True)[:3].mean() * BAR_PER_EV_A3
        values = (self._temperature(), potential, kinetic, potential + kinetic, pressure, atoms.get_volume())
        self._say(f"{self.step:14d} " + " ".join(f"{value:.12g}" for value in values))

    def _frame(self, stage: str) -> None:
        if stage == self.order.frames and self.step % self.every["dump"] == 0:
            self.dump.write(self._frame_text())
            self.dump.flush()

    def _frame_text(self) -> str:
        """Positions are never wrapped here, so that they are those that LAMMPS calls unwrapped."""
        atoms = self.atoms
        lengths = atoms.cell.lengths()
        lines = ["ITEM: TIMESTEP", str(self.step), "ITEM: NUMBER OF ATOMS", str(len(atoms)), "ITEM: BOX BOUNDS pp pp pp"]
        lines += [f"0.0 {length:.17g}" for length in lengths] + ["ITEM: ATOMS id type xu yu zu vx vy vz fx fy fz"]
        numbers = np.hstack([atoms.positions, atoms.get_velocities() * PS, atoms.get_forces()])
        lines += [f"{k} 1 " + " ".join(f"{value:.12g}" for value in row) for k, row in enumerate(numbers, 1)]
        return "\n".join(lines) + "\n"

    def _keep(self, letter: str) -> None:
        state = {
            "positions": self.atoms.positions,
            "velocities": self.atoms.get_velocities(),
            "cell": self.atoms.cell.array,
            "step": np.array(self.step),
        }
        with atomic_write(f"{PREFIX}.restart.{letter}", "wb") as stream:
            np.savez(stream, **state)

    def _say(self, line: str) -> None:
        self.log.write(line + "\n")
        self.log.flush()


def main(path: str) -> int:
    content = json.loads(Path(path).read_text("utf-8"))
    try:
        Run(Order(**{name: content[name] for name in ("element", "spec", "variables", "stages", "frames", "restart")})).all()
    except MetalffError as error:
        print(f"metalff: error: {' '.join(str(error).split())}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
