"""The page on training has the keys of today."""

from pathlib import Path

from metalff.train.configuration import FAMILIES
from metalff.train.keys import renewed, tables

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_page_is_up_to_date():
    page = PAGE.read_text("utf-8")
    assert page == renewed(page), "run: python -m metalff.train.keys docs/training.md"


def test_every_key_is_described():
    rows = [line.split("|") for line in tables().splitlines() if line.startswith("| `")]
    assert all(row[3].strip() for row in rows), [row for row in rows if not row[3].strip()]
    keys = {row[1].strip(" `") for row in rows}
    assert keys == {key for family in FAMILIES.values() for key in family.schema.model_fields}
