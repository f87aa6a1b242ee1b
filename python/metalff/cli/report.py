"""``metalff report``: results → one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give
from metalff.cli.options import out_file


def register(app: typer.Typer) -> None:
    add(app, "report", report, "Put results of sweep, validate, properties and train into one HTML file that needs no network.")


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of these commands, or folders of such folders; with --compare two.")],
    out: out_file("File to write.", "report.html") = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
    compare: Annotated[bool, typer.Option("--compare", help="Two campaigns: what is better, worse or only in one.")] = False,
) -> None:
    if compare:
        from metalff.report.compare_page import write_comparison

        written = write_comparison(folders, out, title)
    else:
        from metalff.report.page import write_report

        written = write_report(folders, out, title)
    typer.echo(f"report: {written}")
    give({"report": written})
