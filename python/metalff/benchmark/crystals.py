"""The crystal of each element at rest, and where it melts."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states

from metalff.errors import MetalffError

MELTING = {
    **{"Li": 454, "Be": 1560, "Na": 371, "Mg": 923, "Al": 933, "Si": 1687, "K": 337, "Ca": 1115, "Sc": 1814},
    **{"Ti": 1943, "V": 2183, "Cr": 2180, "Fe": 1811, "Co": 1768, "Ni": 1728, "Cu": 1358, "Zn": 693, "Ge": 1211},
    **{"Rb": 312, "Sr": 1050, "Y": 1795, "Zr": 2127, "Nb": 2750, "Mo": 2895, "Tc": 2430, "Ru": 2606, "Rh": 2236},
    **{"Pd": 1828, "Ag": 1235, "Cd": 594, "In": 430, "Sn": 505, "Sb": 904, "Cs": 302, "Ba": 1000, "La": 1193},
    **{"Hf": 2506, "Ta": 3290, "W": 3687, "Re": 3458, "Os": 3306, "Ir": 2719, "Pt": 2041, "Au": 1337, "Hg": 234},
    **{"Tl": 577, "Pb": 601, "Bi": 545},
}
"""K, at normal pressure: CRC Handbook of Chemistry and Physics, 97th edition (2016), section 4, to the nearest kelvin."""


def melting_point(element: str) -> float:
    """K.

    Raises:
        MetalffError: not in the table.
    """
    if element not in MELTING:
        raise MetalffError(f"the melting point of {element} is not known here, so its stability cannot be measured; give --parts accuracy,speed")
    return float(MELTING[element])


def crystal(element: str, atoms: int) -> Atoms:
    """About so many atoms of the element's crystal (ASE's reference states), in a cell as cubic as its vectors allow.

    Raises:
        MetalffError: the element has no simple crystal.
    """
    symmetry = (reference_states[atomic_numbers[element]] or {}).get("symmetry")
    words = {"hcp": {"orthorhombic": True}} | dict.fromkeys(("fcc", "bcc", "diamond", "sc"), {"cubic": True})
    try:
        cell = bulk(element, **words.get(symmetry, {}))
    except (ValueError, RuntimeError):
        raise MetalffError(
            f"the crystal of {element} is not a simple one, so its stability cannot be measured; give --parts accuracy,speed"
        ) from None
    lengths = np.linalg.norm(cell.cell.array, axis=1)
    side = (atoms / len(cell) * np.prod(lengths)) ** (1 / 3)
    sizes = [np.maximum(1, np.rint(side * factor / lengths)).astype(int) for factor in np.linspace(0.8, 1.25, 31)]
    return cell.repeat(min(sizes, key=lambda size: abs(np.log(size.prod() * len(cell) / atoms))).tolist())
