"""``metalff validate``: errors of potentials against reference energies, forces and stresses."""

import warnings
from typing import Annotated

import typer

from metalff.cli.command import add, give, plain_console, whole
from metalff.cli.options import jobs, out_folder, with_keys
from metalff.errors import MetalffError
from metalff.versions import versions

EVERY = 50
"""Frames read between two looks at the clock."""

MOST_GROUPS = 16
"""Of a set whose errors are printed group by group; those of a larger one are in ``elements.csv`` alone."""


def register(app: typer.Typer) -> None:
    add(app, "validate", with_keys(validate), "Compare potentials with reference energies, forces and stresses.")


def validate(
    potentials: Annotated[list[str], typer.Argument(help="Names (see `metalff potentials list`), .mlff files, or {element}/eam for one per metal.")],
    data: Annotated[str, typer.Option(help="Bundled or imported set such as zuo2020-Cu:test, a file or folder (docs/data.md).")],
    out: out_folder("Folder for validate.json, elements.csv, frames.csv, forces.parquet, parity.png."),
    block: Annotated[int | None, typer.Option(min=1, help="Consecutive frames that the bootstrap keeps together.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another validation in the folder.")] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Deviations against errors: of the committee that one .mlff file holds, or of all the potentials as an ensemble (docs/uncertainty.md).",
        ),
    ] = False,
    jobs: jobs("Processes that evaluate, where that takes long,") = None,
    keys=None,
) -> None:

    from metalff.data import stream
    from metalff.potentials.per_element import for_elements
    from metalff.progress import Bar
    from metalff.validate.compare import compare
    from metalff.validate.folder import RECORDED, claim, write, write_uncertainty
    from metalff.validate.forces import Forces
    from metalff.validate.tables import document
    from metalff.validate.uncertainty import Deviations, by_temperature
    from metalff.validate.unfinished import Unfinished

    frames = stream(data, keys)
    with Bar() as bar:
        reference = read_once(frames, bar)
        for sentence in filter(None, (*frames.notes, reference.verdict.sentence)):
            warnings.warn(sentence, stacklevel=1)
        chosen = for_elements(potentials, reference.elements)
        committee = committee_of(chosen) if uncertainty else False
        claim(out, reference, chosen, force)
        with Forces(reference, chosen, out) as forces:
            keep = forces
            if uncertainty:
                keep = Deviations(reference, committee, forces)
            kept = Unfinished(out, reference, chosen, [uncertainty, committee, forces.every, forces.few])
            results = compare(chosen, frames, evaluating(bar), block, reference, keep, jobs, kept)
            unsure = by_temperature(keep.unsure, reference) if uncertainty else None
            content = document(results, versions(*RECORDED))
            claim(out, reference, chosen, force)  # another may have written there meanwhile
            write(out, results, forces, content)
    if unsure:
        write_uncertainty(out, unsure, committee, results)
    kept.remove()
    whole(table(results))
    if len(reference.elements) > 1:
        plain_console().print(by_element(results))
    if len(labels := results[0].groups) > MOST_GROUPS:
        typer.echo(f"errors of {len(labels)} groups: {out / 'elements.csv'}")
    elif labels:
        whole(by_group(results))
    if unsure:
        whole(uncertainty_table(unsure))
    typer.echo(f"results: {out}")
    give(content)


def read_once(frames, bar):
    """``validate.reference`` of a set, with progress by the expected number of its frames."""
    from metalff.progress import Pace
    from metalff.validate.reference import reference_of

    pace, expected = Pace(), getattr(frames, "expected", None)

    def step(done: int) -> None:
        if not done % EVERY:
            left = pace.left(done / expected) if expected and done < expected else None
            bar.update(f"reading {frames.name}: {done:,} frames", done, max(done, expected or 0) if expected else None, left)

    return reference_of(frames, step)


def evaluating(bar):
    """Tells the frames that are done."""
    from metalff.progress import Pace

    pace = Pace()
    return lambda name, done, total: bar.update(name, done, total, pace.left(done / total))


def committee_of(potentials) -> bool:
    """Whether deviations are those of the committee in a single file; False for an ensemble of several potentials.

    Raises:
        MetalffError: a single potential that has no committee.
    """
    if len(potentials) > 1:
        return False
    calculator = potentials[0].calculator() if potentials[0].kind == "mlff" else None
    if calculator is None or not calculator.committee:
        raise MetalffError(
            f"{potentials[0].name} holds no committee, so that it has no deviation: give a file trained with --set committee=8, or several potentials"
        )
    return True


