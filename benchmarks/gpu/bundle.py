"""One folder to carry to a machine with an H100: ``python benchmarks/gpu/bundle.py [FOLDER]`` (``make gpu-bundle``).

Makes LAMMPS, the plugin, models, inputs and reference numbers on a machine with nvcc and without a GPU; there ``bash run.sh`` does the rest. See
docs/gpu.md. ``--host`` leaves out all that is for a GPU: then ``run.sh --lmp … --plugins …`` names a LAMMPS of this machine.
"""

import argparse
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import bundle_cases as cases
import cuda_lammps
import parts
import runs
import structures
from ase.build import bulk
from cuda_lammps import cmake, quiet

from metalff import artifact
from metalff.artifact import Manifest, Payload
from metalff.environments import environment_python
from metalff.errors import MetalffError
from metalff.lammps import environment, lmp_executable
from metalff.selftest import of_the_engine
from metalff.versions import versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MOST = 40e6
"""Bytes of the folder."""
TRAVELS = ("bundle_cases.py", "runs.py", "parts.py", "check.py", "run.sh")
SANITIZER = "nvidia-cuda-sanitizer-api==13.5.25"
"""Not older: those packages lack the programs that it starts others with."""


def model(name: str, path: Path) -> None:
    """The artefact with nothing but its native payload and a self-test."""
    bundled = ROOT / "potentials" / "mlff" / f"{name}.mlff"
    if bundled.is_file():
        opened = artifact.open_artifact(bundled)
        kept = {n: (p, opened.read(n)) for n, p in opened.manifest.payloads.items() if n.startswith(("native/", "selftest"))}
        return artifact.write(path, opened.manifest, kept)
    payload = cuda_lammps.folder() / f"{name}-{versions('metalff')['metalff']}.safetensors"
    if not payload.is_file():
        payload.parent.mkdir(parents=True, exist_ok=True)
        try:
            python = environment_python("mace")
        except MetalffError:
            raise MetalffError("random models of MACE are made in its environment: metalff env create mace") from None
        quiet(python, "-P", HERE / "random_mace.py", name, payload)
    manifest = Manifest(name=name, family="mace", elements=["Cu"], r_max=5.0, layers=2)
    members = {"native/mace.safetensors": (Payload(kind="native", sha256="", size=0), payload.read_bytes())}
    artifact.write(path, manifest, members)
    crystal = bulk("Cu", a=3.7, cubic=True)
    crystal.rattle(0.05, seed=1)
    artifact.write(path, manifest, members | {"selftest.json": (Payload(kind="selftest", sha256="", size=0), of_the_engine(path, crystal))})


def references(folder: Path, say) -> None:
    """Numbers of the plain style in the stock LAMMPS, on one core of this processor."""
    variables = environment() | {"OMP_NUM_THREADS": "1"}
    backend = runs.Backend(str(lmp_executable()), (), "", variables)
    bench = parts.Bench(folder, folder / "work", backend, cases.SIZES, tuple(cases.MODELS), 1, 1.0)
    for name in cases.MODELS:
        for structure in cases.STRUCTURES:
            found = {}
            for precision in cases.PRECISIONS:
                found[precision], outcome = runs.state(
                    backend, bench.data(name, structure), bench.pair(name, precision), bench.work / "run", 300, cases.STEPS
                )
                if outcome.failure:
                    raise MetalffError(f"no reference numbers of {name}: {outcome.failure}")
            single = {}
            for step, numbers in found["double"].items():
                for key, value in parts.deviations(found["single"][step], numbers).items():
                    single[key] = max(single.get(key, 0.0), value)
            path = folder / "reference" / f"{name}-{structure}.json.gz"
            with gzip.GzipFile(path, "wb", mtime=0) as stream:
                stream.write(json.dumps({"steps": found["double"], "single": single}).encode())
        say(f"reference numbers of {name}")
    shutil.rmtree(bench.work)


def plugin(built: cuda_lammps.CudaLammps, lib: Path, say) -> str:
    """The plugin and what it opens, into lib; what ptxas said of its kernels."""
    place = cuda_lammps.folder() / f"plugin-{hashlib.sha256(f'{ROOT} {built.build}'.encode()).hexdigest()[:12]}"
    say("compiling the plugin with nvcc: some minutes")
    words = [f"-DLAMMPS_SOURCE_DIR={built.source}", f"-DLAMMPS_BUILD_DIR={built.build}", f"-DPython_EXECUTABLE={sys.executable}"]
    quiet(cmake(), "-S", ROOT, "-B", place, *words)
    variables = environment() | {"NVCC_APPEND_FLAGS": "-Xptxas -v"}
    said = quiet(cmake(), "--build", place, "-j", "1", "--target", "mlffkkplugin", "mlff_kokkos", environment=variables)
    logs = place / "ptxas"  # one of each source, for only those that changed are compiled again
    logs.mkdir(exist_ok=True)
    for source, log in re.findall(r"Building CXX object \S*/(\S+)\.o$(.*?)(?=^\[ *\d+%\]|\Z)", said, re.M | re.S):
        (logs / f"{source}.txt").write_text(log)
    for library in place.glob("*.so"):
        quiet("strip", "--strip-unneeded", "-o", lib / library.name, library)
    return "".join(path.read_text() for path in sorted(logs.iterdir()))


