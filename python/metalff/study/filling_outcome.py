"""What the trainings of ``filling`` say: tables and figures."""

from functools import lru_cache

import numpy as np

from metalff.data.metals import metal
from metalff.poly.basis import Size, make
from metalff.report.axes import plain
from metalff.study.correlation import FEWEST, correlate
from metalff.study.outcome import chosen, half_interval
from metalff.train.configuration import configuration

COLOURS = {0.1: "#c0392b", 0.2: "#d68910", 0.5: "#2471a3"}
"""By kT, eV."""

OTHER = "#566573"
MARKERS = {"poly": "o", "nep": "s"}

ERRORS = {"force_rmse": "force RMSE (eV/Å)", "normalised": "force RMSE ÷ RMS force"}
"""Absolute and normalised, side by side."""

NOT_INDICATORS = ("metal", "filling", "kT", "fermi_level")


def mean_errors(rows) -> dict:
    """Geometric means over the seeds of errors of one training, and their 95 % intervals.

    Intervals join in logarithms that of the seeds, where there are three, and that of the test frames, mean over the seeds, in quadrature.
    """
    found = {"seeds": len(rows), "frames": rows[0]["frames"], "force_rms": rows[0]["test"]["all"]["force_rms"]}
    for key in ERRORS:
        logs = np.log([row["test"]["all"][key] for row in rows])
        half = float(np.hypot((logs[:, 2] - logs[:, 1]).mean() / 2, half_interval(logs[:, 0])))
        centre = float(logs[:, 0].mean())
        found |= {key: np.exp(centre), f"{key}_low": np.exp(centre - half), f"{key}_high": np.exp(centre + half)}
    return {key: float(value) if isinstance(value, np.floating) else value for key, value in found.items()} | {
        "energy_rmse": float(np.exp(np.mean(np.log([row["test"]["all"]["energy_rmse"] for row in rows]))))
    }


def dose_lines(rows, meshes) -> list[dict]:
    """A line per family, metal, kT and filling: errors, and the error of the mesh beside them.

    Args:
        meshes: rows of ``filling.mesh_errors``.
    """
    by_dose = {(m["metal"], m["filling"], m["kT"]): m for m in meshes}
    groups = {}
    for row in chosen(rows, section="doses"):
        labels = row["labels"]
        groups.setdefault((row["family"], labels["metal"], labels["kT"], labels["filling"]), []).append(row)
    lines = []
    for (family, symbol, width, filling), own in sorted(groups.items(), key=lambda item: (item[0][0] != "poly", *item[0][1:])):
        mesh = by_dose[symbol, filling, width]
        line = {"family": family, "metal": symbol, "crystal": metal(symbol).crystal, "kT": width, "filling": filling, **mean_errors(own)}
        line |= {"mesh_error": mesh["mesh_error"], "mesh_share": mesh["mesh_error"] / line["force_rmse"]}
        lines.append(line)
    return lines


def effect_lines(lines) -> list[dict]:
    """Of each family, metal and filling the errors at every larger kT ÷ those at the smallest; intervals join both in quadrature, as if test frames that are hard
    at one were not at the other."""
    found = []
    least = min(line["kT"] for line in lines)
    for line in lines:
        if line["kT"] == least:
            continue
        same = [other for other in lines if other["kT"] == least and all(other[key] == line[key] for key in ("family", "metal", "filling"))]
        if not same:
            continue
        row = {key: line[key] for key in ("family", "metal", "crystal", "filling", "kT")} | {"kT_reference": least, "seeds": line["seeds"]}
        for key in ERRORS:
            ratio = np.log(line[key] / same[0][key])
            half = np.hypot(*(np.log(one[f"{key}_high"] / one[f"{key}_low"]) / 2 for one in (line, same[0])))
            row |= {f"{key}_ratio": float(np.exp(ratio)), f"{key}_low": float(np.exp(ratio - half)), f"{key}_high": float(np.exp(ratio + half))}
        row["force_rms_ratio"] = line["force_rms"] / same[0]["force_rms"]
        found.append(row)
    return found


