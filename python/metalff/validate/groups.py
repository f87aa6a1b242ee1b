"""Errors group by group: absolute, beside the forces of the group, and what part of the whole squared error is made there.

A set's own groups (``aimd``, ``surface``, a phase …), of one with several temperatures also each of these: ``aimd``, ``aimd 300 K``, ``aimd 3000 K``;
of a set of several metals those of each: ``Cu solid``. Every place that tells errors of a set asks this module, so that all tell the same:

| key | unit | |
|---|---|---|
| ``frames``, ``atoms`` | | |
| ``force_rms`` | eV/Å | RMS force of the labels |
| ``force_rmse``, ``force_mae`` | eV/Å | per component |
| ``normalised`` | 1 | RMSE / RMS force; missing where symmetry makes the forces vanish (below ``STILL``): the ratio would be that of two roundings |
| ``share`` | 1 | part of the squared force error of all frames; those of groups add up to 1, those of its temperatures to that of a group |
| ``energy_rmse``, ``energy_mae`` | eV/atom | raw |
| ``energy_rmse_offset``, ``energy_mae_offset`` | eV/atom | after the constants of the whole set; missing where none were fitted |
| ``stress_rmse``, ``stress_mae``, ``stress_frames`` | eV/Å³ | over the 6 distinct components; missing where no frame has a stress |
"""

from typing import NamedTuple

import numpy as np

from metalff.validate.metrics import STILL, FrameErrors

UNNAMED = "other"
"""What frames without a group are called beside others that have one."""


UNGROUPED = "frames without a group"
"""What they are called in a sentence."""

PART = ", "
"""Between the name of a data set and that of a group of it, where errors of both have names."""

MOST = 24
"""Groups and parts of them that are listed line by line; files have them all."""


class Condition(NamedTuple):
    """Frames of one element, group (a phase, or a kind of structure; '' where unknown) and temperature (K; None where unknown)."""

    element: str
    group: str
    temperature: float | None


def condition_of(frame) -> Condition:
    """Of a frame; a condition is its own."""
    return frame if isinstance(frame, Condition) else Condition("-".join(frame.elements), frame.group, frame.temperature)


def groups_of(frames) -> dict[str, np.ndarray]:
    """Label → numbers of its frames, by name; the temperatures of a group that has several follow it, rising.

    Args:
        frames: or their conditions.
    Returns:
        empty where the frames know neither group nor temperature, and are of one element.
    """
    conditions = [condition_of(frame) for frame in frames]
    several = len({c.element for c in conditions}) > 1
    grouped = any(c.group for c in conditions)
    found: dict[str, dict] = {}
    for number, (element, group, temperature) in enumerate(conditions):
        name = group or (UNNAMED if grouped else "")
        label = " ".join(word for word in (element if several else "", name) if word)
        found.setdefault(label, {}).setdefault(temperature, []).append(number)
    parts = {}
    for label, by_temperature in sorted(found.items()):
        if label:
            parts[label] = np.sort(np.concatenate(list(by_temperature.values())))
        if len(by_temperature) > 1 or not label:
            known = sorted(t for t in by_temperature if t is not None)
            parts |= {f"{label} {t:g} K".strip(): np.array(by_temperature[t]) for t in known}
    return parts


def indented(label: str, labels) -> str:
    """A label as a line of a table: that of one temperature of a group which is among the labels, too, is ``  300 K``."""
    words = label.split(" ")
    return f"  {' '.join(words[-2:])}" if words[-1] == "K" and " ".join(words[:-2]) in labels else label


def group_errors(parts, errors: FrameErrors, shift=None) -> dict[str, dict[str, float]]:
    """Errors of each part of some frames; keys and units in the table of this module, JSON types only.

    Args:
        parts: label → numbers of its frames, such as ``groups_of`` gives.
        errors: of all frames.
        shift: [F] eV per atom that constants fitted on all frames add to the energies.
    """
    whole = errors.force_square_error.sum()
    return {label: _errors(errors, chosen, whole, shift) for label, chosen in parts.items()}


