"""Is it the angles? EAM and MEAM in the part of DFT, on the same configurations of the same metals, learnt by the same models.

Configurations of a metal are frames of molecular dynamics with its EAM and with its MEAM, at four temperatures each; both potentials label all of
them. The last third of each trajectory is for testing. Models have the same settings for all metals, with cutoffs in units of the nearest-neighbour
distance, and end after the same number of epochs.
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
from metalff.study.trial import Trial
from metalff.synth.relabel import relabelled
from metalff.synth.synth import Settings, synthesise

BASE = ("eam", "meam")
"""Potentials that make the configurations, and label them."""

FAMILIES = ("nep", "mace")
"""Models that learn."""

DOSE = (0.0, 0.25, 0.5, 1.5)
"""Factors of the angular weights t1, t2, t3 of MEAM, beside 1."""

DOSED = ("Al", "Cu", "Ti", "Nb", "W")
"""Metals of the dose–response, of the angular resolution and of the learning curves."""

WIDE = "meam[delr=1]"
"""MEAM cut off over 1 Å instead of 0.1 Å."""

UNSCREENED = ("meam[t=0,delr=1,screen=0]", "meam[delr=1,screen=0]")
"""Wide, too, without screening: with no angles at all (densities and pair terms of distances only), and with the angular weights alone."""

WIDENED = ("Na", "Al", "Ti", "Cu", "Nb", "Pd", "Ta", "W", "Au")
"""Metals that are learnt with these, too: those of the dose–response, and those whose MEAM is the hardest."""

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
    return sorted((s for s in {n.partition("/")[0] for n in names} if all(f"{s}/{kind}" in names for kind in BASE)), key=atomic_numbers.get)


FINE = {"n_max": [7, 7], "basis_size": [16, 16]}
"""A NEP with 17 Chebyshev functions of the distance where the small one has 9, and 8 combinations of them instead of 6."""


def settings(symbol: str, family: str, l_max: int | None = None) -> dict:
    """The configuration of a family for a metal: the same but for the cutoffs, which go with its nearest-neighbour distance d.

    NEP: 2.4 d, angular 2.0 d; a compact MACE: two layers of 1.7 d.
    """
    d = metal(symbol).nearest_neighbour
    if family == "nep":
        angular = [4, 2, 1] if l_max is None else [l_max, 0, 0]
        found = {"r_max": 2.4 * d, "r_max_angular": 2.0 * d, "n_max": [5, 5], "basis_size": [8, 8], "l_max": angular, "neuron": 30}
    else:
        l_max = 2 if l_max is None else l_max
        found = {"r_max": 1.7 * d, "channels": 8, "max_L": min(1, l_max), "l_max": l_max, "num_layers": 2, "correlation": 3, "lr": 0.02}
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}


def label_name(kind: str, factor: float = 1.0) -> str:
    return kind if factor == 1.0 else f"{kind}[t={factor:g}]"


def labels_of(symbol: str) -> list[str]:
    """All labels of a metal's configurations."""
    return [*BASE, *(label_name("meam", factor) for factor in DOSE if symbol in DOSED), *((WIDE, *UNSCREENED) if symbol in WIDENED else ())]


IN_NAMES = str.maketrans({"[": "-", ",": "-", "]": None, "=": None})
"""A label as part of a file's name."""


def data_file(out: Path, symbol: str, label: str, part: str) -> Path:
    return Path(out) / "data" / symbol / f"{label.translate(IN_NAMES)}-{part}.extxyz"


def wanted(symbol: str, plan: Plan) -> dict:
    """What the data of a metal depend on."""
    return {"frames": plan.frames, "seed": plan.seed, "labels": {label: resolve(f"{symbol}/{label}").sha256 for label in labels_of(symbol)}}


def made_before(symbol: str, out: Path, plan: Plan) -> dict | None:
    """``make_data`` of a metal, where it is there already."""
    summary = Path(out) / "data" / symbol / "data.json"
    if not summary.exists():
        return None
    found = json.loads(summary.read_text("utf-8"))
    return found if found.get("made") == wanted(symbol, plan) else None


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
        said = synthesise(symbol, f"{symbol}/{kind}", folder / f"md-{kind}", Settings(frames=plan.frames, seed=plan.seed))
        phases[kind] = {f"{f['temperature']:g}": f.get("phase", "blown up") for f in said["files"].values()}
        structures += [replace(f, group=f"{kind}-{f.group}", source=f"md-{kind}/{f.source}") for f in layout.read_folder(folder / f"md-{kind}")]
    sets = {label: relabelled(Dataset(symbol, tuple(structures)), resolve(f"{symbol}/{label}")).frames for label in labels_of(symbol)}
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


def trials(out: Path, plan: Plan, data: dict[str, dict]) -> list[Trial]:
    """All trainings, the most important first; a training that belongs to several questions is listed for each."""
    metals, found = list(data), []

    def add(section, symbol, family, label, seed=1, frames=None, l_max=None, factor=None, more=()):
        epochs = plan.epochs if frames is None else round(plan.epochs * data[symbol]["train"] / frames)
        values = settings(symbol, family, l_max) | {"max_epochs": epochs} | dict(more)
        words = {"section": section, "metal": symbol, "label": label}
        words |= {"l_max": l_max} if l_max is not None else {}
        words |= {"t": factor} if factor is not None else {}
        files = [(str(data_file(out, symbol, label, part)),) for part in ("train", "test")]
        found.append(Trial(family, values, *files, seed, frames, words))

    dosed, seeded = ([s for s in group if s in metals] for group in (DOSED, SEEDED))

    def in_metals(family):
        for symbol in metals:
            for label in BASE:
                add("metals", symbol, family, label)

    def dose(family):
        for symbol in dosed:
            for factor in (*DOSE, 1.0):
                add("dose", symbol, family, label_name("meam", factor), factor=factor)

    def smooth(family):
        for symbol in metals:
            if symbol in WIDENED:
                add("smooth", symbol, family, WIDE)

    def screen(family):
        for symbol in metals:
            if symbol in WIDENED:
                for label in UNSCREENED:
                    add("screen", symbol, family, label)

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

    first, *others = FAMILIES
    for part in (in_metals, dose, smooth, screen, seeds):
        part(first)
    fine()
    for family in others:
        in_metals(family)
    for part in (by_frames, angular):
        part(first)
    for family in others:
        for part in (screen, dose, smooth, seeds, angular):
            part(family)
    return found
