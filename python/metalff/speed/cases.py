"""What to measure: models × engines × precisions × sizes × ranks, and the peers."""

from dataclasses import dataclass
from pathlib import Path

from metalff.artifact import read_manifest
from metalff.errors import MetalffError
from metalff.speed.lammps import cells_of, lattice

PEERS = {
    "mace": {"MACECalculator": ("double", "single"), "symmetrix-xl": ("double", "single")},
    "nep": {"NEP_CPU": ("double",)},
}
"""What else runs a family's models, and in which precisions."""


@dataclass(frozen=True)
class Case:
    """One timing. ``weak``: the crystal grows with the ranks."""

    model: Path
    engine: str  # "native", "torch", or a peer
    precision: str  # "double" or "single"
    atoms: int  # about so many, per rank where weak
    ranks: int = 1
    weak: bool = False

    @property
    def name(self) -> str:
        return f"{self.model.stem} {self.engine} {self.precision}"

    @property
    def key(self) -> str:
        """What tells it from others in a file of results."""
        return f"{self.name}, {self.atoms} atoms, {self.ranks} rank(s)" + (" weak" if self.weak else "")

    @property
    def peer(self) -> bool:
        return self.engine not in ("native", "torch")

    def crystal(self) -> tuple[str, tuple[int, int, int]]:
        """Element and cells."""
        element = read_manifest(self.model).elements[0]
        return element, cells_of(self.atoms, lattice(element)[1], self.ranks if self.weak else 1)


def plan(models, sizes, ranks, engines, precisions, peers=()) -> list[Case]:
    """All cases, in the order to measure them: what is compared stands side by side.

    Every engine that a model has a payload for; several ranks on the largest size (strong scaling) and, with as many times the
    atoms, on the smallest (weak scaling).

    Raises:
        MetalffError: no model has a payload for any of the engines.
    """
    cases = []
    for model in map(Path, models):
        manifest = read_manifest(model)
        covered = [engine for engine in engines if _covers(manifest, engine)]
        if not covered:
            raise MetalffError(f"'{model}' has no payload for engine {' or '.join(engines)}: choose another, or deploy it again")
        kinds = [(engine, precision) for precision in precisions for engine in covered]
        own = set(PEERS.get(manifest.family, {})) & set(peers)
        kinds += [(p, precision) for precision in precisions for p in peers if p in own and precision in PEERS[manifest.family][p]]
        for atoms in sizes:
            cases += [Case(model, *kind, atoms) for kind in kinds]
        for n in ranks:
            if n > 1:
                own = [kind for kind in kinds if kind[0] in ("native", "torch")]
                cases += [Case(model, *kind, max(sizes), n) for kind in own]
                cases += [Case(model, *kind, min(sizes), n, weak=True) for kind in own]
    return list(dict.fromkeys(cases))


def _covers(manifest, engine: str) -> bool:
    return any(name.startswith("native/" if engine == "native" else "torch/") for name in manifest.payloads)
