"""Moment tensor potential of MLIP-2 or MLIP-3 → artefact."""

from pathlib import Path

from ase.data import atomic_numbers

from metalff.artifact import Manifest
from metalff.deploy.polynomials import plain_file, write
from metalff.errors import MetalffError
from metalff.poly import mtp

CITATION = (
    "A. V. Shapeev, Moment tensor potentials: a class of systematically improvable interatomic potentials, Multiscale Model. Simul. 14, 1153 (2016)\n"
    "I. S. Novikov et al., The MLIP package: moment tensor potentials with MPI and active learning, Mach. Learn.: Sci. Technol. 2, 025002 (2021)"
)
FORMULAS = "the formulas of MTP in numpy (metalff.poly.mtp)"
WHAT = "a .mtp or .almtp of MLIP"


def deploy(source, output, elements: list[str], name: str | None = None, licence: str = "", test: str | None = None, say=print) -> Manifest:
    """Write the artefact of a moment tensor potential.

    Args:
        source: a ``.mtp`` or ``.almtp`` file.
        output: the ``.mlff`` file to write.
        elements: symbols of its species 0, 1, …, which the file does not name.
        name: the model's name; the output's stem when None.
        licence: licence of the potential's parameters.
        test: a data set (``zuo2020-Cu:test`` or a file) whose errors go into the manifest.
        say: called with one line per step.

    Raises:
        MetalffError: no such file, not one that is covered, or elements that do not fit it.
    """
    source = plain_file(source, "mtp", WHAT)
    potential = mtp.read(source)
    species = len(potential.species)
    if unknown := next((symbol for symbol in elements if symbol not in atomic_numbers or symbol == "X"), None):
        raise MetalffError(f"'{unknown}' is no chemical element: give --elements as symbols, in the order of the file's species")
    if len(elements) != species or len(set(elements)) < species:
        raise MetalffError(
            f"'{source}' has {species} species and --elements names {len(elements)} ({' '.join(elements)}): name each once, in the order of the file"
        )
    converted = potential.polynomial(elements)
    about = {"name": name, "licence": licence, "test": test, "say": say}
    return write(converted, potential.atom, source, Path(output), "mtp", FORMULAS, CITATION, potential.min_dist, **about)
