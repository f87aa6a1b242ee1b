"""Roughness along paths as figures: one for all metals, and what a polynomial leaves of one path."""

import math

import numpy as np

from metalff.fermi import paths
from metalff.fermi.path_energies import METHODS, resolved, whole
from metalff.fermi.roughness import residual

LABELS = {"dft": "DFT", "tb": "tight binding", "eam": "EAM", "meam": "MEAM"}
COLOURS = {"dft": "#1b6ca8", "tb": "#8a5fb0", "eam": "#d1782b", "meam": "#3c8d5a"}
MARKERS = {"dft": "o", "tb": "D", "eam": "s", "meam": "^"}

WIDTH = 0.1
"""eV, of what is drawn."""

LEAST = 1e-4
"""meV/atom; what is less is drawn there."""

QUANTITIES = ("free_energy", "energy")
"""What forces are the derivative of: of methods with electrons, and without."""


PANELS = (("volume",), ("tetragonal", "axial"), ("trigonal", "orthorhombic"), ("phonon",), ("thermal",))
"""Paths of one panel: those that cubic and hexagonal metals have in each other's place."""


def drawn(rows: list[dict], method: str, names) -> list[dict]:
    """The rows of the free energy at ``WIDTH``, of a method and some paths."""
    return [
        row for row in rows if row["method"] == method and row["path"] in names and row["quantity"] in QUANTITIES and row["width"] in (None, WIDTH)
    ]


def of_metals(rows: list[dict]):
    """Roughness by metal, a panel per kind of path; open marks: the meshes do not agree to a third, what is drawn is a bound."""
    from matplotlib.figure import Figure

    names = [names for names in PANELS if any(row["path"] in names for row in rows)]
    symbols = list(dict.fromkeys(row["element"] for row in rows))
    across = min(2, len(names))
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(max(5.0, 0.3 * len(symbols) + 1) * across, 2.6 * down + 0.5), dpi=120, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, group in zip(panels, names, strict=False):
        here = [symbol for symbol in symbols if any((row["element"], row["path"]) in {(symbol, name) for name in group} for row in rows)]
        for shift, method in enumerate(METHODS):
            for row in drawn(rows, method, group):
                x = here.index(row["element"]) + 0.16 * (shift - 1.5)
                full = COLOURS[method] if resolved(row) else "none"
                panel.plot(
                    x,
                    max(LEAST, row["roughness"] if resolved(row) else max(row["roughness"], row["mesh_error"])),
                    MARKERS[method],
                    color=COLOURS[method],
                    markerfacecolor=full,
                    markersize=5,
                )
        panel.set_yscale("log")
        panel.set_xticks(range(len(here)), here)
        panel.set_xlim(-0.6, len(here) - 0.4)
        panel.set_title(" or ".join(group), fontsize=10)
        panel.grid(axis="y", color="#e3e6ea", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8)
    for panel in panels[len(names) :]:
        panel.axis("off")
    for place in range(0, len(names), across):
        panels[place].set_ylabel("roughness (meV/atom)", fontsize=9)
    shown = [method for method in METHODS if any(row["method"] == method for row in rows)]
    marks = [panels[0].plot([], [], MARKERS[method], color=COLOURS[method], markersize=5)[0] for method in shown]
    figure.legend(marks, [LABELS[method] for method in shown], loc="outside upper center", ncols=len(shown), fontsize=9, frameon=False)
    return figure


def of_path(found: list[dict]):
    """What the polynomial leaves along one path, a panel per file of ``path_energies.compute``; DFT and tight binding at their widths, thin: the coarser mesh."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.9 * len(found) + 0.4, 2.9), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, one in zip(panels, found, strict=True):
        along = paths.path(one["element"], one["path"])
        records = [record for record in one["records"] if record["quantity"] in QUANTITIES]
        for shade, record in zip(np.linspace(0.4, 1, len(records)) if len(records) > 1 else [1], records, strict=True):
            for values, width in ((record["other"], 0.7), (record["energy"], 1.6)):
                if values is not None:
                    x, energy = whole(along, values)
                    label = None if width < 1 or record["width"] is None else f"{record['width']:g} eV"
                    panel.plot(x, 1e3 * residual(x, energy), color=COLOURS[one["method"]], alpha=shade, linewidth=width, label=label)
        panel.set_title(f"{one['element']} {one['path']}, {LABELS[one['method']]}", fontsize=9)
        panel.set_xlabel(f"λ{' (Å)' if along.unit else ''}", fontsize=9)
        panel.axhline(0, color="#b4bcc6", linewidth=0.6, zorder=0)
        panel.tick_params(labelsize=8)
        if len(records) > 1:
            panel.legend(
                fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.08), ncols=3, borderpad=0, columnspacing=1, handlelength=1.2
            )
    panels[0].set_ylabel("left of the energy (meV/atom)", fontsize=9)
    return figure
