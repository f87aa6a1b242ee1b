"""A LAMMPS with KOKKOS for CUDA, sm_90, on a machine without a GPU: given, or built once into the cache."""

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import cache_dir

STUBS = ("cuInit", "cuCtxGetDevice", "cuCtxPushCurrent_v2", "cuStreamGetCtx")
"""What Kokkos calls of libcuda, which only a driver brings: functions of these names let its library link here."""

CONFIGURE = """
-DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_STANDARD=20 -DBUILD_SHARED_LIBS=OFF -DBUILD_MPI=OFF -DBUILD_OMP=OFF
-DPKG_KOKKOS=ON -DKokkos_ENABLE_SERIAL=ON -DKokkos_ENABLE_OPENMP=OFF -DKokkos_ENABLE_CUDA=ON -DKokkos_ARCH_HOPPER90=ON
-DPKG_PLUGIN=ON -DPKG_MANYBODY=ON -DWITH_JPEG=OFF -DWITH_PNG=OFF -DWITH_GZIP=OFF -DWITH_FFMPEG=OFF -DWITH_CURL=OFF -DBUILD_TOOLS=OFF
""".split()

ONLY_NVCC = {"-extended-lambda", "--extended-lambda", "-expt-extended-lambda", "-Wext-lambda-captures-this"}

WRAPPER = """#!/bin/bash
# nvcc for files that see Kokkos, g++ for the others: half the time
export NVCC_WRAPPER_DEFAULT_COMPILER=g++
for word in "$@"; do case "$word" in *.cpp) source=$word;; esac; done
if [[ " $* " == *" -c "* && "$source" == {source}/src/* ]] && ! grep -qxF "$(basename "$source")" {listed}; then
  words=()
  for word in "$@"; do
    case "$word" in
      *extended-lambda|-Wext-lambda-captures-this|--relocatable-device-code=*|-arch=*|-Xcudafe|--diag_suppress=*|--compress-mode=*|-Xptxas=*) ;;
      *) words+=("$word");;
    esac
  done
  exec g++ "${{words[@]}}"
fi
exec {source}/lib/kokkos/bin/nvcc_wrapper "$@"
"""


@dataclass(frozen=True)
class CudaLammps:
    program: Path  # lmp, not packed
    source: Path  # the tree with src/
    build: Path  # where cmake configured it
    seconds: float = 0.0  # that building took now


def folder() -> Path:
    return cache_dir() / "gpu"


def find(say=print) -> CudaLammps:
    """By GPU_LMP, GPU_LAMMPS_SOURCE and GPU_LAMMPS_BUILD, or out of the archive KOKKOS_LAMMPS_ARCHIVE.

    GPU_LMP (an executable, or packed as .xz) beside the archive spares the build: then the archive is configured only.

    Raises:
        MetalffError: there is none, or it could not be built.
    """
    program, source, build, archive = (
        Path(os.environ[name]).resolve() if os.environ.get(name) else None
        for name in ("GPU_LMP", "GPU_LAMMPS_SOURCE", "GPU_LAMMPS_BUILD", "KOKKOS_LAMMPS_ARCHIVE")
    )
    for name, path in (("GPU_LMP", program), ("GPU_LAMMPS_SOURCE", source), ("GPU_LAMMPS_BUILD", build), ("KOKKOS_LAMMPS_ARCHIVE", archive)):
        if path and not path.exists():
            raise MetalffError(f"{name} names {path}, which does not exist: correct or unset it")
    if not shutil.which("nvcc"):
        raise MetalffError("nvcc is not on the PATH: install the CUDA toolkit 13, whose nvcc needs no GPU")
    if not archive and not (program and source and build):
        raise MetalffError(
            "no LAMMPS for CUDA: set KOKKOS_LAMMPS_ARCHIVE to a source archive of LAMMPS with Kokkos, or GPU_LMP, GPU_LAMMPS_SOURCE and "
            "GPU_LAMMPS_BUILD to one that is built"
        )
    if not (source and build):
        source, build = configure(archive, say)
    if not program:
        program = compiled(source, build, say)
    return CudaLammps(unpacked(program), source, build)