def temperature_lines(rows) -> list[dict]:
    """Errors of every dose at each temperature of the frames, geometric means over the seeds; ``…_ratio``: to those at the smallest kT."""
    groups = {}
    for row in chosen(rows, section="doses"):
        for temperature, errors in row["test"].items():
            if temperature != "all":
                labels = row["labels"]
                groups.setdefault((row["family"], labels["metal"], float(temperature), labels["kT"], labels["filling"]), []).append(errors)
    found = {}
    for (family, symbol, temperature, width, filling), own in sorted(groups.items()):
        line = {"family": family, "metal": symbol, "temperature": temperature, "kT": width, "filling": filling, "seeds": len(own)}
        line |= {"force_rms": own[0]["force_rms"], **{key: float(np.exp(np.mean([np.log(e[key][0]) for e in own]))) for key in ERRORS}}
        least = min(key[3] for key in groups if key[:3] == (family, symbol, temperature) and key[4] == filling)
        first = found.get((family, symbol, temperature, least, filling), line)
        found[family, symbol, temperature, width, filling] = line | {f"{key}_ratio": line[key] / first[key] for key in ERRORS}
    return list(found.values())


def curve_lines(rows) -> list[dict]:
    """A line per training of the capacity and of the learning curves."""
    lines = []
    for section in ("capacity", "frames"):
        for row in chosen(rows, section=section):
            errors, labels = row["test"]["all"], row["labels"]
            line = {"section": section, "family": row["family"], "metal": labels["metal"], "kT": labels["kT"], "filling": labels["filling"]}
            line |= {
                "functions": functions(tuple(row["settings"]["degree"])),
                "neighbours": len(row["settings"]["degree"]),
                "frames": row["frames"],
                "force_rms": errors["force_rms"],
            }
            lines.append(line | {"force_rmse": errors["force_rmse"][0], "normalised": errors["normalised"][0]})
    return lines


@lru_cache
def functions(degree: tuple[float, ...]) -> int:
    """Of the polynomial with this ``degree`` and the other settings of ``filling``."""
    known = configuration("poly", {"elements": ["Nb"], "degree": list(degree)})
    return len(make(Size(known.radial, known.l_max, degree, known.radial_cost)))


