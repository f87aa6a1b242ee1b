"""DeePMD model → artefact."""

import json
import tempfile
from pathlib import Path

from metalff.artifact import Manifest
from metalff.deploy.assemble import assemble, weights_of
from metalff.deploy.given import refuse_no_model, refuse_unlearnt
from metalff.deploy.worker import run_worker

WORKER = Path(__file__).with_name("deepmd_worker.py")
OWN = (".pt", ".pth", ".dp", ".yaml", ".yml")
"""Suffixes of deepmd-kit's own files: checkpoints, frozen models, native models."""
CITATION = "\n".join(
    (
        "L. Zhang, J. Han, H. Wang, R. Car, W. E, Deep Potential Molecular Dynamics: A Scalable Model with the Accuracy of Quantum "
        "Mechanics, Phys. Rev. Lett. 120, 143001 (2018)",
        "L. Zhang et al., End-to-end Symmetry Preserving Inter-atomic Potential Energy Model for Finite and Extended Systems, NeurIPS 31 (2018)",
        "J. Zeng et al., DeePMD-kit v3: A Multiple-Backend Framework for Machine Learning Potentials, J. Chem. Theory Comput. 21, 4375 (2025)",
    )
)


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, accept_errors: bool = False, say=print) -> Manifest:
    """Write the artefact of a DeePMD model with the descriptor se_e2_a.

    Args:
        source: a directory made by ``metalff train deepmd``, its ``weights.safetensors``, a checkpoint (``.pt``), frozen (``.pth``) or
            native (``.dp``, ``.yaml``) model of deepmd-kit, or an ``.mlff`` file of the family, which is deployed anew from its weights.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's weights.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.

    Raises:
        MetalffError: no model there, no environment, or a model that is not covered; the sentence says by what.
    """
    source, output = Path(source), Path(output)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        refuse_no_model(source, "deepmd")
        weights, training, before = weights_of("deepmd", source, work, OWN)
        refuse_unlearnt(source, training, accept_errors)
        run_worker("deepmd", WORKER, weights, work, say, source=source)
        described = json.loads((work / "model.json").read_text())
        return assemble(work, output, described, training, before, CITATION, name, licence, test, say)
