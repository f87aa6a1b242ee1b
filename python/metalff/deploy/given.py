"""What a deployment is given."""

import json
from pathlib import Path

from metalff.artifact import Training, read_manifest
from metalff.errors import MetalffError


def refuse_other_family(source, family: str) -> None:
    """Refuse an artefact, or a directory of ``metalff train``, of another family.

    Raises:
        MetalffError: names the family, and the command that deploys it.
    """
    source, found = Path(source), None
    if source.suffix == ".mlff":
        found = read_manifest(source).family
    elif source.is_dir():
        try:
            found = json.loads((source / "config.json").read_text("utf-8")).get("family")
        except (OSError, ValueError, AttributeError):
            return
    if found not in (None, family):
        raise MetalffError(f"'{source}' is a model of {found}, not of {family}: run metalff deploy {found}")


def refuse_unlearnt(source, training: Training, accept: bool) -> None:
    """Refuse a model that has not learnt the forces of a group of its data, unless the user accepts it. Records of an older MetalFF do not say.

    Raises:
        MetalffError: names the groups, with their errors.
    """
    from metalff.train.learnt import unlearnt_sentence

    if training.unlearnt and not accept:
        sentence = unlearnt_sentence(training.unlearnt, training.errors.get("groups", {}))
        raise MetalffError(f"'{source}' is not deployed: {sentence}; or give --accept-errors to deploy it as it is")
