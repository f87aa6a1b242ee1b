"""Fit a linear polynomial; runs in MetalFF's own Python: ``python -I poly_worker.py CONFIG.json [PARENT]``, as ``loop.py`` does for other families.

Leaves ``poly.safetensors``, ``history.csv`` of one line, ``sizes.csv`` (held-out error against the number of functions), ``valid.csv``, ``test.csv`` and
``result.json``, written last. The sums over structures are kept in ``sums.npz``, optimised radial functions in ``radial.npz``, so that an interrupted
fit goes on.
"""

import csv
import json
import os
import signal
import sys
import time
import zipfile
from collections import defaultdict
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
from ase import units
from ase.data import atomic_numbers

from metalff.data import read_extxyz
from metalff.paths import atomic_write
from metalff.poly.basis import Size, make
from metalff.poly.fit import STRENGTHS, Choice, Design, Normal, Solver, Structure, polynomial
from metalff.poly.optimise import Place, State, optimise
from metalff.poly.radial import Shape
from metalff.train.configuration import CUTOFF_POWERS
from metalff.train.splits import BLOCK, trajectory_of

SMALL = {"degree": [9, 9, 9], "l_max": 4, "radial": 8}
"""The polynomial that the cutoff's power is chosen with."""

SMALL_FRAMES = 80
"""Structures that it is chosen on, at most."""

OPTIMISED_ATOMS = 10_000
"""Of the structures, every so many, that radial functions are optimised on; coefficients are then fitted to all."""

SAVE_S = 20.0
"""Seconds between two states on the disk."""

PRESSURE_TOLD = 0.3
"""GPa between stresses and energies that is worth a sentence."""

FUNCTIONS_MOST = 20_000
"""Of all elements: their normal equations take 3 GB a fold."""


class Stopped(Exception):
    """A signal, or the end of the parent process."""


class Teller:
    """Progress as lines of JSON on stdout; raises Stopped where the fit is to end."""

    def __init__(self, parent):
        self.parent, self.signalled, self.next, self.begun = parent, False, 0.0, time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def elapsed(self) -> float:
        """Seconds since the fit began."""
        return time.monotonic() - self.begun

    def _set(self, *_):
        self.signalled = True

    def __call__(self, fraction, step, steps):
        if self.signalled or (self.parent is not None and os.getppid() != self.parent):
            raise Stopped
        if time.monotonic() > self.next:
            print(json.dumps({"epoch": 0, "fraction": fraction, "force_rmse": None, "energy_rmse": None, "step": step, "steps": steps}), flush=True)
            self.next = time.monotonic() + 1.0