def uncertainty_table(found: dict):
    """A rich table, one line per group of frames."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    caption = "Force components, eV/Å. Scale: RMSE ÷ deviation, its 95% interval in brackets; of Gaussian errors 68.3 % are within σ. Frames whose forces vanish by symmetry are left out. docs/uncertainty.md"
    shown = Table(box=SIMPLE_HEAD, title="deviation against error", caption=caption, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("frames of", "atoms", "RMSE", "deviation", "scale", "within σ", "2σ", "ENCE", "Spearman", "AUSE (random)"):
        shown.add_column(heading, justify="left" if heading == "frames of" else "right", no_wrap=True)
    for name, one in found.items():
        interval = f" ({one.scale_interval[0]:.2f}–{one.scale_interval[1]:.2f})" if one.scale_interval else ""
        numbers = [f"{one.rmse:.4f}", f"{one.deviation:.4f}", f"{one.scale:.2f}{interval}", *(f"{100 * one.within[k]:.0f} %" for k in (1, 2))]
        shown.add_row(name, str(one.atoms), *numbers, f"{one.ence:.2f}", f"{one.spearman:.2f}", f"{one.ause:.2f} ({one.random_area:.2f})")
    return shown


def table(results):
    """A rich table of the overall errors; the interval of the force RMSE is the 95% one."""
    from rich.table import Table

    reference = results[0].reference
    shown = Table(title=f"{reference.name}: {len(reference)} frames")
    shown.add_column("potential", overflow="fold")
    for heading in (
        "force RMSE\neV/Å",
        "95% interval\neV/Å",
        "MAE\neV/Å",
        "RMSE/RMS\nforce",
        "energy*\nmeV/atom",
        "stress\nmeV/Å³",
    ):
        shown.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        overall = result.overall
        low, high = overall.force_rmse.low, overall.force_rmse.high
        shown.add_row(
            result.potential.name,
            text(overall.force_rmse, 1, 4),
            "–" if low is None else f"{low:.3f}–{high:.3f}",
            text(overall.force_mae, 1, 4),
            text(overall.force_rmse_normalised, 1, 3),
            text(overall.energy_rmse_offset, 1000, 2),
            text(overall.stress_rmse, 1000, 2),
        )
    shown.caption = "* RMSE after fitting one energy offset per element"
    return shown


def by_element(results):
    """A rich table of the normalised force RMSE in percent, one line per element."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, title="force RMSE ÷ RMS force, %", caption="95% interval in brackets; per phase and temperature: elements.csv")
    shown.add_column("metal")
    for result in results:
        shown.add_column(result.potential.name, justify="right", overflow="fold")
    for element in results[0].by_element:
        cells = []
        for result in results:
            found = result.by_element[element].force_rmse_normalised
            bounds = "" if found is None or found.low is None else f" ({100 * found.low:.1f}–{100 * found.high:.1f})"
            cells.append(text(found, 100, 1) + bounds)
        shown.add_row(element, *cells)
    return shown


def by_group(results):
    """A rich table of the errors of each group, potential by potential."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from metalff.validate.groups import indented, still, still_sentence

    labels = results[0].groups
    caption = "Forces: eV/Å, energies: meV/atom, stresses: meV/Å³. * RMSE after one energy offset per element, fitted on all frames."
    sentences = " ".join(filter(None, (caption, still_sentence(still(labels)))))
    shown = Table(box=SIMPLE_HEAD, title="errors by group", caption=sentences, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("group", no_wrap=True)
    for heading in ("frames", "atoms", "RMS\nforce", "RMSE", "MAE", "RMSE/\nRMS", "share of\nerror²", "energy*", "stress"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        shown.add_section()
        shown.add_row(result.potential.name, style="bold")
        for label, errors in result.groups.items():
            shown.add_row(indented(label, labels), *group_cells(errors))
    return shown


def group_cells(errors: dict) -> list[str]:
    """Numbers of ``groups.group_errors`` in the units of the table; a dash where there is none."""

    def cell(key, scale=1.0, form=".4f"):
        return format(errors[key] * scale, form) if key in errors else "–"

    return [
        str(errors["frames"]),
        str(errors["atoms"]),
        cell("force_rms", form=".3f"),
        cell("force_rmse"),
        cell("force_mae"),
        cell("normalised", form=".3f"),
        cell("share", 100, ".1f") + " %" * ("share" in errors),
        cell("energy_rmse_offset", 1000, ".2f"),
        cell("stress_rmse", 1000, ".2f"),
    ]


def text(estimate, scale: float, digits: int) -> str:
    """The value in the unit that ``scale`` converts to."""
    return "–" if estimate is None else f"{estimate.value * scale:.{digits}f}"
