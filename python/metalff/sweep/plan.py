"""``sweep.yaml``: what to run. The plan, read and checked; ``expand.py`` makes jobs of it."""

from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from metalff.data.metals import REPEATS, metals
from metalff.errors import MetalffError, nearest
from metalff.sweep.elements import members
from metalff.sweep.temperatures import check_word
from metalff.yaml_file import read_yaml, short

NEIGHBOURS = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "hcp": 1.0, "diamond": 0.75**0.5 / 2, "sc": 1.0}
"""Distance of nearest neighbours in units of the lattice constant."""

BASIS = {"fcc": 4, "bcc": 2, "hcp": 4, "diamond": 8, "sc": 1}
"""Atoms of LAMMPS' orthogonal unit cell."""

MOST_ATOMS = 10_000_000

FAR, FARTHER = 0.06, 0.25
"""Deviation of the nearest neighbours' distance from that of the metal which is warned of, and which is refused."""

Strict = ConfigDict(extra="forbid", frozen=True)

Temperature = float | str


def _checked(value):
    check_word(value)
    return float(value) if isinstance(value, (int, float)) else value


def _seconds(value):
    from metalff.train.configuration import seconds

    return seconds(str(value)) if value is not None and not isinstance(value, (int, float)) else value


class Steps(BaseModel):
    """Steps of each stage."""

    model_config = Strict

    equilibrate: Annotated[int, Field(ge=0)] = 5000
    sample: PositiveInt = 5000
    drift: Annotated[int, Field(ge=0)] = 5000


class Of(BaseModel):
    """``{from: SET}``: the temperatures of a set of data."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: str = Field(alias="from")


class Cell(BaseModel):
    """A cell: unit cells along x, y, z, or a number of atoms, of which the nearest block is taken."""

    model_config = Strict

    replicas: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    atoms: Annotated[int, Field(ge=4, le=MOST_ATOMS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value):
        if isinstance(value, int) and not isinstance(value, bool):
            return {"atoms": value}
        if isinstance(value, (list, tuple)):
            return {"replicas": value}
        return _same_in_all_directions(value)

    @model_validator(mode="after")
    def _one(self):
        if (self.replicas is None) == (self.atoms is None):
            raise ValueError("give replicas, such as [4, 4, 4], or atoms, such as 256")
        return self


def _same_in_all_directions(value):
    if isinstance(value, dict) and isinstance(value.get("replicas"), int):
        return value | {"replicas": (value["replicas"],) * 3}
    return value


class Ramp(BaseModel):
    """From one temperature to another at a rate, at no pressure."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: Temperature = Field(alias="from")
    to: Temperature
    rate: Annotated[float, Field(gt=0, le=1e6)]
    """K/ps."""

    _start, _to = (field_validator(name)(_checked) for name in ("start", "to"))


class Strain(BaseModel):
    """A box that deforms evenly."""

    model_config = Strict

    direction: Literal["x", "y", "z", "volume", "xy"] = "x"
    to: Annotated[float, Field(gt=-0.9, lt=10)] = 0.1
    """Engineering strain at the end; below zero: compression."""
    rate: Annotated[float, Field(gt=0, le=100)] = 0.005
    """1/ps."""
    temperature: Temperature = 300.0

    _temperature = field_validator("temperature")(_checked)

    @model_validator(mode="after")
    def _some(self):
        if self.to == 0:
            raise ValueError("a strain of 0 is none")
        return self


class Coexistence(BaseModel):
    """Solid and liquid side by side, from a first guess of the melting temperature."""

    model_config = Strict

    temperature: Temperature = "1.0 Tm"
    atoms: Annotated[int, Field(ge=200, le=MOST_ATOMS)] = 2000
    prepare: Annotated[int, Field(ge=10)] = 10000
    """Steps in which the upper half is melted and both settle."""
    steps: PositiveInt = 30000
    """Of the last stage, at constant enthalpy."""

    _temperature = field_validator("temperature")(_checked)


class ParslSettings(BaseModel):
    """Where Parsl starts workers; what is None is Parsl's own default."""

    model_config = Strict

    provider: Literal["local", "slurm", "pbspro", "kubernetes"] = "local"
    nodes: PositiveInt = 1
    """Of one job of the batch system."""
    blocks: PositiveInt = 1
    """Jobs of the batch system at a time."""
    walltime: Annotated[str, Field(pattern=r"\d{1,3}:\d\d:\d\d")] = "01:00:00"
    account: str | None = None
    partition: str | None = None
    queue: str | None = None
    scheduler_options: str = ""
    worker_init: str = ""
    cores_per_worker: Annotated[float, Field(gt=0)] = 1.0
    max_workers: PositiveInt | None = None
    """On a node."""
    image: str | None = None
    """Of a container, for kubernetes."""
    namespace: str | None = None
    volumes: list[tuple[str, str]] = []
    """Persistent volume claims and where they are mounted, for kubernetes; the folder of results lies on one."""
    address: str | None = None
    """Of this machine, as nodes reach it."""


