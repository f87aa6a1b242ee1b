"""Which words of a file are its labels: one policy for every key, whatever the format.

Keys are compared without regard to case. A key names a quantity, alone (``energy``) or with the name of a family before or after it (``REF_energy``,
``dft_force``, ``energy_REF``). The labels of a frame come from one family, never mixed: the only one with energy and forces, or, where there are
several that agree, that of a reference. Families that disagree are refused until the user chooses. Every other key is understood, or named once
per file as left out.
"""

from dataclasses import dataclass, fields

import numpy as np

from metalff.data import units
from metalff.data.checks import check_frame
from metalff.data.frame import Frame
from metalff.errors import MetalffError, nearest

QUANTITIES = {
    "energy": ("energy", "total_energy", "totenergy", "energy_total", "toten", "etot", "potential_energy", "pot_energy", "free_energy"),
    "forces": ("forces", "force"),
    "stress": ("stress", "stresses"),
    "virial": ("virial", "virials"),
}
"""Names of each, in the order in which they are taken where a family has several."""

REFERENCES = ("ref", "reference", "dft", "qm", "vasp", "pbe", "castep", "qe", "cp2k", "gpaw", "aims", "abinitio", "target", "true", "label")
MODELS = (
    *("mace", "nep", "gap", "ace", "nequip", "allegro", "deepmd", "dp", "mtp", "snap", "eam", "meam", "chgnet", "orb", "sevennet"),
    *("pred", "predicted", "prediction", "ml", "mlip", "mlff", "model"),
)
"""Families of labels, and of what a model said of the same frames; '' is the one without a name."""

FREE = "free_energy"
"""Differs from the energy by the electrons' entropy, so it is no second opinion on it."""

STRUCTURE = ("lattice", "properties", "pbc", "temperature", "group", "config_type", "weight", "config_weight", "task")
COLUMNS = ("species", "z", "pos")
"""What else is understood: in the header, and of the columns; ``task`` is that of a DFT label of ours."""

VOIGT = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
ASYMMETRY = 0.05
"""Of a stress, relative to its largest component; more is no stress in the order xx xy xz yx …"""

LEAST_ASYMMETRY = 1e-4
"""eV/Å³; less is what codes leave of a stress that vanishes."""

AGREE = {"energy": (1e-4, 1e-6), "forces": (1e-3, 1e-4), "stress": (1e-4, 1e-2)}
"""Absolute (eV, eV/Å, eV/Å³) and relative difference below which two families say the same: what writing with few digits makes."""


