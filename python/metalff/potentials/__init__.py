"""Force fields by name: reference EAM, MEAM and SNAP potentials and trained ``.mlff`` files."""

from metalff.potentials.potential import Potential
from metalff.potentials.registry import names, registry, resolve

__all__ = ["Potential", "names", "registry", "resolve"]
