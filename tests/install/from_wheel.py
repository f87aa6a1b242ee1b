"""A wheel in an empty environment, without torch and without a compiler: what the README shows first runs there.

``PYTHON tests/install/from_wheel.py dist/metalff-….whl [--suite]``: installs the wheel for that Python into an environment of its own and runs the
README's five lines of LAMMPS and of ASE, then a sweep, a validation and a report. ``--suite`` also runs the tests of what works without torch.
Prints size and times; ends with status 1 where something does not run.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LARGEST = 10e6
"""Bytes of a wheel."""

ROOMS = ("test_calculator.py", "test_calculator_in_ase.py", "test_extrapolation.py", "test_neighbours.py", "install", "report", "sweep", "validate")
"""Tests that say much about a Python in little time."""

PLAN = """
element: Cu
lattice: fcc
a0: 3.63
replicas: 2
potentials: [Cu/mace, Cu/nep, Cu/eam]
temperatures: [300]
steps: {equilibrate: 20, sample: 20, drift: 20}
dump_interval: 10
thermo_interval: 10
"""

FILES = """
import os
from metalff.paths import shared
for parts in (("lammps_inputs", "cu.data"), ("potentials", "mlff", "Cu-mace.mlff")):
    os.symlink(shared(*parts), parts[-1])
"""

ENERGY_OF_THE_BOX = """
import sys
from ase.io import read
from metalff import MLFFCalculator
atoms = read(sys.argv[1], format="lammps-data", units="metal", atom_style="atomic")
atoms.calc = MLFFCalculator("Cu/mace")
print(atoms.get_potential_energy())
"""

LIBRARY = """
import metalff
from ase.build import bulk
from ase.calculators.lammpslib import LAMMPSlib
from metalff.paths import shared
model = shared("potentials", "mlff", "Cu-mace.mlff")
atoms = bulk("Cu", cubic=True)
atoms.calc = LAMMPSlib(lmpcmds=["pair_style mlff", f"pair_coeff * * {model} Cu"], atom_types={"Cu": 1}, keep_alive=True, log_file=None)
print(atoms.get_potential_energy())
"""


class Environment:
    """A virtual environment without the variables of this process, and programs in it; its own folder is the whole PATH."""

    def __init__(self, folder: Path):
        self.folder, self.bin = folder, folder / "env" / "bin"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LAMMPS", "METALFF", "CXX"))}
        self.variables = kept | {"PATH": str(self.bin), "HOME": str(folder), "METALFF_CACHE": str(folder / "cache")}

    def run(self, *command, fails: bool = False) -> str:
        """Output of a program, of one that fails its errors; ends this one where it does otherwise."""
        started = time.monotonic()
        command = [str(self.bin / command[0]), *map(str, command[1:])]
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True)
        said = " ".join(command[1:])
        said = said if len(said) < 60 and "\n" not in said else "…"
        print(f"  {time.monotonic() - started:6.1f} s  {Path(command[0]).name} {said}", flush=True)
        if fails and done.returncode:
            return done.stderr
        if done.returncode or fails:
            sys.exit(f"{done.stdout[-4000:]}{done.stderr[-4000:]}\nit ended with status {done.returncode}")
        return done.stdout


def blocks(kind: str) -> list[str]:
    """Blocks of code of the README."""
    return re.findall(rf"```{kind}\n(.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)


def main() -> None:
    wheel, suite = Path(sys.argv[1]).resolve(), "--suite" in sys.argv
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.1f} MB; Python {sys.version.split()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        here = Environment(folder)
        outside = here.variables | {"HOME": os.environ["HOME"]}  # of pip: its configuration and cache
        started = time.monotonic()
        install = [here.bin / "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, f"{wheel}[test]" if suite else wheel], check=True, env=outside)
        print(f"  {time.monotonic() - started:6.1f} s  pip install", flush=True)
        if "torch" in here.run("python", "-c", "import importlib.util as u; print([n for n in ('torch',) if u.find_spec(n)])"):
            sys.exit("torch is installed: something asks for it")

        here.run("python", "-c", FILES)
        (lines,) = blocks("lammps")
        (folder / "in.five").write_text(lines.replace("lammps_inputs/", "").replace("potentials/mlff/", ""))
        output = here.run("lmp", "-in", "in.five")
        lammps = float(re.search(r"TotEng.*\n\s*0\s+\S+\s+(\S+)", output)[1])
        python = next(text for text in blocks("python") if "MLFFCalculator" in text)
        here.run("python", "-c", python)
        ase = float(here.run("python", "-c", ENERGY_OF_THE_BOX, "cu.data"))
        if abs(lammps - ase) > 1e-5:
            sys.exit(f"LAMMPS has {lammps} eV and ASE {ase} eV")
        here.run("python", "-c", LIBRARY)

        (folder / "sweep.yaml").write_text(PLAN)
        here.run("metalff", "sweep", "sweep.yaml", "--out", "sweep")
        here.run("metalff", "validate", "Cu/mace", "Cu/eam", "--data", "zuo2020-Cu:test", "--out", "validate")
        here.run("metalff", "report", "sweep", "validate", "-o", "report.html")
        here.run("metalff", "check", "Cu-mace.mlff")
        here.run("metalff", "doctor")
        more = list(wheel.parent.glob("metalff_potentials-*.whl"))
        if more:
            said = here.run("metalff", "potentials", "show", "Ag/eam", fails=True)
            if "metalff_potentials" not in said:
                sys.exit(f"a potential that is not in the wheel: {said}")
            subprocess.run([*install, more[0]], check=True, env=outside)
            here.run("metalff", "potentials", "show", "Ag/eam")
            here.run("python", "-c", "from metalff import MLFFCalculator; MLFFCalculator('Li/mace')")
        if suite:
            tests = [PROJECT / "tests" / room for room in ROOMS]
            here.run("python", "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "--rootdir", PROJECT, *tests)
    if size > LARGEST:
        sys.exit(f"the wheel has {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}")


if __name__ == "__main__":
    main()
