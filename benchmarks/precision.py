"""What float32 costs in accuracy: precision single against double on the DFT test frames.

    python benchmarks/precision.py [--model FILE.mlff] [--data zuo2020-Cu:test] [--engine auto]

Prints the largest and the RMS difference of forces, and the largest of energies and stresses.
"""

import argparse
from pathlib import Path

import numpy as np

from metalff import MLFFCalculator
from metalff.data import read
from metalff.paths import shared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shared("potentials", "mlff", "Cu-mace.mlff"))
    parser.add_argument("--data", default="zuo2020-Cu:test")
    parser.add_argument("--engine", choices=["auto", "native", "torch"], default="auto")
    args = parser.parse_args()
    calculators = [MLFFCalculator(args.model, precision=precision, engine=args.engine) for precision in ("double", "single")]
    energy, stress, forces, size = [], [], [], []
    for frame in read(args.data):
        found = []
        for calculator in calculators:
            atoms = frame.to_atoms()
            atoms.calc = calculator
            periodic = atoms.pbc.all()
            found.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces(),
                          atoms.get_stress() if periodic else np.zeros(6)))  # fmt: skip
        (e, f, s), (e_single, f_single, s_single) = found
        energy.append(abs(e_single - e))
        stress.append(np.abs(s_single - s).max())
        forces.append((f_single - f).ravel())
        size.append(f.ravel())
    forces, size = np.concatenate(forces), np.concatenate(size)
    print(f"{args.model.name} on {args.data}: precision single (or mixed) against double")
    print(f"force   largest {np.abs(forces).max():.2e} eV/Å, RMS {np.sqrt((forces**2).mean()):.2e} eV/Å "
          f"(RMS force {np.sqrt((size**2).mean()):.3f})")  # fmt: skip
    print(f"energy  largest {max(energy):.2e} eV/atom")
    print(f"stress  largest {max(stress):.2e} eV/Å³")


if __name__ == "__main__":
    main()
