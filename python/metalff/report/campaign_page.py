"""The page of a campaign: ``campaign.html.j2`` with its tables, the document as JSON, and the scripts that draw it."""

from importlib.resources import files

import numpy as np
from ase.data import chemical_symbols

from metalff import __version__
from metalff.report.campaign import METRICS, Campaign, as_json, campaign, page_data
from metalff.report.metals import ALL
from metalff.report.periodic_table import LAST, place
from metalff.report.results import Results

LIMIT = 10_000_000
"""Bytes of a page; of a larger one, parts are left out, in the order of ``THINNED``, and named."""

SCRIPTS = ("plots.js", "tables.js", "campaign.js")

THINNED = {
    "pictures of last frames": lambda metal: [run.pop("picture") for run in metal["runs"] if run.get("picture")],
    "mean squared displacements": lambda metal: [run.pop("msd", None) for run in metal["runs"]],
    "energies over time in NVE": lambda metal: [run.pop("nve", None) for run in metal["runs"]],
    "ramps, coexistence and strains": lambda metal: metal["driven"].clear(),
    "parity of forces at each temperature": lambda metal: [metal["parity"].pop(name) for name in list(metal["parity"]) if name != ALL],
    "curves of properties": lambda metal: [row["curves"].clear() for row in metal["properties"]],
}
"""What goes first from a page that is too large."""

RANKED = {
    "normalised": "RMSE ÷ RMS force",
    "force_rmse": "Force RMSE",
    "force_mae": "Force MAE",
    "energy": "Energy RMSE*",
    "stress": "Stress RMSE",
    "elastic": "Elastic",
    "drift": "Drift",
    "speed": "Speed",
    "failed": "Failed",
}
"""Columns of the ranking, where there are such numbers."""


def campaign_page(found: Results, title: str = "", limit: int = LIMIT) -> str:
    """The page of these results.

    Raises:
        MetalffError: a trajectory or table is damaged or not the one that was recorded.
    """
    result = campaign(found)
    page = _render(result, title)
    dropped = []
    for what, drop in THINNED.items():
        if len(page.encode()) <= limit:
            break
        for metal in result.metals.values():
            drop(metal)
        dropped.append(what)
        page = _render(result, title, [f"Left out, so that this page stays below {limit / 1e6:g} MB: {', '.join(dropped)}."])
    if (size := len(page.encode())) > limit:
        page = _render(result, title, [f"This page has {size / 1e6:.1f} MB, more than {limit / 1e6:g}, although {', '.join(dropped)} were left out."])
    return page


def environment():
    """Of templates: text is escaped, a missing name is an error."""
    import jinja2

    from metalff.report.page import digits, thousands

    made = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters |= {"digits": digits, "thousands": thousands}
    return made


def source(*names: str):
    """Text of files of this room, put one after another, as it is."""
    from markupsafe import Markup

    return Markup("\n".join((files("metalff.report") / name).read_text("utf-8") for name in names))


def _render(result: Campaign, title: str, notes=()) -> str:
    from markupsafe import Markup

    first = next((key for key in METRICS if key in result.values), "")
    ranked = [key for key in RANKED if key in result.values]
    crystals = sorted({metal["crystal"] for metal in result.metals.values()} - {""})
    return (
        environment()
        .from_string(source("campaign.html.j2"))
        .render(
            title=title or _title(result),
            version=__version__,
            style=source("campaign.css"),
            script=source(*SCRIPTS),
            data=Markup(as_json(page_data(result))),
            findings=_findings(result),
            notes=[*result.notes, *notes, *_gaps(result)],
            models=result.models,
            classes=result.classes,
            metrics={key: metric for key, metric in METRICS.items() if key in result.values},
            short_names=RANKED,
            first_metric=f"{METRICS[first].name}, {METRICS[first].unit}" if first else "no numbers",
            cells=_cells(result, first),
            crystals=crystals,
            summary=_summary(result, ranked),
            ranked=ranked,
            ranking=_ranking(result, ranked),
            has_speed="speed" in result.values and bool({"normalised", "force_rmse"} & set(result.values)),
            has_runs=any(metal["runs"] or metal["driven"] for metal in result.metals.values()),
            failures=result.failures,
            sources=result.sources,
            cost=_cost(result),
            potentials=_potentials(result),
            metals=[_metal(result, symbol) for symbol in result.elements],
        )
    )


