"""What is run: models, structures, sizes, tolerances. Standard library only: this file travels in the folder."""

MODELS = {
    "Cu-mace": ("mace", ["Cu"]),
    "LiNiCuNbMoTaW-mace": ("mace", ["Li", "Ni", "Cu", "Nb", "Mo", "Ta", "W"]),
    "Cu-nep": ("nep", ["Cu"]),
    "LiNiCuNbMoTaW-nep": ("nep", ["Li", "Ni", "Cu", "Nb", "Mo", "Ta", "W"]),
    "mace64": ("mace", ["Cu"]),
    "mace128": ("mace", ["Cu"]),
}
"""Family and elements by name of the file. mace64 and mace128 have random weights (benchmarks/random_models.py)."""

PRECISIONS = ("double", "single")

STRUCTURES = ("crystal", "slab", "cell")
"""A crystal; a tilted slab with a vacancy and an atom by itself; a cell smaller than the cutoff."""

STEPS = 5
"""Steps of NVE after which numbers are compared again."""

TOLERANCES = {
    # of a force relative to the largest force of the structure, of energies relative to the energy, and of the stress relative to
    # the largest component of it
    "double": {"force": 1e-10, "energy": 1e-10, "atom energy": 1e-10, "pressure": 1e-10},
    "single": {"force": 1e-4, "energy": 1e-5, "atom energy": 1e-4, "pressure": 1e-3},
}

SPEED_MODELS = ("Cu-nep", "Cu-mace", "mace64", "mace128")
SIZES = (32_000, 256_000, 500, 4_000, 1_000_000)
"""Atoms, about; what tells most stands first."""

LATTICE = 3.615
"""Å, of copper."""
MASS = {"Li": 6.94, "Ni": 58.693, "Cu": 63.546, "Nb": 92.906, "Mo": 95.95, "Ta": 180.948, "W": 183.84}

DRIFT_STEPS = 4_000
DRIFT = 1e-3
"""eV/atom/ns: the largest drift of the total energy in double precision; in single ten times that."""


def cells(atoms: int) -> int:
    """Repetitions of the face-centred cubic cell for about so many atoms."""
    return max(2, round((atoms / 4) ** (1 / 3)))
