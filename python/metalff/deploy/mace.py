"""MACE model → artefact."""

import json
import tempfile
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Training
from metalff.deploy.assemble import assemble
from metalff.deploy.given import OWN, refuse_no_model, refuse_other_family, refuse_unlearnt, warn_of_pickle
from metalff.deploy.worker import run_worker
from metalff.errors import MetalffError

WORKER = Path(__file__).with_name("mace_worker.py")
CITATION = (
    "I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner, G. Csányi, MACE: Higher Order Equivariant Message Passing "
    "Neural Networks for Fast and Accurate Force Fields, NeurIPS 35, 11423 (2022)"
)


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, accept_errors: bool = False, say=print) -> Manifest:
    """Write the artefact of a MACE model.

    Args:
        source: a directory made by ``metalff train mace``, a ``.model`` file in mace's own format, or an ``.mlff`` file of a MACE
            model, which is deployed anew from its weights.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's weights.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.

    Raises:
        MetalffError: no model there, no environment, or a model that cannot be exported.
    """
    source, output = Path(source), Path(output)
    refuse_no_model(source, "mace")
    refuse_other_family(source, "mace")
    with tempfile.TemporaryDirectory() as given, tempfile.TemporaryDirectory() as work:
        model, training, before = _model(source, Path(given))
        refuse_unlearnt(source, training, accept_errors)
        run_worker("mace", WORKER, model, Path(work), say, source=source)
        described = json.loads((Path(work) / "model.json").read_text())
        return assemble(Path(work), output, described, training, before, CITATION, name, licence, test, say)


def _model(source: Path, folder: Path) -> tuple[Path, Training, Manifest | None]:
    """A file of mace, the weights of a training, or a directory with weights and hyperparameters; the record of the training; the manifest of an artefact."""
    if source.suffix == ".mlff":
        opened = artifact.open_artifact(source)
        record = opened.manifest.training
        (folder / "weights.safetensors").write_bytes(opened.read("weights.safetensors"))
        (folder / "config.json").write_text(json.dumps(record.config["model"]))
        return folder, record.model_copy(update={"config": record.config.get("training", {})}), opened.manifest
    model = source
    if source.is_dir():
        model = next((source / name for name in ("weights.safetensors", "mace.model") if (source / name).is_file()), None)
        if model is None:
            raise MetalffError(f"'{source}' holds no MACE model: give {OWN['mace'].sources}")
        if model.suffix != ".safetensors":  # of an older MetalFF
            warn_of_pickle(model)
    record = model.with_name("training.json")
    return model, Training.model_validate(json.loads(record.read_text())) if record.is_file() else Training(), None
