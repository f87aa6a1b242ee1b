"""Periodic tables: where cells are, what is drawn in them."""

import numpy as np
import pytest

from metalff.report.periodic_table import periodic_table, place


@pytest.mark.parametrize(
    "symbol, cell",
    [("H", (0, 0)), ("He", (0, 17)), ("B", (1, 12)), ("Ti", (3, 3)), ("La", (7, 2)), ("Lu", (5, 2)), ("Hf", (5, 3)), ("Ba", (5, 1)), ("Rn", (5, 17))],
)
def test_places(symbol, cell):
    assert place(symbol) == cell


def test_no_two_elements_share_a_cell():
    from ase.data import chemical_symbols

    cells = [place(symbol) for symbol in chemical_symbols[1:87]]
    assert len(set(cells)) == 86


def test_values_are_written_and_missing_ones_are_not():
    figure = periodic_table({"Cu": 1.5, "Ti": 3.0, "W": np.nan}, "ratio", log=True, fmt="{:.1f}", below={"Ti": "2.8–3.2"}, centre=1.0)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"1.5", "3.0", "2.8–3.2"} <= set(words) and "nan" not in words
    colours = {str(patch.get_facecolor()) for patch in figure.axes[0].patches}
    assert len(colours) == 3  # two values and the empty cell
