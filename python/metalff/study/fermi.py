"""Do metals with a complicated Fermi surface have large force errors? Indicators beside errors of several sources, correlated over metals.

Sources of errors, each with its own metals: ``dft`` (small models on the bundled DFT sets, trained here), ``labels`` (small models on labels of a queue),
``published`` (universal models, by others), ``eam`` and ``meam`` (small models on synthetic labels of the learnability study: a control, for these labels have
no Fermi surface), and tables of the user.
"""

import csv
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metalff.data import published
from metalff.data.metals import metal, metals
from metalff.errors import MetalffError, nearest
from metalff.study import folds, smearing
from metalff.study.correlation import FEWEST, Correlation, correlate, holm, partial
from metalff.study.forecast import PREDICTORS
from metalff.study.indicators import HEADINGS
from metalff.study.models import settings
from metalff.study.record import bullets
from metalff.study.trial import Trial

SETS = {
    "Li": "zuo2020-Li",
    "Ni": "zuo2020-Ni",
    "Cu": "zuo2020-Cu",
    "Nb": "li2020-Nb",
    "Mo": "li2020-Mo",
    "Ta": "li2020-Ta",
    "W": "li2020-W",
}
"""Bundled DFT of each metal: molecular dynamics of li2020 where both have it."""

FRAMES = 100
"""Training frames of each metal, evenly spaced over its molecular dynamics."""

HOTTEST = 1.25
"""Test frames above this part of the melting temperature do not count: sets go to different ones, up to twice the melting temperature."""

UNSEEN = "forecast"
"""Part of a queue's plan whose labels nobody trains on before a forecast of its metals is frozen."""

KINDS = ("normalised", "force_rmse")
"""Of an error: over the RMS force of the labels, and absolute."""


@dataclass(frozen=True)
class Error:
    """Force error of one model on one metal.

    Attributes:
        source: where it is from.
        model: family or name.
        element: symbol.
        force_rmse, force_rms: eV/Å, of the error and of the labels; NaN where a table has none.
        normalised: their ratio; NaN likewise.
        frames: tested on, or None.
    """

    source: str
    model: str
    element: str
    force_rmse: float
    force_rms: float
    normalised: float
    frames: int | None = None


def trials(families: Sequence[str], seeds: Sequence[int], elements: Sequence[str] = tuple(SETS)) -> list[Trial]:
    """Trainings on the molecular dynamics of the bundled DFT sets, with the settings of ``models``."""
    return [
        Trial(
            family,
            settings(symbol, family),
            (f"{SETS[symbol]}:train[group=aimd]",),
            (f"{SETS[symbol]}:test[group=aimd]",),
            seed,
            FRAMES,
            {"section": "dft", "metal": symbol},
        )
        for family in families
        for symbol in elements
        for seed in seeds
    ]


def of_trials(rows: list[dict]) -> list[Error]:
    """Errors of ``trials``, over test frames up to ``HOTTEST``; squares averaged over seeds."""
    found = []
    for family, symbol in dict.fromkeys((row["family"], row["labels"]["metal"]) for row in rows):
        own = [row["test"] for row in rows if (row["family"], row["labels"]["metal"]) == (family, symbol)]
        limit = HOTTEST * metal(symbol).melting_temperature
        cool = [name for name in own[0] if name != "all" and float(name) <= limit]
        counts = np.array([own[0][name]["frames"] for name in cool], float)
        labels = np.array([own[0][name]["force_rms"] for name in cool])
        errors = np.array([[test[name]["force_rmse"][0] for name in cool] for test in own])
        rms = math.sqrt(float((counts * labels**2).sum() / counts.sum()))
        rmse = math.sqrt(float((counts * (errors**2).mean(axis=0)).sum() / counts.sum()))
        found.append(Error("dft", family, symbol, rmse, rms, rmse / rms, int(counts.sum())))
    return found


