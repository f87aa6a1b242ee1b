"""How the tests run a LAMMPS with KOKKOS."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import build_lammps
from cases import BAR, STRUCTURES

LACKS = (
    "Requested neighbor stencil method does not exist",
    "Unrecognized fix style 'pair'",
    "Unrecognized compute style 'centroid/stress/atom'",
    "Unknown command: read_restart",
)


@dataclass
class Outcome:
    """What LAMMPS said of one structure: eV, eV/Å, eV/Å³ (ASE's sign)."""

    energy: float
    stress: np.ndarray
    forces: np.ndarray
    energies: np.ndarray
    stresses: np.ndarray  # of the atoms, times volume; LAMMPS' units


class Program:
    """The ``lmp`` with KOKKOS and the plugin for it."""

    def __init__(self, build: Path, plugin: Path):
        self.lmp, self.plugin = build / "lmp", plugin

    def environment(self, threads=1, **more):
        """Without the folders of plugins for the stock LAMMPS; threads that wait leave the processor to others."""
        env = {
            "LAMMPS_PLUGIN_PATH": str(self.plugin),
            "OMP_WAIT_POLICY": "passive",
            "OMP_NUM_THREADS": str(threads),
            "METALFF_PYTHON": sys.executable,
        }
        return {**os.environ, "OMP_PROC_BIND": "false", **env, **more}

    def run(self, folder: Path, lines, ranks=1, threads=1, kokkos=True, **environment) -> subprocess.CompletedProcess:
        """Whatever it says. ``kokkos`` False: the plain styles."""
        folder.mkdir(exist_ok=True)
        (folder / "in.test").write_text("\n".join(lines) + "\n")
        command = [str(self.lmp), "-in", "in.test", "-log", "none", "-nocite"]
        command += ["-k", "on", "t", str(threads), "-sf", "kk"] if kokkos else []
        if ranks > 1:
            command = [build_lammps.tool("mpiexec"), "-n", str(ranks), *command]
        env = self.environment(threads, **environment)
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=600)

    def works(self, *args, **options) -> str:
        """What it printed; fails the test when it fails, or skips it where a small LAMMPS has no such style."""
        done = self.run(*args, **options)
        for lack in LACKS:
            if lack in done.stdout + done.stderr:
                pytest.skip(f"the trimmed LAMMPS: {lack}")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return done.stdout

    def fails(self, *args, **options) -> str:
        """Its one sentence."""
        done = self.run(*args, **options)
        assert done.returncode != 0, done.stdout[-2000:]
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR")]
        assert errors and "terminate called" not in done.stderr and "Segmentation" not in done.stderr, done.stdout[-2000:] + done.stderr[-2000:]
        return errors[0]

    def outcomes(self, folder: Path, scripts: dict, pair, **options) -> dict[str, Outcome]:
        """Of several structures in one run; ``scripts``: name → cases.Script."""
        lines = []
        for number, script in enumerate(scripts.values()):
            script = replace(script, atoms=upright(script.atoms))
            lines += ["clear", "units metal", "atom_style atomic", f"boundary {script.boundary}", *script.head]
            lines += [*(line for line in script._box() if line != "box tilt large"), *pair]
            lines += ["mass * 63.546", "thermo_style custom step pe press", "compute ea all pe/atom", "compute st all stress/atom NULL"]
            lines += [f"dump out all custom 1 out.{number} id x y z fx fy fz c_ea c_st[1] c_st[2] c_st[3] c_st[4] c_st[5] c_st[6]"]
            lines += ["dump_modify out sort id format float %.17g", "run 0"]
            lines += ['print "RESULT $(pe:%.17g) $(pxx:%.17g) $(pyy:%.17g) $(pzz:%.17g) $(pyz:%.17g) $(pxz:%.17g) $(pxy:%.17g)"']
        said = self.works(folder, lines[1:], **options)
        results = [np.array(line.split()[1:], float) for line in said.splitlines() if line.startswith("RESULT")]
        outcomes = {}
        for number, name in enumerate(scripts):
            table = np.loadtxt(folder / f"out.{number}", skiprows=9, ndmin=2)
            outcomes[name] = Outcome(results[number][0], -results[number][1:] * BAR, table[:, 4:7], table[:, 7], table[:, 8:14])
        return outcomes


def upright(atoms):
    """The same crystal in a cell that leans as little as it can, which needs no ``box tilt large``: a command that a small LAMMPS lacks."""
    atoms = atoms.copy()
    cell = atoms.cell.array
    for row, by in ((1, 0), (2, 1), (2, 0)):
        cell[row] -= np.round(cell[row, by] / cell[by, by]) * cell[by]
    atoms.set_cell(cell)
    return atoms


def alloy(name):
    """A structure with every third atom nickel."""
    atoms = STRUCTURES[name].copy()
    atoms.symbols[1::3] = "Ni"
    return atoms
