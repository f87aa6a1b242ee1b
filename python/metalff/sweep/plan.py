"""``sweep.yaml``: what to run. The plan, its jobs and its hash."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ase.data import atomic_masses, atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from metalff.errors import MetalffError, nearest
from metalff.potentials import Potential, resolve
from metalff.yaml_file import read_yaml, short

STAGES = ("equilibrate", "sample", "drift")
"""NPT, NVT and NVE, in this order on one step counter."""


NEIGHBOURS = {"fcc": 0.5**0.5, "bcc": 0.75**0.5, "hcp": 1.0, "diamond": 0.75**0.5 / 2, "sc": 1.0}
"""Distance of nearest neighbours in units of the lattice constant."""


class Steps(BaseModel):
    """Steps of each stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equilibrate: Annotated[int, Field(ge=0)] = 5000
    sample: PositiveInt = 5000
    drift: Annotated[int, Field(ge=0)] = 5000

    @property
    def ends(self) -> dict[str, int]:
        """Last step of each stage."""
        after_sample = self.equilibrate + self.sample
        return {"equilibrate": self.equilibrate, "sample": after_sample, "drift": after_sample + self.drift}

    @property
    def total(self) -> int:
        return self.ends["drift"]


class Plan(BaseModel):
    """The content of ``sweep.yaml``. Lengths in Å, temperatures in K, masses in g/mol, ``timestep`` in fs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    element: str
    lattice: Literal["fcc", "bcc", "hcp", "diamond", "sc"]
    a0: PositiveFloat
    replicas: tuple[PositiveInt, PositiveInt, PositiveInt]
    mass: PositiveFloat | None = None
    potentials: Annotated[list[str], Field(min_length=1)]
    temperatures: Annotated[list[PositiveFloat], Field(min_length=1)]
    steps: Steps = Steps()
    timestep: PositiveFloat = 1.0
    dump_interval: PositiveInt = 100
    thermo_interval: PositiveInt = 50
    restart_interval: PositiveInt = 500
    seed: Annotated[int, Field(gt=0, lt=900000000)] = 12345
    ranks: PositiveInt = 1
    workers: PositiveInt | None = None
    out: str = "sweep"

    @field_validator("replicas", mode="before")
    @classmethod
    def _same_in_all_directions(cls, value):
        return (value,) * 3 if isinstance(value, int) else value

    @field_validator("element")
    @classmethod
    def _known(cls, value):
        if value not in atomic_numbers or value == "X":
            raise ValueError(f"{value} is no chemical symbol")
        return value

    @field_validator("temperatures", "potentials")
    @classmethod
    def _distinct(cls, values):
        words = [number(value) if isinstance(value, float) else value for value in values]
        if len(set(words)) < len(words):
            raise ValueError("a value is given twice")
        return values

    @model_validator(mode="after")
    def _intervals(self):
        if self.dump_interval % self.thermo_interval:
            raise ValueError("dump_interval must be a multiple of thermo_interval, so that every frame has its energy")
        if self.steps.sample < self.dump_interval:
            raise ValueError("steps.sample is shorter than dump_interval, so the trajectory would be empty")
        return self

    @property
    def neighbour_distance(self) -> float:
        """Å, between nearest neighbours of the crystal."""
        return NEIGHBOURS[self.lattice] * self.a0

    def variables(self, temperature: float) -> dict[str, str]:
        """Values of the variables of ``lammps_inputs/in.sweep`` for one temperature."""
        mass = self.mass or atomic_masses[atomic_numbers[self.element]]
        values = {
            "element": self.element,
            "mass": mass,
            "lattice": self.lattice,
            "a0": self.a0,
            **dict(zip(("nx", "ny", "nz"), self.replicas, strict=True)),
            "barostat": "aniso" if self.lattice == "hcp" else "iso",
            "T": temperature,
            "timestep": self.timestep,
            "seed": self.seed,
            "steps_npt": self.steps.equilibrate,
            "steps_nvt": self.steps.sample,
            "steps_nve": self.steps.drift,
            "thermo_interval": self.thermo_interval,
            "dump_interval": self.dump_interval,
            "restart_interval": self.restart_interval,
        }
        return {key: number(value) if isinstance(value, float) else str(value) for key, value in values.items()}


def number(value: float) -> str:
    """As LAMMPS is given it, and as folders are named by it: two values that differ have two."""
    return f"{value:.12g}"


@dataclass(frozen=True)
class Job:
    """One potential at one temperature (K). ``id`` is also its folder below the output folder, ``Cu-eam/300K``."""

    id: str
    potential: Potential
    temperature: float


def read_plan(path) -> Plan:
    """The plan in a YAML file, checked.

    Raises:
        MetalffError: the file cannot be read, or a key or value is not valid (named, with the nearest valid key).
    """
    content = read_yaml(path)
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        raise MetalffError(f"{path}: {_sentence(error.errors())}") from error


def _sentence(errors) -> str:
    """One sentence about the worst error; a misspelt key comes before the one that it leaves out."""
    error = min(errors, key=lambda entry: entry["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        valid = Steps.model_fields if where.startswith("steps.") else Plan.model_fields
        return f"unknown key {short(where)}{nearest(where.removeprefix('steps.'), valid)}"
    if error["type"] == "missing":
        return f"the key {where} is missing"
    text = error["msg"].removeprefix("Value error, ")
    return f"{where}: {text}, not {short(repr(error['input']))}" if where and error["type"] != "value_error" else f"{where}: {text}".lstrip(": ")


def jobs(plan: Plan, folder) -> list[Job]:
    """All pairs of potential and temperature, temperatures fastest.

    Args:
        folder: what paths of ``.mlff`` files are relative to.
    Raises:
        MetalffError: a potential cannot be resolved, or two of them would share a folder.
    """
    potentials = {}
    for spec in plan.potentials:
        path = Path(folder, spec)
        potential = resolve(path if spec.endswith(".mlff") else spec, [plan.element])
        if (name := folder_name(potential)) in ("", ".", ".."):
            raise MetalffError(f"{spec} gives the runs a folder called '{name}'; rename the file")
        if name in potentials:
            raise MetalffError(f"{spec} and another potential are both called {name}; rename the file or leave one out")
        potentials[name] = potential
    return [
        Job(f"{name}/{number(temperature)}K", potential, temperature) for name, potential in potentials.items() for temperature in plan.temperatures
    ]


def folder_name(potential: Potential) -> str:
    """``Cu/eam`` → ``Cu-eam``, ``Cu-mace.mlff`` → ``Cu-mace``."""
    return potential.name.removesuffix(".mlff").replace("/", "-").replace(" ", "_")


def physics(plan: Plan, all_jobs: list[Job]) -> dict:
    """What decides the numbers: the plan without ``out``, ``workers`` and ``ranks``, and the hash of each potential."""
    content = plan.model_dump(mode="json", exclude={"out", "workers", "ranks", "potentials"})
    return {**content, "potentials": {folder_name(job.potential): job.potential.sha256 for job in all_jobs}}


def plan_hash(content: dict) -> str:
    """sha256 of the canonical JSON of ``physics``."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
