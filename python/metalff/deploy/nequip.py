"""NequIP or Allegro model → artefact."""

import json
import tempfile
from pathlib import Path

from metalff.artifact import Manifest
from metalff.deploy.assemble import assemble, weights_of
from metalff.deploy.given import refuse_no_model, refuse_unlearnt
from metalff.deploy.worker import run_worker
from metalff.errors import MetalffError

WORKER = Path(__file__).with_name("nequip_worker.py")
CITATIONS = {
    "nequip": (
        "S. Batzner et al., E(3)-equivariant graph neural networks for data-efficient and accurate interatomic potentials, "
        "Nat. Commun. 13, 2453 (2022)"
    ),
    "allegro": ("A. Musaelian et al., Learning local equivariant representations for large-scale atomistic dynamics, Nat. Commun. 14, 579 (2023)"),
}


def deploy(
    family: str,
    source,
    output,
    name: str | None = None,
    licence: str = "",
    test: str | None = None,
    accept_errors: bool = False,
    say=print,
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
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.

    Raises:
        MetalffError: no model there, one of another family, no environment, or a model that cannot be exported.
    """
    source, output = Path(source), Path(output)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        refuse_no_model(source, family)
        weights, training, before = weights_of(family, source, work)
        refuse_unlearnt(source, training, accept_errors)
        run_worker(family, WORKER, weights, work, say, source=source)
        described = json.loads((work / "model.json").read_text())
        if described["family"] != family:
            raise MetalffError(f"'{source}' is a model of {described['family']}: run metalff deploy {described['family']}")
        return assemble(work, output, described, training, before, CITATIONS[family], name, licence, test, say)