def unpacked(program: Path) -> Path:
    if program.suffix != ".xz":
        return program
    packed = program.read_bytes()
    out = folder() / f"lmp-{hashlib.sha256(packed).hexdigest()[:12]}"
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(lzma.decompress(packed))
        out.chmod(0o755)
    return out


def configure(archive: Path, say) -> tuple[Path, Path]:
    """Source and build folder of an archive in the cache."""
    place = folder() / hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    build = place / "build"
    if not (place / "unpacked").is_file():
        say(f"unpacking {archive.name}")
        with tarfile.open(archive) as tar:
            tar.extractall(place / "source", filter="data")
        (place / "unpacked").touch()
    trees = [path.parent.parent for path in (place / "source").glob("**/src/version.h")]
    if not trees:
        raise MetalffError(f"{archive} has no src/version.h: it is no source of LAMMPS")
    source = min(trees, key=lambda path: len(path.parts))
    if (place / "configured").is_file():
        return source, build
    for room in ("example", "benchmarks"):  # a trimmed source has none, and Kokkos' cmake walks through them
        if not (empty := source / "lib" / "kokkos" / room / "CMakeLists.txt").is_file():
            empty.parent.mkdir(exist_ok=True)
            empty.touch()
    say("configuring LAMMPS for CUDA, sm_90")
    listed = place / "nvcc_files.txt"
    listed.write_text("\n".join(seen_by_nvcc(source)) + "\n")
    wrapper = place / "nvcc_or_gcc"
    wrapper.write_text(WRAPPER.format(source=source, listed=listed))
    wrapper.chmod(0o755)
    stub = place / "stub"
    stub.mkdir(exist_ok=True)
    (stub / "cuda.c").write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in STUBS))
    quiet("gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", stub / "libcuda.so", stub / "cuda.c")
    words = [f"-DCMAKE_CXX_COMPILER={wrapper}", "-DCMAKE_CXX_FLAGS=-O2 -w", f"-DCMAKE_LIBRARY_PATH={stub}"]
    words += [f"-DCUDA_cuda_driver_LIBRARY={stub}/libcuda.so", f"-DCUDA_CUDA_LIBRARY={stub}/libcuda.so"]
    quiet(cmake(), "-S", source / "cmake", "-B", build, *CONFIGURE, *words)
    (place / "configured").touch()
    return source, build


def compiled(source: Path, build: Path, say) -> Path:
    program = build / "lmp-stripped"
    if not program.is_file():
        say("building LAMMPS for CUDA: half an hour of one core")
        quiet(cmake(), "--build", build, "-j", os.environ.get("JOBS", "1"))
        quiet("strip", "-o", program, build / "lmp")
    return program


def seen_by_nvcc(source: Path) -> list[str]:
    """Names of the .cpp files that include Kokkos, at first or second hand."""
    files = {}
    for room in ("", "KOKKOS", "MANYBODY", "PLUGIN"):
        for path in (source / "src" / room).glob("*.*"):
            if path.suffix in (".h", ".cpp"):
                files.setdefault(path.name, path)
    includes = {n: re.findall(r'#include\s+["<]([^">]+)[">]', p.read_text(errors="replace")) for n, p in files.items()}

    def reached(name, seen):
        for header in includes.get(name, []):
            if header not in seen:
                seen.add(header)
                reached(header, seen)
        return seen

    return sorted(n for n in files if n.endswith(".cpp") and any(h.startswith(("style_", "Kokkos_")) for h in reached(n, set())))


def cmake() -> str:
    """The newer one of this Python's and the system's; Kokkos 5 asks for 3.27."""
    found = [str(path) for path in (Path(sys.prefix) / "bin" / "cmake", shutil.which("cmake")) if path and Path(path).is_file()]
    told = {path: tuple(map(int, re.findall(r"(\d+)\.(\d+)", quiet(path, "--version"))[0])) for path in found}
    if not told or max(told.values()) < (3, 27):
        raise MetalffError("cmake 3.27 or newer is missing: pip install cmake")
    return max(told, key=told.get)


def quiet(*command, environment=None) -> str:
    """What a command said; its last lines when it fails."""
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        wrong = [line for line in said if "error" in line.lower()] or said[-3:]
        raise MetalffError(f"{Path(str(command[0])).name} stopped: {' / '.join(wrong[:3])}")
    return done.stdout
