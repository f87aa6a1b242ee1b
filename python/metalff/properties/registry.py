"""All measurements, cheap ones first; a module adds its own as ``MEASUREMENTS``."""

import importlib
from functools import lru_cache

from metalff.errors import MetalffError, nearest
from metalff.properties.measurement import Measurement

MODULES = (
    "lattice",
    "cohesion",
    "verification",
    "eos",
    "elastic",
    "dimer",
    "vacancy",
    "surfaces",
    "stacking_fault",
    "phonons",
    "structure",
    "drift",
    "expansion",
    "diffusion",
    "melting",
    "conductivity",
    "anharmonic_phonons",
)

CHEAP, ALL = 2, 3
"""Highest cost of ``cheap`` and of ``all``; what costs more is measured by name only."""


@lru_cache
def measurements() -> dict[str, Measurement]:
    """By name, in the order of cost."""
    found = [one for name in MODULES for one in importlib.import_module(f"metalff.properties.{name}").MEASUREMENTS]
    return {one.name: one for one in sorted(found, key=lambda one: one.cost)}


def select(names=None) -> list[Measurement]:
    """The measurements of these names and those that they need, in the order of cost.

    Args:
        names: names, ``cheap`` or ``all``; one such word, words with commas between, or a list; ``cheap`` when None.
    Raises:
        MetalffError: there is no such measurement.
    """
    words = [word.strip() for word in (names.split(",") if isinstance(names, str) else names or ["cheap"])]
    known, wanted = measurements(), set()
    for word in words:
        if word in ("cheap", "all"):
            limit = CHEAP if word == "cheap" else ALL
            wanted |= {one.name for one in known.values() if one.cost <= limit}
        elif word in known:
            wanted.add(word)
        else:
            raise MetalffError(
                f"no measurement {word or '(an empty name)'}{nearest(word, [*known, 'cheap', 'all'])}; there are {', '.join(known)}, cheap, all"
            )
    todo = list(wanted)
    while todo:
        for need in known[todo.pop()].needs:
            if need not in wanted:
                wanted.add(need)
                todo.append(need)
    return _ordered([one for one in known.values() if one.name in wanted])


def _ordered(chosen: list[Measurement]) -> list[Measurement]:
    """In the given order, but what is needed first."""
    by_name, out = {one.name: one for one in chosen}, []

    def add(one: Measurement) -> None:
        for need in one.needs:
            add(by_name[need])
        if one not in out:
            out.append(one)

    for one in chosen:
        add(one)
    return out
