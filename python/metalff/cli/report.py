"""``metalff report``: results → one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give
from metalff.cli.options import out_file


def register(app: typer.Typer) -> None:
    add(app, "report", report, "Put results of sweep and validate into one HTML file that needs no network.")


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of `metalff sweep` and `metalff validate`.")],
    out: out_file("File to write.", "report.html") = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
) -> None:
    from metalff.report.page import write_report

    written = write_report(folders, out, title)
    typer.echo(f"report: {written}")
    give({"report": written})
