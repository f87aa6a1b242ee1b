"""One self-contained HTML page with a Fermi surface to turn and the table of indicators."""

import json
from importlib.resources import files
from pathlib import Path

from metalff import __version__
from metalff.fermi.metals import COLUMNS, describe

FACTS = {
    "n_ef_0.1": "N(E_F), states per eV and atom",
    "d_weight": "d-weight at E_F",
    "area": "area ÷ V_BZ^⅔",
    "sheets": "sheets",
    "sphericity": "sphericity of closed sheets",
    "euler": "Euler characteristic",
    "velocity_mean": "Fermi velocity, 10⁶ m/s",
    "velocity_spread": "its spread",
    "complexity_dos": "complexity N_v K* (by the DOS)",
    "error_area": "change of the area from 16³",
}
"""Shown beside the surface: of which column, in words."""


def render(rows: list[dict], figures: dict, failed: list[str], pictures: str) -> str:
    """The page.

    Args:
        rows: of the table.
        figures: by symbol, of plotly.
        failed: sentences about metals that are not there.
        pictures: where the still ones lie.
    """
    import jinja2
    import plotly
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    symbols = [found["element"] for found in rows]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((files("metalff.fermi") / "page.html.j2").read_text("utf-8")).render(
        title=f"Fermi surface{'s' if len(symbols) > 1 else ''} of {_and(symbols)}",
        lead=_lead(rows),
        style=Markup((files("metalff.report") / "page.css").read_text("utf-8")),
        version=__version__,
        symbols=symbols,
        failed=failed,
        pictures=pictures,
        columns=list(COLUMNS.items()),
        rows=[[describe(found[key]) for key in COLUMNS] for found in rows],
        figures=[(symbol, Markup(_embedded(figures[symbol].to_json()))) for symbol in symbols],
        facts=Markup(_embedded(json.dumps({found["element"]: _facts(found) for found in rows}, ensure_ascii=False))),
        library=Markup(get_plotlyjs().replace("</script", "<\\/script")),
        plotly=plotly.__version__,
    )


def write(path: Path, *content) -> None:
    """``render`` into a file, whole or not at all."""
    from metalff.paths import atomic_write

    with atomic_write(path) as stream:
        stream.write(render(*content))


def _and(symbols: list[str]) -> str:
    if len(symbols) > 6:
        return f"{len(symbols)} metals"
    return " and ".join(filter(None, [", ".join(symbols[:-1]), symbols[-1]]))


def _lead(rows: list[dict]) -> str:
    if len(rows) == 1:
        (found,) = rows
        return (
            f"{found['sheets']} sheet{'s' if found['sheets'] != 1 else ''} with {describe(found['area'])} V_BZ^⅔ of surface, where a sphere that "
            "holds one electron has 3.05."
        )
    candidates = [found for found in rows if found["magnetic"] == "no"] or rows
    largest, most = (max(candidates, key=lambda found: found[key]) for key in ("area", "n_ef_0.1"))
    return (
        f"{'Of those that are not magnetic, the' if len(candidates) < len(rows) else 'The'} largest surface is that of {largest['element']} "
        f"({describe(largest['area'])} V_BZ^⅔), the highest density of states at the Fermi level that of {most['element']} "
        f"({describe(most['n_ef_0.1'])} per eV and atom)."
    )


def _facts(found: dict) -> list[list[str]]:
    facts = [[words, describe(found[key])] for key, words in FACTS.items()]
    return [["magnetic", "yes; here without spin"], *facts] if found["magnetic"] == "yes" else facts


def _embedded(text: str) -> str:
    """JSON as it may stand in a script."""
    return text.replace("<", "\\u003c")
