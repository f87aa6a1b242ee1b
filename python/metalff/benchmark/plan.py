"""What to compare: models, data sets and settings → tasks, each with a key by which its result is found again."""

from collections import Counter
from dataclasses import dataclass

from ase.data import chemical_symbols

from metalff.benchmark.crystals import crystal, melting_point
from metalff.data import Dataset, load, names, splits
from metalff.errors import MetalffError, nearest
from metalff.potentials import Potential, resolve

PARTS = ("speed", "accuracy", "stability")
"""In the order that they run: what takes least comes first, and speed tells how long the others will take."""

FRACTIONS = (0.5, 1.0, 1.2)
"""Temperatures of the stability runs in units of the melting point."""


@dataclass(frozen=True)
class Settings:
    """What decides the numbers beside models and data.

    Attributes:
        ps: length of a stability run.
        atoms: of the timed crystal, about.
        seed: of velocities and thermostat.
    """

    ps: float = 20.0
    atoms: int = 500
    seed: int = 12345


@dataclass(frozen=True, eq=False)
class Model:
    """A force field with all elements that it has.

    Attributes:
        spec: what the user gave.
        potential: for all its elements.
        family: ``mace``, ``nep``, ``eam``, …
        training: the manifest's record of the training; empty where there is none.
    """

    spec: str
    potential: Potential
    family: str
    training: dict

    @property
    def name(self) -> str:
        return self.potential.name.removesuffix(".mlff")

    @property
    def in_lammps(self) -> bool:
        """Whether it has a pair style; otherwise only its accuracy is measured."""
        return bool(self.potential.pair_style)

    def covers(self, dataset: Dataset) -> bool:
        return set(dataset.elements) <= set(self.potential.elements)

    def record(self) -> dict:
        """JSON types only; ``size`` in bytes, ``training`` as far as the file tells."""
        told = {key: self.training[key] for key in ("data", "frames", "epochs", "steps", "elapsed_s") if self.training.get(key)}
        threads = self.training.get("config", {}).get("training", {}).get("threads")
        return {
            **self.potential.record(),
            "family": self.family,
            "elements": list(self.potential.elements),
            "size": sum(file.stat().st_size for file in self.potential.files),
            "training": told | ({"threads": threads} if threads else {}),
        }


@dataclass(frozen=True)
class Task:
    """One thing to measure; ``dataset`` for accuracy, ``element`` for speed and stability, ``fraction`` of Tm for stability."""

    part: str
    model: Model
    dataset: Dataset | None = None
    element: str = ""
    fraction: float = 0.0

    @property
    def title(self) -> str:
        where = self.dataset.name if self.dataset else f"{self.element} crystal"
        return f"{self.part} of {self.model.name}, {where}" + (f" at {self.fraction:g} Tm" if self.fraction else "")

    def key(self, machine: str) -> str:
        """Hashes of all that decides the result beside the settings; speed belongs to a machine."""
        words = [self.part, self.model.potential.sha256[:16]]
        words += [self.dataset.sha256[:16]] if self.dataset else [self.element]
        words += [f"{self.fraction:g}"] if self.fraction else []
        words += [machine] if self.part == "speed" else []
        return " ".join(words)


def models(specs) -> list[Model]:
    """The force fields that the user names.

    Raises:
        MetalffError: one is unknown or missing, or two have the same name.
    """
    found = [_model(str(spec)) for spec in specs]
    if name := _twice(model.name for model in found):
        raise MetalffError(f"two of the models are called {name}; give each once, and files under different names")
    return found


def _twice(names) -> str:
    """A name that comes more than once, or ''."""
    return next((name for name, count in Counter(names).items() if count > 1), "")


def _model(spec: str) -> Model:
    from metalff.artifact import read_manifest

    potential = resolve(spec)
    if potential.kind != "mlff":
        return Model(spec, potential, potential.kind, {})
    manifest = read_manifest(potential.files[0])
    return Model(spec, potential, manifest.family, manifest.training.model_dump())


def crystal_of(dataset: Dataset) -> str:
    """The element whose crystal stands for a data set in speed and stability: the most frequent one."""
    counts = Counter(int(z) for frame in dataset.frames for z in frame.numbers)
    return chemical_symbols[max(counts, key=counts.get)]


def tasks(chosen: list[Model], datasets: list[Dataset], parts) -> list[Task]:
    """Everything to measure, in order; a part that the same crystal shares between data sets comes once.

    Raises:
        MetalffError: an unknown part, a data set given twice, without frames or without any model that covers it, or an element
            whose stability cannot be measured.
    """
    if not parts:
        raise MetalffError(f"--parts names no part; parts: {', '.join(PARTS)}")
    for part in parts:
        if part not in PARTS:
            raise MetalffError(f"there is no part {part}{nearest(part, PARTS)}; parts: {', '.join(PARTS)}")
    if name := _twice(dataset.name for dataset in datasets):
        raise MetalffError(f"two of the data sets are called {name}; give each once, and files under different names")
    found = {}
    for dataset in datasets:
        if not len(dataset):
            raise MetalffError(f"{dataset.name} has no frames to compare with")
        covering = [model for model in chosen if model.covers(dataset)]
        if not covering:
            raise MetalffError(f"no model has all elements of {dataset.name} ({' '.join(dataset.elements)}); add one, or leave the data set out")
        element = crystal_of(dataset)
        if "stability" in parts:
            melting_point(element), crystal(element, 1)
        for model in covering:
            found[Task("accuracy", model, dataset)] = None
            if not model.in_lammps:
                continue
            found[Task("speed", model, element=element)] = None
            for fraction in FRACTIONS:
                found[Task("stability", model, element=element, fraction=fraction)] = None
    return sorted((task for task in found if task.part in parts), key=lambda task: PARTS.index(task.part))


def seen_in_training(model: Model, dataset: Dataset) -> int | None:
    """Frames of the data set that are in the training data of the model; None where it is not known what these were."""
    source = model.training.get("data") or ""
    if model.training.get("data_sha256") == dataset.sha256:
        return len(dataset)
    name, _, split = source.partition(":")
    if name not in names() or split not in ("", *splits(name)):
        return None
    known = {frame.positions.tobytes() for frame in load(name, split or None)}
    return sum(frame.positions.tobytes() in known for frame in dataset)