def _one_or_more(value):
    return [value] if isinstance(value, (str, int, float, dict)) and not isinstance(value, bool) else value


class Plan(BaseModel):
    """The content of ``sweep.yaml``. Lengths in Å, temperatures in K, masses in g/mol, ``timestep`` in fs."""

    model_config = Strict

    element: str | None = None
    elements: list[str] | None = None
    lattice: Literal["fcc", "bcc", "hcp", "diamond", "sc"] | None = None
    a0: PositiveFloat | None = None
    replicas: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    cells: Annotated[list[Cell], Field(min_length=1)] | None = None
    mass: PositiveFloat | None = None
    potentials: Annotated[list[str], Field(min_length=1)]
    temperatures: list[Temperature | Of] = []
    ensembles: Annotated[list[Literal["NVT", "NPT", "NVE"]], Field(min_length=1)] = ["NVT"]
    ramps: list[Ramp] = []
    strains: list[Strain] = []
    coexistence: Coexistence | None = None
    seeds: Annotated[list[Annotated[int, Field(gt=0, lt=900000000)]], Field(min_length=1)] | None = None
    seed: Annotated[int, Field(gt=0, lt=900000000)] = 12345
    properties: list[str] = []
    settings: dict[str, float] = {}
    data: str | dict[str, str] | None = None
    steps: Steps = Steps()
    timestep: PositiveFloat | None = None
    dump_interval: PositiveInt = 100
    thermo_interval: PositiveInt = 50
    restart_interval: PositiveInt = 500
    walltime: PositiveFloat | None = None
    engine: Literal["auto", "lammps", "ase"] = "auto"
    lmp: str | None = None
    lmp_args: str = ""
    ranks: PositiveInt = 1
    mpiexec: str = ""
    workers: PositiveInt | None = None
    executor: Literal["local", "parsl"] = "local"
    parsl: ParslSettings = ParslSettings()
    out: str = "sweep"

    _several = field_validator("elements", "potentials", "temperatures", "ensembles", "ramps", "strains", "seeds", "properties", mode="before")(
        _one_or_more
    )
    _walltime = field_validator("walltime", mode="before")(_seconds)

    @field_validator("cells", mode="before")
    @classmethod
    def _cells(cls, value):
        return [value] if isinstance(value, (int, dict)) and not isinstance(value, bool) else value

    @field_validator("replicas", mode="before")
    @classmethod
    def _cubes(cls, value):
        return (value,) * 3 if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("coexistence", mode="before")
    @classmethod
    def _default(cls, value):
        return {} if value is True else None if value is False else value

    @field_validator("element")
    @classmethod
    def _known(cls, value):
        if value is not None and (value not in atomic_numbers or value == "X"):
            raise ValueError(f"{value} is no chemical symbol{nearest(value, metals())}")
        return value

    @field_validator("elements")
    @classmethod
    def _members(cls, values):
        try:
            return None if values is None else members(values)
        except MetalffError as error:
            raise ValueError(str(error)) from None

    @field_validator("temperatures")
    @classmethod
    def _temperatures(cls, values):
        return [value if isinstance(value, Of) else _checked(value) for value in values]

    @field_validator("temperatures", "potentials", "ensembles", "seeds", "properties", "cells", "ramps", "strains")
    @classmethod
    def _distinct(cls, values):
        words = [number(value) if isinstance(value, float) else repr(value) for value in values or ()]
        if len(set(words)) < len(words):
            raise ValueError("a value is given twice")
        return values

    @field_validator("properties")
    @classmethod
    def _measurements(cls, values):
        if values:
            from metalff.properties.registry import select

            try:
                select(values)
            except MetalffError as error:
                raise ValueError(str(error)) from None
        return values

    @field_validator("settings")
    @classmethod
    def _settings(cls, values):
        if values:
            from metalff.properties.run import checked_settings

            try:
                checked_settings(values)
            except MetalffError as error:
                raise ValueError(str(error)) from None
        return values

    @model_validator(mode="after")
    def _together(self):
        if (self.element is None) == (self.elements is None):
            raise ValueError("give element: for one metal or elements: for several")
        if self.elements is not None and (given := [name for name in ("lattice", "a0", "mass") if getattr(self, name) is not None]):
            raise ValueError(f"{given[0]} is that of each metal (docs/sweep.md); with elements: leave it out")
        if self.replicas and self.cells:
            raise ValueError("give replicas: or cells:, not both")
        if self.seeds and "seed" in self.model_fields_set:
            raise ValueError("give seed: or seeds:, not both")
        if not (self.temperatures or self.ramps or self.strains or self.coexistence or self.properties or self.data):
            raise ValueError("nothing to run; give temperatures, ramps, strains, coexistence, properties or data")
        if self.dump_interval % self.thermo_interval:
            raise ValueError("dump_interval must be a multiple of thermo_interval, so that every frame has its energy")
        if self.temperatures and self.steps.sample < self.dump_interval:
            raise ValueError("steps.sample is shorter than dump_interval, so the trajectory would be empty")
        if self.element is not None:
            self._check_crystal()
        return self

    def _check_crystal(self) -> None:
        """Lattice and a0 of the one metal: given, or in the table, and near to it."""
        import warnings

        known = metals().get(self.element)
        if known is None and (missing := [name for name in ("lattice", "a0") if getattr(self, name) is None]):
            raise ValueError(f"{self.element} is not in the table of metals; the key {missing[0]} is missing")
        if known is None or self.a0 is None:
            return
        off = NEIGHBOURS[self.crystal_of(self.element)[0]] * self.a0 / known.nearest_neighbour - 1
        said = f"a0 = {self.a0:g} Å puts neighbours {100 * abs(off):.0f} % {'farther apart' if off > 0 else 'closer'} than in {self.element} ({known.crystal}, {known.a:g} Å)"
        if abs(off) > FARTHER:
            raise ValueError(f"{said}; correct a0 or lattice")
        if abs(off) > FAR:
            warnings.warn(said, stacklevel=2)

    @property
    def metals(self) -> list[str]:
        return [self.element] if self.element is not None else self.elements

    @property
    def all_seeds(self) -> list[int]:
        return self.seeds or [self.seed]

    def crystal_of(self, element: str) -> tuple[str, float]:
        """Lattice and a0 (Å) of a metal: those of the plan, else of the table."""
        known = metals().get(element)
        lattice = self.lattice or known.crystal
        if self.a0 is not None:
            return lattice, self.a0
        return lattice, known.a if lattice == known.crystal else round(known.nearest_neighbour / NEIGHBOURS[lattice], 4)

    def blocks(self, lattice: str) -> list[tuple[int, int, int]]:
        """Unit cells along x, y, z of each cell."""
        if self.replicas:
            return [self.replicas]
        if self.cells is None:
            return [REPEATS.get(lattice, (4, 4, 4))]
        return [cell.replicas or block(lattice, cell.atoms) for cell in self.cells]

    def timestep_of(self, element: str) -> float:
        """fs: the plan's, else 1 for a plan of one metal, and by the mass for others."""
        from metalff.simulation import time_step

        if self.timestep is not None:
            return self.timestep
        return 1.0 if self.element is not None else round(1000 * time_step(element), 2)


