"""Whether a structure leaves what a model was trained on: the guard of the ASE calculator, as that of pair_style mlff."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from metalff.artifact import Artifact
from metalff.errors import MetalffError

ACTIONS = ("warn", "stop", "ignore")

OVERLAP = 0.6
"""Part of the shortest distance in the training data below which an energy means nothing, as in ``engine/artifact.h``."""


@dataclass
class Seen:
    """How often and how far structures went in one way.

    Attributes:
        evaluations: in which it happened.
        atoms: summed over these.
        worst: the shortest distance (Å), the most or the fewest neighbours; None for pairs of elements.
    """

    evaluations: int = 0
    atoms: int = 0
    worst: float | None = None


@dataclass
class Guard:
    """Warns once of each kind of extrapolation and counts it, or raises.

    Args:
        artifact: its ``training`` has the limits; what it does not say is not guarded.
        action: ``warn``, ``stop`` or ``ignore``. Below ``OVERLAP`` times the shortest distance ``warn`` raises as well.
    Attributes:
        seen: what was found so far, by kind: ``distance``, ``crowded``, ``lonely``, ``pair``.
    """

    artifact: Artifact
    action: str
    seen: dict[str, Seen] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)

    def __post_init__(self):
        manifest = self.artifact.manifest
        training, of = manifest.training, {element: k for k, element in enumerate(manifest.elements)}
        self.shortest, self.most = training.shortest_distance, training.largest_coordination
        self.fewest = getattr(training, "smallest_coordination", None) or 0
        self.unseen = np.full((len(of), len(of)), bool(training.pairs))
        for a, b in training.pairs:
            if a in of and b in of:
                self.unseen[of[a], of[b]] = self.unseen[of[b], of[a]] = False

    def __deepcopy__(self, memo):
        return self  # a copy of the calculator does not warn again

    def check(self, centre, neighbour, edge_vec, types) -> None:
        """Look at one structure, before it is evaluated.

        Args:
            centre[E], neighbour[E], edge_vec[E,3]: Å, all edges within the model's cutoff.
            types: [N] indices into the model's elements.
        Raises:
            MetalffError: it extrapolates and ``stop`` was asked for, or two atoms overlap.
        """
        if self.action == "ignore":
            return
        name, r_max = self.artifact.path, self.artifact.manifest.r_max
        if self.shortest > 0:
            distance = np.sqrt(np.einsum("ij,ij->i", edge_vec, edge_vec))
            least = distance.min(initial=np.inf)
            if least < OVERLAP * self.shortest or least < self.shortest and self.action == "stop":
                raise MetalffError(
                    f"two atoms are {least:.3f} Å apart, but the shortest distance in the training data of '{name}' is {self.shortest:.3f} Å: "
                    'mend the structure, or use extrapolation="ignore"'
                )
            if least < self.shortest:
                atoms = len(np.unique(centre[distance < self.shortest]))
                worst = min([least, *self._worst("distance")])
                self._extrapolates(
                    "distance",
                    Seen(1, atoms, float(worst)),
                    f"two atoms are {least:.3f} Å apart, closer than any in the training data of '{name}' ({self.shortest:.3f} Å)",
                )
        neighbours = np.bincount(centre, minlength=len(types))
        if self.most > 0 and neighbours.max() > self.most:
            found = int(neighbours.max())
            self._stop(
                f"an atom has {found} neighbours within {r_max:g} Å, but no atom in the training data of '{name}' more than {self.most}: compare the "
                "density with that of the training data"
            )
            self._extrapolates(
                "crowded",
                Seen(1, int((neighbours > self.most).sum()), max([found, *self._worst("crowded")])),
                f"an atom has {found} neighbours within {r_max:g} Å, more than any in the training data of '{name}' ({self.most})",
            )
        if neighbours.min() < self.fewest:
            found = int(neighbours.min())
            self._stop(
                f"an atom has {found} neighbours within {r_max:g} Å, but no atom in the training data of '{name}' fewer than {self.fewest}: compare "
                "surfaces and density with those of the training data"
            )
            self._extrapolates(
                "lonely",
                Seen(1, int((neighbours < self.fewest).sum()), min([found, *self._worst("lonely")])),
                f"an atom has {found} neighbours within {r_max:g} Å, fewer than any in the training data of '{name}' ({self.fewest})",
            )
        present = np.unique(types)
        if self.unseen[np.ix_(present, present)].any():
            strange = np.flatnonzero(self.unseen[types[centre], types[neighbour]])
            if len(strange):
                elements = self.artifact.manifest.elements
                a, b = (elements[types[ends[strange[0]]]] for ends in (centre, neighbour))
                self._stop(
                    f"{a} and {b} are neighbours, but never within {r_max:g} Å of each other in the training data of '{name}': use a model that has "
                    "seen them together"
                )
                self._extrapolates(
                    "pair",
                    Seen(1, len(np.unique(centre[strange]))),
                    f"{a} and {b} are neighbours, but never within {r_max:g} Å of each other in the training data of '{name}'",
                )

    def _stop(self, sentence):
        if self.action == "stop":
            raise MetalffError(f'{sentence}, or use extrapolation="warn"')

    def _worst(self, kind) -> list[float]:
        """What was seen so far, or nothing."""
        worst = self.seen[kind].worst if kind in self.seen else None
        return [] if worst is None else [worst]

    def _extrapolates(self, kind, now, sentence):
        if kind not in self.warned:
            others = f", as {'is' if now.atoms == 1 else 'are'} {now.atoms} atom{'s' * (now.atoms != 1)} in all" if kind != "pair" else ""
            warnings.warn(f"{sentence}{others}: the model extrapolates, here and perhaps in later structures", stacklevel=4)
            self.warned.add(kind)
        before = self.seen.get(kind, Seen())
        self.seen[kind] = Seen(before.evaluations + 1, before.atoms + now.atoms, now.worst)
