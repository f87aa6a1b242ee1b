"""A row of numbers for each metal, and the table of them that ships with MetalFF (``metals.csv``; its columns: docs/fermi.md)."""

import csv
import io
import math
from functools import lru_cache
from pathlib import Path

from metalff.data.metals import metal
from metalff.dft.protocol import protocol
from metalff.fermi import bands
from metalff.fermi.levels import FINER, density_of_states, finer, near_level, weighted_density
from metalff.fermi.surface import measures

FILE = Path(__file__).with_name("metals.csv")

WIDTHS = (0.1, 0.05)
"""eV; of the density of states. The Fermi level is that of the last."""

DIGITS = 4
"""Significant ones in metals.csv."""

COLUMNS = {
    "element": "",
    "crystal": "",
    "a": "Å",
    "c": "Å",
    "magnetic": "",
    "electrons": "1/atom",
    "n_ef_0.1": "1/eV atom",
    "n_ef_0.05": "1/eV atom",
    "d_weight": "",
    "area": "V_BZ^⅔",
    "sheets": "",
    "fragments": "",
    "closed": "",
    "sphericity": "",
    "compactness": "",
    "euler": "",
    "mean_curvature": "Å",
    "curvature": "V_BZ^−⅓",
    "velocity_mean": "10⁶ m/s",
    "velocity_spread": "",
    "plasma_energy": "eV",
    "carriers": "1/atom",
    "complexity": "",
    "complexity_dos": "",
    "mesh": "",
    "error_n_ef": "",
    "error_area": "",
    "error_velocity": "",
    "error_complexity_dos": "",
    "sheets_coarse": "",
    "euler_coarse": "",
}
"""Unit by name; without one: a number, a word, a share."""

WORDS = ("element", "crystal", "magnetic")
COUNTS = ("sheets", "fragments", "euler", "mesh", "sheets_coarse", "euler_coarse")
ERRORS = {"error_n_ef": "n_ef_0.1", "error_area": "area", "error_velocity": "velocity_mean", "error_complexity_dos": "complexity_dos"}
"""The change from the coarser mesh, by the value → of which column."""


def fermi_level(found: bands.Bands) -> float:
    """eV; that of the table's surfaces."""
    return near_level(found.eigenvalues, found.electrons, WIDTHS[-1])[0]


def row(symbol: str, folder: Path) -> dict:
    """The row of a metal from its files of eigenvalues.

    Raises:
        MetalffError: they are not there, or damaged.
    """
    fine, coarse = (_measured(bands.load(symbol, folder, size)) for size in bands.MESHES)
    of = metal(symbol)
    found = {"element": symbol, "crystal": of.crystal, "a": of.a, "c": of.c, "magnetic": "yes" if symbol in protocol().magnetic else "no", **fine}
    found |= {error: abs(fine[key] - coarse[key]) / abs(fine[key]) if fine[key] else None for error, key in ERRORS.items()}
    found |= {"mesh": bands.MESHES[0], "sheets_coarse": coarse["sheets"], "euler_coarse": coarse["euler"]}
    return {key: None if isinstance(found[key], float) and not math.isfinite(found[key]) else found[key] for key in COLUMNS}


def _measured(found: bands.Bands) -> dict:
    level, near = near_level(found.eigenvalues, found.electrons, WIDTHS[-1])
    energies, shares = (finer(values[near], FINER) for values in (found.eigenvalues, found.d_shares))
    states = [density_of_states(energies, None, level, width) for width in WIDTHS]
    surface = measures(found.eigenvalues, level, found.reciprocal)
    return {
        "electrons": found.electrons / found.atoms,
        **{f"n_ef_{width:g}": value / found.atoms for width, value in zip(WIDTHS, states, strict=True)},
        "d_weight": weighted_density(energies, None, shares, level, WIDTHS[0]) / states[0],
        "area": surface["area_reduced"],
        "curvature": surface["curvature_reduced"],
        "velocity_mean": surface["velocity"],
        "carriers": surface["carriers"] / found.atoms,
        **{
            key: surface[key]
            for key in (
                "sheets",
                "fragments",
                "closed",
                "sphericity",
                "compactness",
                "euler",
                "mean_curvature",
                "velocity_spread",
                "plasma_energy",
                "complexity",
                "complexity_dos",
            )
        },
    }


def written(rows: list[dict]) -> str:
    """The rows as CSV; nothing where a value is None."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for found in rows:
        writer.writerow([_word(found[key]) for key in COLUMNS])
    return stream.getvalue()


def _word(value) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


@lru_cache
def shipped() -> dict[str, dict]:
    """The rows that ship with MetalFF, by element; None where a metal has no such number."""
    with open(FILE, encoding="utf-8", newline="") as stream:
        return {found["element"]: {key: _value(key, text) for key, text in found.items()} for found in csv.DictReader(stream)}


def _value(key: str, text: str):
    if key in WORDS:
        return text
    return None if not text else int(text) if key in COUNTS else float(text)


def table():
    """Fermi-surface indicators of the metals that ship with MetalFF.

    Returns:
        ``pandas.DataFrame`` with a row per element (the index) and the columns of docs/fermi.md: densities of states in states per eV and atom, the area by
        V_BZ^⅔, velocities in 10⁶ m/s. NaN where a metal has no such number, such as the sphericity of a surface that is nowhere closed.
    """
    import pandas

    frame = pandas.DataFrame(shipped().values(), columns=list(COLUMNS)).set_index("element")
    numbers = [key for key in frame.columns if key not in WORDS]
    return frame.astype({key: float for key in numbers if key not in COUNTS} | {key: int for key in COUNTS})


def describe(value) -> str:
    """A value where people read it: three significant digits; a dash for None."""
    if value is None:
        return "–"
    return f"{value:#.3g}".removesuffix(".").replace("-", "−") if isinstance(value, float) else str(value).replace("-", "−")
