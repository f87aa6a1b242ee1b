"""The data of a training as the user gives them: read, joined, checked against each other."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from metalff.data import NO_KEYS, Dataset, Keys, join, read
from metalff.data.checks import duplicates
from metalff.data.selection import whole_of
from metalff.data.sources import check_offsets, check_units, find_offsets, shared_elements, source_of, subtract
from metalff.data.stresses import judge
from metalff.errors import MetalffError, nearest
from metalff.train.splits import Fold, neighbours

OFFSETS = ("refuse", "fit", "ignore")


@dataclass(frozen=True)
class Sets:
    """Training and validation data.

    Attributes:
        valid: None when a part of ``train`` is to be held out.
        record: what ``config.json`` says of them, beyond names and hashes.
        notes: what the user should know, in sentences.
    """

    train: Dataset
    valid: Dataset | None
    record: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def gather(data: list[str], valid: list[str], offsets: str = "refuse", keys: Keys = NO_KEYS, stresses: bool = True) -> Sets:
    """Read the sets and check their units, the constants between their energies, and validation frames that neighbour training frames.

    Args:
        data, valid: what ``data.read`` takes.
        offsets: ``refuse`` sources whose energies differ by a constant; ``fit`` such constants by element and subtract them, also from the
            validation data, where they can be told from zero; ``ignore`` them, and units as well.
        keys: that the user names, for all files.
        stresses: whether they are to be learnt, and so must fit the energies.

    Raises:
        MetalffError: what is wrong with the data.
    """
    if offsets not in OFFSETS:
        raise MetalffError(f"--offsets {offsets}{nearest(offsets, OFFSETS)}: give {', '.join(OFFSETS)}")
    parts = _told_apart([*data, *valid], keys)
    for part in parts if stresses and offsets != "ignore" else ():
        if sentence := judge(part).sentence:
            raise MetalffError(f"{sentence}, or leave stresses out: --stress-weight 0")
    train, held = join(parts[: len(data)]), join(parts[len(data) :]) if valid else None
    _refuse_twice(train)
    record, notes = {}, []
    notes += [f"{sentence}; copies may be trained and validated on at once: take them out" for sentence in duplicates(train)]
    together = join([train, held]) if held else train
    if offsets != "ignore":
        check_units(together)
        found = find_offsets(together)
        if offsets == "refuse":
            check_offsets(found)
        else:
            told = [offset for offset in found if offset.told]
            train, held = subtract(train, told), subtract(held, told) if held else None
            for offset in told:
                record.setdefault("offsets", {}).setdefault(offset.source, {})[offset.element] = offset.energy
                notes.append(
                    f"{offset.energy:+.4f} ± {offset.error:.4f} eV per atom of {offset.element} are subtracted from the energies of "
                    f"{offset.source}, so that they fit those of {offset.reference}"
                )
        compared = {(o.source, o.element) for o in found}
        for symbol, (first, *others) in shared_elements(together).items():
            for source in others:
                if (source, symbol) not in compared:
                    notes.append(f"whether energies of {symbol} in {source} fit those in {first} cannot be told from these frames")
    if len({source_of(frame) for frame in together}) > 1 and not shared_elements(together):
        notes.append("no element is in two sources, so their energies need not, and cannot, be compared")
    if held and (count := neighbours(train, held)):
        notes.append(
            f"{count} of {len(held)} validation frames follow or precede a training frame of the same trajectory: such frames are nearly the same, "
            "and the validation error will look too small; hold out blocks of consecutive frames instead (leave --valid-data out, or use --folds)"
        )
    return Sets(train, held, record, tuple(notes))


def one_fold(count: int | None, number: int | None) -> Fold | None:
    """The fold of ``--folds`` and ``--fold``.

    Raises:
        MetalffError: only one of them is given, or there is no such fold.
    """
    if (count is None) != (number is None):
        raise MetalffError("give --folds and --fold together: --folds 5 --fold 1 is the first of five")
    return None if count is None else Fold(count, number)


def _told_apart(specs: list[str], keys: Keys) -> list[Dataset]:
    """The sets; frames of files of one name in two folders name the folder as well, for they are two sources."""
    folders = {}
    for spec in specs:
        path = Path(whole_of(spec)).resolve()
        folders.setdefault(path.name, set()).add(path.parent)
    found = []
    for spec in specs:
        dataset, path = _read(spec, keys), Path(whole_of(spec)).resolve()
        if len(folders[path.name]) > 1:
            source = f"{path.parent.name}/{path.name}"
            dataset = replace(dataset, frames=tuple(replace(frame, source=source) for frame in dataset))
        found.append(dataset)
    return found


def _read(spec: str, keys: Keys) -> Dataset:
    """A set; keys are those of files, and bundled and imported sets have none to name."""
    return read(spec, keys if Path(whole_of(spec)).exists() else NO_KEYS)


def _refuse_twice(dataset: Dataset) -> None:
    seen = set()
    for frame in dataset:
        key = frame.source, frame.index
        if key in seen:
            raise MetalffError(f"frame {frame.index} of {frame.source} is in two of the --data: give each frame once")
        seen.add(key)
