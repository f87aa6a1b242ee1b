"""Shared by the benchmarks: copper in the stock LAMMPS with pair_style mlff, timed and weighed."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from metalff.lammps import environment, lmp_executable

INPUT = """
units metal
lattice fcc 3.63
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 63.546
pair_style mlff {keywords}
pair_coeff * * {models} Cu
velocity all create 600 1
fix move all nve
run {warm_up}
run {steps}
"""


def command(script: Path, ranks: int = 1) -> list[str]:
    """The stock executable on an input."""
    mpi = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    return [*mpi, str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite"]


def start(folder: Path, models, cells: int, steps: int, keywords: str = "", ranks: int = 1, warm_up: int = 2):
    """The running process; what it says goes to ``folder/out``."""
    script = folder / "in.lmp"
    paths = " ".join(str(Path(model).resolve()) for model in models)
    script.write_text(INPUT.format(models=paths, cells=cells, steps=steps, keywords=keywords, warm_up=warm_up))
    with (folder / "out").open("w") as stream:
        return subprocess.Popen(
            command(script, ranks),
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=environment() | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )


def finish(process, folder: Path, steps: int) -> dict[str, float]:
    """Seconds per step, MB of the largest process, ghosts per rank, and percentages of the loop's time."""
    _, status, usage = os.wait4(process.pid, 0)
    text = (folder / "out").read_text()
    if status:
        sys.exit(f"LAMMPS failed:\n{text[-2000:]}")
    parts = re.findall(r"edges (\S+) s, model (\S+) s, communication (\S+) s, scatter (\S+) s", text)[-1]
    edges, _, communication, scatter = map(float, parts)
    loop = float(re.findall(r"Loop time of (\S+)", text)[-1])
    # one rank: min; several: the average
    neigh = float(re.findall(r"^Neigh\s*\|\s*\S+\s*\|\s*(\S+)", text, re.M)[-1])
    return {
        "s/step": loop / steps,
        "MB": usage.ru_maxrss / 1024,
        "ghosts": float(re.findall(r"Nghost:\s+(\S+) ave", text)[-1]),
        "neighbour list %": 100 * neigh / loop,
        "edges %": 100 * edges / loop,
        "scatter %": 100 * scatter / loop,
        "communication %": 100 * communication / loop,
        "outside %": 100 * (edges + scatter + neigh) / loop,
    }


def measure(models, cells: int, steps: int, keywords: str = "", ranks: int = 1, at_once: int = 1) -> dict[str, float]:
    """`finish` of one run; with ``at_once`` several of them side by side, the first one's numbers."""
    folders = [tempfile.TemporaryDirectory() for _ in range(at_once)]
    paths = [Path(folder.name) for folder in folders]
    running = [start(path, models, cells, steps, keywords, ranks) for path in paths]
    results = [finish(process, path, steps) for process, path in zip(running, paths)]
    for folder in folders:
        folder.cleanup()
    return results[0]
