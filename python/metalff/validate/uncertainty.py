"""Deviations of an ensemble, or of the committee in one file, on a data set, against its labels; reads and writes no file."""

from dataclasses import asdict

import numpy as np

from metalff.errors import MetalffError
from metalff.validate.calibration import Calibration, Unsure, calibration
from metalff.validate.compare import Keep
from metalff.validate.evaluate import Batch, Wanted
from metalff.validate.metrics import STILL
from metalff.validate.reference import Reference

MOST = 200_000
"""Atoms of a group that are judged; of more, evenly spaced frames."""

ALL = "all"


BYTES = 48
"""Of an atom that is kept: its deviations and errors."""


class Deviations(Keep):
    """Takes deviations and errors of the frames that ``by_temperature`` judges, besides what another takes.

    Args:
        committee: deviations are those of the committee in the file of the only potential, which is the prediction; else those of the potentials among
            each other, whose mean is the prediction.
    Raises:
        MetalffError: there are more of them than memory is free.
    """

    def __init__(self, reference: Reference, committee: bool, other: Keep | None = None):
        self.other, self.committee = other or Keep(), committee
        self.chosen = np.zeros(len(reference), bool)
        for frames in selections(reference).values():
            self.chosen[frames] = True
        needed, free = BYTES * int(reference.atoms[self.chosen].sum()), available()
        if needed > free // 2:
            raise MetalffError(
                f"--uncertainty would keep {needed / 1e9:.1f} GB of deviations and errors, more than half of the {free / 1e9:.1f} GB that are free; "
                "give a part of the set, such as --data 'SET[temperature=300]'"
            )
        self._deviations, self._errors, self._frames = [], [], []

    def wanted(self, frames: slice) -> Wanted:
        return self.other.wanted(frames)._replace(unsure=self.chosen[frames], committee=self.committee)

    def add(self, frames: slice, batch: Batch) -> None:
        self.other.add(frames, batch)
        for number, (deviation, error) in zip(frames.start + np.flatnonzero(self.chosen[frames]), batch.unsure, strict=True):
            self._deviations.append(deviation)
            self._errors.append(error)
            self._frames.append(np.full(len(error), number))

    @property
    def unsure(self) -> Unsure:
        return Unsure(
            *(np.concatenate(one) if one else np.zeros((0, 3)) for one in (self._deviations, self._errors)), np.concatenate(self._frames or [[]])
        )


def available() -> int:
    """Bytes of memory that are free, by the system."""
    with open("/proc/meminfo") as stream:
        return next(1024 * int(line.split()[1]) for line in stream if line.startswith("MemAvailable"))


def moving(reference: Reference) -> np.ndarray:
    """[F] whether forces are there to be judged: where symmetry makes them vanish (``STILL``) every model is right and sure."""
    return np.sqrt(reference.force_square / (3 * reference.atoms)) >= STILL


