"""Runs that are driven, not kept at one temperature: ramps, coexistence and strains as short curves and a few numbers.

Pure functions on their results, but for ``of_run``, which reads them.
"""

import re

import numpy as np

from metalff.properties.melting import coexistence_temperature, phase_of
from metalff.report import binned
from metalff.validate.blocks import block_means
from metalff.validate.order import NEIGHBOURS, SHARE, solid_fraction

POINTS = 80
"""Of a curve: means of as many parts of the run, which average over its fluctuations."""

LOOKS = 24
"""Frames in which the solid part is counted."""

SLIGHT = 0.04
"""Strain up to which a parabola is fitted for the slope at none."""

PARTS = 20
"""Independent means that the parabola is fitted to."""

LENGTHS = {"x": "lx", "y": "ly", "z": "lz"}


def solid_parts(positions, cell, crystal: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Numbers of up to ``LOOKS`` frames, evenly chosen, and the part of their atoms that is solid-like; None where order is not defined.

    Args:
        positions, cell: [F,N,3] and [F,3,3] Å.
        crystal: fcc, bcc or hcp; None for others, and for a cell of fewer atoms than the order parameter needs.
    """
    if crystal not in NEIGHBOURS or positions.shape[1] <= 2 * NEIGHBOURS[crystal]:
        return None
    chosen = np.unique(np.round(np.linspace(0, len(positions) - 1, min(LOOKS, len(positions)))).astype(int))
    return chosen, np.array([solid_fraction(positions[k], cell[k], crystal) for k in chosen])


def of_run(run, crystal: str, metal) -> tuple[dict | None, int]:
    """What the page shows of a ``results.Run`` (id, kind, temperature in K, atoms, wall time in s, curves), and its atom-steps.

    Args:
        metal: ``metalff.data.metals.Metal`` of experiment, or None.
    Raises:
        MetalffError: a file is damaged, or not the one that the sweep wrote.
    """
    thermo, trajectory, kind = run.thermo, run.trajectory, run.record["kind"]
    if kind == "ramp":
        named = re.search(r"ramp-([\d.]+)K-([\d.]+)K", run.id)
        shown = ramp(thermo, trajectory, crystal, named and (float(named[1]), float(named[2])))
    elif kind == "strain":
        shown = strain(thermo, crystal, metal.elastic if metal and metal.crystal == crystal else {})
    else:
        shown = coexistence(thermo, trajectory, crystal, run.record.get("values") or {})
    atoms = trajectory.positions.shape[1]
    own = {"id": run.id, "kind": kind, "temperature": run.temperature, "atoms": atoms, "wall": run.record.get("wall_s")}
    if shown:
        own |= {"said": sentence(kind, shown), "beside": beside(kind, shown, metal)}
    return shown and own | shown, int(atoms * (thermo["step"].iloc[-1] - thermo["step"].iloc[0]))


def ramp(thermo, run, crystal: str, ends: tuple[float, float] | None = None) -> dict | None:
    """Volume and potential energy per atom over temperature, and where the crystal melted or the liquid froze, told by structure.

    Args:
        thermo: rows of ``thermo.csv``: T (K), pe (eV), vol (Å³), stage.
        run: its ``Trajectory``, frames of the same stage.
        ends: K of the thermostat at the beginning and the end; None takes a straight line through the temperatures.
    Returns:
        ``volume`` (Å³/atom) and ``energy`` (eV/atom) as ``binned.series``, evenly over the thermostat's temperature, which a small cell
        follows with fluctuations, ``T`` ([K, K], its first and last); ``change``: [K before, K after], or nothing where the phase stays;
        ``melts``; ``expands``: volume after over before in %, where there is as much of the run on both sides; ``phases`` of the first and
        last frame. None without rows.
    """
    part, atoms = thermo[thermo.stage == "ramp"], run.positions.shape[1]
    if len(part) < 2:
        return None
    time = part.time_ps.to_numpy(float)
    if ends is None:
        ends = tuple(np.polyval(np.polyfit(time, part["T"], 1), time[[0, -1]]))

    def kelvin(at):
        return np.interp(at, time[[0, -1]], ends)

    middles, volume, energy = block_means(np.stack([time, part.vol / atoms, part.pe / atoms], axis=1), min(POINTS, len(part))).T
    found = {"T": [_short(v) for v in kelvin(middles[[0, -1]])], "volume": binned.series(volume), "energy": binned.series(energy)}
    looked = solid_parts(run.positions, run.cell, crystal)
    if looked is None:
        return found
    frames, solid = looked
    found["phases"] = ["solid" if solid[k] >= SHARE else "liquid" for k in (0, -1)]
    if between := lasting_change(solid):
        before, after = (run.time_ps[frames[k]] for k in between)
        found |= {"change": [_short(kelvin(before)), _short(kelvin(after))], "melts": bool(solid[0] >= SHARE)}
        wide = after - before
        if time[0] <= before - wide and after + wide <= time[-1]:
            sides = [part.vol[(time >= start) & (time <= start + wide)].mean() for start in (before - wide, after)]
            found["expands"] = _short(100 * (sides[1] / sides[0] - 1))
    return found


def lasting_change(solid) -> tuple[int, int] | None:
    """The last number of the phase that it begins with, and the first of the other one, which it keeps; None where it ends as it began."""
    is_solid = np.asarray(solid, float) >= SHARE
    if len(is_solid) < 2 or is_solid[0] == is_solid[-1]:
        return None
    last = int(np.flatnonzero(is_solid == is_solid[0])[-1])
    return last, last + 1


def coexistence(thermo, run, crystal: str, values: dict) -> dict | None:
    """Temperature and solid part over time at constant enthalpy, and the mean temperature.

    Args:
        values: what the sweep wrote of this run; made anew where it has nothing.
    Returns:
        ``time`` (ps, [first, last]), ``T`` and ``solid`` as ``binned.series`` over it, ``mean`` [K, low, high], ``phase`` (both, solid,
        liquid or '').
    """
    part = thermo[thermo.stage == "sample"]
    if len(part) < 2 * PARTS:
        return None
    time = part.time_ps.to_numpy(float)
    known = values.get("coexistence_temperature")
    mean = [known[name] for name in ("value", "low", "high")] if known else coexistence_temperature(part["T"])
    found = {
        "time": [0.0, _short(time[-1] - time[0])],
        "T": binned.series(block_means(part["T"], min(POINTS // 2, len(part)))),
        "mean": [_short(v) for v in mean],
        "phase": "",
    }
    if looked := solid_parts(run.positions, run.cell, crystal):
        frames, solid = looked
        found["solid"] = binned.series(solid)
        found["phase"] = values.get("phase") or phase_of(solid)
    return found


def strain(thermo, crystal: str, elastic: dict) -> dict | None:
    """Stress over strain, with the slope at no strain beside that of experiment's elastic constants.

    Args:
        thermo: rows with ``lx`` … ``xy`` (Å) and ``pxx`` … ``pxy``, ``press`` (bar).
        elastic: GPa, of experiment; empty where unknown.
    Returns:
        ``strain`` and ``stress`` (GPa, tension above zero) as ``binned.series``, ``direction``, ``slope`` [GPa, low, high],
        ``constant``: what the slope is of a crystal along its axes, and ``known``, that in GPa. None where no length changes.
    """
    part = thermo[thermo.stage == "strain"]
    if len(part) < 2 * PARTS or "lx" not in part.columns:
        return None
    lengths = {name: part[column].to_numpy(float) for name, column in LENGTHS.items()}
    changes = {name: values / values[0] - 1 for name, values in lengths.items()}
    changes["xy"] = (part.xy.to_numpy(float) - part.xy.iloc[0]) / lengths["y"]
    moved = {name for name, values in changes.items() if abs(values[-1]) > 1e-6}
    if not moved:
        return None
    direction = "volume" if moved >= set(LENGTHS) else next(iter(moved))
    strained = changes["x" if direction == "volume" else direction]
    stress = -1e-4 * part["press" if direction == "volume" else f"p{direction * 2 if direction != 'xy' else 'xy'}"].to_numpy(float)
    found = {
        "direction": direction,
        "strain": binned.series(block_means(strained, min(POINTS, len(part)))),
        "stress": binned.series(block_means(stress, min(POINTS, len(part)))),
    }
    if slope := initial_slope(strained, stress):
        found["slope"] = [_short(v) for v in slope]
    name, value = constant(direction, crystal, elastic)
    return found | {"constant": name} | ({"known": _short(value)} if value else {})


def initial_slope(strain, stress) -> tuple[float, float, float] | None:
    """dσ/dε at ε = 0 in the unit of the stress, and the ends of its 95 % interval: a parabola through ``PARTS`` means up to ``SLIGHT``.

    None where fewer rows than that lie there.
    """
    from scipy.stats import t as student

    strain, stress = np.asarray(strain, float), np.asarray(stress, float)
    slight = np.abs(strain) <= SLIGHT
    if np.count_nonzero(slight) < PARTS:
        return None
    x, y = block_means(np.stack([strain, stress], axis=1)[slight], PARTS).T
    design = np.stack([np.ones_like(x), x, x**2], axis=1)
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    freedom = len(x) - design.shape[1]
    variance = np.sum((y - design @ found) ** 2) / freedom * np.linalg.inv(design.T @ design)[1, 1]
    half = float(student.ppf(0.975, freedom) * np.sqrt(variance))
    return float(found[1]), float(found[1] - half), float(found[1] + half)


def constant(direction: str, crystal: str, elastic: dict) -> tuple[str, float | None]:
    """Name of the slope of stress over strain along the axes of a crystal whose other lengths stay, and its value (GPa), or None."""
    get = elastic.get
    if crystal != "hcp":
        name = {"xy": "C44", "volume": "3B"}.get(direction, "C11")
        value = (get("C11") + 2 * get("C12")) if name == "3B" and elastic else get(name)
        return name, value
    if direction == "volume":  # Voigt's mean: all lengths change alike
        return "3B", (2 * (get("C11") + get("C12")) + 4 * get("C13") + get("C33")) / 3 if elastic else None
    if direction == "xy":
        return "(C11 − C12)/2", (get("C11") - get("C12")) / 2 if elastic else None
    return (name := "C33" if direction == "z" else "C11"), get(name)


def sentence(kind: str, shown: dict) -> str:
    """What the run comes to."""
    if kind == "ramp":
        if "change" in shown:
            low, high = sorted(shown["change"])
            verb = "melts" if shown["melts"] else "freezes"
            expands = f", volume {shown['expands']:+.1f} %".replace("-", "−") if "expands" in shown else ""
            first = "superheated when it begins, " if shown["melts"] and shown["T"][1] < shown["T"][0] else ""
            return f"{first}{verb} between {low:.0f} and {high:.0f} K{expands}"
        return f"{shown['phases'][0]} to the end" if "phases" in shown else ""
    if kind == "strain":
        if "slope" not in shown:
            return "too short for a slope"
        value, low, high = shown["slope"]
        return f"{shown['constant']} = {value:.0f} GPa ({low:.0f}–{high:.0f})".replace("-", "−")
    mean, low, high = shown["mean"]
    said = {"both": "both phases stay", "solid": "all froze: no melting temperature", "liquid": "all melted: no melting temperature"}
    return f"{mean:.0f} K ({low:.0f}–{high:.0f}), {said.get(shown['phase'], 'phases not known')}"


def beside(kind: str, shown: dict, metal) -> str:
    """The number of experiment that belongs to it, or ''."""
    if kind == "strain":
        return f"{shown['known']:.0f} GPa" if "known" in shown else ""
    return f"melts at {metal.melting_temperature:.0f} K" if metal else ""


def _short(value) -> float:
    return float(f"{value:.5g}")
