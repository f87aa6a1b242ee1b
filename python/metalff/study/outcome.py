"""What the trainings of ``learnability`` say: tables of numbers and their pictures."""

from typing import NamedTuple

import numpy as np

from metalff.report.axes import plain
from metalff.study.learnability import BASE, UNSCREENED, WIDE

COLOURS = {"eam": "#8b949e", "meam": "#d1566e"}


def chosen(rows, **labels) -> list[dict]:
    """Rows by section, metal, label, family, seed …"""
    return [
        row
        for row in rows
        if all((row["labels"] | {"family": row["family"], "seed": row["seed"]}).get(key) == value for key, value in labels.items())
    ]


def normalised(row: dict, temperature: str = "all") -> list[float] | None:
    """[value, low, high] of force RMSE ÷ RMS force; None where the temperature is missing."""
    return row["test"].get(temperature, {}).get("normalised")


MAIN, FINE = ("metals", "seeds"), ("fine",)
"""Sections of the trainings that compare all metals: of each family, and of the NEP with the finer radial basis."""


class Comparison(NamedTuple):
    """All metals, learnt by one model: name in files, name for people, family, sections of the trainings, and what was found per metal."""

    file: str
    name: str
    family: str
    sections: tuple[str, ...]
    values: dict[str, dict]


def comparisons(rows) -> list[Comparison]:
    """Every comparison of which there is a metal."""
    found = []
    for family in dict.fromkeys(row["family"] for row in rows):
        found.append(Comparison(family, family.upper(), family, MAIN, per_metal(rows, family)))
        found.append(Comparison(f"{family}-fine", f"{family.upper()} with a finer radial basis", family, FINE, per_metal(rows, family, FINE)))
    return [comparison for comparison in found if comparison.values]


def half_interval(logarithms) -> float:
    """Half the 95 % interval of the mean of some seeds, by Student's t; 0 with fewer than three."""
    if len(logarithms) < 3:
        return 0.0
    from scipy.stats import t

    return float(t.ppf(0.975, len(logarithms) - 1) * np.std(logarithms, ddof=1) / np.sqrt(len(logarithms)))


def per_metal(rows, family: str, sections=MAIN) -> dict[str, dict]:
    """Of each metal with both labels: normalised error by label and MEAM ÷ EAM, geometric means over the seeds that both have.

    Intervals (95 %, in logarithms) join that of the seeds, where there are three, and that of the test frames, mean over seeds, in quadrature;
    those of the ratio both labels', as if frames that are hard in one were not in the other.
    """
    found = {}
    for metal in dict.fromkeys(row["labels"]["metal"] for row in rows):
        by_label = {}
        for label in BASE:
            values = {}
            for section in sections:
                for row in chosen(rows, section=section, metal=metal, label=label, family=family):
                    values[row["seed"]] = np.log(normalised(row))
            by_label[label] = values
        if not all(1 in values for values in by_label.values()):
            continue
        seeds = sorted(set(by_label["eam"]) & set(by_label["meam"]))
        logs = {label: np.array([values[s] for s in seeds]) for label, values in by_label.items()}
        frames = {label: float((of[:, 2] - of[:, 1]).mean() / 2) for label, of in logs.items()}
        words = {}
        for name, values, of_frames in (
            *((label, logs[label][:, 0], frames[label]) for label in BASE),
            ("ratio", logs["meam"][:, 0] - logs["eam"][:, 0], np.hypot(*frames.values())),
        ):
            mean, half = float(values.mean()), np.hypot(half_interval(values), of_frames)
            words |= {name: float(np.exp(mean)), f"{name}_low": float(np.exp(mean - half)), f"{name}_high": float(np.exp(mean + half))}
        found[metal] = words | {"seeds": len(seeds)}
    return found


def metal_lines(rows, data: dict[str, dict]) -> list[dict]:
    """One line per family and metal, for a table."""
    lines = []
    for comparison in comparisons(rows):
        for metal, values in comparison.values.items():
            lines.append({"family": comparison.file, "metal": metal, **values, "frames": data[metal]["train"], "left_out": data[metal]["left_out"]})
    return lines


def series(rows, section: str, family: str, x: str) -> dict[str, dict[str, np.ndarray]]:
    """By metal and label [K,4]: x, normalised error, low, high. ``x``: frames, l_max or t; all MEAM labels of a dose–response are one series."""
    found = {}
    for row in chosen(rows, section=section, family=family):
        label = row["labels"]["label"].partition("[")[0]
        position = row["frames"] if x == "frames" else row["labels"].get(x)
        if position is not None:
            found.setdefault(row["labels"]["metal"], {}).setdefault(label, []).append((position, *normalised(row)))
    return {metal: {label: np.array(sorted(points)) for label, points in labels.items()} for metal, labels in found.items()}


