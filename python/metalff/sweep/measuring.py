"""Program of jobs that are no molecular dynamics: properties, and errors against reference data.

``python -m metalff.sweep.measuring order.json`` in a segment's folder; results go to the job's folder, ``done`` beside the order says that all are there.
Properties are kept one by one, so that the next start goes on after the last.
"""

import json
import sys
import warnings
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.sweep.job import STOP

KEPT = "measured"
"""Folder of each measurement's own file, below the job's."""


class Stopped(Exception):
    """The file ``STOP`` is there."""


def main(path: str) -> int:
    order = json.loads(Path(path).read_text("utf-8"))
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    try:
        values, files = {"properties": properties, "errors": errors}[order["kind"]](order, Path(order["out"]))
    except MetalffError as error:
        say(f"metalff: error: {' '.join(str(error).split())}")
        return 1
    except Stopped:
        say("stopped")
        return 0
    with atomic_write("done") as stream:
        json.dump({"values": values, "files": files}, stream, allow_nan=False)
    return 0


def properties(order: dict, out: Path) -> tuple[dict, list[str]]:
    from metalff.properties import measure

    def progress(title, done, total, sentence):
        say(sentence or f"{100 * done / total:.0f}% done: {title}")
        look()

    look()
    settings = order["settings"]
    document = measure([order["spec"]], [order["element"]], list(settings["measurements"]), out / KEPT, settings["settings"], progress)
    with atomic_write(out / "properties.json") as stream:
        stream.write((out / KEPT / "properties.json").read_text("utf-8"))
    statuses = [row["status"] for row in document["results"]]
    return {status: {"value": statuses.count(status), "unit": ""} for status in ("done", "failed", "skipped")}, ["properties.json"]


def errors(order: dict, out: Path) -> tuple[dict, list[str]]:
    from metalff.potentials import resolve
    from metalff.sweep.reference import reference
    from metalff.validate.compare import compare
    from metalff.validate.folder import RECORDED, write
    from metalff.validate.forces import Forces
    from metalff.validate.reference import reference_of
    from metalff.validate.tables import document
    from metalff.versions import versions

    dataset = reference(order["settings"]["data"], order["element"])
    potential = resolve(order["spec"], [order["element"]])

    def progress(name, done, total):
        if done % 20 == 0:
            say(f"{100 * done / total:.0f}% done: frame {done} of {total}")
        look()

    known = reference_of(dataset)
    with Forces(known, [potential], out) as forces:
        results = compare([potential], dataset, progress, reference=known, keep=forces)
        write(out, results, forces, document(results, versions(*RECORDED)))
    overall = results[0].overall
    found = {"force_rmse": (overall.force_rmse, "eV/Å"), "force_rmse_normalised": (overall.force_rmse_normalised, "")}
    values = {name: {"value": one.value, "low": one.low, "high": one.high, "unit": unit} for name, (one, unit) in found.items() if one is not None}
    return values, ["validate.json", "frames.csv", "elements.csv", "forces.parquet", "parity.png"]


def look() -> None:
    """Raises: Stopped"""
    if Path(STOP).exists():
        raise Stopped


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
