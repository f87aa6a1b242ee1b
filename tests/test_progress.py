"""Lines of long work where there is no terminal; time left."""

import pytest

from metalff import progress
from metalff.progress import EVERY, FIRST, Bar, Pace
from metalff.sweep.progress import SweepProgress


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_a_line_a_minute(clock, capsys):
    with Bar() as bar:
        for second in range(0, 201):
            bar.update(f"second {second}", second, 200, 200 - second)
            clock(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{second / 2:.0f}% done, {progress.clock(200 - second)} left: second {second}" for second in range(int(FIRST), 201, int(EVERY))]


def test_the_first_epoch_need_not_wait(clock, capsys):
    with Bar() as bar:
        for epoch in range(1, 5):
            clock(0.4 * EVERY)
            bar.update(f"epoch {epoch}", epoch, 100, None, due=True)
    assert capsys.readouterr().err.splitlines() == ["1% done: epoch 1", "4% done: epoch 4"]


def test_text_of_users_is_no_markup(clock, capsys):
    with Bar() as bar:
        bar.update("[red]Cu[/red] [3]", 0, None, None, due=True)
        bar.line("[bold]")
    assert capsys.readouterr().err.splitlines() == ["[red]Cu[/red] [3]", "[bold]"]


def test_pace_of_what_goes_on_from_the_middle(clock):
    pace = Pace()
    assert pace.left(0.5) is None
    clock(30)
    assert pace.left(0.5) is None and pace.left(0.75) == pytest.approx(30)


class Folder:
    """Of a job that takes 1000 steps."""

    class job:
        id = "Cu-eam-300K"
        kind, steps, atoms = "md", 1000, 100

        class potential:
            name = "Cu/eam"

    def step(self):
        return 250

    def record(self):
        return {"status": "running"}


class Item:
    folder, first_step, started = Folder(), 0, 970.0


def test_lines_of_a_sweep(clock, capsys):
    with SweepProgress([Item.folder], 1) as shown:
        for _ in range(4):
            shown.update([Item])
            clock(0.9 * EVERY)
        shown.finished(Item.folder, {"atom_steps_per_s": 0, "unstable": ""})
    early, late, end = capsys.readouterr().err.splitlines()
    assert early == "25% done, 0:04:12 left: Cu-eam-300K 25%" and late == "25% done, 0:09:36 left: Cu-eam-300K 25%"
    assert end == "Cu-eam-300K: finished"
