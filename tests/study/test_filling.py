"""The study of fillings: shared fits are those of single trainings, tables by hand-made numbers, the command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.data import layout
from metalff.errors import MetalffError
from metalff.study import filling, together
from metalff.study import filling_outcome as outcome
from metalff.study.trial import Trial, run
from metalff.synth import tight_binding


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def drawn(symbol, mover, atoms, count, temperatures=None, strains=(), seed=1, progress=None):
    """In the place of molecular dynamics: four rattled atoms at two temperatures."""
    found = []
    for k in range(count):
        cell = bulk("Pd", "fcc", 3.95, cubic=True)
        cell.rattle(0.1 + 0.05 * (k % 2), seed=100 * seed + k)
        cell.info = {"temperature": (300.0, 900.0)[k % 2], "strain": 0.0, "run": k % 2}
        found.append(cell)
    return found


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A small study of palladium, run by the command twice."""
    out = tmp_path_factory.mktemp("filling") / "out"
    words = ["study", "filling", "--elements", "Pd", "--filling", "4,8", "--kT", "0.1,0.5", "--frames", 24, "--seeds", "1", "--jobs", 1, "--out", out]
    with pytest.MonkeyPatch.context() as smaller:
        smaller.setattr(filling, "draw", drawn)
        for name, value in {
            "K_DENSITY": 1.5,
            "DEGREES": ([6, 5], [8, 6]),
            "MAIN": 1,
            "NEP_FILLINGS": (),
            "SURFACE_MESH": 8,
            "PATH_MESHES": (6, 4),
            "PATHS": ("thermal",),
            "CAPACITY_FILLINGS": (4.0,),
        }.items():
            smaller.setattr(filling, name, value)
        smaller.setattr(filling, "LEARNT_EAM", ("poly",))
        first = metalff(*words)
        assert first.exit_code == 0, (first.output, first.exception)
        before = json.loads((out / "results.json").read_text())
        monkey = {"labels": tight_binding.DBand.labels}
        smaller.setattr(tight_binding.DBand, "labels", lambda *_: pytest.fail("labelled again"))
        second = metalff(*words)
        assert second.exit_code == 0, (second.output, second.exception)
        smaller.setattr(tight_binding.DBand, "labels", monkey["labels"])
    return out, before


