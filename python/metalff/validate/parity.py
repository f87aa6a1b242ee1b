"""Parity plot: predicted against reference force components, one panel per potential."""

import numpy as np


def parity_figure(results, forces):
    """A matplotlib Figure with one panel per result of ``compare``; forces in eV/Å.

    Args:
        forces: ``forces.Forces`` of the comparison: each component is a point, or of a large set all are a density.
    """
    from matplotlib.figure import Figure

    columns = min(len(results), 3)
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.7 * rows), dpi=140, layout="constrained")
    limit, labels = forces.limit, forces.labels
    for number, (result, values) in enumerate(zip(results, forces.predictions, strict=True)):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=0.8, zorder=0)
        if forces.few:
            outside = np.count_nonzero(np.abs(values) > limit)
            axes.plot(labels, values, ".", markersize=2.5, alpha=0.35, color="#1f5f8b", rasterized=True)
        else:
            outside = forces.outside[number]
            _density(axes, forces.density[number], limit)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        note = f"RMSE {result.overall.force_rmse.value:.3f} eV/Å" + (f", {outside:,} outside" if outside else "")
        axes.set_title(f"{result.potential.label}\n{note}", fontsize=9)
        axes.set_xlabel("reference force (eV/Å)", fontsize=8)
        axes.set_ylabel("predicted force (eV/Å)", fontsize=8)
        axes.tick_params(labelsize=7)
    return figure


def _density(axes, counts, limit: float) -> None:
    """Components in each cell, darker where there are more, on a logarithmic scale; an empty cell is not drawn."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    colours = LinearSegmentedColormap.from_list("forces", ["#bcd4e6", "#1f5f8b", "#06243a"])
    shown = np.ma.masked_equal(counts, 0)
    norm = LogNorm(1, max(2, int(counts.max())))
    axes.imshow(shown, cmap=colours, norm=norm, origin="lower", extent=(-limit, limit, -limit, limit), interpolation="nearest", zorder=1)
