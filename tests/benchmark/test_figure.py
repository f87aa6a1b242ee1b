"""The Pareto front, and a picture in which every model can be read."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text

from metalff import data
from metalff.benchmark.figure import STYLES, short_name, trade_off
from metalff.benchmark.plan import models
from metalff.benchmark.table import Row, csv_rows, extras, front, markdown
from metalff.data.published import SOURCE, published
from metalff.report.axes import spread

FAMILIES = ("nep", "mace", "poly", "poly", "poly", "poly", "mtp", "deepmd", "snap", "qsnap", "eam", "allegro")


@pytest.fixture(scope="module")
def copper():
    return data.read("zuo2020-Cu:test")


@pytest.fixture(scope="module")
def rows(copper):
    """Twelve models, some of them close to others, by hand: a picture needs numbers alone."""
    (eam,) = models(["Cu/eam"])
    rng = np.random.default_rng(5)
    made = []
    for number, family in enumerate(FAMILIES):
        x, y = 10 ** rng.uniform(0.3, 1.3), 10 ** rng.uniform(-2.0, -1.2)
        potential = replace(eam.potential, name=f"Cu-{family}-{number}")
        force = {"value": y, "low": 0.9 * y, "high": 1.1 * y}
        made.append(Row(copper, replace(eam, potential=potential, family=family), "Cu", {"overall": {"force_rmse": force}}, {"µs/atom": x}, {}))
    return made


def point(row, x, y):
    return replace(row, speed={"µs/atom": x}, accuracy={"overall": {"force_rmse": {"value": y, "low": None, "high": None}}})


def test_front(rows, copper):
    one = rows[0]
    table = [point(one, *at) for at in ((5, 0.3), (1, 0.5), (2, 0.5), (9, 0.3), (2, 0.4), (20, 0.1), (3, 0.45))]
    table += [replace(one, speed={}), replace(one, accuracy={"error": "no"})]
    assert [row.point for row in front(table, copper)] == [(1, 0.5), (2, 0.4), (5, 0.3), (20, 0.1)]
    assert front([], copper) == []
    for row, other in combinations(front(rows, copper), 2):
        assert row.point[0] < other.point[0] and row.point[1] > other.point[1]
    beaten = [row for row in rows if row not in front(rows, copper)]
    assert all(any(best.point[0] <= row.point[0] and best.point[1] <= row.point[1] for best in front(rows, copper)) for row in beaten)


def test_front_in_the_tables(rows, copper):
    assert [line["model"] for line in csv_rows(rows) if line["pareto"]] == [r.model.name for r in rows if r in front(rows, copper)]
    titles = {title: lines for title, lines, _ in extras(rows, [copper])}
    assert [line[1] for line in titles["Pareto front"][1:]] == [row.model.name for row in front(rows, copper)]


def test_names_cover_neither_each_other_nor_a_marker(rows, copper):
    figure = trade_off(rows, [copper])
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    named = {text.get_text(): text for text in axes.texts}
    boxes = {short_name(row): named[short_name(row)].get_window_extent(renderer) for row in rows}
    assert len(boxes) == len(rows)
    for a, b in combinations(boxes.values(), 2):
        assert not a.overlaps(b)
    points = axes.transData.transform([row.point for row in rows])
    for box in boxes.values():
        assert not any(box.contains(*at) for at in points)
        assert axes.get_window_extent(renderer).contains(box.x0, box.y0) and axes.get_window_extent(renderer).contains(box.x1, box.y1)


def test_published_lines_are_named_and_in_order(rows, copper):
    figure = trade_off(rows, [copper])
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    others = [other for other in published(copper.sha256) if low <= other.force_rmse <= high]
    assert len(others) > 4
    named = {text.get_text(): text for text in axes.texts}
    heights = [Text.get_window_extent(named[other.label], figure.canvas.get_renderer()) for other in others]  # without the line that leads to it
    for below, above in zip(heights, heights[1:]):
        assert above.y0 >= below.y1 - 1
    dotted = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    assert {other.force_rmse for other in others} <= dotted
    assert SOURCE in [text.get_text() for text in figure.legends[0].get_texts()]


def test_published_errors_are_no_rows(rows, copper):
    """They have a table of their own, below, under their source."""
    text = markdown(rows, [copper], [])
    live, _, elsewhere = text.partition("**Published predictions, JARVIS leaderboard**")
    assert "SevenNet" not in live and "| SevenNet | 0.1573 (17.9 %) |" in elsewhere and "not measured here" in elsewhere
    assert not any("SevenNet" in line["model"] for line in csv_rows(rows))
    assert all(not title.startswith("Published") for title, _, _ in extras(rows, [data.read("li2020-W:test")]))


def test_every_family_has_a_look_of_its_own():
    assert len({colour for colour, _ in STYLES.values()}) == len({marker for _, marker in STYLES.values()}) == len(STYLES)


@pytest.mark.parametrize(
    "values, found",
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.1, 0.5], [0.1, 0.5]),
        ([0.50, 0.52], [0.46, 0.56]),
        ([0.2, 0.5, 0.5, 0.5], [0.2, 0.4, 0.5, 0.6]),
        ([0.45, 0.5, 0.5], [0.3833, 0.4833, 0.5833]),
    ],
)
def test_spread(values, found):
    assert spread(values, 0.1) == pytest.approx(found, abs=1e-4)
