"""Logarithmic axes with plain numbers, and names where there is room for them."""

import math
from itertools import pairwise, product

import numpy as np

CROWDED = 1000
"""Ratio of the ends of a logarithmic axis above which it names powers of ten alone."""


def plain(side) -> None:
    """1, 2, 5, 10, … on a logarithmic axis (``axes.xaxis`` …), the powers of ten alone where that would be too many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = side.get_view_interval()
    side.set_major_locator(LogLocator(subs=(1,) if high > CROWDED * low else (1, 2, 5)))
    side.set_major_formatter("{x:g}")
    side.set_minor_formatter(NullFormatter())


NAME, INK = 6.5, "#222222"
"""Points and colour of the letters of names."""


def levels(axes, named, colour: str) -> None:
    """Horizontal lines with names at the right end; lines outside the panel are left out.

    The height of the axes must be that of the final layout.

    Args:
        named: (name, y).
    """
    low, high = axes.get_ylim()
    inside = [(name, y) for name, y in named if low <= y <= high]
    for _, y in inside:
        axes.axhline(y, color=colour, linewidth=0.8, linestyle=":", zorder=0)
    ends(axes, inside, colour)


def ends(axes, named, colour: str, x: float | None = None) -> None:
    """Names right of a panel with a logarithmic y axis, each with a line to its point, spread where points are close.

    The height of the axes must be that of the final layout.

    Args:
        named: (name, y).
        x: of the points; the right edge of the panel where it is None.
    """
    low, high = axes.get_ylim()
    rising = sorted(named, key=lambda item: item[1])
    apart = 1.15 * NAME / (axes.get_window_extent().height / axes.get_figure().dpi * 72)
    at = spread([math.log(y / low) / math.log(high / low) for _, y in rising], apart)
    for (name, y), height in zip(rising, at, strict=True):
        axes.annotate(
            name,
            (1.0 if x is None else x, y),
            xytext=(1.04, height),
            xycoords=axes.get_yaxis_transform() if x is None else "data",
            textcoords="axes fraction",
            fontsize=NAME - 0.5,
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 0, "relpos": (0.0, 0.5)},
        )


def spread(values, apart: float) -> list[float]:
    """Numbers at least so far apart, in the order of rising ``values`` and as near to these as can be."""
    clusters = []  # [sum of values, how many]: a cluster stands around its mean
    for value in values:
        clusters.append([value, 1])
        while len(clusters) > 1:
            (one, many), (other, more) = clusters[-2:]
            if other / more - one / many >= apart * (many + more) / 2:
                break
            clusters[-2:] = [[one + other, many + more]]
    return [total / count + apart * (k - (count - 1) / 2) for total, count in clusters for k in range(count)]


def place(axes, points, lines=()) -> list:
    """Write the name of each point beside it, where it covers neither another name nor a point; a line leads to one that is far off.

    The layout of the figure must be final (``Figure.draw_without_rendering``), its canvas one that knows the size of letters.

    Args:
        points: (name, x, y).
        lines: corners (x, y) of lines that should stay free as well.
    Returns:
        the texts.
    """
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure()
    renderer, scale = figure.canvas.get_renderer(), figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    taken = [_box(*axes.transData.transform((x, y)), 9 * scale, 9 * scale) for _, x, y in points]
    for corners in lines:
        for one, two in pairwise(axes.transData.transform(corners)):
            count = 1 + int(math.dist(one, two) / (3 * scale))
            taken += [_box(*(one + (two - one) * k / count), 2 * scale, 2 * scale) for k in range(count + 1)]
    texts = []
    for name, x, y in points:
        at = axes.transData.transform((x, y))
        halo = [withStroke(linewidth=1.6, foreground="white")]
        text = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=NAME, ha="center", va="center", zorder=4)
        text.set(in_layout=False, path_effects=halo, color=INK)
        size = text.get_window_extent(renderer)
        width, height = size.width + 2 * scale, size.height
        best = None
        for far, angle in product((0, 6, 14, 24, 36, 50), range(0, 360, 15)):
            side = (math.cos(math.radians(angle)), math.sin(math.radians(angle)))
            shift = [s * (6 * scale + far * scale + half) for s, half in zip(side, (width / 2, height / 2))]
            box = _box(at[0] + shift[0], at[1] + shift[1], width, height)
            outside = max(0, frame.x0 - box[0], box[2] - frame.x1, frame.y0 - box[1], box[3] - frame.y1)
            cost = 10 * _covered(box, np.array(taken)) / (width * height) + outside / scale + 0.02 * far
            if best is None or cost < best[0]:
                best = cost, shift, box, far
        _, shift, box, far = best
        text.set_position([s / scale for s in shift])
        if far > 6:
            lead = {"arrowstyle": "-", "color": INK, "linewidth": 0.4, "shrinkA": NAME / 2, "shrinkB": 4}
            line = axes.annotate("", (x, y), xytext=[s / scale for s in shift], textcoords="offset points", arrowprops=lead)
            line.set_in_layout(False)
        taken.append(box)
        texts.append(text)
    return texts


def _box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Left, bottom, right, top around a centre."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _covered(box, others) -> float:
    """Area that a box shares with others [K,4], each counted."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(np.prod(np.maximum(sides, 0.0), axis=1).sum())
