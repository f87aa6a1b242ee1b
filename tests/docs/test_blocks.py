"""Every code block of the tutorial and of the README runs, in order, as a reader would type it.

Blocks in ``bash``, ``python`` and ``lammps`` must end with status 0. One whose first line is ``# NAME.SUFFIX`` is that file: it is written, and a later
``bash`` block uses it; so is ``yaml``. ``text`` is what came out. ``<!-- not run: REASON -->`` above a block says why it cannot run here.

The tutorial begins in an empty folder; the README goes on in it, as it trains the same model, beside the folders of a checkout that it names.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "docs/tutorial.md",
    "README.md",
    "docs/howto-own-data.md",
    "docs/howto-property.md",
    "docs/howto-cluster.md",
    "docs/howto-family.md",
    "docs/python-lammps.md",
    "docs/api.md",
)
FENCE = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w.-]+\.\w+)$|# (in\.\w+)$")
RUN = ("bash", "python", "lammps")
SHOWN = ("text", "yaml", "toml")


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def title(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"

    @property
    def file(self) -> str:
        """The name that its first line gives it, or ''."""
        found = NAMED.match(self.text.partition("\n")[0])
        return found[1] or found[2] if found else ""


def blocks_of(text: str, page: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start("language")) + 1, found["language"], found["text"], found["reason"] or "")
        for found in FENCE.finditer(text)
    ]


BLOCKS = {page: blocks_of((ROOT / page).read_text("utf-8"), page) for page in PAGES}


def command_of(block: Block) -> list[str]:
    if block.language == "bash":
        return ["bash", "-euo", "pipefail", "-c", block.text]
    if block.language == "python":
        return [sys.executable, "-c", block.text]
    return ["lmp", "-log", "none", "-nocite"]


def run(block: Block, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
    given = block.text if block.language == "lammps" else None
    return subprocess.run(command_of(block), cwd=folder, env=environment, input=given, text=True, capture_output=True, timeout=900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.mark.parametrize("page", [pytest.param(page, marks=[pytest.mark.slow] * ("howto" in page)) for page in PAGES])
def test_blocks(page, folder, capsys):
    if page == "README.md":
        for name in ("lammps_inputs", "potentials"):
            (folder / name).symlink_to(ROOT / name)
    for block in BLOCKS[page]:
        if block.reason:
            with capsys.disabled():
                print(f"\n{block.title}: not run: {block.reason}", end="")
        elif block.file:
            (folder / block.file).write_text(block.text, "utf-8")
        elif block.language in RUN:
            done = run(block, folder)
            assert done.returncode == 0, (
                f"{block.title} ended with status {done.returncode}\n{block.text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page):
    assert BLOCKS[page]
    for number, block in enumerate(BLOCKS[page]):
        assert block.language in RUN + SHOWN, f"{block.title} has no language that the test knows"
        if block.file and block.language != "text" and not block.reason:
            later = "".join(other.text for other in BLOCKS[page][number + 1 :] if other.language == "bash" and not other.reason)
            assert block.file in later, f"{block.title} writes {block.file}, and nothing runs it"


@pytest.mark.parametrize(
    "text, status",
    [
        ("```bash\nfalse\ntrue\n```\n", 1),
        ("```python\nraise SystemExit(3)\n```\n", 3),
        ("```lammps\nunits nothing\n```\n", 1),
        ("```bash\nmetalff -h\n```\n", 0),
    ],
)
def test_what_fails_is_seen(text, status, tmp_path):
    (block,) = blocks_of(text, "page")
    assert run(block, tmp_path).returncode == status
