"""Temperatures of a plan: kelvin, parts of the melting temperature, or those of a set of data."""

import re

from metalff.data.metals import metals
from metalff.errors import MetalffError

HIGHEST = 10000.0
"""K; no metal is condensed above, and no potential is fitted there."""

PART = re.compile(r"\s*(?P<part>\d+\.?\d*|\.\d+)\s*\*?\s*Tm\s*")
KELVIN = re.compile(r"\s*(?P<kelvin>\d+\.?\d*|\.\d+)\s*K?\s*")


def check_word(value) -> None:
    """Whether a value of a plan is a temperature, before the metal is known.

    Raises:
        ValueError: it is none, with the reason.
    """
    if isinstance(value, str):
        if PART.fullmatch(value):
            return
        if not (found := KELVIN.fullmatch(value)):
            raise ValueError(f"{value!r} is no temperature; give kelvin, such as 300, or a part of the melting temperature, such as 0.5 Tm")
        value = float(found["kelvin"])
    if not 0 < value <= HIGHEST:
        raise ValueError(f"a temperature is above 0 and at most {HIGHEST:g} K, not {value:g}")


def kelvin(value, element: str) -> float:
    """One temperature of one metal, K; parts of the melting temperature are whole kelvins.

    Raises:
        MetalffError: the metal is not in the table, or the temperature is above ``HIGHEST``.
    """
    if isinstance(value, str) and (found := PART.fullmatch(value)):
        if element not in metals():
            raise MetalffError(f"{value}: the melting temperature of {element} is not in the table of metals; give kelvin")
        result = float(round(float(found["part"]) * metals()[element].melting_temperature))
        if not 0 < result <= HIGHEST:
            raise MetalffError(f"{value} of {element} is {result:g} K; a temperature is above 0 and at most {HIGHEST:g} K")
        return result
    return float(KELVIN.fullmatch(value)["kelvin"]) if isinstance(value, str) else float(value)


def of_data(spec: str, element: str) -> list[float]:
    """Temperatures of the frames of one element in a set, rising.

    Raises:
        MetalffError: there is no such set, or its frames have none.
    """
    from metalff.data import read

    found = sorted({frame.temperature for frame in read(f"{spec}[element={element}]" if not spec.endswith("]") else spec) if frame.temperature})
    if not found:
        raise MetalffError(f"{spec} says no temperatures of {element}; give kelvin or parts of Tm in `temperatures`")
    return [float(value) for value in found]
