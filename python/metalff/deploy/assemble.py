"""Around a deploying worker that exports programs from a file of weights: what it is given, and its output as an artefact."""

import json
import tempfile
from importlib import metadata
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.deploy.errors_on import errors_on
from metalff.deploy.given import refuse_other_family
from metalff.errors import MetalffError


def weights_of(family: str, source: Path, work: Path, own: tuple[str, ...] = ()) -> tuple[Path, Training, Manifest | None]:
    """The file of weights, the record of the training, and the manifest of an artefact that is deployed anew.

    Args:
        source: a directory made by ``metalff train``, its ``weights.safetensors``, an ``.mlff`` file of the family, or a file of the
            framework's own.
        work: a directory for what is unpacked.
        own: suffixes of the framework's own files.

    Raises:
        MetalffError: no model there, or one of another family.
    """
    refuse_other_family(source, family)
    if source.suffix == ".mlff":
        opened = artifact.open_artifact(source)
        weights = work / "given.safetensors"
        weights.write_bytes(opened.read("weights.safetensors"))
        record = opened.manifest.training
        return weights, record.model_copy(update={"config": record.config.get("training", {})}), opened.manifest
    weights = source / "weights.safetensors" if source.is_dir() else source
    if weights.suffix not in (".safetensors", *own) or not weights.is_file():
        others = f", a file of its framework ({', '.join(own)})" if own else ""
        raise MetalffError(
            f"there is no model of {family} at '{source}': give a directory made by 'metalff train {family}'{others}, or an .mlff file"
        )
    record = weights.with_name("training.json")
    if weights.suffix != ".safetensors" or not record.is_file():
        return weights, Training(), None
    return weights, Training.model_validate(json.loads(record.read_text())), None


def assemble(
    work: Path,
    output: Path,
    described: dict,
    training: Training,
    before: Manifest | None,
    citation: str,
    name: str | None = None,
    licence: str = "",
    test: str | None = None,
    say=print,
) -> Manifest:
    """Write the artefact of what the worker left in ``work``: programs, weights, self-test, and the native engine's payload if there is one.

    Args:
        described: ``model.json`` of the worker.
        training, before: see ``weights_of``.
        name, licence, test, say: see the families' ``deploy``.

    Raises:
        MetalffError: the native engine gives other numbers than the framework; nothing is written.
    """
    members = {}
    for precision, file in (("double", "float64"), ("single", "float32")):
        payload = Payload(kind="program", sha256="", size=0, precision=precision)
        members[f"torch/{file}.zip"] = (payload, (work / f"{file}.zip").read_bytes())
    native = f"native/{described['family']}.safetensors"
    for file, member, kind in (
        ("native.safetensors", native, "native"),
        ("weights.safetensors", "weights.safetensors", "safetensors"),
        ("selftest.json", "selftest.json", "selftest"),
    ):
        if kind != "native" or (work / file).is_file():  # where the native engine does not cover the model, the worker said why
            members[member] = (Payload(kind=kind, sha256="", size=0), (work / file).read_bytes())
    config = {"model": described["hyperparameters"], "training": training.config}
    manifest = Manifest(
        name=name or (before.name if before else output.stem),
        family=described["family"],
        elements=described["elements"],
        r_max=described["r_max"],
        layers=described["layers"],
        training=training.model_copy(update={"config": config}),
        citation="\n".join(filter(None, [citation, training.model_extra.get("data_citation", "")])),
        licence=licence or (before.licence if before else ""),
        versions=described["versions"] | {"metalff": metadata.version("metalff")},
    )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / output.name
        artifact.write(draft, manifest, members)
        if native in members:
            _check_native(draft)
        if test:
            say(f"errors on {test}")
            training = manifest.training.model_copy(update={"errors": training.errors | errors_on(draft, test)})
            manifest = manifest.model_copy(update={"training": training})
    artifact.write(output, manifest, members)
    return artifact.read_manifest(output)


def _check_native(draft: Path) -> None:
    """The native engine gives the framework's numbers, exact functions and all."""
    from metalff.selftest import replay

    outcome = replay(artifact.open_artifact(draft), engine="native", spline=0)
    if not outcome.passed:
        raise MetalffError(
            f"the native engine differs from the framework by {outcome.describe()}: report this model's hyperparameters; nothing was written"
        )
