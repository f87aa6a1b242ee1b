"""NEP model, in the form of GPUMD's nep.txt → artefact."""

import json
import tempfile
from importlib import metadata
from pathlib import Path

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.deploy.errors_on import errors_on
from metalff.deploy.given import refuse_other_family, refuse_unlearnt
from metalff.deploy.worker import run_worker
from metalff.environments import environment_python
from metalff.errors import MetalffError, need_torch

WORKER = Path(__file__).with_name("nep_worker.py")
CITATION = (
    "Z. Fan et al., GPUMD: A package for constructing accurate machine-learned potentials and performing highly efficient "
    "atomistic simulations, J. Chem. Phys. 157, 114801 (2022)"
)
MEMBER = "native/nep.txt"


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, accept_errors: bool = False, say=print) -> Manifest:
    """Write the artefact of a NEP model: its nep.txt, unchanged, and a self-test with the numbers of another code.

    That is NEP_CPU for a file from elsewhere; for a model of ``metalff train nep``, and where NEP's environment is missing, the formulas in torch
    (``nep_reference``), where they cover the model. The manifest says which.

    Args:
        source: a directory made by ``metalff train nep``, or a ``nep.txt`` of GPUMD or of another trainer: NEP3, NEP4 or NEP5, with or without ZBL.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's parameters.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.

    Raises:
        MetalffError: no such file, not one that the engine reads, no environment for a model that the formulas do not cover, or numbers that differ.
    """
    from metalff.selftest import replay

    source, output = Path(source), Path(output)
    refuse_other_family(source, "nep")
    training, ours = Training(), source.is_dir()
    if ours:
        record, source = source / "training.json", source / "nep.txt"
        if not (record.is_file() and source.is_file()):
            raise MetalffError(f"'{source.parent}' holds no finished training: give a directory of 'metalff train nep', or a nep.txt")
        training = Training.model_validate(json.loads(record.read_text()))
        refuse_unlearnt(source.parent, training, accept_errors)
    try:
        text = source.read_bytes()
    except OSError as error:
        raise MetalffError(f"cannot read '{source}': {error.strerror}; give a nep.txt of GPUMD") from None
    elements, r_max = _header(source, text)
    manifest = Manifest(
        name=name or output.stem,
        family="nep",
        elements=elements,
        r_max=r_max,
        layers=1,
        training=training.model_copy(update={"config": {"training": training.config} if training.config else {}}),
        citation="\n".join(filter(None, [CITATION, training.model_extra.get("data_citation", "")])),
        licence=licence,
        versions={"metalff": metadata.version("metalff")},
    )
    members = {MEMBER: (Payload(kind="native", sha256="", size=0), text)}
    with tempfile.TemporaryDirectory() as work:
        draft = Path(work) / "draft.mlff"
        artifact.write(draft, manifest, members)
        _open(source, draft)
        cases, versions, reference = _reference(source, text.decode(), elements, ours, Path(work), say)
        members["selftest.json"] = (Payload(kind="selftest", sha256="", size=0), cases)
        training = manifest.training.model_copy(update={"reference": reference})
        manifest = manifest.model_copy(update={"versions": manifest.versions | versions, "training": training})
        artifact.write(draft, manifest, members)
        outcome = replay(artifact.open_artifact(draft), engine="native")
        if not outcome.passed:
            raise MetalffError(f"the native engine differs from {reference} by {outcome.describe()}: report this potential; nothing was written")
        if test:
            say(f"errors on {test}")
            training = manifest.training.model_copy(update={"errors": training.errors | errors_on(draft, test)})
            manifest = manifest.model_copy(update={"training": training})
    artifact.write(output, manifest, members)
    return artifact.read_manifest(output)


def _reference(source: Path, text: str, elements: list[str], ours: bool, work: Path, say) -> tuple[bytes, dict[str, str], str]:
    """The self-test, versions of what gave its numbers, and its name.

    Args:
        ours: the model is one of ``metalff train nep``.
    """
    missing = no_torch = None
    try:
        environment_python("nep")
    except MetalffError as error:
        missing = error
    try:
        need_torch("the reference of a NEP where NEP_CPU is missing")
    except MetalffError as error:
        no_torch = error
    if missing and no_torch:
        raise MetalffError(f"{no_torch}, or: metalff env create nep")
    if missing or (ours and not no_torch):
        from metalff.deploy import nep_reference
        from metalff.deploy.reference import selftest

        try:
            calculator = nep_reference.Formulas(text)
        except nep_reference.NotCovered as reason:
            if missing:
                raise MetalffError(f"'{source}' needs NEP_CPU for its self-test, since {reason}: {missing}") from None
        else:
            say("reference energies, forces and stresses from the formulas of NEP4 in torch")
            if missing and not ours:
                say("NEP_CPU is the reference of models from elsewhere, but its environment is missing: metalff env create nep, then deploy again")
            return json.dumps(selftest(calculator, elements[:4])).encode(), {"torch": metadata.version("torch")}, nep_reference.NAME
    run_worker("nep", WORKER, source, work, say)
    return (work / "selftest.json").read_bytes(), json.loads((work / "versions.json").read_text()), "NEP_CPU"


def _header(source: Path, text: bytes) -> tuple[list[str], float]:
    """Elements and largest cutoff in Å; what else may be wrong with the file, the engine says."""
    lines = [line.split() for line in text[:10000].decode("utf-8", "replace").splitlines()]
    try:
        if not lines[0][0].startswith("nep"):
            raise ValueError
        cutoff = next(words for words in lines if words[:1] == ["cutoff"])
        return lines[0][2:], max(map(float, cutoff[1:-2:2]))
    except (IndexError, StopIteration, ValueError):
        raise MetalffError(f"'{source}' is not a potential in the form of GPUMD's nep.txt: give one that GPUMD or a trainer of NEP wrote") from None


def _open(source: Path, draft: Path) -> None:
    from metalff import _engine

    try:
        _engine.Engine(str(draft), engine="native", selftest=False)
    except _engine.EngineError as error:
        reason = str(error).split("': ", 1)[-1].replace(MEMBER, f"'{source}'")
        raise MetalffError(reason) from None
