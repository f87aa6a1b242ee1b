"""Train a MACE model: configuration and data into a directory, the worker into its environment."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from metalff import environments
from metalff.data import Dataset, hold_out, write_extxyz
from metalff.errors import MetalffError, nearest
from metalff.paths import atomic_write
from metalff.train.curve import write_curve
from metalff.train.description import describe_training
from metalff.train.process import Process, claim

WORKER = Path(__file__).with_name("mace_worker.py")

FREE_ATOM_LIMIT = 15.0
"""eV per atom. Energies relative to free atoms, as VASP prints them, are smaller in magnitude than this; total
energies of an all-electron or other pseudopotential code are larger."""

STRESS_WEIGHT = 10.0
"""Weight of the squared virial per atom (eV²) where the data have stress and the user says nothing."""

BLOCK = 4
"""Consecutive frames that stay together when some are held out."""

SIZES = {
    "small": {},
    "medium": {"r_max": 5.0, "channels": 32, "l_max": 3},
    "large": {"r_max": 6.0, "channels": 64, "max_L": 2, "l_max": 3},
}
"""What each size changes in the defaults; ``small`` is the bundled model."""

UNCLAIMED = ("train.extxyz", "valid.extxyz")
"""Files that are written before ``config.json`` and may be replaced while that is missing, as hidden ones may."""

EXPECTED = {
    "e0": "auto, zero, average or an energy in eV per element",
    "stress_weight": "auto or a number that is not negative",
    "energy_weight": "two positive numbers, for the beginning and the end",
}
"""What keys of several types take, for error messages."""

SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


class MaceTraining(BaseModel):
    """Architecture and training of a MACE model; the defaults are those of the bundled model.

    Names of the architecture follow Batatia et al., NeurIPS 35, 11423 (2022).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    elements: Annotated[list[str], Field(min_length=1)]
    """Chemical symbols, in the order of the model's types."""
    r_max: Annotated[float, Field(gt=0, le=20)] = 4.0
    """Cutoff of one layer, Å."""
    channels: PositiveInt = 16
    """Copies of every irreducible representation in the node features."""
    max_L: Annotated[int, Field(ge=0, le=4)] = 1
    """Largest angular momentum of the node features."""
    l_max: Annotated[int, Field(ge=0, le=6)] = 2
    """Largest angular momentum of the spherical harmonics of the edges."""
    correlation: Annotated[int, Field(ge=1, le=4)] = 3
    """Body order − 1 of one layer."""
    num_layers: Annotated[int, Field(ge=1, le=5)] = 2
    """Message-passing layers; the model sees as far as num_layers × r_max."""
    num_bessel: PositiveInt = 8
    """Radial Bessel functions."""
    num_polynomial_cutoff: Annotated[int, Field(ge=2)] = 5
    """Exponent p of the polynomial cutoff."""
    readout_channels: PositiveInt = 16
    """Width of the last, nonlinear readout."""
    radial_mlp: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 64, 64]
    """Widths of the hidden layers of the radial network."""
    zbl: bool = False
    """Add the Ziegler–Biersack–Littmark repulsion of close nuclei."""
    e0: Literal["auto", "zero", "average"] | dict[str, float] = "auto"
    """Energy of a free atom of each element, eV; ``average``: least-squares energy per atom of the training data;
    ``auto``: zero where the mean energy per atom is below ``FREE_ATOM_LIMIT``, else ``average``."""
    precision: Literal["float32", "float64"] = "float32"
    """Of the arithmetic in training; the deployed model holds both."""
    seed: NonNegativeInt = 1
    """Of the initial weights, the batches and the held-out blocks."""
    lr: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Peak learning rate of Adam; falls along a cosine over the budget."""
    weight_decay: NonNegativeFloat = 5e-7
    batch_size: PositiveInt = 4
    """Frames per step."""
    budget_s: PositiveFloat = 4200.0
    """Time spent training, s; a resumed run goes on with what is left."""
    max_epochs: NonNegativeInt = 0
    """End after so many epochs if the budget lasts longer; 0: no limit."""
    warmup_steps: PositiveInt = 50
    """Steps in which the learning rate rises to ``lr``."""
    energy_weight: tuple[PositiveFloat, PositiveFloat] = (30.0, 100.0)
    """Weight of the squared energy per atom (eV²) against the squared forces (eV²/Å²), at the beginning and the end."""
    stress_weight: Literal["auto"] | NonNegativeFloat = "auto"
    """Weight of the squared virial per atom (eV²); ``auto``: ``STRESS_WEIGHT`` where the data have stress, else 0."""
    clip_grad: PositiveFloat = 100.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay per step of the averaged weights, which are the ones kept."""
    energy_score: NonNegativeFloat = 1.0
    """The epoch kept has the lowest force RMSE (eV/Å) + energy_score × energy RMSE (eV/atom) on the validation part."""
    threads: PositiveInt = 1

    @field_validator("elements")
    @classmethod
    def _are_elements(cls, symbols):
        for symbol in symbols:
            if symbol not in atomic_numbers or symbol == "X":
                raise ValueError(f"{symbol} is not a chemical symbol{nearest(symbol, set(atomic_numbers) - {'X'})}")
        if len(set(symbols)) < len(symbols):
            raise ValueError("an element is listed twice")
        return symbols


