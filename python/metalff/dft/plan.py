"""``plan.yaml`` of a queue: which structures, how labelled."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from metalff import data
from metalff.data.metals import metal
from metalff.dft.protocol import Arguments, CalculatorSpec, Density, Width, protocol
from metalff.dft.structures import STRAINS, small_cell, temperatures_of
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.yaml_file import read_yaml, short

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$"
"""Of a part: it names files and folders."""

OVERLAP = 0.4
"""Å; atoms closer than this are the same atom twice."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetalPlan(_Model):
    """Structures of one metal, drawn from molecular dynamics (``structures.draw``)."""

    potential: str
    atoms: Annotated[int, Field(gt=0, le=256)]
    frames: PositiveInt | None = None
    k_density: Density | None = None


class Repeat(_Model):
    """The first structures of each metal, labelled once more with finer settings: what the settings of the labels cost in accuracy.

    Attributes:
        name: ends the name of the set.
        more_k: points added along each periodic axis.
        arguments: merged into those of the calculator.
        frames: width (eV) → number of structures of each metal.
    """

    name: Annotated[str, Field(pattern=NAME)]
    more_k: Annotated[int, Field(ge=0)] = 0
    arguments: Arguments = {}
    frames: dict[Width, PositiveInt]

    @model_validator(mode="after")
    def _finer(self):
        if not self.more_k and not self.arguments:
            raise ValueError("give more_k or arguments, what is to be finer")
        return self


class Part(_Model):
    """Some structures with the same treatment; finished before the next part begins.

    Attributes:
        name: of its sets and files.
        metals: structures to draw, by element; or
        structures: a file that ASE reads, or what ``--data`` takes.
        frames: of each metal.
        temperatures: K; None for ``structures.temperatures_of``.
        strains: of the volume.
        seed: of the molecular dynamics.
        smearing: Fermi–Dirac widths, eV; each structure is labelled with every one. None for the protocol's, or where the calculator takes none.
        k_density: Å; None for the protocol's.
        repeats: labels with finer settings, for comparison.
    """

    name: Annotated[str, Field(pattern=NAME)]
    metals: Annotated[dict[str, MetalPlan], Field(min_length=1)] | None = None
    structures: str | None = None
    frames: Annotated[int, Field(gt=0, le=100000)] = 96
    temperatures: Annotated[list[Annotated[float, Field(gt=0, le=20000)]], Field(min_length=1)] | None = None
    strains: Annotated[list[Annotated[float, Field(gt=-0.5, lt=1)]], Field(min_length=1)] = list(STRAINS)
    seed: Annotated[int, Field(gt=0, lt=10000)] = 1
    smearing: Annotated[list[Width], Field(min_length=1)] | None = None
    k_density: Density | None = None
    repeats: list[Repeat] = []

    @model_validator(mode="after")
    def _one_source(self):
        if (self.metals is None) == (self.structures is None):
            raise ValueError("give either metals or structures")
        if self.smearing and len(set(self.smearing)) < len(self.smearing):
            raise ValueError("a smearing is given twice")
        for repeat in self.repeats:
            if missing := sorted(set(repeat.frames) - set(self.smearing or [])):
                raise ValueError(f"repeat {repeat.name} is asked for at {missing[0]:g} eV, which is not among the smearings")
        if len({repeat.name for repeat in self.repeats}) < len(self.repeats):
            raise ValueError("two repeats have the same name")
        return self

    def drawn(self, symbol: str) -> dict:
        """What the structures of a metal depend on; JSON types."""
        own = self.metals[symbol]
        return {
            "potential": own.potential,
            "atoms": own.atoms,
            "frames": own.frames or self.frames,
            "temperatures": self.temperatures or temperatures_of(metal(symbol)),
            "strains": list(self.strains),
            "seed": self.seed,
        }


class Plan(_Model):
    """The content of ``plan.yaml``; ``citation`` and ``licence`` are what the sets say of themselves."""

    out: str = "dft"
    citation: str = ""
    licence: str = ""
    calculator: CalculatorSpec = CalculatorSpec()
    parts: Annotated[list[Part], Field(min_length=1)]

    @field_validator("calculator", mode="before")
    @classmethod
    def _by_name(cls, value):
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self):
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts have the same name")
        for part in self.parts:
            if not self.calculator.has_smearing and (part.smearing or part.repeats or part.k_density):
                raise ValueError(
                    f"smearing, k_density and repeats: it is not known where {self.calculator.name} takes them; put them into calculator.arguments"
                )
        files = [
            name for part in self.parts for name in ([part.name] if part.metals is None else [f"{part.name}-{symbol}" for symbol in part.metals])
        ]
        if len(set(files)) < len(files):
            raise ValueError(f"two parts would keep their structures under the name {next(f for f in files if files.count(f) > 1)}; rename one")
        sets = [set_name(part.name, width) for part in self.parts for width in self.widths(part)]
        sets += [set_name(part.name, width, repeat) for part in self.parts for repeat in part.repeats for width in repeat.frames]
        if len(set(sets)) < len(sets):
            raise ValueError(
                f"two sets would have the name {next(name for name in sets if sets.count(name) > 1)}; rename a part or repeat, or change a width"
            )
        return self

    def physics(self) -> dict:
        """All that labels and their order depend on; JSON types."""
        return self.model_dump(mode="json", exclude={"out", "citation", "licence"})

    def widths(self, part: Part) -> list[float | None]:
        """eV, of a part; None where the calculator takes none."""
        return (part.smearing or [protocol().smearing]) if self.calculator.has_smearing else [None]


