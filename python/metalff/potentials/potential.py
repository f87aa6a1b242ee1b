"""``Potential``: what LAMMPS and ASE need to run a force field, and what a report says about it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from metalff.errors import MetalffError


@dataclass(frozen=True)
class Potential:
    """A force field bound to a list of elements (the atom types 1, 2, … in that order).

    Attributes:
        name: as the user wrote it, ``Cu/eam`` or the file's name.
        kind: ``eam``, ``meam``, ``snap``, ``qsnap``, ``mlff``; without LAMMPS: ``universal``, which runs in its own framework, and
            ``tb``, tight binding.
        label: for tables and plots.
        elements: chemical symbols in the order of the atom types.
        files: parameter files, absolute paths.
        sha256: of the files, one after the other.
        pair_style, pair_coeff: LAMMPS arguments after these words, with absolute paths.
        citation, doi, licence: of the parameters; '' when unknown.
        cutoff: Å, of one layer of a message-passing model; None when unknown.
        crystal, lattice_constant: structure and Å at 0 K; None when unknown.
    """

    name: str
    kind: str
    label: str
    elements: tuple[str, ...]
    files: tuple[Path, ...]
    sha256: str
    pair_style: str
    pair_coeff: tuple[str, ...]
    citation: str = ""
    doi: str = ""
    licence: str = ""
    cutoff: float | None = None
    crystal: str | None = None
    lattice_constant: float | None = None

    @property
    def in_lammps(self) -> bool:
        """Whether LAMMPS has a pair style for it."""
        return self.kind not in ("universal", "tb")

    @property
    def folder(self) -> str:
        """Name of a folder for its results: ``Cu/eam`` → ``Cu-eam``, ``Cu-mace.mlff`` → ``Cu-mace``."""
        return self.name.removesuffix(".mlff").replace("/", "-").replace(" ", "_")

    def lammps_commands(self) -> list[str]:
        """``pair_style`` and ``pair_coeff`` lines for ``units metal``, ready to paste into an input script.

        Raises:
            MetalffError: there are none.
        """
        if self.kind == "tb":
            raise MetalffError(f"{self.name} runs in ASE only: LAMMPS has no tight binding; relabel frames of another potential with it")
        if self.kind == "universal":
            from metalff.potentials.universal import UNIVERSAL

            raise MetalffError(f"{self.name} runs in ASE only; for LAMMPS {UNIVERSAL[self.name].lammps}")
        return [f"pair_style {self.pair_style}", *(f"pair_coeff {line}" for line in self.pair_coeff)]

    def record(self) -> dict:
        """What identifies the force field in a record of results; JSON types only."""
        return {
            "name": self.name,
            "label": self.label,
            "kind": self.kind,
            "files": [file.name for file in self.files],
            "sha256": self.sha256,
            "citation": self.citation,
            "doi": self.doi,
            "licence": self.licence,
        }

    def calculator(self):
        """A new ASE calculator: the engine for ``.mlff`` files, the framework for universal models, numpy for tight binding, LAMMPS as a library for the others."""
        if self.kind == "tb":
            from metalff.synth.tight_binding import Knobs, TightBinding

            knobs = Knobs.of(self.name)
            return TightBinding(knobs.symbol, knobs.dose.filling, knobs.dose.kT, knobs.k)
        if self.kind == "universal":
            from metalff.potentials.universal import UniversalCalculator

            return UniversalCalculator(self.name)
        if self.kind == "mlff":
            from metalff.calculator import MLFFCalculator

            return MLFFCalculator(self.files[0])
        from metalff.lammps import LammpsCalculator

        return LammpsCalculator(self.lammps_commands(), self.elements)


def sha256_of(*files: Path) -> str:
    """Hash of the contents of the files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()
