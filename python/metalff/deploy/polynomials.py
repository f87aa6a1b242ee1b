"""A polynomial potential (``poly/program.py``) → artefact, proven against its own formulas."""

import hashlib
import json
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.deploy.errors_on import errors_on
from metalff.deploy.given import refuse_other_family
from metalff.deploy.reference import crystal, selftest
from metalff.errors import MetalffError
from metalff.poly.program import MEMBER, Polynomial
from metalff.poly.reference import Reference, polynomial
from metalff.selftest import TOLERANCE

ROUGH = 1e-3
"""Largest part of a structure's forces by which tables may differ from the formulas that they stand for."""


def plain_file(source, family: str, what: str) -> Path:
    """The path of a file of one model.

    Raises:
        MetalffError: it is a model of another family, or no file.
    """
    source = Path(source)
    refuse_other_family(source, family)
    if not source.is_file():
        raise MetalffError(f"'{source}' is no file: give {what}" if source.exists() else f"there is no '{source}': give {what}")
    if source.suffix == ".mlff":
        raise MetalffError(f"'{source}' is deployed already, and holds tables in place of the parameters: give {what}")
    return source


def write(
    potential: Polynomial,
    atom,
    source: Path,
    output: Path,
    family: str,
    formulas: str,
    citation: str,
    shortest: float = 0.0,
    training: Training | None = None,
    name: str | None = None,
    licence: str = "",
    test: str | None = None,
    say=print,
) -> Manifest:
    """Write the artefact of a potential read from a file, with a self-test by the formulas.

    Where tables cannot follow the formulas, at a kink of a radial function, the self-test has the numbers of the tables in numpy, and the record says
    by how much they differ from the formulas.

    Args:
        atom: the formulas, as ``reference.Reference`` takes them.
        source: what was read; its name and hash go into the record.
        formulas: their name, for the record.
        training: record of a model that was trained here; else the source's name and hash.
        shortest: Å, no atoms of a self-test's crystal are much closer.
        name, licence, test, say: see the families' ``deploy``.

    Raises:
        MetalffError: tables cannot follow the formulas, or the engine gives other numbers; nothing is written.
    """
    from metalff.selftest import replay

    elements, cutoff = potential.elements, potential.r_max
    stretch = max(1.0, 1.1 * shortest / _nearest(elements))
    say(f"reference energies, forces and stresses from {formulas}")
    cases = selftest(Reference(elements, cutoff, atom), elements[:4], stretch)
    tables = selftest(Reference(elements, cutoff, polynomial(potential)), elements[:4], stretch)
    error, part = 0.0, 0.0
    for exact, tabled in zip(cases, tables, strict=True):
        difference, largest = np.abs(np.subtract(exact["forces"], tabled["forces"])).max(), max(1.0, np.abs(exact["forces"]).max())
        energy = abs(exact["energy"] - tabled["energy"]) / len(exact["symbols"])
        error, part = max(error, float(difference)), max(part, float(difference / largest), energy)
    if not part <= ROUGH:
        raise MetalffError(f"'{source}' has radial functions that tables cannot follow: forces would differ by {error:.1e} eV/Å; nothing was written")
    reference = formulas
    if part > 0.1 * TOLERANCE["double"]:
        cases, reference = (
            tables,
            f"{formulas}, with radial functions as tables: forces of the self-test differ by up to {error:.0e} eV/Å from exact ones",
        )
        say(f"radial functions as tables, which have no kinks: forces of the self-test differ by up to {error:.0e} eV/Å from exact ones")
    if training is None:
        training = Training(config={"model": {"source": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}})
    manifest = Manifest(
        name=name or output.stem,
        family=family,
        elements=elements,
        r_max=cutoff,
        layers=1,
        training=training.model_copy(update={"reference": reference}),
        citation=citation,
        licence=licence,
        versions={"metalff": metadata.version("metalff"), "numpy": metadata.version("numpy")},
    )
    members = {
        MEMBER: (Payload(kind="native", sha256="", size=0), potential.to_bytes()),
        "selftest.json": (Payload(kind="selftest", sha256="", size=0), json.dumps(cases).encode()),
    }
    with tempfile.TemporaryDirectory() as work:
        draft = Path(work) / "draft.mlff"
        artifact.write(draft, manifest, members)
        outcome = replay(artifact.open_artifact(draft), engine="native")
        if not outcome.passed:
            raise MetalffError(f"the native engine differs from {reference} by {outcome.describe()}: report this potential; nothing was written")
        if test:
            say(f"errors on {test}")
            training = manifest.training.model_copy(update={"errors": manifest.training.errors | errors_on(draft, test)})
            manifest = manifest.model_copy(update={"training": training})
    artifact.write(output, manifest, members)
    return artifact.read_manifest(output)


def _nearest(elements: list[str]) -> float:
    """Å, about the distance of neighbours in a crystal of the self-test."""
    distances = crystal(elements[:4], 1).get_all_distances(mic=True)
    return float(distances[distances > 0].min())
