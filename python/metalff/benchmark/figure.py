"""Pictures of a benchmark: accuracy against speed, and errors by temperature; a panel per data set."""

from itertools import pairwise

from metalff.benchmark.plan import FRACTIONS
from metalff.benchmark.table import front, temperatures
from metalff.data.published import SOURCE, published
from metalff.report.axes import levels, place, plain

STYLES = {
    "mace": ("#0072B2", "o"),
    "nep": ("#009E73", "^"),
    "poly": ("#D55E00", "D"),
    "mtp": ("#CC79A7", "s"),
    "pace": ("#882255", "P"),
    "deepmd": ("#56B4E9", "v"),
    "allegro": ("#E69F00", "h"),
    "nequip": ("#332288", "p"),
    "sevennet": ("#44AA99", "8"),
    "torch": ("#AA4499", "*"),
    "universal": ("#117733", "H"),
    "snap": ("#DDCC77", "<"),
    "qsnap": ("#999933", ">"),
    "eam": ("#999999", "X"),
    "meam": ("#555555", "d"),
}
"""Colour and marker of each family: palettes of Okabe and Ito and of Tol, told apart with any colour vision; markers tell what is near."""

OTHER = ("#000000", "$?$")


FRONT, ELSEWHERE = "#333333", "#777777"
"""Colours of the Pareto front and of errors that were published elsewhere."""

WIDE = 12
"""Ratio of the largest and smallest bar of a panel above which its axis is logarithmic."""

NARROWEST = 10.0
"""Ratio of the ends of a panel's axis of errors, at least."""


def _panels(count: int, width: float, height: float):
    from matplotlib.figure import Figure

    columns = 2 if count == 4 else min(count, 3)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, 5.5), height * lines + 0.6), dpi=150, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes


def _legend(figure, handles) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), fontsize=8, frameon=False)


