"""Is it the angles? EAM and MEAM in the part of DFT, on the same configurations of the same metals, learnt by the same models.

Configurations of a metal are frames of molecular dynamics with its EAM and with its MEAM, at four temperatures each; both potentials label all of
them, and so does the MEAM with its angular weights, its screening and its cutoff changed. The last third of each trajectory is for testing. Models have
the same settings for all metals, with cutoffs in units of the nearest-neighbour distance; trainings end after the same number of epochs. Polynomials are
fitted by least squares: they have no epochs and no seed, and take all metals through all labels.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metalff.data import Dataset, layout, write_extxyz
from metalff.data.metals import metal
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.pool import side_by_side
from metalff.potentials import resolve
from metalff.study.trial import ADAM, Trial
from metalff.synth.relabel import relabelled
from metalff.synth.synth import Settings, synthesise

BASE = ("eam", "meam")
"""Potentials that make the configurations, and label them."""

FAMILIES = ("poly", "nep", "mace")
"""Models that learn; the first takes all metals through all labels."""

SECOND = ("Ta-lee", "Au-lee")
"""Metals once more, with their MEAM of second neighbours (``Ta/meam-lee``): the one called ``meam`` is that of first neighbours alone, whose narrow
screening bcc's second shell sits in. Configurations are those of this MEAM's dynamics."""

DOSE = (0.0, 0.25, 0.5, 1.5)
"""Factors of the angular weights t1, t2, t3 of MEAM, beside 1."""

DOSED = ("Al", "Cu", "Ti", "Nb", "W")
"""Metals of the dose–response, of the angular resolution and of the learning curves of models that are trained."""

WIDE = "meam[delr=1]"
"""MEAM cut off over 1 Å instead of 0.1 Å."""

UNSCREENED = ("meam[t=0,delr=1,screen=0]", "meam[delr=1,screen=0]")
"""Wide, too, without screening: with no angles at all (densities and pair terms of distances only), and with the angular weights alone."""

WIDTHS = (0.25, 0.5, 2.0)
"""Factors of the range Cmin … Cmax of MEAM's screening, beside 1: the smaller, the more sharply it sets in. At 4 copper's nearest neighbours are screened
by half, and its forces are 24 times as large: that is no copper."""

WIDENED = ("Na", "Al", "Ti", "Cu", "Nb", "Pd", "Ta", "W", "Au")
"""Metals that a MACE learns with these, too: those of the dose–response, and those whose MEAM is the hardest."""

SIZES = (6, 8, 10, 12)
"""Degrees of the polynomials' functions of two, three and four neighbours, those of one neighbour two more: capacity."""

DEGREE = 10
"""Of the polynomial that learns all labels."""

POWER = 8
"""Of the polynomials' cutoff."""

SEEDED = ("Al", "Mg", "Ti", "V", "Nb", "Cu", "W")
"""Metals with three seeds, about a third of all."""

FRAMES = (24, 48, 96)
"""Of the learning curves, beside all."""

RESOLUTIONS = {"nep": (0, 1, 2, 3), "mace": (1, 2, 3)}
"""Angular resolution l_max of each family's models; mace-torch builds none of 0."""

FAR = 40.0
"""A configuration in which either potential has a force component above this (eV/Å) is left out, whatever the labels."""

TRAIN, GAP = 2 / 3, 1
"""Part of each trajectory that is for training, and frames that are left out between the parts."""

EPOCHS = 96
"""Epochs of each training; those with fewer frames have more, for the same number of steps."""


@dataclass(frozen=True)
class Plan:
    """What is studied.

    Attributes:
        metals: symbols.
        frames: of each trajectory: eight per metal, four temperatures of each potential.
        epochs: of a training with all frames.
        seed: of the molecular dynamics.
    """

    metals: tuple[str, ...]
    frames: int = 40
    epochs: int = EPOCHS
    seed: int = 1


def possible() -> list[str]:
    """Metals with an EAM and a MEAM that pass their checks, by atomic number."""
    from ase.data import atomic_numbers

    from metalff.potentials import usable

    names = usable()
    found = [s for s in {n.partition("/")[0] for n in names} if all(f"{s}/{kind}" in names for kind in BASE)]
    found += [name for name in SECOND if potential_of(name, "meam") in names]
    return sorted(found, key=lambda name: (atomic_numbers[element(name)], name))


def element(name: str) -> str:
    """``Ta-lee`` → ``Ta``."""
    return name.partition("-")[0]


def potential_of(name: str, label: str) -> str:
    """``Ta``, ``meam[t=0]`` → ``Ta/meam[t=0]``; ``Ta-lee`` → ``Ta/meam-lee[t=0]``."""
    _, dash, variant = name.partition("-")
    return f"{element(name)}/{label.replace('meam', f'meam{dash}{variant}', 1)}"


FINE = {"n_max": [7, 7], "basis_size": [16, 16]}
"""A NEP with 17 Chebyshev functions of the distance where the small one has 9, and 8 combinations of them instead of 6."""


