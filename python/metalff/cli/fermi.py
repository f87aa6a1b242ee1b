"""``metalff fermi``: Fermi surfaces of metals and what they are like."""

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, whole
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import out_folder
from metalff.errors import MetalffError, need_extra

ALL = "all"

SHOWN = (
    "element",
    "crystal",
    "n_ef_0.1",
    "d_weight",
    "area",
    "sheets",
    "sphericity",
    "euler",
    "velocity_mean",
    "velocity_spread",
    "complexity_dos",
    "error_area",
)
"""Columns of the printed table; all are in fermi.csv."""


def register(app: typer.Typer) -> None:
    add(app, "fermi", fermi, "Fermi surfaces of metals, by GPAW: area, sheets, velocities; without a metal, the table that ships with MetalFF.")


def fermi(
    metals: Annotated[list[str] | None, typer.Argument(help="Such as Nb Cu, or all.")] = None,
    out: out_folder("Folder for fermi.csv, fermi.json, fermi.html and a picture of each metal.") = Path("fermi"),
    jobs: jobs_option("Metals") = None,
    along: Annotated[
        str | None,
        typer.Option("--paths", metavar="NAMES", help="Roughness along paths in place of surfaces: all, or such as volume,phonon (docs/fermi.md)."),
    ] = None,
    methods: Annotated[str | None, typer.Option("--methods", help="With --paths: such as dft,tb,eam,meam; default: all that know the metal.")] = None,
) -> None:
    """Compute what is not in the cache yet, then measure and draw."""
    from metalff.cli import fermi_paths
    from metalff.fermi import metals as tables

    if methods is not None and along is None:
        raise MetalffError("--methods goes with --paths; give for instance --paths phonon")
    if metals and not all(name.strip() for name in metals):
        raise MetalffError("an empty name is no metal; give metals such as Nb Cu, or all")
    if along is not None:
        fermi_paths.asked(along, "--paths", "all, or such as volume,phonon")
    if methods is not None:
        fermi_paths.asked(methods, "--methods", "such as dft,tb,eam,meam")
    if along is not None and not metals:
        fermi_paths.shipped()
        return
    if not metals:
        rows = list(tables.shipped().values())
        show(rows)
        give(rows)
        return
    from metalff.data.metals import metal
    from metalff.data.metals import metals as known
    from metalff.fermi import bands

    symbols = list(known()) if ALL in metals else [metal(symbol).symbol for symbol in dict.fromkeys(metals)]
    folder = bands.folder_of()
    if along is not None:
        fermi_paths.run(symbols, along, methods, out, folder / "paths")
        return
    need_extra("metalff fermi", "fermi", "skimage.measure", "plotly.graph_objects")
    warn_magnetic(symbols)
    failed = compute(symbols, folder, jobs or len(os.sched_getaffinity(0)))
    there = [symbol for symbol in symbols if symbol not in failed]
    rows = results(there, folder, out, list(failed.values())) if there else []
    if rows:
        show(rows)
        typer.echo(f"results: {out / 'fermi.html'}, fermi.csv, fermi.json and a picture of each metal beside it")
    give({"rows": rows, "failed": failed, "folder": out, "eigenvalues": folder})
    if failed:
        raise MetalffError(f"{len(failed)} of {len(symbols)} metals failed: {'; '.join(failed.values())}")


def warn_magnetic(symbols) -> None:
    from metalff.dft.protocol import protocol

    if found := [symbol for symbol in symbols if symbol in protocol().magnetic]:
        warnings.warn(
            f"{', '.join(found)}: magnetic, but computed without spin polarisation; the numbers are of the non-magnetic state", stacklevel=2
        )


def compute(symbols: list[str], folder: Path, jobs: int) -> dict[str, str]:
    """Eigenvalues of all, with a bar; the sentences about those that failed, by symbol."""
    from metalff.fermi import bands
    from metalff.progress import Bar, Pace

    failed, done, pace = {}, 0, Pace()
    with Bar() as bar:

        def tick(running=()):
            bar.update(" ".join(running) or "eigenvalues", done, len(symbols), pace.left(done / len(symbols)))

        for symbol, error in bands.compute(symbols, folder, jobs=jobs, tick=tick):
            done += 1
            if error:
                failed[symbol] = str(error)
                bar.line(f"failed: {error}")
            tick()
    return failed


def results(symbols: list[str], folder: Path, out: Path, failed: list[str]) -> list[dict]:
    """Measure and draw each metal; write table, pictures and page."""
    import json

    from metalff.fermi import bands, figures, page
    from metalff.fermi import metals as tables
    from metalff.fermi.zone import sheets, zone
    from metalff.paths import atomic_write
    from metalff.progress import Bar, Pace

    rows, turning, pace = [], {}, Pace()
    with Bar() as bar:
        for number, symbol in enumerate(symbols):
            bar.update(f"surface of {symbol}", number, len(symbols), pace.left(number / len(symbols)))
            rows.append(tables.row(symbol, folder))
            found = bands.load(symbol, folder)
            parts, around = sheets(found.eigenvalues, tables.fermi_level(found), found.reciprocal), zone(found.reciprocal)
            turning[symbol] = figures.turning(parts, around)
            with atomic_write(out / f"{symbol}.png", "wb") as stream:
                figures.still(symbol, parts, around).savefig(stream, format="png")
    with atomic_write(out / "fermi.csv") as stream:
        stream.write(tables.written(rows))
    with atomic_write(out / "fermi.json") as stream:
        json.dump(rows, stream, indent=1, ensure_ascii=False, allow_nan=False)
    page.write(out / "fermi.html", rows, turning, failed, f"{symbols[0]}.png{' and so on' if len(symbols) > 1 else ''}")
    return rows


def show(rows: list[dict]) -> None:
    """Print the columns of ``SHOWN``."""
    from rich.table import Table

    from metalff.fermi.metals import COLUMNS, describe

    table = Table(box=None, header_style="", caption="docs/fermi.md says what each column is; * magnetic, computed without spin polarisation")
    for key in SHOWN:
        table.add_column(f"{key}\n{COLUMNS[key]}", justify="left" if key in ("element", "crystal") else "right")
    for row in rows:
        cells = [describe(row[key]) for key in SHOWN]
        table.add_row(cells[0] + ("*" if row["magnetic"] == "yes" else ""), *cells[1:])
    whole(table)
