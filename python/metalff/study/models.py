"""The small models of studies: the same for every metal but for their cutoffs, which go with its nearest-neighbour distance d."""

from metalff.data.metals import metal
from metalff.errors import MetalffError, nearest

FAMILIES = ("poly", "nep")
"""What a study trains unless told otherwise: one without chance, and one with weights that begin at random."""

WITHOUT_CHANCE = ("poly",)
"""Families whose training a seed does not change."""


def settings(symbol: str, family: str) -> dict:
    """The configuration of a family for a metal.

    poly: 2.4 d, up to four neighbours, the size and the regularisation by held-out folds. NEP: 2.4 d, angular 2.0 d, 30 neurons. MACE: two layers of 1.6 d,
    16 channels. Allegro: 2.0 d, two layers. 24 epochs where there are any.

    Raises:
        MetalffError: there is no small model of this family.
    """
    d = metal(symbol).nearest_neighbour
    known = {
        "poly": {"r_max": 2.4 * d, "radial": 8, "l_max": 4, "degree": [14, 12, 10, 10]},
        "nep": {
            "r_max": 2.4 * d,
            "r_max_angular": 2.0 * d,
            "n_max": [5, 5],
            "basis_size": [8, 8],
            "l_max": [4, 2, 1],
            "neuron": 30,
            "max_epochs": 24,
        },
        "mace": {"r_max": 1.6 * d, "max_epochs": 24},
        "allegro": {"r_max": 2.0 * d, "max_epochs": 24},
    }
    if family not in known:
        raise MetalffError(f"--family {family}: this study has no small model of it{nearest(family, known)}; give {', '.join(known)}")
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in known[family].items()}