def settings(symbol: str, family: str, l_max: int | None = None) -> dict:
    """The configuration of a family for a metal: the same but for the cutoffs, which go with its nearest-neighbour distance d.

    NEP: 2.4 d, angular 2.0 d, first-order steps; a compact MACE: two layers of 1.7 d; polynomial: 2.4 d.
    """
    d = metal(element(symbol)).nearest_neighbour
    if family == "nep":
        angular = [4, 2, 1] if l_max is None else [l_max, 0, 0]
        found = {"r_max": 2.4 * d, "r_max_angular": 2.0 * d, "n_max": [5, 5], "basis_size": [8, 8], "l_max": angular, "neuron": 30}
        found |= ADAM["nep"]
    elif family == "poly":
        found = {"r_max": 2.4 * d, "degree": degrees(DEGREE), "cutoff_power": POWER}
    else:
        l_max = 2 if l_max is None else l_max
        found = {"r_max": 1.7 * d, "channels": 8, "max_L": min(1, l_max), "l_max": l_max, "num_layers": 2, "correlation": 3, "lr": 0.02}
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def degrees(size: int) -> list[int]:
    return [size + 2, size, size, size]


def dose_name(factor: float) -> str:
    return "meam" if factor == 1.0 else f"meam[t={factor:g}]"


def width_name(factor: float) -> str:
    return "meam" if factor == 1.0 else f"meam[cwidth={factor:g}]"


def labels_of() -> list[str]:
    """All labels of a metal's configurations."""
    return [*BASE, *map(dose_name, DOSE), WIDE, *UNSCREENED, *map(width_name, WIDTHS)]


IN_NAMES = str.maketrans({"[": "-", ",": "-", "]": None, "=": None})
"""A label as part of a file's name."""


def data_file(out: Path, symbol: str, label: str, part: str) -> Path:
    return Path(out) / "data" / symbol / f"{label.translate(IN_NAMES)}-{part}.extxyz"


def wanted(symbol: str, plan: Plan) -> dict:
    """What the data of a metal depend on."""
    return {"frames": plan.frames, "seed": plan.seed, "labels": {label: resolve(potential_of(symbol, label)).sha256 for label in labels_of()}}


def made_before(symbol: str, out: Path, plan: Plan) -> dict | None:
    """``make_data`` of a metal, where it is there already.

    Raises:
        MetalffError: its file is damaged.
    """
    summary = Path(out) / "data" / symbol / "data.json"
    if not summary.exists():
        return None
    asked = wanted(symbol, plan)
    try:
        found = json.loads(summary.read_text("utf-8"))
        made = found.get("made", {})
        same = {key: made.get(key) for key in asked} | {"labels": {label: made.get("labels", {}).get(label) for label in asked["labels"]}}
        whole = same != asked or all(isinstance(found[key], int) for key in ("train", "test", "left_out"))
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise MetalffError(f"{summary} is damaged; delete it, and the configurations are made again")
    return found if same == asked else None


def make_data(symbol: str, out: Path, plan: Plan) -> dict:
    """Configurations of a metal with all labels, each as a file for training and one for testing; what is there already is kept.

    Returns:
        content of ``data.json`` beside them: frames, left out, phases and RMS forces (eV/Å) by label and temperature.
    Raises:
        MetalffError: too few frames of a trajectory.
    """
    if found := made_before(symbol, out, plan):
        return found
    folder = Path(out) / "data" / symbol
    structures, phases = [], {}
    for kind in BASE:
        said = synthesise(element(symbol), potential_of(symbol, kind), folder / f"md-{kind}", Settings(frames=plan.frames, seed=plan.seed))
        phases[kind] = {f"{f['temperature']:g}": f.get("phase", "blown up") for f in said["files"].values()}
        structures += [replace(f, group=f"{kind}-{f.group}", source=f"md-{kind}/{f.source}") for f in layout.read_folder(folder / f"md-{kind}")]
    sets = {label: relabelled(Dataset(symbol, tuple(structures)), resolve(potential_of(symbol, label))).frames for label in labels_of()}
    calm = [all(abs(sets[kind][k].forces).max() < FAR for kind in BASE) for k in range(len(structures))]
    trajectories = {}
    for k, frame in enumerate(structures):
        if calm[k]:
            trajectories.setdefault((frame.group, frame.temperature), []).append(k)
    train, test = [], []
    for frames in trajectories.values():
        cut = round(TRAIN * len(frames))
        train += frames[:cut]
        test += frames[cut + GAP :]
    if len(train) < 20 or len(test) < 10:
        raise MetalffError(f"{symbol}: only {len(train)} frames for training and {len(test)} for testing are left of the molecular dynamics")
    rms = {}
    for label, frames in sets.items():
        for part, chosen in (("train", train), ("test", test)):
            write_extxyz([frames[k] for k in chosen], data_file(out, symbol, label, part))
        by_temperature = {}
        for k in train + test:
            by_temperature.setdefault(f"{frames[k].temperature:g}", []).append(np.mean(frames[k].forces ** 2))
        rms[label] = {t: float(np.sqrt(np.mean(v))) for t, v in by_temperature.items()}
    found = {"made": wanted(symbol, plan), "train": len(train), "test": len(test), "left_out": calm.count(False), "phases": phases, "force_rms": rms}
    with atomic_write(folder / "data.json") as stream:
        json.dump(found, stream, indent=1)
    return found


