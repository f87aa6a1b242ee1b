"""MetalFF: machine-learned force fields for metals in LAMMPS and ASE."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from metalff import mpi

if TYPE_CHECKING:
    from metalff.api import (
        MetalffError,
        MLFFCalculator,
        Potential,
        measure,
        potential,
        read_artifact,
        read_data,
        read_properties,
        read_sweep,
        read_trajectory,
        read_validation,
        run_sweep,
        run_validation,
        write_report,
    )

try:
    __version__ = metadata.version("metalff")
except metadata.PackageNotFoundError:  # run from the source tree
    __version__ = "0+source"

mpi.prepare()

__all__ = [
    "MLFFCalculator",
    "MetalffError",
    "Potential",
    "__version__",
    "measure",
    "potential",
    "read_artifact",
    "read_data",
    "read_properties",
    "read_sweep",
    "read_trajectory",
    "read_validation",
    "run_sweep",
    "run_validation",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """The public names, opened when one is asked for: ``import metalff`` itself stays quick."""
    if name in __all__:
        from metalff import api

        return getattr(api, name)
    raise AttributeError(f"module 'metalff' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
