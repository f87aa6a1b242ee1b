"""Periodic tables with a value in each element's cell."""

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.report.axes import plain

LAST = 86
"""Atomic number of the last element drawn."""

WIDTH, HEIGHT = 11.0, 5.6


def place(symbol: str) -> tuple[int, int]:
    """(row, column) from 0 of an element's cell: 18 columns, lanthanides in a row of their own below.

    Raises:
        KeyError: no such element.
    """
    number = atomic_numbers[symbol]
    if 57 <= number <= 70:
        return 7, number - 57 + 2
    noble = [0, 2, 10, 18, 36, 54, 86, 118]
    row = next(k for k, last in enumerate(noble[1:]) if number <= last)
    position, length = number - noble[row] - 1, noble[row + 1] - noble[row]
    if length == 2:
        return row, 17 * position
    if length == 32 and position >= 2:
        position -= 14
    return row, position if position < 2 else 18 - min(length, 18) + position


def periodic_table(
    values: dict[str, float],
    label: str,
    title: str = "",
    log: bool = False,
    fmt: str = "{:.3g}",
    below: dict[str, str] | None = None,
    centre: float | None = None,
    limits: tuple[float, float] | None = None,
):
    """A figure: one coloured cell per element of ``values``, the others outlined.

    Args:
        values: by symbol; what is not finite is drawn as missing.
        label: of the colour bar, with the unit.
        log: colours on a logarithmic scale; values must be positive.
        fmt: of the value in the cell.
        below: a second, small line in the cell, by symbol.
        centre: value in the middle of a scale of two colours; None for one that only grows.
        limits: ends of the scale, so that several tables can be compared; those of the values when None.
    Raises:
        KeyError: no such element.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    values = {symbol: value for symbol, value in values.items() if np.isfinite(value) and (value > 0 or not log)}
    colours = colormaps["RdBu_r" if centre is not None else "YlOrRd"]
    norm = _norm(list(limits or values.values()), log, centre, LogNorm if log else Normalize)
    lanthanides = any(place(symbol)[0] == 7 for symbol in values)
    figure = Figure(figsize=(WIDTH, HEIGHT if lanthanides else HEIGHT - 1.1), dpi=150, layout="constrained")
    axes = figure.subplots()
    for symbol in chemical_symbols[1 : LAST + 1]:
        row, column = place(symbol)
        if row == 7:
            if not lanthanides:
                continue
            row = 6.35
        value = values.get(symbol)
        face = "#f6f7f9" if value is None else colours(norm(value))
        axes.add_patch(Rectangle((column, row), 0.94, 0.94, facecolor=face, edgecolor="#c9ced6" if value is None else "#55606e", linewidth=0.6))
        dark = value is not None and np.dot(face[:3], (0.299, 0.587, 0.114)) < 0.55
        ink = "#aab2bd" if value is None else "white" if dark else "#1b2430"
        if value is None:
            axes.text(column + 0.47, row + 0.5, symbol, ha="center", va="center", fontsize=8, color=ink)
            continue
        axes.text(column + 0.47, row + 0.27, symbol, ha="center", va="center", fontsize=9, color=ink, weight="bold")
        axes.text(column + 0.47, row + 0.56, fmt.format(value), ha="center", va="center", fontsize=8, color=ink)
        if below and symbol in below:
            axes.text(column + 0.47, row + 0.80, below[symbol], ha="center", va="center", fontsize=5.5, color=ink)
    axes.set(xlim=(-0.1, 18.05), ylim=(7.4 if lanthanides else 6.05, -0.1), aspect="equal")
    axes.set_axis_off()
    if title:
        axes.text(2.3, 0.55, title, ha="left", va="center", fontsize=11, color="#1b2430")
    if values:
        bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, orientation="horizontal", shrink=0.45, aspect=32, pad=0.0)
        bar.set_label(label, fontsize=9)
        bar.ax.tick_params(labelsize=8)
        if log:
            plain(bar.ax.xaxis)
    return figure


def _norm(values, log: bool, centre, kind):
    if not values:
        return kind(1, 2)
    low, high = min(values), max(values)
    if centre is not None:
        reach = max(centre / low, high / centre, 1.01) if log else max(centre - low, high - centre, 1e-9)
        low, high = (centre / reach, centre * reach) if log else (centre - reach, centre + reach)
    if low == high:
        low, high = (low / 1.1, high * 1.1) if log else (low - 0.1 * abs(low) - 1e-9, high + 0.1 * abs(high) + 1e-9)
    return kind(low, high)
