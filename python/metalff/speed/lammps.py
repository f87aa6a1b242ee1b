"""A crystal in the stock LAMMPS, timed and weighed."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ase.data import atomic_masses, atomic_numbers, covalent_radii, reference_states

from metalff.errors import MetalffError
from metalff.lammps import as_word, end, environment, lmp_executable

INPUT = """
units metal
lattice {lattice}
region box block 0 {cells[0]} 0 {cells[1]} 0 {cells[2]}
create_box 1 box
create_atoms 1 box
mass 1 {mass}
{pair}
velocity all create 600 1
fix move all nve
run {warm_up}
run {steps}
shell "grep VmHWM /proc/$PPID/status"
"""

COARSE = 0.2
"""Seconds of a run below which the clock of processor time is too coarse; wall time stands in for it."""


def lattice(element: str) -> tuple[str, int]:
    """LAMMPS' words for the element's crystal at rest (ASE's reference states; fcc where they have no cubic one), atoms per cell."""
    state = reference_states[atomic_numbers[element]] or {}
    if state.get("symmetry") in ("fcc", "bcc", "diamond"):
        return f"{state['symmetry']} {state['a']}", {"fcc": 4, "bcc": 2, "diamond": 8}[state["symmetry"]]
    if state.get("symmetry") == "hcp":
        return f"fcc {2**0.5 * state['a']}", 4
    return f"fcc {2 * 2**0.5 * covalent_radii[atomic_numbers[element]]}", 4


def cells_of(atoms: int, per_cell: int, longer: int = 1) -> tuple[int, int, int]:
    """Repetitions of a cell for about so many atoms, ``longer`` times that along the first axis."""
    n = max(2, round((atoms / per_cell) ** (1 / 3)))
    return n * longer, n, n


def command(script: Path, ranks: int = 1) -> list[str]:
    """The stock executable on an input."""
    mpi = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    return [*mpi, str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite"]


def mlff(models, keywords: str = "", element: str = "Cu") -> list[str]:
    """``pair_style`` and ``pair_coeff`` lines for one or several artefacts."""
    paths = " ".join(as_word(Path(model).resolve()) for model in models)
    return [f"pair_style mlff {keywords}", f"pair_coeff * * {paths} {element}"]


def start(folder: Path, pair, cells, steps: int, ranks: int = 1, warm_up: int = 2, element: str = "Cu"):
    """The running process; what it says goes to ``folder/out``.

    Args:
        pair: ``pair_style`` and ``pair_coeff`` lines.
        cells: repetitions of the element's cell, a number or one per axis.
    """
    script = folder / "in.lmp"
    cells = (cells,) * 3 if isinstance(cells, int) else cells
    crystal, mass = lattice(element)[0], atomic_masses[atomic_numbers[element]]
    text = INPUT.format(pair="\n".join(pair), cells=cells, steps=steps, warm_up=warm_up, lattice=crystal, mass=mass)
    script.write_text(text)
    with (folder / "out").open("w") as stream:
        return subprocess.Popen(
            command(script, ranks),
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=environment() | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=True,
        )


def finish(process, folder: Path, steps: int) -> dict[str, float]:
    """Seconds per step (of wall time; ``processor s/step``: that the processes had a core), atoms, peak MB of the first rank
    and ghosts per rank; of pair_style mlff also percentages of the loop's time."""
    try:
        status = process.wait()
    finally:
        end(process)
    text = (folder / "out").read_text()
    if status:
        reason = re.findall(r"^(?:ERROR.*|.*error:.*)$", text, re.M) or text.strip().splitlines()[-1:] or ["no message"]
        raise MetalffError(f"LAMMPS stopped: {reason[0]}")
    loop, atoms = re.findall(r"Loop time of (\S+) on \d+ procs for \d+ steps with (\d+) atoms", text)[-1]
    share = float(re.findall(r"^(\S+)% CPU use", text, re.M)[-1]) / 100
    result = {
        "s/step": float(loop) / steps,
        "processor s/step": float(loop) / steps * (share if float(loop) > COARSE else 1),
        "atoms": int(atoms),
        "MB": int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024 / 1e6,
        "ghosts": float(re.findall(r"Nghost:\s+(\S+) ave", text)[-1]),
    }
    return result | _parts(text, float(loop))


def _parts(text: str, loop: float) -> dict[str, float]:
    """Where the time goes, in % of the loop; only pair_style mlff tells."""
    found = re.findall(r"edges (\S+) s, model \S+ s, communication (\S+) s, scatter (\S+) s", text)
    if not found:
        return {}
    edges, communication, scatter = map(float, found[-1])
    # one rank: min; several: the average
    neigh = float(re.findall(r"^Neigh\s*\|\s*\S+\s*\|\s*(\S+)", text, re.M)[-1])
    return {
        "neighbour list %": 100 * neigh / loop,
        "edges %": 100 * edges / loop,
        "scatter %": 100 * scatter / loop,
        "communication %": 100 * communication / loop,
        "outside %": 100 * (edges + scatter + neigh) / loop,
    }


def measure(pair, cells, steps: int, ranks: int = 1, at_once: int = 1, element: str = "Cu") -> dict[str, float]:
    """`finish` of one run on ``cells`` repetitions of the element's crystal; with ``at_once`` several side by side, the first one's numbers."""
    folders = [tempfile.TemporaryDirectory() for _ in range(at_once)]
    paths = [Path(folder.name) for folder in folders]
    running = [start(path, pair, cells, steps, ranks, element=element) for path in paths]
    results = [finish(process, path, steps) for process, path in zip(running, paths)]
    for folder in folders:
        folder.cleanup()
    return results[0]
