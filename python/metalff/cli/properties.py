"""``metalff properties``: what potentials say a metal is, beside experiment and DFT."""

import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, whole
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import out_folder


def register(app: typer.Typer) -> None:
    add(app, "properties", properties, "Measure lattice, elasticity, defects, phonons and dynamics of potentials, beside experiment and DFT.")


def properties(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL…", help="Names such as Cu/eam, {element}/eam or chgnet, or .mlff files.")
    ] = None,
    element: Annotated[str | None, typer.Option(help="Only these, such as Cu,Ni; default: all metals that a model knows.")] = None,
    measure: Annotated[str, typer.Option(help="Names with commas between, cheap (no molecular dynamics) or all.")] = "cheap",
    out: out_folder("For the results; the same command goes on.", Path | None) = None,
    jobs: jobs_option("Models") = None,
    setting: Annotated[
        list[str] | None, typer.Option("--setting", metavar="NAME=VALUE", help="A setting of measurements (docs/properties.md).")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Measure again what has failed.")] = False,
    collect: Annotated[bool, typer.Option("--collect", help="Measure nothing: tables of all that is in --out, also while a run goes on.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Show all measurements, their cost and what they are.")] = False,
) -> None:
    """Exit status 1 where a measurement fails."""
    from metalff.errors import MetalffError
    from metalff.progress import Bar
    from metalff.properties import measure as measure_all
    from metalff.properties.table import results_table

    if list_all:
        return show_list()
    if collect:
        from metalff.properties.run import collect as collected

        document = collected(out or Path("properties"))
        write_tables(out or Path("properties"))
        return give(document)
    if not models:
        raise MetalffError("give a model such as Cu/eam or a .mlff file, or --list")
    elements = [word for word in re.split(r"[,\s]+", element.strip()) if word] if element else None
    start = time.monotonic()
    with Bar() as bar:

        def progress(title, done, total, sentence):
            if sentence:
                bar.line(sentence)
            bar.update(title, done, total, (time.monotonic() - start) / done * (total - done) if done else None)

        document = measure_all(
            models,
            elements,
            measure,
            out or Path("properties"),
            dict(pair(word) for word in setting or ()),
            progress,
            jobs or len(os.sched_getaffinity(0)),
            retry,
        )
    for shown in results_table(document):
        whole(shown)
    write_tables(out or Path("properties"))
    give(document)
    if any(one["status"] == "failed" for one in document["results"]):
        raise typer.Exit(1)


def write_tables(out: Path) -> None:
    """All results of the folder: ``properties.md``, with what can be trusted for what, and ``properties.csv``."""
    from metalff.paths import atomic_write
    from metalff.properties import read_properties
    from metalff.properties.trust import as_csv, trust_table

    document = read_properties(out)
    for name, text in (("properties.md", trust_table(document)), ("properties.csv", as_csv(document))):
        with atomic_write(out / name) as stream:
            stream.write(text)
    typer.echo(f"results: {out / 'properties.json'}, properties.md (what can be trusted for what), properties.csv")


def pair(text: str) -> tuple[str, float]:
    """Raises: MetalffError: no ``name=number``."""
    from metalff.errors import MetalffError

    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise MetalffError(f"--setting {text}: give a name and a number, such as phonon_length=12") from None


def show_list() -> None:
    """Name, cost and first line of the note of each measurement."""
    from rich.table import Table

    from metalff.properties.measurement import COSTS
    from metalff.properties.registry import measurements

    shown = Table()
    for heading in ("measurement", "cost", "what it is"):
        shown.add_column(heading)
    for one in measurements().values():
        shown.add_row(one.name, COSTS[one.cost], one.note.splitlines()[0])
    whole(shown)
    give([{"name": one.name, "title": one.title, "cost": one.cost, "needs": one.needs, "note": one.note} for one in measurements().values()])
