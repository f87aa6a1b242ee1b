"""``metalff benchmark``: its numbers are those of the parts, it resumes, models that fail are results, bad input."""

import csv
import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from metalff import data
from metalff.artifact import read_manifest
from metalff.benchmark import run as running
from metalff.benchmark.plan import FRACTIONS, Model, Settings, Task, models, seen_in_training, tasks
from metalff.benchmark.progress import Cost
from metalff.benchmark.run import Runner
from metalff.benchmark.table import Row, notes, short
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.validate.compare import compare
from sweep.conftest import kill_all

from .conftest import QUICK, benchmark, random_nep


def results(document, **wanted):
    return [r for r in document["results"].values() if all(r.get(key) == value for key, value in wanted.items())]


def test_accuracy_is_that_of_validate(done, folder):
    _, _, document = done
    assert len(results(document, part="accuracy")) == 3 * 2
    reference = data.read(folder / "warm.extxyz")
    (eam,) = compare([resolve("Cu/eam", ["Cu"])], reference)
    (found,) = results(document, part="accuracy", model="Cu/eam", data=reference.name)
    assert found["overall"]["force_rmse"]["value"] == pytest.approx(eam.overall.force_rmse.value)
    assert found["overall"]["energy_rmse_offset"]["value"] < found["overall"]["energy_rmse"]["value"]
    assert found["energy_offset"] == pytest.approx(eam.energy_offset)
    assert set(found["by_temperature"]) == {"300", "3000"}
    assert found["overall"]["force_rmse"]["low"] < found["overall"]["force_rmse"]["value"]


def test_speed_once_for_a_crystal(done):
    _, _, document = done
    speeds = results(document, part="speed")
    assert sorted(r["model"] for r in speeds) == ["Cu-mace", "Cu/eam", "random"]
    for result in speeds:
        assert result["atoms"] == 32 and result["MB"] > 10
        assert 0 < result["µs/atom"] <= 1.02 * result["wall µs/atom"]
    by_model = {r["model"]: r["µs/atom"] for r in speeds}
    assert by_model["Cu/eam"] < by_model["Cu-mace"]


def test_a_model_that_explodes_is_a_result(done):
    _, output, document = done
    assert len(results(document, part="stability")) == 3 * len(FRACTIONS)
    for result in results(document, part="stability"):
        assert result["temperature"] == pytest.approx(result["fraction"] * 1358)
        if result["model"] == "random":
            assert 0 < result["ps"] < 0.1 and "the temperature reached" in result["failure"]
        else:
            assert result["ps"] == 0.1 and result["failure"] == "" and result["over"]
    assert "random on Cu at 0.5 Tm: the temperature reached" in output