def make_all(out: Path, plan: Plan, jobs: int, bar, go_on=lambda: True) -> tuple[dict[str, dict], bool]:
    """Data of all metals, several at a time; a metal that fails is named and left out.

    Args:
        go_on: False ends it with what has begun; data that are there already take no time.
    Returns:
        ``make_data`` of each metal, and whether no metal is missing but for those that failed.
    """
    found = {symbol: content for symbol in plan.metals if (content := made_before(symbol, out, plan))}
    failed = 0

    def tick(running):
        bar.update(f"configurations and labels: {', '.join(running)}", len(found) + failed, len(plan.metals), None)

    for symbol, content, error in side_by_side(make_data, {s: (s, out, plan) for s in plan.metals if s not in found}, jobs, tick, go_on):
        if error:
            failed += 1
            bar.line(f"{symbol} is left out: {error}")
        else:
            found[symbol] = content
    return {symbol: found[symbol] for symbol in plan.metals if symbol in found}, len(found) + failed == len(plan.metals)


def recorded(rows, metals) -> dict[str, dict]:
    """What ``trials`` wants of metals whose data are not here but whose results are: ``train``, the number of training frames."""
    found = {}
    for row in rows:
        metal = row["labels"].get("metal")
        if metal in metals:
            found[metal] = {"train": max(row["frames"], found.get(metal, {}).get("train", 0)), "left_out": None}
    return {metal: found[metal] for metal in metals if metal in found}


def trials(out: Path, plan: Plan, data: dict[str, dict]) -> list[Trial]:
    """All trainings, the most important first; a training that belongs to several questions is listed for each."""
    metals, found = list(data), []

    def add(section, symbol, family, label, seed=1, frames=None, more=(), **words):
        values = settings(symbol, family, words.get("l_max"))
        if family != "poly":
            values["max_epochs"] = plan.epochs if frames is None else round(plan.epochs * data[symbol]["train"] / frames)
        files = [(str(data_file(out, symbol, label, part)),) for part in ("train", "test")]
        found.append(Trial(family, values | dict(more), *files, seed, frames, {"section": section, "metal": symbol, "label": label, **words}))

    dosed, seeded, widened = ([s for s in group if s in metals] for group in (DOSED, SEEDED, WIDENED))

    def in_metals(family, some=metals):
        for symbol in some:
            for label in BASE:
                add("metals", symbol, family, label)

    def dose(family, some):
        for symbol in some:
            for factor in (*DOSE, 1.0):
                add("dose", symbol, family, dose_name(factor), t=factor)

    def screen(family, some):
        for symbol in some:
            for label in (*UNSCREENED, WIDE):
                add("smooth" if label == WIDE else "screen", symbol, family, label)

    def width(family):
        for symbol in metals:
            for factor in (*WIDTHS, 1.0):
                add("width", symbol, family, width_name(factor), cwidth=factor)

    def capacity():
        for size in SIZES:
            for symbol in metals:
                for label in BASE:
                    add("capacity", symbol, "poly", label, more={"degree": degrees(size)}, size=size)

    def fine():
        for symbol in metals:
            for label in BASE:
                add("fine", symbol, "nep", label, more=FINE)

    def angular(family):
        for l_max in RESOLUTIONS[family]:
            for symbol in dosed:
                for label in BASE:
                    add("angular", symbol, family, label, l_max=l_max)

    def by_frames(family):
        for symbol in dosed:
            for label in BASE:
                for frames in (*(n for n in FRAMES if n < data[symbol]["train"]), None):
                    add("frames", symbol, family, label, frames=frames)

    def seeds(family):
        for seed in (2, 3):
            for symbol in seeded:
                for label in BASE:
                    add("seeds", symbol, family, label, seed=seed)

    if "poly" in FAMILIES:
        in_metals("poly")
        screen("poly", metals)
        dose("poly", metals)
        width("poly")
        capacity()
    if "nep" in FAMILIES:
        in_metals("nep", [s for s in metals if s not in SECOND])
        dose("nep", dosed)
        screen("nep", widened)
        seeds("nep")
        by_frames("nep")
        angular("nep")
        fine()
    if "mace" in FAMILIES:
        in_metals("mace", [s for s in metals if s not in SECOND])
        screen("mace", widened)
        dose("mace", dosed)
        seeds("mace")
        angular("mace")
    return found
