"""Atomic cluster expansion of pacemaker, as ML-PACE reads it → artefact."""

from pathlib import Path

from metalff.artifact import Manifest
from metalff.deploy.polynomials import plain_file, write
from metalff.poly import pace

CITATION = (
    "R. Drautz, Atomic cluster expansion for accurate and transferable interatomic potentials, Phys. Rev. B 99, 014104 (2019)\n"
    "Y. Lysogorskiy et al., Performant implementation of the atomic cluster expansion (PACE) and application to copper and silicon, "
    "npj Comput. Mater. 7, 97 (2021)"
)
FORMULAS = "the formulas of PACE in numpy (metalff.poly.pace)"


def deploy(source, output, name: str | None = None, licence: str = "", test: str | None = None, say=print) -> Manifest:
    """Write the artefact of a potential of the atomic cluster expansion.

    Args:
        source: a ``.yace`` file.
        output: the ``.mlff`` file to write.
        name, licence, test, say: as in ``deploy.mtp``.

    Raises:
        MetalffError: no such file, or one that is not covered.
    """
    source = plain_file(source, "pace", pace.WHAT)
    potential = pace.read(source)
    about = {"name": name, "licence": licence, "test": test, "say": say}
    return write(potential.polynomial(), potential.atom, source, Path(output), "pace", FORMULAS, CITATION, pace.NEAR, **about)