# sentences


def _title(result: Campaign) -> str:
    many = len(result.elements)
    return f"Force fields for {', '.join(result.elements)}" if many <= 6 else f"Force fields for {many} metals"


def _findings(result: Campaign) -> list[str]:
    """Who is best, in one sentence; what failed, in another."""
    found = []
    many, models = len(result.elements), len(result.models)
    size = f"{many} metal{'s' * (many > 1)}, {models} model{'s' * (models > 1)}"
    if result.classes:
        size += f", {len(result.classes)} temperature{'s' * (len(result.classes) > 1)}"
    medians = {model.key: np.median(v) for model in result.models if (v := _values(result, "normalised", model.key))}
    shared = [symbol for symbol in result.elements if all(result.value("normalised", key, symbol) for key in medians)]
    if len(medians) > 1 and shared:
        over = {key: float(np.median([result.value("normalised", key, symbol)[0] for symbol in shared])) for key in medians}
        best = min(over, key=over.get)
        wins = sum(min(over, key=lambda key: result.value("normalised", key, symbol)[0]) == best for symbol in shared)
        label = next(model.label for model in result.models if model.key == best)
        where = f" and is best for {wins} of the {len(shared)} that all have" if len(shared) > 1 else ""
        middle = "median force error" if len(shared) > 1 else "force error"
        found.append(f"{size}. {label} has the lowest {middle}, {over[best]:.3g} % of the RMS force{where}.")
    elif medians:
        found.append(f"{size}. Median force error: {next(iter(medians.values())):.3g} % of the RMS force.")
    else:
        found.append(f"{size}.")
    failed = [item for item in result.failures if item["status"] not in ("waiting", "running", "skipped")]
    if failed:
        metals_hit = len({item["element"] for item in failed})
        found.append(
            f"{len(failed)} run{'s' * (len(failed) > 1)} of {metals_hit} metal{'s' * (metals_hit > 1)} failed; they are listed and never scored."
        )
    return found


def _gaps(result: Campaign) -> list[str]:
    """Models that have not all metals, and jobs that are not done."""
    found = []
    waiting = [item for item in result.failures if item["status"] in ("waiting", "running", "cancelled")]
    if waiting:
        found.append(
            f"{len(waiting)} job{'s are' if len(waiting) > 1 else ' is'} not run to the end, and missing below; metalff sweep resume goes on."
        )
    skipped = [item for item in result.failures if item["status"] == "skipped"]
    if skipped:
        found.append(f"{len(skipped)} pair{'s' * (len(skipped) > 1)} of metal and potential skipped; see Failures.")
    return found


def _cost(result: Campaign) -> str:
    hours = sum(source.get("seconds") or 0 for source in result.sources) / 3600
    steps = sum(source.get("atom_steps") or 0 for source in result.sources)
    from metalff.report.page import digits

    text = f"{len(result.sources)} folder{'s' * (len(result.sources) > 1)}."
    if hours:
        text += f" Recorded computing time: {digits(hours)} hours."
    if steps:
        text += f" Molecular dynamics: {steps:.3g} atom-steps.".replace("e+0", "e").replace("e+", "e")
    return text


# tables


def _values(result: Campaign, metric: str, key: str) -> list[float]:
    return [v[0] for symbol in result.elements if (v := result.value(metric, key, symbol))]


def _cells(result: Campaign, first: str) -> list[dict]:
    """Cells of the periodic table: rows and columns from 1, a gap before the lanthanides; the value is that of the best model, as the page opens."""
    from metalff.report.page import digits

    lanthanides = any(place(symbol)[0] == 7 for symbol in result.elements)
    made = []
    for symbol in chemical_symbols[1 : LAST + 1]:
        row, column = place(symbol)
        if row == 7 and not lanthanides:
            continue
        values = [v[0] for model in result.models if first and (v := result.value(first, model.key, symbol))]
        name = f"{symbol} {result.metals[symbol]['name']}" if symbol in result.metals else ""
        value = digits(min(values)) if values else "–"
        made.append({"symbol": symbol, "row": row + 1, "column": column + 1, "known": symbol in result.metals, "name": name, "value": value})
    return sorted(made, key=lambda cell: (cell["row"], cell["column"]))