@dataclass(frozen=True)
class Keys:
    """Keys that the user names, instead of those that the policy would take; None leaves it to the policy.

    Attributes:
        energy: in the header, eV.
        forces: column, eV/Å.
        stress: in the header, eV/Å³ in ASE's sign; 9 numbers, or 6: xx yy zz yz xz xy.
        virial: in the header, eV: −stress × volume.
        stress_factor: what stresses and virials are multiplied by: a unit, or −1 for the other sign.
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None
    stress_factor: float = 1.0

    @property
    def named(self) -> dict[str, str]:
        """Quantity to key, lower case, of those that are named."""
        return {f.name: value.lower() for f in fields(self) if f.name in QUANTITIES and (value := getattr(self, f.name))}


NO_KEYS = Keys()


def _meanings() -> dict[str, tuple[str, str, int]]:
    found = {}
    for quantity, names in QUANTITIES.items():
        for rank, name in enumerate(names):
            found[name] = quantity, "", rank
            for family in (*REFERENCES, *MODELS):
                found[f"{family}_{name}"] = found[f"{name}_{family}"] = quantity, family, rank
    return found


MEANINGS = _meanings()
"""Key, in lower case, to quantity, family and rank among the names of the quantity."""


@dataclass(frozen=True)
class Plan:
    """What is read from frames with certain keys.

    Attributes:
        keys: by quantity, in lower case; stress and virial where there are any.
        rivals: (quantity, key taken, other key) that must say the same.
        left_out: keys of the header and columns that are not understood, or belong to another family.
    """

    keys: dict[str, str]
    rivals: tuple[tuple[str, str, str], ...]
    left_out: tuple[str, ...]


def plan(header: tuple[str, ...], columns: tuple[str, ...], keys: Keys = NO_KEYS, spelling: dict[str, str] | None = None) -> Plan:
    """What is read of a header and columns with these keys, in lower case.

    Args:
        spelling: of the keys in the file, for messages.
    Raises:
        MetalffError: no energy, no forces, labels of several families none of which is whole, or a key that is not there.
    """
    asked, words = keys.named, _Words(spelling or {})
    for quantity, key in asked.items():
        there = columns if quantity == "forces" else header
        if key not in there:
            where = "among the columns" if quantity == "forces" else "in the header"
            raise MetalffError(f"no {getattr(keys, quantity)} {where}{nearest(key, there)}; there {words.are(there)}")
    families = {}
    for key in header:
        if key in MEANINGS and MEANINGS[key][0] != "forces":
            _note(families, key)
    for key in columns:
        if key in MEANINGS and MEANINGS[key][0] == "forces":
            _note(families, key)
    family = _family(families, asked, header, columns, words)
    chosen = dict(asked)
    for quantity in QUANTITIES:
        if quantity in chosen or (quantity in ("stress", "virial") and {"stress", "virial"} & set(asked)):
            continue
        if quantity in families.get(family, {}):
            chosen[quantity] = families[family][quantity][0]
        elif asked and quantity in ("energy", "forces"):
            if family is not None:  # labels are never mixed: what another family says is taken when it is named, too
                key = next(iter(asked.values()))
                raise MetalffError(f"{words(key)} comes without {quantity} of its family; say --{quantity}-key, too")
            chosen[quantity] = _only(families, quantity, header, columns, words)
    rivals = []
    for other, found in families.items():
        for quantity, names in found.items():
            for name in names:
                if quantity in chosen and name != chosen[quantity] and name != FREE and not (asked and other != family) and quantity not in asked:
                    rivals.append((quantity, chosen[quantity], name))
    taken = set(chosen.values()) | {other for _, _, other in rivals} | {FREE}
    left = [key for key in header if key not in taken and key not in STRUCTURE and not units.declares(key)]
    for key in columns:
        if MEANINGS.get(key, ("forces",))[0] != "forces":  # energies and stresses of single atoms are no labels
            left.append(f"{key} (per atom)")
        elif key not in taken and key not in COLUMNS:
            left.append(key)
    return Plan(chosen, tuple(rivals), tuple(left))


class _Words:
    """Keys as the file spells them."""

    def __init__(self, spelling):
        self.spelling = spelling

    def __call__(self, key) -> str:
        return self.spelling.get(key, key)

    def are(self, keys) -> str:
        return f"{'are' if len(keys) > 1 else 'is'} {', '.join(map(self, keys))}" if keys else "are none"


def _note(families, key) -> None:
    quantity, family, rank = MEANINGS[key]
    names = families.setdefault(family, {}).setdefault(quantity, [])
    names.append(key)
    names.sort(key=lambda name: MEANINGS[name][2])


def _family(families, asked, header, columns, words) -> str:
    """The family that labels come from."""
    for quantity in ("energy", "forces"):
        if quantity in asked:
            return MEANINGS.get(asked[quantity], ("", None, 0))[1]
    whole = [family for family, found in families.items() if {"energy", "forces"} <= set(found)]
    known = [family for family in (*REFERENCES, "") if family in whole]
    if known:
        return known[0]
    if whole:
        names = [words(families[whole[0]][quantity][0]) for quantity in ("energy", "forces")]
        raise MetalffError(
            f"{names[0]} and {names[1]} are what a model said, by their names; if they are the labels, say --energy-key {names[0]} "
            f"--forces-key {names[1]}"
        )
    energies = [words(found["energy"][0]) for found in families.values() if "energy" in found]
    forces = [words(found["forces"][0]) for found in families.values() if "forces" in found]
    if not energies:
        raise MetalffError(f"no energy in the header, whose keys {words.are(header)}; --energy-key names the one to take")
    if not forces:
        raise MetalffError(f"no forces among the columns, which {words.are(columns)}; --forces-key names the ones to take")
    raise MetalffError(
        f"energy and forces are not of one family: {', '.join(energies)} in the header, {', '.join(forces)} among the columns; "
        "choose with --energy-key and --forces-key"
    )


def _only(families, quantity, header, columns, words) -> str:
    """The key of a quantity that one family alone has."""
    found = [names[quantity][0] for names in families.values() if quantity in names]
    if len(found) == 1:
        return found[0]
    where = "forces among the columns" if quantity == "forces" else "energy in the header"
    there = columns if quantity == "forces" else header
    problem = f"several {where}: {', '.join(map(words, found))}" if found else f"no {where}; there {words.are(there)}"
    raise MetalffError(f"{problem}; say --{quantity}-key, too")


class Labels:
    """Makes frames of what the headers and columns of one file say.

    Args:
        name: of the file, for notes.
        keys: that the user names.

    Attributes:
        spelling: of keys as the file has them, by lower case, for messages; whoever reads the file fills it.
    """

    def __init__(self, name: str, keys: Keys = NO_KEYS):
        self.name, self.keys, self.spelling = name, keys, {}
        self._plans, self._left_out, self._notes, self._family = {}, {}, {}, None

    def frame(self, where: str, header: dict, columns: dict, **structure) -> Frame:
        """A frame.

        Args:
            where: file and frame, for messages.
            header: values by key in lower case: text, numbers or arrays.
            columns: [N,…] by name in lower case.
            structure: ``numbers``, ``positions``, ``cell``, ``pbc``, ``source`` and ``index`` of the frame; ``temperature``, ``group`` and ``weight``
                may be given, too, and are read from the header else.
        Raises:
            MetalffError: as ``plan`` and ``check_frame``; a value that is no number; labels that contradict each other.
        """
        if len(structure["numbers"]) == 1:  # the forces on a free atom are zero, and are often left out
            named = {self.keys.forces.lower()} if self.keys.forces else {key for key in columns if MEANINGS.get(key, " ")[0] == "forces"}
            columns = columns if named & set(columns) else columns | _lone(header, self.keys)
        for key in filter(units.declares, header):
            if not units.are_ours(key, str(header[key])):
                spelt = self.spelling.get(key, key)
                raise MetalffError(f"{where}: {spelt}={header[key]} in the header; convert the file to eV and Å, and their quotients")
        signature = (tuple(header), tuple(columns))
        if signature not in self._plans:
            try:
                self._plans[signature] = plan(*signature, self.keys, self.spelling)
            except MetalffError as error:
                raise MetalffError(f"{where}: {error}") from None
            self._left_out |= dict.fromkeys(self._plans[signature].left_out)
            if len(structure["numbers"]) > 1:
                self._one_family(where, self._plans[signature].keys)
        found = self._plans[signature]
        cell = structure["cell"]
        forces = columns[found.keys["forces"]]
        if len(forces) != len(structure["numbers"]) or np.ndim(forces) != 2 or np.shape(forces)[1] != 3:
            raise MetalffError(f"{where}: {found.keys['forces']} must have three numbers for each atom")
        energy = float(values(where, header, found.keys["energy"], 1)[0])
        stress = self._stress(where, header, found.keys, cell, structure["pbc"])
        for quantity, key, other in found.rivals:
            self._compare(where, header, columns, quantity, key, other, cell)
        if FREE in header and found.keys["energy"] != FREE:
            self._compare_free(where, header, energy, len(forces))
        for key, default in (("temperature", None), ("weight", 1.0)):
            if key not in structure:
                structure[key] = float(values(where, header, key, 1)[0]) if key in header else default
        if "config_weight" in header:
            structure["weight"] *= float(values(where, header, "config_weight", 1)[0])
        if "group" not in structure:
            structure["group"] = group_of(header)
        frame = Frame(energy=energy, forces=forces, stress=stress, **structure)
        return check_frame(frame, where)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the file, in sentences."""
        left, spelt = sorted(self._left_out), _Words(self.spelling)
        families = [key for key in left if key in MEANINGS]
        others = [spelt(key) for key in left if key not in MEANINGS]
        notes = [f"{self.name}: not understood and left out: {', '.join(others)}"] if others else []
        if families:
            options = ", ".join(f"--{quantity}-key" for quantity in dict.fromkeys(MEANINGS[key][0] for key in families))
            notes.append(
                f"{self.name}: left out, for the labels are those of another name: {', '.join(map(spelt, families))}; {options} would take them"
            )
        return (*notes, *self._notes.values())

    def _one_family(self, where, keys) -> None:
        """Labels of all frames must be of one family; a free atom may have another."""
        family = MEANINGS.get(keys["energy"], ("", keys["energy"]))[1]
        if self._family is None:
            self._family = family, keys["energy"], where.rpartition(": ")[2]
        elif family != self._family[0]:
            spelt = _Words(self.spelling)
            raise MetalffError(
                f"{where}: labels are {spelt(keys['energy'])} here, but {spelt(self._family[1])} in {self._family[2]}; keep frames of one of them"
            )

    def _stress(self, where, header, keys, cell, pbc):
        found = {name: self.tensor(where, header, keys[name], cell) for name in ("stress", "virial") if name in keys}
        if not found:
            return None
        if len(found) == 2 and not _alike("stress", found["stress"], found["virial"]):
            raise MetalffError(
                f"{where}: {self.spelling.get(keys['stress'], keys['stress'])} and {self.spelling.get(keys['virial'], keys['virial'])} contradict each other (the stress is −virial ÷ volume, in eV/Å³); choose with "
                "--stress-key or --virial-key"
            )
        stress = next(iter(found.values()))
        if not np.any(pbc):
            if np.any(np.nan_to_num(stress, nan=1.0)):
                raise MetalffError(f"{where}: a stress on atoms without periodic images; take {next(iter(keys[k] for k in found))} out, or give pbc")
            return None
        return stress

    def tensor(self, where, header, key, cell) -> np.ndarray:
        """[3,3] eV/Å³ in ASE's sign of a stress or virial in the header."""
        value = values(where, header, key, 9, 6)
        value = value[VOIGT] if value.size == 6 else value.reshape(3, 3)
        largest = np.abs(value).max()
        if key in self.keys.named.values():
            is_virial = self.keys.named.get("virial") == key
        else:
            is_virial = MEANINGS[key][0] == "virial"
        if is_virial:
            volume = abs(np.linalg.det(cell))
            if not volume:
                if not largest:
                    return np.zeros((3, 3))
                raise MetalffError(f"{where}: {key} is given, but the cell has no volume")
            value = -value / volume
        if np.abs(value - value.T).max() > max(ASYMMETRY * np.abs(value).max(), LEAST_ASYMMETRY):
            raise MetalffError(f"{where}: {key} is not symmetric; give xx xy xz yx yy yz zx zy zz, or xx yy zz yz xz xy")
        return value * self.keys.stress_factor if self.keys.stress_factor != 1.0 else value

    def _compare(self, where, header, columns, quantity, key, other, cell) -> None:
        if quantity == "forces":
            a, b = columns[key], columns[other]
        elif quantity == "energy":
            a, b = (values(where, header, k, 1) for k in (key, other))
        else:
            quantity = "stress"
            a, b = (self.tensor(where, header, k, cell) for k in (key, other))
        if np.shape(a) != np.shape(b) or not _alike(quantity, a, b):
            option, spelt = "--stress-key" if quantity == "stress" else "--energy-key and --forces-key", _Words(self.spelling)
            raise MetalffError(f"{where}: {spelt(key)} and {spelt(other)} are two sets of labels that disagree; choose with {option}")

    def _compare_free(self, where, header, energy, atoms) -> None:
        free = float(values(where, header, FREE, 1)[0])
        if abs(free - energy) > 1e-3 * atoms and FREE not in self._notes:
            self._notes[FREE] = (
                f"{self.name}: energy is read, but forces belong to free_energy, which differs by {1000 * (free - energy) / atoms:.3g} meV/atom in "
                f"{where.rpartition(': ')[2]}; --energy-key free_energy takes that"
            )


