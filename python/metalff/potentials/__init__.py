"""Force fields by name: reference EAM, MEAM and SNAP potentials and trained ``.mlff`` files."""

from metalff.potentials.potential import Potential
from metalff.potentials.registry import bundled_models, checks, entries, names, resolve, usable

__all__ = ["Potential", "bundled_models", "checks", "entries", "names", "resolve", "usable"]
