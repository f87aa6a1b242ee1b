"""Pictures of a benchmark: accuracy against speed, and errors by temperature; a panel per data set."""

from metalff.benchmark.plan import FRACTIONS
from metalff.benchmark.table import temperatures
from metalff.report.axes import plain

STYLES = {
    "mace": ("#2f80ed", "o"),
    "allegro": ("#d1566e", "s"),
    "nequip": ("#9b6dd6", "D"),
    "sevennet": ("#3aa6b9", "P"),
    "nep": ("#2fa37c", "^"),
    "deepmd": ("#c2703d", "v"),
    "universal": ("#1b7f79", "p"),
    "torch": ("#a3a02f", "h"),
    "eam": ("#8b949e", "X"),
    "meam": ("#4d5560", "d"),
    "snap": ("#d9a400", "<"),
    "qsnap": ("#8a6d00", ">"),
}
"""Colour and marker of each family."""

OTHER = ("#333333", "*")


WIDE = 12
"""Ratio of the largest and smallest bar of a panel above which its axis is logarithmic."""

NARROWEST = 10.0
"""Ratio of the ends of a panel's axis of errors, at least."""


def _panels(count: int, width: float, height: float):
    from matplotlib.figure import Figure

    columns = min(count, 3)
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

    A marker is filled where the model survived every stability run that was made of it.
    """
    from matplotlib.lines import Line2D

    measured = [row for row in rows if "µs/atom" in row.speed and "overall" in row.accuracy]
    panels = [dataset for dataset in datasets if any(row.dataset is dataset for row in measured)]
    if not panels:
        return None
    figure, axes = _panels(len(panels), 4.0, 3.5)
    for axis, dataset in zip(axes, panels):
        own = [row for row in measured if row.dataset is dataset]
        for row in own:
            colour, marker = STYLES.get(row.model.family, OTHER)
            force, x = row.accuracy["overall"]["force_rmse"], row.speed["µs/atom"]
            if force["low"] is not None:
                axis.plot([x, x], [force["low"], force["high"]], color=colour, linewidth=1.2, alpha=0.6)
            face = "white" if any(run.get("failure") for run in row.stability.values()) else colour
            axis.plot(x, force["value"], marker=marker, color=colour, markerfacecolor=face, markersize=7.5, markeredgewidth=1.5)
            if sum(other.model.family == row.model.family for other in own) > 1:
                axis.annotate(row.model.name, (x, force["value"]), xytext=(6, 4), textcoords="offset points", fontsize=7)
        axis.set(xscale="log", yscale="log", title=f"{dataset.name} ({len(dataset)} frames)")
        axis.set(xlabel="µs per atom and step, one core", ylabel="force RMSE (eV/Å)")
        _decades(axis, [row.speed["µs/atom"] for row in measured], own)
    families = list(dict.fromkeys(row.model.family for row in measured))
    handles = [Line2D([], [], color=STYLES.get(f, OTHER)[0], marker=STYLES.get(f, OTHER)[1], linestyle="", label=f) for f in families]
    if any(run for row in measured for run in row.stability.values()):
        text = f"failed in MD at {' or '.join(f'{f:g}' for f in FRACTIONS)} Tm"
        handles.append(Line2D([], [], color="#555555", marker="o", markerfacecolor="white", linestyle="", label=text))
    _legend(figure, handles)
    return figure


def _decades(axis, speeds, rows) -> None:
    """The same speeds in every panel, errors over a decade at least, and plain numbers on the axes."""
    forces = [row.accuracy["overall"]["force_rmse"] for row in rows]
    low = min(force["low"] or force["value"] for force in forces)
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
