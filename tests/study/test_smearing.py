"""The smearing dose: labels of a queue that are easier to learn at one width, folds by runs, what is not finished yet."""

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from label_queues import TINY, labelled_queue
from metalff.cli import build_app
from metalff.dft import queue as queues
from metalff.errors import MetalffError
from metalff.study import folds, models, smearing


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smearing")
    queue = labelled_queue(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smearing, "settings", lambda symbol, family: TINY)
        result = metalff("study", "smearing", queue, "--family", "poly", "--out", folder / "out", "--jobs", "2")
    assert result.exit_code == 0, (result.output, result.exception)
    return queue, folder / "out", result.output


def test_labels_without_noise_are_learnt_better(studied):
    _, out, said = studied
    lines = (out / "smearing.csv").read_text().splitlines()
    hot = dict(zip(lines[0].split(","), lines[2].split(",")))
    cold = dict(zip(lines[0].split(","), lines[1].split(",")))
    assert (cold["width"], hot["width"]) == ("0.1", "0.5") and cold["frames"] == hot["frames"] == "26"
    assert float(hot["ratio_high"]) < 1
    # nobody can learn the noise that was put in; what was learnt of it makes errors, too
    assert float(cold["force_rmse"]) ** 2 - float(hot["force_rmse"]) ** 2 > 0.8 * 0.05**2
    assert "the force RMSE falls for 1 of 1 metals (Cu)" in said and "can be judged today: Cu" in said
    assert "the force RMSE falls for 1 of 1" in (out / "outcome.md").read_text() and (out / "smearing.png").stat().st_size > 10_000


def test_folds_have_the_same_structures_at_every_width_and_each_frame_once(studied):
    queue, out, _ = studied
    (metal,) = smearing.labelled(queue)
    from metalff.data import read

    whole = []
    for k in range(smearing.FOLDS):
        parts = [read(str(out / "data" / f"Cu-{width:g}eV" / f"fold-{k}-test.extxyz")) for width in (0.1, 0.5)]
        assert [np.array_equal(a.positions, b.positions) for a, b in zip(*parts)] == [True] * len(parts[0])
        train = read(str(out / "data" / "Cu-0.1eV" / f"fold-{k}-train.extxyz"))
        assert len(train) + len(parts[0]) == metal.count
        whole += [frame.energy for frame in parts[0]]
    assert len(set(whole)) == len(whole) == metal.count


def test_whole_runs_are_dealt_out():
    blocks = [[0, 1], [2], [3, 4, 5], [6]]
    assert folds.deal(blocks, 2) == [[0, 1, 3, 4, 5], [2, 6]]
    with pytest.raises(MetalffError, match="too few for 5 folds"):
        folds.deal(blocks, 5)


def test_what_is_not_finished_is_said(tmp_path):
    queue = labelled_queue(tmp_path, done=7)
    result = metalff("study", "smearing", queue, "--family", "poly", "--out", tmp_path / "out")
    assert result.exit_code != 0 and "no metal has 24 structures with labels at every width" in str(result.exception)
    assert "can be judged today: none; labels at every width: Cu 7 of 26" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--family", "deepmd"], "no small model of it"),
        (["--elements", "Ti"], "Ti has no labels at several widths"),
        (["--seeds", "x"], "--seeds x"),
    ],
)
def test_bad_input(studied, tmp_path, words, sentence):
    queue, _, _ = studied
    result = metalff("study", "smearing", queue, "--out", tmp_path / "out", *words)
    assert result.exit_code != 0 and sentence in str(result.exception) and not (tmp_path / "out").exists()


def test_a_queue_of_one_width_is_refused(tmp_path):
    atoms = bulk("Cu", cubic=True)
    write(tmp_path / "cu.extxyz", [atoms], format="extxyz")
    plan = {"out": str(tmp_path / "queue"), "parts": [{"name": "one", "structures": str(tmp_path / "cu.extxyz"), "smearing": [0.1]}]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    queues.make(tmp_path / "plan.yaml")
    with pytest.raises(MetalffError, match="no part of its plan lists several widths"):
        smearing.labelled(tmp_path / "queue")
    assert [metal.count for metal in smearing.labelled(tmp_path / "queue", several=False)] == [0]


def test_the_small_models_are_valid_configurations():
    from metalff.train.configuration import configuration

    for family in models.FAMILIES:
        for symbol in ("Cs", "Be", "W"):
            configuration(family, {"elements": [symbol]} | models.settings(symbol, family))
