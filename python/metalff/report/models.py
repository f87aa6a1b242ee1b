"""What one model is across metals: ``Cu/eam`` and ``Ag/eam`` are one column of a campaign, ``eam``."""

import re
from dataclasses import dataclass, field

CALLED = {"eam", "meam", "snap", "qsnap", "mtp", "nep", "mace", "ace", "pace"}
"""Names that are written in capitals."""

RANK = ("mlff", "universal", "qsnap", "snap", "eam", "meam")
"""Order of the kinds in tables and plots: the models first."""


@dataclass
class Model:
    """One column of a campaign; ``parts``: record of the potential of each element."""

    key: str
    kind: str
    parts: dict[str, dict] = field(default_factory=dict)

    @property
    def label(self) -> str:
        labels = {part.get("label") or self.key for part in self.parts.values()}
        return labels.pop() if len(labels) == 1 else spoken(self.key)


class Models:
    """Potentials by what they are called without their element; another potential of the same name and element gets a name with its hash."""

    def __init__(self):
        self.found: dict[str, Model] = {}

    def add(self, record: dict, element: str) -> str:
        """The key of a potential, by its record (see ``Potential.record``; that of ``PerElement`` has one for each element)."""
        part = record.get("parts", {}).get(element, record)
        key = short_name(record["name"], element)
        known = self.found.get(key)
        if known and element in known.parts and part.get("sha256", "") and known.parts[element].get("sha256", "") not in ("", part["sha256"]):
            key = f"{key} {part['sha256'][:6]}"
        model = self.found.setdefault(key, Model(key, part.get("kind", "")))
        if not model.parts.get(element, {}).get("sha256"):
            model.parts[element] = part
        return key

    def ordered(self) -> list[Model]:
        return sorted(self.found.values(), key=lambda model: RANK.index(model.kind) if model.kind in RANK else len(RANK))


def short_name(name: str, element: str) -> str:
    """``Cu/eam``, ``{element}/eam`` → ``eam``; ``Cu-mace.mlff`` → ``mace``; names without the element stay."""
    name = name.removesuffix(".mlff").replace("{element}", element)
    words = [word for word in re.split(r"[-_/ ]", name.rpartition("/")[2] if "/" in name and not name.startswith(f"{element}/") else name) if word]
    rest = [word for word in words if word != element]
    return "-".join(rest) if rest and len(rest) < len(words) else name


def spoken(key: str) -> str:
    """``eam`` → ``EAM``."""
    return key.upper() if key.lower() in CALLED else key
