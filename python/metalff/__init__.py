"""MetalFF: machine-learned force fields for metals in LAMMPS and ASE."""

from importlib import metadata

from metalff import mpi

try:
    __version__ = metadata.version("metalff")
except metadata.PackageNotFoundError:  # run from the source tree
    __version__ = "0+source"

mpi.prepare()

__all__ = ["MLFFCalculator", "__version__"]


def __getattr__(name):
    if name == "MLFFCalculator":
        from metalff.calculator import MLFFCalculator

        return MLFFCalculator
    raise AttributeError(f"module 'metalff' has no attribute {name!r}")
