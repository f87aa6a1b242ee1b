"""Force fields by name: reference EAM, MEAM and SNAP potentials and trained ``.mlff`` files."""

from metalff.potentials.per_element import PerElement, per_element
from metalff.potentials.potential import Potential
from metalff.potentials.registry import bundled_models, checks, entries, names, resolve, usable

__all__ = ["PerElement", "Potential", "bundled_models", "checks", "entries", "names", "per_element", "resolve", "usable"]
