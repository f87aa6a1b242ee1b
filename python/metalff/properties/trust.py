"""What a potential can be trusted for: rules on its measurements, a verdict for each, a table of all."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass

from metalff.data.metals import metal
from metalff.properties.eos import LOWER

YES, NO, UNKNOWN = "yes", "no", "?"


@dataclass(frozen=True)
class Rule:
    """Attributes: name: heading; text: what is asked; judge: results of one potential and element by measurement → verdict."""

    name: str
    text: str
    judge: Callable[[dict], str]


def _values(results: dict, measurement: str) -> dict[str, float] | None:
    found = results.get(measurement)
    if found is None or found["status"] != "done":
        return None
    return {name: one["value"] for name, one in found["values"].items()}


def _failed(results: dict, measurement: str) -> bool:
    return results.get(measurement, {}).get("status") == "failed" or results.get("lattice", {}).get("status") == "failed"


def _within(measurement: str, keys: tuple[str, ...], limit: float) -> Callable[[dict], str]:
    """Every value of these that has a reference is within ``limit`` of one of its references."""

    def judge(results: dict) -> str:
        values = _values(results, measurement)
        if values is None:
            return NO if _failed(results, measurement) else UNKNOWN
        verdicts = []
        for key in keys:
            known = [one["value"] for one in results[measurement]["reference"] if one["key"] == key]
            if known and key in values:
                verdicts.append(values[key] is not None and min(abs(values[key] / value - 1) for value in known) <= limit)
        return UNKNOWN if not verdicts else YES if all(verdicts) else NO

    return judge


def _crystal(results: dict) -> str:
    near = _within("lattice", ("a", "c"), LATTICE)(results)
    if near == YES and "eos" in results and (results["eos"]["status"] == "failed" or results["eos"]["warnings"]):
        return NO
    return near


def _elasticity(results: dict) -> str:
    if results.get("elastic", {}).get("warnings"):
        return NO
    return _within("elastic", ("C11", "C12", "C13", "C33", "C44"), ELASTIC)(results)


def _phonons(results: dict) -> str:
    values = _values(results, "phonons")
    if values is None:
        return NO if _failed(results, "phonons") else UNKNOWN
    return YES if values["imaginary"] == 0 else NO


def _heat(results: dict) -> str:
    grade = results.get("verification", {}).get("grade")
    dimer = _values(results, "dimer")
    if grade is None or dimer is None:
        return NO if _failed(results, "verification") or _failed(results, "dimer") else UNKNOWN
    inner = [letter for name, letter in grade.items() if name not in ("cutoff", "dimer", "overall")]
    near = metal(results["dimer"]["element"]).nearest_neighbour
    return YES if max(inner) <= "C" and dimer.get("hole", 0.0) < HOLE * near else NO


LATTICE, ELASTIC, VACANCY, SURFACE, FAULT, EXPANSION, HOLE = 0.02, 0.20, 0.20, 0.25, 0.40, 0.30, 0.65

RULES = (
    Rule(
        "crystal",
        f"lattice constants within {100 * LATTICE:.0f} % of experiment, and no other of fcc, bcc, hcp lower in energy by more than {LOWER:.0f} meV/atom",
        _crystal,
    ),
    Rule("elasticity", f"mechanically stable, every elastic constant within {100 * ELASTIC:.0f} % of experiment", _elasticity),
    Rule("vacancies", f"formation energy within {100 * VACANCY:.0f} % of experiment", _within("vacancy", ("formation_energy",), VACANCY)),
    Rule(
        "surfaces",
        f"the closest-packed face within {100 * SURFACE:.0f} % of one of the references, experiment or DFT",
        _within("surfaces", ("111", "110"), SURFACE),
    ),
    Rule("faults", f"intrinsic stacking fault within {100 * FAULT:.0f} % of experiment", _within("stacking_fault", ("intrinsic",), FAULT)),
    Rule("vibrations", "no imaginary phonon", _phonons),
    Rule("expansion", f"quasi-harmonic expansion at 300 K within {100 * EXPANSION:.0f} %", _within("quasi_harmonic", ("expansion",), EXPANSION)),
    Rule("energy", f"verified with C or better in the crystal, and two atoms do not attract each other at {HOLE} neighbour distances or more", _heat),
)


def grouped(document: dict) -> dict[tuple[str, str], dict]:
    """Results by (model, element), then by measurement."""
    groups = {}
    for found in document["results"]:
        groups.setdefault((found["model"], found["element"]), {})[found["measurement"]] = found
    return groups


def verdicts(results: dict) -> dict[str, str]:
    """``yes``, ``no`` or ``?`` (no reference, or not measured) by rule."""
    return {rule.name: rule.judge(results) for rule in RULES}


def trust_table(document: dict) -> str:
    """Markdown: the rules, and the verdict of each potential and metal with the numbers behind it."""
    lines = [*(f"- **{rule.name}**: {rule.text}" for rule in RULES), "", "`?`: no reference is known, or it is not measured.", ""]
    heads = [rule.name for rule in RULES]
    lines += [f"| metal | potential | grade | {' | '.join(heads)} |", "|" + "---|" * (3 + len(heads))]
    for (model, element), results in sorted(grouped(document).items(), key=lambda pair: pair[0][::-1]):
        grade = (results.get("verification", {}).get("grade") or {}).get("overall", "?")
        lines.append(f"| {element} | {model} | {grade} | {' | '.join(verdicts(results).values())} |")
    lines += ["", "## The numbers", "", *_numbers(document)]
    return "\n".join(lines) + "\n"


COLUMNS = (
    ("a (Å)", "lattice", "a"),
    ("B (GPa)", "eos", "bulk_modulus"),
    ("C11", "elastic", "C11"),
    ("C12", "elastic", "C12"),
    ("C44 (GPa)", "elastic", "C44"),
    ("vacancy (eV)", "vacancy", "formation_energy"),
    ("its jump (eV)", "migration", "migration_energy"),
    ("111 (J/m²)", "surfaces", "111"),
    ("110", "surfaces", "110"),
    ("100", "surfaces", "100"),
    ("fault (mJ/m²)", "stacking_fault", "intrinsic"),
    ("highest phonon (THz)", "phonons", "max_frequency"),
    ("imaginary", "phonons", "imaginary"),
    ("expansion (1e-6/K)", "quasi_harmonic", "expansion"),
    ("of dynamics", "expansion", "expansion"),
    ("melting (K)", "melting", "melting_temperature"),
    ("D of the liquid (1e-9 m²/s)", "diffusion", "diffusion"),
    ("drift (meV/atom/ns)", "drift", "drift"),
)


def _numbers(document: dict) -> list[str]:
    lines = [f"| metal | potential | {' | '.join(head for head, _, _ in COLUMNS)} |", "|" + "---|" * (2 + len(COLUMNS))]
    by_element = {}
    for (model, element), results in grouped(document).items():
        by_element.setdefault(element, {})[model] = results
    for element, models in sorted(by_element.items()):
        lines.append(f"| **{element}** | *reference* | {' | '.join(_reference(models, measurement, key) for _, measurement, key in COLUMNS)} |")
        for model, results in sorted(models.items()):
            cells = [_number((_values(results, measurement) or {}).get(key)) for _, measurement, key in COLUMNS]
            lines.append(f"| {element} | {model} | {' | '.join(cells)} |")
    return lines


def _reference(models: dict, measurement: str, key: str) -> str:
    found = next((results[measurement]["reference"] for results in models.values() if measurement in results), [])
    return ", ".join(_number(one["value"]) + ("" if one["kind"] == "experiment" else f" {one['kind']}") for one in found if one["key"] == key)


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def as_csv(document: dict) -> str:
    """One line per value."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["model", "element", "crystal", "measurement", "version", "status", "quantity", "value", "low", "high", "unit", "grade", "seconds", "reason"]
    )
    for found in document["results"]:
        start = [found[name] for name in ("model", "element", "crystal", "measurement", "version", "status")]
        end = [found["seconds"], found["reason"]]
        for name, one in (found["values"] or {"": {"value": "", "low": "", "high": "", "unit": ""}}).items():
            numbers = [one[key] for key in ("value", "low", "high", "unit")]
            writer.writerow([*start, name, *numbers, (found["grade"] or {}).get(name, ""), *end])
    return stream.getvalue()
