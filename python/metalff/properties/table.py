"""Results beside references, as text."""

from metalff.properties.registry import measurements


def number(value: float | None) -> str:
    """Four digits, without an exponent where it can be read."""
    return "–" if value is None else f"{value:.4g}"


def rows_of(found: dict, sources: list[str]) -> list[list[str]]:
    """Cells of each value of one result: measurement, quantity, value, unit, reference, deviation in % or grade, number of the source.

    Args:
        sources: grows by those that are not in it.
    """
    title = measurements()[found["measurement"]].title
    if found["status"] != "done":
        return [[title, found["status"], "", "", "", "", found["reason"]]]
    rows = []
    for name, one in found["values"].items():
        value = number(one["value"])
        if one["low"] is not None:
            value += f" ({number(one['low'])} to {number(one['high'])})"
        said = [known for known in found["reference"] if known["key"] == name] or [None]
        for known in said:
            cells = ["", "", ""]
            if known:
                away = f"{100 * (one['value'] / known['value'] - 1):+.1f} %" if one["value"] is not None and known["value"] else ""
                where = f" at {known['temperature']:.0f} K" if known.get("temperature") else ""
                cells = [number(known["value"]), away, f"{known['kind']}{where} [{_place(sources, known['source'])}]"]
            rows.append([title, name.replace("_", " "), value, one["unit"], *cells])
            title, value = "", "" if known is not said[-1] else value
    if found["grade"]:
        rows = [[*cells[:5], found["grade"].get(name, ""), ""] for name, cells in zip(found["values"], rows, strict=True)]
        rows.append(["", "overall", "", "", "", found["grade"]["overall"], ""])
    return rows


def _place(sources: list[str], source: str) -> int:
    if source not in sources:
        sources.append(source)
    return sources.index(source) + 1


def results_table(document: dict):
    """One table of rich per model and element."""
    from rich.table import Table

    groups = {}
    for found in document["results"]:
        groups.setdefault((found["model"], found["element"], found["crystal"]), []).append(found)
    for (model, element, crystal), results in groups.items():
        shown = Table(title=f"{model}: {element}, {crystal}")
        for heading in ("measurement", "quantity", "value", "unit", "reference", "deviation, grade", "source, or reason"):
            shown.add_column(heading, justify="right" if heading in ("value", "reference", "deviation, grade") else "left")
        sources = []
        for found in results:
            for cells in rows_of(found, sources):
                shown.add_row(*cells)
        words = [f"[{k}] {source}" for k, source in enumerate(sources, 1)]
        words += [f"{one['measurement']}: {sentence}" for one in results for sentence in one["warnings"]]
        shown.caption = "\n".join(words) or None
        yield shown