def configuration(values: dict, size: str = "small") -> MaceTraining:
    """A checked configuration.

    Args:
        values: names of ``MaceTraining``; they win over what ``size`` sets.
        size: one of ``SIZES``.
    Raises:
        MetalffError: unknown size or key (with the nearest valid name), or a value out of range.
    """
    if size not in SIZES:
        raise MetalffError(f"there is no size {size}{nearest(size, SIZES)}; choose {', '.join(SIZES)}")
    try:
        config = MaceTraining.model_validate(SIZES[size] | values)
    except ValidationError as error:
        raise MetalffError(f"training configuration: {_sentence(error.errors())}") from None
    if config.max_L > config.l_max:
        raise MetalffError(f"training configuration: max_L {config.max_L} must not exceed l_max {config.l_max}")
    if isinstance(config.e0, dict) and set(config.e0) != set(config.elements):
        raise MetalffError(f"training configuration: e0 must give one energy for each of {' '.join(config.elements)}")
    return config


def _sentence(errors) -> str:
    """One sentence about the worst error; a misspelt key comes before the one that it leaves out."""
    error = min(errors, key=lambda entry: entry["type"] != "extra_forbidden")
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key}{nearest(key, MaceTraining.model_fields)}"
    if error["type"] == "missing" and len(error["loc"]) == 1:
        return f"the key {key} is missing"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if key in EXPECTED:
        return f"{key} must be {EXPECTED[key]}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def seconds(text: str) -> float:
    """A duration such as ``90s``, ``70min``, ``1.5h``, ``2h30m`` in seconds.

    Raises:
        MetalffError: not a duration, or not longer than zero.
    """
    parts = re.findall(r"([\d.]+)\s*(min|[smhd])", text)
    if "".join(f"{n}{unit}" for n, unit in parts) == re.sub(r"\s", "", text) != "":
        try:
            total = sum(float(n) * SECONDS[unit] for n, unit in parts)
        except ValueError:
            total = 0.0
        if total > 0:
            return total
    raise MetalffError(f"{text!r} is not a duration; give one such as 90s, 70min, 1.5h or 2h30m")


def zero_of_energy(config: MaceTraining, dataset: Dataset) -> list[float] | str:
    """E0 per element in eV, or ``"average"`` for the worker to fit; see ``MaceTraining.e0``."""
    if isinstance(config.e0, dict):
        return [config.e0[symbol] for symbol in config.elements]
    mean = np.mean([frame.energy / len(frame) for frame in dataset])
    if config.e0 == "average" or (config.e0 == "auto" and abs(mean) >= FREE_ATOM_LIMIT):
        return "average"
    return [0.0] * len(config.elements)


def check_data(config: MaceTraining, dataset: Dataset) -> None:
    """Every element of the data must be one of the model's."""
    for symbol in dataset.elements:
        if symbol not in config.elements:
            raise MetalffError(
                f"{dataset.name} contains {symbol}, which is not among the elements {' '.join(config.elements)}; add it"
            )


