"""Runs of LAMMPS: inputs, the process with its time limit, numbers out of dumps and logs. Standard library only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

QUANTITIES = "pe etotal press pxx pyy pzz pxy pxz pyz"

STATIC = """
units metal
atom_modify map array
read_data {data}
{pair}
compute each all pe/atom
timestep 0.001
fix move all nve
thermo {every}
thermo_style custom step {quantities}
thermo_modify format float %.17g
dump state all custom {every} {dump} id fx fy fz c_each x y z
dump_modify state sort id format float %.17g
run {steps}
"""

CRYSTAL = """
units metal
lattice fcc {lattice}
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 {mass}
{pair}
velocity all create {temperature} 1 loop geom
timestep 0.001
fix move all nve
{more}
"""


@dataclass(frozen=True)
class Backend:
    """How LAMMPS is started: the program, words of its command line, words for pair_style, variables of the environment."""

    program: str
    flags: tuple[str, ...] = ()
    keywords: str = ""
    variables: dict = field(default_factory=dict, hash=False)

    def pair(self, model: Path, elements, precision: str) -> str:
        words = f"pair_style mlff precision {precision} {self.keywords}".rstrip()
        return f"{words}\npair_coeff * * {model} {' '.join(elements)}"


@dataclass(frozen=True)
class Outcome:
    text: str  # what LAMMPS said
    failure: str  # one sentence; empty: none
    late: bool = False  # it was ended


def run(backend: Backend, text: str, folder: Path, seconds: float, variables=None, before=(), flags=()) -> Outcome:
    """LAMMPS on an input, ended when its time is over.

    Args:
        folder: made when it is not there; keeps ``in.lmp`` and ``out``.
        before: words in front of the program: a tool that runs it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.lmp").write_text(text)
    command = [*before, backend.program, *backend.flags, *flags, "-in", "in.lmp", "-log", "none", "-nocite"]
    with (folder / "out").open("w") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | backend.variables | (variables or {}),
            start_new_session=True,
        )
        try:
            status = process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    said = (folder / "out").read_text(errors="replace")
    if status is None:
        return Outcome(said, f"did not end within {max(1.0, seconds):.0f} s", late=True)
    errors = re.findall(r"^ERROR.*", said, re.M)
    if status and not errors:
        errors = re.findall(r"^(?:Exception: .*|terminate called .*|.*\bcudaError\w+.*)", said, re.M)
    if status or errors:
        return Outcome(said, errors[-1] if errors else f"LAMMPS ended with status {status}: {last_line(said)}")
    return Outcome(said, "")


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.splitlines()[-lines:])


def thermo(text: str) -> list[dict[str, float]]:
    """Rows of the last table, by name of their column."""
    rows, names = [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            names, rows = words, []
        elif names and len(words) == len(names):
            try:
                rows.append(dict(zip(names, map(float, words))))
            except ValueError:
                names = []
        elif words[:1] == ["Loop"]:
            names = []
    return rows


def frames(path: Path) -> dict[int, list[list[float]]]:
    """By step: of each atom the numbers that the dump has after its id."""
    found = {}
    lines = iter(path.read_text().splitlines())
    for line in lines:
        if line.startswith("ITEM: TIMESTEP"):
            step = int(next(lines))
        elif line.startswith("ITEM: NUMBER OF ATOMS"):
            count = int(next(lines))
        elif line.startswith("ITEM: ATOMS"):
            found[step] = [[float(word) for word in next(lines).split()[1:]] for _ in range(count)]
    return found


def loop(text: str) -> dict[str, float]:
    """Seconds, steps and atoms of the last run, and the shares of it that LAMMPS tells."""
    seconds, steps, atoms = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", text)[-1]
    shares = {}
    for name in ("Pair", "Neigh", "Comm", "Modify", "Output"):
        if found := re.findall(rf"^{name}\s*\|.*\|\s*(\S+)\s*$", text, re.M):
            shares[name] = float(found[-1])
    return {"seconds": float(seconds), "steps": int(steps), "atoms": int(atoms), "shares": shares}


def state(backend: Backend, data: Path, pair: str, folder: Path, seconds: float, steps: int, **more) -> tuple[dict | None, Outcome]:
    """Energy, pressures (bar), forces (eV/Å) and atomic energies (eV) before the first step and after the last, by step."""
    folder.mkdir(parents=True, exist_ok=True)
    text = STATIC.format(data=data, pair=pair, every=steps, quantities=QUANTITIES, dump="state.dump", steps=steps)
    outcome = run(backend, text, folder, seconds, **more)
    if outcome.failure:
        return None, outcome
    numbers = {}
    atoms = frames(folder / "state.dump")
    for row in thermo(outcome.text):
        step = int(row["Step"])
        numbers[step] = {
            "energy": row["PotEng"],
            "pressure": [row[name] for name in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")],
            "forces": [x for atom in atoms[step] for x in atom[:3]],
            "atom energies": [atom[3] for atom in atoms[step]],
        }
    return numbers, outcome
