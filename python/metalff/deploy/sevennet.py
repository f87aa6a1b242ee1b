"""SevenNet model → artefact."""

import json
import tempfile
from pathlib import Path

from metalff.artifact import Manifest, Training
from metalff.data import mptrj
from metalff.deploy.assemble import assemble, weights_of
from metalff.deploy.given import refuse_no_model, refuse_unlearnt
from metalff.deploy.worker import run_worker
from metalff.errors import MetalffError, nearest

WORKER = Path(__file__).with_name("sevennet_worker.py")
CITATION = (
    "Y. Park, J. Kim, S. Hwang, S. Han, Scalable Parallel Algorithm for Graph Neural Network Interatomic Potentials in Molecular "
    "Dynamics Simulations, J. Chem. Theory Comput. 20, 4857 (2024)"
)
MPTRJ = f"{mptrj.CITATION} (training data MPtrj)"
FIDELITIES = (
    "J. Kim et al., Data-Efficient Multifidelity Training for High-Fidelity Machine Learning Interatomic Potentials, "
    "J. Am. Chem. Soc. 147, 1042 (2025)"
)
PRETRAINED = {"7net-0": [MPTRJ], "7net-l3i5": [MPTRJ], "7net-mf-0": [FIDELITIES, MPTRJ]}
"""Models whose weights are inside the wheel of sevenn, and what to cite for each; the wheel is under the MIT licence."""


def deploy(
    source,
    output,
    name: str | None = None,
    licence: str = "",
    test: str | None = None,
    accept_errors: bool = False,
    say=print,
    modal: str | None = None,
    elements: list[str] | None = None,
) -> Manifest:
    """Write the artefact of a SevenNet model.

    Args:
        source: the name of a pretrained model (``PRETRAINED``), a checkpoint of sevenn (``.pth``), a directory made by
            ``metalff train``, its ``weights.safetensors``, or an ``.mlff`` file of the family, which is deployed anew from its weights.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's weights.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.
        modal: which kind of its training data a model of several gives; PBE when None.
        elements: the only ones to keep, in the order of the types; all when None.

    Raises:
        MetalffError: no model there, one of another family, no environment, an element or a modal that the model has not, or a model that
            cannot be exported.
    """
    source, output = Path(source), Path(output)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if pretrained := PRETRAINED.get(str(source)):
            weights, before = source, None
            training = Training(data="MPtrj", data_citation="\n".join(pretrained))
            licence = licence or "MIT"
        elif not source.suffix and not source.exists():
            raise MetalffError(f"there is no model {source}{nearest(str(source), PRETRAINED)}: give {', '.join(PRETRAINED)}, or a file")
        else:
            refuse_no_model(source, "sevennet")
            weights, training, before = weights_of("sevennet", source, work, (".pth", ".pt"))
            refuse_unlearnt(source, training, accept_errors)
        run_worker("sevennet", WORKER, weights, work, say, modal or "", ",".join(elements or []), source=source)
        described = json.loads((work / "model.json").read_text())
        if pretrained:
            origin = {"pretrained": str(source), "sevenn": described["versions"]["sevenn"], "modal": described["modal"]}
            training = training.model_copy(update={"config": origin})
        elif start := training.config.get("start"):
            cited = [*PRETRAINED[start], training.model_extra.get("data_citation", "")]
            training = training.model_copy(update={"data_citation": "\n".join(dict.fromkeys("\n".join(filter(None, cited)).splitlines()))})
        return assemble(work, output, described, training, before, CITATION, name, licence, test, say)
