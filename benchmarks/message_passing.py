"""A message-passing model in LAMMPS: chunks of centres, MPI ranks, and the two ways of ghosts; one run, ratios to one rank.

    python benchmarks/message_passing.py [--model FILE.mlff] [--engine native|torch] [--cells 10] [--steps 10] [--json OUT.json]

Prints time per step and peak memory of the first process of ``pair_style mlff`` on 4·cells³ atoms: on one rank (the torch engine also with
all centres at a time and with ever smaller chunks), then on 2 and 4 ranks with features exchanged between the layers (``ghosts exchange``)
and with ghosts to layers × r_max (``ghosts wide``). "2 runs at once" are two independent runs on one rank, side by side: what they lose to
each other is lost to memory and clock of the machine, and no 2 ranks can be faster than twice that.
"""

import argparse
import json
from pathlib import Path

from metalff.paths import shared
from metalff.speed.lammps import measure, mlff


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shared("potentials", "mlff", "Cu-mace.mlff"))
    parser.add_argument("--engine", choices=["native", "torch"], default="native")
    parser.add_argument("--cells", type=int, default=10, help="4·cells³ atoms")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=["double", "single"], default="double")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    atoms = 4 * args.cells**3
    cases = [(f"chunk {chunk}", 1, f"chunk {chunk}", 1) for chunk in (atoms, 1000, 256, 128, 64, 32, 16) if args.engine == "torch"]
    cases += [("1 rank", 1, "", 1), ("2 runs at once", 1, "", 2)]
    cases += [(f"{n} ranks, {way}", n, f"ghosts {way}", 1) for n in (2, 4) for way in ("exchange", "wide")]

    results = {}
    print(f"{atoms} atoms of Cu, {args.model.name}, {args.engine} engine, precision {args.precision}; relative to '1 rank'")
    print(f"{'':20s} {'s/step':>8s} {'µs/atom':>8s} {'MB':>7s} {'ghosts':>7s} {'outside %':>10s} {'communication %':>16s}")
    for name, ranks, keywords, at_once in cases:
        pair = mlff([args.model], f"engine {args.engine} precision {args.precision} {keywords}")
        r = results[name] = measure(pair, args.cells, args.steps, ranks, at_once)
        print(
            f"{name:20s} {r['s/step']:8.4f} {1e6 * r['s/step'] / atoms:8.1f} {r['MB']:7.0f} {r['ghosts']:7.0f} "
            f"{r['outside %']:10.2f} {r['communication %']:16.2f}",
            flush=True,
        )
    one = results["1 rank"]["s/step"]
    print("relative speed: " + ", ".join(f"{name} {one / r['s/step']:.2f}x" for name, r in results.items()))
    if args.json:
        args.json.write_text(json.dumps({"atoms": atoms, "precision": args.precision, "results": results}, indent=1))


if __name__ == "__main__":
    main()