def libraries(lib: Path) -> None:
    """What the programs need besides the C library and the driver."""
    said = subprocess.run(["nvcc", "--dryrun", "-x", "cu", "-"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    tops = re.findall(r"\bTOP=(\S+)", said.stdout + said.stderr)  # a wrapper of nvcc may stand elsewhere
    cuda = Path(tops[0]).resolve() if tops else Path(shutil.which("nvcc")).resolve().parents[1]
    found = list(cuda.glob("**/libcudart.so.13"))
    if not found:
        raise MetalffError(f"libcudart.so.13 is not with the nvcc of {cuda}: install the CUDA toolkit 13")
    shutil.copy(found[0], lib / "libcudart.so.13")
    spare = lib / "spare"  # for a machine without, or with older ones: these ask for a newer C library than the programs do
    spare.mkdir()
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        shutil.copy(quiet("g++", f"-print-file-name={name}").strip(), spare / name)


def glibc(lib: Path, program: Path) -> str:
    """The newest version of the C library that they ask for."""
    asked = set()
    for path in [program, *lib.glob("*.so*")]:
        asked |= set(re.findall(r"GLIBC_(\d+\.\d+)", quiet("objdump", "-T", path)))
    return max(asked, key=lambda version: tuple(map(int, version.split("."))))


def pack(path: Path, files: dict[str, Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, file in files.items():
            archive.write(file, name)


def sanitizer(path: Path, say) -> str:
    """compute-sanitizer out of its package, without headers and what is for 32 bits; its version, empty when it could not be had."""
    place = cuda_lammps.folder() / "sanitizer"
    version = SANITIZER.partition("==")[2]
    if not [*place.glob(f"*-{version}-*.whl")]:
        asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place, SANITIZER]
        if subprocess.run([*map(str, asked)], capture_output=True).returncode:
            say("compute-sanitizer could not be downloaded: the folder goes without it")
            return ""
    (wheel,) = place.glob(f"*-{version}-*.whl")
    with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name in given.namelist():
            _, _, inner = name.partition("nvidia/cu13/compute-sanitizer/")
            if inner and "/" not in inner or name.endswith("License.txt"):
                out.writestr(inner or "License.txt", given.read(name))
    return version


def commit() -> str:
    try:
        return quiet("git", "-C", ROOT, "describe", "--always", "--dirty").strip()
    except (MetalffError, OSError):
        return ""


def make(folder: Path, host: bool, say=print) -> dict:
    """The folder anew; what it is."""
    started = time.monotonic()
    built = None if host else cuda_lammps.find(say)
    if folder.exists():
        if not (folder / "bundle.json").is_file() and any(folder.iterdir()):
            raise MetalffError(f"{folder} is not a bundle: choose another folder, or remove it")
        shutil.rmtree(folder)
    for room in ("models", "inputs", "reference"):
        (folder / room).mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    for name in TRAVELS:
        shutil.copy(HERE / name, folder / name)
    quiet("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", HERE / "hooks.c", "-o", folder / "libhooks.so")
    for name in cases.MODELS:
        model(name, folder / "models" / f"{name}.mlff")
    for elements in {tuple(e) for _, e in cases.MODELS.values()}:
        for structure in cases.STRUCTURES:
            structures.make(structure, list(elements), folder / "inputs" / f"{structure}-{len(elements)}.data")
    references(folder, say)
    described = {"commit": commit(), "versions": versions("lammps", "metalff"), "made": time.strftime("%Y-%m-%d")}
    if built:
        lib = folder / "lib"
        lib.mkdir()
        (folder / "ptxas.txt").write_text(plugin(built, lib, say))
        libraries(lib)
        described["nvcc"] = re.findall(r"release .*", quiet("nvcc", "--version"))[-1]
        described["glibc"] = glibc(lib, built.program)
        say("packing")
        pack(folder / "programs.zip", {"lmp": built.program} | {f"lib/{file.relative_to(lib)}": file for file in lib.rglob("*.so*")})
        shutil.rmtree(lib)
        described["compute-sanitizer"] = sanitizer(folder / "sanitizer.zip", say)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    described |= {"bytes": size, "seconds": round(time.monotonic() - started, 1)}
    (folder / "bundle.json").write_text(json.dumps(described, indent=1))
    if size > MOST:
        raise MetalffError(f"{folder} has {size / 1e6:.1f} MB, more than the {MOST / 1e6:.0f} MB that are to be carried")
    return described


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("gpu-bundle"))
    parser.add_argument("--host", action="store_true", help="nothing for a GPU")
    options = parser.parse_args()
    try:
        made = make(options.folder.resolve(), options.host, lambda line: print(f"== {line}", flush=True))
    except MetalffError as error:
        sys.exit(f"gpu-bundle: {error}")
    print(f"{options.folder}: {made['bytes'] / 1e6:.1f} MB in {made['seconds']:.0f} s; on the machine with the GPU: bash run.sh")


if __name__ == "__main__":
    main()
