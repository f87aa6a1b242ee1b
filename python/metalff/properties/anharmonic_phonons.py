"""Phonons at a temperature, fitted to the forces of molecular dynamics by symfc."""

import importlib.util
import sys

import numpy as np

from metalff.errors import MetalffError
from metalff.properties.measurement import Curve, Measured, Measurement, Subject, Value
from metalff.properties.molecular_dynamics import Stage, State, follow, settled
from metalff.properties.phonons import CENTRING, MESH, NOISE, bands
from metalff.validate.blocks import interval
from metalff.validate.order import SHARE

EVERY_PS = 0.2
"""Between the frames that are fitted, long enough for them to differ."""

BLOCKS = 4


def lattice(subject: Subject, cell):
    """``phonopy.Phonopy`` of an orthogonal unit cell, with a supercell of edges of at least ``phonon_length``."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    repeats = [max(2, int(np.ceil(subject.settings.phonon_length / length - 1e-9))) for length in cell.cell.lengths()]
    return Phonopy(
        PhonopyAtoms(symbols=cell.get_chemical_symbols(), cell=cell.cell.array, scaled_positions=cell.get_scaled_positions()),
        supercell_matrix=np.diag(repeats),
        primitive_matrix="auto" if subject.metal.crystal == "hcp" else CENTRING[subject.metal.crystal],
        log_level=0,
    )


def fit(made, displacements, forces) -> None:
    """Give ``made`` the force constants that explain forces [F,N,3] (eV/Å) by displacements [F,N,3] (Å) best, with the symmetry of the crystal.

    Raises:
        MetalffError: symfc is missing, or there are too few frames.
    """
    if importlib.util.find_spec("symfc") is None:
        raise MetalffError("phonons at a temperature are fitted by symfc, which is not installed; run: pip install symfc")
    made.dataset = {"displacements": np.ascontiguousarray(displacements), "forces": np.ascontiguousarray(forces)}
    limit = sys.getrecursionlimit()
    try:
        made.produce_force_constants(fc_calculator="symfc")
    finally:
        # symfc raises it to 100000 as it is imported; a file nested that deep would then end the process, not be refused
        sys.setrecursionlimit(limit)


def away(positions, rest, lengths) -> np.ndarray:
    """[F,N,3] Å from the sites ``rest`` [N,3] of a cell of these lengths, by the nearest image, without the motion of the whole."""
    found = positions - rest
    found = found - np.round(found / lengths) * lengths
    return found - found.mean(axis=1, keepdims=True)


def harmonic_forces(made, displacements) -> np.ndarray:
    """[F,N,3] eV/Å of the fitted force constants."""
    constants = made.force_constants
    if constants.shape[0] != constants.shape[1]:
        from phonopy.harmonic.force_constants import compact_fc_to_full_fc

        constants = compact_fc_to_full_fc(made.primitive, constants)
    return -np.einsum("ijab,fjb->fia", constants, displacements)


def run(subject: Subject) -> Measured:
    """Raises: MetalffError: a run blows up, atoms leave their sites, or symfc is missing."""
    temperature, settings = temperature_of(subject), subject.settings
    made = lattice(subject, subject.cell)
    start = State(made.supercell.scaled_positions * np.diag(made.supercell.cell), None, np.diag(made.supercell.cell).copy())
    state = settled(subject, "phonons", start, temperature)
    stretch = follow(subject, "phonons", state, Stage("nvt", temperature, settings.md_sample, EVERY_PS))
    if (stretch.solid_fractions(subject.metal.crystal) < SHARE).any():
        raise MetalffError(f"at {temperature:.0f} K the crystal does not stay solid, so that it has no phonons")
    hot = subject.cell.copy()
    hot.set_cell(subject.cell.cell.array * (state.lengths / start.lengths), scale_atoms=True)
    made = lattice(subject, hot)
    rest = made.supercell.scaled_positions * state.lengths
    u = away(stretch.positions, rest, state.lengths)
    if np.sqrt((u**2).sum(axis=2).max()) > subject.metal.nearest_neighbour / 2:
        raise MetalffError(f"at {temperature:.0f} K an atom leaves its site, so that the crystal has no force constants")
    highest = []
    for part in np.array_split(np.arange(len(u)), BLOCKS):
        fit(made, u[part], stretch.forces[part])
        made.run_mesh(MESH)
        highest.append(float(made.mesh.frequencies.max()))
    fit(made, u, stretch.forces)
    place, frequencies, special, names = bands(made)
    made.run_mesh(MESH)
    everywhere = np.concatenate([frequencies.ravel(), made.mesh.frequencies.ravel()])
    _, low, high = interval(highest)
    middle = (low + high) / 2
    best = float(made.mesh.frequencies.max())
    imaginary = max(0.0, -float(everywhere.min()))
    imaginary = imaginary if imaginary > NOISE else 0.0
    rest_of = stretch.forces - harmonic_forces(made, u)
    harmonic = subject.found["phonons"].values["max_frequency"].value
    values = {
        "max_frequency": Value(best, "THz", best + low - middle, best + high - middle),
        "shift": Value(100 * (best / harmonic - 1), "%"),
        "imaginary": Value(imaginary, "THz"),
        "anharmonicity": Value(float(np.std(rest_of) / np.std(stretch.forces)), ""),
    }
    curves = {
        f"band {k + 1}": Curve(place.tolist(), frequencies[:, k].tolist(), "q", "frequency (THz)", "bands") for k in range(frequencies.shape[1])
    }
    warnings = (f"imaginary frequencies up to {imaginary:.2f}i THz: this crystal is not stable at {temperature:.0f} K",) if imaginary else ()
    notes = (f"{len(rest)} atoms, {len(u)} frames of {settings.md_sample:g} ps at {temperature:.0f} K",)
    return Measured(values, curves, notes, warnings, {"special_points": special, "special_names": list(names), "temperature": temperature})


def temperature_of(subject: Subject) -> float:
    """K; no more than 0.7 of the melting temperature."""
    return float(round(min(subject.settings.anharmonic_temperature, 0.7 * subject.metal.melting_temperature)))


MEASUREMENTS = (
    Measurement(
        "anharmonic_phonons",
        "Phonons at a temperature",
        4,
        run,
        1,
        """Effective phonons at 300 K (or anharmonic_temperature) and their shift from those at rest: the force constants that explain the forces of molecular dynamics best.
Displacements and forces of 100 frames, with the symmetry of the crystal, by symfc through phonopy (A. Seko and A. Togo, Phys. Rev. B 110, 214302 (2024)); the cell
is that of no pressure at the temperature, so that the shift (%) holds expansion and anharmonic terms together. `anharmonicity` is the part of the forces that no
force constants explain (F. Knoop et al., Phys. Rev. Mater. 4, 083809 (2020)): above some 0.3 phonons are a poor picture. Real frequencies at a temperature do not
say that the crystal is the stable one, lifetimes are not there, and atoms move classically. The interval of the highest frequency is that of four blocks.""",
        needs=("phonons",),
        settings=("seed", "md_equilibrate", "md_sample", "phonon_length", "anharmonic_temperature"),
    ),
)
