"""Parity plot: predicted against reference force components, one panel per potential."""

import numpy as np

DRAWN = 100_000
"""Atoms of a set whose forces are all drawn; of a larger one, those of evenly spaced frames."""


def parity_figure(results, dataset):
    """A matplotlib Figure with one panel per result of ``compare``; forces in eV/Å."""
    from matplotlib.figure import Figure

    columns = min(len(results), 3)
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.7 * rows), dpi=140, layout="constrained")
    drawn = dataset.spread(DRAWN)
    reference = np.concatenate([dataset.frames[k].forces.ravel() for k in drawn])
    predicted = [np.concatenate([result.prediction.forces[k].ravel() for k in drawn]) for result in results]
    limit = 1.05 * max(np.abs(reference).max(), 1e-3)
    for number, (result, values) in enumerate(zip(results, predicted, strict=True), 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=0.8, zorder=0)
        axes.plot(reference, values, ".", markersize=2.5, alpha=0.35, color="#1f5f8b", rasterized=True)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        outside = np.count_nonzero(np.abs(values) > limit)
        note = f"RMSE {result.overall.force_rmse.value:.3f} eV/Å" + (f", {outside} outside" if outside else "")
        axes.set_title(f"{result.prediction.potential.label}\n{note}", fontsize=9)
        axes.set_xlabel("reference force (eV/Å)", fontsize=8)
        axes.set_ylabel("predicted force (eV/Å)", fontsize=8)
        axes.tick_params(labelsize=7)
    return figure
