"""Linear polynomial of ``metalff train poly`` → artefact."""

import json
from dataclasses import replace
from pathlib import Path

from metalff.artifact import Manifest, Training
from metalff.deploy.given import refuse_other_family, refuse_unlearnt
from metalff.deploy.polynomials import write
from metalff.errors import MetalffError
from metalff.poly.program import from_bytes
from metalff.poly.reduce import reduce
from metalff.poly.reference import polynomial

CITATION = "R. Drautz, Atomic cluster expansion for accurate and transferable interatomic potentials, Phys. Rev. B 99, 014104 (2019)"
FORMULAS = "the formulas of the polynomial in numpy (metalff.poly.reference)"


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, accept_errors: bool = False, say=print) -> Manifest:
    """Write the artefact of a fitted polynomial, with fewer products than the fit had and a self-test by its formulas.

    Args:
        source: a directory made by ``metalff train poly``.
        output: the ``.mlff`` file to write.
        name: the model's name; the output's stem when None.
        licence: licence of the model's parameters.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        accept_errors: deploy a model that has not learnt the forces of a group of its data, too.
        say: called with one line per step.

    Raises:
        MetalffError: no finished fit.
    """
    source = Path(source)
    refuse_other_family(source, "poly")
    record, file = source / "training.json", source / "poly.safetensors"
    if not (record.is_file() and file.is_file()):
        raise MetalffError(f"'{source}' holds no finished fit: give a directory of 'metalff train poly'")
    training = Training.model_validate(json.loads(record.read_text()))
    refuse_unlearnt(source, training, accept_errors)
    try:
        fitted = from_bytes(file.read_bytes())
    except ValueError:
        raise MetalffError(f"'{file}' is damaged: fit again") from None
    say("products that energies do not need are left out")
    programs = [reduce(replace(program, function=None, factor=None)) for program in fitted.programs]
    potential = replace(fitted, programs=programs)
    training = training.model_copy(update={"config": {"training": training.config} if training.config else {}})
    citation = "\n".join(filter(None, [CITATION, training.model_extra.get("data_citation", "")]))
    about = {"training": training, "name": name, "licence": licence, "test": test, "say": say}
    return write(potential, polynomial(potential), source, Path(output), "poly", FORMULAS, citation, **about)
