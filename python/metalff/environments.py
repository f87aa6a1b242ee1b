"""One private virtual environment per model family: training and deploying run there, a deployed file needs none.

mace-torch pins e3nn 0.4.4, nequip needs e3nn ≥ 0.6: the families cannot live together, nor beside MetalFF. An
environment is built in place (virtual environments do not survive a move) and counts as ready only once
``metalff-env.json`` lies in it, which is written last.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metalff import installer
from metalff.errors import MetalffError, nearest
from metalff.paths import atomic_write, data_dir

PINS = {
    "mace": ("torch==2.13.0", "mace-torch==0.3.16"),
    "nequip": ("torch==2.13.0", "nequip==0.19.0", "nequip-allegro==0.8.3"),
    "nep": ("calorine==4.1",),
    # without its extra [torch]: that wants torch 2.11 for compiled operators, of which nothing here makes use
    "deepmd": ("torch==2.13.0", "deepmd-kit==3.2.0", "e3nn==0.6.0", "ase==3.29.0", "matscipy==1.3.1"),
    "sevennet": ("torch==2.13.0", "sevenn==0.13.0"),
    "chgnet": ("torch==2.13.0", "chgnet==0.4.2"),
    "gpaw": ("ase==3.29.0", "gpaw==26.7.0", "gpaw-data==1.2.1"),
}
"""Requirements of each family, installed one by one in this order: torch, where it is needed, first, so that it decides for the others."""

GPAW_CONFIG = """compiler = 'g++'
mpi = False
fftw = True
libraries = ['xc', 'openblas', 'fftw3']
"""
"""How GPAW is built: its C++ with g++, for one core; FFTs by FFTW."""

LIBRARIES = {"gpaw": {"xc": ("xc.h", "libxc-dev"), "fftw3": ("fftw3.h", "libfftw3-dev"), "openblas": ("", "libopenblas-dev")}}
"""What a family compiles against: library → header and Debian package."""

SHARED = {"allegro": "nequip"}
"""Families that live in the environment of another one."""

MARKER = "metalff-env.json"
LOG = "metalff-env.log"
SCHEMA = 1

Progress = Callable[[str, str], None]
"""Called with the step in progress and the latest line that its program printed ('' when a step begins)."""


@dataclass(frozen=True)
class Environment:
    """What is on disk for one family.

    Attributes:
        state: ``ready``, ``missing``, ``unfinished`` (creation was interrupted) or ``outdated`` (finished, other pins).
        versions: of the packages in it, by name; empty unless finished.
    """

    family: str
    path: Path
    state: str
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"


def status(family: str) -> Environment:
    """The environment of a family, whatever its state.

    Raises:
        MetalffError: no such family.
    """
    family = SHARED.get(family, family)
    if family not in PINS:
        known = [*PINS, *SHARED]
        raise MetalffError(f"no model family {family}{nearest(family, known)}; there are {', '.join(known)}")
    path = data_dir() / "envs" / family
    if not path.exists():
        return Environment(family, path, "missing")
    try:
        marker = json.loads((path / MARKER).read_text("utf-8"))
        pins, versions = tuple(marker["pins"]), dict(marker["versions"])
    except (OSError, ValueError, KeyError, TypeError):
        return Environment(family, path, "unfinished")
    if not (path / "bin" / "python").exists():  # the interpreter it was made from is gone
        return Environment(family, path, "unfinished")
    return Environment(family, path, "ready" if pins == PINS[family] else "outdated", versions)


def environment_python(family: str) -> Path:
    """The Python interpreter of a ready environment.

    Raises:
        MetalffError: it is missing, unfinished or has other pins; the sentence names the command that mends it.
    """
    environment = status(family)
    if environment.state != "ready":
        reason = {
            "missing": "does not exist",
            "unfinished": "is unfinished",
            "outdated": "has other versions than this MetalFF needs",
        }[environment.state]
        raise MetalffError(f"the environment for {family} {reason}; run: metalff env create {family}")
    return environment.python


def command(family: str, script: Path, *arguments) -> list[str]:
    """Command line that runs ``script`` inside the environment.

    Isolated (``-I``): otherwise the folder of the script, with its own ``mace.py``, would hide the package ``mace``.

    Raises:
        MetalffError: see ``environment_python``.
    """
    return [str(environment_python(family)), "-I", str(script), *map(str, arguments)]


def create(family: str, force: bool = False, progress: Progress = lambda step, line: None) -> Environment:
    """Create, finish or renew the environment of a family; one that is ready is left alone.

    An unfinished one is kept and completed, an outdated one is built anew. Needs the package index.

    Args:
        force: build anew even when it is ready.
    Raises:
        MetalffError: no such family, or a step failed (its last error line, and where the log is).
    """
    path = status(family).path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, progress):
        environment = status(family)
        if environment.state == "ready" and not force:
            return environment
        if path.exists():
            (path / MARKER).unlink(missing_ok=True)
        usable = environment.state == "unfinished" and not force and _works(environment.python)
        if not usable:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            try:
                _run(path, "python -m venv", [sys.executable, "-m", "venv", str(path)], progress)
            except MetalffError as failure:
                version = f"{sys.version_info.major}.{sys.version_info.minor}"
                hint = f"on Debian/Ubuntu it needs: apt-get install python{version}-venv"
                raise MetalffError(f"{failure}; {hint}") from None
        _need_libraries(family)
        pip = [str(environment.python), "-I", "-m", "pip"]
        variables = {}
        if family == "gpaw":
            variables["GPAW_CONFIG"] = str(path / "siteconfig.py")
            (path / "siteconfig.py").write_text(GPAW_CONFIG)
        _install(path, environment.python, family, progress, variables)
        if family == "gpaw":
            _make_setups(path, environment.python, progress)
        found = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True).stdout
        versions = {entry["name"].lower(): entry["version"] for entry in json.loads(found)}
        with atomic_write(path / MARKER) as stream:
            marker = {"schema": SCHEMA, "family": family, "pins": PINS[family], "versions": versions}
            json.dump(marker, stream, indent=1)
        return status(family)


def _install(path: Path, python: Path, family: str, progress: Progress, variables: dict[str, str]) -> None:
    """All requirements, one by one: by uv where it is installed, else, or from where it fails on, by pip."""
    requirements = list(PINS[family])
    # what is compiled here is left to pip, which is what its makers try
    quick = None if family in LIBRARIES else installer.uv_command(python, installer.pip_settings())
    try:
        while quick and requirements:
            _run(path, f"uv pip install {requirements[0]}", [*quick, requirements[0]], progress)
            del requirements[0]
    except MetalffError:
        pass  # pip says it, if it is of the same opinion
    if requirements:
        requirements.insert(0, "pip")
    for requirement in requirements:
        upgrade = ["--upgrade"] if requirement == "pip" else []
        _run(path, f"pip install {requirement}", [str(python), "-I", "-m", "pip", "install", *upgrade, requirement], progress, variables)


def remove(family: str) -> bool:
    """Delete the environment of a family; False when there was none."""
    path = status(family).path
    if not path.exists():
        return False
    with _locked(path, lambda step, line: None):
        (path / MARKER).unlink(missing_ok=True)  # a removal that is interrupted must not look ready
        shutil.rmtree(path)
    return True


@contextmanager
def _locked(path: Path, progress: Progress):
    """One process at a time works on an environment; the others wait."""
    with open(path.with_suffix(".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that works on this environment", "")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _works(python: Path) -> bool:
    try:
        return subprocess.run([python, "-I", "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _need_libraries(family: str) -> None:
    """Raises: MetalffError: a compiler or library is missing; names the Debian packages."""
    needed = LIBRARIES.get(family)
    if not needed:
        return
    if not shutil.which("g++"):
        raise MetalffError(f"{family} is compiled when it is installed, and there is no g++; on Debian/Ubuntu: apt-get install g++")
    missing = []
    for library, (header, package) in needed.items():
        text = (f"#include <{header}>\n" if header else "") + "int main() { return 0; }\n"
        command = ["g++", "-x", "c++", "-", f"-l{library}", "-o", os.devnull]
        if subprocess.run(command, input=text, text=True, capture_output=True).returncode:
            missing.append(package)
    if missing:
        raise MetalffError(
            f"{family} is compiled when it is installed, and libraries are missing; on Debian/Ubuntu: apt-get install {' '.join(missing)}"
        )


def _make_setups(path: Path, python: Path, progress: Progress) -> None:
    """PAW setups that gpaw-data lacks, into ``setups``: technetium."""
    folder = path / "setups"
    folder.mkdir(exist_ok=True)
    if not (folder / "Tc.PBE").exists():
        program = "import sys; from gpaw.cli.main import main; sys.argv[0] = 'gpaw'; main()"
        _run(path, "gpaw dataset Tc", [str(python), "-I", "-c", program, "dataset", "Tc", "-f", "PBE", "-w"], progress, folder=folder)


def _run(path: Path, step: str, arguments: list[str], progress: Progress, more: dict[str, str] | None = None, folder: Path | None = None) -> None:
    """Run one step in ``folder``, with ``more`` variables, its output into the log and line by line to ``progress``."""
    progress(step, "")
    variables = installer.own_variables() | (more or {})
    last = error = ""
    with open(path / LOG, "a") as log:
        log.write(f"$ {step}\n")
        with subprocess.Popen(
            arguments, env=variables, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                log.write(line)
                if line.strip():
                    last = line.strip()
                    error = last if last.startswith("ERROR") else error
                    progress(step, last)
    if process.returncode:
        reason = (error or last or f"exit status {process.returncode}").removeprefix("ERROR: ")
        raise MetalffError(f"{step} failed: {reason}; the full output is in {path / LOG}")
