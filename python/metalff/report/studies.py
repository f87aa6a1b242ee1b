"""``errors.json`` of ``metalff study errors`` in the words of a validation."""


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
