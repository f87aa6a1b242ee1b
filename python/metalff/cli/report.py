"""``metalff report``: results → one HTML page."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("report", help="Put results of sweep and validate into one HTML file that needs no network.")(report)


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of `metalff sweep` and `metalff validate`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
) -> None:
    from metalff.report.page import write_report

    typer.echo(f"report: {write_report(folders, out, title)}")