def held_out(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Hold out blocks of consecutive frames from every group of frames that can spare one.

    Drawn from all frames alike, a small part may be all perfect crystals, whose forces vanish, and would choose the
    wrong epoch. A group spares a block when that is at most a quarter of it; where none does, all frames count as one
    group.

    Returns:
        (training part, validation part), both in the order of ``dataset``.
    Raises:
        MetalffError: ``fraction`` is not between 0 and 1, or there are too few frames for two parts.
    """
    groups = [tuple(f for f in dataset if f.group == group) for group in sorted({f.group for f in dataset})]
    groups = [frames for frames in groups if len(frames) >= 4 * BLOCK] or [dataset.frames]
    parts = [hold_out(replace(dataset, frames=frames), fraction, seed, BLOCK)[1] for frames in groups]
    chosen = {id(frame) for part in parts for frame in part}
    train, valid = (tuple(frame for frame in dataset if (id(frame) in chosen) is wanted) for wanted in (False, True))
    return (
        replace(dataset, name=f"{dataset.name}[fit]", frames=train),
        replace(dataset, name=f"{dataset.name}[held out]", frames=valid),
    )


def prepare(
    config: MaceTraining, dataset: Dataset, out: Path, valid: Dataset | None = None, valid_fraction: float = 0.05
) -> dict:
    """Put the data and the worker's configuration into ``out``, or find that the same training was begun there.

    Without ``valid`` a part of ``dataset`` is held out (see ``held_out``). Files: ``train.extxyz``,
    ``valid.extxyz``, and last ``config.json``: the keys of ``MaceTraining`` with ``e0`` and ``stress_weight`` resolved,
    ``train_file``, ``valid_file`` and ``out`` relative to the directory, and ``data``, which names source and hashes.

    Returns:
        the worker's configuration.
    Raises:
        MetalffError: elements do not match the data, too few frames, or ``out`` holds something else.
    """
    check_data(config, dataset)
    for symbol in config.elements:
        if symbol not in dataset.elements:
            raise MetalffError(f"no frame of {dataset.name} contains {symbol}; remove it from the elements or add data")
    if valid is None:
        train, valid = held_out(dataset, valid_fraction, config.seed)
    else:
        check_data(config, valid)
        if valid.sha256 == dataset.sha256:
            raise MetalffError(f"the validation data {valid.name} are the training data; leave --valid-data out")
        train = dataset
    stress_weight = config.stress_weight
    if stress_weight == "auto":
        stress_weight = STRESS_WEIGHT if any(frame.stress is not None for frame in train) else 0.0
    written = config.model_dump(mode="json") | {
        "e0": zero_of_energy(config, train),
        "stress_weight": stress_weight,
        "train_file": "train.extxyz",
        "valid_file": "valid.extxyz",
        "out": ".",
        "data": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "citation": dataset.citation,
            "licence": dataset.licence,
            "train_sha256": train.sha256,
            "valid_name": valid.name,
            "valid_sha256": valid.sha256,
        },
    }
    if not begun(out, written):
        out.mkdir(parents=True, exist_ok=True)
        write_extxyz(train.frames, out / "train.extxyz")
        write_extxyz(valid.frames, out / "valid.extxyz")
    with atomic_write(out / "config.json") as stream:
        json.dump(written, stream, indent=1)
    return written


def begun(out: Path, config: dict) -> bool:
    """Whether ``out`` holds this very training; only the number of threads may differ.

    Raises:
        MetalffError: it holds another training, or other files.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise MetalffError(f"{out} is not a directory; choose another --out")
    if all(path.name in UNCLAIMED or path.name.startswith(".") for path in out.iterdir()):
        return False
    try:
        before = json.loads((out / "config.json").read_text("utf-8"))
        different = [key for key in config | before if key != "threads" and before.get(key) != config.get(key)]
    except (OSError, ValueError, AttributeError, TypeError):
        raise MetalffError(f"{out} is not empty and holds no training; choose another --out") from None
    if different:
        raise MetalffError(f"{out} holds another training (other {', '.join(different)}); choose another --out")
    return True


def train(out: Path, progress=lambda message: None) -> dict:
    """Run or continue the training that was prepared in ``out``; returns the content of ``training.json``.

    Leaves ``mace.model`` (best epoch, mace's own format), ``result.json``, ``history.csv``, ``history.png``,
    ``training.json`` and ``train.log``. A training that has ended is only described again.

    Args:
        progress: called with a ``Message`` after each epoch.
    Raises:
        MetalffError: no environment, another process trains in ``out``, or the worker failed.
        KeyboardInterrupt: the worker has saved its state and ended.
    """
    with claim(out) as lock:
        if not (out / "result.json").exists():
            command = environments.command("mace", WORKER, "config.json")
            Process(command, out, lock).run(progress)
        if not (out / "mace.model").exists():
            raise MetalffError(f"the training in {out} found no finite model; use a lower learning rate (--lr)")
        description = describe_training(out)
        with atomic_write(out / "training.json") as stream:
            json.dump(description, stream, indent=1)
        write_curve(out / "history.csv", out / "history.png")
    return description
