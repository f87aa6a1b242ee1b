"""``metalff data``: the bundled reference sets, what is in files of others, and other formats."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, group, plain_console
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import md_time, out_folder, out_of, with_keys
from metalff.errors import MetalffError
from metalff.paths import check_file, check_folder

SMALL = 2e7
"""Bytes of files that are read sooner than processes start."""

Spec = Annotated[str, typer.Argument(help="Bundled set such as zuo2020-Cu:train, an imported one, or a file or folder (docs/data.md).")]


def register(app: typer.Typer) -> None:
    data = group("Reference data: what there is and what is in it, other formats, imports, synthetic data.")
    add(data, "list", list_all, "The bundled sets.")
    add(data, "info", with_keys(info), "What is in a set or file: frames, groups, temperatures, citation, hash.")
    add(data, "export", with_keys(export), "Write a set as extxyz with the keys REF_energy, REF_forces, REF_stress.")
    add(data, "convert", with_keys(convert), "Write sets and files as extxyz, train.xyz of GPUMD, a folder of deepmd-kit or .cfg of MLIP.")
    add(data, "import", with_keys(import_set), "Check a published set, Metal-43 or TM23, folder or zip, and keep it as HDF5 for --data.")
    add(data, "show", show, "What is in each file of a set: metal, temperature, phase, frames, forces.")
    add(data, "remove", remove, "Remove an imported set.")
    add(
        data,
        "synth",
        synth,
        "Make data with a classical potential or tight binding in the part of DFT, in the layout of Metal-43.",
        {"--lattice": "--crystal"},
    )
    add(data, "relabel", relabel, "Give structures the labels of another potential.")
    app.add_typer(data, name="data")


def list_all() -> None:
    from metalff.data import load, names, splits, store

    found = []
    for name in names():
        frames = {split: len(load(name, split)) for split in splits(name)}
        typer.echo(f"{name:<14}{', '.join(f'{split} {count}' for split, count in frames.items())} frames")
        found.append({"name": name, "imported": False, "frames": frames})
    for name in store.names():
        content = store.index(name)
        frames = sum(found["frames"] - len(found.get("twice", ())) for found in content["files"].values())
        typer.echo(f"{name:<14}{frames} frames in {len(content['files'])} files, imported" + ("" if content["complete"] else ", not complete"))
        found.append({"name": name, "imported": True, "frames": frames, "files": len(content["files"]), "complete": content["complete"]})
    give(found)


def info(
    spec: Spec,
    keys=None,
) -> None:
    from metalff.data import read
    from metalff.data.checks import remarks

    dataset = read(spec, keys)
    temperatures = Counter(frame.temperature for frame in dataset)
    found = {
        "name": dataset.name,
        "frames": len(dataset),
        "atoms": sum(map(len, dataset)),
        "elements": dataset.elements,
        "groups": Counter(frame.group or "(none)" for frame in dataset),
        "temperatures": {f"{t:g} K": temperatures[t] for t in sorted(filter(None, temperatures))},
        "with stress": sum(frame.stress is not None for frame in dataset),
        "citation": dataset.citation,
        "licence": dataset.licence,
        "sha256": dataset.sha256,
    }
    for key, value in found.items():
        text = tally(value) if isinstance(value, dict) else " ".join(value) if key == "elements" else value
        typer.echo(f"{key + ':':<14}{'(none)' if text in (None, '') else text}")
    notes = list(remarks(dataset))
    for sentence in notes:
        typer.echo(f"note: {sentence}", err=True)
    give(found | {"notes": notes})


def tally(counts) -> str:
    return ", ".join(f"{key} {count}" for key, count in counts.items())


def export(
    spec: Spec,
    out: Annotated[Path, typer.Argument(help="File to write, ending in .xyz or .extxyz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    keys=None,
) -> None:
    from metalff.data import read, write_extxyz

    if out.suffix not in (".xyz", ".extxyz"):
        raise MetalffError(f"{out} must end in .xyz or .extxyz")
    if out.exists() and not force:
        raise MetalffError(f"{out} exists; choose another name or add --force")
    check_file(out, "Cu.extxyz")
    dataset = read(spec, keys)
    write_extxyz(dataset.frames, out)
    typer.echo(f"{len(dataset)} frames: {out}")
    give({"frames": len(dataset), "file": out})


def convert(
    specs: Annotated[list[str], typer.Argument(metavar="IN... OUT", help="Sets, files and folders; last the file or folder to write.")],
    format: Annotated[
        str | None, typer.Option(help="extxyz, gpumd, deepmd or mtp; default: by the name of OUT: .xyz, train.xyz, none, .cfg.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    keys=None,
) -> None:
    from metalff.data import join, read
    from metalff.data.formats import WRITERS, format_of, lost
    from metalff.errors import nearest

    if len(specs) < 2:
        raise MetalffError("give what is to be read, and last what is to be written")
    sources, out = specs[:-1], Path(specs[-1])
    format = format or format_of(out)
    if format not in WRITERS:
        raise MetalffError(
            f"--format {format}{nearest(format or '', WRITERS)}: give {', '.join(WRITERS)}"
            if format
            else f"{out}: say --format: {', '.join(WRITERS)}"
        )
    if out.suffix == ".gz":
        raise MetalffError(f"{out}: written as plain text; leave .gz out, and pack it afterwards")
    if out.exists() and (not force or out.is_dir()):
        raise MetalffError(f"{out} exists; choose another name" + ("" if out.is_dir() else " or add --force"))
    check_folder(out.parent)
    dataset = join([read(spec, keys) for spec in sources])
    WRITERS[format](dataset.frames, out)
    notes = list(lost(dataset.frames, format))
    for sentence in notes:
        typer.echo(f"note: {sentence}", err=True)
    typer.echo(f"{len(dataset)} frames: {out} ({format})")
    give({"frames": len(dataset), "file": out, "format": format, "notes": notes})


def import_set(
    path: Annotated[Path, typer.Argument(help="Folder or zip archive with files such as Al_fcc_300.extxyz or Cu_cold_nequip_train.xyz.")],
    name: Annotated[str | None, typer.Option(help="Of the set, for --data; default: that of the archive or folder.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave damaged frames and archives' missing ends out; each is named.")] = False,
    jobs: jobs_option("Files") = None,
    keys=None,
) -> None:
    """Read and check every frame once; the same command goes on where it was interrupted."""
    from metalff.data import store

    cores = len(os.sched_getaffinity(0))
    task = store.Import(path, name, skip_bad, keys)
    with task.claim():
        refused = read_files(task, jobs or cores)
    if refused:
        more = f" (and {len(refused) - 1} more files)" if len(refused) > 1 else ""
        raise MetalffError(f"{refused[0]}{more}; --skip-bad leaves damaged frames out" if not skip_bad else refused[0] + more)
    files = task.content["files"].values()
    twice = sum(len(found.get("twice", ())) for found in files)
    shared = f"; {twice} frames of *_2700cwm_* are in the files of one temperature too, and count once" if twice else ""
    metals, frames = len({found["element"] for found in files}), sum(found["frames"] for found in files) - twice
    typer.echo(
        f"{task.name}: {frames} frames of {metals} metal{'s' * (metals > 1)} in {len(files)} file{'s' * (len(files) > 1)}{shared}; use it as --data {task.name}"
    )
    give({"name": task.name, "frames": frames, "metals": metals, "files": task.content["files"]})


def read_files(task, jobs: int) -> list[str]:
    """Import the files that are not there yet, with progress; returns why some were refused."""
    import time

    from metalff.data import store
    from metalff.pool import one_by_one, side_by_side
    from metalff.progress import Bar

    todo, refused, start = task.tasks(), [], time.monotonic()
    sizes = {member.file: member.size or 1 for member in task.members}
    before = sum(size for file, size in sizes.items() if file not in todo)
    done, total = before, sum(sizes.values())
    with Bar() as bar:

        def tick(running):
            left = (time.monotonic() - start) / (done - before) * (total - done) if done > before else None
            bar.update(", ".join(running), done, total, left)

        small = sum(sizes[file] for file in todo) < SMALL
        results = one_by_one(store.import_file, todo, tick) if small else side_by_side(store.import_file, todo, jobs, tick)
        for file, found, error in results:
            done += sizes[file]
            if error:
                refused.append(str(error))
                continue
            task.add(file, found)
            for sentence in found["bad"]:
                bar.line(f"left out: {sentence}")
            for sentence in found.get("notes", ()):
                bar.line(f"note: {sentence}")
            if found.get("force_max", 0) > store.LARGE:
                bar.line(f"note: {file} has a force of {found['force_max']:.0f} eV/Å")
        tick([])
    task.finish()
    return refused


def show(
    source: Annotated[str, typer.Argument(help="Imported set, or the folder or archive of one.")],
    element: Annotated[str | None, typer.Option(help="Only this metal.")] = None,
) -> None:
    """By the index alone: nothing is read but names, sizes and what the import found."""
    import numpy as np
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from metalff.data import names, store
    from metalff.data.archive import members

    if source in names():
        raise MetalffError(f"{source} is a bundled set: metalff data info {source}")
    imported = source in store.names()
    if not imported and not Path(source).exists():
        raise MetalffError(f"{source} is neither an imported set ({', '.join(store.names()) or 'there is none'}) nor a folder or archive")
    if imported:
        content = store.index(source)
        rows = [(found["element"], found["temperature"], found, file) for file, found in content["files"].items()]
    else:
        rows = [(m.name.element, m.name.temperature, {"size": m.size}, m.file) for m in members(source)]
    if element and not (rows := [row for row in rows if row[0] == element]):
        raise MetalffError(f"{source} has no files of {element}")
    shown = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{source}: {len(rows)} files" + ("" if not imported or content["complete"] else ", import not complete"),
    )
    headings = ["frames", "atoms", "phase", "force*", "energy*", "left out"] if imported else ["MB"]
    for heading in ("file", "K", *headings):
        shown.add_column(heading, justify="left" if heading in ("file", "phase") else "right", no_wrap=True)
    give([{"file": file, "element": symbol, "temperature": temperature} | found for symbol, temperature, found, file in rows])
    for _, temperature, found, file in rows:
        line = [file, "" if temperature is None else f"{temperature:g}"]
        if imported:
            atoms = "–".join(map(str, np.atleast_1d(found.get("atoms", []))))
            out = len(found["bad"]) + len(found.get("twice", ()))
            line += [
                found["frames"],
                atoms,
                found["phase"],
                *(f"{found[key]:.3f}" if key in found else "" for key in ("force_rms", "energy")),
                out or "",
            ]
        else:
            line += ["" if found["size"] is None else f"{found['size'] / 1e6:.2f}"]
        shown.add_row(*map(str, line))
    if imported:
        shown.caption = "* RMS force, eV/Å; mean energy, eV/atom"
    plain_console().print(shown)
    if not imported:
        typer.echo(f"not imported yet: metalff data import {source}")


def remove(name: Annotated[str, typer.Argument(help="Imported set.")]) -> None:
    from metalff.data import store

    if name not in store.names():
        raise MetalffError(f"no imported set {name}; there {'are ' + ', '.join(store.names()) if store.names() else 'is none'}")
    store.remove(name)
    typer.echo(f"removed: {name}")
    give({"removed": name})


def synth(
    potential: Annotated[list[str], typer.Argument(help="Such as Cu/eam Ti/meam: a metal and its potential; several run side by side.")],
    out: out_folder("Each potential has a folder of its own inside, such as OUT/Cu-eam."),
    frames: Annotated[int | None, typer.Option(min=1, help="Of each temperature; default: 1000.")] = None,
    temperatures: Annotated[str, typer.Option(help="K, such as 300,600; default: 300 K, 0.5, 1.0 and 1.2 of the melting temperature.")] = "",
    crystal: Annotated[str | None, typer.Option(help="fcc, bcc or hcp; default: the metal's own.")] = None,
    spacing: md_time("--spacing", "Between frames; default: until forces are uncorrelated.", float | None) = None,
    seed: Annotated[int | None, typer.Option(min=1, max=800000, help="Of velocities; default: 1.")] = None,
    filling: Annotated[str, typer.Option(help="Of tight binding, d electrons per atom such as 2,4,6: a folder for each.")] = "",
    kt: Annotated[str, typer.Option("--kT", help="Of tight binding, electronic temperatures in eV such as 0.1,0.5: a folder for each.")] = "",
    md: Annotated[
        str | None, typer.Option(help="Potential that makes the frames for tight binding; default: the metal's EAM, else its MEAM.")
    ] = None,
    structures: Annotated[
        Path | None, typer.Option(help="Folder in the layout of Metal-43 whose frames tight binding labels, instead of molecular dynamics.")
    ] = None,
    jobs: jobs_option("Potentials") = None,
) -> None:
    """Molecular dynamics in LAMMPS; the same command again goes on where it was interrupted."""
    from metalff.synth import doses, many
    from metalff.synth.synth import Settings, crystal_of

    kelvin = positive(temperatures, "--temperatures", "kelvin such as 300,600") or None
    fillings, kts = (
        positive(filling, "--filling", "electrons per atom from 0 to 10, such as 2,4,6", zero=True),
        positive(kt, "--kT", "eV such as 0.1,0.5"),
    )
    settings = Settings(frames or 1000, kelvin, seed or 1, spacing)
    if fillings or kts or any(map(doses.is_tight_binding, potential)):
        names = doses.expanded(potential, fillings, kts)
        of_md = {"--md": md, "--crystal": crystal, "--frames": frames, "--temperatures": kelvin, "--spacing": spacing, "--seed": seed}
        if structures and (ignored := [option for option, value in of_md.items() if value is not None]):
            raise MetalffError(f"{' '.join(ignored)}: for molecular dynamics, which --structures replaces; leave out either")
        folders, failed = doses.run(names, out, settings, crystal, jobs or len(os.sched_getaffinity(0)), md, structures)
        for folder in folders if not failed else ():
            typer.echo(folder)
        give({"folders": folders, "failed": failed})
        if failed:
            raise MetalffError("; ".join(failed))
        return
    if md or structures:
        raise MetalffError(f"{'--md' if md else '--structures'} is for tight binding, such as Nb/tb")
    for name in potential:
        crystal_of(many.element_of(name), crystal)
    failed = many.run(potential, out, settings, crystal, jobs or len(os.sched_getaffinity(0)))
    give({"folders": [many.folder_of(name, out) for name in potential], "failed": failed})
    if failed:
        raise MetalffError("; ".join(failed))


def positive(text: str, option: str, example: str, zero: bool = False) -> tuple[float, ...]:
    """Numbers above zero of an option; none where it is empty.

    Args:
        zero: whether zero is one of them.
    """
    try:
        found = tuple(float(word) for word in re.split(r"[,\s]+", text.strip())) if text.strip() else ()
    except ValueError:
        found = (-1.0,)
    if not all(0 < number < float("inf") or zero and number == 0 for number in found):
        raise MetalffError(f"{option} {text}: give {example}")
    return found


def relabel(
    structures: Annotated[str, typer.Argument(help="Folder in the layout of Metal-43, or any data as in `metalff validate --data`.")],
    potential: Annotated[str, typer.Argument(help="Such as Cu/meam, Cu/meam[t=0.5], or a .mlff file.")],
    out: out_of("Folder, or an .extxyz file where the structures are no folder."),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing .extxyz file.")] = False,
) -> None:
    """The same configurations with other energies, forces and stresses."""
    from metalff.progress import Bar
    from metalff.synth.relabel import relabel as label

    with Bar() as bar:
        label(structures, potential, out, lambda file, done, total: bar.update(file, done, total, None), force)
    typer.echo(f"{out}: labels of {potential}")
    give({"out": out, "potential": potential})
