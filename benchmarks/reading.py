"""How long a trajectory of a published set takes to open: text by ase.io.read, text by MetalFF, the HDF5 that `metalff data import` keeps.

    python benchmarks/reading.py [--frames 1000] [--files 172]

Makes copper of 108 atoms with random displacements in a temporary folder, in the layout of Metal-43.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import ase.io
import numpy as np

from metalff.data import Frame, layout, store
from metalff.data.archive import members
from metalff.data.metals import metal, metals


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--files", type=int, default=172)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    atoms = metal("Cu").supercell()

    def frame(k):
        displaced = atoms.positions + rng.normal(scale=0.1, size=atoms.positions.shape)
        return Frame(atoms.numbers, displaced, atoms.cell.array, atoms.pbc, -400.0, rng.normal(size=displaced.shape), np.eye(3), index=k)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        os.environ["METALFF_HOME"] = str(folder / "home")
        file = folder / "one" / "Cu_fcc_300.extxyz"
        layout.write_file([frame(k) for k in range(given.frames)], file)
        for k in range(given.files):
            symbol = list(metals())[k % len(metals())]
            layout.write_file([frame(0)], folder / "many" / layout.file_name(symbol, "fcc", 300 + k))
        task = store.Import(folder / "one")

        def imports():
            for name, arguments in task.tasks().items():
                task.add(name, store.import_file(*arguments))
            task.finish()

        with task.claim():
            imported = clock(imports)
        times = {
            "ase.io.read": clock(lambda: ase.io.read(file, ":")),
            "text, MetalFF": clock(lambda: layout.read_file(file)),
            "imported": clock(lambda: store.load("one")),
        }
        print(f"{given.frames} frames of {len(atoms)} atoms, {file.stat().st_size / 1e6:.1f} MB of text; importing them once: {imported:.2f} s")
        for name, seconds in times.items():
            print(f"{name:<16}{seconds:8.3f} s{times['ase.io.read'] / seconds:8.1f} times as fast as ase.io.read")
        print(f"list of {given.files} files: {clock(lambda: members(folder / 'many')):.3f} s")


def clock(action) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
