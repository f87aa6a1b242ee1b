"""``metalff compare``: a model's own molecular dynamics beside that of a reference."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, plain_console
from metalff.cli.options import out_folder, with_keys
from metalff.errors import MetalffError


def register(app: typer.Typer) -> None:
    add(app, "compare", with_keys(compare), "Put a model's own trajectories beside a reference's: forces, displacements, g(r), bond angles.")


def compare(
    trajectories: Annotated[
        list[str], typer.Argument(help="Folders of `metalff sweep`, trajectory.h5 files, or data as in `metalff validate --data`.")
    ],
    reference: Annotated[str, typer.Option(help="Set with trajectories of the same metals, such as 'li2020-W[group=aimd]' or an imported set.")],
    out: out_folder("Folder for compare.json, compare.csv and a picture for each temperature.") = Path("compare"),
    keys=None,
) -> None:
    import json

    import pandas
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from metalff.data import read
    from metalff.paths import atomic_write
    from metalff.progress import Bar
    from metalff.validate import ensembles
    from metalff.versions import versions

    if out.exists() and any(out.iterdir()) and not (out / "compare.json").exists():
        raise MetalffError(f"{out} is not empty and holds no compare.json; choose another --out")
    models = [ensemble for spec in trajectories for ensemble in ensembles_of(spec, keys)]
    dataset = read(reference, keys)
    references = ensembles.of_dataset(dataset)
    found, skipped = [], []
    with Bar() as bar:
        for number, model in enumerate(models):
            bar.update(f"{model.name}, {model.temperature:g} K", number, len(models), None)
            try:
                found.append(ensembles.pair(model, references))
            except MetalffError as error:
                skipped.append(str(error))
                bar.line(f"left out: {model.name} at {model.temperature:g} K: {error}")
        bar.update("", len(models), len(models), None)
    if not found:
        raise MetalffError(f"nothing to compare: {skipped[0]}")
    rows, pictures = [pair.row() for pair in found], {}
    for pair in found:
        pictures.setdefault(picture(pair.model.ensemble), []).append(pair)
    for name, pairs in pictures.items():
        for number, pair in enumerate(pairs, 1):
            with atomic_write(out / f"{name}{f'-{number}' if len(pairs) > 1 else ''}.png", "wb") as stream:
                ensembles.figure(pair).savefig(stream, format="png")
    with atomic_write(out / "compare.csv") as stream:
        pandas.DataFrame(rows).to_csv(stream, index=False, float_format="%.6g")
    content = {"schema": 1, "reference": {"name": dataset.name, "sha256": dataset.sha256}, "left_out": skipped, "rows": rows}
    with atomic_write(out / "compare.json") as stream:
        json.dump(content | {"versions": versions("numpy", "freud-analysis")}, stream, indent=1)
    give(content)
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"distances from {dataset.name}")
    for heading in ("K", "model", "phase", "forces\neV/Å", "moves\nÅ", "g(r)", "angles", "Å³/atom"):
        shown.add_column(heading, justify="left" if heading in ("model", "phase") else "right", overflow="fold")
    shown.caption = "moves: displacements from mean positions; halves: of the reference in time, what its length leaves uncertain"
    keys, said = ("forces", "displacements", "g", "angles"), None
    for row in sorted(rows, key=lambda row: (row["element"], row["temperature"])):
        kelvin = f"{row['element']} {row['temperature']:g}"
        if said != kelvin:
            said, floors = kelvin, [words(row[f"{key}_floor"]) for key in keys]
            shown.add_row(kelvin, "halves", row["reference_phase"], *floors, f"{row['reference_volume']:.2f}")
        shown.add_row("", row["model"], row["phase"], *(words(row[f"{key}_distance"]) for key in keys), f"{row['volume']:.2f}")
    plain_console().print(shown)
    typer.echo(f"results: {out}")


def ensembles_of(spec: str, keys=None) -> list:
    """Ensembles of a folder of ``metalff sweep`` (every finished job), a ``trajectory.h5``, or what ``data.read`` takes.

    Raises:
        MetalffError: damaged, unfinished, or as ``ensembles.of_dataset``.
    """
    from metalff.data import Keys, read
    from metalff.report.results import read_results
    from metalff.sweep.trajectory import read_trajectory
    from metalff.validate.ensembles import Ensemble, of_dataset

    path = Path(spec)
    if (path / "sweep.json").is_file():
        sweep = read_results([path]).sweeps[0]
        if not sweep.runs:
            raise MetalffError(f"{path}: no job of the sweep is finished")
        trajectories = [run.trajectory for run in sweep.runs]
    elif path.suffix == ".h5" and path.is_file():
        trajectories = [read_trajectory(path)]
    else:
        return of_dataset(read(spec, keys or Keys()))
    return [Ensemble(t.potential, t.element, t.target_temperature, t.positions, t.cell, t.forces) for t in trajectories]


def picture(ensemble) -> str:
    """Name of a file, without its ending."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in ensemble.name)
    return f"{name}-{ensemble.element}-{ensemble.temperature:.12g}K"


def words(value) -> str:
    return "–" if value is None else f"{value:.2g}"
