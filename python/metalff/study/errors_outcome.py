"""What a study of errors says: its document, tables, figures and sentences, all made of its rows (see ``errors.evaluate``)."""

import math
from collections import defaultdict
from itertools import combinations

import numpy as np

from metalff.data.metals import metal
from metalff.study import fermi
from metalff.study.correlation import FEWEST, correlate
from metalff.study.errors import relative
from metalff.study.record import bullets
from metalff.validate.metrics import LEVEL, RESAMPLES

COLOURS = ("#3b7dd8", "#d1566e", "#2e9e6b", "#e2a33b", "#7d5fc0", "#4fb0c6", "#8a6d3b", "#c05fae", "#5b6b7f", "#1b2430")
"""Of metals, or of models, in turn."""

COLUMNS = 4
"""Models beside each other in the figure of temperatures."""

TOLD = 10
"""Metals below which correlations with indicators are summed up in one sentence: none of them could be told from chance."""

MOST_LINES = 10
"""Metals whose lines have a colour of their own in the figure of temperatures; of more, colours repeat, and names tell."""


def document(name: str, sets: list[dict], models: list[dict], rows: list[dict], said: list[str], about: dict) -> dict:
    """The content of ``errors.json``.

    Args:
        name: of the data.
        sets: of each metal ``element``, ``train``, ``test`` (what was read) and ``sha256`` of the test frames.
        models: of each model and metal the record of the potential.
        about: ``schema``, ``commands``, ``machine``, ``versions``.
    """
    interval = {"level": LEVEL, "method": "circular block bootstrap within trajectories", "resamples": RESAMPLES}
    return about | {"data": {"name": name, "sets": sets}, "interval": interval, "models": models, "rows": rows, "statements": said}


def whole(rows: list[dict]) -> list[dict]:
    """The rows over all frames."""
    return [row for row in rows if row["temperature"] is None and not row["group"]]


def by_model(rows: list[dict]) -> dict[str, dict[str, dict]]:
    """Model → metal → row over all frames that has a normalised error; the models in their order."""
    found = defaultdict(dict)
    for row in whole(rows):
        if row["normalised"] is not None:
            found[row["model"]][row["element"]] = row
    return dict(found)


def errors_of(rows: list[dict]) -> list[fermi.Error]:
    """For correlations with indicators."""
    return [
        fermi.Error("errors", r["model"], r["element"], r["force_rmse"], r["force_rms"], r["normalised"], r["frames"])
        for own in by_model(rows).values()
        for r in own.values()
    ]


def statements(rows: list[dict], lines: list[fermi.Line]) -> list[str]:
    """What the rows say, in sentences.

    Args:
        lines: correlations of ``fermi.correlations`` with indicators.
    """
    models = by_model(rows)
    said = [sentence for name, own in models.items() if (sentence := _range(name, own))]
    said += _agreement(models) + _sizes(models) + _universal(models) + _temperatures(rows)
    told = fermi.statements(lines)
    if lines and max(line.found.count for line in lines) < TOLD:
        told = [f"{told[0].replace('errors:', 'Indicators of the Fermi surface:', 1)} Each of them: correlations.csv."]
    return said + told


def _range(name: str, own: dict[str, dict]) -> str:
    if len(own) < 2:
        return ""
    low, high = (pick(own.values(), key=lambda r: r["normalised"]) for pick in (min, max))
    order = " < ".join(f"{r['element']} {100 * r['normalised']:.1f}" for r in sorted(own.values(), key=lambda r: r["normalised"]))
    shown = order if len(own) <= 12 else f"median {100 * np.median([r['normalised'] for r in own.values()]):.1f} %"
    return (
        f"{name}, force RMSE ÷ RMS force over {len(own)} metals: from {_share(low)} of {low['element']} to {_share(high)} of {high['element']}, "
        f"{high['normalised'] / low['normalised']:.1f} times as much ({shown}{', in %' if len(own) <= 12 else ''})."
    )


def _share(row: dict) -> str:
    text = f"{100 * row['normalised']:.1f} %"
    return text if row["normalised_low"] is None else f"{text} ({100 * row['normalised_low']:.1f}–{100 * row['normalised_high']:.1f})"


