"""Forces of frames as they come: into ``forces.parquet``, and for the parity figure."""

import tempfile
from pathlib import Path

import numpy as np

from metalff.validate.compare import Keep
from metalff.validate.evaluate import CELLS, OUTSIDE, Batch, Wanted
from metalff.validate.reference import Reference

ATOMS = 1_000_000
"""Of a set whose forces are all written; of a larger one, those of evenly spaced frames."""

ROWS = 100_000
"""Of a row group of ``forces.parquet``, about; it is of one potential, and so are all rows of a smaller set before those of the next."""

DRAWN = 100_000
"""Atoms of a set whose forces are points of the parity figure; of a larger one all are a density."""


class Forces(Keep):
    """Takes the forces of frames in order.

    Use as a context manager: the file has no name before ``copy`` gives it one.

    Args:
        folder: on whose disk, or that of the next folder above that is there, the file is.

    Attributes:
        limit: eV/Å, of the figure's axes.
        labels: force components [n] of a set up to ``DRAWN`` atoms, ``predictions``: P of them; empty for a larger one.
        density: [P,CELLS,CELLS] of a larger one, by prediction and label; ``outside``: [P] components beyond.
    """

    def __init__(self, reference: Reference, potentials, folder):
        self.reference, self.names = reference, [potential.name for potential in potentials]
        self.limit = 1.05 * max(float(reference.force_max.max()), 1e-3)
        self.few = int(reference.atoms.sum()) <= DRAWN
        self.every = reference.every(ATOMS)
        self._labels, self._predictions = [], [[] for _ in self.names]
        self.density, self.outside = np.zeros((len(self.names), CELLS, CELLS), np.int64), np.zeros(len(self.names), np.int64)
        folder = Path(folder).absolute()
        self._folder = next(one for one in (folder, *folder.parents) if one.is_dir())
        self._rows, self._waiting, self._writer = 0, [], None

    def __enter__(self):
        self._file = tempfile.TemporaryFile(dir=self._folder)
        return self

    def __exit__(self, *exception):
        if self._writer is not None:
            self._writer.close()
        self._file.close()

    @property
    def labels(self) -> np.ndarray:
        return np.concatenate(self._labels) if self._labels else np.zeros(0)

    @property
    def predictions(self) -> list[np.ndarray]:
        return [np.concatenate(one) if one else np.zeros(0) for one in self._predictions]

    def wanted(self, frames: slice) -> Wanted:
        numbers = np.arange(frames.start, frames.stop)
        return Wanted(numbers % self.every == 0, np.zeros(len(numbers), bool), limit=None if self.few else self.limit)

    def add(self, frames: slice, batch: Batch) -> None:
        numbers = np.arange(frames.start, frames.stop)
        for number, (label, predicted) in zip(numbers[numbers % self.every == 0], batch.forces, strict=True):
            self._waiting.append((number, label, predicted))
            self._rows += len(label)
            if self.few:
                self._labels.append(label.ravel())
                for own, values in zip(self._predictions, predicted):
                    own.append(values.ravel())
        for k, cells in enumerate(() if batch.cells is None else batch.cells):
            inside = cells[cells != OUTSIDE]
            self.density[k] += np.bincount(inside, minlength=CELLS**2).reshape(CELLS, CELLS)
            self.outside[k] += len(cells) - len(inside)
        if self._rows >= ROWS:
            self._write()

    def _write(self) -> None:
        """A row group for each potential."""
        import pyarrow
        import pyarrow.parquet

        waiting, self._waiting, self._rows = self._waiting, [], 0
        sizes = np.array([len(label) for _, label, _ in waiting])
        labels = np.concatenate([label for _, label, _ in waiting])
        shared = {"frame": np.repeat([number for number, _, _ in waiting], sizes), "atom": np.concatenate([np.arange(size) for size in sizes])}
        for k, name in enumerate(self.names):
            predicted = np.concatenate([several[k] for _, _, several in waiting])
            columns = {"potential": pyarrow.array([name] * len(labels))} | shared
            for axis, letter in enumerate("xyz"):
                columns |= {f"reference_f{letter}": labels[:, axis], f"predicted_f{letter}": predicted[:, axis]}
            table = pyarrow.table(columns)
            if self._writer is None:
                self._writer = pyarrow.parquet.ParquetWriter(self._file, table.schema)
            self._writer.write_table(table, row_group_size=len(table))

    def copy(self, stream) -> None:
        """Write the whole file; nothing can be added after that."""
        import shutil

        if self._waiting:
            self._write()
        self._writer.close()
        self._file.seek(0)
        shutil.copyfileobj(self._file, stream, 1 << 20)
