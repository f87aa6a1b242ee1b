"""Pictures of what the trainings of ``learnability`` say (``outcome``)."""

import numpy as np

from metalff.report.axes import ends, plain
from metalff.study.learnability import element
from metalff.study.outcome import (
    COLOURS,
    DARK,
    DOSES,
    ERRORS,
    FIRST_NEIGHBOURS,
    PATH,
    TITLES,
    Comparison,
    by_label,
    capacity,
    comparisons,
    complete,
    counted,
    dosed,
    geometric,
    over_metals,
    series,
    sizes,
)


def ratio_table(comparison: Comparison):
    """MEAM ÷ EAM of each counted metal on a periodic table."""
    from metalff.report.periodic_table import periodic_table

    values = comparison.values["normalised"]
    best = {element(metal): values[metal] for metal in counted(values)}
    return periodic_table(
        {metal: v["ratio"] for metal, v in best.items()},
        "normalised force error of MEAM ÷ that of EAM, same configurations",
        f"Is MEAM harder to learn than EAM? {comparison.name}",
        log=True,
        fmt="{:.2f}",
        below={metal: f"{v['ratio_low']:.2f}–{v['ratio_high']:.2f}" for metal, v in best.items()},
        centre=1.0,
    )


def errors_of_metals(comparison: Comparison):
    """Both errors on EAM and on MEAM labels, metal by metal, one above the other, and below their ratios."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), dpi=130, layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    first = comparison.values["normalised"]
    order = sorted(first, key=lambda metal: first[metal]["meam"])
    places = np.arange(len(order))

    def dots(axes, values, key, shift, factor, **style):
        y = factor * np.array([[values[m][f"{key}{end}"] for m in order] for end in ("", "_low", "_high")])
        axes.errorbar(places + shift, y[0], np.clip([y[0] - y[1], y[2] - y[0]], 0, None), fmt="o", elinewidth=1.0, markersize=5, **style)

    for axes, (kind, of) in zip(panels, ERRORS.items()):
        for shift, label in ((-0.12, "eam"), (0.12, "meam")):
            dots(axes, comparison.values[kind], label, shift, of.factor, color=COLOURS[label], label=label.upper())
        axes.set(yscale="log", ylabel=f"{of.name} ({of.unit})")
    for shift, (kind, of), fill in ((-0.12, ("normalised", ERRORS["normalised"]), DARK), (0.12, ("force_rmse", ERRORS["force_rmse"]), "white")):
        dots(panels[2], comparison.values[kind], "ratio", shift, 1.0, color=DARK, markerfacecolor=fill, label=f"of {of.name}")
    panels[2].axhline(1.0, color=DARK, linewidth=0.8)
    panels[2].set(yscale="log", ylabel="MEAM ÷ EAM")
    panels[2].set_xticks(places, [f"{m}*" if m in FIRST_NEIGHBOURS else m for m in order])
    for axes in panels:
        plain(axes.yaxis)
        axes.grid(alpha=0.3, which="both", axis="y")
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_title(f"{comparison.name} on EAM and on MEAM labels of the same configurations (* MEAM of first neighbours)", fontsize=10)
    return figure


def across(points: dict[str, dict[str, np.ndarray]], x, ticks, xlabel: str, ylabel: str, title: str, log_x=False):
    """Side by side for both errors: one thin line per metal over ``x``, and the geometric mean with its interval over metals.

    Args:
        points: by error and metal [K].
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = Figure(figsize=(9, 3.9), dpi=130, layout="constrained")
    for axes, (kind, of) in zip(figure.subplots(1, 2), ERRORS.items()):
        values = np.array(list(points[kind].values()))
        for metal, line in points[kind].items():
            axes.plot(x, line, color=COLOURS["eam"], linewidth=0.8, alpha=0.8)
        mean = np.array([over_metals(column) for column in values.T])
        if not np.isnan(mean).any():
            axes.fill_between(x, mean[:, 1], mean[:, 2], color=COLOURS["meam"], alpha=0.2, linewidth=0)
        axes.plot(x, mean[:, 0], color=COLOURS["meam"], marker="o", markersize=5, linewidth=2, label=f"geometric mean of {len(values)} metals")
        axes.set(yscale="log", xscale="log" if log_x else "linear", xlabel=xlabel, ylabel=f"{of.name}, {ylabel}")
        axes.set_xticks(x, ticks, fontsize=7)
        axes.xaxis.set_minor_locator(NullLocator())
        plain(axes.yaxis)
        if np.divide(*axes.get_ylim()[::-1]) < 8:  # the powers of ten between are too few to read it by
            axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.tick_params(axis="y", which="minor", labelsize=7)
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.draw_without_rendering()
    for axes, kind in zip(figure.axes, ERRORS):
        ends(axes, [(metal, line[-1]) for metal, line in points[kind].items()], "#57606a", x[-1])
    return figure


