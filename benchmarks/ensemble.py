"""Cost of an ensemble: pair_style mlff with one model and with N copies of it, deviation at every step, one core.

    python benchmarks/ensemble.py [--model FILE.mlff] [--members 5] [--cells 5] [--steps 10] [--repeats 3]

Runs alternate; prints the ratio of each pair of runs and their median.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from metalff.paths import shared
from metalff.speed.lammps import measure, mlff


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shared("potentials", "mlff", "Cu-mace.mlff"))
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--cells", type=int, default=5, help="4·cells³ atoms")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = [shutil.copy(args.model, Path(folder) / f"{k}.mlff") for k in range(args.members)]
        ratios = []
        for _ in range(args.repeats):
            one = measure(mlff(copies[:1]), args.cells, args.steps)["s/step"]
            all_of_them = measure(mlff(copies, "deviation 1 deviation.txt"), args.cells, args.steps)["s/step"]
            ratios.append(all_of_them / one)
            print(f"one model {one:.4f} s/step, {args.members} members {all_of_them:.4f}: {ratios[-1]:.3f}x", flush=True)
    print(f"{args.members} members cost {statistics.median(ratios):.3f}x one model ({4 * args.cells**3} atoms, median)")


if __name__ == "__main__":
    main()
