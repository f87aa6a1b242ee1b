"""Any PyTorch module that keeps the contract (``docs/contract.md``) → artefact."""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from metalff.artifact import Manifest, Training
from metalff.deploy.assemble import assemble
from metalff.deploy.given import refuse_other_family, refuse_unlearnt
from metalff.deploy.worker import run_worker
from metalff.environments import environment_python
from metalff.errors import MetalffError, need_torch

WORKER = Path(__file__).with_name("torch_worker.py")


def module_of(spec) -> tuple[Path, str]:
    """File and name of ``FILE.py:NAME``.

    Raises:
        MetalffError: not of this form, or no such file.
    """
    file, colon, name = str(spec).rpartition(":")
    if not (colon and name.isidentifier() and file.endswith(".py")):
        raise MetalffError(f"'{spec}' is not a module: give the file and the class or function, as in my_module.py:MyModel")
    if not Path(file).is_file():
        raise MetalffError(f"'{file}' does not exist or is not a file: check the path")
    return Path(file), name


def python_of(text: str | None) -> Path:
    """The Python of a family's environment, an interpreter by path, or, for None, this one.

    Raises:
        MetalffError: no such file, no such environment, or no torch in this one.
    """
    if text is None:
        need_torch("deploying a module of your own")
        return Path(sys.executable)
    if "/" not in text:
        return environment_python(text)
    if not Path(text).is_file():
        raise MetalffError(f"'{text}' is not a Python: give bin/python of an environment, or the name of a family")
    return Path(text).absolute()


def deploy(
    source,
    output,
    name: str | None = None,
    licence: str = "",
    test: str | None = None,
    accept_errors: bool = False,
    weights=None,
    arguments: dict | None = None,
    python: str | None = None,
    citation: str = "",
    say=print,
) -> Manifest:
    """Write the artefact of a module; the self-test holds the module's own numbers, by eager autograd in float64.

    Args:
        source: ``FILE.py:NAME``, or a directory made by ``metalff train torch``.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence, citation: of the model.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        weights: a state dict: ``.safetensors``, or ``.pt`` that holds tensors alone.
        arguments: keyword arguments of NAME.
        python: see ``python_of``.
        say: called with one line per step.

    Raises:
        MetalffError: no module there, or it breaks the contract.
    """
    source, output, training = Path(source), Path(output), Training()
    refuse_other_family(source, "torch")
    if source.suffix == ".mlff":
        raise MetalffError(f"'{source}' does not hold its module's code: give the module as FILE.py:NAME, and its weights")
    if source.is_dir():
        if weights:
            raise MetalffError(f"'{source}' has its own weights; leave --weights out")
        weights, (file, attribute), training = _trained(source)
        refuse_unlearnt(source, training, accept_errors)
    else:
        file, attribute = module_of(source)
    if weights and not Path(weights).is_file():
        raise MetalffError(f"'{weights}' does not exist or is not a file: check --weights")
    given = [attribute, json.dumps(arguments or {})]
    given += [str(Path(weights).resolve())] if weights else []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run_worker("torch", WORKER, file, work, say, *given, python=python_of(python))
        described = json.loads((work / "model.json").read_text())
        described["family"] = "torch"
        described["hyperparameters"] = {
            "module": f"{file.name}:{attribute}",
            "module_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "arguments": described["arguments"],
            "parameters": described["parameters"],
        }
        return assemble(work, output, described, training, None, citation, name, licence, test, say)


def _trained(folder: Path) -> tuple[Path, tuple[Path, str], Training]:
    """Weights, module and record of a directory of ``metalff train torch``."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        weights, record = folder / "weights.safetensors", json.loads((folder / "training.json").read_text("utf-8"))
        spec = config["module"]
    except (OSError, ValueError, KeyError):
        raise MetalffError(f"'{folder}' holds no finished training of 'metalff train torch': give one, or a module as my_module.py:MyModel") from None
    return weights, module_of(folder / spec), Training.model_validate(record)