def temperature_lines(rows) -> list[dict]:
    """Normalised errors of the main trainings by temperature."""
    lines = []
    for row in chosen(rows, section="metals"):
        for temperature, errors in row["test"].items():
            value, low, high = errors["normalised"]
            words = {"family": row["family"], "metal": row["labels"]["metal"], "label": row["labels"]["label"], "temperature": temperature}
            lines.append(
                words | {"force_rms": errors["force_rms"], "force_rmse": errors["force_rmse"][0], "normalised": value, "low": low, "high": high}
            )
    return lines


def ratio_table(values: dict[str, dict], name: str):
    """MEAM ÷ EAM of each metal on a periodic table."""
    from metalff.report.periodic_table import periodic_table

    return periodic_table(
        {metal: v["ratio"] for metal, v in values.items()},
        "normalised force error of MEAM ÷ that of EAM, same configurations",
        f"Is MEAM harder to learn than EAM? {name}",
        log=True,
        fmt="{:.2f}",
        below={metal: f"{v['ratio_low']:.2f}–{v['ratio_high']:.2f}" for metal, v in values.items()},
        centre=1.0,
    )


def bars(values: dict[str, dict], name: str):
    """Normalised errors on EAM and on MEAM labels, metal by metal, in the order of those on MEAM."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    order = sorted(values, key=lambda metal: values[metal]["meam"])
    for shift, label in ((-0.2, "eam"), (0.2, "meam")):
        y = np.array([100 * values[m][label] for m in order])
        spread = 100 * np.array([[values[m][f"{label}_low"] for m in order], [values[m][f"{label}_high"] for m in order]])
        errors = np.clip([y - spread[0], spread[1] - y], 0, None)
        axes.bar(np.arange(len(order)) + shift, y, 0.38, color=COLOURS[label], label=label.upper())
        axes.errorbar(np.arange(len(order)) + shift, y, errors, fmt="none", ecolor="#1b2430", elinewidth=0.8)
    axes.set_xticks(range(len(order)), order)
    axes.set(ylabel="force RMSE ÷ RMS force (%)", title=f"{name} on EAM and on MEAM labels of the same configurations")
    axes.title.set_fontsize(10)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    return figure


AXES = {"t": "factor of t1, t2, t3", "frames": "training frames", "l_max": "angular resolution l_max of the model"}


def lines(found: dict[str, dict], x: str, family: str):
    """A panel per metal: normalised error against ``x``, for EAM and MEAM labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.5 * len(found) + 0.6, 3.2), dpi=150, layout="constrained")
    for axes, (metal, labels) in zip(np.atleast_1d(figure.subplots(1, len(found))), found.items()):
        for label, points in labels.items():
            y = 100 * points[:, 1:]
            errors = np.clip([y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]], 0, None)
            axes.errorbar(points[:, 0], y[:, 0], errors, color=COLOURS[label], marker="o", markersize=4, linewidth=1.3, label=label.upper())
        axes.set(title=metal, xlabel=AXES[x])
        axes.set_ylim(bottom=0)
        if x == "frames":
            axes.set(xscale="log")
            plain(axes.xaxis)
        if x == "l_max":
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.label.set_fontsize(7.5)
        axes.tick_params(labelsize=8)
    first = figure.axes[0]
    first.set_ylabel("force RMSE ÷ RMS force (%)", fontsize=9)
    first.legend(frameon=False, fontsize=8)
    figure.suptitle(family.upper(), fontsize=10)
    return figure


def figures(rows) -> dict[str, object]:
    """Every picture that the rows allow, by file name."""
    found = {}
    for file, name, _, _, values in comparisons(rows):
        found[f"ratio-{file}"] = ratio_table(values, name)
        found[f"metals-{file}"] = bars(values, name)
    for family in dict.fromkeys(row["family"] for row in rows):
        for section, x in (("dose", "t"), ("frames", "frames"), ("angular", "l_max")):
            points = series(rows, section, family, x)
            points = {metal: labels for metal, labels in points.items() if any(len(p) > 1 for p in labels.values())}
            if points:
                found[f"{section}-{family}"] = lines(points, x, family)
    return found