def test_the_table(done, folder, bundled_model):
    _, output, document = done
    with open(folder / "out" / "benchmark.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["data"], r["model"]) for r in rows] == [(d, m) for d in ("warm.extxyz", "strained.extxyz") for m in ("Cu-mace", "random", "Cu/eam")]
    eam = rows[2]
    (accuracy,) = results(document, part="accuracy", model="Cu/eam", data="warm.extxyz")
    assert float(eam["force_rmse"]) == accuracy["overall"]["force_rmse"]["value"]
    assert float(eam["force_rmse_3000K"]) == accuracy["by_temperature"]["3000"]["force_rmse"]["value"]
    assert float(eam["stable_ps_1Tm"]) == 0.1 and eam["failure_1Tm"] == "" and rows[1]["failure_1.2Tm"]
    trained = read_manifest(bundled_model).training
    core_s = trained.elapsed_s * trained.config["training"]["threads"]
    assert core_s > 60 and float(rows[0]["training_core_s"]) == pytest.approx(core_s) and eam["training_core_s"] == ""
    assert float(rows[0]["file_MB"]) == pytest.approx(bundled_model.stat().st_size / 1e6, abs=0.01)
    assert rows[3]["force_rmse_300K"] == ""  # strained: no temperature
    lines = (folder / "out" / "benchmark.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    table = table[: 2 + 2 + 6]
    assert len({line.count("|") for line in table}) == 1 and all(line in "\n".join(lines[:12]) for line in table)
    assert "| **warm.extxyz** | **5 frames** |  |  |  | **300 K** | **3000 K** |" in "\n".join(table)
    for word in ("Cu-mace", ">0.1", "300 K", "5 frames", "warm", short(float(eam["us_per_atom_step"]))):
        assert word in output
    for name in ("benchmark.png", "temperatures.png"):
        assert (folder / "out" / name).stat().st_size > 10_000
    assert not any((folder / "out" / "md").iterdir())


def test_errors_by_group(done, folder):
    """Of every model on every set, with the shares of the squared error, in ``groups.csv``, in ``benchmark.md`` and on the terminal."""
    _, output, document = done
    with open(folder / "out" / "groups.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    warm = [line for line in lines if (line["data"], line["model"]) == ("warm.extxyz", "Cu/eam")]
    assert [line["group"] for line in warm] == ["aimd", "aimd 300 K", "aimd 3000 K"] and [line["frames"] for line in warm] == ["5", "2", "3"]
    (accuracy,) = results(document, part="accuracy", model="Cu/eam", data="warm.extxyz")
    assert float(warm[2]["force_rmse"]) == pytest.approx(accuracy["by_temperature"]["3000"]["force_rmse"]["value"])
    assert sum(float(line["share"]) for line in warm[1:]) == pytest.approx(1) == float(warm[0]["share"])
    strained = [line for line in lines if line["data"] == "strained.extxyz"]
    assert len(strained) == 3 and all(line["normalised"] == "" for line in strained)
    written = (folder / "out" / "benchmark.md").read_text()
    for text in (written, output):
        assert "warm.extxyz by group" in text and f"{float(warm[2]['force_rmse']):.4f} ({100 * float(warm[2]['share']):.0f} %)" in text
        assert "No RMSE / RMS force for strain: symmetry makes the forces there vanish" in text
    assert not (folder / "out" / "published.csv").exists(), "nothing was published on these frames"


def test_accuracy_of_an_older_metalff_is_measured_again(folder, tmp_path):
    """It knew no groups; what else is there stands."""
    words = ("Cu/eam", "--data", folder / "strained.extxyz", "--parts", "accuracy", "--out", tmp_path / "b")
    assert benchmark(*words).exit_code == 0
    path = tmp_path / "b" / "benchmark.json"
    document = json.loads(path.read_text())
    (result,) = document["results"].values()
    groups = result.pop("groups")
    path.write_text(json.dumps(document))
    assert benchmark(*words).exit_code == 0
    (again,) = json.loads(path.read_text())["results"].values()
    assert again["groups"] == groups


def test_nothing_is_measured_twice(done, folder, monkeypatch):
    words, _, document = done
    asked = []

    def refuse(self, task, step):
        asked.append(task.title)
        raise MetalffError("not now")

    for part in ("accuracy", "speed", "stability"):
        monkeypatch.setattr(Runner, part, refuse)
    again = benchmark(*words, "--json")
    assert again.exit_code == 0 and asked == []
    given = json.loads(again.stdout)
    assert given["complete"] and len(given["rows"]) == len((folder / "out" / "benchmark.csv").read_text().splitlines()) - 1
    assert json.loads((folder / "out" / "benchmark.json").read_text())["results"] == document["results"]

    # a further model: it alone is measured, what fails to run is said, and tried again
    more = (*words[:3], "Cu/qsnap", *words[3:], "--parts", "accuracy")
    for _ in range(2):
        asked.clear()
        outcome = benchmark(*more)
        assert outcome.exit_code != 0 and "something could not be measured" in str(outcome.exception)
        assert asked == ["accuracy of Cu/qsnap, warm.extxyz", "accuracy of Cu/qsnap, strained.extxyz"]
        assert "Cu/qsnap, accuracy on warm.extxyz: not now" in outcome.output and "fails" in outcome.output


def test_killed_and_started_again(folder):
    """SIGKILL within a stability run: the next start goes on from its restart file and does not repeat what is done."""
    out = folder / "killed"
    words = ["Cu/eam", "--data", str(folder / "warm.extxyz"), "--parts", "accuracy,stability", "--md-time", "16ps", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "metalff.cli", "benchmark", *words], start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(out.glob("md/*/stability.restart.b")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    kill_all(process)
    before = json.loads((out / "benchmark.json").read_text())["results"]
    assert [r["part"] for r in before.values()][0] == "accuracy"
    (under_way,) = out.glob("md/*")
    outcome = benchmark(*words)
    assert outcome.exit_code == 0, outcome.exception
    after = json.loads((out / "benchmark.json").read_text())["results"]
    assert len(after) == 4 and before.items() <= after.items() and not under_way.exists()
    runs = [r for r in after.values() if r["part"] == "stability"]
    assert all(r["ps"] == 16 and r["steps"] == 8000 for r in runs)
    assert sorted(r["starts"] for r in runs) == [1, 1, 2]


def test_what_cannot_be_opened(folder, tmp_path, monkeypatch):
    """A file that is no model inside stops neither the others nor the table."""
    monkeypatch.setattr(running, "SECONDS", 0.05)
    random_nep(tmp_path / "broken.mlff", text=b"nep4 1 Cu\ncutoff 6 4 100 100\nn_max 4\n")
    outcome = benchmark(tmp_path / "broken.mlff", "Cu/eam", "--data", folder / "warm.extxyz", *QUICK, "--out", tmp_path / "out")
    assert outcome.exit_code != 0 and "something could not be measured" in str(outcome.exception)
    document = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert all("native/nep.txt" in r["error"] for r in results(document, model="broken")) and results(document, model="broken")
    assert not any("error" in r for r in results(document, model="Cu/eam"))
    assert "fails" in (tmp_path / "out" / "benchmark.md").read_text()


def test_models_run_where_their_elements_are(bundled_model, folder, tmp_path):
    """A model of several elements joins every data set, and has a speed and three runs for each crystal."""
    universal = random_nep(tmp_path / "universal.mlff", ("Cu", "Mo", "Li"))
    chosen = models([universal, bundled_model, "Cu/eam"])
    copper, molybdenum = data.read("zuo2020-Cu:test"), data.read("zuo2020-Mo:test")
    found = tasks(chosen, [copper, molybdenum], ["stability", "accuracy", "speed"])
    assert [task.part for task in found] == ["speed"] * 4 + ["accuracy"] * 4 + ["stability"] * 12
    assert [(t.model.name, t.element) for t in found[:4]] == [
        ("universal", "Cu"),
        ("Cu-mace", "Cu"),
        ("Cu/eam", "Cu"),
        ("universal", "Mo"),
    ]
    assert len({task.key("here") for task in found}) == 20
    with pytest.raises(MetalffError, match=r"no model has all elements of zuo2020-Ni:test \(Ni\); add one"):
        tasks(chosen, [copper, data.read("zuo2020-Ni:test")], ["accuracy"])


def test_without_a_pair_style(folder):
    """A model that runs in its own framework alone: accuracy, and a sentence."""
    eam = resolve("Cu/eam")
    model = Model("chgnet", replace(eam, name="chgnet", kind="universal", pair_style=""), "universal", {})
    copper = data.read("zuo2020-Cu:test")
    assert [task.part for task in tasks([model], [copper], ["speed", "accuracy", "stability"])] == ["accuracy"]
    row = Row(copper, model, "Cu", {}, {}, {})
    assert "chgnet has no pair style of LAMMPS, so only its accuracy is measured." in notes([row], [model], [copper], Settings())


def test_frames_seen_in_training(bundled_model):
    mace, eam = models([bundled_model, "Cu/eam"])
    assert seen_in_training(mace, data.read("zuo2020-Cu:train")) == 262
    assert seen_in_training(mace, data.read("zuo2020-Cu")) == 262
    assert seen_in_training(mace, data.read("zuo2020-Cu:test")) == 0
    assert seen_in_training(eam, data.read("zuo2020-Cu:test")) is None


def test_time_left():
    """From speeds: of a model that is not timed yet, the mean of the others; a limit bounds a run."""
    chosen, copper = models(["Cu/eam", "Cu/qsnap"]), data.read("zuo2020-Cu:test")
    todo = tasks(chosen, [copper], ["speed", "stability"])

    class Known:
        def __init__(self, speeds):
            self.speeds = speeds

        def result(self, task):
            return {"µs/atom": self.speeds[task.model.name]} if task.model.name in self.speeds else {}

    run = next(task for task in todo if task.part == "stability" and task.model.name == "Cu/qsnap")
    assert Cost(Known({}), todo, Settings(), None).of([run]) is None
    assert Cost(Known({"Cu/eam": 100.0}), todo, Settings(ps=20), None).of([run]) == pytest.approx(1 + 10000 * 128 * 1e-4)
    both = Cost(Known({"Cu/eam": 100.0, "Cu/qsnap": 200.0}), todo, Settings(ps=20), 60.0)
    assert both.of([run]) == pytest.approx(61) and both.of([run, run]) == pytest.approx(122)
    assert both.of([Task("speed", run.model, element="Cu")]) == pytest.approx(10)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--parts", "accuracy,sped"), 'there is no part sped (did you mean "speed"?)'),
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--parts", ","), "--parts names no part"),
        (("Cu/eam", "--data", "zuo2020-Mo:test"), "no model has all elements of zuo2020-Mo:test (Mo)"),
        (("/nowhere/a.mlff", "--data", "zuo2020-Cu:test"), "'/nowhere/a.mlff' does not exist"),
        (("Cu/eem", "--data", "zuo2020-Cu:test"), "no potential Cu/eem"),
        (("Cu/eam", "Cu/eam", "--data", "zuo2020-Cu:test"), "two of the models are called Cu/eam"),
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--data", "zuo2020-Cu:test"), "two of the data sets are called zuo2020-Cu:test"),
        (("Cu/eam", "--data", "nowhere.xyz"), "nowhere.xyz is neither a file nor a bundled set"),
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--md-time", "20"), "--md-time '20' is no length of a run"),
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--md-time", "0ps"), "--md-time '0ps' is no length of a run"),
        (("Cu/eam", "--data", "zuo2020-Cu:test", "--limit", "soon"), "'soon' is not a duration"),
    ],
)
def test_bad_input(words, sentence, tmp_path):
    outcome = benchmark(*words, "--out", tmp_path / "b")
    assert outcome.exit_code != 0
    assert isinstance(outcome.exception, MetalffError) and sentence in str(outcome.exception)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "change, sentence",
    [
        (("--seed", 7), "holds another benchmark (--seed 12345); choose another --out"),
        (("--md-time", "0.2ps"), "holds another benchmark (--md-time 0.1ps)"),
        (("--atoms", 64), "holds another benchmark (--atoms 32)"),
    ],
)
def test_the_folder_of_another_benchmark(done, change, sentence):
    words, _, document = done
    outcome = benchmark(*words, *change)
    assert isinstance(outcome.exception, MetalffError) and sentence in str(outcome.exception)


def test_folders_that_hold_something_else(folder, tmp_path):
    words = ("Cu/eam", "--data", folder / "warm.extxyz", "--parts", "accuracy", "--out", tmp_path)
    (tmp_path / "letter.txt").write_text("dear")
    assert "is not empty and holds no benchmark" in str(benchmark(*words).exception)
    (tmp_path / "benchmark.json").write_text('{"schema": 1')
    assert "is damaged or no record of a benchmark" in str(benchmark(*words).exception)
    (tmp_path / "benchmark.json").write_text('{"schema": 99, "settings": {}, "results": {}}')
    assert "has schema 99" in str(benchmark(*words).exception)
    assert "is not a folder" in str(benchmark(*words[:-1], tmp_path / "letter.txt").exception)
    assert {path.name for path in tmp_path.iterdir()} == {"letter.txt", "benchmark.json"}
