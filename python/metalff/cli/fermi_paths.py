"""``metalff fermi --paths``: how rough the energy is along paths, by DFT, tight binding, EAM and MEAM."""

from pathlib import Path

import typer

from metalff.cli.command import give, whole
from metalff.errors import MetalffError

ALL = "all"

SHOWN = {
    "element": "",
    "method": "",
    "path": "",
    "quantity": "",
    "width": "eV",
    "roughness": "meV/atom",
    "mesh_error": "meV/atom",
    "relative": "",
    "occupied_change": "e/atom Å",
    "converged": "",
}
"""Columns of the printed table, with units; all are in roughness.csv."""


def shipped() -> None:
    """Print the table that ships with MetalFF."""
    from metalff.fermi import path_energies

    rows = path_energies.table()
    show(rows)
    give(rows)


def run(symbols: list[str], words: str, methods: str | None, out: Path, folder: Path) -> None:
    """Compute what is not in the cache yet, then write tables and figures; what fails is named and left out.

    Args:
        words: names of paths between commas, or ``all``.
        methods: between commas; None for all that know a metal.
        folder: of the cache.
    Raises:
        MetalffError: a word is unknown, or something failed.
    """
    from metalff.fermi import path_energies, path_figures, paths
    from metalff.paths import atomic_write
    from metalff.progress import Bar, Pace

    todo = tasks(symbols, words, methods)
    if with_dft := list(dict.fromkeys(symbol for symbol, _, method in todo if method == "dft")):
        from metalff import environments
        from metalff.cli.fermi import warn_magnetic

        warn_magnetic(with_dft)
        environments.environment_python("gpaw")
    taken, failed, pace = [], [], Pace()
    with Bar() as bar:
        for number, (symbol, name, method) in enumerate(todo):
            bar.update(f"{symbol} {name}, {method}", number, len(todo), pace.left(number / len(todo)))
            try:
                taken.append(path_energies.compute(symbol, name, method, folder))
            except MetalffError as error:
                failed.append(str(error))
                bar.line(f"failed: {error}")
    if taken:
        rows = path_energies.write_tables(taken, out)
        with atomic_write(out / "roughness.png", "wb") as stream:
            path_figures.of_metals(rows).savefig(stream, format="png")
        for symbol, name in dict.fromkeys((symbol, name) for symbol in symbols for name in paths.names_of(symbol)):
            files = [file for file in taken if file in {path_energies.file_of(folder, method, symbol, name) for method in path_energies.METHODS}]
            if files:
                with atomic_write(out / f"{symbol}-{name}.png", "wb") as stream:
                    path_figures.of_path([path_energies.read(file) for file in files]).savefig(stream, format="png")
        show(rows)
        typer.echo(f"results: {out / 'roughness.csv'}, curves.csv, roughness.png and a picture of each path beside it")
        give({"rows": rows, "failed": failed, "folder": out})
    if failed:
        raise MetalffError(f"{len(failed)} of {len(todo)} paths failed: {'; '.join(failed)}")


def asked(words: str, option: str, example: str) -> list[str]:
    """Names between commas, each once.

    Raises:
        MetalffError: one is empty.
    """
    names = [word.strip() for word in words.split(",")]
    if not all(names):
        raise MetalffError(f'{option} "{words}" has an empty name; give {example}')
    return list(dict.fromkeys(names))


def tasks(symbols: list[str], words: str, methods: str | None) -> list[tuple[str, str, str]]:
    """Metal, path and method of everything that is asked for, checked before any work; of several crystals each has its own of the paths.

    Raises:
        MetalffError: a name is empty, a path is unknown, or none of the metals has it, or a method does not know a metal.
    """
    from metalff.fermi import path_energies, paths

    named = asked(words, "--paths", "all, or such as volume,phonon")
    names = list(paths.NAMES) if named == [ALL] else named
    of_methods = None if methods is None else asked(methods, "--methods", "such as dft,tb,eam,meam")
    found = []
    for symbol in symbols:
        chosen = path_energies.available(symbol) if of_methods is None else of_methods
        found += [(symbol, name, method) for name in names if name in paths.names_of(symbol) for method in chosen]
    for name in names if named != [ALL] else ():
        if not any(name == other for _, other, _ in found):
            paths.path(symbols[0], name)
    for symbol, name, method in found:
        path_energies.check(symbol, name, method)
    return found


def show(rows: list[dict]) -> None:
    """Print the columns of ``SHOWN``."""
    from rich.table import Table

    from metalff.fermi.path_energies import as_text

    note = "docs/fermi.md says what each column is; where the two meshes do not agree, converged is no, and the number is no more than a bound"
    table = Table(box=None, header_style="", caption=note)
    for key, unit in SHOWN.items():
        table.add_column(f"{key}\n{unit}", justify="right" if unit or key == "relative" else "left")
    for row in rows:
        table.add_row(*(as_text(row[key]) for key in SHOWN))
    whole(table)
