"""One training of a study, and what it finds: errors on test data, with intervals, whole and per temperature."""

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from metalff.data import Dataset, join, read
from metalff.deploy import of_family
from metalff.errors import MetalffError
from metalff.train.configuration import FAMILIES, configuration
from metalff.train.learnt import beside, group_errors
from metalff.train.splits import refuse_same, trajectory_of
from metalff.train.training import prepare, train
from metalff.validate.metrics import STILL, bootstrap_indices, estimate

UNLIMITED = 1e7
"""Budget (s) of a training that its number of epochs ends, so that its result does not depend on the speed of the machine."""

VALID_FRACTION = 0.1
"""Of the training frames, to choose the epoch that is kept."""


WITHOUT_ZBL = {"nep": {"zbl": 0.0}, "mace": {"zbl": False}, "poly": {"zbl": 0.0}}
"""Unless the settings say so: a study asks what a model learns from its data, and earlier trials had no repulsion of nuclei."""

ADAM = {"nep": {"optimizer": "adam", "lr": 0.01, "batch_size": 4}}
"""What a key means that says nothing of them: trials of a NEP were recorded before the Kalman filter became its default."""


@dataclass(frozen=True)
class Trial:
    """What is trained on what, and tested on what.

    Attributes:
        family: of the model, as in ``metalff train``.
        settings: keys of the family's configuration; ``budget_s`` only where time is what is studied.
        train, test: what ``data.read`` takes; several are joined.
        seed: of weights, batches and validation frames.
        frames: of the training data, evenly spaced; None for all.
        labels: what the study calls it; not part of the key.
    """

    family: str
    settings: dict
    train: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 1
    frames: int | None = None
    labels: dict = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Hash of all that the result depends on, the contents of the data included."""
        content = {
            "family": self.family,
            "settings": dict(sorted(self.told.items())),
            "train": fingerprint(self.train),
            "test": fingerprint(self.test),
            "seed": self.seed,
            "frames": self.frames,
            "valid_fraction": VALID_FRACTION,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def told(self) -> dict:
        """The settings, with those of ``ADAM`` where they, or today's defaults, are others, and without them where they are the same."""
        now = {key: FAMILIES[self.family].schema.model_fields[key].default for key in ADAM.get(self.family, {})}
        return without_adam(self.family, now | self.settings)

    @property
    def title(self) -> str:
        """For people: the labels, the family, frames and seed."""
        words = [value for value in self.labels.values() if isinstance(value, str)]
        words += [f"{key} = {value:g}" for key, value in self.labels.items() if not isinstance(value, str)] + [self.family]
        words += [f"{self.frames} frames"] * (self.frames is not None) + [f"seed {self.seed}"]
        return ", ".join(words)


def without_adam(family: str, settings: dict) -> dict:
    """Settings as a key has them: without those that are in ``ADAM``."""
    return {key: value for key, value in settings.items() if key not in ADAM.get(family, {}) or value != ADAM[family][key]}


def fingerprint(specs: tuple[str, ...]) -> str:
    """Hash of the sets; remembered, since many trials share them."""
    return _fingerprint(specs, _stamps(specs))


def gathered(specs: tuple[str, ...]) -> Dataset:
    """The sets as one; remembered as long as their files are as they were."""
    return _gathered(specs, _stamps(specs))


@lru_cache(maxsize=None)
def _fingerprint(specs: tuple[str, ...], stamps) -> str:
    return _gathered(specs, stamps).sha256


@lru_cache(maxsize=16)
def _gathered(specs: tuple[str, ...], stamps) -> Dataset:
    return join([read(spec) for spec in specs])


def _stamps(specs: tuple[str, ...]) -> tuple:
    """Sizes and times of those that are files, or folders of files."""
    found = []
    for path in map(Path, specs):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                status = file.stat()
                found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def check_test(train: Dataset, test: Dataset) -> None:
    """Test data must have the elements of the training data, and none of its frames.

    Raises:
        MetalffError: names what is wrong.
    """
    if strangers := [symbol for symbol in test.elements if symbol not in train.elements]:
        raise MetalffError(f"the test data {test.name} contain {' '.join(strangers)}, which the training data {train.name} do not")
    refuse_same(train, test, "test")


def thinned(dataset: Dataset, count: int | None) -> Dataset:
    """``count`` evenly spaced frames.

    Raises:
        MetalffError: the set has fewer.
    """
    if count is None:
        return dataset
    if count > len(dataset):
        raise MetalffError(f"{dataset.name} has {len(dataset)} frames, fewer than the {count} asked for")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    return replace(dataset, name=f"{dataset.name}[{count} evenly spaced]", frames=tuple(dataset.frames[k] for k in chosen))