def trade_off(rows, datasets):
    """Force RMSE with its interval against µs per atom and step, both on logarithmic axes; None where either is missing.

    A marker is filled where the model survived every stability run that was made of it. A line is the Pareto front, dotted ones are what others
    published on the same frames, without a speed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.lines import Line2D

    measured = [row for row in rows if row.point]
    panels = [dataset for dataset in datasets if any(row.dataset is dataset for row in measured)]
    if not panels:
        return None
    figure, axes = _panels(len(panels), 4.9, 4.2)
    drawn = []
    for axis, dataset in zip(axes, panels):
        own = [row for row in measured if row.dataset is dataset]
        for row in own:
            colour, marker = STYLES.get(row.model.family, OTHER)
            force, (x, y) = row.accuracy["overall"]["force_rmse"], row.point
            if force["low"] is not None:
                axis.plot([x, x], [force["low"], force["high"]], color=colour, linewidth=1.2, alpha=0.6)
            face = "white" if any(run.get("failure") for run in row.stability.values()) else colour
            axis.plot(x, y, marker=marker, color=colour, markerfacecolor=face, markersize=7.5, markeredgewidth=1.5, zorder=3)
        others = published(dataset.sha256)
        axis.set(xscale="log", yscale="log", title=f"{dataset.name} ({len(dataset)} frames)")
        axis.set(xlabel="µs per atom and step, one core", ylabel="force RMSE (eV/Å)")
        _decades(axis, [row.point[0] for row in measured], own, others)
        best = front(own, dataset)
        # from the fastest to the slowest that is worth its time; beyond its ends as far as the panel reaches
        steps = [(best[0].point[0], axis.get_ylim()[1]), *(row.point for row in best), (axis.get_xlim()[1], best[-1].point[1])]
        corners = [corner for (x, y), (later, lower) in pairwise(steps) for corner in ((x, y), (later, y), (later, lower))]
        axis.plot(*zip(*corners), color=FRONT, linewidth=1.0, zorder=1)
        drawn.append((axis, own, others, corners))
    families = list(dict.fromkeys(row.model.family for row in measured))
    handles = [Line2D([], [], color=STYLES.get(f, OTHER)[0], marker=STYLES.get(f, OTHER)[1], linestyle="", label=f) for f in families]
    handles.append(Line2D([], [], color=FRONT, linewidth=1.0, label="Pareto front"))
    if any(others for _, _, others, _ in drawn):
        handles.append(Line2D([], [], color=ELSEWHERE, linewidth=0.8, linestyle=":", label=SOURCE))
    if any(run for row in measured for run in row.stability.values()):
        text = f"failed in MD at {' or '.join(f'{f:g}' for f in FRACTIONS)} Tm"
        handles.append(Line2D([], [], color="#555555", marker="o", markerfacecolor="white", linestyle="", label=text))
    _legend(figure, handles)
    FigureCanvasAgg(figure)  # knows how wide letters are
    figure.draw_without_rendering()  # names go where there is room, which the layout decides
    for axis, _, others, _ in drawn:
        levels(axis, [(other.label, other.force_rmse) for other in others], ELSEWHERE)
    figure.draw_without_rendering()
    for axis, own, _, corners in drawn:
        bars = [(row.point[0], row.accuracy["overall"]["force_rmse"]) for row in own]
        place(axis, [(short_name(row), *row.point) for row in own], [[(x, f["low"]), (x, f["high"])] for x, f in bars if f["low"]] + [corners])
    return figure


def short_name(row) -> str:
    """Of a model in the panel of its metal: ``nep`` for ``Cu-nep``."""
    name = row.model.name
    return name[len(row.element) + 1 :] if name.startswith((f"{row.element}-", f"{row.element}/")) else name


def _decades(axis, speeds, rows, others) -> None:
    """The same speeds in every panel, errors over a decade at least, down to the best that was published, and plain numbers on the axes."""
    forces = [row.accuracy["overall"]["force_rmse"] for row in rows]
    low = min([force["low"] or force["value"] for force in forces] + [other.force_rmse for other in others])
    high = max(force["high"] or force["value"] for force in forces)
    wider = max(1.3, (NARROWEST * low / high) ** 0.5)
    axis.set_xlim(min(speeds) / 2.5, max(speeds) * 2.5)
    axis.set_ylim(low / wider, high * wider)
    plain(axis.xaxis)
    plain(axis.yaxis)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25, which="major")


def errors_by_temperature(rows, datasets):
    """Bars of the force RMSE over the RMS force of the reference, by temperature, with intervals; None without temperatures."""
    from matplotlib.patches import Patch

    panels = [d for d in datasets if any(row.dataset is d and row.accuracy.get("by_temperature") for row in rows)]
    if not panels:
        return None
    figure, axes = _panels(len(panels), 4.2, 3.0)
    families = {}
    for axis, dataset in zip(axes, panels):
        own = [row for row in rows if row.dataset is dataset and row.accuracy.get("by_temperature")]
        shades = _shades(own)
        names = temperatures(rows, dataset)
        width = 0.84 / len(own)
        for k, row in enumerate(own):
            found = [row.at(name)["force_rmse_normalised"] for name in names]
            x = [n - 0.42 + (k + 0.5) * width for n in range(len(names))]
            y = [value["value"] for value in found]
            colour, hatch = shades[row.model.name]
            axis.bar(x, y, 0.92 * width, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
            for at, value in zip(x, found):
                if value["low"] is not None:
                    axis.plot([at, at], [value["low"], value["high"]], color="#222222", linewidth=0.8)
            families.setdefault((row.model.name if hatch else row.model.family), Patch(facecolor=colour, hatch=hatch, edgecolor="white"))
        values = [row.at(name)["force_rmse_normalised"]["value"] for row in own for name in names]
        if max(values) > WIDE * min(values):
            axis.set(yscale="log", ylim=(min(values) / 1.5, max(values) * 1.5))
            plain(axis.yaxis)
        axis.set(title=f"{dataset.name}", ylabel="force RMSE / RMS force", xticks=range(len(names)))
        axis.set_xticklabels([f"{name} K" for name in names])
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25, axis="y")
        axis.set_axisbelow(True)
    for name, patch in families.items():
        patch.set_label(name)
    _legend(figure, list(families.values()))
    return figure


def _shades(rows) -> dict[str, tuple[str, str]]:
    """Colour by family; a second model of a family is hatched."""
    hatches = ("", "///", "...", "xxx", "---")
    seen, chosen = {}, {}
    for row in rows:
        number = seen[row.model.family] = seen.get(row.model.family, -1) + 1
        chosen[row.model.name] = STYLES.get(row.model.family, OTHER)[0], hatches[number % len(hatches)]
    return chosen