def _lone(header: dict, keys: Keys) -> dict:
    """Forces of one atom, in the family of its energy, or of the name that the user gives."""
    if keys.forces:
        return {keys.forces.lower(): np.zeros((1, 3))}
    names = [key.replace(QUANTITIES["energy"][MEANINGS[key][2]], "forces") for key in header if MEANINGS.get(key, " ")[0] == "energy"]
    return {name: np.zeros((1, 3)) for name in names}


def group_of(header: dict) -> str:
    """Kind of structure by ``group``, else ``config_type``; '' where that says nothing."""
    word = str(header.get("group", header.get("config_type", ""))).strip()
    return word if word.strip(".-_?") and word.lower() not in ("none", "default", "unknown") else ""


def _alike(quantity, a, b) -> bool:
    absolute, relative = AGREE[quantity]
    return bool(np.allclose(a, b, rtol=relative, atol=absolute))


def words_of(text: str) -> list[str]:
    """Words of a list such as ``[[1, 2], [3, 4]]`` or ``{1 2 3}``."""
    return text.translate(_BRACKETS).split()


_BRACKETS = str.maketrans("[](){},;", "        ")


def values(where: str, header: dict, key: str, *counts: int, name: str = "") -> np.ndarray:
    """The numbers of a header entry; their count must be one of ``counts``. ``name``: of the key in messages."""
    entry = header[key]
    try:
        found = np.array(words_of(entry) if isinstance(entry, str) else np.ravel(entry), float)
    except (ValueError, TypeError):
        raise MetalffError(f"{where}: {name or key} is not a finite number") from None
    if found.size not in counts:
        raise MetalffError(f"{where}: {name or key} must have {' or '.join(map(str, counts))} numbers, not {found.size}")
    return found


def with_factor(stress, keys: Keys):
    """A stress that a format of its own gives, times the factor that the user says."""
    return None if stress is None else stress * keys.stress_factor


def without_named(keys: Keys, name: str) -> None:
    """Refuse keys for a format that has names of its own.

    Raises:
        MetalffError: some are named.
    """
    if keys.named:
        raise MetalffError(f"{name}: the format names its labels itself; leave --{next(iter(keys.named))}-key out")