def run(trial: Trial, work: Path, progress=lambda message: None, keep: Path | None = None) -> dict:
    """Train and test; an interrupted training goes on. The folder of the training is removed at the end.

    Args:
        work: where the folder of the training is.
        progress: called with a ``train.process.Message`` after each epoch.
        keep: ``.mlff`` file that the model is deployed to; None for none.
    Returns:
        what ``row`` gives.
    Raises:
        MetalffError: the data do not fit the settings, or the training failed.
        KeyboardInterrupt: the training has saved its state.
    """
    data, test = thinned(gathered(trial.train), trial.frames), gathered(trial.test)
    values = {"elements": data.elements, "threads": 1} | WITHOUT_ZBL.get(trial.family, {}) | trial.settings | {"seed": trial.seed}
    if "budget_s" not in getattr(FAMILIES[trial.family].schema, "UNUSED", ()):
        values.setdefault("budget_s", UNLIMITED)
    out = work / trial.key
    # evenly spaced frames of a trajectory are no neighbours: each can be held out by itself
    prepare(trial.family, configuration(trial.family, values), data, out, valid_fraction=VALID_FRACTION, block=1, test=test)
    description = train(out, progress)
    found = row(trial, description, test, out / "test.csv")
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        of_family(trial.family)(out, keep, accept_errors=True, say=lambda line: None)
    shutil.rmtree(out)
    return found


def row(trial: Trial, description: dict, test: Dataset, errors: Path) -> dict:
    """The result of a trial.

    Args:
        description: content of ``training.json``.
        errors: ``test.csv`` of the training.
    Returns:
        ``family``, ``settings``, ``seed``, ``frames`` (trained and validated on), ``epochs``, ``steps``, ``seconds``, ``functions`` (of a polynomial), ``labels``, hashes and names of
        the data, ``versions`` and ``test``: for ``all`` and for each temperature (as text, K), ``frames``, ``force_rms`` (eV/Å, of the labels),
        ``force_rmse`` (eV/Å) and ``normalised`` (their ratio) as [value, low, high], and ``energy_rmse`` (eV/atom); ``groups``: what
        ``validate.groups`` says of each group of the test data.
    """
    with errors.open(newline="") as stream:
        columns = {key: np.array(values, float) for key, *values in zip(*csv.reader(stream))}
    temperatures = np.array([np.nan if frame.temperature is None else frame.temperature for frame in test])
    names = {trajectory: k for k, trajectory in enumerate(dict.fromkeys(map(trajectory_of, test)))}
    trajectories = np.array([names[trajectory_of(frame)] for frame in test])
    parts = {"all": np.ones(len(test), bool)}
    parts |= {f"{t:g}": temperatures == t for t in np.unique(temperatures[np.isfinite(temperatures)])}
    return {
        "labels": trial.labels,
        "family": trial.family,
        "settings": trial.settings | trial.told,
        "seed": trial.seed,
        "frames": description["frames"] + description["frames_valid"],
        "epochs": description["epochs"],
        "steps": description["steps"],
        "seconds": round(description["elapsed_s"], 2),
        **({"functions": description["functions"]} if "functions" in description else {}),
        "train": {"data": list(trial.train), "sha256": fingerprint(trial.train)},
        "test_data": {"data": list(trial.test), "sha256": test.sha256},
        "validation": description["errors"]["validation"],
        "test": {name: errors_of({key: v[chosen] for key, v in columns.items()}, trajectories[chosen]) for name, chosen in parts.items()},
        "groups": beside(*group_errors(test, errors)) if any(frame.group for frame in test) else {},
        "versions": description["versions"],
    }


def errors_of(columns: dict[str, np.ndarray], trajectories: np.ndarray) -> dict:
    """Errors over one selection of test frames; ``columns`` are those of ``test.csv``."""
    components = 3 * columns["atoms"]
    indices = bootstrap_indices(trajectories)
    square, reference = columns["force_square_error"], columns["force_square"]

    def interval(denominator):
        found = estimate(square, denominator, indices, root=True)
        return [found.value, found.low, found.high]

    return {
        "frames": len(components),
        "force_rms": float(np.sqrt(reference.sum() / components.sum())),
        "force_rmse": interval(components),
        "normalised": interval(reference) if reference.sum() >= STILL**2 * components.sum() else None,
        "energy_rmse": float(np.sqrt(np.mean(columns["energy_error"] ** 2))),
    }
