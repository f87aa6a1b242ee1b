"""The keys of every family's configuration as the tables of ``docs/training.md``: ``python -m metalff.train.keys docs/training.md``."""

import re
import sys
import textwrap
from pathlib import Path

from metalff.paths import atomic_write
from metalff.train import training
from metalff.train.configuration import CUTOFF_POWERS, FAMILIES, R_MIN_SHARE, ZBL_REACH, Training

MARKS = "<!-- keys: python -m metalff.train.keys docs/training.md -->\n", "<!-- end of keys -->\n"
VALUES = {"FREE_ATOM_LIMIT": f"{training.FREE_ATOM_LIMIT:g} eV in magnitude", "STRESS_WEIGHT": f"{training.STRESS_WEIGHT:g}"}
VALUES |= {"ZBL_REACH": f"{ZBL_REACH:g}", "R_MIN_SHARE": f"{R_MIN_SHARE:g}", "CUTOFF_POWERS": ", ".join(map(str, CUTOFF_POWERS))}
"""Constants that descriptions name."""


def tables() -> str:
    """Key, default and meaning: what all families have, then what each adds or changes, with its sizes; in Markdown."""
    lines = ["### Keys of all families", "", *_table(Training.model_fields)]
    for family in FAMILIES.values():
        inherited = Training.model_fields
        own = {
            key: field
            for key, field in family.schema.model_fields.items()
            if key not in getattr(family.schema, "UNUSED", ())
            and (key not in inherited or (field.default, field.description) != (inherited[key].default, inherited[key].description))
        }
        lines += ["", f"### {family.title}", "", *_table(own, inherited)]
        sizes = [f"`{name}`: {_settings(changes)}" for name, changes in family.sizes.items() if changes]
        lines += ["", *textwrap.wrap(f"Sizes: {'; '.join(sizes)}.", 100, break_on_hyphens=False)] if sizes else []
    return "\n".join(lines) + "\n"


def _table(fields, inherited=None) -> list[str]:
    rows = ["| key | default | |", "|---|---|---|"]
    for key, field in fields.items():
        default = "required" if field.is_required() else f"`{_text(field.default)}`"
        words = field.description or (inherited or {}).get(key, field).description or ""
        meaning = re.sub(r"``([^`]*)``", r"`\1`", " ".join(words.split())).replace("|", "\\|")
        for name, value in VALUES.items():
            meaning = meaning.replace(f"`{name}`", value)
        rows.append(f"| `{key}` | {default} | {meaning} |")
    return rows


def _settings(changes: dict) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in changes.items())


def _text(value) -> str:
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, (list, tuple)) else f"{value:g}" if isinstance(value, float) else str(value)


def renewed(page: str) -> str:
    """The page with the tables of today between the two marks."""
    start, end = page.index(MARKS[0]) + len(MARKS[0]), page.index(MARKS[1])
    return f"{page[:start]}\n{tables()}\n{page[end:]}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    text = renewed(file.read_text("utf-8"))
    with atomic_write(file) as stream:
        stream.write(text)
