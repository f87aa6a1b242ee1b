"""``errors.json`` of ``metalff study errors``: whether it is whole, and in the words of a validation."""

import math

TEXTS = ("element", "model", "group")
NUMBERS = ("frames", "atoms", "force_rms", "force_rmse", "energy_rmse_offset")
PERHAPS = (
    "temperature",
    "force_rmse_low",
    "force_rmse_high",
    "force_mae",
    "normalised",
    "normalised_low",
    "normalised_high",
    "stress_rmse",
)
"""Keys of a row: texts, numbers, and numbers or None."""


def is_whole(document: dict) -> bool:
    """Whether all that is read of ``rows`` and ``models`` has its type."""
    rows, models = document["rows"], document["models"]
    if not (isinstance(rows, list) and isinstance(models, list) and rows and all(map(is_row, rows))):
        return False
    return all(
        isinstance(model, dict) and all(isinstance(model.get(key), str) for key in TEXTS[:2]) and isinstance(model.get("potential", {}), dict)
        for model in models
    )


def is_row(row) -> bool:
    """Whether a row has its keys, with numbers that are finite and not negative."""
    if not isinstance(row, dict) or not {*TEXTS, *NUMBERS, "temperature"} <= set(row):
        return False
    if not all(isinstance(row[key], str) for key in TEXTS) or not row["element"] or not row["model"]:
        return False
    return all(_is_number(row[key]) for key in NUMBERS) and all(row.get(key) is None or _is_number(row[key]) for key in PERHAPS)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def conditions(document: dict) -> dict[tuple[str, str], tuple[dict, list[dict]]]:
    """(model, symbol) → record of the potential, and the rows that are whole temperatures or all frames, as ``by_condition`` of ``validate.json`` has them."""
    records = {(model["model"], model["element"]): model for model in document["models"]}
    found: dict[tuple[str, str], tuple[dict, list[dict]]] = {}
    for row in document["rows"]:
        key = row["model"], row["element"]
        if row["group"]:
            continue
        own = records.get(key, {})
        potential = own.get("potential", {})
        record = {"name": row["model"], "label": row["model"], "kind": "universal" if own.get("universal") else potential.get("kind", "mlff")}
        found.setdefault(key, (record | {"sha256": potential.get("sha256", "")}, []))[1].append(_metrics(row))
    return found


def _metrics(row: dict) -> dict:
    """Units as in the row: eV/Å, eV/atom, eV/Å³."""

    def interval(name):
        return {"value": row[name], "low": row.get(f"{name}_low"), "high": row.get(f"{name}_high")}

    found = {"element": row["element"], "temperature": row["temperature"], "frames": row["frames"], "atoms": row["atoms"]}
    found |= {"force_rms_reference": row["force_rms"], "force_rmse": interval("force_rmse"), "energy_rmse_offset": interval("energy_rmse_offset")}
    for name, source in (("force_rmse_normalised", "normalised"), ("force_mae", "force_mae"), ("stress_rmse", "stress_rmse")):
        if row.get(source) is not None:
            found[name] = interval(source)
    return found