def main():
    cfg = json.loads(Path(sys.argv[1]).read_text())
    teller = Teller(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    try:
        result = fit(cfg, Path(cfg["out"]), teller)
    except Stopped:
        sys.exit(130)
    result["elapsed_s"] = teller.elapsed()
    versions = {name: metadata.version(name) for name in ("metalff", "numpy", "scipy", "ase")}
    with atomic_write(Path(cfg["out"]) / "result.json") as stream:
        json.dump(result | {"versions": versions}, stream)


def fit(cfg, out: Path, tell) -> dict:
    elements = cfg["elements"]
    parts = {name: read_extxyz(cfg[f"{name}_file"]) for name in ("train", "valid", "test") if f"{name}_file" in cfg}
    e0 = zero_of_energy(cfg["e0"], parts["train"], elements)
    train = structures(parts["train"], elements, e0, cfg["folds"])
    power = cfg["cutoff_power"]
    if power == "auto":
        power = best_power(cfg, train, tell)
        print(f"note: cutoff_power {power} predicts held-out folds best", flush=True)
    most = FUNCTIONS_MOST // len(elements)
    try:
        basis = make(size_of(cfg, cfg), most)
    except ValueError:
        sys.exit(f"a polynomial of more than {most} functions for each element is too large to fit: give a smaller degree, l_max or radial")
    print(f"note: {len(basis)} functions for each element", flush=True)
    known = known_coefficients(cfg, len(basis), len(elements))
    costs = np.append(np.tile(basis.costs, len(elements)), np.zeros(len(elements) + 1))
    pairs = optimised(cfg, basis, costs, known, train, power, out, tell) if cfg["radial_steps"] else radial_tables(cfg, cfg, power)
    potential = polynomial(elements, basis, pairs, np.ones(len(elements) * len(basis)), e0)
    normal = summed(potential, train, cfg, out, tell)
    kept, choice, sizes = chosen_size(normal, costs, known, cfg, basis, tell)
    solver = Solver(normal, costs, known, kept)
    coefficients = solver.solve(choice.strength, choice.roughness)
    functions = len(elements) * len(basis)
    shift, pressure = e0 + coefficients[functions:-1], coefficients[-1] / units.GPa
    if abs(pressure) > PRESSURE_TOLD:
        print(
            f"note: stresses of the data lie {pressure:+.2f} GPa from the volume derivative of their energies, as of a plane-wave basis too small (Pulay "
            "stress); the model has the derivative",
            flush=True,
        )
    coefficients = coefficients[:functions]

    with atomic_write(out / "sizes.csv") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("functions", "degree", "held_out_error", "chosen"), *sizes])
    errors = {}
    for name in ("valid", "test"):
        if name in parts:
            errors[name] = evaluated(potential, structures(parts[name], elements, shift, 1), coefficients, cfg, out / f"{name}.csv")
    if cfg["committee"]:
        members = solver.committee(choice, cfg["committee"], cfg["seed"])[:functions]
        coefficients = np.concatenate([coefficients[:, None], members], axis=1)
    final = polynomial(elements, basis.part(kept[: len(basis)]), pairs, coefficients[kept[:functions]], shift)
    with atomic_write(out / "poly.safetensors", "wb") as stream:
        stream.write(final.to_bytes())
    force, energy = errors["valid"]["force_rmse"], errors["valid"]["energy_rmse"]
    with atomic_write(out / "history.csv") as stream:
        columns = ("epoch", "step", "elapsed_s", "lr", "force_rmse_valid", "energy_rmse_valid")
        csv.writer(stream, lineterminator="\n").writerows(
            [columns, (1, int(kept[:functions].sum()), f"{tell.elapsed():.0f}", 0, f"{force:.5f}", f"{energy:.6f}")]
        )
    print(json.dumps({"epoch": 1, "fraction": 1.0, "force_rmse": force, "energy_rmse": energy}), flush=True)
    return {
        "epochs": 1,
        "steps": len(train),
        "e0": shift.tolist(),
        "functions": int(kept[:functions].sum()),
        "pressure": pressure,
        "cutoff_power": power,
        "strength": choice.strength,
        "roughness": choice.roughness,
        "held_out_error": choice.error,
    } | ({"test": errors["test"]} if "test" in errors else {})


def zero_of_energy(e0, frames, elements) -> np.ndarray:
    """[T] eV: as given, or the least-squares energy per atom."""
    if e0 != "average":
        return np.array(e0, float)
    counts = np.array([np.bincount(types_of(f, elements), minlength=len(elements)) for f in frames], float)
    return np.linalg.lstsq(counts, np.array([f.energy for f in frames]), rcond=None)[0]


def types_of(frame, elements) -> np.ndarray:
    numbers = [atomic_numbers[symbol] for symbol in elements]
    return np.array([numbers.index(z) for z in frame.numbers], np.int32)


def structures(frames, elements, e0, folds: int) -> list[Structure]:
    """Sorted by fold; blocks of consecutive frames of a trajectory are dealt out to the folds in turn."""
    trajectories = defaultdict(list)
    for k, frame in enumerate(frames):
        trajectories[trajectory_of(frame)].append(k)
    blocks = [some[k : k + BLOCK] for some in trajectories.values() for k in range(0, len(some), BLOCK)]
    fold = {k: b % folds for b, block in enumerate(blocks) for k in block}
    mean = np.mean([frame.weight for frame in frames])
    found = []
    for k, f in enumerate(frames):
        types = types_of(f, elements)
        virial = None if f.stress is None else -f.stress * abs(np.linalg.det(f.cell))
        found.append(Structure(f.cell, f.pbc, f.positions, types, f.energy - e0[types].sum(), f.forces, virial, f.weight / mean, fold[k]))
    return sorted(found, key=lambda s: s.fold) if folds > 1 else found


