"""Fermi surfaces as pictures: a still one by matplotlib, one that turns by plotly. Both show the first Brillouin zone, coloured by the velocity."""

import numpy as np

from metalff.fermi.zone import Sheet, Zone

COLOURS = "viridis"
ELEVATION, AZIMUTH = 18, -62
"""Degrees; of the still picture."""

SIZE = 4.6, 4.2
LABEL = "|v| (10⁶ m/s)"


def speed_range(sheets: list[Sheet]) -> tuple[float, float]:
    """Ends of the scale of colours, 10⁶ m/s: 98 % of the vertices lie between, and a tenth around the middle one."""
    speeds = np.concatenate([sheet.speeds for sheet in sheets])
    low, middle, high = np.percentile(speeds, [1, 50, 99])
    return float(min(low, 0.9 * middle)), float(max(high, 1.1 * middle))


def still(symbol: str, sheets: list[Sheet], around: Zone):
    """A figure of matplotlib."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LightSource, Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

    figure = Figure(figsize=SIZE, dpi=150)
    axes = figure.add_axes((-0.06, 0, 0.96, 1), projection="3d")
    low, high = speed_range(sheets)
    norm, colours = Normalize(low, high), colormaps[COLOURS]
    corners = np.concatenate([sheet.vertices[sheet.triangles] for sheet in sheets])
    faces = colours(norm(np.concatenate([sheet.speeds[sheet.triangles].mean(axis=1) for sheet in sheets])))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-300)[:, None]
    light = LightSource(azdeg=225, altdeg=35)
    bright = 0.62 + 0.38 * np.abs(normals @ light.direction)
    faces[:, :3] *= bright[:, None]
    axes.add_collection3d(Poly3DCollection(corners, facecolors=faces, edgecolors=faces, linewidths=0.1))
    view = np.radians([ELEVATION, AZIMUTH])
    towards = np.array([np.cos(view[0]) * np.cos(view[1]), np.cos(view[0]) * np.sin(view[1]), np.sin(view[0])])
    for normal, face in zip(around.normals, around.faces, strict=True):
        outline = np.stack([face, np.roll(face, -1, axis=0)], axis=1)
        front = normal @ towards > 0
        lines = Line3DCollection(outline, colors="#3a4450" if front else "#b4bcc6", linewidths=0.9 if front else 0.7)
        lines.set_sort_zpos(1e3 if front else -1e3)
        axes.add_collection3d(lines)
    reach = max(np.linalg.norm(face, axis=1).max() for face in around.faces)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.55)
    axes.view_init(ELEVATION, AZIMUTH)
    axes.set_proj_type("ortho")
    axes.set_axis_off()
    figure.text(0.04, 0.93, symbol, fontsize=15, weight="bold", color="#1b2430", va="top")
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=figure.add_axes((0.87, 0.2, 0.025, 0.6)))
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.set_label(LABEL, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def turning(sheets: list[Sheet], around: Zone):
    """A figure of plotly, to be drawn by its JavaScript."""
    from plotly import graph_objects

    low, high = speed_range(sheets)
    parts = []
    for number, sheet in enumerate(sheets):
        x, y, z = sheet.vertices.T.astype(np.float32)
        i, j, k = sheet.triangles.T.astype(np.int32)
        parts.append(
            graph_objects.Mesh3d(
                x=x,
                y=y,
                z=z,
                i=i,
                j=j,
                k=k,
                intensity=sheet.speeds.astype(np.float32),
                colorscale=COLOURS,
                cmin=low,
                cmax=high,
                showscale=number == 0,
                colorbar={"title": {"text": LABEL}, "len": 0.7, "thickness": 12},
                name=f"band {sheet.band + 1}",
                showlegend=len(sheets) > 1,
                flatshading=False,
                lighting={"ambient": 0.6, "diffuse": 0.6, "specular": 0.15},
                hovertemplate="%{intensity:.2f}·10⁶ m/s<extra></extra>",
            )
        )
    outline = np.concatenate([np.concatenate([face, face[:1], [[np.nan] * 3]]) for face in around.faces])
    x, y, z = outline.T
    lines = {"x": x, "y": y, "z": z, "mode": "lines", "line": {"color": "#7d8894", "width": 3}, "hoverinfo": "skip", "showlegend": False}
    parts.append(graph_objects.Scatter3d(**lines))
    hidden = {"visible": False, "showspikes": False}
    view = np.radians([ELEVATION, AZIMUTH])
    eye = 1.9 * np.array([np.cos(view[0]) * np.cos(view[1]), np.cos(view[0]) * np.sin(view[1]), np.sin(view[0])])
    layout = {
        "scene": {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "camera": {"eye": dict(zip("xyz", eye.tolist()))}},
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": 0},
    }
    return graph_objects.Figure(parts, layout)
