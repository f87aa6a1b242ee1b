"""The design notes of all measurements as a part of ``docs/properties.md``: ``python -m metalff.properties.notes docs/properties.md``."""

import sys
import textwrap
from pathlib import Path

from metalff.paths import atomic_write
from metalff.properties.measurement import COSTS
from metalff.properties.registry import measurements

MARK = "## The measurements\n"
"""What stands above the notes, which are the rest of the page."""


def notes() -> str:
    """Each measurement with its note, cost, needs and settings; in Markdown."""
    lines = []
    for one in measurements().values():
        first, _, rest = one.note.partition("\n")
        facts = [f"Cost: {COSTS[one.cost]}."]
        facts += [f"Needs {', '.join(f'`{name}`' for name in one.needs)}."] if one.needs else []
        facts += [f"Settings: {', '.join(f'`{name}`' for name in one.settings)}."] if one.settings else []
        lines += ["", f"### {one.title}: `{one.name}`"]
        for text in (first, rest, " ".join(facts)):
            lines += ["", *textwrap.wrap(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    """The page with the notes of today."""
    return page[: page.index(MARK) + len(MARK)] + notes()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    text = renewed(path.read_text("utf-8"))
    with atomic_write(path) as stream:
        stream.write(text)
