"""``metalff data``: the bundled reference sets; export to extxyz."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

Spec = Annotated[str, typer.Argument(help="Bundled set such as zuo2020-Cu:train, or an extxyz or mlearn file.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Reference data: list, info, export.", no_args_is_help=True)
    group.command("list", help="The bundled sets.")(list_all)
    group.command("info", help="What is in a set or file: frames, groups, temperatures, citation, hash.")(info)
    group.command("export", help="Write a set as extxyz with the keys REF_energy, REF_forces, REF_stress.")(export)
    app.add_typer(group, name="data")


def list_all() -> None:
    from metalff.data import load, names, splits

    for name in names():
        parts = ", ".join(f"{split} {len(load(name, split))}" for split in splits(name))
        typer.echo(f"{name:<14}{parts} frames")


def info(spec: Spec) -> None:
    from metalff.data import read

    dataset = read(spec)
    temperatures = Counter(frame.temperature for frame in dataset)
    rows = {
        "name": dataset.name,
        "frames": len(dataset),
        "atoms": sum(map(len, dataset)),
        "elements": " ".join(dataset.elements),
        "groups": tally(Counter(frame.group or "(none)" for frame in dataset)),
        "temperatures": tally({f"{t:g} K": temperatures[t] for t in sorted(filter(None, temperatures))}) or "(none)",
        "with stress": sum(frame.stress is not None for frame in dataset),
        "citation": dataset.citation or "(none)",
        "licence": dataset.licence or "(none)",
        "sha256": dataset.sha256,
    }
    for key, value in rows.items():
        typer.echo(f"{key + ':':<14}{value}")


def tally(counts) -> str:
    return ", ".join(f"{key} {count}" for key, count in counts.items())


def export(
    spec: Spec,
    out: Annotated[Path, typer.Argument(help="File to write, ending in .xyz or .extxyz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    from metalff.data import read, write_extxyz
    from metalff.errors import MetalffError

    if out.suffix not in (".xyz", ".extxyz"):
        raise MetalffError(f"{out} must end in .xyz or .extxyz")
    if out.exists() and not force:
        raise MetalffError(f"{out} exists; choose another name or add --force")
    dataset = read(spec)
    write_extxyz(dataset.frames, out)
    typer.echo(f"{len(dataset)} frames: {out}")
