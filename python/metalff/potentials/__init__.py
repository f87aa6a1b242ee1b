"""Force fields by name: reference EAM, MEAM and SNAP potentials and trained ``.mlff`` files."""

from metalff.potentials.potential import Potential
from metalff.potentials.registry import bundled_models, entries, names, resolve

__all__ = ["Potential", "bundled_models", "entries", "names", "resolve"]