def table(out, name):
    with (out / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_tables_of_every_dose(studied):
    out, before = studied
    assert json.loads((out / "results.json").read_text())["trials"] == before["trials"]
    doses = table(out, "doses")
    assert [(r["kT"], r["filling"]) for r in doses] == [("0.1", "4"), ("0.1", "8"), ("0.5", "4"), ("0.5", "8")]
    for row in doses:
        assert 0 < float(row["force_rmse_low"]) <= float(row["force_rmse"]) <= float(row["force_rmse_high"])
        assert float(row["normalised"]) == pytest.approx(float(row["force_rmse"]) / float(row["force_rms"]), rel=1e-4)
        assert float(row["mesh_share"]) == pytest.approx(float(row["mesh_error"]) / float(row["force_rmse"]), rel=1e-4)
    cold = [r for r in table(out, "temperatures") if r["temperature"] == "300"]
    assert len(cold) == 4 and [float(r["force_rmse_ratio"]) for r in cold if r["kT"] == "0.1"] == [1.0, 1.0]
    assert len(table(out, "effect")) == 2 and len(table(out, "mesh")) == len(table(out, "indicators")) == 4
    assert {r["section"] for r in table(out, "curves")} == {"capacity", "frames"}
    assert {p.name for p in out.glob("*.png")} == {"fillings.png", "effect.png", "capacity.png", "frames.png", "indicators.png"}


def test_the_same_structures_for_all_labels(studied):
    out, _ = studied
    folders = sorted((out / "data" / "Pd" / "train-24").iterdir())
    assert len(folders) == 5
    sets = [layout.read_folder(folder) for folder in folders]
    for other in sets[1:]:
        assert not np.allclose(other.frames[0].forces, sets[0].frames[0].forces)
        for a, b in zip(sets[0], other, strict=True):
            np.testing.assert_array_equal(a.positions, b.positions)
    train = {f.positions.tobytes() for f in sets[0]}
    assert not train & {f.positions.tobytes() for f in layout.read_folder(out / "data" / "Pd" / "test-12" / folders[0].name)}


def test_a_finer_mesh_errs_less(studied):
    for row in table(studied[0], "mesh"):
        if row["kT"] == "0.5":
            assert float(row["mesh_error"]) < float(row["mesh_error_coarser"])


def test_fits_together_are_those_of_single_trainings(studied, tmp_path):
    out, before = studied
    settings = {"r_max": 6.0, "cutoff_power": 4, "degree": [8.0, 6.0]}
    files = [tuple(str(out / "data" / "Pd" / part / f"Pd-tb-filling{f}-kT0.1-k1.5") for part in ("train-24", "test-12")) for f in (4, 8)]
    trials = [Trial("poly", settings, (train,), (test,), 1, 16) for train, test in files]
    found = {}
    (group,) = together.groups(trials)
    together.fitted(group, tmp_path, lambda trial, row: found.update({trial.key: row}))
    single = run(trials[1], tmp_path / "single")
    both = found[trials[1].key]
    assert both["test"]["all"]["force_rmse"] == pytest.approx(single["test"]["all"]["force_rmse"], rel=1e-6)
    assert both["test"]["900"]["energy_rmse"] == pytest.approx(single["test"]["900"]["energy_rmse"], rel=1e-6)
    assert both["frames"] == single["frames"] == 16 and set(single) == set(both) and single["functions"] == both["functions"]
    with pytest.raises(MetalffError, match="the same for all"):
        together.fitted([Trial("poly", settings | {"cutoff_power": "auto"}, *[(f,) for f in files[0]])], tmp_path)


def line(family, filling, width, error, spread=1.1, rms=1.0):
    return {
        "family": family,
        "metal": "Nb",
        "crystal": "bcc",
        "kT": width,
        "filling": filling,
        "seeds": 3,
        "force_rms": rms,
        "force_rmse": error,
        "force_rmse_low": error / spread,
        "force_rmse_high": error * spread,
        "normalised": error / rms,
        "normalised_low": error / rms / spread,
        "normalised_high": error / rms * spread,
    }


def test_effect_of_the_smearing():
    (found,) = outcome.effect_lines([line("poly", 4.0, 0.1, 0.2), line("poly", 4.0, 0.5, 0.05, rms=0.5)])
    assert found["force_rmse_ratio"] == pytest.approx(0.25) and found["normalised_ratio"] == pytest.approx(0.5)
    assert found["force_rmse_high"] == pytest.approx(0.25 * np.exp(np.hypot(np.log(1.1), np.log(1.1))))


def test_relations_follow_ranks_and_leave_out_what_is_not_converged():
    lines = [line("poly", float(k), 0.1, 0.1 + 0.01 * k**2) for k in range(1, 8)]
    rows = [
        {"metal": "Nb", "filling": float(k), "kT": 0.1, "dos": k**3, "rough_phonon": -k, "converged_phonon": k != 3, "mesh_phonon": 0.0}
        for k in range(1, 8)
    ]
    found = {(r["indicator"], r["error"]): r for r in outcome.relation_lines(lines, rows)}
    assert found["dos", "force_rmse"]["spearman"] == pytest.approx(1) and found["dos", "force_rmse"]["fillings"] == 7
    assert found["rough_phonon", "normalised"]["spearman"] == pytest.approx(-1) and found["rough_phonon", "normalised"]["fillings"] == 6
    assert np.isnan(found["force_rms", "force_rmse"]["spearman"])  # all the same
    value, low, high, p = outcome.spearman([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert value == pytest.approx(1 - 6 * 6 / (6 * 35)) and low < value <= high
    assert p == pytest.approx(0.058, abs=0.006)  # exact: 42 of 720 permutations
    assert np.isnan(outcome.spearman([1, 2, 3, 4], [1, 2, 3, 4])[0])


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--elements", "Cu"), "--elements Cu: give Nb or Pd"),
        (("--filling", "11"), "a band that is empty or full has no Fermi surface"),
        (("--kT", "0"), "--kT 0: give eV"),
        (("--seeds", "one"), "--seeds one: give"),
    ],
)
def test_refused_in_a_sentence(words, sentence, tmp_path):
    result = metalff("study", "filling", *words, "--out", tmp_path / "out")
    assert isinstance(result.exception, MetalffError) and sentence in str(result.exception)
    assert not Path(tmp_path / "out").exists()
