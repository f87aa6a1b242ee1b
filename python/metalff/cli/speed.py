"""``metalff speed``: how fast models run on this machine."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give
from metalff.cli.options import RUNNING, out_folder, precisions
from metalff.errors import MetalffError, need_torch


def register(app: typer.Typer) -> None:
    add(app, "speed", speed, "Time models in LAMMPS: engines, precisions, sizes, MPI ranks, and peers.")


def speed(
    models: Annotated[list[Path] | None, typer.Argument(help=".mlff files; default: the bundled copper model.")] = None,
    out: out_folder("Folder for speed.json, speed.md and speed.png.") = Path("speed"),
    atoms: Annotated[list[int] | None, typer.Option(min=1, help="Size of the crystal; give it several times; default: 500 and 4000.")] = None,
    ranks: Annotated[list[int] | None, typer.Option(min=1, help="MPI ranks; give it several times; default: 1.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="native or torch; default: both, where torch is installed.")] = None,
    precision: precisions(RUNNING, list[str] | None) = None,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="Also mace's MACECalculator or NEP_CPU (needs 'metalff env create' of the family)."),
    ] = False,
    symmetrix: Annotated[Path | None, typer.Option(help="Also symmetrix-xl: a Python that has symmetrix-xl and mace-torch installed.")] = None,
    gpu: Annotated[
        list[Path] | None,
        typer.Option(help="Measure nothing: draw results.json of a GPU bundle (docs/gpu.md); give it several times."),
    ] = None,
) -> None:
    """One core per rank. What is measured already is kept: remove the folder to measure anew."""
    from rich.console import Console
    from rich.table import Column, Table

    from metalff.paths import atomic_write, shared
    from metalff.speed.cases import plan
    from metalff.speed.figure import HEAD, markdown, plot, rows
    from metalff.speed.run import run

    if gpu:
        if models or peers or symmetrix or atoms or ranks or engine or precision:
            raise MetalffError("--gpu draws results that are there: give it alone, or with --out")
        return draw(gpu, out)
    chosen = models or [shared("potentials", "mlff", "Cu-mace.mlff")]
    for name, words, valid in (("engine", engine, ("native", "torch")), ("precision", precision, ("double", "single"))):
        for word in words or ():
            if word not in valid:
                raise MetalffError(f"--{name} must be {' or '.join(valid)}, not '{word}'")
    if symmetrix and not symmetrix.is_file():
        raise MetalffError(f"--symmetrix names {symmetrix}, which is not a Python: give bin/python of an environment with symmetrix-xl")
    if "torch" in (engine or ()):
        need_torch("--engine torch")
    others = (["MACECalculator", "NEP_CPU"] if peers else []) + (["symmetrix-xl"] if symmetrix else [])
    cases = plan(
        chosen,
        atoms or [500, 4000],
        ranks or [1],
        engine or (["native", "torch"] if importlib.util.find_spec("torch") else ["native"]),
        precision or ["double", "single"],
        others,
    )
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)

    def progress(case, k):
        console.print(f"[{k + 1}/{len(cases)}] {case.key}", highlight=False, markup=False)

    document = run(cases, out / "speed.json", chosen, symmetrix, progress)
    wanted = {case.key: document["results"][case.key] for case in cases}
    table = Table(
        *[Column(name, no_wrap=True, overflow="fold") for name in HEAD],
        title=f"{document['machine']['processor']}, one core per rank; speed: relative to the slowest of a group",
    )
    for row in rows(wanted):
        table.add_row(*row)
    Console(width=120).print(table)
    plot(wanted, out / "speed.png", f"{document['machine']['processor']}, one core per rank")
    with atomic_write(out / "speed.md") as stream:
        stream.write(markdown(rows(wanted)))
    typer.echo(f"results: {', '.join(str(out / f'speed.{kind}') for kind in ('json', 'md', 'png'))}")
    give(document | {"results": wanted})


def draw(files: list[Path], out: Path) -> None:
    """Results of GPU bundles as gpu.md and gpu.png."""
    from rich.console import Console
    from rich.table import Column, Table

    from metalff.paths import atomic_write
    from metalff.speed import gpu

    documents = [gpu.read(file) for file in files]
    if not any(map(gpu.timed, documents)):
        raise MetalffError(f"{', '.join(map(str, files))}: nothing was timed there; see its failures")
    table = Table(*[Column(name, no_wrap=True, overflow="fold") for name in gpu.HEAD])
    for row in gpu.rows(documents):
        table.add_row(*row)
    Console(width=120).print(table)
    for document in documents:
        typer.echo(f"{gpu.card(document)}: {'; '.join(gpu.verdicts(document))}")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "gpu.md") as stream:
        stream.write(gpu.text(documents))
    gpu.plot(documents, out / "gpu.png")
    typer.echo(f"results: {out / 'gpu.md'}, {out / 'gpu.png'}")
    give([dict(zip(gpu.HEAD, row)) for row in gpu.rows(documents)])
