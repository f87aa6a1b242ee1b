"""MPtrj, the relaxations of the Materials Project on which universal models are trained; only what is said about it, not the data."""

from ase.data import chemical_symbols

CITATION = (
    "B. Deng et al., CHGNet as a pretrained universal neural network potential for charge-informed atomistic modelling, "
    "Nat. Mach. Intell. 5, 1031 (2023)"
)
ELEMENTS = tuple(symbol for symbol in chemical_symbols[1:95] if symbol not in ("Po", "At", "Rn", "Fr", "Ra"))
"""Those that occur in it: 89."""
