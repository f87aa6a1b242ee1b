"""What the trainings of ``learnability`` say: tables of numbers, and sentences that follow from them.

Every error is told twice: force RMSE (eV/Å), and that ÷ RMS force of the labels. The two potentials' forces on the same frames differ in size, so that
a ratio of one may be that of a numerator and of the other that of a denominator.
"""

from typing import NamedTuple

import numpy as np

from metalff.study import folds
from metalff.study.learnability import BASE, DOSE, SECOND, UNSCREENED, WIDE, WIDTHS, dose_name, element, width_name
from metalff.study.record import bullets

COLOURS = {"eam": "#8b949e", "meam": "#d1566e"}

DARK = "#1b2430"


class Error(NamedTuple):
    """One of the two errors of a row: its name for people, the factor that makes ``unit`` of it, and how many digits are shown."""

    name: str
    factor: float
    unit: str
    digits: int

    def shown(self, value: float) -> str:
        return f"{self.factor * value:.{self.digits}f}"


ERRORS = {"normalised": Error("force RMSE ÷ RMS force", 100.0, "%", 1), "force_rmse": Error("force RMSE", 1000.0, "meV/Å", 1)}

FIRST_NEIGHBOURS = tuple(element(name) for name in SECOND)
"""Metals whose MEAM is screened within a range of 0.8 of C that begins at 2.0, where bcc's second shell sits: told, and left out of what is said of all."""

PATH = ("eam", *UNSCREENED, WIDE, "meam")
"""From EAM to MEAM, with one thing more each time."""

STEPS = ("distances only, another form and other parameters", "angular weights t1–t3", "screening", "sharp cutoff")
"""What each step of ``PATH`` adds."""

LABELLED = ("metals", "smooth", "screen", "dose", "width")
"""Sections whose models differ in their labels alone."""

LEAST = 5
"""Metals that an interval over metals takes."""

DRAWS = 5000


def chosen(rows, **labels) -> list[dict]:
    """Rows by section, metal, label, family, seed …"""
    return [
        row
        for row in rows
        if all((row["labels"] | {"family": row["family"], "seed": row["seed"]}).get(key) == value for key, value in labels.items())
    ]


def error(row: dict, kind: str, temperature: str = "all") -> list[float] | None:
    """[value, low, high] of a row; None where the temperature is missing."""
    return row["test"].get(temperature, {}).get(kind)


def geometric(values, axis=-1):
    return np.exp(np.mean(np.log(values), axis=axis))


def over_metals(values, middle=geometric) -> list[float]:
    """[value, low, high] of positive numbers, one per metal: their geometric mean, or their median, and its 95 % interval when metals are drawn anew.

    Both ends are NaN with fewer than ``LEAST`` metals.
    """
    values = np.asarray(list(values), float)
    if len(values) < LEAST:
        return [float(middle(values)), np.nan, np.nan]
    drawn = np.random.default_rng(1).integers(len(values), size=(DRAWS, len(values)))
    return [float(middle(values)), *np.percentile(middle(values[drawn], axis=1), [2.5, 97.5]).tolist()]


def interval(found: list[float], digits: int = 2) -> str:
    """``2.00 (1.52–2.61)``; without the ends where they are not known."""
    value, low, high = found
    return f"{value:.{digits}f}" + ("" if np.isnan(low) else f" ({low:.{digits}f}–{high:.{digits}f})")


def counted(metals) -> list[str]:
    """Those that sentences about all metals are of."""
    return [metal for metal in metals if metal not in FIRST_NEIGHBOURS]


MAIN, FINE = ("metals", "seeds"), ("fine",)
"""Sections of the trainings that compare all metals: of each family, and of the NEP with the finer radial basis."""


class Comparison(NamedTuple):
    """All metals, learnt by one model: name in files, name for people, family, sections of the trainings, and what was found per metal by error."""

    file: str
    name: str
    family: str
    sections: tuple[str, ...]
    values: dict[str, dict[str, dict]]


TITLES = {"poly": "Polynomial"}


