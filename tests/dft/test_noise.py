"""Noise of labels: repeats with finer settings beside them; time left; what a label of another structure does."""

import json
import shutil

import numpy as np
import pandas
import pytest
import yaml

from metalff.data import layout
from metalff.dft import noise
from metalff.dft.noise import finish
from metalff.dft.progress import seconds_left, table
from metalff.dft.queue import Queue, make, read_structures, write_structures
from metalff.dft.sets import frames_by_task, pack
from metalff.errors import MetalffError

PLAN = {
    "parts": [
        {
            "name": "dose",
            "metals": {"Al": {"potential": "Al/eam", "atoms": 8, "k_density": 4.0}},
            "frames": 4,
            "temperatures": [300.0],
            "smearing": [0.1, 0.5],
            "repeats": [{"name": "k+2", "more_k": 2, "frames": {0.1: 2}}, {"name": "ecut", "arguments": {"mode": {"ecut": 500}}, "frames": {0.5: 1}}],
        }
    ]
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    make(folder / "plan.yaml", folder / "queue")
    (folder / "queue" / "done").mkdir()
    return folder / "queue"


@pytest.fixture
def queue(made, tmp_path):
    shutil.copytree(made, tmp_path / "queue")
    return Queue(tmp_path / "queue")


def label(queue, task, error=0.0, energy=0.0):
    """As GPAW would have written it: forces of one structure, wrong by ``error`` in every component."""
    forces = np.random.default_rng(task.index).normal(size=(8, 3)) + error
    content = {"id": task.id, "energy": 8 * energy, "forces": forces.tolist(), "stress": np.eye(3).tolist(), "force_consistent": True}
    content |= {"cpu_s": 10.0, "tries": [], "versions": {"gpaw": "0"}, "details": {}}
    queue.done_file(task).write_text(json.dumps(content))


def test_noise_is_the_difference_to_the_repeats(queue):
    errors = {"dose-0.1eV": 0.01, "dose-0.5eV": -0.002}
    for task in queue.tasks:
        label(queue, task, errors.get(task.set, 0.0), 0.001 * task.index if task.set == "dose-0.1eV" else 0.0)
    assert noise.table(queue) == []  # nothing is in a set yet
    finish(queue)
    table = pandas.read_csv(queue.folder / "noise.csv").set_index(["set", "repeat"])
    assert table.loc[("dose-0.1eV", "k+2"), "force_rms_difference"] == pytest.approx(0.01, abs=1e-6)
    rows = {(row.set, row.repeat): row for row in noise.table(queue)}
    k, ecut = rows["dose-0.1eV", "k+2"], rows["dose-0.5eV", "ecut"]
    assert (k.frames, ecut.frames) == (2, 1) and len(rows) == 2
    assert k.rms == pytest.approx(0.01, abs=1e-7) and ecut.rms == pytest.approx(0.002, abs=1e-7)
    assert k.energy == pytest.approx(0.0005, abs=1e-9)  # 0 and 1 meV/atom, after their mean
    assert ecut.energy is None  # of one frame
    assert k.mesh == (5, 5, 7)
    text = "\n".join(noise.lines(list(rows.values())))
    assert "5×5×7" in text and "10.0 (10.0 to 10.0)" in text


def test_repeats_have_the_finer_settings_and_nothing_else(queue):
    sets = {task.set: queue.arguments[task.arguments] for task in queue.tasks}
    base, k, wide, ecut = (dict(sets[name]) for name in ("dose-0.1eV", "dose-0.1eV-k+2", "dose-0.5eV", "dose-0.5eV-ecut"))
    assert k.pop("kpts")["size"] == [7, 7, 9] and base.pop("kpts")["size"] == [5, 5, 7] and k == base
    assert ecut.pop("mode")["ecut"] == 500 and wide.pop("mode")["ecut"] == 300 and ecut == wide


def test_packing_again_changes_nothing_and_adds_what_is_new(queue, tmp_path):
    first, *others = [task for task in queue.tasks if task.set == "dose-0.1eV"]
    label(queue, others[0])
    pack(queue)
    label(queue, others[0])  # as if the process had been killed before it removed the file
    label(queue, first)
    pack(queue)
    entries = json.loads((tmp_path / "queue/sets/dose-0.1eV/manifest.json").read_text())
    assert sorted(sum((entry["tasks"] for entry in entries["files"].values()), [])) == sorted([first.id, others[0].id])
    assert pack(queue) == 0


def test_time_left(queue):
    for task in queue.tasks[:3]:
        label(queue, task)
    rows = table(queue)
    assert sum(row.done for row in rows) == 3
    assert seconds_left(rows, 2) == pytest.approx((len(queue.tasks) - 3) * 10.0 / 2)
    assert seconds_left([row for row in rows if not row.seconds], 1) is None


def test_label_of_another_size_is_put_aside(queue):
    task = queue.tasks[0]
    label(queue, task)
    content = json.loads(queue.done_file(task).read_text())
    content["forces"].pop()
    queue.done_file(task).write_text(json.dumps(content))
    with pytest.raises(MetalffError, match="is damaged; it was put aside"):
        pack(queue)
    assert not queue.is_done(task)


def packed_twice(queue):
    """Two labels of one file in their set."""
    tasks = [task for task in queue.tasks if task.set == "dose-0.1eV"][:2]
    for task in tasks:
        label(queue, task)
    pack(queue)
    return tasks, queue.folder / "sets/dose-0.1eV/Al_fcc_300.extxyz"


def test_set_that_lost_frames_is_not_written_over(queue):
    tasks, path = packed_twice(queue)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:10]))
    label(queue, tasks[0])
    with pytest.raises(MetalffError, match="lacks 1 labels that its manifest counts"):
        pack(queue)
    assert queue.done_file(tasks[0]).exists() and path.read_text() == "".join(lines[:10])
    path.write_text("".join(lines) * 2)
    with pytest.raises(MetalffError, match="4 frames name 2 tasks"):
        pack(queue)


def test_killed_between_a_file_and_its_manifest(queue, monkeypatch):
    tasks, path = packed_twice(queue)
    third = [task for task in queue.tasks if task.set == "dose-0.1eV"][2]
    label(queue, third)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(layout, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        pack(queue)
    assert len(frames_by_task(path)) == 3 and not queue.packed("dose-0.1eV").get(third.id)
    assert pack(queue) == 1 and not queue.done_file(third).exists()
    assert list(frames_by_task(path)) == [task.id for task in (*tasks, third)] == layout.manifest(path.parent)["files"][path.name]["tasks"]


def test_one_damaged_label_does_not_hold_up_the_others(queue):
    first, second = [task for task in queue.tasks if task.set == "dose-0.1eV"][:2]
    label(queue, first)
    queue.done_file(second).write_text("{}")
    with pytest.raises(MetalffError, match="is damaged; it was put aside"):
        pack(queue)
    assert first.id in queue.packed("dose-0.1eV") and not queue.is_done(second)


def test_structures_that_changed_are_noticed(queue):
    task = queue.tasks[0]
    label(queue, task)
    path = queue.folder / "structures" / f"{task.source}.extxyz"
    write_structures(path, read_structures(path)[::-1])
    with pytest.raises(MetalffError, match="has changed since the queue was made"):
        pack(Queue(queue.folder))
    write_structures(path, read_structures(path)[:2])
    with pytest.raises(MetalffError, match="has changed since the queue was made"):
        Queue(queue.folder).order_of(queue.tasks[-1])
