"""Around a deploying worker that exports programs from a file of weights: what it is given, and its output as an artefact."""

import json
from importlib import metadata
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.compiled import pack_programs
from metalff.deploy.errors_on import errors_on
from metalff.errors import MetalffError


def weights_of(
    family: str, source: Path, work: Path, own: tuple[str, ...] = ()
) -> tuple[Path, Training, Manifest | None]:
    """The file of weights, the record of the training, and the manifest of an artefact that is deployed anew.

    Args:
        source: a directory made by ``metalff train``, its ``weights.safetensors``, an ``.mlff`` file of the family, or a file of the
            framework's own.
        work: a directory for what is unpacked.
        own: suffixes of the framework's own files.

    Raises:
        MetalffError: no model there, or one of another family.
    """
    if source.suffix == ".mlff":
        opened = artifact.open_artifact(source)
        if opened.manifest.family != family:
            raise MetalffError(f"'{source}' is a model of {opened.manifest.family}: give an .mlff file of {family}")
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
    """Write the artefact of what the worker left in ``work``: programs, weights, self-test.

    Args:
        described: ``model.json`` of the worker.
        training, before: see ``weights_of``.
        name, licence, test, say: see the families' ``deploy``.
    """
    members = {}
    for precision, file in (("double", "float64"), ("single", "float32")):
        parts = {part.name.split(".")[1]: part.read_bytes() for part in sorted(work.glob(f"{file}.*.pt2"))}
        payload = Payload(kind="torch.export", sha256="", size=0, precision=precision)
        members[f"torch/{file}.pt2"] = (payload, pack_programs(parts))
    for file, kind in (("weights.safetensors", "safetensors"), ("selftest.json", "selftest")):
        members[file] = (Payload(kind=kind, sha256="", size=0), (work / file).read_bytes())
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
    artifact.write(output, manifest, members)
    if test:
        say(f"errors on {test}")
        training = manifest.training.model_copy(update={"errors": training.errors | {test: errors_on(output, test)}})
        artifact.write(output, manifest.model_copy(update={"training": training}), members)
    return artifact.read_manifest(output)
