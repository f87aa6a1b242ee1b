"""Train a model: configuration and data into a directory, the worker into its environment."""

import json
import sys
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from metalff import environments
from metalff.data import Dataset, write_extxyz
from metalff.data.outliers import energies_above_line, hints, limited
from metalff.errors import MetalffError, need_torch
from metalff.paths import atomic_write
from metalff.train.configuration import FAMILIES, Training
from metalff.train.curve import write_curve, write_sizes
from metalff.train.description import describe_training
from metalff.train.free_atoms import SAME, taken_out
from metalff.train.free_atoms import sentence as free_atoms_sentence
from metalff.train.learnt import pressure_sentence
from metalff.train.process import Process, claim
from metalff.train.splits import BLOCK, Fold, cut, held_out, refuse_same
from metalff.train.weights import weighted

FREE_ATOM_LIMIT = 15.0
"""eV per atom. Energies relative to free atoms, as VASP prints them, are smaller in magnitude than this; total
energies of an all-electron or other pseudopotential code are larger."""

STRESS_WEIGHT = 10.0
"""Weight of the squared virial per atom (eV²) where the data have stress and the user says nothing."""

UNCLAIMED = ("train.extxyz", "valid.extxyz", "test.extxyz")
"""Files that are written before ``config.json`` and may be replaced while that is missing, as hidden ones may."""


def zero_of_energy(config: Training, dataset: Dataset, free: dict[str, float] | None = None) -> list[float] | str:
    """E0 per element in eV, or ``"average"`` for the worker to fit; see ``Training.e0``.

    Args:
        free: energies of free atoms in the data, of some elements; what ``e0`` says wins over them.
    Raises:
        MetalffError: ``e0`` gives energies, but those of some elements are neither there nor in the data.
    """
    free = free or {}
    if isinstance(config.e0, dict):
        known = free | config.e0
        if missing := [symbol for symbol in config.elements if symbol not in known]:
            raise MetalffError(
                f"training configuration: e0 must give one energy for each of {' '.join(config.elements)}; {' '.join(missing)} is neither there "
                "nor a free atom in the data"
            )
        return [known[symbol] for symbol in config.elements]
    if config.e0 == "zero":
        return [0.0] * len(config.elements)
    mean = np.mean([frame.energy / len(frame) for frame in dataset])
    average = config.e0 == "average" or abs(mean) >= FREE_ATOM_LIMIT
    if config.e0 == "auto" and free:
        others = [symbol for symbol in config.elements if symbol not in free]
        return [(free | (_averages(dataset, free, others) if average and others else {})).get(symbol, 0.0) for symbol in config.elements]
    return "average" if average else [0.0] * len(config.elements)


def _averages(dataset: Dataset, free: dict[str, float], others: list[str]) -> dict[str, float]:
    """Least-squares energy per atom of the elements without a free atom, eV, what remains of the energies without those of the free atoms."""
    counts = np.array([[np.count_nonzero(f.numbers == atomic_numbers[symbol]) for symbol in others] for f in dataset], float)
    rest = [f.energy - sum(energy * np.count_nonzero(f.numbers == atomic_numbers[symbol]) for symbol, energy in free.items()) for f in dataset]
    return dict(zip(others, np.linalg.lstsq(counts, np.array(rest), rcond=None)[0].tolist()))


def check_data(config: Training, dataset: Dataset) -> None:
    """Every element of the data must be one of the model's."""
    for symbol in dataset.elements:
        if symbol not in config.elements:
            raise MetalffError(f"{dataset.name} contains {symbol}, which is not among the elements {' '.join(config.elements)}; add it")


