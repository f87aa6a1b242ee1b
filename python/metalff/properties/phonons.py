"""Phonons and the quasi-harmonic crystal, with phonopy."""

import math

import numpy as np
from ase.build import bulk
from ase.cell import Cell

from metalff.errors import MetalffError
from metalff.properties.lattice import energy
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value

MESH = 40.0
"""Length of phonopy's mesh, Å."""


NOISE = 0.05
"""THz; frequencies below it are rounding, as those of sound at Γ are."""

THERMAL = {"t_min": 0, "t_max": 1000, "t_step": 10, "cutoff_frequency": NOISE}
"""K; sound at Γ, which is rounding alone, does not count."""

CENTRING = {"fcc": "F", "bcc": "I", "hcp": "P"}
"""Of ``unit_cell``."""

STRAINS = np.linspace(-0.006, 0.03, 7)
"""Of lengths, for the quasi-harmonic crystal."""

LEAP = 0.25
"""Relative change of the bulk modulus to 300 K that no metal shows."""

FEWEST = 5
"""Strains that a fit needs; beyond them an unstable crystal only ends it."""


def unit_cell(subject: Subject, strain: float = 0.0):
    """Cubic of fcc and bcc, primitive of hcp: phonopy's unit cell as ``ase.Atoms``."""
    a, _, c = subject.cell.cell.lengths() * (1 + strain)
    if subject.metal.crystal == "hcp":
        return bulk(subject.element, "hcp", a, c=c)
    return bulk(subject.element, subject.metal.crystal, a, cubic=True)


