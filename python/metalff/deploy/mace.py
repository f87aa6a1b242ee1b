"""MACE model → artefact."""

import json
import tempfile
from importlib import metadata
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.deploy.errors_on import errors_on
from metalff.deploy.given import refuse_other_family
from metalff.deploy.worker import run_worker
from metalff.errors import MetalffError

WORKER = Path(__file__).with_name("mace_worker.py")
CITATION = (
    "I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner, G. Csányi, MACE: Higher Order Equivariant Message Passing "
    "Neural Networks for Fast and Accurate Force Fields, NeurIPS 35, 11423 (2022)"
)
MEMBERS = {
    "float64.pt2": ("torch/float64.pt2", Payload(kind="torch.export", sha256="", size=0, precision="double")),
    "float32.pt2": ("torch/float32.pt2", Payload(kind="torch.export", sha256="", size=0, precision="single")),
    "native.safetensors": ("native/mace.safetensors", Payload(kind="native", sha256="", size=0)),
    "weights.safetensors": ("weights.safetensors", Payload(kind="safetensors", sha256="", size=0)),
    "selftest.json": ("selftest.json", Payload(kind="selftest", sha256="", size=0)),
}


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, say=print) -> Manifest:
    """Write the artefact of a MACE model.

    Args:
        source: a directory made by ``metalff train mace``, a ``.model`` file in mace's own format, or an ``.mlff`` file of a MACE
            model, which is deployed anew from its weights.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's weights.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        say: called with one line per step.

    Raises:
        MetalffError: no model there, no environment, or a model that cannot be exported.
    """
    from metalff.compiled import pack_programs

    source, output = Path(source), Path(output)
    refuse_other_family(source, "mace")
    if source.suffix == ".mlff":
        with tempfile.TemporaryDirectory() as work:
            before = _unpack(source, Path(work))
            return deploy(work, output, name or before.name, licence or before.licence, test, say)
    model = source / "mace.model" if source.is_dir() else source
    if not (model.is_file() or source.is_dir() and (source / "weights.safetensors").is_file()):
        raise MetalffError(
            f"there is no MACE model at '{model}': give a directory made by 'metalff train mace', or a .model file"
        )
    training = _training(source)
    with tempfile.TemporaryDirectory() as work:
        # a directory without mace.model holds weights.safetensors and config.json
        run_worker("mace", WORKER, model if model.is_file() else source, Path(work), say)
        described = json.loads((Path(work) / "model.json").read_text())
        members = {}
        for file, (member, payload) in MEMBERS.items():
            if payload.kind == "native" and not (Path(work) / file).is_file():
                continue  # the worker said why
            if payload.kind == "torch.export":
                parts = Path(work).glob(file.replace(".pt2", ".*.pt2"))
                data = pack_programs({part.name.split(".")[1]: part.read_bytes() for part in sorted(parts)})
            else:
                data = (Path(work) / file).read_bytes()
            members[member] = (payload, data)
    config = {"model": described["hyperparameters"], "training": training.config}
    data_citation = training.model_extra.get("data_citation", "")
    manifest = Manifest(
        name=name or output.stem,
        family="mace",
        elements=described["elements"],
        r_max=described["r_max"],
        layers=described["layers"],
        training=training.model_copy(update={"config": config}),
        citation="\n".join(filter(None, [CITATION, data_citation])),
        licence=licence,
        versions=described["versions"] | {"metalff": metadata.version("metalff")},
    )
    artifact.write(output, manifest, members)
    if "native/mace.safetensors" in members:
        _check_native(output)
    if test:
        say(f"errors on {test}")
        errors = training.errors | {test: errors_on(output, test)}
        training = manifest.training.model_copy(update={"errors": errors})
        artifact.write(output, manifest.model_copy(update={"training": training}), members)
    return artifact.read_manifest(output)


def _unpack(source: Path, work: Path) -> Manifest:
    """Weights, hyperparameters and training record of an artefact, as a directory to deploy from."""
    opened = artifact.open_artifact(source)
    manifest = opened.manifest
    (work / "weights.safetensors").write_bytes(opened.read("weights.safetensors"))
    (work / "config.json").write_text(json.dumps(manifest.training.config["model"]))
    training = manifest.training.model_dump() | {"config": manifest.training.config.get("training", {})}
    (work / "training.json").write_text(json.dumps(training))
    return manifest


def _check_native(output: Path) -> None:
    """The native engine gives the numbers of mace, exact functions and all."""
    from metalff.selftest import replay

    outcome = replay(artifact.open_artifact(output), engine="native", spline=0)
    if not outcome.passed:
        output.unlink()
        raise MetalffError(
            f"the native engine differs from mace by {outcome.describe()}: report this model's hyperparameters; nothing was written"
        )


def _training(source: Path) -> Training:
    """What ``metalff train`` wrote beside the model; empty for a model from elsewhere."""
    file = source / "training.json" if source.is_dir() else source.with_name("training.json")
    if not file.is_file():
        return Training()
    return Training.model_validate(json.loads(file.read_text()))
