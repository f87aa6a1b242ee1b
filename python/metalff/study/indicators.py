"""Indicators of each metal's Fermi surface for correlations: those that are shipped, or of a table of ``metalff fermi``."""

import csv
import math
from pathlib import Path

from metalff.data.metals import metals
from metalff.dft.protocol import protocol
from metalff.errors import MetalffError, nearest

HEADINGS = {
    "n_ef_0.1": "N(E_F), states/eV/atom",
    "d_weight": "d weight at E_F",
    "area": "area A/V_BZ^⅔",
    "sheets": "sheets",
    "sphericity": "sphericity of closed sheets",
    "compactness": "compactness",
    "curvature": "mean curvature, unsigned",
    "euler": "Euler characteristic",
    "velocity_mean": "mean velocity",
    "velocity_spread": "spread of the velocity",
    "complexity": "complexity factor N_v K*",
    "complexity_dos": "complexity factor by N(E_F)",
    "roughness": "roughness of the free energy (DFT), meV/atom",
    "roughness_relative": "roughness ÷ curved part (DFT)",
    "occupied_change": "change of the occupied region, 1/Å atom",
}
"""Names of indicators → for people. The list is fixed before any error is looked at: every one more is another chance correlation."""


ROUGH = {"method": "dft", "path": "phonon", "quantity": "free_energy", "width": 0.1}
"""Of which curve: the zone-boundary phonon, since most strains of DFT are smoother than their mesh error; forces are those of the free energy."""

MAGNETIC = "magnetic metals are left out: their indicators are those of the state without magnetism; --magnetic takes them in"


def shipped(magnetic: bool = False) -> dict[str, dict[str, float]]:
    """Element → indicator → value of the tables that come with MetalFF; NaN where it is not known or its mesh is not converged.

    Args:
        magnetic: also metals whose ground state is magnetic; their values are those of the state without.
    """
    from metalff.fermi import path_energies
    from metalff.fermi.metals import shipped

    rows = {symbol: row for symbol, row in shipped().items() if magnetic or row["magnetic"] == "no"}
    found = {symbol: {name: _value(row.get(name)) for name in HEADINGS if name in row} for symbol, row in rows.items()}
    rough = {
        row["element"]: row for row in path_energies.table() if path_energies.resolved(row) and all(row[key] == value for key, value in ROUGH.items())
    }
    for symbol, own in found.items():
        row = rough.get(symbol, {})
        for name, column in (("roughness", "roughness"), ("roughness_relative", "relative"), ("occupied_change", "occupied_change")):
            own[name] = _value(row.get(column))
    return found


def read(path: Path, magnetic: bool = False) -> dict[str, dict[str, float]]:
    """The same of ``fermi.csv``, as ``metalff fermi`` writes it; an indicator of which nothing stands there is left out.

    Args:
        magnetic: as of ``shipped``.
    Raises:
        MetalffError: it has no column ``element``, none of the indicators, a metal that is none or stands there twice, or a value that is no number.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            reader.fieldnames = [str(name).strip() for name in reader.fieldnames or []]
            lines = list(reader)
    except OSError as error:
        raise MetalffError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise MetalffError(f"{path} is no table in CSV") from None
    if not lines or "element" not in lines[0] or not set(HEADINGS) & set(lines[0]):
        raise MetalffError(f"{path} is no table of indicators; it needs element and some of {', '.join(HEADINGS)} (metalff fermi writes one)")
    found = {}
    for number, line in enumerate(lines, 2):
        where, symbol = f"{path}, line {number}", (line["element"] or "").strip()
        if symbol not in metals():
            raise MetalffError(f"{where}: {symbol or 'an empty element'} is no metal that is known here{nearest(symbol, metals())}")
        if symbol in found:
            raise MetalffError(f"{where}: {symbol} stands there twice")
        found[symbol] = {name: _number(line[name], f"{where}: {name}") for name in HEADINGS if (line.get(name) or "").strip()}
    return {symbol: own for symbol, own in found.items() if magnetic or symbol not in protocol().magnetic}


def _number(text: str, where: str) -> float:
    value = _value(text)
    if not math.isfinite(value):
        raise MetalffError(f"{where} {text} is no number")
    return value


def _value(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
