"""``metalff data``: the bundled reference sets; export to extxyz."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from metalff.errors import MetalffError

Spec = Annotated[str, typer.Argument(help="Bundled set such as zuo2020-Cu:train, or an extxyz or mlearn file.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Reference data: list, info, export.", no_args_is_help=True)
    group.command("list", help="The bundled sets.")(list_all)
    group.command("info", help="What is in a set or file: frames, groups, temperatures, citation, hash.")(info)
    group.command("export", help="Write a set as extxyz with the keys REF_energy, REF_forces, REF_stress.")(export)
    group.command("synth", help="Make data with a classical potential in the part of DFT, in the layout of Metal-43.")(synth)
    group.command("relabel", help="Give structures the labels of another potential.")(relabel)
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


def synth(
    potential: Annotated[list[str], typer.Argument(help="Such as Cu/eam Ti/meam: a metal and its potential; several run side by side.")],
    out: Annotated[Path, typer.Option(help="Folder; each potential has one of its own inside, such as OUT/Cu-eam.")],
    frames: Annotated[int, typer.Option(min=1, help="Of each temperature.")] = 1000,
    temperatures: Annotated[str, typer.Option(help="K, such as 300,600; default: 300 K, 0.5, 1.0 and 1.2 of the melting temperature.")] = "",
    lattice: Annotated[str | None, typer.Option(help="fcc, bcc or hcp; default: the metal's own.")] = None,
    spacing: Annotated[float | None, typer.Option(min=1e-3, help="ps between frames; default: until forces are uncorrelated.")] = None,
    seed: Annotated[int, typer.Option(min=1, max=800000, help="Of velocities.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Potentials at a time [number of cores].")] = None,
) -> None:
    """Molecular dynamics in LAMMPS; the same command again goes on where it was interrupted."""
    from metalff.synth import many
    from metalff.synth.synth import Settings, crystal_of

    try:
        kelvin = tuple(float(word) for word in re.split(r"[,\s]+", temperatures.strip())) if temperatures.strip() else None
    except ValueError:
        kelvin = (0.0,)
    if kelvin and min(kelvin) <= 0:
        raise MetalffError(f"--temperatures {temperatures}: give kelvin such as 300,600")
    for name in potential:
        crystal_of(many.element_of(name), lattice)
    failed = many.run(potential, out, Settings(frames, kelvin, seed, spacing), lattice, jobs or len(os.sched_getaffinity(0)))
    if failed:
        raise MetalffError("; ".join(failed))


def relabel(
    structures: Annotated[str, typer.Argument(help="Folder in the layout of Metal-43, or any data as in `metalff validate --data`.")],
    potential: Annotated[str, typer.Argument(help="Such as Cu/meam, Cu/meam[t=0.5], or a .mlff file.")],
    out: Annotated[Path, typer.Option(help="Folder, or an .extxyz file where the structures are no folder.")],
) -> None:
    """The same configurations with other energies, forces and stresses."""
    from metalff.benchmark.progress import Bar
    from metalff.synth.relabel import relabel as label

    with Bar() as bar:
        label(structures, potential, out, lambda file, done, total: bar.update(file, done, total, None))
    typer.echo(f"{out}: labels of {potential}")