def comparisons(rows) -> list[Comparison]:
    """Every comparison of which there is a metal."""
    found = []
    for family in dict.fromkeys(row["family"] for row in rows):
        title = TITLES.get(family, family.upper())
        for file, name, sections in ((family, title, MAIN), (f"{family}-fine", f"{title} with a finer radial basis", FINE)):
            found.append(Comparison(file, name, family, sections, {kind: per_metal(rows, family, sections, kind) for kind in ERRORS}))
    return [comparison for comparison in found if comparison.values["normalised"]]


def half_interval(logarithms) -> float:
    """Half the 95 % interval of the mean of some seeds; 0 with fewer than three."""
    return folds.half_interval(logarithms) if len(logarithms) >= 3 else 0.0


def per_metal(rows, family: str, sections=MAIN, kind: str = "normalised") -> dict[str, dict]:
    """Of each metal with both labels: the error by label and MEAM ÷ EAM, geometric means over the seeds that both have.

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
                    values[row["seed"]] = np.log(error(row, kind))
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
    """One line per family and metal: normalised errors and their ratio, then both of the force RMSE in meV/Å, under names that end so."""
    lines = []
    for comparison in comparisons(rows):
        for metal, values in comparison.values["normalised"].items():
            absolute = comparison.values["force_rmse"][metal]
            line = {"family": comparison.file, "metal": metal, **values}
            for key, value in absolute.items():
                if key != "seeds":
                    line[f"{key}_absolute" if key.startswith("ratio") else f"{key}_mev"] = value * (1 if key.startswith("ratio") else 1000)
            lines.append(line | {"frames": data[metal]["train"], "left_out": data[metal]["left_out"]})
    return lines


def temperature_lines(rows) -> list[dict]:
    """Errors of the main trainings by temperature, of every seed."""
    lines = []
    for row in rows:
        if row["labels"]["section"] not in MAIN:
            continue
        for temperature, errors in row["test"].items():
            words = {"family": row["family"], "metal": row["labels"]["metal"], "label": row["labels"]["label"], "seed": row["seed"]}
            words |= {"temperature": temperature, "force_rms": errors["force_rms"]}
            for kind, name in (("force_rmse", "force_rmse"), ("normalised", "normalised")):
                words |= dict(zip((name, f"{name}_low", f"{name}_high"), errors[kind], strict=True))
            lines.append(words)
    return lines


def on_frames_of(row: dict, kind: str) -> dict[str, float]:
    """The error on the test frames of the dynamics of each of ``BASE``; empty for results of a MetalFF that kept no groups."""
    found = {}
    for potential in BASE:
        parts = [e for name, e in row.get("groups", {}).items() if name.startswith(f"{potential}-") and not name.endswith(" K")]
        if parts:
            atoms = np.array([part["atoms"] for part in parts])
            square, reference = (atoms @ np.array([part[key] for part in parts]) ** 2 for key in ("force_rmse", "force_rms"))
            found[potential] = float(np.sqrt(square / (atoms.sum() if kind == "force_rmse" else reference)))
    return found


def by_label(rows, family: str, kind: str, frames: str = "") -> dict[str, dict[str, float]]:
    """The error of each metal under each label, of the first seed, which alone has them all; ``frames``: on those of one potential's dynamics alone."""
    found = {}
    for row in rows:
        if row["family"] == family and row["seed"] == 1 and row["labels"]["section"] in LABELLED:
            value = on_frames_of(row, kind).get(frames) if frames else error(row, kind)[0]
            if value is not None:
                found.setdefault(row["labels"]["metal"], {})[row["labels"]["label"]] = value
    return found


def label_lines(rows) -> list[dict]:
    """One line per family, metal and label: both errors, and both on the frames of each potential's dynamics."""
    lines = []
    for family in dict.fromkeys(row["family"] for row in rows):
        tables = {(kind, frames): by_label(rows, family, kind, frames) for kind in ERRORS for frames in ("", *BASE)}
        for metal, labels in tables["normalised", ""].items():
            for label in labels:
                words = {"family": family, "metal": metal, "label": label}
                for (kind, frames), table in tables.items():
                    words["_".join(filter(None, (kind, frames and f"on_{frames}_frames")))] = table.get(metal, {}).get(label)
                lines.append(words)
    return lines


