"""What a deployment is given."""

import io
import json
import pickletools
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

from metalff.artifact import Training, read_manifest
from metalff.errors import MetalffError

READ = 2**22
"""Bytes of a pickle that are looked through for names."""


@dataclass(frozen=True)
class Own:
    """Files of a framework's own that can be deployed.

    Attributes:
        title: the family for people.
        sources: what to give.
        pickles: suffixes of pickles of torch.
        mark: how a name begins that every such pickle holds.
        plain: they are opened without running anything that they hold.
        programs: suffixes of TorchScript archives.
    """

    title: str
    sources: str
    pickles: tuple[str, ...] = ()
    mark: str = ""
    plain: bool = True
    programs: tuple[str, ...] = ()


OWN = {
    "mace": Own("MACE", "a directory of 'metalff train mace', a .model file or an .mlff file", ("",), "mace.", plain=False),
    "sevennet": Own(
        "SevenNet", "7net-0, a directory of 'metalff train sevennet', a checkpoint of sevenn or an .mlff file", (".pth", ".pt"), "model_state_dict"
    ),
    "deepmd": Own(
        "DeePMD",
        "a directory of 'metalff train deepmd', a .pt, .pth, .dp or .yaml file of deepmd-kit or an .mlff file",
        (".pt",),
        "_extra_state",
        programs=(".pth",),
    ),
    "nequip": Own("NequIP", "a directory of 'metalff train nequip' or an .mlff file"),
    "allegro": Own("Allegro", "a directory of 'metalff train allegro' or an .mlff file"),
}
"""By family; of MACE every file that is nothing else is a pickle, whatever its name."""


def refuse_no_model(source, family: str) -> None:
    """Refuse at once what cannot be a model of the family; nothing is unpickled. Warn where opening the model runs what its author put there.

    Raises:
        MetalffError: no such file, or it is something else; says what to give.
    """
    source, own = Path(source), OWN[family]
    if source.is_dir() or source.suffix == ".mlff":
        return
    strange = MetalffError(f"'{source}' is no {own.title} model: give {own.sources}")
    if not source.exists():
        raise MetalffError(f"there is no '{source}': give {own.sources}")
    if not source.is_file():
        raise strange
    if other := family_of_text(source):
        raise MetalffError(f"'{source}' is a model of {other}, not of {family}: run metalff deploy {other}")
    if source.suffix == ".safetensors":
        with open(source, "rb") as stream:
            if stream.read(9)[8:] != b"{":
                raise strange
        return
    if source.suffix in own.programs:
        if not any(name.endswith("/constants.pkl") for name in _members(source)):
            raise strange
        warnings.warn(f"'{source}' is a program of TorchScript: opening it runs it; opened because you asked for it", stacklevel=3)
    elif source.suffix in own.pickles or "" in own.pickles:
        names = names_in_pickle(source)
        if other := next((name for name, its in OWN.items() if name != family and its.mark and _holds(names, its.mark)), None):
            raise MetalffError(f"'{source}' is a model of {other}, not of {family}: run metalff deploy {other}")
        if not _holds(names, own.mark):
            raise strange
        if not own.plain:
            warn_of_pickle(source)


def warn_of_pickle(source: Path) -> None:
    """Say what opening a pickle means; whoever asks for it opens it in the family's own process."""
    warnings.warn(f"'{source}' is a pickle: opening it runs what its author put there; opened because you asked for it", stacklevel=3)


def names_in_pickle(path: Path) -> set[str]:
    """Text and names of classes and functions in what ``torch.save`` wrote, of its first ``READ`` bytes; read as data, none of it is run. Empty where
    ``path`` is no such file."""
    members = _members(path)
    if member := next((name for name in members if name.endswith("/data.pkl") or name == "data.pkl"), None):
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
                content = stream.read(READ)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError):
            return set()
    else:
        with open(path, "rb") as stream:
            content = stream.read(READ)
        if members or content[:1] != b"\x80":
            return set()
    names, stream = set(), io.BytesIO(content)
    try:
        while stream.tell() < len(content):  # older files are several pickles, one after the other
            for _, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str):
                    names.add(argument)
    except (ValueError, IndexError, KeyError):  # the end of what was read, or of the pickles
        pass
    return names


def _members(path: Path) -> list[str]:
    """Names in a zip archive; none where it is no such archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _holds(names: set[str], mark: str) -> bool:
    return any(name.startswith(mark) for name in names)


def refuse_other_family(source, family: str) -> None:
    """Refuse an artefact, a directory of ``metalff train``, or a potential in a text file, of another family.

    Raises:
        MetalffError: names the family, and the command that deploys it.
    """
    source, found = Path(source), None
    if source.suffix == ".mlff":
        found = read_manifest(source).family
    elif source.is_file():
        found = family_of_text(source)
    elif source.is_dir():
        try:
            found = json.loads((source / "config.json").read_text("utf-8")).get("family")
        except (OSError, ValueError, AttributeError):
            return
    if found not in (None, family):
        raise MetalffError(f"'{source}' is a model of {found}, not of {family}: run metalff deploy {found}")


def family_of_text(path) -> str | None:
    """The family of a potential that is a text file, by its first line or its name; None where it is none of these."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            words = stream.read(200).split()
    except OSError:
        return None
    if words[:1] == [b"MTP"]:
        return "mtp"
    if words and words[0].startswith(b"nep") and words[0][3:4].isdigit():
        return "nep"
    return "pace" if path.suffix == ".yace" else None


def refuse_unlearnt(source, training: Training, accept: bool) -> None:
    """Refuse a model that has not learnt the forces of a group of its data, unless the user accepts it. Records of an older MetalFF do not say.

    Raises:
        MetalffError: names the groups, with their errors.
    """
    from metalff.train.learnt import unlearnt_sentence

    if training.unlearnt and not accept:
        sentence = unlearnt_sentence(training.unlearnt, training.errors.get("groups", {}))
        raise MetalffError(f"'{source}' is not deployed: {sentence}; or give --accept-errors to deploy it as it is")
