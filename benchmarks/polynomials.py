"""Deployed MTP and PACE files beside motep and the evaluator of ML-PACE in python-ace: differences, and time of one thread under ASE.

    python benchmarks/polynomials.py FILE.mtp --elements Ni --data zuo2020-Ni:test
    python benchmarks/polynomials.py FILE.yace --data zuo2020-Cu:test

Needs motep or python-ace of PyPI. Deploys the file, prints the largest differences on the frames, and µs per atom and force call on a rattled crystal
of the first element: ours with the pairs from Python, as the calculator finds them, and the engine alone; then the other code, all included.
"""

import argparse
import tempfile
import time
from pathlib import Path

import ase.build
import numpy as np
from ase.data import atomic_numbers

from metalff import MLFFCalculator, _engine
from metalff.data import read
from metalff.deploy import mtp, pace
from metalff.neighbours import edges_of


def peer(path: Path, elements: list[str], recursive: bool = False):
    if path.suffix == ".yace":
        from pyace import ACECTildeBasisSet, PyACECalculator

        return PyACECalculator(ACECTildeBasisSet(str(path)), recursive_evaluator=recursive, recursive=recursive)
    from motep.calculator import MTP
    from motep.io.mlip.mtp import read_mtp

    data = read_mtp(path)
    data.species = np.array([atomic_numbers[symbol] for symbol in elements])
    return MTP(data, engine="cext")


def timed(call, atoms: int) -> float:
    """µs per atom, the least of five."""
    times = []
    for _ in range(6):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times[1:]) / atoms * 1e6


def under_ase(calculator, atoms) -> float:
    atoms = atoms.copy()
    atoms.calc = calculator

    def call():
        atoms.positions += 1e-4
        atoms.get_forces()

    return timed(call, len(atoms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--elements", default="")
    parser.add_argument("--data")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        deployed = Path(work) / "a.mlff"
        if args.file.suffix == ".yace":
            elements = pace.deploy(args.file, deployed, say=print).elements
        else:
            elements = mtp.deploy(args.file, deployed, args.elements.split(","), say=print).elements
        ours = MLFFCalculator(deployed)
        if args.data:
            largest = np.zeros(3)
            for frame in read(args.data):
                found = []
                for calculator in (ours, peer(args.file, elements)):
                    atoms = frame.to_atoms()
                    atoms.calc = calculator
                    found.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces(), atoms.get_stress()))
                largest = np.maximum(largest, [np.abs(np.subtract(a, b)).max() for a, b in zip(*found, strict=True)])
            print(f"largest differences on {args.data}: {largest[0]:.1e} eV/atom, {largest[1]:.1e} eV/Å, {largest[2]:.1e} eV/Å³")
        crystal = ase.build.bulk(elements[0], cubic=True)
        atoms = crystal.repeat([6, 6, 6])
        atoms.rattle(0.05, seed=1)
        engine = _engine.Engine(str(deployed), engine="native", selftest=False)
        centre, neighbour, vec = edges_of(atoms, engine.artifact.r_max)
        types = np.zeros(len(atoms), int)
        own = under_ase(ours, atoms)
        print(f"ours: {own:.1f} µs/atom, the engine {timed(lambda: engine.evaluate(centre, neighbour, vec, types), len(atoms)):.1f}")
        small = crystal.repeat([4, 4, 4])
        small.rattle(0.05, seed=1)
        for recursive in (False, True) if args.file.suffix == ".yace" else (False,):
            other = under_ase(peer(args.file, elements, recursive), small)
            print(f"{'python-ace' + ', recursive' * recursive if args.file.suffix == '.yace' else 'motep'}: {other:.1f} µs/atom ({other / own:.1f}×)")


if __name__ == "__main__":
    main()
