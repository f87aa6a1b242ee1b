"""Errors of a validation by metal and temperature, for the periodic table of the page: potential, temperature and metric to choose."""

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from metalff.data.metals import metals
from metalff.report.periodic_table import LAST, place
from metalff.validate.metrics import STILL

AT_LEAST = 3
"""Metals from which on a table is drawn."""

ROOM = 300.0, 5.0
"""K: a temperature, and how far from it another still counts as it."""

SHARES = (0.25, 0.5, 0.75, 1.0, 1.2)
"""Of the melting temperature; a temperature belongs to the nearest, within a tenth."""

METRICS = {
    "normalised": ("force RMSE ÷ RMS force", "%"),
    "force_rmse": ("force RMSE", "eV/Å"),
    "force_mae": ("force MAE", "eV/Å"),
    "energy": ("energy RMSE after fitted constants", "meV/atom"),
    "force_rms": ("RMS force of the reference", "eV/Å"),
}
"""Name and unit by key."""

ALL = "all"


def temperature_class(element: str, temperature: float | None) -> str:
    """``300 K``, ``0.5 Tm`` and so on, so that metals can be put beside each other; the temperature itself where nothing fits; '' without one."""
    if temperature is None:
        return ""
    if abs(temperature - ROOM[0]) <= ROOM[1]:
        return f"{ROOM[0]:g} K"
    if element in metals():
        share = temperature / metals()[element].melting_temperature
        nearest = min(SHARES, key=lambda s: abs(s - share))
        if abs(nearest - share) <= 0.1:
            return "Tm" if nearest == 1 else f"{nearest:g} Tm"
    return f"{temperature:g} K"


def pooled(rows: list[dict]) -> dict[str, float]:
    """Metrics over several conditions: squares by atoms, energies by frames."""
    atoms, frames = (np.array([row[key] for row in rows], float) for key in ("atoms", "frames"))

    def mean(values, weights):
        return float(np.sum(np.array(values) * weights) / weights.sum())

    square = mean([row["force_rmse"]["value"] ** 2 for row in rows], atoms)
    reference = mean([row["force_rms_reference"] ** 2 for row in rows], atoms)
    found = {"force_rmse": np.sqrt(square), "force_rms": np.sqrt(reference)}
    found |= {"force_mae": mean([row["force_mae"]["value"] for row in rows], atoms)}
    found |= {"energy": 1000 * np.sqrt(mean([row["energy_rmse_offset"]["value"] ** 2 for row in rows], frames))}
    if reference >= STILL**2:
        found["normalised"] = 100 * np.sqrt(square / reference)
    return {key: float(f"{found[key]:.4g}") for key in METRICS if key in found}


def table(document: dict) -> dict | None:
    """What the page needs for a periodic table; None with fewer than ``AT_LEAST`` metals.

    Args:
        document: ``validate.json``.
    Returns:
        ``potentials`` (labels), ``temperatures``, ``metrics`` (key → [name, unit]), ``places`` (symbol → [row, column]), ``values``: for each
        potential, temperature class and metal the metrics.
    """
    elements = [symbol for symbol in document["potentials"][0].get("by_element", {}) if symbol in atomic_numbers]
    if len(elements) < AT_LEAST:
        return None
    values, classes = [], {}
    for potential in document["potentials"]:
        conditions = [row for row in potential["by_condition"] if row["element"] in elements]
        groups = {ALL: {}}
        for row in conditions:
            for name in {ALL, temperature_class(row["element"], row["temperature"])} - {""}:
                groups.setdefault(name, {}).setdefault(row["element"], []).append(row)
                if name != ALL:
                    melting = metals()[row["element"]].melting_temperature if row["element"] in metals() else row["temperature"]
                    classes.setdefault(name, []).append(row["temperature"] / melting)
        values.append({name: {symbol: pooled(rows) for symbol, rows in group.items()} for name, group in groups.items()})
    order = sorted(classes, key=lambda name: np.mean(classes[name]))
    return {
        "potentials": [potential["label"] for potential in document["potentials"]],
        "temperatures": [ALL, *order],
        "metrics": METRICS,
        "places": {s: place(s) for s in chemical_symbols[1 : LAST + 1] if place(s)[0] < 7 or any(place(e)[0] == 7 for e in elements)},
        "values": values,
    }
