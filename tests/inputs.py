"""Whole LAMMPS inputs around a pair style, and the state that they end in."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cases import BAR
from metalff import artifact
from metalff.lammps import environment, lmp_executable

TOLERANCE = 1e-9  # eV, eV/Å, eV/Å³: round-off of the sums at one set of positions
DRIFT = 1e-8  # Å, and ten times that in eV, eV/Å: round-off after some tens of steps of MD


@dataclass
class State:
    """Sorted by id; eV, Å, eV/Å, eV/Å³ (ASE's sign)."""

    energy: float
    stress: np.ndarray
    ids: np.ndarray
    types: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energies: np.ndarray
    text: str


def crystal(types=1, cells=3, style="atomic", extra="", share=0.3, boundary="p p p", units="metal"):
    """A rattled copper crystal; with two types, 30 % of the atoms are of the second."""
    lines = [f"units {units}", f"atom_style {style}", f"boundary {boundary}", "lattice fcc 3.615"]
    lines += [f"region b block 0 {cells} 0 {cells} 0 {cells}", f"create_box {types} b {extra}", "create_atoms 1 box"]
    lines += [f"set group all type/fraction 2 {share} 77"] if types > 1 else []
    return [*lines, "displace_atoms all random 0.08 0.08 0.08 4711"]


def execute(directory: Path, lines, ranks=1, switches=()) -> subprocess.CompletedProcess:
    """The stock executable on these lines, whatever it says."""
    directory.mkdir(exist_ok=True)
    script = directory / "in.test"
    script.write_text("\n".join(lines) + "\n")
    command = [str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite", *switches]
    if ranks > 1:
        command = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, env=environment(), timeout=300)


MEASURE = ["compute ea all pe/atom", "compute sum all reduce sum c_ea", "thermo_style custom step pe press c_sum"]
TELL = [
    'print "RESULT $(pe:%.17g) $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pyz:%.17g) $(pxz:%.17g) $(pxy:%.17g)"',
    "write_dump all custom state id type x y z fx fy fz c_ea modify sort id format float %.17g",
]


def ends(directory: Path, box, pair, commands=("run 0",), ranks=1, switches=()) -> State:
    """The state after ``commands``; fails the test with LAMMPS' output when LAMMPS fails."""
    completed = execute(directory, [*box, *pair, "mass * 63.546", *MEASURE, *commands, *TELL], ranks, switches)
    return state(directory, completed)


def state(directory: Path, completed) -> State:
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr[-2000:]
    (words,) = [line.split()[1:] for line in completed.stdout.splitlines() if line.startswith("RESULT")]
    numbers, t = np.array(words, float), np.loadtxt(directory / "state", skiprows=9, ndmin=2)
    ids, types = t[:, 0].astype(int), t[:, 1].astype(int)
    stress = -numbers[1:] * BAR
    return State(numbers[0], stress, ids, types, t[:, 2:5], t[:, 5:8], t[:, 8], completed.stdout)


def by_position(state: State) -> State:
    """Sorted by position instead, with new ids: LAMMPS numbers the atoms of a lattice rank by rank."""
    order = np.lexsort(state.positions.round(6).T)
    arrays = ("types", "positions", "forces", "energies")
    return replace(state, ids=np.arange(len(order)), **{name: getattr(state, name)[order] for name in arrays})


def same(ours: State, reference: State, tolerance=TOLERANCE, atoms=None, moved=False):
    """Everything agrees; the reference is not a comparison between zeros, and with ``moved`` not between statues."""
    np.testing.assert_array_equal(ours.ids, reference.ids)
    np.testing.assert_array_equal(ours.types, reference.types)
    assert atoms is None or len(ours.ids) == atoms
    assert np.abs(reference.forces).max() > 0.05, "the comparison must not be between zeros"
    position, tolerance = (DRIFT, 10 * DRIFT) if moved else (0, tolerance)
    np.testing.assert_allclose(ours.positions, reference.positions, rtol=0, atol=position)
    assert abs(ours.energy - reference.energy) < tolerance * len(ours.ids)
    np.testing.assert_allclose(ours.forces, reference.forces, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.stress, reference.stress, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.energies, reference.energies, rtol=0, atol=tolerance)


def rewritten(model, path, **changes):
    """A model with other entries in its manifest."""
    opened = artifact.open_artifact(model)
    members = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    artifact.write(path, opened.manifest.model_copy(update=changes), members)
    return path