def capacity_figure(rows):
    """Both errors against the number of functions, on EAM and on MEAM labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.9), dpi=130, layout="constrained")
    for axes, (kind, of) in zip(figure.subplots(1, 2), ERRORS.items()):
        for metal, labels in capacity(rows, kind).items():
            for label, line in labels.items():
                axes.plot(
                    line[:, 0],
                    of.factor * line[:, 1],
                    color=COLOURS[label],
                    linewidth=0.6,
                    alpha=0.5,
                    linestyle=":" if metal in FIRST_NEIGHBOURS else "-",
                )
        tables, functions = sizes(rows, kind)
        for label, table in tables.items():
            axes.plot(functions, of.factor * geometric(table, 0), color=COLOURS[label], marker="o", markersize=5, linewidth=2, label=label.upper())
        axes.set(xscale="log", yscale="log", xlabel="functions of the polynomial", ylabel=f"{of.name} ({of.unit})")
        for axis in (axes.xaxis, axes.yaxis):
            plain(axis)
        axes.grid(alpha=0.3, which="both")
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle("Capacity: one line per metal, and their geometric means", fontsize=10)
    return figure


AXES = {"frames": "training frames", "l_max": "l_max of the model"}


def lines(rows, section: str, x: str, family: str):
    """A column of panels per metal, normalised error above and force RMSE below, against ``x``, for EAM and MEAM labels; None without points."""
    from matplotlib.figure import Figure

    def several(kind):
        found = series(rows, section, family, x, kind)
        return {metal: labels for metal, labels in found.items() if any(len(p) > 1 for p in labels.values())}

    found = {kind: several(kind) for kind in ERRORS}
    if not found["normalised"]:
        return None
    figure = Figure(figsize=(2.2 * len(found["normalised"]) + 0.6, 5.0), dpi=130, layout="constrained")
    panels = figure.subplots(2, len(found["normalised"]), squeeze=False)
    for line, (kind, of) in zip(panels, ERRORS.items()):
        for axes, (metal, labels) in zip(line, found[kind].items()):
            for label, points in labels.items():
                y = of.factor * points[:, 1:]
                bars = np.clip([y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]], 0, None)
                axes.errorbar(points[:, 0], y[:, 0], bars, color=COLOURS[label], marker="o", markersize=4, linewidth=1.3, label=label.upper())
            axes.set_ylim(bottom=0)
            if x == "frames":
                axes.set(xscale="log")
                plain(axes.xaxis)
            else:
                axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3, which="both")
            axes.tick_params(labelsize=8)
        line[0].set_ylabel(f"{of.name} ({of.unit})", fontsize=8)
    for axes, metal in zip(panels[0], found["normalised"]):
        axes.set_title(metal)
    for axes in panels[1]:
        axes.set_xlabel(AXES[x], fontsize=7.5)
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(TITLES.get(family, family.upper()), fontsize=10)
    return figure


PATH_TICKS = ("EAM", "MEAM,\ndistances\nonly", "+ t1–t3", "+ screening", "+ sharp\ncutoff")


def figures(rows) -> dict[str, object]:
    """Every picture that the rows allow, by file name."""
    found = {}
    for comparison in comparisons(rows):
        if counted(comparison.values["normalised"]):
            found[f"ratio-{comparison.file}"] = ratio_table(comparison)
        found[f"metals-{comparison.file}"] = errors_of_metals(comparison)
    for family in dict.fromkeys(row["family"] for row in rows):
        title, tables = TITLES.get(family, family.upper()), {kind: by_label(rows, family, kind) for kind in ERRORS}
        steps = {kind: {m: line / line[0] for m, line in complete(tables[kind], PATH).items()} for kind in ERRORS}
        if steps["normalised"]:
            found[f"steps-{family}"] = across(
                steps, np.arange(len(PATH)), PATH_TICKS, "labels", "÷ that of EAM", f"{title}: from EAM to MEAM, step by step"
            )
        for section, (factors, name, words) in DOSES.items():
            known = {kind: dosed(tables[kind], factors, name) for kind in ERRORS}
            common, first = known["normalised"]
            if first:
                own = common.index(1.0)
                relative = {kind: {m: line / line[own] for m, line in of.items()} for kind, (_, of) in known.items()}
                ticks, log_x = [f"{f:g}" for f in common], section == "width"
                found[f"{section}-{family}"] = across(relative, np.array(common), ticks, words, "÷ that at 1", f"{title}: dose–response", log_x)
        for section, x in (("frames", "frames"), ("angular", "l_max")):
            if figure := lines(rows, section, x, family):
                found[f"{section}-{family}"] = figure
    if any(len(p) > 1 for labels in capacity(rows, "normalised").values() for p in labels.values()):
        found["capacity"] = capacity_figure(rows)
    return found