def prepare(
    family: str,
    config: Training,
    dataset: Dataset,
    out: Path,
    valid: Dataset | None = None,
    valid_fraction: float = 0.05,
    fold: Fold | None = None,
    block: int = BLOCK,
    record: dict | None = None,
    files: dict[str, bytes] | None = None,
    test: Dataset | None = None,
    say=lambda sentence: None,
) -> dict:
    """Put the data and the worker's configuration into ``out``, or find that the same training was begun there.

    Without ``valid`` a part of ``dataset`` is held out (see ``held_out``). Files: ``train.extxyz``,
    ``valid.extxyz``, and last ``config.json``: ``family`` and the keys of its configuration with ``e0``, ``stress_weight`` and ``sel`` resolved,
    ``train_file``, ``valid_file`` and ``out`` relative to the directory, and ``data``, which names source and hashes. With ``fold``
    or ``test`` also ``test.extxyz``, the test part of the fold or those frames, and ``test_file``.

    Free atoms leave ``dataset`` and ``valid`` and give E0; ``max_force`` and ``max_energy`` act on both, for what is too wrong to be learnt
    would choose the wrong epoch as well; ``weight`` acts on ``dataset``. Frames of ``test`` are all kept.

    Args:
        fold: the part that is neither trained nor validated on.
        block: consecutive frames that stay together when some are held out.
        record: what else ``data`` says.
        files: further files by name.
        test: frames for the errors of the model kept, instead of the test part of ``fold``; ``test.csv`` has them frame by frame.
        say: called with what the user should know of the data, in sentences.
    Returns:
        the worker's configuration.
    Raises:
        MetalffError: elements do not match the data, too few frames, or ``out`` holds something else.
    """
    check_data(config, dataset)
    given, refined = dataset, {}
    dataset, valid, free = _without_free_atoms(config, dataset, valid, say)
    if free:
        refined["free_atoms"] = free
    for symbol in config.elements:
        if symbol not in dataset.elements:
            raise MetalffError(f"no frame of {dataset.name} contains {symbol}; remove it from the elements or add data")
    if valid is not None:
        check_data(config, valid)
        if valid.sha256 == dataset.sha256:
            raise MetalffError(f"the validation data {valid.name} are the training data; leave --valid-data out")
    dataset, valid, left_out = _within_limits(config, dataset, valid, say)
    if left_out:
        refined["left_out"] = left_out
    for sentence in hints(dataset):
        say(sentence)
    dataset, notes = weighted(dataset, config.weight)
    for sentence in notes:
        say(sentence)
    rest = dataset
    if fold:
        rest, test = cut(dataset, fold, block)
    elif test:
        check_data(config, test)
        refuse_same(dataset, test, "test")
    if valid is None:
        train, valid = held_out(rest, valid_fraction, config.seed, block)
    else:
        refuse_same(dataset, valid)
        train = rest
    if not any(frame.weight for frame in train):
        raise MetalffError("no training frame has a weight above zero, so there is nothing to learn: mend the weights")
    stress_weight = config.stress_weight
    if stress_weight == "auto":
        stress_weight = STRESS_WEIGHT if any(frame.stress is not None for frame in train) else 0.0
    if sentence := pressure_sentence(train, stress_weight):
        say(sentence)
    written = (
        {"family": family}
        | config.model_dump(mode="json")
        | {
            "e0": zero_of_energy(config, train, free),
            "stress_weight": stress_weight,
            "train_file": "train.extxyz",
            "valid_file": "valid.extxyz",
            "out": ".",
            "data": {
                "name": given.name,
                "sha256": given.sha256,
                "citation": given.citation,
                "licence": given.licence,
                "train_sha256": train.sha256,
                "valid_name": valid.name,
                "valid_sha256": valid.sha256,
            }
            | ({"folds": fold.count, "fold": fold.number} if fold else {})
            | ({"test_sha256": test.sha256} if test else {})
            | ({"block": block} if block != BLOCK else {})
            | refined
            | (record or {}),
        }
        | ({"test_file": "test.extxyz"} if test else {})
    )
    if written.get("free_atom") == "auto":
        written["free_atom"] = config.e0 not in ("auto", "average") or (config.e0 == "auto" and set(free) >= set(config.elements))
    written |= config.derived(train)
    if not begun(out, written, files or {}):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            with atomic_write(out / name, "wb") as stream:
                stream.write(content)
        if test:
            write_extxyz(test.frames, out / "test.extxyz")
        write_extxyz(train.frames, out / "train.extxyz")
        write_extxyz(valid.frames, out / "valid.extxyz")
    with atomic_write(out / "config.json") as stream:
        json.dump(written, stream, indent=1)
    return written


