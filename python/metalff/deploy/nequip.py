"""NequIP or Allegro model → artefact."""

import json
import tempfile
from importlib import metadata
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.compiled import pack_programs
from metalff.deploy.errors_on import errors_on
from metalff.deploy.given import refuse_other_family
from metalff.deploy.worker import run_worker
from metalff.errors import MetalffError

WORKER = Path(__file__).with_name("nequip_worker.py")
CITATIONS = {
    "nequip": (
        "S. Batzner et al., E(3)-equivariant graph neural networks for data-efficient and accurate interatomic potentials, "
        "Nat. Commun. 13, 2453 (2022)"
    ),
    "allegro": (
        "A. Musaelian et al., Learning local equivariant representations for large-scale atomistic dynamics, "
        "Nat. Commun. 14, 579 (2023)"
    ),
}


def deploy(
    family: str, source, output, name: str | None = None, licence: str = "", test: str | None = None, say=print
) -> Manifest:
    """Write the artefact of a NequIP or an Allegro model.

    Args:
        family: ``nequip`` or ``allegro``.
        source: a directory made by ``metalff train``, its ``weights.safetensors``, or an ``.mlff`` file of the family, which is deployed
            anew from its weights.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's weights.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        say: called with one line per step.

    Raises:
        MetalffError: no model there, one of another family, no environment, or a model that cannot be exported.
    """
    source, output = Path(source), Path(output)
    refuse_other_family(source, family)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        weights, training, before = _weights(family, source, work)
        run_worker(family, WORKER, weights, work, say)
        described = json.loads((work / "model.json").read_text())
        if described["family"] != family:
            raise MetalffError(
                f"'{source}' is a model of {described['family']}: run metalff deploy {described['family']}"
            )
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
        family=family,
        elements=described["elements"],
        r_max=described["r_max"],
        layers=described["layers"],
        training=training.model_copy(update={"config": config}),
        citation="\n".join(filter(None, [CITATIONS[family], training.model_extra.get("data_citation", "")])),
        licence=licence or (before.licence if before else ""),
        versions=described["versions"] | {"metalff": metadata.version("metalff")},
    )
    artifact.write(output, manifest, members)
    if test:
        say(f"errors on {test}")
        training = manifest.training.model_copy(update={"errors": training.errors | {test: errors_on(output, test)}})
        artifact.write(output, manifest.model_copy(update={"training": training}), members)
    return artifact.read_manifest(output)


def _weights(family: str, source: Path, work: Path) -> tuple[Path, Training, Manifest | None]:
    """The file of weights, the record of the training, and the manifest of an artefact that is deployed anew."""
    if source.suffix == ".mlff":
        opened = artifact.open_artifact(source)
        if opened.manifest.family != family:
            raise MetalffError(f"'{source}' is a model of {opened.manifest.family}: give an .mlff file of {family}")
        weights = work / "given.safetensors"
        weights.write_bytes(opened.read("weights.safetensors"))
        record = opened.manifest.training
        return weights, record.model_copy(update={"config": record.config.get("training", {})}), opened.manifest
    weights = source / "weights.safetensors" if source.is_dir() else source
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise MetalffError(
            f"there is no model of {family} at '{source}': give a directory made by 'metalff train {family}', or an .mlff file"
        )
    record = weights.with_name("training.json")
    return weights, Training.model_validate(json.loads(record.read_text())) if record.is_file() else Training(), None