def complete(errors: dict[str, dict[str, float]], labels) -> dict[str, np.ndarray]:
    """Errors of each counted metal under these labels, where all are known."""
    labels = list(labels)
    metals = [metal for metal in counted(errors) if all(label in errors[metal] for label in labels)]
    return {metal: np.array([errors[metal][label] for label in labels]) for metal in metals}


def dosed(errors: dict[str, dict[str, float]], factors, name) -> tuple[list[float], dict[str, np.ndarray]]:
    """The factors of a dose that all counted metals with any but 1 have, and the errors of these metals there."""
    some = [metal for metal in counted(errors) if any(name(f) in errors[metal] for f in factors if f != 1.0)]
    common = [f for f in factors if all(name(f) in errors[metal] for metal in some)]
    if not some or len(common) < 2 or 1.0 not in common:
        return [], {}
    return common, complete({metal: errors[metal] for metal in some}, map(name, common))


def capacity(rows, kind: str) -> dict[str, dict[str, np.ndarray]]:
    """By metal and label [K,2]: functions of the polynomial, error."""
    found = {}
    for row in chosen(rows, section="capacity"):
        labels = row["labels"]
        found.setdefault(labels["metal"], {}).setdefault(labels["label"], []).append((row["functions"], error(row, kind)[0]))
    return {metal: {label: np.array(sorted(points)) for label, points in labels.items()} for metal, labels in found.items()}


