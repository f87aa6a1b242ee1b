"""The cohesive energy, where a potential knows a free atom."""

from ase import Atoms

from metalff.properties.lattice import energy
from metalff.properties.measurement import Measured, Measurement, Skip, Subject, Value

SAME = 0.1
"""eV within which a model gives the free atom that it was trained with."""


def run(subject: Subject) -> Measured:
    """Raises: Skip: the potential has no free atom that can be believed."""
    potential = subject.potential
    free = energy(subject.unguarded, Atoms(subject.element, cell=[30.0] * 3, pbc=True))
    if potential.kind == "mlff":
        _check(potential, subject.element, free)
    elif potential.kind not in ("eam", "meam"):
        raise Skip(f"a free atom of {potential.kind} potentials is outside what they were fitted to; −E_total is no cohesive energy")
    return Measured({"cohesive_energy": Value(free - subject.bulk_energy, "eV/atom")}, notes=(f"free atom: {free:.4f} eV",))


def _check(potential, element: str, free: float) -> None:
    from metalff.artifact import read_manifest

    manifest = read_manifest(potential.files[0])
    known = (manifest.training.config.get("free_atoms") or {}).get(element)
    if known is None:
        raise Skip(f"{potential.name} does not say that a free atom was in its training data; −E_total is no cohesive energy")
    if abs(known - free) > SAME:
        raise Skip(f"{potential.name} was trained with a free atom of {known:.3f} eV and gives {free:.3f} eV; −E_total is no cohesive energy")


MEASUREMENTS = (
    Measurement(
        "cohesion",
        "Cohesive energy",
        0,
        run,
        1,
        """Cohesive energy (eV/atom): a free atom less the crystal, only where the potential knows a free atom.
EAM and MEAM are built on free atoms. A trained model knows one only where its training data had one and its manifest says so; for all others the
energy zero is arbitrary and the measurement is skipped. Experiment is at 0 K. The free atom of DFT is hard (spin, symmetry), so that a model may
reproduce DFT and be tenths of an eV away from experiment.""",
        needs=("lattice",),
    ),
)