def size_of(cfg, shape) -> Size:
    most = max(shape["degree"])
    return Size(shape["radial"], min(shape["l_max"], int(most)), tuple(shape["degree"]), cfg["radial_cost"], len(cfg["elements"]), bool(cfg["zbl"]))


def radial_tables(cfg, shape, power):
    elements, functions = cfg["elements"], Shape(shape["radial"], shape["radial"], cfg["r_min"], cfg["r_max"], power, cfg["zbl"])
    return {(a, b): functions.table(elements, (a, b)) for a in range(len(elements)) for b in range(len(elements))}


def known_coefficients(cfg, functions: int, elements: int) -> dict[int, float]:
    """The repulsion's, and, where free atoms are exact, shifts of zero."""
    known = {(k + 1) * functions - 1: 1.0 for k in range(elements)} if cfg["zbl"] else {}
    return known | ({elements * functions + k: 0.0 for k in range(elements)} if cfg["free_atom"] else {})


def best_power(cfg, train, tell) -> int:
    """See ``CUTOFF_POWERS``."""
    shape = cfg | {key: min(value, cfg[key]) if key != "degree" else value for key, value in SMALL.items()}
    basis, elements = make(size_of(cfg, shape)), cfg["elements"]
    some = train[:: max(1, len(train) // SMALL_FRAMES)]
    costs = np.append(np.tile(basis.costs, len(elements)), np.zeros(len(elements) + 1))
    errors = {}
    for k, power in enumerate(CUTOFF_POWERS):
        tell(0.2 * k / len(CUTOFF_POWERS), k + 1, len(CUTOFF_POWERS))
        potential = polynomial(elements, basis, radial_tables(cfg, shape, power), np.ones(len(elements) * len(basis)), np.zeros(len(elements)))
        design = Design(potential, some, *weights_of(cfg))
        normal = Normal(design.unknowns, cfg["folds"])
        for block in design.blocks():
            normal.add(design, block)
        errors[power] = Solver(normal, costs, known_coefficients(cfg, len(basis), len(elements))).choose().error
    return min(errors, key=errors.get)


def optimised(cfg, basis, costs, known, train, power, out: Path, tell):
    """The tables of optimised radial functions; the state on the disk is that of whole steps."""
    elements, file = cfg["elements"], out / "radial.npz"
    shape = Shape(cfg["radial"], cfg["polynomials"], cfg["r_min"], cfg["r_max"], power, cfg["zbl"])
    every = [(a, b) for a in range(len(elements)) for b in range(len(elements))]
    tables = {pair: shape.table(elements, pair) for pair in every}
    train = train[:: max(1, round(sum(len(s.types) for s in train) / OPTIMISED_ATOMS))]
    design = Design(polynomial(elements, basis, tables, np.ones(len(elements) * len(basis)), np.zeros(len(elements))), train, *weights_of(cfg))
    if file.exists():
        with opened(file) as saved:
            places = [Place(dict(zip(every, saved[f"mixing_{name}"], strict=True)), saved[f"coefficients_{name}"]) for name in ("best", "trial")]
            state = State(*places, *(saved[k].item() for k in ("loss", "damping", "step")))
            choice = Choice(*(saved[k].item() for k in ("strength", "roughness", "error")))
    else:
        normal = Normal(design.unknowns, cfg["folds"])
        for block in design.blocks():
            tell(0.2, 0, cfg["radial_steps"])
            normal.add(design, block)
        solver = Solver(normal, costs, known)
        choice = solver.choose()
        start = Place({pair: shape.mixing() for pair in every}, solver.solve(choice.strength, choice.roughness)[: design.functions])
        state = State(start, start)

    def keep(state):
        print(f"step {state.step} of the radial functions: loss {state.loss:.6g}, damping {state.damping:.0e}", flush=True)
        with atomic_write(file, "wb") as stream:
            kept = {"loss": state.loss, "damping": state.damping, "step": state.step}
            for name, place in (("best", state.best), ("trial", state.trial)):
                kept |= {f"mixing_{name}": np.array([place.mixing[pair] for pair in every]), f"coefficients_{name}": place.coefficients}
            np.savez(stream, **kept, strength=choice.strength, roughness=choice.roughness, error=choice.error)

    def progress(step, rest):
        tell(0.2 + 0.5 * (step + rest) / cfg["radial_steps"], step + 1, cfg["radial_steps"])

    optimise(design, shape, state, costs, known, cfg["folds"], choice, cfg["radial_steps"], progress, keep)
    return {pair: shape.table(elements, pair, mixing) for pair, mixing in state.best.mixing.items()}


def weights_of(cfg):
    """What ``Design`` wants besides the structures."""
    return cfg["energy_weight"], cfg["stress_weight"], cfg["threads"]


@contextmanager
def opened(file: Path):
    """A state on the disk; ends the fit with a sentence where it is damaged."""
    try:
        with np.load(file) as state:
            yield state
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        sys.exit(f"{file.name} cannot be read ({error}); remove it to begin this part of the fit anew")


def summed(potential, train, cfg, out: Path, tell) -> Normal:
    """Normal equations of all structures; the state on the disk is that of whole blocks."""
    design = Design(potential, train, *weights_of(cfg))
    normal, file = Normal(design.unknowns, cfg["folds"]), out / "sums.npz"
    if file.exists():
        with opened(file) as state:
            normal.restore(state)

    def save():
        with atomic_write(file, "wb") as stream:
            np.savez(stream, **normal.state())

    saved = time.monotonic()
    for block in design.blocks():
        if block[0] < normal.done:
            continue
        try:
            tell(0.7 + 0.2 * normal.done / len(train), normal.done, len(train))
        except Stopped:
            save()
            raise
        normal.add(design, block)
        if time.monotonic() - saved > SAVE_S:
            save()
            saved = time.monotonic()
    return normal


def chosen_size(normal, costs, known, cfg, basis, tell):
    """The functions kept, [n] bool, their regularisation, and rows of ``sizes.csv``."""
    elements, steps = len(cfg["elements"]), int(min(cfg["degree"])) - 1
    limits = np.array([0.0, *cfg["degree"]])[basis.orders]
    trials = []
    for step in range(min(steps, 8)):
        tell(0.9 + 0.1 * step / 8, step + 1, min(steps, 8))
        inside = (basis.costs <= limits - step + 1e-9) | ((basis.orders == 1) & (basis.costs <= max(1.0, limits.min() - step)))
        if cfg["zbl"]:
            inside[-1] = True
        kept = np.append(np.tile(inside, elements), np.ones(elements + 1, bool))
        around = near(trials[0][1]) if trials else ()  # the strengths and powers to try
        trials.append((kept, Solver(normal, costs, known, kept).choose(*around), inside.sum(), max(cfg["degree"]) - step))
    best = min(choice.error for _, choice, *_ in trials)
    kept, choice, count, _ = [t for t in trials if t[1].error <= best * (1 + cfg["size_tolerance"])][-1]
    return kept, choice, [(int(n), f"{degree:g}", f"{c.error:.6f}", int(n == count)) for _, c, n, degree in reversed(trials)]


def near(choice: Choice):
    """Strengths within two decades of one that was found for more functions, and its roughness."""
    return [s for s in STRENGTHS if 0.009 < s / choice.strength < 110], (choice.roughness,)


def evaluated(potential, part, coefficients, cfg, file: Path) -> dict:
    """Errors of a part; those of each frame go into a file, as ``loop.py`` writes them."""
    design = Design(potential, part, 1.0, 0.0, cfg["threads"])
    rows = []
    for s, (energy, forces) in zip(part, design.predict(coefficients), strict=True):
        n = len(s.types)
        rows.append((n, float(((forces - s.forces) ** 2).sum()), float((s.forces**2).sum()), float(energy - s.energy) / n))
    with atomic_write(file) as stream:
        csv.writer(stream, lineterminator="\n").writerows([("atoms", "force_square_error", "force_square", "energy_error"), *rows])
    atoms, square, _, energy = np.array(rows).T
    return {
        "force_rmse": float(np.sqrt(square.sum() / (3 * atoms.sum()))),
        "energy_rmse": float(np.sqrt(np.mean(energy**2))),
        "frames": len(part),
    }


if __name__ == "__main__":
    main()
