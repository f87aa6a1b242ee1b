"""The torch program against its peers, and where a step's time goes: one model, one core, one run.

    python benchmarks/torch_program.py [--model FILE.mlff] [--cells 5] [--steps 30] [--json OUT.json]

Prints seconds per force call and atom-steps/s of pair_style mlff (double and single), MLFFCalculator, mace's own
MACECalculator under ASE and the TorchScript model, each relative to MACECalculator, and the part of a LAMMPS step that is
spent outside the model (neighbour list → edges → scatter). Needs ``metalff env create mace``.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from ase.build import bulk  # noqa: E402

from metalff import MLFFCalculator  # noqa: E402
from metalff.bench.lammps import measure  # noqa: E402
from metalff.environments import environment_python  # noqa: E402
from metalff.lammps import environment, lmp_executable  # noqa: E402
from metalff.paths import shared  # noqa: E402


def ase(model: Path, cells: int, calls: int) -> float:
    atoms = bulk("Cu", "fcc", a=3.63, cubic=True).repeat(cells)
    atoms.rattle(0.05, seed=1)
    atoms.calc = MLFFCalculator(model)
    atoms.get_forces()
    started = time.perf_counter()
    for k in range(calls):
        atoms.positions += 1e-4 * (-1) ** k
        atoms.get_forces()
    return (time.perf_counter() - started) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=shared("potentials", "mlff", "Cu-mace.mlff"))
    parser.add_argument("--cells", type=int, default=5, help="4·cells³ atoms")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    atoms = 4 * args.cells**3

    seconds, parts = {}, {}
    for precision in ("double", "single"):
        name = f"pair_style mlff, {precision}"
        run = measure([args.model], args.cells, args.steps, f"precision {precision}")
        seconds[name] = run["s/step"]
        parts[name] = {part: run[f"{part} %"] for part in ("neighbour list", "edges", "scatter")}
    seconds["MLFFCalculator (ASE), double"] = ase(args.model, args.cells, args.steps)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(args.model) as archive:
            archive.extractall(folder)
        worker = Path(__file__).with_name("mace_peers.py")
        command = [environment_python("mace"), "-P", worker, folder, args.cells, args.steps]
        peers = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
        seconds |= json.loads(peers.stdout.splitlines()[-1])

    base = seconds["MACECalculator (ASE), float64"]
    print(f"{atoms} atoms of Cu, one core, {args.model.name}")
    print(f"{'':36s} {'s/step':>9s} {'atom-steps/s':>13s} {'relative':>9s}")
    for name, value in seconds.items():
        print(f"{name:36s} {value:9.4f} {atoms / value:13.0f} {base / value:8.2f}x")
    for name, share in parts.items():
        inside = ", ".join(f"{part} {percent:.2f} %" for part, percent in share.items())
        print(f"{name}: outside the model {sum(share.values()):.2f} % of a step ({inside})")
    if args.json:
        args.json.write_text(json.dumps({"atoms": atoms, "seconds": seconds, "outside": parts}, indent=1))


if __name__ == "__main__":
    main()
