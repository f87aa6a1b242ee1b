"""Groups of metals by name, as a campaign names them."""

from ase.data import atomic_numbers

from metalff.data.metals import metals
from metalff.errors import MetalffError, nearest

GROUPS = {
    "alkali": "Li Na K Rb Cs",
    "alkaline-earth": "Be Mg Ca Sr Ba",
    "early-transition": "Sc Y La Ti Zr Hf V Nb Ta",
    "mid-transition": "Cr Mo W Mn Tc Re Fe Ru Os",
    "late-transition": "Co Rh Ir Ni Pd Pt",
    "noble": "Cu Ag Au",
    "platinum": "Ru Rh Pd Os Ir Pt",
    "refractory": "Nb Ta Mo W Re",
    "zinc": "Zn Cd",
    "simple": "Al Ga In Tl Sn Pb",
    "3d": "Sc Ti V Cr Mn Fe Co Ni Cu Zn",
    "4d": "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd",
    "5d": "La Hf Ta W Re Os Ir Pt Au",
}
"""Besides ``all`` and the crystals fcc, bcc and hcp."""


def groups() -> dict[str, list[str]]:
    """Every group and its metals, in the order of the table of metals."""
    known = metals()
    found = {"all": list(known)}
    found |= {crystal: [symbol for symbol, metal in known.items() if metal.crystal == crystal] for crystal in ("fcc", "bcc", "hcp")}
    return found | {name: [symbol for symbol in known if symbol in words.split()] for name, words in GROUPS.items()}


def members(words) -> list[str]:
    """The metals that words name: symbols and groups, each metal once.

    Raises:
        MetalffError: a word is neither; gives the nearest name that is.
    """
    found, named = [], groups()
    for word in words:
        if word in metals():
            found.append(word)
        elif word in named:
            found += named[word]
        else:
            why = "is not in the table of metals" if word in atomic_numbers and word != "X" else "is no metal and no group of metals"
            raise MetalffError(f"{word or '(an empty name)'} {why}{nearest(word, [*metals(), *named])}; groups are {', '.join(named)}")
    return list(dict.fromkeys(found))
