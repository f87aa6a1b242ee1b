"""``metalff potentials``: which reference potentials there are, their LAMMPS lines, a first check."""

from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="Name such as Cu/eam, or a .mlff file.")]
Element = Annotated[str | None, typer.Option(help="Element, for potentials of several.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Reference potentials and bundled models: list, show, check.", no_args_is_help=True)
    group.command("list", help="Every name that can be used where a potential is asked for.")(list_all)
    group.command("show", help="LAMMPS lines, files, hash, paper and licence of a potential.")(show)
    group.command("check", help="Lattice constant and cohesive energy, computed now.")(check)
    app.add_typer(group, name="potentials")


def list_all() -> None:
    from metalff.potentials import entries, names
    from metalff.potentials.universal import UNIVERSAL

    for name in names():
        entry = entries().get(name) or UNIVERSAL.get(name)
        detail = (
            f"{entry.label:<28}{entry.citation} doi:{entry.doi}"
            if entry
            else "bundled model (metalff inspect shows it)"
        )
        typer.echo(f"{name:<12}{detail}")


def show(name: Name) -> None:
    from metalff.potentials import resolve

    potential = resolve(name)
    for key in (
        "name",
        "label",
        "kind",
        "citation",
        "doi",
        "licence",
        "cutoff",
        "crystal",
        "lattice_constant",
        "sha256",
    ):
        if (value := getattr(potential, key)) not in (None, ""):
            typer.echo(f"{key.replace('_', ' ') + ':':<18}{value}")
    typer.echo(f"{'elements:':<18}{' '.join(potential.elements)}")
    if potential.kind == "universal":
        typer.echo("\nruns in ASE only, inside the environment of its framework")
        return
    typer.echo("\nunits metal")
    typer.echo("\n".join(potential.lammps_commands()))


def check(
    name: Name,
    element: Element = None,
    crystal: Annotated[str | None, typer.Option(help="fcc, bcc or diamond; the potential's own when left out.")] = None,
) -> None:
    from ase.data import atomic_numbers, reference_states

    from metalff.errors import MetalffError
    from metalff.potentials import resolve
    from metalff.potentials.crystal import CUBIC, check_crystal

    potential = resolve(name, [element] if element else None)
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
