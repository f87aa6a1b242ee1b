"""How a structure is labelled: the arguments of an ASE calculator, from ``protocol.yaml`` or from the plan."""

import json
import math
import re
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any

import yaml
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.calculators.calculator import names as ase_names
from ase.units import Ry
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat

from metalff.errors import MetalffError, nearest

GPAW = "gpaw"


class MetalSettings(BaseModel):
    """What a metal has of its own in ``protocol.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    setup: str = ""
    ecut: PositiveFloat | None = None
    empty_bands: tuple[PositiveFloat, PositiveFloat] | None = None


class Protocol(BaseModel):
    """``protocol.yaml``; the comments there explain the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: dict[str, Any]
    smearing: PositiveFloat
    k_density: PositiveFloat
    empty_bands: tuple[PositiveFloat, PositiveFloat]
    metals: dict[str, MetalSettings]
    ladder: list[dict[str, Any]]
    magnetic: list[str]


@lru_cache
def protocol() -> Protocol:
    """The protocol of GPAW."""
    return Protocol.model_validate(yaml.safe_load((files("metalff.dft") / "protocol.yaml").read_text("utf-8")))


def _plain(value):
    """What JSON can hold: calculators run in other processes."""
    try:
        json.dumps(value, allow_nan=False)
        _words_as_keys(value)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("give numbers, words, lists, and mappings whose keys are words") from None
    return value


def _words_as_keys(value) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys")
        for item in value.values():
            _words_as_keys(item)
    elif isinstance(value, list):
        for item in value:
            _words_as_keys(item)


Arguments = Annotated[dict[str, Any], BeforeValidator(_plain)]
"""Of a calculator."""


class CalculatorSpec(BaseModel):
    """Which calculator labels.

    Attributes:
        name: ``gpaw``, another name that ``ase.calculators.calculator.get_calculator_class`` knows, or ``module:Class``.
        arguments: of that calculator; for GPAW they are merged into those of the protocol.
        ladder: changes of the arguments that are tried, one after the other, when it does not converge; None for the protocol's (GPAW) or none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = GPAW
    arguments: Arguments = {}
    ladder: list[Arguments] | None = None

    def check(self) -> None:
        """Raises: MetalffError: ASE has no such calculator."""
        if not re.fullmatch(r"\w+(\.\w+)*:\w+", self.name) and self.name != GPAW and self.name not in ase_names:
            raise MetalffError(
                f"calculator {self.name}: ASE has none of this name{nearest(self.name, [GPAW, *ase_names])}; give gpaw, another of ASE's, or module:Class"
            )

    @property
    def has_smearing(self) -> bool:
        """Whether the protocol knows where this calculator takes a width and a mesh."""
        return self.name in PLACES


def merged(base: dict, over: dict) -> dict:
    """``base`` with the entries of ``over``, dictionaries within dictionaries entry by entry."""
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def _gpaw(mesh, width: float, symbols) -> dict:
    own = {symbol: protocol().metals.get(symbol, MetalSettings()) for symbol in sorted(set(symbols))}
    found = {"kpts": {"size": list(mesh), "gamma": True}, "occupations": {"name": "fermi-dirac", "width": width}}
    if setups := {symbol: settings.setup for symbol, settings in own.items() if settings.setup}:
        found["setups"] = setups
    empty = 0.0
    for symbol in symbols:
        base, slope = own[symbol].empty_bands or protocol().empty_bands
        empty += base + slope * max(0.0, width - 0.1)
    found["nbands"] = -math.ceil(round(empty, 6))  # GPAW: so many empty ones
    cutoffs = [settings.ecut or protocol().arguments["mode"]["ecut"] for settings in own.values()]
    return merged(merged(protocol().arguments, {"mode": {"ecut": max(cutoffs)}}), found)


def _vasp(mesh, width: float, symbols) -> dict:
    return {"kpts": list(mesh), "gamma": True, "ismear": -1, "sigma": width, "ispin": 1, "isym": 0}


def _espresso(mesh, width: float, symbols) -> dict:
    system = {"occupations": "smearing", "smearing": "fermi-dirac", "degauss": width / Ry, "nosym": True}
    return {"kpts": list(mesh), "koffset": [0, 0, 0], "input_data": {"control": {"tprnfor": True, "tstress": True}, "system": system}}


PLACES = {GPAW: _gpaw, "vasp": _vasp, "espresso": _espresso}
"""Where a calculator takes mesh and width (eV, Fermi–Dirac); of others all arguments are the plan's."""


def arguments_of(calculator: CalculatorSpec, mesh, width: float | None, symbols) -> dict:
    """Arguments of the calculator for one structure.

    Args:
        mesh: [3] points of the gamma-centred mesh; None where the calculator takes none.
        width: eV; None as ``mesh``.
        symbols: of the atoms.
    """
    own = PLACES[calculator.name](mesh, width, symbols) if width is not None else {}
    return merged(own, calculator.arguments)


def ladder_of(calculator: CalculatorSpec) -> list[dict]:
    """What is tried when the calculator does not converge."""
    if calculator.ladder is not None:
        return calculator.ladder
    return protocol().ladder if calculator.name == GPAW else []


def k_mesh(atoms, density: float, more: int = 0) -> tuple[int, ...]:
    """Points of a gamma-centred mesh along each reciprocal vector: ``density`` (Å) times its length (2π/Å), rounded up; one where a cell is not periodic.

    Args:
        more: points to add along every periodic axis.
    """
    mesh = kptdensity2monkhorstpack(atoms, density, even=False)
    return tuple(int(count) + more * bool(periodic) for count, periodic in zip(mesh, atoms.pbc, strict=True))


Width = Annotated[float, Field(ge=1e-3, le=2)]
"""eV."""

Density = Annotated[float, Field(gt=0, le=50)]
"""Å; of a mesh."""