def _agreement(models: dict[str, dict[str, dict]]) -> list[str]:
    """Do models agree on which metals are hard?"""
    found = []
    for one, other in combinations(models, 2):
        shared = [symbol for symbol in models[one] if symbol in models[other]]
        if len(shared) >= FEWEST:
            rho = correlate(*([models[name][symbol]["normalised"] for symbol in shared] for name in (one, other)))
            if math.isfinite(rho.rho):
                found.append((rho, one, other))
    if not found:
        return []
    found.sort(key=lambda item: item[0].rho)
    least, most = found[0], found[-1]
    positive = sum(rho.p < 0.05 and rho.rho > 0 for rho, *_ in found)
    if len(found) == 1:
        rho, one, other = least
        return [f"Order of the metals by normalised error, {one} and {other}, {rho.count} metals: Spearman's ρ {rho.rho:+.2f} (p = {rho.p:.2g})."]
    words = (
        f"Order of the metals by normalised error, {len(found)} pairs of models: Spearman's ρ from {least[0].rho:+.2f} ({least[1]} and {least[2]}, "
    )
    words += f"{least[0].count} metals) to {most[0].rho:+.2f} ({most[1]} and {most[2]}, {most[0].count} metals); "
    return [words + f"{positive} of the pairs are positive with p < 0.05, before any correction for their number."]


def _sizes(models: dict[str, dict[str, dict]]) -> list[str]:
    """Is a large error just a large force?"""
    parts = []
    for name, own in models.items():
        if len(own) < FEWEST:
            continue
        forces = [r["force_rms"] for r in own.values()]
        raw, share = (correlate(forces, [r[key] for r in own.values()]) for key in ("force_rmse", "normalised"))
        parts.append(f"{name} {raw.rho:+.2f} and {share.rho:+.2f} ({fermi.chance(share.p)})")
    return [f"Rank correlation over metals of the RMS force with the force RMSE and with the normalised error: {'; '.join(parts)}."] if parts else []


def _universal(models: dict[str, dict[str, dict]]) -> list[str]:
    """One model for all against one per metal, of the same family, both trained on the metal's frames."""
    said = []
    for name, own in models.items():
        rows = list(own.values())
        if not rows[0]["universal"]:
            continue
        other = next((m for m in models.values() if (first := next(iter(m.values())))["family"] == rows[0]["family"] and not first["universal"]), {})
        pairs = [(r, other[r["element"]]) for r in rows if r["element"] in other]
        fair = [(a, b) for a, b in pairs if a["trained_on_these"] and b["trained_on_these"]]
        if not fair:
            continue
        ratios = {a["element"]: a["normalised"] / b["normalised"] for a, b in fair}
        worse = [
            a["element"] for a, b in fair if None not in (a["normalised_low"], b["normalised_high"]) and a["normalised_low"] > b["normalised_high"]
        ]
        better = [
            a["element"] for a, b in fair if None not in (b["normalised_low"], a["normalised_high"]) and a["normalised_high"] < b["normalised_low"]
        ]
        words = ", ".join(f"{symbol} {value:.2f}" for symbol, value in sorted(ratios.items(), key=lambda item: item[1]))
        middle = math.exp(np.mean(np.log(list(ratios.values()))))
        sentence = (
            f"{name} against one per metal, both trained on these frames: normalised error ÷ that of the metal's own model {words}; geometric mean "
            f"{middle:.2f}. Intervals do not overlap, the universal one worse: {' '.join(worse) or 'none'}; better: {' '.join(better) or 'none'}."
        )
        if strangers := [a["element"] for a, b in pairs if (a, b) not in fair]:
            sentence += f" Not compared, as the two were trained on different frames: {' '.join(strangers)}."
        said.append(sentence)
    return said


