"""``metalff benchmark``: models on reference data beside each other: accuracy, speed, memory, stability, cost."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, whole
from metalff.cli.options import duration, md_time, out_folder
from metalff.errors import MetalffError


def register(app: typer.Typer) -> None:
    add(app, "benchmark", benchmark, "Compare models fairly: accuracy, speed, memory, stability and cost in one table.", {"--time": "--md-time"})


def benchmark(
    models: Annotated[list[str], typer.Argument(help="Names (see `metalff potentials list`) or .mlff files.")],
    data: Annotated[
        list[str], typer.Option(help="Bundled or imported set such as zuo2020-Cu:test, a file or folder (docs/data.md); give it several times.")
    ],
    out: out_folder("Folder for benchmark.json, .csv, .md and .png, groups.csv, published.csv.") = Path("benchmark"),
    parts: Annotated[str, typer.Option(help="Which of accuracy,speed,stability.")] = "accuracy,speed,stability",
    ps: md_time("--md-time", "Length of each stability run.") = "20ps",
    limit_s: duration("--limit", "Wall time after which a stability run stops; a later run goes on.") = None,
    atoms: Annotated[int, typer.Option(min=4, help="Size of the crystal that is timed.")] = 500,
    seed: Annotated[int, typer.Option(min=1, max=899999999, help="Of velocities and thermostat.")] = 12345,
) -> None:
    """Every model on every data set whose elements it has. What is measured already is kept."""
    from metalff import data as reference
    from metalff.benchmark import plan, table
    from metalff.benchmark.record import Record
    from metalff.benchmark.run import Runner
    from metalff.benchmark.table import csv_rows, group_rows, published_rows
    from metalff.progress import Bar
    from metalff.sweep.run import locked

    settings = plan.Settings(ps, atoms, seed)
    asked = [part for part in re.split(r"[,\s]+", parts) if part]
    datasets, chosen = [reference.read(spec) for spec in data], plan.models(models)
    tasks = plan.tasks(chosen, datasets, asked)
    record = Record(out, settings, ["metalff", *sys.argv[1:]])
    record.describe(chosen, datasets)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "benchmark") as lock, Bar() as bar:
        record.write()
        complete = Runner(record, settings, bar, limit_s, lock).run(tasks)
    rows = table.rows(record, chosen, datasets, asked)
    said = table.notes(rows, chosen, datasets, settings)
    files = write(out, rows, datasets, said)
    whole(table.shown(rows, datasets))
    for sentence in said:
        typer.echo(sentence)
    for extra in table.extras(rows, datasets):
        whole(table.shown_extra(*extra))
    typer.echo(f"results: {', '.join(map(str, files))}")
    give(
        {
            "rows": list(csv_rows(rows)),
            "groups": list(group_rows(rows)),
            "published": list(published_rows(datasets)),
            "notes": said,
            "files": files,
            "complete": complete,
        }
    )
    if not complete:
        raise MetalffError("something could not be measured (see above); the same command tries it again")


def write(out: Path, rows, datasets, said) -> list[Path]:
    """Table and pictures beside ``benchmark.json``."""
    import pandas

    from metalff.benchmark.figure import errors_by_temperature, trade_off
    from metalff.benchmark.table import csv_rows, group_rows, markdown, published_rows
    from metalff.paths import atomic_write

    tables = {"benchmark": list(csv_rows(rows)), "groups": list(group_rows(rows)), "published": list(published_rows(datasets))}
    tables = {name: lines for name, lines in tables.items() if lines or name == "benchmark"}
    for name, lines in tables.items():
        with atomic_write(out / f"{name}.csv") as stream:
            pandas.DataFrame(lines).to_csv(stream, index=False)
    with atomic_write(out / "benchmark.md") as stream:
        stream.write(markdown(rows, datasets, said))
    files = [out / f"benchmark.{ending}" for ending in ("json", "csv", "md")]
    files += [out / f"{name}.csv" for name in tables if name != "benchmark"]
    for name, figure in (("benchmark.png", trade_off(rows, datasets)), ("temperatures.png", errors_by_temperature(rows, datasets))):
        if figure:
            with atomic_write(out / name, "wb") as stream:
                figure.savefig(stream, format="png")
            files.append(out / name)
    return files