def _summary(result: Campaign, ranked) -> dict:
    columns = [key for key in ranked if key not in ("failed", "force_mae")]
    medians = {(m.key, key): float(np.median(v)) if (v := _values(result, key, m.key)) else None for m in result.models for key in columns}
    best = {}
    for key in (key for key in columns if key != "drift"):  # most drifts are within their error of none
        known = [medians[m.key, key] for m in result.models if medians[m.key, key] is not None]
        if len(known) > 1:
            best[key] = max(known) if METRICS[key].better == "high" else min(known)
    lead = next((key for key in ranked if key in ("normalised", "force_rmse")), "")
    having = [m.key for m in result.models if lead and _values(result, lead, m.key)]
    shared = [symbol for symbol in result.elements if all(result.value(lead, key, symbol) for key in having)] if having else []
    winners = [min(having, key=lambda key: result.value(lead, key, symbol)[0]) for symbol in shared]
    rows = []
    for model in result.models:
        worst = max(((v[0], symbol) for symbol in result.elements if lead and (v := result.value(lead, model.key, symbol))), default=None)
        runs = sum(run["model"] == model.key for metal in result.metals.values() for run in (*metal["runs"], *metal["driven"]))
        failed = sum(
            item["model"] == model.key and item["status"] not in ("waiting", "running", "cancelled", "skipped") and item["temperature"] is not None
            for item in result.failures
        )
        rows.append(
            {
                "label": model.label,
                "metals": len(model.parts),
                "medians": [
                    (medians[model.key, key], medians[model.key, key] is not None and medians[model.key, key] == best.get(key)) for key in columns
                ],
                "wins": f"{winners.count(model.key)} of {len(shared)}" if model.key in having and shared else "–",
                "worst": f"{worst[1]} ({worst[0]:.3g})" if worst else "",
                "failed": f"{failed} of {runs + failed}" if runs + failed else "–",
            }
        )
    return {"columns": [{"name": RANKED[key], "unit": METRICS[key].unit} for key in columns], "rows": rows}


def _ranking(result: Campaign, ranked) -> list[dict]:
    rows = []
    for symbol in result.elements:
        for model in result.models:
            cells = [(key, result.value(key, model.key, symbol)) for key in ranked]
            if any(v for _, v in cells):
                rows.append({"symbol": symbol, "key": model.key, "label": model.label, "crystal": result.metals[symbol]["crystal"], "cells": cells})
    return sorted(rows, key=lambda row: row["cells"][0][1][0] if row["cells"][0][1] else np.inf)


def _potentials(result: Campaign) -> list[dict]:
    """Each potential once, with the metals that it was used for."""
    found = {}
    for model in result.models:
        for symbol, record in model.parts.items():
            found.setdefault((model.key, record.get("sha256") or record["name"]), {"label": model.label, "record": _whole(record), "elements": []})[
                "elements"
            ].append(symbol)
    return list(found.values())


def _whole(record: dict) -> dict:
    return {"name": "", "files": [], "sha256": "", "citation": "", "doi": "", "licence": ""} | record


def _metal(result: Campaign, symbol: str) -> dict:
    metal, index = result.metals[symbol], result.elements.index(symbol)
    labels = {model.key: model.label for model in result.models}
    waiting = [item["job"] for item in metal["failures"] if item["status"] in ("waiting", "running")]
    return {
        "symbol": symbol,
        **{name: metal[name] for name in ("name", "crystal", "melts", "failures", "runs", "driven")},
        "before": result.elements[index - 1] if index else "",
        "after": result.elements[index + 1] if index + 1 < len(result.elements) else "",
        "waiting": waiting,
        "has_training": bool(metal["training"]),
        "errors": _errors(result, symbol),
        "groups": _groups(metal.get("groups"), labels),
        "properties": _properties(metal, labels, [model.key for model in result.models]),
    }