def at_temperatures(rows: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """Model → metal → its rows by rising temperature, with normalised errors."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["temperature"] is not None and not row["group"] and row["normalised"] is not None:
            found[row["model"]][row["element"]].append(row)
    return {name: {symbol: sorted(own, key=lambda r: r["temperature"]) for symbol, own in metals.items()} for name, metals in found.items()}


def _temperatures(rows: list[dict]) -> list[str]:
    said = []
    for name, metals in at_temperatures(rows).items():
        ends = {symbol: (own[0], own[-1]) for symbol, own in metals.items() if len(own) > 1}
        if not ends:
            continue
        raw = sum(hot["force_rmse"] > cold["force_rmse"] for cold, hot in ends.values())
        falling = [s for s, (cold, hot) in ends.items() if hot["normalised"] < cold["normalised"]]
        sure = [
            symbol
            for symbol, (cold, hot) in ends.items()
            if None not in (cold["normalised_low"], hot["normalised_low"])
            and (hot["normalised_high"] < cold["normalised_low"] or hot["normalised_low"] > cold["normalised_high"])
        ]
        said.append(
            f"{name}, lowest to highest temperature of each of {len(ends)} metals: the force RMSE grows in {raw}; the normalised error falls in "
            f"{len(falling)} ({' '.join(falling) or 'none'}); the intervals of the normalised error do not overlap in {len(sure)} ({' '.join(sure) or 'none'})."
        )
    return said


def markdown(title: str, rows: list[dict], said: list[str], notes: list[str], figures) -> str:
    """Tables of both errors, the sentences, the figures, and what was left out."""
    models = by_model(rows)
    symbols = list(dict.fromkeys(row["element"] for row in rows))
    text = [f"# {title}", "", "Made by `metalff study errors`; numbers are those of `errors.csv`. Each metal is tested on frames of"]
    text += ["its own: metals differ in the temperatures and kinds of these, too.", ""]
    for heading, cell in (
        ("Force RMSE ÷ RMS force, % (95 % interval)", lambda r: _share(r).replace(" %", "")),
        ("Force RMSE, meV/Å", lambda r: f"{1000 * r['force_rmse']:.1f}"),
    ):
        text += [f"## {heading}", "", f"| metal | frames | RMS force, eV/Å | {' | '.join(models)} |", f"|---|---:|---:|{'---:|' * len(models)}"]
        for symbol in symbols:
            known = {name: own[symbol] for name, own in models.items() if symbol in own}
            if known:
                first = next(iter(known.values()))
                cells = [cell(known[name]) if name in known else "" for name in models]
                text.append(f"| {symbol} | {first['frames']} | {first['force_rms']:.3f} | {' | '.join(cells)} |")
        text.append("")
    text += ["## What the numbers say", "", *bullets(said), ""]
    text += ["## Left out", "", *bullets(notes), ""] if notes else []
    text += ["## Figures", "", *(f"![{name}]({name}.png)" for name in figures)] if figures else []
    return "\n".join(text) + "\n"


def figures(rows: list[dict], lines: list[fermi.Line], values: dict) -> dict[str, object]:
    """Every picture that the rows allow, by file name.

    Args:
        values: indicators, by element and name.
    """
    from metalff.study.indicators import HEADINGS

    found = {}
    models = by_model(rows)
    for kind, scale, label in (("normalised", 100.0, "force RMSE ÷ RMS force (%)"), ("force_rmse", 1000.0, "force RMSE (meV/Å)")):
        limits = _limits([scale * r[kind] for own in models.values() for r in own.values()])
        for name, own in models.items():
            found[f"table-{_file(name)}-{'normalised' if kind == 'normalised' else 'raw'}"] = table(name, own, kind, scale, label, limits)
    if any(len(own) > 1 for metals in at_temperatures(rows).values() for own in metals.values()):
        found["temperatures"] = temperatures(rows)
    if pairs := universal_pairs(models):
        found["universal"] = universal(pairs)
    if lines:
        found |= {f"indicators-{name}": figure for name, figure in fermi.figures(errors_of(rows), lines, values, HEADINGS).items()}
    return found


def _file(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-").replace("/", "-")


def _limits(values: list[float]) -> tuple[float, float] | None:
    """The same for all models, so that their tables can be held beside each other."""
    return (min(values), max(values)) if values else None


def table(name: str, own: dict[str, dict], kind: str, scale: float, label: str, limits):
    """Errors of one model on the periodic table; the RMS force of the labels (eV/Å) as the small line."""
    from metalff.report.periodic_table import periodic_table

    below = {symbol: f"{row['force_rms']:.2f}" for symbol, row in own.items()}
    values = {symbol: scale * row[kind] for symbol, row in own.items()}
    return periodic_table(values, f"{label}; small: RMS force (eV/Å)", name, log=True, fmt="{:.3g}", below=below, limits=limits)


def temperatures(rows: list[dict]):
    """Both errors against temperature over the melting temperature: for each model two panels, one above the other, with a line for each metal."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from metalff.report.axes import plain

    models = {name: {s: own for s, own in metals.items() if len(own) > 1} for name, metals in at_temperatures(rows).items()}
    models = {name: metals for name, metals in models.items() if metals}
    colours = {s: COLOURS[k % MOST_LINES] for k, s in enumerate(dict.fromkeys(s for metals in models.values() for s in metals))}
    columns = min(len(models), COLUMNS)
    blocks = -(-len(models) // columns)
    figure = Figure(figsize=(0.7 + 2.7 * columns, 5.4 * blocks), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 * blocks, columns, squeeze=False)
    for axes in panels[-2:, len(models) - columns * (blocks - 1) :].flat:
        axes.remove()
    named = []
    for k, (kind, scale) in enumerate((("normalised", 100), ("force_rmse", 1000))):
        where = [panels[2 * (n // columns) + k, n % columns] for n in range(len(models))]
        for axes, (name, metals) in zip(where, models.items()):
            axes.sharex(panels[0, 0])
            axes.sharey(panels[k, 0])
            for symbol, own in metals.items():
                x, y = [relative(r["temperature"], symbol) for r in own], [scale * r[kind] for r in own]
                axes.plot(x, y, "o-", markersize=3.5, linewidth=1.1, color=colours[symbol])
                if own[0][f"{kind}_low"] is not None:
                    low, high = ([scale * (r[f"{kind}_{side}"] or r[kind]) for r in own] for side in ("low", "high"))
                    axes.fill_between(x, low, high, color=colours[symbol], alpha=0.13, linewidth=0)
            named.append((axes, [(symbol, scale * own[-1][kind], relative(own[-1]["temperature"], symbol)) for symbol, own in metals.items()]))
            axes.set(yscale="log")
            axes.grid(alpha=0.3, which="both")
            if kind == "normalised":
                axes.set_title(name, fontsize=9)
            else:
                axes.set_xlabel("T / T$_m$", fontsize=8)
            axes.tick_params(labelsize=7)
    for axes, label in zip(panels[:, 0], ("force RMSE ÷ RMS force (%)", "force RMSE (meV/Å)") * blocks):
        axes.set_ylabel(label, fontsize=8)
    for axes, _ in named:
        plain(axes.yaxis)
    figure.draw_without_rendering()
    for axes, points in named:
        _names(axes, points, colours)
    return figure


def _names(axes, points, colours) -> None:
    """The name of each metal beside the end of its line, apart from each other."""
    from metalff.report.axes import place

    for text, (symbol, *_) in zip(place(axes, [(symbol, x, y) for symbol, y, x in points]), points, strict=True):
        text.set_color(colours[symbol])


def universal_pairs(models: dict[str, dict[str, dict]]) -> list[tuple[str, dict, dict]]:
    """(family, row of the universal model, row of the metal's own) wherever there are both."""
    found = []
    for own in models.values():
        first = next(iter(own.values()))
        if not first["universal"]:
            continue
        for other in models.values():
            alone = next(iter(other.values()))
            if alone["family"] == first["family"] and not alone["universal"]:
                found += [(first["family"], row, other[symbol]) for symbol, row in own.items() if symbol in other]
    return found


def universal(pairs):
    """Normalised error of a universal model against that of the metal's own, with intervals; open where the two were trained on different frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from metalff.report.axes import place, plain

    figure = Figure(figsize=(5.4, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    families = list(dict.fromkeys(family for family, *_ in pairs))
    points = []
    for family, one, own in pairs:
        colour = COLOURS[families.index(family)]
        x, y = 100 * own["normalised"], 100 * one["normalised"]
        fair = one["trained_on_these"] and own["trained_on_these"]
        bars = [_bars(row) for row in (own, one)]
        axes.errorbar(
            x, y, xerr=bars[0], yerr=bars[1], color=colour, linewidth=0.7, marker="o", markersize=5, markerfacecolor=colour if fair else "white"
        )
        points.append((one["element"], x, y))
    low, high = (pick(v for _, *xy in points for v in xy) for pick in (min, max))
    axes.plot([0.8 * low, 1.25 * high], [0.8 * low, 1.25 * high], color="0.6", linewidth=0.8, zorder=0)
    for family in families:
        axes.plot([], [], "o", color=COLOURS[families.index(family)], label=family)
    if any(not (one["trained_on_these"] and own["trained_on_these"]) for _, one, own in pairs):
        axes.plot([], [], "o", color="0.4", markerfacecolor="white", label="trained on different frames")
    axes.set(xscale="log", yscale="log", xlabel="own model: force RMSE ÷ RMS force (%)", ylabel="universal model: force RMSE ÷ RMS force (%)")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3, which="both")
    for side in (axes.xaxis, axes.yaxis):
        plain(side)
    figure.draw_without_rendering()
    place(axes, points)
    return figure


def _bars(row: dict):
    """Of ``errorbar``, in percent; None without an interval."""
    if row["normalised_low"] is None:
        return None
    return [[100 * (row["normalised"] - row["normalised_low"])], [100 * (row["normalised_high"] - row["normalised"])]]


def flat(rows: list[dict]) -> list[dict]:
    """Lines of ``errors.csv``: those of the rows, with the temperature over that of melting."""
    return [
        {**row, "t_over_tm": None if row["temperature"] is None else round(row["temperature"] / metal(row["element"]).melting_temperature, 4)}
        for row in rows
    ]
