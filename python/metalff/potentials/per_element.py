"""A potential for each metal under one name, ``{element}/eam`` or ``models/{element}-nep.mlff``: what a set of many metals is compared with."""

import hashlib
from dataclasses import dataclass

from ase.calculators.calculator import Calculator, all_changes

from metalff.errors import MetalffError
from metalff.potentials.potential import Potential
from metalff.potentials.registry import resolve

FIELD = "{element}"


@dataclass(frozen=True)
class PerElement:
    """Potentials by element, with what ``validate`` asks of one ``Potential``.

    Attributes:
        name: the template.
        parts: the potential of each element.
    """

    name: str
    parts: dict[str, Potential]

    @property
    def kind(self) -> str:
        kinds = {part.kind for part in self.parts.values()}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def label(self) -> str:
        return self.name.rpartition("/")[2].removesuffix(".mlff").replace(FIELD, "").strip("-_ ") + ", one per element"

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(part.sha256 for part in self.parts.values()).encode()).hexdigest()

    def record(self) -> dict:
        """As ``Potential.record``; what differs between the parts is in ``parts``."""
        files = [name for part in self.parts.values() for name in part.record()["files"]]
        own = {"name": self.name, "label": self.label, "kind": self.kind, "files": files, "sha256": self.sha256}
        return own | {"citation": "", "doi": "", "licence": "", "parts": {symbol: part.record() for symbol, part in self.parts.items()}}

    def calculator(self):
        return PerElementCalculator(self.parts)


class PerElementCalculator(Calculator):
    """ASE calculator that takes the potential of the element in the structure; the one used last stays open.

    Raises:
        MetalffError: the structure has several elements, or one without a potential.
    """

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, parts: dict[str, Potential]):
        super().__init__()
        self.parts, self.symbol, self.inner = parts, None, None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        symbols = sorted(set(self.atoms.symbols))
        if len(symbols) > 1 or symbols[0] not in self.parts:
            raise MetalffError(f"there is one potential for each of {' '.join(self.parts)}, and the structure has {' '.join(symbols)}")
        if symbols[0] != self.symbol:
            self.close()
            self.symbol, self.inner = symbols[0], self.parts[symbols[0]].calculator()
        copy = self.atoms.copy()
        copy.calc = self.inner
        found = {"energy": copy.get_potential_energy, "forces": copy.get_forces, "stress": copy.get_stress}
        wanted = {"energy", *properties} & set(found)
        self.results = {name: found[name]() for name in found if name in wanted}

    def close(self) -> None:
        """End the potential that is open."""
        if hasattr(self.inner, "close"):
            self.inner.close()
        self.symbol = self.inner = None


def per_element(template: str, elements) -> PerElement:
    """One potential for each element.

    Args:
        template: with ``{element}`` in it.
    Raises:
        MetalffError: an element has none; names all such.
    """
    parts, missing = {}, {}
    for symbol in elements:
        try:
            parts[symbol] = resolve(template.replace(FIELD, symbol), [symbol])
        except MetalffError as error:
            missing[symbol] = error
    if missing:
        some = "" if not parts else f"; for the others, select them: --data 'SET[element={'|'.join(parts)}]'"
        raise MetalffError(f"{template}: nothing for {' '.join(missing)} ({next(iter(missing.values()))}){some}")
    return PerElement(template, parts)


def for_elements(specs, elements) -> list[Potential | PerElement]:
    """The potentials that are compared on structures of these elements, each as ``resolve`` or, with ``{element}`` in it, ``per_element`` gives it.

    Args:
        specs: names, files or templates; a ``Potential`` is taken as it is.
    Raises:
        MetalffError: as these, there is none, one of a ``Potential`` lacks an element, or two have the same name.
    """
    chosen = [_chosen(spec, elements) for spec in specs]
    if not chosen:
        raise MetalffError("give a potential, such as Cu/eam or a .mlff file")
    if len({potential.name for potential in chosen}) < len(chosen):
        raise MetalffError("two of the potentials have the same name; give each once, and files under different names")
    return chosen


def _chosen(spec, elements) -> Potential | PerElement:
    if isinstance(spec, Potential):
        if missing := [symbol for symbol in elements if symbol not in spec.elements]:
            raise MetalffError(f"{spec.name} has no parameters for {' '.join(missing)}; it is for {' '.join(spec.elements)}")
        return spec
    return per_element(str(spec), elements) if FIELD in str(spec) else resolve(spec, elements)