def _errors(result: Campaign, symbol: str) -> dict:
    """Errors of one metal: the normalised one at each temperature, then the others over all."""
    wanted = [("normalised", ALL)]
    wanted += [("normalised", name) for name in result.classes if any(result.value("normalised", m.key, symbol, name) for m in result.models)]
    wanted += [(key, ALL) for key in ("force_rmse", "force_mae", "energy", "stress")]
    used = [(key, name) for key, name in wanted if any(result.value(key, m.key, symbol, name) for m in result.models)]
    rows = [{"label": m.label, "cells": [result.value(key, m.key, symbol, name) for key, name in used]} for m in result.models]
    headings = [(RANKED[key] if name == ALL else f"at {name}", METRICS[key].unit) for key, name in used]
    return {"columns": headings, "rows": [row for row in rows if any(row["cells"])]}


def _groups(groups: dict | None, labels: dict) -> dict | None:
    if not groups or not any(groups.values()):
        return None
    names = list(dict.fromkeys(name for errors in groups.values() for name in errors))
    return {
        "labels": [labels[key] for key in groups],
        "rows": [
            {
                "name": name,
                "frames": next(errors[name]["frames"] for errors in groups.values() if name in errors),
                "cells": [errors.get(name) for errors in groups.values()],
            }
            for name in names
        ],
    }


def _properties(metal: dict, labels: dict, order: list[str]) -> dict:
    """A row for each number of each measurement: unit, reference, and what each model says."""
    rows, by_name, sources, warned = [], {}, {}, []
    used = [key for key in order if any(row["model"] == key for row in metal["properties"])]
    for row in metal["properties"]:
        by_name.setdefault(row["measurement"], {})[row["model"]] = row
        warned += [f"{row['measurement']}, {labels.get(row['model'], row['model'])}: {sentence}" for sentence in row.get("warnings") or ()]
    for name, by_model in by_name.items():
        references = {}
        for row in by_model.values():
            for reference in row.get("reference") or ():
                if reference["key"] not in references or reference.get("kind") == "experiment":
                    references[reference["key"]] = reference
        graded = any(isinstance(row.get("grade"), dict) for row in by_model.values())  # the numbers behind grades are in the results themselves
        keys = [] if graded else list(dict.fromkeys(key for row in by_model.values() for key in row.get("values") or {}))
        for key in keys:
            reference = references.get(key)
            unit = next(row["values"][key].get("unit", "") for row in by_model.values() if key in (row.get("values") or {}))
            if reference and reference.get("source"):
                sources.setdefault(reference["source"])
            cells = [_property(by_model.get(model), key, reference) for model in used]
            words = key.replace("_", " ")
            named = f"{name.replace('_', ' ')}: {words}" if words != name else words
            rows.append({"name": named, "unit": unit, "digits": 4 if unit == "Å" else 3, "reference": reference, "cells": cells})
        if not keys:
            cells = [{"text": _said(by_model[model]) if model in by_model else "–", "value": None, "off": None} for model in used]
            if any(cell["text"] != "done" for cell in cells):
                rows.append({"name": name.replace("_", " "), "unit": "", "digits": 3, "reference": None, "cells": cells})
    return {"labels": [labels[key] for key in used], "rows": rows, "sources": list(sources), "warnings": list(dict.fromkeys(warned))}


def _property(row: dict | None, key: str, reference: dict | None) -> dict:
    if row is None or row["status"] != "done":
        return {"text": "–" if row is None else row["status"], "value": None, "off": None}
    found = (row.get("values") or {}).get(key)
    if not found or found.get("value") is None:
        return {"text": "–", "value": None, "off": None}
    off = None
    if reference and reference.get("value"):
        off = f"{100 * (found['value'] / reference['value'] - 1):+.1f} %".replace("-", "−")
    return {"text": "", "value": [found["value"], found.get("low"), found.get("high")], "off": off}


def _said(row: dict) -> str:
    """A measurement without numbers: its status, or its grade with the checks that are worse than A."""
    grade = row.get("grade")
    if not isinstance(grade, dict):
        return str(grade or row["status"])
    worse = [f"{check} {letter}" for check, letter in grade.items() if letter != "A" and check != "overall"]
    return str(grade.get("overall", "")) + (f" ({', '.join(worse)})" if worse else "")
