"""What a measurement is, what it is made on, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from metalff.data.metals import Metal, metal
from metalff.errors import MetalffError

COSTS = ("instant", "seconds", "minutes", "minutes of molecular dynamics", "long molecular dynamics, only by name")
"""By cost, 0 to 4."""


class Skip(MetalffError):
    """The measurement does not apply to this potential or metal; the message says why."""


@dataclass(frozen=True)
class Value:
    """Attributes: value; unit; low, high: 95 % interval, None where it is not known."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Attributes: x, y; labels with units; group: curves of one group are drawn in one panel; low, high: 95 % interval at every x."""

    x: list[float]
    y: list[float]
    x_label: str
    y_label: str
    group: str = ""
    low: list[float] | None = None
    high: list[float] | None = None


@dataclass(frozen=True)
class Measured:
    """What a measurement found.

    Attributes:
        values, curves: by name.
        notes: sentences about how it was found.
        warnings: sentences about what is wrong with it.
        detail: more, for programs; JSON types only.
        grade: letter of each check, of the verification only.
    """

    values: dict[str, Value]
    curves: dict[str, Curve] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    detail: dict = field(default_factory=dict)
    grade: dict[str, str] | None = None


class Settings(BaseModel):
    """Numbers of measurements that a user may change; each measurement names those it reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force: float = Field(0.005, gt=0, le=0.1)
    """Largest force of a relaxed structure, eV/Å."""
    steps: int = Field(400, ge=10, le=10000)
    """Most steps of a relaxation."""
    displacement: float = Field(0.01, gt=0, le=0.1)
    """Of an atom for phonons, Å."""
    phonon_length: float = Field(9.0, ge=4, le=40)
    """Least edge of the supercell of phonons, Å."""
    slab_thickness: float = Field(16.0, ge=6, le=60)
    """Å."""
    images: int = Field(5, ge=3, le=21)
    """Of a path of a vacancy, without its ends."""
    seed: int = Field(1, ge=1, le=1_000_000)
    """Of velocities."""
    md_atoms: int = Field(250, ge=30, le=100_000)
    """Least atoms of a cell of molecular dynamics, about; the nearest block of unit cells."""
    md_equilibrate: float = Field(4.0, gt=0, le=1e4)
    """Before anything is averaged, ps."""
    md_sample: float = Field(20.0, gt=0, le=1e6)
    """Averaged, at each temperature, ps."""
    drift_ps: float = Field(50.0, gt=0, le=1e6)
    """At constant energy, ps."""
    liquid_ps: float = Field(30.0, gt=0, le=1e6)
    """Of the liquid, for its diffusion, ps."""
    melting_atoms: int = Field(2000, ge=200, le=1_000_000)
    """Of the cell in which solid and liquid coexist, about."""
    melting_ps: float = Field(100.0, gt=0, le=1e6)
    """Of coexistence, ps."""
    conductivity_ps: float = Field(400.0, gt=0, le=1e6)
    """Over which heat fluxes are correlated, ps."""
    anharmonic_temperature: float = Field(300.0, gt=0, le=5000)
    """Of the molecular dynamics behind effective phonons, K."""


@dataclass
class Subject:
    """One element of one potential.

    Attributes:
        potential: ``metalff.potentials.Potential`` of this element alone.
        settings: ``Settings``.
        found: what earlier measurements found, by name; at least what a measurement ``needs``.
        work: folder of this measurement's checkpoints; None: a run that is ended begins anew.
        tell: called by long measurements with what they are at and the part of it that is done.
    """

    potential: object
    element: str
    settings: Settings = field(default_factory=Settings)
    found: dict[str, Measured] = field(default_factory=dict)
    work: Path | None = None
    tell: Callable[[str, float], None] = lambda label, part: None

    @cached_property
    def metal(self) -> Metal:
        return metal(self.element)

    @cached_property
    def calculator(self):
        """One ASE calculator for all measurements of this subject."""
        return self.potential.calculator()

    @cached_property
    def unguarded(self):
        """A calculator for structures far from a model's training, which it would refuse: of two atoms, for example."""
        if self.potential.kind != "mlff":
            return self.calculator
        from metalff.calculator import MLFFCalculator

        return MLFFCalculator(self.potential.files[0], extrapolation="ignore")

    @cached_property
    def cell(self):
        """The relaxed orthogonal unit cell, ``ase.Atoms`` without a calculator."""
        from metalff.properties.lattice import relaxed

        return relaxed(self.calculator, self.metal)

    @cached_property
    def bulk_energy(self) -> float:
        """eV/atom of ``cell``."""
        from metalff.properties.lattice import energy

        return energy(self.calculator, self.cell) / len(self.cell)

    def close(self) -> None:
        """End the calculators that have been opened."""
        for name in ("unguarded", "calculator"):
            calculator = self.__dict__.pop(name, None)
            if hasattr(calculator, "close"):
                calculator.close()


@dataclass(frozen=True)
class Measurement:
    """One entry of the registry.

    Attributes:
        cost: index of ``COSTS``.
        run: a pure function of the subject.
        version: raised when it would find other numbers; earlier results are measured anew.
        note: what it measures, in which units, where it misleads; its first line stands alone.
        needs: names of measurements that go before.
        settings: names of ``Settings`` that it reads.
    """

    name: str
    title: str
    cost: int
    run: Callable[[Subject], Measured]
    version: int
    note: str
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
