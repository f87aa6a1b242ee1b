"""Structures that every path must agree on, and a way to run them through the stock LAMMPS."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111

from metalff.lammps import BAR_PER_EV_A3, environment, lmp_executable

BAR = 1 / BAR_PER_EV_A3  # eV/Å³, as LAMMPS converts


def structures() -> dict[str, Atoms]:
    """Cells in LAMMPS' orientation (a along x, b in xy), so that forces compare without a rotation."""
    rng = np.random.default_rng(3)

    def rattled(atoms, amplitude=0.08):
        atoms.positions += rng.normal(0, amplitude, atoms.positions.shape)
        return atoms

    crystal = bulk("Cu", "fcc", a=3.615, cubic=True)
    triclinic = crystal.repeat(3)
    triclinic.set_cell(triclinic.cell.array @ np.array([[1.02, 0, 0], [0.13, 0.97, 0], [-0.21, 0.18, 1.04]]), True)
    vacancy = crystal.repeat(3)
    del vacancy[17]
    surface = fcc111("Cu", (3, 4, 4), a=3.615, vacuum=8.0, orthogonal=True)
    surface.pbc = True
    tiny = bulk("Cu", "fcc", a=3.615)
    tiny.set_cell([[2.5, 0, 0], [1.2, 2.3, 0], [1.3, 0.7, 2.1]], scale_atoms=True)
    corner = rattled(crystal.repeat(2))
    corner.set_cell(np.eye(3) * 60)
    return {
        "bulk": rattled(crystal.repeat(3)),
        "surface": rattled(surface),
        "vacancy": rattled(vacancy),
        "triclinic": rattled(triclinic),
        "tiny box": tiny,
        "tiny cube": rattled(crystal.copy()),
        "isolated atom": Atoms("Cu", positions=[[3.0, 4.0, 5.0]], cell=np.eye(3) * 30, pbc=True),
        "two far atoms": Atoms("Cu2", positions=[[1.0, 1.0, 1.0], [20.0, 1.0, 1.0]], cell=np.eye(3) * 40, pbc=True),
        "cluster in a corner": corner,  # with several ranks, some own no atom
    }


STRUCTURES = structures()


@dataclass
class Outcome:
    """What LAMMPS said: eV, eV/Å, eV/Å³ (ASE's sign)."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    energies: np.ndarray
    positions: np.ndarray


@dataclass
class Script:
    """A LAMMPS run that evaluates several pair styles on one structure, each after the same commands."""

    atoms: Atoms
    head: list[str] = field(default_factory=list)  # before the box
    boundary: str = "p p p"
    elements: tuple[str, ...] = ("Cu",)  # in the order of LAMMPS' types

    def run(self, directory: Path, pairs: list[list[str]], commands=("run 0",), ranks=1) -> list[Outcome]:
        """One outcome per entry of ``pairs``; fails the test with LAMMPS' output when LAMMPS fails."""
        return run_all(directory, {"": self}, pairs, commands, ranks)[""]

    def lines(self, pairs: list[list[str]], commands, dump: str) -> list[str]:
        """Input that prints a RESULT for every entry k of ``pairs`` and writes the atoms to ``dump.k``."""
        lines = ["units metal", "atom_style atomic", f"boundary {self.boundary}", *self.head, *self._box()]
        for k, pair in enumerate(pairs):
            lines += [
                *pair,
                "mass * 63.546",  # eam sets the mass of its file
                "compute ea all pe/atom",
                "compute sum all reduce sum c_ea",  # so that per-atom energies are current
                "thermo_style custom step pe press c_sum",
                *commands,
                'print "RESULT $(pe:%.17g) $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pyz:%.17g) $(pxz:%.17g) $(pxy:%.17g)"',
                f"write_dump all custom {dump}.{k} id x y z fx fy fz c_ea modify sort id format float %.17g",
                "thermo_style one",
                "uncompute sum",
                "uncompute ea",
            ]
        return lines

    def _box(self) -> list[str]:
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = self.atoms.cell.array
        box = f"0 {lx:.17g} 0 {ly:.17g} 0 {lz:.17g}"
        skewed = max(abs(xy), abs(xz), abs(yz)) > 0
        lines = ["box tilt large"] if skewed else []
        lines.append(f"region box prism {box} {xy:.17g} {xz:.17g} {yz:.17g}" if skewed else f"region box block {box}")
        lines += [f"create_box {len(self.elements)} box", "mass * 63.546"]
        wrapped = self.atoms.copy()
        wrapped.wrap(eps=0)
        for symbol, (x, y, z) in zip(wrapped.symbols, wrapped.positions):
            lines.append(f"create_atoms {self.elements.index(symbol) + 1} single {x:.17g} {y:.17g} {z:.17g}")
        return lines


def run_all(directory: Path, scripts: dict[str, Script], pairs, commands=("run 0",), ranks=1):
    """Several scripts in one LAMMPS; for each, one outcome per entry of ``pairs``."""
    lines = []
    for number, script in enumerate(scripts.values()):
        lines += ["clear", *script.lines(pairs, commands, f"{directory}/out.{number}")]
    completed = lammps(directory, lines[1:], ranks)
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr[-2000:]
    results = iter([line.split()[1:] for line in completed.stdout.splitlines() if line.startswith("RESULT")])
    outcomes = {name: [] for name in scripts}
    for number, name in enumerate(scripts):
        for k in range(len(pairs)):
            table = np.loadtxt(directory / f"out.{number}.{k}", skiprows=9, ndmin=2)
            numbers = np.array(next(results), float)
            outcomes[name].append(Outcome(numbers[0], table[:, 4:7], -numbers[1:] * BAR, table[:, 7], table[:, 1:4]))
    return outcomes


def lammps(directory: Path, lines, ranks=1, check=False) -> subprocess.CompletedProcess:
    """Run an input with the stock executable; the plugin comes through the entry point."""
    script = directory / "in.test"
    script.write_text("\n".join(lines) + "\n")
    command = [str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite"]
    if ranks > 1:
        command = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks), *command]
    return subprocess.run(command, capture_output=True, text=True, cwd=directory, env=environment(), timeout=900)