def set_name(part: str, width: float | None, repeat: Repeat | None = None) -> str:
    """Of the labels of a part with a width (eV), or of a repeat of them."""
    return part + (f"-{width:g}eV" if width is not None else "") + (f"-{repeat.name}" if repeat else "")


def read_plan(path) -> Plan:
    """``plan.yaml``, checked.

    Raises:
        MetalffError: unreadable, or a value that cannot be; names the key.
    """
    content = read_yaml(path)
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "plan"
        raise MetalffError(f"{path}: {short(where)}: {first['msg'].removeprefix('Value error, ')}") from None
    plan.calculator.check()
    for part in plan.parts:
        for symbol, own in (part.metals or {}).items():
            if symbol not in atomic_numbers or symbol == "X":
                raise MetalffError(f"{path}: part {part.name}: {symbol} is no chemical symbol")
            small_cell(metal(symbol), own.atoms)
            resolve(own.potential, [symbol])
    return plan


@dataclass(frozen=True)
class Source:
    """Structures to be made or read, and where they are kept in the queue.

    Attributes:
        name: of the file with the structures, without ending.
        part: of the plan.
        element: None for structures that are given.
        settings: what they depend on; JSON types.
    """

    name: str
    part: Part
    element: str | None
    settings: dict


def sources(plan: Plan) -> list[Source]:
    """Where the structures of a plan come from, in order."""
    found = []
    for part in plan.parts:
        if part.structures is not None:
            found.append(Source(part.name, part, None, {"structures": part.structures}))
        else:
            found += [Source(f"{part.name}-{symbol}", part, symbol, part.drawn(symbol)) for symbol in part.metals]
    return found


def given(spec: str, periodic: bool) -> list:
    """Structures of a file that ASE reads, or of ``--data``, as ``ase.Atoms``; ``info`` has their ``temperature`` where it is known.

    Args:
        periodic: whether a cell is needed.
    Raises:
        MetalffError: nothing is there, or a structure cannot be labelled; names it.
    """
    from ase import Atoms
    from ase.io import read

    if Path(spec).is_file() and not spec.endswith((".xyz.gz", ".extxyz.gz", ".json", ".json.gz")):
        try:
            found = read(spec, ":", do_not_split_by_at_sign=True)
        except Exception as error:  # each of ASE's readers has errors of its own
            raise MetalffError(f"{spec}: ASE cannot read it: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    else:
        found = []
        for frame in data.read(spec):
            atoms = frame.to_atoms()
            atoms.info = {} if frame.temperature is None else {"temperature": frame.temperature}
            found.append(atoms)
    kept = []
    for number, atoms in enumerate(found):
        where = f"{spec}: structure {number}"
        info = {}
        if (temperature := atoms.info.get("temperature")) is not None:
            if isinstance(temperature, (bool, np.bool_)) or not isinstance(temperature, (int, float, np.number)) or not 0 < temperature < 1e5:
                raise MetalffError(f"{where}: temperature={temperature} is none; give it in kelvin, or leave it out")
            info["temperature"] = float(temperature)
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell.array, pbc=atoms.pbc, info=info)
        if not len(atoms) or 0 in atoms.numbers:
            raise MetalffError(f"{where} has {'an atom of no element' if len(atoms) else 'no atoms'}")
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise MetalffError(f"{where}: a position or cell vector is not a finite number")
        if (periodic or atoms.pbc.any()) and abs(np.linalg.det(atoms.cell.array)) < 1e-6:
            raise MetalffError(f"{where} has no cell; plane waves need one: put it into a periodic cell (for a cluster, with vacuum around it)")
        if len(atoms) > 1 and len(close := _distances(atoms)):
            raise MetalffError(f"{where}: two atoms are {close.min():.2f} Å apart")
        kept.append(atoms)
    if not kept:
        raise MetalffError(f"{spec} holds no structures")
    return kept


def _distances(atoms) -> np.ndarray:
    from matscipy.neighbours import neighbour_list

    if not atoms.pbc.any():
        found = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        return found[found < OVERLAP]
    return neighbour_list("d", atoms, OVERLAP)


def warn_magnetic(elements) -> None:
    """Say which elements are magnetic, since the protocol has no spin."""
    found = [symbol for symbol in elements if symbol in protocol().magnetic]
    if found:
        warnings.warn(
            f"{', '.join(found)}: magnetic, but labelled without spin polarisation; the labels are those of the non-magnetic state", stacklevel=2
        )


def differences(old, new, prefix: str = "") -> list[str]:
    """What differs between two plans (as JSON), in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(dict.fromkeys([*old, *new]))
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(old, list) and isinstance(new, list) and all(isinstance(item, dict) and "name" in item for item in old + new):
        return differences({item["name"]: item for item in old}, {item["name"]: item for item in new}, prefix)
    if old == new:
        return []
    if isinstance(old, dict) or isinstance(new, dict):
        return [f"{prefix} {'is new' if old is None else 'is gone' if new is None else 'is another'}"]
    return [f"{prefix} {json.dumps(old)} → {json.dumps(new)}"]
