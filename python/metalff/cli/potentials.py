"""``metalff potentials``: which reference potentials there are, their LAMMPS lines, a first check."""

import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, group
from metalff.cli.options import jobs as jobs_option
from metalff.cli.options import out_file

Name = Annotated[str, typer.Argument(help="Name such as Cu/eam, or a .mlff file.")]


def register(app: typer.Typer) -> None:
    potentials = group("Reference potentials and bundled models: list, show, check.")
    add(potentials, "list", list_all, "Every name that can be used where a potential is asked for.")
    add(potentials, "show", show, "LAMMPS lines, files, hash, paper and licence of a potential.")
    add(potentials, "check", check, "Crystal, cohesion, elasticity, a vacancy and molecular dynamics, computed now.")
    app.add_typer(potentials, name="potentials")


def list_all(
    elements: Annotated[str | None, typer.Option(help="Only potentials of these elements, such as Cu,Ti.")] = None,
    style: Annotated[str | None, typer.Option(help="Only eam, meam, snap, qsnap, tb, mlff or universal.")] = None,
) -> None:
    from metalff.data import mptrj
    from metalff.errors import MetalffError, nearest
    from metalff.potentials import bundled_models, checks, entries, names
    from metalff.potentials.registry import listed

    kinds = sorted({entry.kind for entry in entries().values()} | {"mlff", "tb", "universal"})
    if style and style not in kinds:
        raise MetalffError(f"no style {style}{nearest(style, kinds)}; there are {', '.join(kinds)}")
    wanted = set(re.split(r"[,\s]+", elements.strip())) if elements else None
    shown = []
    for name in names():
        entry = listed(name)
        kind = "mlff" if name in bundled_models() else getattr(entry, "kind", "universal")
        has = set(re.findall("[A-Z][a-z]?", name.partition("/")[0])) if kind != "universal" else set(mptrj.ELEMENTS)
        if (style and kind != style) or (wanted and not wanted & has):
            continue
        failed = checks().get(name, {}).get("failed", [])
        citation = {"label": entry.label, "citation": entry.citation, "doi": entry.doi} if entry else {}
        shown.append({"name": name, "kind": kind, "elements": sorted(has), "failed": failed} | citation)
        mark = "fails its check; " if failed else ""
        detail = f"{entry.label:<29}{mark}{entry.citation} doi:{entry.doi}" if entry else "bundled model (metalff inspect shows it)"
        typer.echo(f"{name:<22} {detail}")
    if not shown:
        known = sorted({name.partition("/")[0] for name in names() if "/" in name})
        hint = nearest(elements, known) if elements else ""
        raise MetalffError(f"nothing of {elements}{hint}{f' with style {style}' if style else ''}; there are potentials of {' '.join(known)}")
    give(shown)


def show(name: Name) -> None:
    from metalff.potentials import checks, entries, resolve

    potential = resolve(name)
    keys = ("name", "label", "kind", "citation", "doi", "licence", "cutoff", "crystal", "lattice_constant", "sha256")
    told = {key: value for key in keys if (value := getattr(potential, key)) not in (None, "")}
    for key, value in told.items():
        typer.echo(f"{key.replace('_', ' ') + ':':<18}" + str(value).replace("\n", "\n" + 18 * " "))
    typer.echo(f"{'elements:':<18}{' '.join(potential.elements)}")
    if name in entries():
        typer.echo(f"{'origin:':<18}{entries()[name].origin}")
    if failed := checks().get(name, {}).get("failed"):
        typer.echo(f"{'fails its check:':<18}{'; '.join(failed)}")
    commands = potential.lammps_commands() if potential.in_lammps else []
    origin = entries()[name].origin if name in entries() else None
    give(told | {"elements": potential.elements, "origin": origin, "failed": failed or [], "lammps": commands})
    if not potential.in_lammps:
        typer.echo("\nruns in ASE only" + (", inside the environment of its framework" if potential.kind == "universal" else ""))
        return
    typer.echo("\nunits metal")
    typer.echo("\n".join(commands))


def check(
    name: Annotated[str | None, typer.Argument(help="Name such as Cu/eam, an element, or a .mlff file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every EAM and MEAM; results are kept in --out.")] = False,
    element: Annotated[str | None, typer.Option(help="Of a potential of several elements.")] = None,
    crystal: Annotated[str | None, typer.Option(help="Only lattice constant and energy, in this crystal: fcc, bcc or diamond.")] = None,
    out: out_file(
        "For the results of --all, JSON; a later run goes on; default: potential-checks.json.", "potential-checks.json", Path | None
    ) = None,
    jobs: jobs_option("Checks of --all") = None,
) -> None:
    from metalff.errors import MetalffError
    from metalff.paths import check_file
    from metalff.potentials import resolve
    from metalff.properties import checking

    if everything == (name is not None):
        raise MetalffError("give a name, an element, or --all")
    if everything:
        every(out or check_file("potential-checks.json", "checks.json"), jobs or len(os.sched_getaffinity(0)))
        return
    if name in {known.partition("/")[0] for known in checking.checkable()}:
        several([known for known in checking.checkable() if known.startswith(f"{name}/")])
        return
    if name in checking.checkable() and not (crystal or element):
        several([name])
        return
    quick(resolve(name, [element] if element else None), element, crystal)


def several(names: list[str]) -> None:
    """Check each, one after the other."""
    from metalff.properties import checking

    found = {}
    for name in names:
        found[name] = checking.one(name)
        typer.echo("\n".join(checking.lines(name, found[name])))
    give(found)


def every(out: Path, jobs: int) -> None:
    """Check all, with progress; a table beside the results."""
    from metalff.paths import atomic_write
    from metalff.progress import Bar
    from metalff.properties import checking

    start, before = time.monotonic(), []
    with Bar() as bar:

        def progress(name, row, done, total):
            before.append(done)
            left = (time.monotonic() - start) / len(before) * (total - done)
            bar.line(checking.lines(name, row)[0])
            bar.update(name, done, total, left)

        found = checking.check_all(out, jobs, progress)
    with atomic_write(out.with_suffix(".md")) as stream:
        stream.write(checking.table(found))
    failed = sum(bool(row["failed"]) for row in found.values())
    typer.echo(f"{len(found) - failed} of {len(found)} pass; results: {out}, {out.with_suffix('.md')}")
    give(found)


def quick(potential, element: str | None, crystal: str | None) -> None:
    """Lattice constant and energy of a cubic crystal."""
    from ase.data import atomic_numbers, reference_states

    from metalff.errors import MetalffError
    from metalff.potentials.crystal import CUBIC, check_crystal

    element = element or potential.elements[0]
    state = reference_states[atomic_numbers[element]] or {}
    crystal = crystal or potential.crystal or state.get("symmetry")
    start = potential.lattice_constant or state.get("a")
    if crystal not in CUBIC or not start:
        raise MetalffError(f"the check needs a cubic crystal, not {crystal}; give --crystal {' or '.join(CUBIC)}")
    found = check_crystal(potential.calculator(), element, crystal, start)
    expected = f" (registry {potential.lattice_constant:.3f})" if potential.lattice_constant else ""
    typer.echo(f"{'lattice constant:':<18}{found.lattice_constant:.4f} Å {crystal}{expected}")
    typer.echo(f"{'energy:':<18}{found.energy:.4f} eV/atom")
    typer.echo(f"{'cohesive energy:':<18}{found.cohesive_energy:.4f} eV/atom against this potential's isolated atom")
    give({"name": potential.name, "element": element, "crystal": crystal, **vars(found)})
