"""The documentation as a site: built with warnings as errors, loading nothing from elsewhere, with every command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", ROOT / "mkdocs.yml", "--site-dir", folder]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_it(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"index", "commands"}
    assert pages <= {path.stem for path in site.glob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+rel=\"?(?:stylesheet|preconnect)[^>]+href=\"?https?:", text), (
            page.name
        )


def test_the_reference_has_every_command(site):
    from typer.main import get_command

    from metalff.cli import build_app

    shown = (site / "commands.html").read_text("utf-8")
    for name, command in get_command(build_app()).commands.items():
        if not command.hidden:
            assert f"metalff {name}" in shown
    assert "--retry" in shown and "PLAN" in shown
