"""A set too large for the memory: its frames one after the other, file by file, as often as they are asked for.

What is yielded, checked, noted and refused is what ``data.read`` gives, refuses and notes: the readers are the same generators.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from metalff.data import archive, formats, layout, store
from metalff.data.bundled import load, names
from metalff.data.extxyz import each_of_extxyz, read_extxyz
from metalff.data.frame import Dataset, Filter, Frame
from metalff.data.labels import NO_KEYS, Keys
from metalff.data.selection import divide, named, reading, select
from metalff.data.text import text_lines
from metalff.errors import MetalffError, nearest

SEEN = 10
"""Frames of a file whose length tells how many it has, about."""


@dataclass(eq=False)
class Stream:
    """Frames of files, read anew by each iteration; never more of them in memory than one, or a part of an imported file.

    Attributes:
        name, citation, licence: as those of a ``Dataset``.
        each: gives the frames, and adds to a list what a user should know of the files.
        estimate: gives ``expected``.
        notes: what the last whole iteration said; empty before.
    """

    name: str
    each: Callable[[list[str]], Iterator[Frame]] = field(repr=False)
    estimate: Callable[[], int | None] = field(default=lambda: None, repr=False)
    citation: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def expected(self) -> int | None:
        """Number of frames by the sizes of the files; None where they do not tell."""
        return self.estimate()

    def __iter__(self) -> Iterator[Frame]:
        notes: list[str] = []
        yield from self.each(notes)
        self.notes = tuple(notes)

    def dataset(self) -> Dataset:
        """All frames in memory."""
        frames = tuple(self)
        return Dataset(self.name, frames, self.citation, self.licence, self.notes)


def stream(spec, keys: Keys = NO_KEYS) -> Stream | Dataset:
    """A set as ``data.read`` takes it, to be read frame by frame; also a zip archive of files in the layout of Metal-43 or TM23.

    Bundled sets, and formats that are not read line by line, come in memory.

    Raises:
        MetalffError: as ``data.read``; what is wrong with a file, or a selection that leaves nothing, is found out by iterating.
    """
    spec = named(spec)
    whole, wanted = (spec, {}) if Path(spec).exists() else divide(spec)
    own, elements = reading(wanted, keys)
    name, _, split = whole.partition(":")
    found: Stream | Dataset
    if name in store.names():
        if own != NO_KEYS:
            raise MetalffError(f"{spec}: keys are named when a set is imported: metalff data import --energy-key …")
        wanted |= {"split": (split,)} if split else {}
        found = _of_store(name, wanted)
    elif name in names():
        if own != NO_KEYS:
            raise MetalffError(f"{spec}: a bundled set has no keys to name; those of a file can be named in brackets: 'FILE[energy_key=…]'")
        found = load(name, split or None)
    else:
        path = Path(whole)
        if not path.exists():
            imported = store.names()
            raise MetalffError(
                f"{whole} is neither a file nor a bundled set{nearest(name, [*names(), *imported])}; sets: {', '.join(names())}"
                + (f"; imported: {', '.join(imported)}" if imported else "")
            )
        found = _of_path(path, own, elements)
    return selected(found, wanted)


def selected(frames: Stream | Dataset, wanted: dict) -> Stream | Dataset:
    """What ``selection.select`` leaves; a range that counts from the end needs the set in memory."""
    if not wanted:
        return frames
    if isinstance(frames, Dataset):
        return select(frames, **wanted)
    rest = dict(wanted)
    if (bounds := rest.pop("frames", None)) is not None:
        if any(number is not None and number < 0 for number in (bounds.start, bounds.stop, bounds.step)):
            return select(frames.dataset(), **wanted)
        frames = _range(frames, bounds)
    asked = Filter(**{key: rest.get(key) for key in ("element", "split", "group", "temperature")})
    if not asked.asked:
        return frames
    inner = frames
    return Stream(asked.name_of(inner), lambda notes: asked.of(_Noted(inner, notes)), citation=inner.citation, licence=inner.licence)


class _Noted:
    """A stream whose notes go to another's."""

    def __init__(self, inner: Stream, notes: list[str]):
        self.inner, self.notes, self.name = inner, notes, inner.name

    def __iter__(self):
        return self.inner.each(self.notes)


def _range(inner: Stream, bounds: slice) -> Stream:
    """Frames of a range, all others checked as well."""
    words = f"frames={':'.join('' if b is None else str(b) for b in (bounds.start, bounds.stop, bounds.step)[: 2 if bounds.step is None else 3])}"

    def each(notes):
        start, stop, step = bounds.start or 0, bounds.stop, bounds.step or 1
        number, found = -1, False
        for number, frame in enumerate(inner.each(notes)):
            if number >= start and (stop is None or number < stop) and not (number - start) % step:
                found = True
                yield frame
        if not found:
            raise MetalffError(f"{inner.name} has {number + 1} frames and none with {words}")

    return Stream(f"{inner.name}[{words}]", each, citation=inner.citation, licence=inner.licence)


def _of_store(name: str, wanted: dict) -> Stream:
    content = store.complete(name)
    # only the files that are asked for are opened; a range of frames counts in the whole set
    asked = {} if "frames" in wanted else wanted
    if not any(True for _ in store.files(name, **asked)):
        asked = {}
    expected = sum(found["frames"] - len(found.get("twice", ())) for _, found in store.files(name, **asked))
    return Stream(name, lambda notes: store.stream(name, **asked), lambda: expected, content["citation"], content["licence"])


def _of_path(path: Path, keys: Keys, elements: tuple[str, ...]) -> Stream | Dataset:
    if path.is_file() and path.suffix == ".zip":
        formats.without_elements(elements, path)
        known = archive.members(path)
        return Stream(
            path.stem,
            lambda notes: archive.each_of(known, path.stem, keys, notes),
            lambda: _together((None if member.file.endswith(".gz") else member.size, member.lines()) for member in known),
        )
    reader = formats.reader_of(path)
    if reader is read_extxyz:
        formats.without_elements(elements, path)
        return Stream(path.name, lambda notes: each_of_extxyz(path, keys, notes), lambda: _together([_sized(path)]))
    if reader is layout.read_folder:
        formats.without_elements(elements, path)
        files, said = layout.files_of(path), layout.manifest(path)
        return Stream(
            path.name,
            lambda notes: layout.each_of_folder(path, keys, notes),
            lambda: _together(map(_sized, (*files[0], *files[1]))),
            said.get("citation", ""),
            said.get("licence", ""),
        )
    return formats.read_path(path, keys, elements)


def _sized(path: Path) -> tuple[int | None, Iterator[str]]:
    return None if path.suffix == ".gz" else path.stat().st_size, text_lines(path)


def _together(texts) -> int | None:
    """Frames of all texts, each (bytes or None, lines), by the mean length of the first ``SEEN``; None where one does not tell."""
    total = 0.0
    for size, lines in texts:
        if size is None:
            return None
        length = frames = 0
        try:
            while frames < SEEN and (line := next(lines, "")).strip():
                length += len(line) + 1 + sum(len(next(lines).encode()) + 1 for _ in range(int(line) + 1))
                frames += 1
        except (MetalffError, ValueError, StopIteration):  # whoever reads it says what is wrong
            pass
        if not frames:
            return None
        total += size * frames / length
    return round(total)