def harmonic(subject: Subject, strain: float = 0.0):
    """``phonopy.Phonopy`` with force constants of the crystal with all lengths strained."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = unit_cell(subject, strain)
    least, lengths = subject.settings.phonon_length, cell.cell.lengths()
    repeats = [math.ceil(least / length - 1e-9) for length in lengths]
    made = Phonopy(
        PhonopyAtoms(symbols=cell.get_chemical_symbols(), cell=cell.cell.array, scaled_positions=cell.get_scaled_positions()),
        supercell_matrix=np.diag(repeats),
        primitive_matrix=CENTRING[subject.metal.crystal],
        log_level=0,
    )
    made.generate_displacements(distance=subject.settings.displacement)
    made.forces = np.array([_forces(subject.calculator, one) for one in made.supercells_with_displacements])
    made.produce_force_constants()
    made.symmetrize_force_constants()
    return made


def _forces(calculator, supercell) -> np.ndarray:
    from ase import Atoms

    atoms = Atoms(supercell.symbols, cell=supercell.cell, scaled_positions=supercell.scaled_positions, pbc=True)
    atoms.calc = calculator
    return atoms.get_forces()


def bands(phonon) -> tuple[np.ndarray, np.ndarray, list, list]:
    """Along the standard path of ASE: place on it (1/Å), frequencies [places, branches] (THz), places and names of the special points."""
    path = Cell(phonon.primitive.cell).bandpath(npoints=150)
    place, special, names = path.get_linear_kpoint_axis()
    phonon.run_qpoints(path.kpts)
    return place, np.asarray(phonon.qpoints.frequencies), special.tolist(), names


def run(subject: Subject) -> Measured:
    phonon = harmonic(subject)
    place, frequencies, special, names = bands(phonon)
    phonon.run_mesh(MESH)
    phonon.run_total_dos()
    phonon.run_thermal_properties(**THERMAL)
    dos, thermal = phonon.total_dos, phonon.thermal_properties
    per_atom = len(phonon.primitive)
    everywhere = np.concatenate([frequencies.ravel(), phonon.mesh.frequencies.ravel()])
    imaginary = max(0.0, -float(everywhere.min()))
    imaginary = imaginary if imaginary > NOISE else 0.0
    heat = np.asarray(thermal.heat_capacity) / per_atom
    temperatures = np.asarray(thermal.temperatures)
    values = {
        "max_frequency": Value(float(everywhere.max()), "THz"),
        "imaginary": Value(imaginary, "THz"),
        "heat_capacity_300K": Value(float(np.interp(300, temperatures, heat)), "J/(mol K)"),
    }
    if hasattr(thermal, "zero_point_energy"):
        values["zero_point_energy"] = Value(float(thermal.zero_point_energy) / per_atom * KJ_PER_MOL * 1000, "meV/atom")
    curves = {
        f"band {k + 1}": Curve(place.tolist(), frequencies[:, k].tolist(), "q", "frequency (THz)", "bands") for k in range(frequencies.shape[1])
    }
    curves["dos"] = Curve(_list(dos.frequency_points), _list(dos.dos / per_atom), "frequency (THz)", "states per atom and THz", "dos")
    curves["heat_capacity"] = Curve(temperatures.tolist(), heat.tolist(), "temperature (K)", "heat capacity (J/(mol K))", "heat capacity")
    warnings = (f"imaginary frequencies up to {imaginary:.2f}i THz: the crystal is dynamically unstable",) if imaginary else ()
    notes = (f"{len(phonon.supercell)} atoms, {len(phonon.supercells_with_displacements)} displacements",)
    return Measured(values, curves, notes, warnings, {"special_points": special, "special_names": list(names)})


KJ_PER_MOL = 1 / 96.485332
"""eV of a kJ/mol."""


def _list(array) -> list[float]:
    return np.asarray(array).tolist()


def quasi_harmonic(subject: Subject) -> Measured:
    """Raises: MetalffError: a strained crystal has imaginary modes, or no minimum of the free energy."""
    from phonopy import PhonopyQHA

    volumes, energies, free, heat, entropy, notes = [], [], [], [], [], []
    for strain in STRAINS:
        phonon = harmonic(subject, strain)
        phonon.run_mesh(MESH)
        lowest = float(phonon.mesh.frequencies.min())
        if lowest < -NOISE and len(volumes) >= FEWEST:
            notes.append(f"imaginary modes from a strain of {100 * strain:+.1f} % on, which is left out")
            break
        if lowest < -NOISE:
            raise MetalffError(
                f"at a strain of {100 * strain:+.1f} % the crystal has imaginary modes ({-lowest:.2f}i THz), so it has no harmonic free energy"
            )
        phonon.run_thermal_properties(**THERMAL)
        thermal = phonon.thermal_properties
        cell = unit_cell(subject, strain)
        atoms = len(phonon.primitive)
        volumes.append(cell.get_volume() / len(cell))
        energies.append(energy(subject.calculator, cell) / len(cell))
        free.append(np.asarray(thermal.free_energy) / atoms)
        heat.append(np.asarray(thermal.heat_capacity) / atoms)
        entropy.append(np.asarray(thermal.entropy) / atoms)
    temperatures = np.asarray(thermal.temperatures)
    try:
        found = PhonopyQHA(
            volumes=np.array(volumes),
            electronic_energies=np.array(energies),
            temperatures=temperatures,
            free_energy=np.array(free).T,
            cv=np.array(heat).T,
            entropy=np.array(entropy).T,
            eos="birch_murnaghan",
        )
    except Exception as error:
        raise MetalffError(f"the free energy has no minimum within the strains ({error})") from None
    expansion = np.asarray(found.thermal_expansion) / 3 * 1e6
    modulus, volume = np.asarray(found.bulk_modulus_temperature), np.asarray(found.volume_temperature)
    n = min(len(expansion), len(modulus), len(volume))
    at = temperatures[:n]
    inside = (at <= min(1000.0, 0.8 * subject.metal.melting_temperature)) & (volume[:n] <= max(volumes)) & (volume[:n] >= min(volumes))
    if not inside[at <= 300].all():
        raise MetalffError("below 300 K the crystal already expands beyond the strains that were computed")
    last = int(np.argmin(inside)) if not inside.all() else n
    at, expansion, modulus, volume = at[:last], expansion[:last], modulus[:last], volume[:last]
    length = (volume / (subject.cell.get_volume() / len(subject.cell))) ** (1 / 3) * float(subject.cell.cell.lengths()[0])
    values = {"bulk_modulus_300K": Value(float(np.interp(300, at, modulus)), "GPa"), "a_300K": Value(float(np.interp(300, at, length)), "Å")}
    values = {"expansion": Value(float(np.interp(300, at, expansion)), "1e-6/K")} | values
    cold = subject.found["eos"].values["bulk_modulus"].value
    away = values["bulk_modulus_300K"].value / cold - 1
    warnings = (f"the bulk modulus changes by {100 * away:+.0f} % from 0 to 300 K: the fit is not to be trusted",) if abs(away) > LEAP else ()
    curves = {
        name: Curve(at.tolist(), y.tolist(), "temperature (K)", label, name)
        for name, y, label in (
            ("a", length, "a (Å)"),
            ("expansion", expansion, "linear expansion (1e-6/K)"),
            ("bulk_modulus", modulus, "bulk modulus (GPa)"),
        )
    }
    return Measured(values, curves, (f"{len(volumes)} volumes, up to {at[-1]:.0f} K", *notes), warnings)


MEASUREMENTS = (
    Measurement(
        "phonons",
        "Phonons",
        2,
        run,
        2,
        """Phonons of the relaxed crystal at 0 K with phonopy: bands, density of states, heat capacity, the highest frequency and imaginary ones (THz).
Displacements of 0.01 Å in a supercell with edges of at least 9 Å. Forces of float32 models have noise that such displacements magnify: soft branches near Γ
can be off by 0.1 THz. A supercell that is smaller than twice the reach of the potential folds distant force constants onto near ones, which matters for
message-passing models and for Kohn anomalies. Experiment (neutrons) is mostly at room temperature, some percent softer.""",
        needs=("lattice",),
        settings=("displacement", "phonon_length"),
    ),
    Measurement(
        "quasi_harmonic",
        "Quasi-harmonic crystal",
        2,
        quasi_harmonic,
        4,
        """Linear expansion (1e-6/K), lattice constant and bulk modulus against temperature, of phonons at seven volumes (phonopy's QHA).
The crystal vibrates with quanta, as molecular dynamics does not, so this is the better one below the Debye temperature; above half the melting temperature
anharmonic terms that it lacks count (see `expansion`). Electrons contribute nothing. c/a of hcp is kept. Fails where a crystal strained by less than 2 % has imaginary modes.""",
        needs=("phonons", "eos"),
        settings=("displacement", "phonon_length"),
    ),
)
