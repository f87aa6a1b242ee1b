"""The native engine from its library for a device: the numbers of the one for processors, by ASE and by the stock LAMMPS.

Here its kernels run on a Kokkos for processors (``device kokkos``, mlff_native_kokkos.so), which CMake makes on demand,
see plugins/kokkos/CMakeLists.txt.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps, run_all
from metalff import MLFFCalculator
from metalff.doctor import gpu_engine
from metalff.errors import MetalffError
from metalff.paths import PACKAGE, shared

LIBRARY, CUDA = PACKAGE / "lib" / "mlff_native_kokkos.so", PACKAGE / "lib" / "mlff_native_cuda.so"
needs_library = pytest.mark.skipif(not LIBRARY.is_file(), reason=f"{LIBRARY.name} is not built: -DMLFF_DEVICE_BACKEND=serial -DKokkos_SOURCE=…")
MODELS = ("Cu-mace", "LiNiCuNbMoTaW-mace", "Cu-nep", "LiNiCuNbMoTaW-nep")
METALS = ("Li", "Ni", "Cu", "Nb", "Mo", "Ta", "W")
EXACT, FLOAT32 = 1e-10, 2e-5
"""Errors relative to the largest number of a kind; in float32 sums run in another order."""

every_model = pytest.mark.parametrize("name", MODELS)
every_precision = pytest.mark.parametrize("precision", ["double", "single"])


def model(name):
    return shared("potentials", "mlff", f"{name}.mlff")


def structure(of, name):
    """A structure of the elements of a model, alloys at random."""
    atoms = STRUCTURES[of].copy()
    if name.startswith("Li"):
        atoms.symbols[:] = np.random.default_rng(len(atoms)).choice(METALS, len(atoms))
    return atoms


def evaluated(atoms, name, device, **options):
    atoms = atoms.copy()
    atoms.calc = MLFFCalculator(model(name), device=device, **options)
    return [atoms.get_potential_energies(), atoms.get_forces(), atoms.get_stress()]


def agree(given, expected, tolerance):
    for kind, one, other in zip(("energies", "forces", "stress"), given, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        scale = max(np.abs(other).max(), 1e-3)
        assert np.abs(one - other).max() <= tolerance * scale, f"{kind}: {np.abs(one - other).max() / scale:.1e}"


@needs_library
@every_precision
@every_model
def test_ase_gives_the_numbers_of_the_processor(name, precision):
    tolerance = EXACT if precision == "double" else FLOAT32
    for of in STRUCTURES:
        cpu, device = (evaluated(structure(of, name), name, device, precision=precision) for device in ("cpu", "kokkos"))
        agree(device, cpu, tolerance)


@needs_library
@every_precision
@every_model
@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_gives_the_numbers_of_the_processor(name, precision, ranks, tmp_path):
    tolerance = EXACT if precision == "double" else FLOAT32
    keywords = [f"precision {precision} device {device}" for device in ("cpu", "kokkos")]
    for of, (cpu, device) in in_lammps(tmp_path, name, keywords, ranks).items():
        agree([device.energies, device.forces, device.stress], [cpu.energies, cpu.forces, cpu.stress], tolerance)
        assert abs(device.energy - cpu.energy) <= tolerance * abs(cpu.energy), of


def in_lammps(directory, name, keywords, ranks):
    elements = METALS if name.startswith("Li") else ("Cu",)
    scripts = {
        of: Script(structure(of, name), elements=elements) for of in ("vacancy", "triclinic", "tiny box", "isolated atom", "cluster in a corner")
    }
    pairs = [[f"pair_style mlff {words} extrapolation ignore", f"pair_coeff * * {model(name)} {' '.join(elements)}"] for words in keywords]
    return run_all(directory, scripts, pairs, ranks=ranks)


@needs_library
@pytest.mark.parametrize("name", ["LiNiCuNbMoTaW-mace", "LiNiCuNbMoTaW-nep"])
def test_two_runs_are_bitwise_equal(name, tmp_path):
    first, second = (in_lammps(tmp_path, name, ["device kokkos"], 2) for _ in range(2))
    for of in first:
        (one,), (other,) = first[of], second[of]
        assert one.energy == other.energy and (one.forces == other.forces).all(), of
        assert (one.stress == other.stress).all() and (one.energies == other.energies).all(), of


@needs_library
@every_model
def test_two_evaluations_are_bitwise_equal(name):
    atoms = structure("triclinic", name)
    first, second = (evaluated(atoms, name, "kokkos") for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one == other).all()


@needs_library
def test_graphs_that_grow_and_shrink(bundled_model):
    calculator = MLFFCalculator(bundled_model, device="kokkos")
    for of in ("isolated atom", "bulk", "tiny box", "triclinic", "isolated atom", "surface"):
        atoms = STRUCTURES[of].copy()
        atoms.calc = calculator
        given = [atoms.get_potential_energies(), atoms.get_forces(), atoms.get_stress()]
        agree(given, evaluated(atoms, "Cu-mace", "cpu"), EXACT)


ENDINGS = {
    "models that stay": "models = [MLFFCalculator(PATH, device='kokkos') for _ in range(2)]",
    "a model that goes": "MLFFCalculator(PATH, device='kokkos')",
    "models that python never frees": "sys.kept = [MLFFCalculator(PATH, device='kokkos')]; sys.kept.append(sys.kept)",
    "an exit in the middle": "c = MLFFCalculator(PATH, device='kokkos'); sys.exit(0)",
}


@needs_library
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_program_ends_in_silence(ending, bundled_model):
    code = f"import sys; from metalff import MLFFCalculator; PATH = {str(bundled_model)!r}; {ENDINGS[ending]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FORKED = """
