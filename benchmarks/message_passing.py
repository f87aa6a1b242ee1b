"""A message-passing model in LAMMPS: chunks of centres, MPI ranks, and the two ways of ghosts; one run, ratios to one rank.

    python benchmarks/message_passing.py [--model FILE.mlff] [--cells 10] [--steps 10] [--json OUT.json]

Prints time per step and the memory (largest resident set of any process) of
``pair_style mlff`` on 4·cells³ atoms: with all centres at a time and with ever smaller chunks on one rank, then on 1, 2 and 4 ranks
with features exchanged between the layers (``ghosts exchange``) and with ghosts to layers × r_max (``ghosts wide``).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from metalff.lammps import environment, lmp_executable
from metalff.paths import shared

INPUT = """
units metal
lattice fcc 3.63
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 63.546
pair_style mlff precision {precision} {keywords}
pair_coeff * * {model} Cu
velocity all create 600 1
fix move all nve
run 2
run {steps}
"""


def lammps(model: Path, precision: str, cells: int, steps: int, ranks: int, keywords: str) -> dict:
    """Seconds per step, MB of the largest rank, ghosts per rank and the percentages of the pair style's time."""
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "in.lmp", Path(folder) / "out"
        script.write_text(
            INPUT.format(model=model.resolve(), precision=precision, cells=cells, steps=steps, keywords=keywords)
        )
        command = [str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite"]
        if ranks > 1:
            command = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks), *command]
        with out.open("w") as stream:
            process = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=environment() | {"OMP_NUM_THREADS": "1"}
            )
            _, status, usage = os.wait4(process.pid, 0)
        text = out.read_text()
    if status:
        sys.exit(f"LAMMPS failed:\n{text[-2000:]}")
    parts = re.findall(r"edges (\S+) s, model (\S+) s, communication (\S+) s, scatter (\S+) s", text)[-1]
    loop = float(re.findall(r"Loop time of (\S+)", text)[-1])
    neigh = float(re.findall(r"^Neigh\s*\|\s*(\S+)\s*\|\s*(\S+)", text, re.M)[-1][1])
    edges, _, communication, scatter = map(float, parts)
    return {
        "s/step": loop / steps,
        "MB": usage.ru_maxrss / 1024,
        "ghosts": float(re.findall(r"Nghost:\s+(\S+) ave", text)[-1]),
        "outside %": 100 * (edges + scatter + neigh) / loop,
        "communication %": 100 * communication / loop,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shared("potentials", "mlff", "Cu-mace.mlff"))
    parser.add_argument("--cells", type=int, default=10, help="4·cells³ atoms")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=["double", "single"], default="double")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    atoms = 4 * args.cells**3
    cases = [(f"chunk {atoms}", 1, f"chunk {atoms}")]
    cases += [(f"chunk {chunk}", 1, f"chunk {chunk}") for chunk in (1000, 256, 128, 64, 32, 16)]
    cases += [("1 rank", 1, "")]
    cases += [(f"{n} ranks, {way}", n, f"ghosts {way}") for n in (2, 4) for way in ("exchange", "wide")]

    results = {}
    print(f"{atoms} atoms of Cu, {args.model.name}, precision {args.precision}; relative to '1 rank' (chunk auto)")
    print(f"{'':20s} {'s/step':>8s} {'µs/atom':>8s} {'MB':>7s} {'ghosts':>7s} {'outside %':>10s} {'communication %':>16s}")
    for name, ranks, keywords in cases:
        r = results[name] = lammps(args.model, args.precision, args.cells, args.steps, ranks, keywords)
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
