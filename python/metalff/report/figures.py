"""Plots as inline SVG. Text and axes take the colour of the page; curves have colours that suit light and dark."""

import re
from html import escape
from io import StringIO

import numpy as np

from metalff.report.axes import plain

INK = "#010203"
"""Stands for the page's text colour while matplotlib draws."""

FAINT = "#030201"
"""Stands for the page's line colour while matplotlib draws."""

COLOURS = {"mlff": "#2f80ed", "qsnap": "#9b6dd6", "snap": "#2fa37c", "eam": "#8b949e", "meam": "#d08a2e"}
"""By kind of potential; further ones of a kind take ``OTHERS`` in turn."""

OTHERS = ("#d1566e", "#3aa6b9", "#a3a02f", "#b56fb0", "#6b8e4e", "#c2703d")

STYLE = {
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 4.5,
    "svg.fonttype": "path",
    "savefig.transparent": True,
    "text.parse_math": False,  # a name may hold $
}


def colours(potentials: dict[str, str]) -> dict[str, str]:
    """Name → colour for names → kinds."""
    chosen, spare = {}, iter(OTHERS * (1 + len(potentials) // len(OTHERS)))
    for name, kind in potentials.items():
        usual = COLOURS.get(kind)
        chosen[name] = usual if usual and usual not in chosen.values() else next(spare)
    return chosen


NARROW, WIDE = (4.0, 2.9), (5.2, 3.0)
"""Inches, for panels three and two in a row."""

THICKEST, THINNEST = 3.0, 1.3
"""Widths of the first and last curve of a panel: where curves agree, the ones below can still be seen."""


def _svg(draw, label: str, size=NARROW) -> str:
    """``draw(axes)`` as an SVG element; ``size`` in inches, ``label`` for screen readers."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        stream = StringIO()
        figure.savefig(stream, format="svg", dpi=180, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--line)")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def curves(label: str, series, x_label: str, y_label: str, *, level=None, bottom=None, size=NARROW) -> str:
    """Lines: ``series`` are (x, y, colour); ``level`` draws a faint horizontal line, the first series goes on top."""

    def draw(axes):
        if level is not None:
            axes.axhline(level, color=FAINT, linewidth=0.9)
        widths = np.linspace(THICKEST, THINNEST, len(series)) if len(series) > 1 else [THINNEST]
        for width, (x, y, colour) in zip(widths, reversed(series), strict=True):
            axes.plot(x, y, color=colour, linewidth=width, marker="o" if len(x) < 12 else None)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.margins(x=0.02)
        if bottom is not None:
            axes.set_ylim(bottom=bottom)

    return _svg(draw, label, size)


def parity(label: str, reference, predicted, colour: str, limit: float) -> str:
    """Predicted against reference force components (eV/Å) within ±limit."""

    def draw(axes):
        axes.plot([-limit, limit], [-limit, limit], color=FAINT, linewidth=1.0)
        axes.plot(
            reference.ravel(),
            predicted.ravel(),
            ".",
            color=colour,
            markersize=2.6,
            alpha=0.35,
            markeredgewidth=0,
            rasterized=True,
        )
        axes.set(
            xlim=(-limit, limit),
            ylim=(-limit, limit),
            aspect="equal",
            xlabel="reference force (eV/Å)",
            ylabel="predicted force (eV/Å)",
        )

    return _svg(draw, label, (3.3, 3.2))


def grouped_points(label: str, categories, series, y_label: str) -> str:
    """Values with intervals beside each other in categories, on a logarithmic axis.

    Args:
        series: (values, lows, highs, colour), lists as long as ``categories``, None where there is nothing.
    """

    def draw(axes):
        for number, (values, lows, highs, colour) in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * min(0.16, 0.7 / max(len(series), 1))
            for place, (value, low, high) in enumerate(zip(values, lows, highs, strict=True)):
                if not value:
                    continue
                if low and high:
                    axes.plot([place + shift] * 2, [low, high], color=colour, linewidth=1.4, alpha=0.6)
                axes.plot(place + shift, value, "o", color=colour)
        axes.set_yscale("log")
        plain(axes.yaxis)
        axes.set_xticks(range(len(categories)), categories)
        axes.set_xlim(-0.6, len(categories) - 0.4)
        axes.grid(False, axis="x")
        axes.set_ylabel(y_label)
        if max(map(len, categories), default=0) * len(categories) > 34:
            axes.tick_params(axis="x", rotation=30)
            for text in axes.get_xticklabels():
                text.set_horizontalalignment("right")

    return _svg(draw, label, WIDE)


def bars(label: str, names, values, colour, x_label: str) -> str:
    """Horizontal bars on a logarithmic axis, each with its value."""

    def draw(axes):
        places = np.arange(len(names))[::-1]
        axes.barh(places, values, color=colour, height=0.62)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        low, high = min(values), max(values)
        axes.set_xlim(10 ** np.floor(np.log10(low) - 0.3), high * (high / low) ** 0.3 * 2.5)
        for place, value in zip(places, values, strict=True):
            axes.text(value * 1.08, place, f"{float(f'{value:.3g}'):,.0f}", va="center", fontsize=8)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.set_xlabel(x_label)

    return _svg(draw, label, (WIDE[0], 0.9 + 0.36 * len(names)))
