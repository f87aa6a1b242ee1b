"""Linear polynomials fitted to many labels of the same structures: what every function gives for them is computed once.

Each fit is the one that ``trial.run`` makes of the same trial (tests/study/test_filling.py): the same parts of the data, folds, regularisation and functions.
"""

import csv
import hashlib
import json
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from metalff.errors import MetalffError
from metalff.poly.basis import make
from metalff.poly.fit import Design, Normal, Solver, polynomial
from metalff.study.trial import VALID_FRACTION, WITHOUT_ZBL, Trial, gathered, row, thinned
from metalff.train import poly_worker as worker
from metalff.train.configuration import configuration
from metalff.train.splits import held_out
from metalff.train.training import zero_of_energy


def groups(trials: list[Trial]) -> list[list[Trial]]:
    """Trials of polynomials that have everything but the labels in common, in the order of their first."""
    found = {}
    for trial in trials:
        words = (
            tuple(_structures(specs) for specs in (trial.train, trial.test)),
            json.dumps(trial.settings, sort_keys=True),
            trial.seed,
            trial.frames,
        )
        found.setdefault(words, []).append(trial)
    return list(found.values())


_HASHES: dict[tuple[str, ...], str] = {}


def _structures(specs: tuple[str, ...]) -> str:
    """Hash of structures without their labels."""
    if specs not in _HASHES:
        digest = hashlib.sha256()
        for frame in gathered(specs):
            for array in (frame.numbers, frame.positions, frame.cell):
                digest.update(np.ascontiguousarray(array, float).tobytes())
        _HASHES[specs] = digest.hexdigest()
    return _HASHES[specs]


def fitted(trials: list[Trial], work: Path, done=lambda trial, row: None) -> None:
    """Fit and test a group.

    Args:
        trials: one of ``groups``.
        work: for the errors of test frames, which are removed.
        done: called with each trial and its result, as of ``trial.run``.
    Raises:
        MetalffError: radial functions to optimise, which would be other functions for each label.
    """
    first = trials[0]
    begin, versions = time.monotonic(), {name: metadata.version(name) for name in ("metalff", "numpy", "scipy", "ase")}
    data = thinned(gathered(first.train), first.frames)
    values = {"elements": data.elements, "threads": 1} | WITHOUT_ZBL["poly"] | first.settings | {"seed": first.seed}
    config = configuration("poly", values)
    if config.radial_steps or config.cutoff_power == "auto":
        raise MetalffError("fits to several labels need radial functions that are the same for all: give cutoff_power, and radial_steps=0")
    train, valid = held_out(data, VALID_FRACTION, first.seed, 1)
    cfg = config.model_dump(mode="json") | {"free_atom": False} | config.derived(train)
    elements = cfg["elements"]
    basis = make(worker.size_of(cfg, cfg))
    known = worker.known_coefficients(cfg, len(basis), len(elements))
    costs = np.append(np.tile(basis.costs, len(elements)), np.zeros(len(elements) + 1))
    ones = np.ones(len(elements) * len(basis))
    tables = worker.radial_tables(cfg, cfg, cfg["cutoff_power"])
    potential = polynomial(elements, basis, tables, ones, np.zeros(len(elements)))
    design, shared, rows = None, None, []
    others = [_Fixed(potential, worker.structures(part, elements, np.zeros(len(elements)), 1)) for part in (valid, gathered(first.test))]
    shared_s = time.monotonic() - begin
    for trial in trials:
        start = time.monotonic()
        own = held_out(thinned(gathered(trial.train), trial.frames), VALID_FRACTION, trial.seed, 1)
        e0 = worker.zero_of_energy(zero_of_energy(config, own[0]), own[0], elements)
        structures = worker.structures(own[0], elements, e0, cfg["folds"])
        design = Design(potential, structures, *worker.weights_of(cfg)) if shared is None else _relabelled(design, structures)
        if shared is None:
            shared = Normal(design.unknowns, cfg["folds"])
            for block in design.blocks():
                shared.add(design, block)
                rows.append(design.equations(block))
        normal = _with_labels(shared, design, rows)
        kept, choice, _ = worker.chosen_size(normal, costs, known, cfg, basis, lambda *_: None)
        coefficients = Solver(normal, costs, known, kept).solve(choice.strength, choice.roughness)
        shift, coefficients = e0 + coefficients[len(ones) : -1], coefficients[: len(ones)]
        errors = [
            part.errors(worker.structures(frames, elements, shift, 1), coefficients) for part, frames in zip(others, (own[1], gathered(trial.test)))
        ]
        file = work / f"{trial.key}.csv"
        work.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("atoms", "force_square_error", "force_square", "energy_error"), *errors[1]])
        atoms, square, _, energy = np.array(errors[0]).T
        validation = {"force_rmse": float(np.sqrt(square.sum() / (3 * atoms.sum()))), "energy_rmse": float(np.sqrt(np.mean(energy**2)))}
        description = {"frames": len(own[0]), "frames_valid": len(own[1]), "epochs": 1, "steps": len(own[0]), "errors": {"validation": validation}}
        description |= {"elapsed_s": time.monotonic() - start + shared_s / len(trials), "versions": versions}
        found = row(trial, description, gathered(trial.test), file)
        file.unlink()
        done(trial, found | {"functions": int(kept[: len(ones)].sum())})


class _Fixed:
    """What every function gives for structures that are tested on."""

    def __init__(self, potential, structures):
        design = Design(potential, structures, 1.0, 0.0)
        self.parts = [part for block in design.blocks() for part in design.engine.design(block)]

    def errors(self, structures, coefficients) -> list[tuple]:
        """Rows of ``test.csv``."""
        found = []
        for s, part in zip(structures, self.parts, strict=True):
            n, answer = len(s.types), coefficients @ part
            difference = answer[1 : 1 + 3 * n] - s.forces.ravel()
            found.append((n, float(difference @ difference), float((s.forces**2).sum()), float(answer[0] - s.energy) / n))
        return found


def _relabelled(design: Design, structures) -> Design:
    """The same structures with other labels; its engine, which has the first, is not asked for these."""
    found = object.__new__(Design)
    found.__dict__ |= design.__dict__ | {"structures": structures}
    return found


def _with_labels(shared: Normal, design: Design, rows) -> Normal:
    """The normal equations of other labels."""
    found = object.__new__(Normal)
    found.__dict__ |= shared.__dict__ | {"right": np.zeros_like(shared.right), "square": np.zeros_like(shared.square)}
    for block, equations in zip(design.blocks(), rows, strict=True):
        fold = design.structures[block[0]].fold
        y = np.concatenate([design.labels(design.structures[k]) for k in block])
        found.right[fold] += equations @ y
        found.square[fold] += y @ y
    return found
