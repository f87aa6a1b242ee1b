"""The page of two campaigns: ``compare.html.j2`` with its tables; periodic tables are coloured here, so that it needs scripts only to sort and filter."""

from collections import Counter
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from metalff import __version__
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.report.campaign import METRICS, campaign
from metalff.report.campaign_page import RANKED, environment, source
from metalff.report.compare import COMPARED, Comparison, compare
from metalff.report.metals import ALL
from metalff.report.periodic_table import LAST, place
from metalff.report.results import read_results

BETTER, MIDDLE, WORSE = np.array([33, 102, 172]), np.array([247, 247, 244]), np.array([179, 88, 6])
"""Colours of a ratio that is better, one, and worse: told apart by all, and in grey."""

LEAST_REACH = 1.1
"""The scale of the colours reaches at least this ratio, so that noise stays pale."""

VERDICTS = {"better": "▼ better", "worse": "▲ worse", "same": "≈ no difference", "unknown": "no interval"}


def write_comparison(folders, out, title: str = "") -> Path:
    """Write the page about two campaigns, A and B; each is a folder that ``read_results`` takes.

    Raises:
        MetalffError: there are not two, one is damaged, they have nothing in common, or ``out`` is a folder.
    """
    out, folders = Path(out), [Path(folder) for folder in folders]
    if len(folders) != 2:
        raise MetalffError(f"--compare takes two folders, not {len(folders)}; put what belongs to one campaign into one folder")
    if out.is_dir():
        raise MetalffError(f"{out} is a folder; give the name of a file such as compare.html")
    page = compare_page(folders, title)
    with atomic_write(out) as stream:
        stream.write(page)
    return out


def compare_page(folders, title: str = "") -> str:
    """The page; see ``write_comparison``."""
    a, b = (campaign(read_results([folder])) for folder in folders)
    found = compare(a, b)
    if not found.rows:
        models = [", ".join(model.key for model in one.models) or "none" for one in (a, b)]
        raise MetalffError(
            f"{folders[0]} and {folders[1]} have no number in common: models {models[0]} for {' '.join(a.elements)}, and {models[1]} for {' '.join(b.elements)}"
        )
    lead = next(metric for metric in COMPARED if any(row.metric == metric for row in found.rows))
    return (
        environment()
        .from_string(source("compare.html.j2"))
        .render(
            title=title or f"{folders[1].name} against {folders[0].name}",
            version=__version__,
            style=source("campaign.css"),
            script=source("tables.js") + "\nTables.start();",
            folders=folders,
            findings=_findings(found, lead),
            notes=[f"A: {note}" for note in a.notes] + [f"B: {note}" for note in b.notes],
            metrics=METRICS,
            short_names=RANKED,
            lead=METRICS[lead],
            tables=_tables(found, lead),
            found=found,
            verdicts=VERDICTS,
            only=[("A", _by_model(found.only_a)), ("B", _by_model(found.only_b))],
            used=[metric for metric in COMPARED if any(row.metric == metric for row in found.rows)],
            failures=[("A", _failed(a)), ("B", _failed(b))],
        )
    )


def _findings(found: Comparison, lead: str) -> list[str]:
    rows = [row for row in found.rows if row.metric == lead and row.temperature == ALL]
    counts = Counter(row.verdict for row in rows)
    what = f"{METRICS[lead].name}, {len(rows)} pair{'s' * (len(rows) != 1)} of metal and model in both"
    told = f"{counts['better']} better in B, {counts['worse']} worse, {counts['same']} without a difference that the intervals can tell"
    sentence = f"{what}: {told}" + (f", {counts['unknown']} without intervals" if counts["unknown"] else "") + "."
    paired = sum(row.how.startswith("paired") for row in rows)
    how = f"{paired} of them compared frame by frame on the same frames" if paired else "none on the same frames: their intervals are compared"
    return [sentence, f"{how[0].upper()}{how[1:]}."]


def _tables(found: Comparison, lead: str) -> list[dict]:
    """A periodic table for each model: cells with the ratio and its colour."""
    rows = [row for row in found.rows if row.metric == lead and row.temperature == ALL and row.ratio and row.ratio[0] > 0]
    if not rows:
        return []
    reach = max(LEAST_REACH, *(max(row.ratio[0], 1 / row.ratio[0]) for row in rows))
    lanthanides = any(place(row.symbol)[0] == 7 for row in rows)
    tables = []
    for key, label in found.labels.items():
        by_symbol = {row.symbol: row for row in rows if row.model == key}
        if not by_symbol:
            continue
        cells = []
        for symbol in chemical_symbols[1 : LAST + 1]:
            at, column = place(symbol)
            if at == 7 and not lanthanides:
                continue
            row = by_symbol.get(symbol)
            cells.append({"symbol": symbol, "row": at + 1, "column": column + 1, "of": row, **(_shade(row, lead, reach) if row else {"style": ""})})
        tables.append({"label": label, "cells": cells, "reach": reach})
    return tables


def _shade(row, lead: str, reach: float) -> dict:
    t = np.log(row.ratio[0]) / np.log(reach)
    if METRICS[lead].better == "high":
        t = -t
    colour = np.round(MIDDLE + abs(t) * ((WORSE if t > 0 else BETTER) - MIDDLE)).astype(int)
    ink = "#ffffff" if np.dot(colour, (0.299, 0.587, 0.114)) < 130 else "#14191f"
    return {"style": f"background: rgb({', '.join(map(str, colour))}); color: {ink}"}


def _by_model(pairs) -> list[tuple[str, str]]:
    found = {}
    for key, symbol in pairs:
        found.setdefault(key, []).append(symbol)
    return [(key, " ".join(symbols)) for key, symbols in found.items()]


def _failed(one) -> list[str]:
    return [f"{item['job']} ({item['status']})" for item in one.failures if item["status"] not in ("waiting", "running", "skipped")]
