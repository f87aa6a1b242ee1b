"""Pictures of studies."""

from metalff.benchmark.figure import ELSEWHERE, OTHER, STYLES
from metalff.data.published import SOURCE, published
from metalff.report.axes import levels, plain
from metalff.study.learning_curve import curve, exponent

AXES = {"frames": "training frames", "seconds": "time of the training (s)"}


def learning_curves(rows: list[dict], title: str):
    """Force RMSE against training frames, and against time, on logarithmic axes; a panel for each that was studied.

    Dotted lines are what others published on the same test frames, as far as the panel reaches.
    """
    from matplotlib.figure import Figure

    panels = {"frames": [r for r in rows if r["labels"]["curve"] == "frames"], "seconds": [r for r in rows if r["labels"]["curve"] == "time"]}
    panels = {x: chosen for x, chosen in panels.items() if chosen}
    figure = Figure(figsize=(4.8 * len(panels) + 0.4, 4.0), dpi=150, layout="constrained")
    tested = {row["test_data"]["sha256"] for row in rows}
    others = published(tested.pop()) if len(tested) == 1 else ()
    for axes, (x, chosen) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for family, points in curve(chosen, x).items():
            colour, marker = STYLES.get(family, OTHER)
            slope = exponent(points)
            label = family if slope is None else f"{family}: error ∝ {'N' if x == 'frames' else 't'}^{-slope:.2f}"
            axes.fill_between(points[:, 0], points[:, 2], points[:, 3], color=colour, alpha=0.18, linewidth=0)
            axes.plot(points[:, 0], points[:, 1], color=colour, marker=marker, markersize=5, linewidth=1.4, label=label)
        axes.set(xscale="log", yscale="log", xlabel=AXES[x], ylabel="force RMSE on test data (eV/Å)")
        for axis in (axes.xaxis, axes.yaxis):
            plain(axis)
        axes.grid(which="both", alpha=0.25)
        if others:
            axes.plot([], [], color=ELSEWHERE, linewidth=0.8, linestyle=":", label=SOURCE)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.draw_without_rendering()
    for axes in figure.axes:
        levels(axes, [(other.label, other.force_rmse) for other in others], ELSEWHERE)
    return figure
