"""Values of experiment and DFT with their sources (``reference.yaml``, ``data/metals.yaml``)."""

from functools import lru_cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from metalff.data.metals import metals

TABLE = "MetalFF's table of metals (data/metals.yaml), after CRC Handbook, Kittel, and Simmons and Wang (1971)"

OF_TABLE = {
    "lattice": {"a": "Å", "c": "Å"},
    "cohesion": {"cohesive_energy": "eV/atom"},
    "elastic": dict.fromkeys(("C11", "C12", "C13", "C33", "C44"), "GPa"),
    "melting": {"melting_temperature": "K"},
}


class Entry(BaseModel):
    """One value; the comment in ``reference.yaml`` explains the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    unit: str
    kind: str
    source: str
    temperature: float | None = None


@lru_cache
def _file() -> dict[str, dict[str, dict[str, list[Entry]]]]:
    """Measurement → key → element → values."""
    content = yaml.safe_load((files("metalff.properties") / "reference.yaml").read_text("utf-8"))
    sources = content["sources"]
    table = {}
    for measurement, quantities in content["values"].items():
        for name, quantity in quantities.items():
            for symbol, numbers in quantity["of"].items():
                for source, value in numbers.items():
                    said = {"value": value, "unit": quantity["unit"], **sources[source]}
                    table.setdefault(measurement, {}).setdefault(name, {}).setdefault(symbol, []).append(said)
    return TypeAdapter(dict[str, dict[str, dict[str, list[Entry]]]]).validate_python(table)


def references(element: str, measurement: str) -> list[dict]:
    """``{"key", "value", "unit", "kind", "source", "temperature"}`` of each known value; ``kind``: experiment or DFT; temperature: K, None where it is not said."""
    found = []
    known = metals().get(element)
    for name, unit in OF_TABLE.get(measurement, {}).items() if known else ():
        value = known.elastic.get(name) if measurement == "elastic" else getattr(known, name, None)
        if value is not None:
            temperature = 300.0 if measurement in ("lattice", "elastic") else None
            found.append({"key": name, "value": value, "unit": unit, "kind": "experiment", "source": TABLE, "temperature": temperature})
    for name, by_element in _file().get(measurement, {}).items():
        found += [{"key": name, **entry.model_dump()} for entry in by_element.get(element, ())]
    return found
