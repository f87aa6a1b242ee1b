"""``sweep.json``, read for a report: whether all that pages say of it has its type."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metalff.errors import MetalffError

DRIVEN = ("ramp", "strain", "coexistence")
"""Kinds of runs that are not kept at one temperature."""

KINDS = ("md", *DRIVEN, "properties", "errors")

RESULTS = ("thermo.csv", "trajectory.h5")
"""Files of a finished run."""

Lenient = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

Positive = Annotated[float, Field(ge=0)]


class Potential(BaseModel):
    """See ``Potential.record``; that of ``PerElement`` has parts."""

    model_config = Lenient

    name: str
    label: str = ""
    kind: str = ""
    sha256: str = ""
    citation: str = ""
    doi: str = ""
    licence: str = ""
    files: list[str] = []
    elements: list[str] = []
    lammps_commands: list[str] = []
    parts: dict[str, "Potential"] = {}


class Failure(BaseModel):
    model_config = Lenient

    kind: str = ""
    sentence: str = ""
    step: int | None = None
    last_frame: str | None = None


class Estimate(BaseModel):
    model_config = Lenient

    value: float
    low: float
    high: float


class Values(BaseModel):
    """What a coexistence came to, of which pages say more than its curves."""

    model_config = Lenient

    phase: Literal["both", "solid", "liquid"] | None = None
    coexistence_temperature: Estimate | None = None


class Job(BaseModel):
    model_config = Lenient

    status: str
    potential: str
    element: str = ""
    kind: str = "md"
    label: str = ""
    temperature: Positive | None = None
    unstable: str = ""
    wall_s: Positive | None = None
    atom_steps_per_s: Positive | None = None
    lammps: str | None = None
    error: str = ""
    failure: Failure | None = None
    files: dict[str, str] = {}


class Run(Job):
    """A finished run."""

    temperature: Positive
    files: dict[str, str]


class Coexistence(Run):
    values: Values | None = None


class Skipped(BaseModel):
    model_config = Lenient

    element: str = ""
    potential: str = ""
    reason: str = ""


class Record(BaseModel):
    model_config = Lenient

    hash: str
    plan: dict[str, Any]
    potentials: dict[str, Potential]
    jobs: dict[str, Job]
    skipped: list[Skipped] | None = None
    versions: dict[str, str | None] = {}
    machine: dict[str, str | int | None] = {}
    command: str | list[str] = ""


def check(record: dict, path) -> None:
    """What else pages take for granted.

    Raises:
        MetalffError: a part is missing or has another type, or a job is of a kind that is not known.
    """
    try:
        Record.model_validate(record)
        for name, job in record["jobs"].items():
            kind = job.get("kind", "md")
            if kind not in KINDS:
                raise MetalffError(f"{path}: {name} is of the kind {kind}, which this report does not know; use the version of MetalFF that wrote it")
            if job["status"] == "finished" and kind in ("md", *DRIVEN):
                (Coexistence if kind == "coexistence" else Run).model_validate(job)
                if missing := [file for file in RESULTS if file not in job["files"]]:
                    raise MetalffError(f"{path} is damaged ({name} has no hash of {missing[0]}); run the sweep again")
    except ValidationError as error:
        first = error.errors()[0]
        where, said = ".".join(map(str, first["loc"])), first["msg"]
        raise MetalffError(f"{path} is damaged ({where}: {said[:1].lower()}{said[1:]}); run the sweep again") from error