def _without_free_atoms(config: Training, dataset: Dataset, valid: Dataset | None, say):
    """The sets without free atoms, and the energies of these (eV)."""
    dataset_, free, notes = taken_out(dataset, config.r_max)
    valid_, of_valid, more = taken_out(valid, config.r_max) if valid is not None else (None, {}, [])
    if not (free or of_valid):
        return dataset, valid, {}
    if valid_ is not None and not len(valid_):
        raise MetalffError(f"the validation data {valid.name} are nothing but free atoms; give other frames, or leave --valid-data out")
    if not len(dataset_):
        raise MetalffError(f"the data {dataset.name} are nothing but free atoms; add structures")
    found = of_valid | free
    count = len(dataset) - len(dataset_) + (len(valid) - len(valid_) if valid is not None else 0)
    said = [*notes, *more, free_atoms_sentence(count, found)]
    if isinstance(config.e0, str) and config.e0 != "auto":
        said.append(f"--e0 {config.e0} wins over these free atoms: they are left out, and E0 is not theirs")
    elif isinstance(config.e0, dict):
        for symbol, energy in config.e0.items():
            if symbol in found and abs(found[symbol] - energy) > SAME:
                said.append(f"--e0 {symbol}={energy:g} wins over the free atom of {symbol} in the data, {found[symbol]:.4f} eV")
    for sentence in said:
        say(sentence)
    return dataset_, valid_, found


def _within_limits(config: Training, dataset: Dataset, valid: Dataset | None, say):
    """The sets without frames beyond the limits, and what these were: by set and limit, number of frames by group."""
    if not (config.max_force or config.max_energy):
        return dataset, valid, {}
    line = energies_above_line(dataset)[1]
    record, sets = {}, []
    for name, frames in (("training", dataset), ("validation", valid)):
        kept, out = limited(frames, config.max_force, config.max_energy, line) if frames is not None else (None, [])
        sets.append(kept)
        for part in out:
            say(part.sentence(name))
            record.setdefault(name, {})[part.option] = part.groups
        if frames is not None and not out:
            say(f"no frame of the {name} data is beyond the limits given (--max-force, --max-energy)")
    return *sets, record


def begun(out: Path, config: dict, files=()) -> bool:
    """Whether ``out`` holds this very training; only the number of threads may differ.

    Raises:
        MetalffError: it holds another training, or other files.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise MetalffError(f"{out} is not a directory; choose another --out")
    if all(path.name in (*UNCLAIMED, *files) or path.name.startswith(".") for path in out.iterdir()):
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

    Leaves the best epoch's model (``Family.model``), ``result.json``, ``history.csv``, ``history.png`` (of a polynomial ``sizes.csv`` and
    ``sizes.png``), ``training.json`` and ``train.log``. A training that has ended is only described again.

    Args:
        progress: called with a ``Message`` after each epoch, and with what the worker has to say besides.
    Raises:
        MetalffError: no environment, another process trains in ``out``, or the worker failed.
        KeyboardInterrupt: the worker has saved its state and ended.
    """
    family = FAMILIES[json.loads((out / "config.json").read_text("utf-8"))["family"]]
    with claim(out) as lock:
        if not (out / "result.json").exists():
            command = family_command(family, "config.json")
            Process(command, out, lock).run(progress)
        if not (out / family.model).exists():
            raise MetalffError(f"the training in {out} found no finite model; use a lower learning rate (--lr)")
        description = describe_training(out)
        with atomic_write(out / "training.json") as stream:
            json.dump(description, stream, indent=1)
        if (out / "sizes.csv").exists():
            write_sizes(out / "sizes.csv", out / "sizes.png")
        else:
            write_curve(out / "history.csv", out / "history.png")
    return description


def family_command(family, *arguments) -> list[str]:
    """Command line of a family's worker.

    Raises:
        MetalffError: its environment is not ready, or torch, which a family without one needs, is missing.
    """
    worker = Path(__file__).with_name(family.worker)
    if family.framework:
        return environments.command(family.name, worker, *arguments)
    if family.torch:
        need_torch(f"training {family.name}")
    return [sys.executable, "-I", str(worker), *arguments]
