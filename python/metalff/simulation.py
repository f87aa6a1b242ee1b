"""Molecular dynamics of one periodic cell in LAMMPS, inside this process."""

import ctypes

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from metalff.data import Frame
from metalff.errors import MetalffError
from metalff.lammps import Instance

BAR = 6.241509074e-7
"""eV/Å³."""

HEAVY = 50.0
"""Mass (u) from which on a step is ``LONGEST``; lighter atoms move faster, by the square root."""

LONGEST = 2.0
"""Longest step, fs."""

DAMP = 0.1
"""Time constant of the thermostat, ps."""

PRESSURE_DAMP = 1.0
"""Time constant of the barostat, ps."""

SKIN = 1.0
"""Neighbour lists reach so far beyond the cutoff, Å."""

HOT = 3.0
"""A run whose temperature exceeds its target by this factor has blown up."""


class BlownUp(Exception):
    """The run is not physical any more; says why."""


def time_step(symbol: str) -> float:
    """ps."""
    return 1e-3 * LONGEST * min(1.0, float(np.sqrt(atomic_masses[atomic_numbers[symbol]] / HEAVY)))


class Simulation:
    """Atoms of one element in an orthogonal periodic cell, moving.

    Args:
        potential: a ``metalff.potentials.Potential`` with LAMMPS commands.
        atoms: ``ase.Atoms``; orthogonal cell.
        temperature: K, of the first velocities, which are for twice as much, since half goes into the potential.
        seed: of the velocities.
    Raises:
        MetalffError: LAMMPS refuses the potential.
    """

    def __init__(self, potential, atoms, temperature: float, seed: int):
        self.symbol = atoms.get_chemical_symbols()[0]
        self.dt = time_step(self.symbol)
        self.count, self.seed = len(atoms), seed
        self.lammps = Instance()
        lengths = atoms.cell.lengths()
        masses = [f"mass {n} {atomic_masses[atomic_numbers[symbol]]}" for n, symbol in enumerate(potential.elements, 1)]
        for line in [
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            "boundary p p p",
            "region box block " + " ".join(f"0 {length:.17g}" for length in lengths),
            f"create_box {len(potential.elements)} box",
            *masses,
            *potential.lammps_commands(),
            *masses,  # again: pair_coeff of EAM sets those of its file
        ]:
            self.lammps.command(line)
        kind = list(potential.elements).index(self.symbol) + 1
        positions = np.ascontiguousarray(atoms.get_positions(wrap=True)).ravel()
        made = self.lammps.call(self.lammps.lmp.create_atoms, self.count, None, [kind] * self.count, positions)
        if made != self.count:
            raise MetalffError(f"LAMMPS took {made} of {self.count} atoms; check the cell")
        for line in [
            f"neighbor {SKIN} bin",
            "neigh_modify delay 0 every 1 check yes",
            f"timestep {self.dt}",
            "compute virial all pressure NULL virial",
            "thermo_style custom step temp pe press vol c_virial[1]",
            "thermo 1000000",
            f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian",
        ]:
            self.lammps.command(line)

    def steps(self, ps: float) -> int:
        return max(1, round(ps / self.dt))

    def barostat(self, temperature: float, isotropic: bool, end: float | None = None) -> None:
        """From now on constant pressure zero, at this temperature (K), or on the way from it to ``end``; hexagonal cells keep their two axes in step."""
        axes = f"iso 0 0 {PRESSURE_DAMP}" if isotropic else f"x 0 0 {PRESSURE_DAMP} y 0 0 {PRESSURE_DAMP} z 0 0 {PRESSURE_DAMP} couple xy"
        self._integrate(f"fix move all npt temp {temperature} {end or temperature} {DAMP} {axes}")

    def thermostat(self, temperature: float, end: float | None = None) -> None:
        """From now on constant volume, at this temperature (K), or on the way from it to ``end``."""
        self._integrate(f"fix move all nvt temp {temperature} {end or temperature} {DAMP}")

    def free(self) -> None:
        """From now on constant energy and volume."""
        self._integrate("fix move all nve")

    def run(self, steps: int, limit: float | None = None) -> None:
        """Go on for so many steps.

        Args:
            limit: K; a higher temperature afterwards means that the run has blown up.
        Raises:
            BlownUp: LAMMPS lost atoms, or energy or temperature are not physical.
        """
        try:
            self.lammps.command(f"run {steps} post no")
        except MetalffError as error:
            raise BlownUp(str(error)) from None
        energy, temperature = self.lammps.lmp.get_thermo("pe"), self.lammps.lmp.get_thermo("temp")
        if not (np.isfinite(energy) and np.isfinite(temperature)):
            raise BlownUp("the energy is not finite")
        if limit and temperature > HOT * limit:
            raise BlownUp(f"the temperature has risen to {temperature:.0f} K")

    def lengths(self) -> np.ndarray:
        """[3] Å."""
        low, high = (np.array(side) for side in self.lammps.lmp.extract_box()[:2])
        return high - low

    def resize(self, lengths) -> None:
        """Give the cell these lengths (Å) and move the atoms along."""
        low = np.array(self.lammps.lmp.extract_box()[0])
        bounds = " ".join(f"{axis} final {lo:.17g} {lo + length:.17g}" for axis, lo, length in zip("xyz", low, lengths))
        self.lammps.command("unfix move")
        self.lammps.command(f"change_box all {bounds} remap units box")

    def forces(self) -> np.ndarray:
        """[N,3] eV/Å, in the order of the atoms."""
        return self._gathered("f")

    def velocities(self) -> np.ndarray:
        """[N,3] Å/ps, in the order of the atoms."""
        return self._gathered("v")

    def give_velocities(self, velocities) -> None:
        """[N,3] Å/ps."""
        flat = np.ascontiguousarray(velocities, float).ravel()
        self.lammps.lmp.scatter_atoms("v", 1, 3, (ctypes.c_double * flat.size)(*flat))

    def frame(self, temperature: float, group: str, source: str, index: int) -> Frame:
        """The structure with energy, forces and stress; the cell begins at the origin and the atoms lie in it."""
        lmp = self.lammps.lmp
        low, lengths = np.array(lmp.extract_box()[0]), self.lengths()
        positions = (self._gathered("x") - low) % lengths
        # LAMMPS' components xx yy zz xy xz yz of the pressure
        xx, yy, zz, xy, xz, yz = -BAR * np.array(lmp.extract_compute("virial", 0, 1)[:6])
        return Frame(
            numbers=np.full(self.count, atomic_numbers[self.symbol]),
            positions=positions,
            cell=np.diag(lengths),
            pbc=np.ones(3, bool),
            energy=float(lmp.get_thermo("pe")),
            forces=self.forces(),
            stress=np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
            temperature=temperature,
            group=group,
            source=source,
            index=index,
        )

    def close(self) -> None:
        self.lammps.close()

    def _gathered(self, name: str) -> np.ndarray:
        return np.array(self.lammps.lmp.gather_atoms(name, 1, 3)).reshape(-1, 3)

    def _integrate(self, line: str) -> None:
        if "move" in self.lammps.lmp.available_ids("fix"):
            self.lammps.command("unfix move")
        self.lammps.command(line)
