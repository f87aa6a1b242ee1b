"""Units that a header declares: those of MetalFF, or none."""

import re

ENERGY, LENGTH = {"ev", "electronvolt", "electronvolts"}, {"å", "a", "ang", "angs", "angstrom", "angstroms"}
SYSTEMS = {"metal", "ase"}
"""Names of systems of units that consist of eV and Å."""

QUANTITIES = {
    ("energy", "energies"): (1, 0),
    ("force", "forces"): (1, -1),
    ("stress", "stresses", "pressure"): (1, -3),
    ("virial", "virials"): (1, 0),
    ("length", "lengths", "pos", "position", "positions", "distance", "distances", "lattice", "cell", "coordinates", "coords"): (0, 1),
}
"""Words of a key to the powers of eV and Å in the unit of its quantity."""

KEY = re.compile(r"(.*?)[-_]?units?")
PART = re.compile(r"([/*·,;\s]*)([^\W\d_]+)\^?\**(-?\d+|[⁻¹²³]+)?")
SUPERSCRIPTS = str.maketrans("⁻¹²³", "-123")


def declares(key: str) -> bool:
    """Whether a key, in lower case, declares the unit of something that is read, or of all: ``units``, ``energy_unit``, ``dft_force_units``."""
    return _powers(key) is not False


def are_ours(key: str, value: str) -> bool:
    """Whether what such a key says is MetalFF's: of a quantity eV and Å in its powers, of all nothing else than these."""
    powers = _powers(key)
    if value.strip().lower() in SYSTEMS:
        return True
    if re.search(r"(?<![\^\w*-])\d", value.replace("**", "^")):  # a factor such as 10^-3
        return False
    found, over = [0, 0], 1
    for before, word, power in PART.findall(value):
        if word.lower() not in ENERGY | LENGTH:
            return False
        over = -1 if "/" in before else over
        found[word.lower() in LENGTH] += over * int((power or "1").translate(SUPERSCRIPTS))
    return powers is None or tuple(found) == powers


def _powers(key: str):
    """Powers of eV and Å; None of all quantities together, False where the key declares nothing that is read."""
    match = KEY.fullmatch(key)
    if not match:
        return False
    words = set(re.split(r"[-_]", match[1])) - {""}
    return next((powers for names, powers in QUANTITIES.items() if words & set(names)), False) if words else None