def spearman(x, y) -> tuple[float, float, float, float]:
    """``correlation.correlate`` of the pairs that are known: ρ, its interval, p; all NaN of too few pairs, or where one is constant."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < FEWEST or np.ptp(x[known]) == 0 or np.ptp(y[known]) == 0:
        return (np.nan,) * 4
    found = correlate(x[known], y[known])
    return found.rho, found.low, found.high, found.p


def relation_lines(lines, indicators) -> list[dict]:
    """Rank correlations across fillings of errors with every indicator, for each family, metal and kT; ``force_rms`` among them, for the scale of the forces."""
    by_dose = {(row["metal"], row["filling"], row["kT"]): row for row in indicators}
    names = ["force_rms"] + [k for k in indicators[0] if k not in NOT_INDICATORS and not k.startswith(("mesh_", "converged_"))] if indicators else []
    found = []
    groups = {}
    for line in lines:
        groups.setdefault((line["family"], line["metal"], line["kT"]), []).append(line)
    for (family, symbol, width), own in groups.items():
        for name in names:
            values = []
            for line in own:
                row = by_dose[symbol, line["filling"], width] | {"force_rms": line["force_rms"]}
                path = name.partition("_")[2]
                trusted = not name.startswith(("rough_", "relative_")) or row[f"converged_{path}"]
                values.append(row[name] if trusted and row[name] is not None else np.nan)
            for key in ERRORS:
                value, low, high, p = spearman(values, [line[key] for line in own])
                count = int(np.isfinite(values).sum())
                found.append(
                    {"family": family, "metal": symbol, "kT": width, "indicator": name, "error": key}
                    | {"spearman": value, "low": low, "high": high, "p": p, "fillings": count}
                )
    return found


def figures(rows, lines, indicators) -> dict[str, object]:
    """Every picture that the rows allow, by file name."""
    found = {}
    if lines:
        found["fillings"] = fillings(lines, chosen(rows, section="eam"))
    if by_temperature := [line for line in temperature_lines(rows) if line["force_rmse_ratio"] != 1]:
        found["effect"] = effect_figure(by_temperature)
    curves = curve_lines(rows)
    for section, x in (("capacity", "functions of the polynomial"), ("frames", "training frames")):
        if points := [line for line in curves if line["section"] == section]:
            found[section] = curve_figure(points, section, x)
    if indicators and lines:
        found["indicators"] = indicator_figure(lines, indicators)
    return found


def _panels(metals, height=3.3):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, height * len(metals) + 0.3), dpi=95, layout="constrained")
    return figure, figure.subplots(len(metals), 2, squeeze=False)


def fillings(lines, eam):
    """Errors against the filling for each kT, absolute and normalised side by side; a row per metal; grey levels: the same models on the labels of the EAM."""
    metals = list(dict.fromkeys(line["metal"] for line in lines))
    figure, axes = _panels(metals)
    for symbol, pair in zip(metals, axes):
        for panel, (key, label) in zip(pair, ERRORS.items()):
            for family in dict.fromkeys(line["family"] for line in lines):
                for width in sorted({line["kT"] for line in lines}):
                    own = [line for line in lines if (line["metal"], line["family"], line["kT"]) == (symbol, family, width)]
                    if not own:
                        continue
                    x, y = np.array([line["filling"] for line in own]), np.array([line[key] for line in own])
                    bars = np.array([[line[key] - line[f"{key}_low"], line[f"{key}_high"] - line[key]] for line in own]).T
                    style = {"linestyle": "-", "linewidth": 1.3} if family == "poly" else {"linestyle": "none", "markerfacecolor": "white"}
                    colour, name = COLOURS.get(width, OTHER), f"{family}, kT = {width:g} eV"
                    panel.errorbar(x, y, bars, color=colour, marker=MARKERS.get(family, "x"), markersize=4.5, capsize=2, label=name, **style)
                known = [row["test"]["all"][key][0] for row in chosen(eam, metal=symbol, family=family)]
                if known:
                    shape = "--" if family == "poly" else ":"
                    panel.axhline(np.exp(np.mean(np.log(known))), color="#979a9a", linewidth=0.9, linestyle=shape, label=f"{family}, EAM labels")
            panel.set(yscale="log", xlabel="d electrons per atom", ylabel=label, title=f"{symbol}, {metal(symbol).crystal}")
            plain(panel.yaxis)
            panel.grid(which="both", alpha=0.2)
    axes[0, 0].legend(fontsize=6.5, frameon=False, ncol=2)
    return figure


def effect_figure(lines):
    """Errors at the largest kT ÷ those at the smallest, against the filling: a line per temperature of the frames; a row per metal."""
    from matplotlib import colormaps

    metals = list(dict.fromkeys(line["metal"] for line in lines))
    largest = max(line["kT"] for line in lines)
    figure, axes = _panels(metals)
    for symbol, pair in zip(metals, axes):
        temperatures = sorted({line["temperature"] for line in lines if line["metal"] == symbol})
        for panel, (key, label) in zip(pair, ERRORS.items()):
            for family in dict.fromkeys(line["family"] for line in lines):
                for k, temperature in enumerate(temperatures):
                    chosen_ = (family, symbol, temperature, largest)
                    own = [line for line in lines if (line["family"], line["metal"], line["temperature"], line["kT"]) == chosen_]
                    style = {"linestyle": "-"} if family == "poly" else {"linestyle": "none", "markerfacecolor": "white"}
                    colour = colormaps["plasma"](0.85 * k / max(1, len(temperatures) - 1))
                    name = f"{temperature:g} K" if family == "poly" else f"{family.upper()}, the same colours" if k == 0 else None
                    x, y = [line["filling"] for line in own], [line[f"{key}_ratio"] for line in own]
                    panel.plot(x, y, color=colour, marker=MARKERS.get(family, "x"), markersize=4, linewidth=1.2, label=name, **style)
            panel.axhline(1, color="#979a9a", linewidth=0.8)
            words = label.partition(" (")[0]
            panel.set(yscale="log", xlabel="d electrons per atom", ylabel=f"{words},\nkT = {largest:g} eV ÷ smallest kT", title=symbol)
            plain(panel.yaxis)
            panel.grid(which="both", alpha=0.2)
        pair[0].legend(fontsize=7, frameon=False, ncol=2)
    return figure


def curve_figure(points, section: str, x: str):
    """Errors against the size of the polynomial, or the frames: a line per filling, in the colour of its kT; triangles: with functions of four neighbours, the
    others of up to three; a row per metal."""
    metals = list(dict.fromkeys(line["metal"] for line in points))
    figure, axes = _panels(metals)
    at = "functions" if section == "capacity" else "frames"
    for symbol, pair in zip(metals, axes):
        for panel, (key, label) in zip(pair, ERRORS.items()):
            for width in sorted({line["kT"] for line in points}):
                named = False
                for filling in sorted({line["filling"] for line in points}):
                    same = [p for p in points if (p["metal"], p["kT"], p["filling"]) == (symbol, width, filling)]
                    own = sorted((p[at], p[key]) for p in same if p["neighbours"] <= 3)
                    if len(own) < 2:
                        continue
                    label_ = None if named else f"kT = {width:g} eV, a line per filling"
                    shade = 0.35 + 0.65 * abs(filling - 5) / 4
                    panel.plot(*zip(*own), color=COLOURS.get(width, OTHER), marker="o", markersize=2.5, linewidth=1, alpha=shade, label=label_)
                    panel.annotate(f"{filling:g}", own[-1], xytext=(3, -2), textcoords="offset points", fontsize=6, color=COLOURS.get(width, OTHER))
                    named = True
                    if more := [(p[at], p[key]) for p in same if p["neighbours"] > 3]:
                        panel.plot(*zip(*more), color=COLOURS.get(width, OTHER), marker="^", markersize=4, linestyle="none", alpha=shade)
            if any(p["neighbours"] > 3 for p in points):
                panel.plot([], [], color=OTHER, marker="^", markersize=4, linestyle="none", label="with functions of four neighbours")
            panel.plot([], [], color=OTHER, linewidth=1, alpha=0.35, label="paler: nearer to 5 electrons")
            panel.set(yscale="log", xlabel=x, ylabel=label, title=f"{symbol}, {metal(symbol).crystal}")
            panel.set_xscale("log")
            panel.set_xticks(sorted({p[at] for p in points}), [f"{place}" for place in sorted({p[at] for p in points})])
            panel.minorticks_off()
            plain(panel.yaxis)
            panel.grid(which="both", alpha=0.2)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return figure


SHOWN = {"dos": "N(E_F), states/eV/atom, by kT", "area_reduced": "Fermi surface, A / V_BZ^⅔", "rough_thermal": "roughness, thermal\npath (meV/atom)"}
"""Indicators of the figure."""


def indicator_figure(lines, indicators):
    """Indicators against the filling, and errors of the polynomial against each of them."""
    from matplotlib.figure import Figure

    metals = list(dict.fromkeys(line["metal"] for line in lines))
    by_dose = {(row["metal"], row["filling"], row["kT"]): row for row in indicators}
    figure = Figure(figsize=(3.6 * len(SHOWN), 5.4 * len(metals)), dpi=90, layout="constrained")
    axes = figure.subplots(2 * len(metals), len(SHOWN), squeeze=False)
    for k, symbol in enumerate(metals):
        for column, (name, title) in enumerate(SHOWN.items()):
            above, below = axes[2 * k, column], axes[2 * k + 1, column]
            for width in sorted({row["kT"] for row in indicators}):
                colour = COLOURS.get(width, OTHER)
                own = [row for row in indicators if (row["metal"], row["kT"]) == (symbol, width)]
                above.plot(
                    [row["filling"] for row in own], [row[name] for row in own], color=colour, marker="o", markersize=3, label=f"kT = {width:g} eV"
                )
                of = [line for line in lines if (line["family"], line["metal"], line["kT"]) == ("poly", symbol, width)]
                x = [by_dose[symbol, line["filling"], width][name] for line in of]
                below.plot(x, [line["force_rmse"] for line in of], color=colour, marker="o", markersize=4, linestyle="none")
                for at, line in zip(x, of):
                    below.annotate(f"{line['filling']:g}", (at, line["force_rmse"]), xytext=(3, 2), textcoords="offset points", fontsize=6)
            above.set(xlabel="d electrons per atom", ylabel=title, title=f"{symbol}, {metal(symbol).crystal}")
            below.set(xlabel=title, ylabel="force RMSE, poly (eV/Å)", yscale="log")
            plain(below.yaxis)
            if name.startswith("rough"):
                above.set_yscale("log")
                below.set_xscale("log")
                plain(above.yaxis)
                plain(below.xaxis)
            for axis in (above, below):
                axis.grid(alpha=0.2)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return figure