def block(lattice: str, atoms: int, slender: int = 1) -> tuple[int, int, int]:
    """Unit cells along x, y, z of about so many atoms, near a cube, or a column ``slender`` times as long along z."""
    edges = (1.0, 3**0.5, (8 / 3) ** 0.5) if lattice == "hcp" else (1.0, 1.0, 1.0)
    side = (atoms / BASIS[lattice] * edges[0] * edges[1] * edges[2] / slender) ** (1 / 3)
    across = [max(1, round(side / edge)) for edge in edges[:2]]
    return (*across, max(1, round(atoms / BASIS[lattice] / (across[0] * across[1]))))


def number(value: float) -> str:
    """As LAMMPS is given it, and as folders are named by it: two values that differ have two."""
    return f"{value:.12g}"


def read_plan(path) -> Plan:
    """The plan in a YAML file, checked.

    Raises:
        MetalffError: the file cannot be read, or a key or value is not valid (named, with the nearest valid key).
    """
    return checked_plan(read_yaml(path), path)


def checked_plan(content: Any, path) -> Plan:
    """The plan of the content of a file.

    Raises:
        MetalffError: a key or value is not valid (named, with the nearest valid key).
    """
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise MetalffError(f"{path}: {_sentence(error.errors())}") from error


INNER = {"steps": Steps, "ramps": Ramp, "strains": Strain, "coexistence": Coexistence, "cells": Cell, "parsl": ParslSettings}


def _sentence(errors) -> str:
    """One sentence about the worst error; a misspelt key comes before the one that it leaves out."""
    error = min(errors, key=lambda entry: entry["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in error["loc"] if part not in ("float", "str", "Of", "dict[str,str]"))
    if error["type"] == "extra_forbidden":
        last = str(error["loc"][-1])
        model = INNER.get(str(error["loc"][0]), Plan) if len(error["loc"]) > 1 else Plan
        valid = [field.alias or name for name, field in model.model_fields.items()]
        return f"unknown key {short(where)}{nearest(last, valid)}"
    if error["type"] == "missing":
        return f"the key {where} is missing"
    text = error["msg"].removeprefix("Value error, ")
    return f"{where}: {text}, not {short(repr(error['input']))}" if where and error["type"] != "value_error" else f"{where}: {text}".lstrip(": ")