def statements(rows) -> list[str]:
    """What the numbers say about the claims, in sentences with the numbers in them."""
    said = []
    for _, name, family, sections, values in comparisons(rows):
        eam, meam = (np.array([v[label] for v in values.values()]) for label in BASE)
        harder = [m for m, v in values.items() if v["ratio_low"] > 1]
        easier = [m for m, v in values.items() if v["ratio_high"] < 1]
        said.append(
            f"{name}: of {len(values)} metals MEAM is harder than EAM (interval of the ratio above 1) for {len(harder)} ({' '.join(harder) or 'none'}), easier for "
            f"{len(easier)} ({' '.join(easier) or 'none'}); the geometric mean of the ratio is {np.exp(np.log(meam / eam).mean()):.2f}. "
            f"Normalised errors: EAM {100 * np.median(eam):.1f}% (median; {100 * eam.min():.1f} to {100 * eam.max():.1f}%), MEAM {100 * np.median(meam):.1f}% "
            f"({100 * meam.min():.1f} to {100 * meam.max():.1f}%)."
        )
        if sections != MAIN:
            continue
        words = []
        for metal in series(rows, "dose", family, "t"):
            doses = sorted(chosen(rows, section="dose", family=family, metal=metal), key=lambda row: row["labels"]["t"])
            if len(doses) > 2:
                words.append(f"{metal} {', '.join(_dose(row) for row in doses)}")
        if words:
            without = _beside(chosen(rows, section="dose", family=family, t=0.0), values)
            said.append(f"{name}, EAM / MEAM without angular weights (t = 0) / MEAM: {without}.")
            said.append(
                f"{name}, dose–response; factor of the angular weights: normalised error, force RMSE and RMS force in eV/Å: {'; '.join(words)}."
            )
        if smooth := _beside(chosen(rows, section="smooth", family=family), values):
            said.append(f"{name}, EAM / MEAM cut off over 1 Å (delr = 1) / MEAM: {smooth}.")
        if screened := _screening(rows, family, values):
            said.append(
                f"{name}, step by step: EAM / MEAM without angles (t = 0, screen = 0, delr = 1) / with angular weights (screen = 0, delr = 1) / with screening, "
                f"too (delr = 1) / MEAM: {screened}."
            )
        for section, x, title in (("frames", "frames", "training frames"), ("angular", "l_max", "angular resolution l_max")):
            words = []
            for metal, labels in series(rows, section, family, x).items():
                shown = [f"{label.upper()} {', '.join(f'{at:g}: {100 * v:.1f}%' for at, v in p[:, :2])}" for label, p in labels.items() if len(p) > 1]
                words += [f"{metal} {'; '.join(shown)}"] if shown else []
            if words:
                said.append(f"{name}, {title}: normalised error: {'. '.join(words)}.")
    return said


def _beside(rows, values: dict) -> str:
    """Normalised errors of these rows between those of EAM and MEAM of the same metals."""
    known = [(row["labels"]["metal"], 100 * normalised(row)[0]) for row in rows if row["labels"]["metal"] in values]
    return ", ".join(f"{metal} {100 * values[metal]['eam']:.1f} / {error:.1f} / {100 * values[metal]['meam']:.1f}%" for metal, error in known)


def _screening(rows, family: str, values: dict) -> str:
    """Normalised errors from EAM by way of MEAM without angles, without screening and cut off over 1 Å to MEAM, where all are known."""
    words = []
    for metal, v in values.items():
        between = [chosen(rows, family=family, metal=metal, label=label) for label in (*UNSCREENED, WIDE)]
        if all(between):
            errors = [v["eam"], *(normalised(found[0])[0] for found in between), v["meam"]]
            words.append(f"{metal} {' / '.join(f'{100 * error:.1f}' for error in errors)}%")
    return ", ".join(words)


def _dose(row) -> str:
    errors = row["test"]["all"]
    return f"{row['labels']['t']:g}: {100 * errors['normalised'][0]:.1f}% ({errors['force_rmse'][0]:.3f} of {errors['force_rms']:.2f})"


def markdown(rows) -> str:
    """The errors of all metals as tables, and the statements."""
    text = []
    for _, name, _, _, values in comparisons(rows):
        text += [f"Force RMSE ÷ RMS force, %, {name}:", "", "| metal | EAM | MEAM | MEAM ÷ EAM | seeds |", "|---|---|---|---|---|"]
        for metal, v in sorted(values.items(), key=lambda item: -item[1]["ratio"]):
            errors = [f"{100 * v[label]:.1f} ({100 * v[f'{label}_low']:.1f}–{100 * v[f'{label}_high']:.1f})" for label in BASE]
            text.append(f"| {metal} | {' | '.join(errors)} | {v['ratio']:.2f} ({v['ratio_low']:.2f}–{v['ratio_high']:.2f}) | {v['seeds']} |")
        text.append("")
    return "\n".join([*text, *(f"- {sentence}" for sentence in statements(rows))]) + "\n"