def _errors(errors: FrameErrors, chosen, whole: float, shift) -> dict[str, float]:
    own = FrameErrors(*(column[chosen] for column in errors))
    components = 3 * own.atoms.sum()
    square, rms = own.force_square_error.sum(), np.sqrt(own.force_square.sum() / components)
    values = {
        "force_rms": rms,
        "force_rmse": np.sqrt(square / components),
        "force_mae": own.force_absolute_error.sum() / components,  # not in tables of older trainings
        "normalised": np.sqrt(square / own.force_square.sum()) if rms >= STILL else np.nan,
        "share": square / whole if whole else np.nan,
        **_spread("energy", own.energy_error),
        **({} if shift is None else _spread("energy", own.energy_error + np.asarray(shift)[chosen], "_offset")),
    }
    if (known := np.isfinite(own.stress_square_error)).any():
        values["stress_rmse"] = np.sqrt(own.stress_square_error[known].mean())
        values["stress_mae"] = own.stress_absolute_error[known].mean()
        values["stress_frames"] = int(known.sum())
    counts = {"frames": len(own.atoms), "atoms": int(own.atoms.sum())}
    return counts | {key: value if isinstance(value, int) else float(value) for key, value in values.items() if np.isfinite(value)}


def _spread(name: str, error, ending: str = "") -> dict[str, float]:
    return {f"{name}_rmse{ending}": np.sqrt(np.mean(error**2)), f"{name}_mae{ending}": np.mean(np.abs(error))}


def still(groups: dict[str, dict]) -> list[str]:
    """Groups to whose forces no error can be compared."""
    return [label for label, errors in groups.items() if "normalised" not in errors]


def still_sentence(labels) -> str:
    """Why these groups have no normalised error; '' where there are none."""
    if not labels:
        return ""
    return f"No RMSE / RMS force for {', '.join(labels)}: symmetry makes the forces there vanish (RMS below {STILL:g} eV/Å)."


def in_words(errors: dict[str, float]) -> str:
    """Errors of a set or a group in one line; what is not known is left out."""
    words = []

    def add(key: str, form: str, scale: float = 1.0):
        if key in errors:
            words.append(form.format(scale * errors[key]))

    add("force_rmse", "force RMSE {:.4f}")
    add("force_mae", "MAE {:.4f}")
    add("force_rms", "RMS force {:.4f}")
    if words:
        words[-1] += " eV/Å"
    add("normalised", "{:.1f} % of it", 100)
    add("share", "{:.1f} % of the squared error", 100)
    energy = "energy_rmse_offset" if "energy_rmse_offset" in errors else "energy_rmse"
    add(energy, f"energy RMSE {{:.2f}} meV/atom{' after offset' if energy != 'energy_rmse' else ''}", 1000)
    add("stress_rmse", "stress RMSE {:.2f} meV/Å³", 1000)
    return ", ".join(words) + (f" ({errors['frames']:.0f} frames)" if "frames" in errors else "")


COLUMNS = {
    "frames": ("frames", "{:.0f}", 1),
    "force_rms": ("RMS force", "{:.3f}", 1),
    "force_rmse": ("force RMSE", "{:.4f}", 1),
    "force_mae": ("MAE", "{:.4f}", 1),
    "normalised": ("RMSE/RMS", "{:.3f}", 1),
    "share": ("share of error²", "{:.1f} %", 100),
    "energy_rmse": ("energy", "{:.2f}", 1000),
    "stress_rmse": ("stress", "{:.2f}", 1000),
}
"""Heading, form and scale of what ``lines`` shows: forces in eV/Å, energies (after offset where known) in meV/atom, stresses in meV/Å³."""


def lines(groups: dict[str, dict]):
    """A table in plain text, a line per group and temperature, where there are several; of more than ``MOST`` the groups alone."""
    names = [name for name in groups if indented(name, groups) == name] if len(groups) > MOST else list(groups)
    if len(names) < 2:
        return
    shown = [{**groups[name], "energy_rmse": groups[name].get("energy_rmse_offset", groups[name]["energy_rmse"])} for name in names]
    table = [["", *(indented(name or UNGROUPED, groups) for name in names)]]
    for key, (heading, form, scale) in COLUMNS.items():
        if any(key in errors for errors in shown):
            table.append([heading, *(form.format(scale * errors[key]) if key in errors else "–" for errors in shown)])
    widths = [max(map(len, column)) for column in table]
    for first, *rest in zip(*table):
        yield "  ".join([f"  {first:<{widths[0]}}", *(f"{word:>{width}}" for word, width in zip(rest, widths[1:]))])


def parts_of(name: str, errors: dict[str, dict]) -> dict[str, dict]:
    """Errors of the groups of the data set ``name`` among errors by name."""
    return {other.removeprefix(name + PART): found for other, found in errors.items() if other.startswith(name + PART)}
