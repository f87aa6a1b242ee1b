"""Thermal conductivity of the lattice, by Green and Kubo."""

import numpy as np

from metalff.errors import MetalffError
from metalff.properties.measurement import Curve, Measured, Measurement, Skip, Subject, Value
from metalff.properties.molecular_dynamics import BOLTZMANN, Stage, State, crystal_start, follow, keep_part, kept_parts, need_lammps, settled
from metalff.simulation import BlownUp, Simulation, time_step
from metalff.validate.blocks import interval
from metalff.validate.transport import WATT, autocovariance, conductivity_of_blocks, running_integral

ROOM = 300.0
"""K."""

EVERY_PS = 0.01
"""Between heat fluxes."""

CHUNK_PS = 10.0
"""Between checkpoints."""

POINTS = 200


def need_heat_flux(subject: Subject) -> None:
    """Raises: Skip: LAMMPS has no right heat flux of the potential."""
    need_lammps(subject)
    potential = subject.potential
    if potential.kind != "mlff":
        raise Skip(
            f"the virial of {potential.name} is shared equally between the two atoms of a pair in LAMMPS, or not at all per atom, "
            "which is no heat flux of a potential of many bodies; .mlff models of one layer have one"
        )
    from metalff.artifact import open_artifact

    layers = open_artifact(potential.files[0], whole=False).manifest.layers
    if layers > 1:
        raise Skip(f"the heat flux of {potential.name} is an approximation: energies of atoms reach over {layers} layers of neighbours")


def run(subject: Subject) -> Measured:
    """Raises: Skip: no right heat flux; MetalffError: the run blows up, or is too short for its correlation."""
    need_heat_flux(subject)
    temperature = min(ROOM, 0.7 * subject.metal.melting_temperature)
    state = settled(subject, "heat", crystal_start(subject), temperature)
    thermal = follow(subject, "heat-nvt", state, Stage("nvt", temperature, subject.settings.md_equilibrate)).last
    flux, found = heat_flux(subject, thermal, temperature)
    volume = float(state.lengths.prod())
    parts, lag = conductivity_of_blocks(flux, EVERY_PS, volume, found)
    mean, low, high = interval(parts)
    integral = WATT / (BOLTZMANN * found**2 * volume) * running_integral(autocovariance(flux) / 3, EVERY_PS)
    some = np.unique(np.linspace(0, min(len(integral) - 1, 4 * round(lag / EVERY_PS)), POINTS).astype(int))
    curve = Curve((some * EVERY_PS).tolist(), integral[some].tolist(), "correlation time (ps)", "conductivity (W/(m K))", "conductivity")
    notes = (
        f"{len(state.positions)} atoms, {subject.settings.conductivity_ps:g} ps at {found:.0f} K; correlations are lost in noise after {lag:.1f} ps",
        "electrons, which carry most of the heat in a metal, are not there",
    )
    return Measured({"conductivity": Value(mean, "W/(m K)", low, high)}, {"integral": curve}, notes)


def heat_flux(subject: Subject, start: State, temperature: float) -> tuple[np.ndarray, float]:
    """[F,3] eV Å/ps at constant energy, every ``EVERY_PS``, and the mean temperature (K).

    Raises:
        MetalffError: the run is not physical.
    """
    parts = kept_parts(subject, "flux")
    chunks = max(1, round(subject.settings.conductivity_ps / CHUNK_PS))
    if len(parts) < chunks:
        if parts:
            start = State(parts[-1]["positions"], parts[-1]["velocities"], parts[-1]["lengths"])
        from ase import Atoms

        atoms = Atoms(subject.element * len(start.positions), positions=start.positions, cell=start.lengths, pbc=True)
        simulation = Simulation(subject.potential, atoms, temperature, subject.settings.seed)
        try:
            simulation.give_velocities(start.velocities)
            _commands(simulation, time_step(subject.element))
            while len(parts) < chunks:
                parts.append(_chunk(simulation, subject, len(parts), temperature))
                subject.tell("heat flux", len(parts) / chunks)
        finally:
            simulation.close()
    return np.concatenate([part["flux"] for part in parts]), float(np.mean([part["temperature"] for part in parts]))


def _commands(simulation: Simulation, step: float) -> None:
    # a step that divides the interval
    simulation.lammps.command(f"timestep {EVERY_PS / np.ceil(EVERY_PS / step - 1e-9):.17g}")
    for line in (
        "compute kinetic all ke/atom",
        "compute potential all pe/atom",
        "compute shares all centroid/stress/atom NULL virial",
        "compute heat all heat/flux kinetic potential shares",
    ):
        simulation.lammps.command(line)
    simulation.free()


def _chunk(simulation: Simulation, subject: Subject, number: int, temperature: float) -> dict:
    every = int(np.ceil(EVERY_PS / time_step(subject.element) - 1e-9))
    frames = round(CHUNK_PS / EVERY_PS)
    lammps = simulation.lammps
    lammps.command(f"fix flux all vector {every} c_heat[1] c_heat[2] c_heat[3]")
    try:
        simulation.run(every * frames, temperature)
    except BlownUp as error:
        raise MetalffError(f"molecular dynamics at {temperature:.0f} K blew up: {error}; last good at {number * CHUNK_PS:.0f} ps") from None
    flux = np.array([[lammps.lmp.extract_fix("flux", 0, 2, row, column) for column in range(3)] for row in range(1, frames + 1)])
    lammps.command("unfix flux")
    frame = simulation.frame(0.0, "", "", 0)
    part = {
        "flux": flux,
        "temperature": np.array(lammps.lmp.get_thermo("temp")),
        "positions": frame.positions,
        "velocities": simulation.velocities(),
        "lengths": simulation.lengths(),
    }
    keep_part(subject, "flux", number, part)
    return part


MEASUREMENTS = (
    Measurement(
        "conductivity",
        "Thermal conductivity of the lattice",
        4,
        run,
        1,
        """Thermal conductivity of the lattice (W/(m K)) of the crystal at 300 K, by Green and Kubo: the integral of the autocorrelation of heat fluxes at constant energy.
Only for `.mlff` models whose atomic energies depend on their own neighbours (NEP, polynomials, MTP, Allegro, …), whose centroid virial gives the exact heat flux (Z. Fan et al.,
Phys. Rev. B 92, 094301 (2015)); for EAM, MEAM and SNAP LAMMPS has none that is right, for message passing none that is exact, and both are skipped. It is not the
conductivity of the metal: electrons carry most of the heat, and scatter phonons, which is not here either. The integral ends where the correlation is lost
in its noise; a few hundred atoms cut off long phonons, so that it is too low, presumably by tens of percent. The 95 % interval is that of five blocks.""",
        needs=("lattice",),
        settings=("seed", "md_atoms", "md_equilibrate", "conductivity_ps"),
    ),
)
