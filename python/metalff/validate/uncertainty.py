"""Deviations of an ensemble, or of the committee in one file, on a data set, against its labels; reads and writes no file."""

from dataclasses import asdict

import numpy as np

from metalff.errors import MetalffError
from metalff.validate.calibration import Calibration, Unsure, calibration
from metalff.validate.metrics import STILL

MOST = 200_000
"""Atoms of a group that are judged; of more, evenly spaced frames."""

ALL = "all"


def of_ensemble(dataset, predictions) -> Unsure:
    """Members are whole models: their mean is the prediction, their standard deviation what it is unsure of.

    Args:
        predictions: ``compare.Prediction`` of each member on the set.
    Raises:
        MetalffError: fewer than two members.
    """
    if len(predictions) < 2:
        raise MetalffError("an ensemble has at least two members: give more potentials, or one .mlff file that holds a committee (--set committee=8)")
    deviations, errors = [], []
    for k, frame in enumerate(dataset.frames):
        forces = np.array([one.forces[k] for one in predictions])
        deviations.append(forces.std(axis=0))
        errors.append(forces.mean(axis=0) - frame.forces)
    return _joined(deviations, errors)


def of_committee(dataset, prediction, calculator, step=lambda done: None) -> Unsure:
    """The model itself is the prediction; the committee that its file holds says what it is unsure of.

    Args:
        prediction: ``compare.Prediction`` of the model on the set.
        calculator: ``MLFFCalculator`` of it.
        step: called with the frames done.
    """
    deviations, errors = [], []
    for k, frame in enumerate(dataset.frames):
        deviations.append(calculator.committee_forces(frame.to_atoms()).std(axis=0))
        errors.append(prediction.forces[k] - frame.forces)
        step(k + 1)
    return _joined(deviations, errors)


def _joined(deviations, errors) -> Unsure:
    frame = np.repeat(np.arange(len(errors)), [len(one) for one in errors])
    return Unsure(np.concatenate(deviations), np.concatenate(errors), frame)


def moving(dataset) -> np.ndarray:
    """[F] whether forces are there to be judged: where symmetry makes them vanish (``STILL``) every model is right and sure."""
    return np.array([np.sqrt(np.mean(frame.forces**2)) >= STILL for frame in dataset.frames])


def by_temperature(unsure: Unsure, dataset) -> dict[str, Calibration]:
    """Of all frames that are ``moving``, of each temperature (such as ``300 K``) and of each group of them; groups with too few atoms are left out.

    Raises:
        MetalffError: there are too few atoms in all, or all deviations are zero.
    """
    frames, judged = dataset.frames, moving(dataset)
    keys = {ALL: judged}
    temperatures = np.array([np.nan if frame.temperature is None else frame.temperature for frame in frames])
    for value in np.unique(temperatures[np.isfinite(temperatures)]):
        keys[f"{value:g} K"] = judged & (temperatures == value)
    labels = [frame.group or "" for frame in frames]
    for label in sorted(set(labels) - {""}) if len(set(labels)) > 1 else ():
        keys[label] = judged & np.array([one == label for one in labels])
    found = {}
    for name, chosen in keys.items():
        part = unsure.part(_thinned(chosen, unsure.frame))
        try:
            found[name] = calibration(part)
        except MetalffError:
            if name == ALL:
                raise
    return found


def _thinned(chosen, frame) -> np.ndarray:
    """Places of the atoms of these frames, of evenly spaced ones where they are more than ``MOST``."""
    atoms = np.bincount(frame, minlength=len(chosen))
    every = max(1, -(-int(atoms[chosen].sum()) // MOST))
    some = np.zeros(len(chosen), bool)
    some[np.flatnonzero(chosen)[::every]] = True
    return np.flatnonzero(some[frame])


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


def document(found: dict[str, Calibration], kind: str, members: list[str], dataset) -> dict:
    """``uncertainty.json``; ``kind``: committee or ensemble."""
    return {
        "schema": 1,
        "kind": kind,
        "members": members,
        "dataset": dataset.name,
        "left_out": int(np.sum(~moving(dataset))),
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
