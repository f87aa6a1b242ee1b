"""Names beside the ends of curves."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from metalff.report.axes import ends


@pytest.mark.parametrize("x", [None, 2.0])
def test_names_at_the_right_end_do_not_cover_each_other(x):
    figure = Figure(figsize=(4, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    named = [("Cu", 1.0), ("Ni", 1.001), ("W", 1.002), ("Nb", 5.0)]
    for _, y in named:
        axes.plot([1.0, 2.0], [1.0, y])
    axes.set(yscale="log")
    figure.draw_without_rendering()
    ends(axes, named, "black", x)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # of the letters alone, without the leading line
    assert [text.get_text() for text in axes.texts] == [name for name, _ in named]
    assert not any(one.overlaps(two) for one, two in pairwise(boxes))
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)
