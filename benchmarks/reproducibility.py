"""The same run of molecular dynamics twice, and with other numbers of threads and ranks: bit by bit, or to which digit.

    python benchmarks/reproducibility.py [MODEL.mlff …]

Prints the largest difference of forces after 1 and after 100 steps, relative to the largest force; 0 means bit by bit.
"""

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import write

from metalff.lammps import environment, lmp_executable
from metalff.paths import shared
from metalff.potentials import resolve

INPUT = """
units metal
atom_modify map array
read_data crystal.data
pair_style mlff precision {precision} threads {threads}
{coeff}
velocity all create 600 1
fix move all nve
dump forces all custom {every} out.dump id fx fy fz
dump_modify forces sort id format float %.17g
run {steps}
"""

RUNS = {"again": (1, 1), "2 threads": (1, 2), "2 threads, again": (1, 2), "2 ranks": (2, 1), "2 ranks, again": (2, 1)}
"""Ranks and threads; the first run is (1, 1). "again" is compared with the run before it of the same numbers."""

STEPS = (1, 100)


def forces(model: Path, precision: str, ranks: int, threads: int) -> list[np.ndarray]:
    """[N,3] eV/Å after each of STEPS."""
    with tempfile.TemporaryDirectory() as folder:
        coeff = resolve(model, ["Cu"]).lammps_commands()[1]
        text = INPUT.format(precision=precision, threads=threads, coeff=coeff, every=1, steps=STEPS[-1])
        Path(folder, "in.lmp").write_text(text)
        crystal = bulk("Cu", cubic=True) * 5
        crystal.rattle(0.05, seed=1)
        write(Path(folder, "crystal.data"), crystal, format="lammps-data", masses=True)
        mpi = [str(Path(sys.prefix) / "bin/mpiexec"), "-n", str(ranks)] if ranks > 1 else []
        command = [*mpi, str(lmp_executable()), "-in", "in.lmp", "-log", "none", "-nocite"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
        lines = Path(folder, "out.dump").read_text().split("\n")
        atoms = int(lines[3])
        return [np.array([line.split() for line in lines[s * (atoms + 9) + 9 : (s + 1) * (atoms + 9)]], float)[:, 1:] for s in STEPS]


def main() -> None:
    models = [Path(word) for word in sys.argv[1:]] or [shared("potentials", "mlff", f"Cu-{kind}.mlff") for kind in ("nep", "mace")]
    print("| model | precision | compared with one rank, one thread | after 1 step | after 100 steps |\n|---|---|---|---|---|")
    for model, precision in itertools.product(models, ("double", "single")):
        first = forces(model, precision, 1, 1)
        known = {(1, 1): first}
        for name, numbers in RUNS.items():
            found = forces(model, precision, *numbers)
            other = known.get(numbers, first)
            known[numbers] = found
            parts = [abs(a - b).max() / abs(b).max() for a, b in zip(found, other)]
            print(f"| {model.stem} | {precision} | {name} | {' | '.join('0' if p == 0 else f'{p:.0e}' for p in parts)} |", flush=True)


if __name__ == "__main__":
    main()