import os, sys
from ase.build import bulk
from metalff import MLFFCalculator
atoms = bulk("Cu")
atoms.calc = MLFFCalculator(sys.argv[1], device="kokkos")
atoms.get_potential_energy()
child = os.fork()
if not child:
    atoms.rattle(0.01)
    try:
        atoms.get_potential_energy()
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@needs_library
def test_a_fork_is_told_so(bundled_model):
    done = subprocess.run([sys.executable, "-c", FORKED, bundled_model], capture_output=True, text=True, timeout=120)
    assert "a process that was forked cannot use the kokkos of its parent: open the model" in done.stdout, done.stderr
    assert done.returncode == 0 and not done.stderr


@needs_library
def test_exact_radial_functions_are_refused(bundled_model):
    with pytest.raises(MetalffError, match="takes radial functions from splines on kokkos: leave out 'spline 0'"):
        MLFFCalculator(bundled_model, device="kokkos", spline=0)


@needs_library
def test_ghosts_wide_are_refused(bundled_model, tmp_path):
    pair = ["pair_style mlff device kokkos ghosts wide", f"pair_coeff * * {bundled_model} Cu"]
    lines = Script(STRUCTURES["bulk"]).lines([pair], ["run 0"], str(tmp_path / "out"))
    said = lammps(tmp_path, lines, ranks=2)
    assert "takes features of ghosts from their owners: leave out 'ghosts wide'" in said.stdout + said.stderr
    assert said.returncode != 0


@needs_library
def test_a_family_without_kernels_is_refused(oracle):
    with pytest.raises(MetalffError, match="runs on the torch engine, which knows no 'device kokkos'"):
        MLFFCalculator(oracle, device="kokkos")


@pytest.mark.skipif(LIBRARY.is_file(), reason=f"{LIBRARY.name} is built")
def test_a_library_that_is_not_built(bundled_model):
    with pytest.raises(MetalffError, match="no native engine for 'device kokkos' .*: build it with -DMLFF_DEVICE"):
        MLFFCalculator(bundled_model, device="kokkos")


@pytest.mark.skipif(CUDA.is_file(), reason=f"{CUDA.name} is built")
def test_the_library_of_gpus_is_not_built():
    # NEP has no torch program that would take its place
    with pytest.raises(MetalffError, match="no native engine for 'device cuda:0' .*: build it with -DMLFF_CUDA=ON"):
        MLFFCalculator(model("Cu-nep"), device="cuda:0")
    assert gpu_engine().status == "warn" and "-DMLFF_CUDA=ON" in gpu_engine().found


needs_cuda = pytest.mark.skipif(not CUDA.is_file(), reason=f"{CUDA.name} is not built: -DMLFF_CUDA=ON -DKokkos_SOURCE=…")
DRIVERS = {  # libcuda.so.1 with a version, and what it says to all that CUDA asks
    "too old": (11040, 0, "the driver of the GPU is too old for 'device cuda:0' (CUDA says: CUDA driver version is "),
    "without a card": (99000, 100, "there is no GPU for 'device cuda:0' (CUDA says: no CUDA-capable device is detected)"),
    "broken": (99000, 999, "the GPU of 'device cuda:0' cannot be used (CUDA says: unknown error)"),
}
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return SAYS; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuGetProcAddress(const char *name, void **function, int version, unsigned long flags)
{
  *function = !strcmp(name, "cuDriverGetVersion") ? (void *) cuDriverGetVersion
            : !strncmp(name, "cuGetProcAddress", 16) ? (void *) cuGetProcAddress : (void *) cuInit;
  return 0;
}
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long flags, void *status)
{
  return cuGetProcAddress(name, function, version, flags);
}
"""


@needs_cuda
@pytest.mark.parametrize("driver", DRIVERS)
def test_drivers_that_do_not_do(driver, tmp_path):
    version, says, sentence = DRIVERS[driver]
    (tmp_path / "driver.c").write_text(DRIVER)
    command = ["gcc", "-w", "-shared", "-fPIC", f"-DVERSION={version}", f"-DSAYS={says}", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*command, "-o", "libcuda.so.1", "driver.c"], cwd=tmp_path, check=True)
    code = "from metalff.doctor import gpu_engine; print(gpu_engine().found)"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.startswith(sentence) and done.stdout.count("\n") == 1, done.stdout + done.stderr


@needs_cuda
@every_model
def test_a_gpu_gives_the_numbers_of_the_processor_or_is_not_there(name):
    check = gpu_engine()
    atoms = structure("triclinic", name)
    if check.status != "ok":
        assert "GPU" in check.found
        with pytest.raises(MetalffError, match="GPU") as told:
            MLFFCalculator(model(name), device="cuda:0", engine="native")
        assert "\n" not in str(told.value)
        pytest.skip(check.found)
    agree(evaluated(atoms, name, "cuda:0"), evaluated(atoms, name, "cpu"), EXACT)