def sizes(rows, kind: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Errors [metals, K] by label of counted metals with the same K sizes for both, and the mean numbers of functions [K]."""
    found = {
        m: of for m, of in capacity(rows, kind).items() if m in counted([m]) and set(of) == set(BASE) and len({len(p) for p in of.values()}) == 1
    }
    most = max((len(of["eam"]) for of in found.values()), default=0)
    whole = [of for of in found.values() if len(of["eam"]) == most]
    if not whole:
        return {}, np.zeros(0)
    return {label: np.array([of[label][:, 1] for of in whole]) for label in BASE}, np.mean([of["eam"][:, 0] for of in whole], axis=0)


def series(rows, section: str, family: str, x: str, kind: str = "normalised") -> dict[str, dict[str, np.ndarray]]:
    """By metal and label [K,4]: x (frames or l_max), error, low, high."""
    found = {}
    for row in chosen(rows, section=section, family=family):
        position = row["frames"] if x == "frames" else row["labels"].get(x)
        if position is not None:
            found.setdefault(row["labels"]["metal"], {}).setdefault(row["labels"]["label"], []).append((position, *error(row, kind)))
    return {metal: {label: np.array(sorted(points)) for label, points in labels.items()} for metal, labels in found.items()}


DOSES = {
    "dose": (tuple(sorted((*DOSE, 1.0))), dose_name, "factor of the angular weights t1, t2, t3"),
    "width": (tuple(sorted((*WIDTHS, 1.0))), width_name, "factor of the range Cmin … Cmax of the screening"),
}
"""Of each section: factors of what is changed, what names a label of it, and what people call it."""


def verdicts(values: dict[str, dict[str, dict]]) -> dict[str, dict[str, list[str]]]:
    """By error: counted metals that are harder in MEAM (the interval of the ratio is above 1), and easier (below)."""
    found = {}
    for kind, of in values.items():
        metals = counted(of)
        found[kind] = {"harder": [m for m in metals if of[m]["ratio_low"] > 1], "easier": [m for m in metals if of[m]["ratio_high"] < 1]}
    return found


def statements(rows) -> list[str]:
    """What the numbers say, in sentences with the numbers in them; those of all metals leave ``FIRST_NEIGHBOURS`` out."""
    said = []
    for comparison in comparisons(rows):
        name, family = comparison.name, comparison.family
        metals = counted(comparison.values["normalised"])
        if metals:
            said += _of_all(comparison, metals)
        if comparison.sections != MAIN:
            continue
        tables = {kind: by_label(rows, family, kind) for kind in ERRORS}
        said += _steps(name, tables)
        for factors, label, words in DOSES.values():
            said += _doses(name, tables, factors, label, words)
        said += _frames(name, rows, family)
        for section, x, title in (("frames", "frames", "training frames"), ("angular", "l_max", "angular resolution l_max")):
            words = []
            for metal, labels in series(rows, section, family, x).items():
                shown = [f"{label.upper()} {', '.join(f'{at:g}: {100 * v:.1f}%' for at, v in p[:, :2])}" for label, p in labels.items() if len(p) > 1]
                words += [f"{metal} {'; '.join(shown)}"] if shown else []
            if words:
                said.append(f"{name}, {title}: normalised error: {'. '.join(words)}.")
    return said + _capacity(rows)


def _of_all(comparison: Comparison, metals) -> list[str]:
    """How many metals are harder, in either error and in both, and the middles over metals."""
    found, words = verdicts(comparison.values), []
    for kind, of in ERRORS.items():
        harder, easier = found[kind]["harder"], found[kind]["easier"]
        values = {label: np.array([comparison.values[kind][m][label] for m in metals]) for label in (*BASE, "ratio")}
        words.append(
            f"by {of.name} MEAM is harder than EAM for {len(harder)} ({' '.join(harder) or 'none'}), easier for {len(easier)} ({' '.join(easier) or 'none'}); "
            f"ratio: median {interval(over_metals(values['ratio'], np.median))}, geometric mean {interval(over_metals(values['ratio']))}; EAM median "
            f"{of.shown(np.median(values['eam']))} {of.unit} ({of.shown(values['eam'].min())} to {of.shown(values['eam'].max())}), MEAM "
            f"{of.shown(np.median(values['meam']))} {of.unit} ({of.shown(values['meam'].min())} to {of.shown(values['meam'].max())})"
        )
    both = [m for m in found["normalised"]["harder"] if m in found["force_rmse"]["harder"]]
    return [f"{comparison.name}, {len(metals)} metals: {'; '.join(words)}. Harder by both: {len(both)} ({' '.join(both) or 'none'})."]


def _steps(name: str, tables) -> list[str]:
    """Geometric-mean factors of each step from EAM to MEAM."""
    words = []
    for kind, of in ERRORS.items():
        lines = complete(tables[kind], PATH)
        if not lines:
            return []
        values = np.array(list(lines.values()))
        factors = [f"{step} {interval(over_metals(values[:, k + 1] / values[:, k]))}" for k, step in enumerate(STEPS)]
        words.append(f"{of.name}: {', '.join(factors)}; in all {interval(over_metals(values[:, -1] / values[:, 0]))}")
    return [
        f"{name}, from EAM to MEAM step by step, factors of the error, geometric means of {len(lines)} metals ({' '.join(lines)}): {'. '.join(words)}."
    ]


def _doses(name: str, tables, factors, label, words: str) -> list[str]:
    """The error at each factor of a dose ÷ that at 1, and at how many metals it falls over the whole range."""
    said = []
    for kind, of in ERRORS.items():
        common, lines = dosed(tables[kind], factors, label)
        if not lines:
            return []
        values, own = np.array(list(lines.values())), common.index(1.0)
        shown = [f"{f:g}: {interval(over_metals(values[:, k] / values[:, own]))}" for k, f in enumerate(common) if k != own]
        falls = [m for m, line in lines.items() if line[-1] < line[0]]
        said.append(
            f"{of.name} ÷ that at 1: {', '.join(shown)}; lower at {common[-1]:g} than at {common[0]:g}: {len(falls)} ({' '.join(falls) or 'none'})"
        )
    return [f"{name}, {words}, geometric means of {len(lines)} metals ({' '.join(lines)}): {'. '.join(said)}."]


def _frames(name: str, rows, family: str) -> list[str]:
    """MEAM ÷ EAM on the frames of each potential's dynamics, and of each on its own."""
    words = []
    for kind, of in ERRORS.items():
        tables = {frames: by_label(rows, family, kind, frames) for frames in BASE}
        metals = [m for m in counted(tables["eam"]) if all(label in table.get(m, {}) for table in tables.values() for label in BASE)]
        if not metals:
            return []
        ratios = {f"on the frames of {f.upper()}'s dynamics": [tables[f][m]["meam"] / tables[f][m]["eam"] for m in metals] for f in BASE}
        ratios["each on its own"] = [tables["meam"][m]["meam"] / tables["eam"][m]["eam"] for m in metals]
        words.append(f"{of.name}: {', '.join(f'{where} {interval(over_metals(values))}' for where, values in ratios.items())}")
    return [f"{name}, MEAM ÷ EAM, geometric means of {len(metals)} metals: {'. '.join(words)}."]


def _capacity(rows) -> list[str]:
    """Geometric-mean errors by size, their ratio, and what the last size gains."""
    words = []
    for kind, of in ERRORS.items():
        tables, functions = sizes(rows, kind)
        if not tables or len(functions) < 2:
            return []
        shown = []
        for k, count in enumerate(functions):
            both = " and ".join(of.shown(geometric(tables[label][:, k])) for label in BASE)
            shown.append(f"{count:.0f} functions {both} {of.unit}, ratio {interval(over_metals(tables['meam'][:, k] / tables['eam'][:, k]))}")
        last = ", ".join(f"{label.upper()} {interval(over_metals(tables[label][:, -1] / tables[label][:, -2]))}" for label in BASE)
        words.append(f"{of.name}: {'; '.join(shown)}; the last size times the error of the one before: {last}")
    return [f"Polynomials of {len(tables['eam'])} metals, EAM and MEAM by size, geometric means: {'. '.join(words)}."]


def markdown(rows) -> str:
    """The errors of all metals, by either measure, as tables, those of all labels, and the statements."""
    text = []
    for comparison in comparisons(rows):
        both = [f"{of.name}, {of.unit}: {label.upper()}" for of in ERRORS.values() for label in BASE]
        text += [f"{comparison.name}:", "", f"| metal | {' | '.join([*both[:2], 'MEAM ÷ EAM', *both[2:], 'MEAM ÷ EAM'])} | seeds |", "|" + "---|" * 8]
        first = comparison.values["normalised"]
        for metal in sorted(first, key=lambda metal: -first[metal]["ratio"]):
            cells = []
            for kind, of in ERRORS.items():
                v = comparison.values[kind][metal]
                cells += [f"{of.shown(v[label])} ({of.shown(v[f'{label}_low'])}–{of.shown(v[f'{label}_high'])})" for label in BASE]
                cells.append(f"{v['ratio']:.2f} ({v['ratio_low']:.2f}–{v['ratio_high']:.2f})")
            text.append(f"| {metal}{'*' if metal in FIRST_NEIGHBOURS else ''} | {' | '.join(cells)} | {first[metal]['seeds']} |")
        text += ["", *_labels_table(comparison, rows)]
    if any(m in FIRST_NEIGHBOURS for comparison in comparisons(rows) for m in comparison.values["normalised"]):
        text += ["\\* MEAM of first neighbours, in no sentence about all metals.", ""]
    return "\n".join([*text, *bullets(statements(rows))]) + "\n"


def _labels_table(comparison: Comparison, rows) -> list[str]:
    """Of each label: how many metals, medians of both errors, and error ÷ that of EAM, on all test frames and on those of either dynamics."""
    if comparison.sections != MAIN:
        return []
    tables = {(kind, frames): by_label(rows, comparison.family, kind, frames) for kind in ERRORS for frames in ("", *BASE)}
    labels = dict.fromkeys(label for of in tables["normalised", ""].values() for label in of)
    if set(labels) <= set(BASE):
        return []
    head = "| label | metals | median, % | median, meV/Å | ÷ EAM, normalised | ÷ EAM, absolute | on EAM's frames, normalised, absolute | on MEAM's frames |"
    text = [f"{comparison.name}, by label; ÷ EAM: geometric means over metals:", "", head, "|" + "---|" * 8]
    for label in labels:
        cells = []
        for kind, of in ERRORS.items():
            lines = complete(tables[kind, ""], ("eam", label))
            cells.append(of.shown(np.median([line[1] for line in lines.values()])) if lines else "")
        for frames in ("", *BASE):
            shown = []
            for kind in ERRORS:
                lines = complete(tables[kind, frames], ("eam", label))
                shown.append(interval(over_metals([line[1] / line[0] for line in lines.values()])) if lines else "")
            cells += shown if not frames else [", ".join(filter(None, shown))]
        text.append(f"| {label} | {len(complete(tables['normalised', ''], ('eam', label)))} | {' | '.join(cells)} |")
    return [*text, ""]