def labelled(folder: Path, forecasts: Collection[str]) -> tuple[list[smearing.Metal], list[str]]:
    """Metals of a queue whose labels are enough to judge them, at the smallest width of each; and what is left out, in sentences.

    Args:
        forecasts: metals whose forecast is frozen; those of the part ``UNSEEN`` are left out without one.
    """
    known = smearing.labelled(folder, several=False)
    early = [metal.symbol for metal in known if metal.part == UNSEEN and metal.symbol not in forecasts]
    open_ = [metal for metal in known if metal.symbol not in early]
    notes = [f"labels: {smearing.state(open_)}"] if open_ else []
    if early:
        notes.append(f"labels of {' '.join(early)} are not trained on before their forecast is frozen: metalff predict {' '.join(early)} --out FILE")
    return [metal for metal in open_ if metal.judged], notes


def label_trials(found: list[smearing.Metal], out: Path, families: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """Trainings on the labels of the smallest width."""
    return smearing.trials([metal.at(metal.widths[0]) for metal in found], out, families, seeds)


def of_labels(rows: list[dict]) -> list[Error]:
    """Errors of ``label_trials``, of metals with all folds."""
    found = []
    for family, symbol in dict.fromkeys((row["family"], row["labels"]["metal"]) for row in rows):
        errors = folds.pooled([row for row in rows if (row["family"], row["labels"]["metal"]) == (family, symbol)])
        if errors and errors.folds == smearing.FOLDS:
            found.append(Error("labels", family, symbol, errors.force_rmse, errors.force_rms, errors.normalised, errors.frames))
    return found


def of_publications() -> list[Error]:
    """Errors of universal models on the test frames of the four metals of zuo2020."""
    found = []
    for (symbol, split), models in sorted(published.table().items()):
        if split == "test":
            for one in models:
                whole = one.groups[published.WHOLE]
                found.append(Error("published", one.label, symbol, one.force_rmse, whole["force_rms"], one.normalised, int(whole["frames"])))
    return found


def of_learnability(folder: Path) -> list[Error]:
    """Normalised and absolute errors on EAM and on MEAM labels, of ``trainings.csv`` of that study; the mean over seeds of squares.

    Of a metal with a second MEAM, such as ``Ta-lee``, that one counts or none: the study says nothing of metals by the first.

    Raises:
        MetalffError: the folder has no such table.
    """
    path, rows = Path(folder) / "trainings.csv", {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                if line["section"] in ("metals", "seeds") and line["temperature"] == "all" and line["label"] in ("eam", "meam"):
                    rows.setdefault((line["label"], line["family"], line["metal"]), []).append((float(line["force_rmse"]), float(line["force_rms"])))
    except (OSError, KeyError, ValueError):
        raise MetalffError(f"{path} is no table of trainings; give the folder of `metalff study learnability`") from None
    found, names = [], {name for _, _, name in rows}
    for (label, family, name), values in rows.items():
        symbol = name.partition("-")[0]
        if label == "meam" and name == symbol and any(other.startswith(f"{symbol}-") for other in names):
            continue
        if label == "eam" and name != symbol and (label, family, symbol) in rows:
            continue
        rmse, rms = np.sqrt(np.mean(np.square(values), axis=0)).tolist()
        found.append(Error(label, family, symbol, rmse, rms, rmse / rms))
    return found


WHAT = f"force RMSE ÷ RMS force of a small model trained on {FRAMES} frames of DFT molecular dynamics, on frames up to {HOTTEST:g} of the melting temperature"
"""What ``shipped`` has, and forecasts of it are of."""

SHIPPED = Path(__file__).with_name("errors.csv")


def shipped() -> list[Error]:
    """Errors of the small models on the bundled DFT, as ``metalff study fermi`` found them."""
    with SHIPPED.open(newline="", encoding="utf-8") as stream:
        return [
            Error(
                line["source"],
                line["model"],
                line["element"],
                *(float(line[k]) for k in ("force_rmse", "force_rms", "normalised")),
                int(line["frames"]),
            )
            for line in csv.DictReader(stream)
        ]


COLUMNS = ("element", "model", "force_rmse", "force_rms", "normalised", "frames", "source")
"""Of a table of errors."""


SOURCES = ("dft", "labels", "published", "eam", "meam")
"""Names that no table of a user may have."""


def of_tables(paths: Sequence[Path]) -> list[Error]:
    """Errors of several tables, whose file names are their sources.

    Raises:
        MetalffError: two have one name, or one that a source here has; and as ``of_table``.
    """
    stems = [Path(path).stem for path in paths]
    for path, stem in zip(paths, stems):
        if stem in SOURCES or stems.count(stem) > 1:
            raise MetalffError(f"--table {path}: its errors would be those of another source named {stem}; give the file another name")
    return [error for path in paths for error in of_table(path)]


def error_line(error: Error) -> dict:
    """A line of ``errors.csv``, which ``of_table`` reads."""
    return {name: None if isinstance(value := getattr(error, name), float) and math.isnan(value) else value for name in COLUMNS}


def of_table(path: Path) -> list[Error]:
    """Errors of a user's table: CSV with ``element`` and ``normalised``, or ``force_rmse`` and ``force_rms`` (eV/Å); ``model`` and ``frames`` where known.

    Raises:
        MetalffError: unknown columns or elements, a metal given twice for one model, a number that is none.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns, lines = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetalffError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    for column in columns:
        if column not in COLUMNS:
            raise MetalffError(f"{path}: unknown column {column!r}{nearest(str(column), COLUMNS)}; columns are {', '.join(COLUMNS)}")
    if "element" not in columns or not ("normalised" in columns or {"force_rmse", "force_rms"} <= set(columns)):
        raise MetalffError(f"{path} needs the columns element and normalised, or element, force_rmse and force_rms (eV/Å)")
    if not lines:
        raise MetalffError(f"{path} has no lines")
    found, seen = [], set()
    for number, line in enumerate(lines, 2):
        where = f"{path}, line {number}"
        symbol, model = (line["element"] or "").strip(), (line.get("model") or path.stem).strip()
        if symbol not in metals():
            raise MetalffError(f"{where}: {symbol or 'an empty element'} is no metal that is known here{nearest(symbol, metals())}")
        if (model, symbol) in seen:
            raise MetalffError(f"{where}: {symbol} stands there twice for {model}; give each metal once, or name the models in a column model")
        seen.add((model, symbol))
        rmse, rms, share = (_number(line.get(key), f"{where}: {key}") for key in ("force_rmse", "force_rms", "normalised"))
        if math.isnan(share):
            share = rmse / rms
        if math.isnan(share) and math.isnan(rmse):
            raise MetalffError(f"{where}: no error of {symbol}; give normalised, or force_rmse and force_rms")
        found.append(Error(path.stem, model, symbol, rmse, rms, share))
    return found


def _number(text: str | None, where: str) -> float:
    """A positive number; NaN where nothing stands."""
    if not (text or "").strip():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise MetalffError(f"{where} {text} is no positive number")
    return value


@dataclass(frozen=True)
class Line:
    """One indicator against one error, over the metals that have both.

    Attributes:
        source, model, kind: of the error.
        indicator: its name.
        metals: symbols.
        found: rank correlation.
        held: the same with a covariate held, by name: ``force`` (RMS force of the labels), ``cohesive`` (energy), ``block`` (sp or d metal).
        corrected: Holm's p among all lines of the source.
    """

    source: str
    model: str
    kind: str
    indicator: str
    metals: tuple[str, ...]
    found: Correlation
    held: dict[str, Correlation]
    corrected: float = 1.0


def covariates(errors: list[Error]) -> dict[str, list[float]]:
    """What else may be behind a correlation, by name; without those that some metal lacks."""
    known = [metal(error.element) for error in errors]
    found = {
        "force": [error.force_rms for error in errors],
        "cohesive": [one.cohesive_energy for one in known],
        "block": [float(is_d_metal(one.symbol)) for one in known],
    }
    return {name: values for name, values in found.items() if all(v is not None and math.isfinite(v) for v in values)}


def is_d_metal(symbol: str) -> bool:
    """Whether the metal stands in groups 3 to 11: its d states are near the Fermi level."""
    from metalff.report.periodic_table import place

    return 2 <= place(symbol)[1] <= 10


def correlations(errors: list[Error], indicators: dict[str, dict[str, float]]) -> tuple[list[Line], list[str]]:
    """Every indicator against every error of at least ``FEWEST`` metals.

    Args:
        indicators: element → indicator → value.
    Returns:
        lines, and what was left out, in sentences.
    """
    lines, left_out = [], {}

    def leave_out(source, model, sentence):
        left_out.setdefault((source, sentence), []).append(model)

    names = list(dict.fromkeys(name for own in indicators.values() for name in own))
    for source, model in dict.fromkeys((error.source, error.model) for error in errors):
        own = [error for error in errors if (error.source, error.model) == (source, model)]
        without = [error.element for error in own if error.element not in indicators]
        if without:
            leave_out(source, model, f"no indicators of {' '.join(without)}")
        for kind in KINDS:
            known = [error for error in own if error.element in indicators and math.isfinite(getattr(error, kind))]
            if len(known) < FEWEST:
                if kind == KINDS[0]:
                    leave_out(source, model, f"{len(known)} metals ({' '.join(sorted(e.element for e in known))}), too few for a correlation")
                continue
            for name in names:
                here = [error for error in known if math.isfinite(indicators[error.element].get(name, math.nan))]
                if len(here) < FEWEST:
                    if kind == KINDS[0]:
                        leave_out(source, model, f"{name} is known of {len(here)} of these metals, too few for a correlation")
                    continue
                x, y = [indicators[error.element][name] for error in here], [getattr(error, kind) for error in here]
                held = {}
                if len(here) > FEWEST:
                    held = {cause: partial(x, y, [values]) for cause, values in covariates(here).items() if len(set(values)) > 1}
                lines.append(Line(source, model, kind, name, tuple(error.element for error in here), correlate(x, y), held))
    said = [f"{source}, {', '.join(models) if len(models) <= 3 else f'{len(models)} models'}: {text}" for (source, text), models in left_out.items()]
    return [
        line for source in dict.fromkeys(line.source for line in lines) for line in _corrected([one for one in lines if one.source == source])
    ], said


def _corrected(lines: list[Line]) -> list[Line]:
    return [replace(line, corrected=float(p)) for line, p in zip(lines, holm([line.found.p for line in lines]), strict=True)]


def table(lines: list[Line]) -> list[dict]:
    """Lines for a CSV file."""
    made = []
    for line in lines:
        words = {"source": line.source, "model": line.model, "error": line.kind, "indicator": line.indicator, "metals": " ".join(line.metals)}
        words |= {"count": line.found.count, "rho": line.found.rho, "low": line.found.low, "high": line.found.high, "p": line.found.p}
        words |= {"p_holm": line.corrected}
        for cause in ("force", "cohesive", "block"):
            if cause in line.held:
                words |= {f"rho_{cause}": line.held[cause].rho, f"low_{cause}": line.held[cause].low, f"high_{cause}": line.held[cause].high}
                words |= {f"p_{cause}": line.held[cause].p}
        made.append(words)
    return made


def name(line: Line) -> str:
    """Of its indicator, for people."""
    return HEADINGS.get(line.indicator, line.indicator)


def chance(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def statements(lines: list[Line]) -> list[str]:
    """What the correlations say, source by source."""
    said = []
    if not lines:
        return said
    for source in dict.fromkeys(line.source for line in lines):
        own = [line for line in lines if line.source == source]
        strong, most = sum(line.corrected < 0.05 for line in own), max(line.found.count for line in own)
        least = len(own) * 2 / math.factorial(most)
        sentence = (
            f"{source}: {len(own)} correlations were asked; {strong} remain below p = 0.05 after Holm's correction for that number, "
            f"{sum(line.found.p < 0.05 for line in own)} before it, where {0.05 * len(own):.1f} would be by chance alone."
        )
        said.append(sentence + (f" Over {most} metals even a perfect order would have p = {least:.2f} after it." if least > 0.05 else ""))
    for source, model, kind in dict.fromkeys((line.source, line.model, line.kind) for line in lines):
        own = [line for line in lines if (line.source, line.model, line.kind) == (source, model, kind) and math.isfinite(line.found.rho)]
        if not own:
            continue
        best = min(own, key=lambda line: line.found.p)
        sure = sorted((line for line in own if line.found.p < 0.05 and line is not best), key=lambda line: line.found.p)
        words = ", ".join(f"{name(line)} {line.found.rho:+.2f} ({chance(line.found.p)})" for line in sure)
        held = "; ".join(f"with {HELD[cause]} held {one.rho:+.2f} ({chance(one.p)})" for cause, one in best.held.items() if math.isfinite(one.rho))
        said.append(
            f"{source}, {model}, {WORDS[kind]}; smallest p: {name(best)} over {best.found.count} metals, ρ = {best.found.rho:+.2f} "
            f"({best.found.low:+.2f} to {best.found.high:+.2f}), {chance(best.found.p)}, Holm {best.corrected:.3f}{'; ' + held if held else ''}. "
            f"{'Others with p < 0.05 before correction: ' + words if words else 'No other has p < 0.05'}."
        )
    return said


HELD = {"force": "the RMS force", "cohesive": "the cohesive energy", "block": "sp or d metal"}

WORDS = {"normalised": "normalised error", "force_rmse": "force RMSE"}


def markdown(errors: list[Error], lines: list[Line], left_out: list[str], judged: list[str], headings: dict[str, str]) -> str:
    """Errors and correlations as tables, statements, how forecasts went, and what was left out.

    Args:
        headings: names of indicators for people.
    """
    text = ["| source | model | error | indicator | metals | ρ | 95 % | p | Holm | ρ, force held | ρ, cohesive held | ρ, sp or d held |"]
    text.append("|---|---|---|---|---:|---:|---|---:|---:|---:|---:|---:|")
    for line in lines:
        held = [f"{line.held[cause].rho:+.2f}" if cause in line.held and math.isfinite(line.held[cause].rho) else "" for cause in HELD]
        numbers = [f"{line.found.rho:+.2f}", f"{line.found.low:+.2f} to {line.found.high:+.2f}", f"{line.found.p:.3f}", f"{line.corrected:.3f}"]
        words = [line.source, line.model, WORDS[line.kind], headings.get(line.indicator, line.indicator), str(line.found.count), *numbers, *held]
        text.append(f"| {' | '.join(words)} |")
    text += ["", *bullets(statements(lines))]
    text += ["", "Forecasts:", "", *bullets(judged)] if judged else []
    text += ["", "Left out:", "", *bullets(left_out)] if left_out else []
    text += ["", "| source | model | metal | RMS force, meV/Å | force RMSE | normalised, % |", "|---|---|---|---:|---:|---:|"]
    for error in errors:
        numbers = (
            f"{scale * value:.1f}" if math.isfinite(value) else ""
            for value, scale in ((error.force_rms, 1e3), (error.force_rmse, 1e3), (error.normalised, 100))
        )
        text.append(f"| {error.source} | {error.model} | {error.element} | {' | '.join(numbers)} |")
    return "\n".join(text) + "\n"


def figures(errors: list[Error], lines: list[Line], indicators, headings: dict[str, str]) -> dict[str, object]:
    """Every picture that the lines allow, by file name."""
    found = {f"correlations-{kind}": matrix(lines, headings, kind) for kind in KINDS if any(line.kind == kind for line in lines)}
    if found:
        found["errors"] = scatter(errors, indicators, PREDICTORS, headings)
    return found


def matrix(lines: list[Line], headings: dict[str, str], kind: str = KINDS[0]):
    """ρ of every indicator and error as coloured cells, with the number of metals; those with p < 0.05, before correction, in bold."""
    from matplotlib.figure import Figure

    own = [line for line in lines if line.kind == kind]
    rows, columns = list(dict.fromkeys(line.indicator for line in own)), list(dict.fromkeys((line.source, line.model) for line in own))
    values = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(figsize=(2.6 + 0.85 * len(columns), 1.6 + 0.34 * len(rows)), dpi=150, layout="constrained")
    axes = figure.subplots()
    counts = {column: max(line.found.count for line in own if (line.source, line.model) == column) for column in columns}
    for line in own:
        r, c = rows.index(line.indicator), columns.index((line.source, line.model))
        values[r, c] = line.found.rho
        if math.isfinite(line.found.rho):
            sure = line.found.p < 0.05
            colour = "white" if abs(line.found.rho) > 0.6 else "#1b2430"
            few = "" if line.found.count == counts[line.source, line.model] else f" ({line.found.count})"
            axes.text(c, r, f"{line.found.rho:+.2f}{few}", ha="center", va="center", fontsize=8, color=colour, weight="bold" if sure else "normal")
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), [f"{source}\n{model}\n{counts[source, model]} metals" for source, model in columns], fontsize=8)
    axes.set_yticks(range(len(rows)), [headings.get(name, name) for name in rows], fontsize=8)
    axes.set_title(f"Spearman's ρ with the {WORDS[kind]}; bold: p < 0.05 before Holm's correction; (metals, where fewer)", fontsize=9)
    figure.colorbar(drawn, ax=axes, fraction=0.04)
    return figure


def scatter(errors: list[Error], indicators: dict[str, dict[str, float]], names: Sequence[str], headings: dict[str, str]):
    """Normalised error against some indicators, a panel for each, every metal by its name; sources with at least ``FEWEST`` metals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from metalff.report.axes import place, plain

    groups = [key for key in dict.fromkeys((e.source, e.model) for e in errors) if sum((e.source, e.model) == key for e in errors) >= FEWEST]
    figure = Figure(figsize=(3.6 * len(names), 0.6 + 2.7 * len(groups)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes, named = figure.subplots(len(groups), len(names), squeeze=False), []
    for row, key in zip(axes, groups):
        own = [e for e in errors if (e.source, e.model) == key and e.element in indicators and math.isfinite(e.normalised)]
        for panel, name in zip(row, names):
            known = [(e.element, indicators[e.element].get(name, math.nan), 100 * e.normalised) for e in own]
            known = [point for point in known if math.isfinite(point[1])]
            for colour, wanted in (("#d1566e", True), ("#3b7dd8", False)):
                chosen = [point for point in known if is_d_metal(point[0]) is wanted]
                panel.plot([x for _, x, _ in chosen], [y for *_, y in chosen], "o", markersize=5, color=colour)
            panel.set(xlabel=headings.get(name, name), yscale="log")
            panel.margins(0.12)
            plain(panel.yaxis)
            panel.grid(alpha=0.3, which="both")
            panel.xaxis.label.set_fontsize(8)
            named.append((panel, known))
        row[0].set_ylabel(f"{' '.join(key)}:\nRMSE ÷ RMS force (%)", fontsize=8)
    figure.suptitle("blue: sp metals, red: d metals", fontsize=9)
    figure.draw_without_rendering()
    for panel, points in named:
        place(panel, points)
    return figure