def selections(reference: Reference) -> dict[str, np.ndarray]:
    """Numbers of the frames that are judged: of all that are ``moving``, of each temperature (such as ``300 K``) and of each group of them, evenly spaced
    ones where they have more atoms than ``MOST``."""
    judged, conditions = moving(reference), reference.conditions
    keys = {ALL: judged}
    temperatures = np.array([np.nan if one.temperature is None else one.temperature for one in conditions])
    for value in np.unique(temperatures[np.isfinite(temperatures)]):
        keys[f"{value:g} K"] = judged & (temperatures == value)
    labels = np.array([one.group or "" for one in conditions])
    for label in sorted(set(labels.tolist()) - {""}) if len(set(labels.tolist())) > 1 else ():
        keys[label] = judged & (labels == label)
    every = {name: max(1, -(-int(reference.atoms[chosen].sum()) // MOST)) for name, chosen in keys.items()}
    return {name: np.flatnonzero(chosen)[:: every[name]] for name, chosen in keys.items()}


def by_temperature(unsure: Unsure, reference: Reference) -> dict[str, Calibration]:
    """Of each of the ``selections``; those with too few atoms are left out.

    Raises:
        MetalffError: there are too few atoms in all, or all deviations are zero.
    """
    found = {}
    for name, frames in selections(reference).items():
        some = np.zeros(len(reference), bool)
        some[frames] = True
        try:
            found[name] = calibration(unsure.part(np.flatnonzero(some[unsure.frame.astype(int)])))
        except MetalffError:
            if name == ALL:
                raise
    return found


def rows(found: dict[str, Calibration]) -> list[dict]:
    """For ``uncertainty.csv``: one line per group of frames; eV/Å."""
    table = []
    for name, one in found.items():
        row = {"frames_of": name, "frames": one.frames, "atoms": one.atoms, "rmse": one.rmse, "deviation": one.deviation, "scale": one.scale}
        row |= dict(zip(("scale_low", "scale_high"), one.scale_interval or (None, None)))
        row |= {"spearman": one.spearman} | dict(zip(("spearman_low", "spearman_high"), one.spearman_interval or (None, None)))
        row |= {f"within_{k}": part for k, part in one.within.items()}
        row |= {"ence": one.ence, "miscalibration": one.miscalibration, "ause": one.ause, "random_area": one.random_area}
        table.append(row)
    return table


def document(found: dict[str, Calibration], kind: str, members: list[str], reference: Reference) -> dict:
    """``uncertainty.json``; ``kind``: committee or ensemble."""
    return {
        "schema": 1,
        "kind": kind,
        "members": members,
        "dataset": reference.name,
        "left_out": int(np.sum(~moving(reference))),
        "groups": {name: asdict(one) for name, one in found.items()},
    }


def figure(found: dict[str, Calibration], title: str):
    """Three panels, a line per temperature: error against deviation, part within a multiple of it, sparsification."""
    from matplotlib.figure import Figure

    shown = {name: one for name, one in found.items() if name == ALL or name.endswith(" K")}
    colours = ["#111111", "#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442"]
    markers = "osD^vP*X"
    sheet = Figure(figsize=(10.8, 3.9), dpi=140, layout="constrained")
    curve, part, sparse = sheet.subplots(1, 3)
    for number, (name, one) in enumerate(shown.items()):
        style = {
            "color": colours[number % 8],
            "marker": markers[number % 8],
            "markersize": 4,
            "linewidth": 1.8 if name == ALL else 1.1,
            "label": name,
        }
        curve.plot([b.deviation for b in one.bins], [b.rmse for b in one.bins], **style)
        part.plot(list(one.within), list(one.within.values()), **style)
        sparse.plot(one.removed, one.left, **style | {"marker": "", "label": None})
    whole = found[ALL]
    sparse.plot(whole.removed, whole.oracle, color="0.4", linestyle=":", label="by the errors of all")
    sparse.axhline(1, color="0.7", linewidth=0.8, linestyle="--")
    values = [v for one in shown.values() for b in one.bins for v in (b.deviation, b.rmse) if v > 0]
    span = [min(values) / 1.3, max(values) * 1.3]
    curve.plot(span, span, color="0.6", linewidth=0.8, linestyle="--")
    curve.set(
        xscale="log", yscale="log", xlim=span, ylim=span, aspect="equal", xlabel="deviation (eV/Å)", ylabel="RMSE of a tenth of the atoms (eV/Å)"
    )
    part.plot([1, 2, 3], [0.6827, 0.9545, 0.9973], color="0.6", linewidth=0.8, linestyle="--", label="Gaussian")
    part.set(xticks=[1, 2, 3], ylim=(0, 1.02), xlabel="multiple of the deviation", ylabel="part of the errors within it")
    sparse.set(xlim=(0, 1), ylim=(0, 1.1), xlabel="part taken away, largest deviation first", ylabel="RMSE of the rest ÷ RMSE")
    part.legend(frameon=False, fontsize=7)
    sparse.legend(frameon=False, fontsize=7, loc="lower left")
    said = (
        f"{whole.scale:.2g} × the deviation is the error",
        f"within σ: {100 * whole.within[1]:.0f} % (68 %)",
        f"ρ = {whole.spearman:.2f}; AUSE {whole.ause:.2f} of {whole.random_area:.2f}",
    )
    for axes, words in zip((curve, part, sparse), said, strict=True):
        axes.set_title(words, fontsize=9, loc="left")
        axes.grid(color="0.93")
        axes.tick_params(labelsize=8)
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
    sheet.suptitle(title, fontsize=9)
    return sheet
