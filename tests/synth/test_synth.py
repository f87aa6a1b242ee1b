"""Molecular dynamics with a classical potential: data in the layout, phases, resuming, blow-ups; other labels for given structures."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import layout
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.synth import synth
from metalff.synth.synth import Settings, crystal_of, synthesise
from metalff.validate import order

SETTINGS = Settings(frames=6, temperatures=(300.0, 1630.0), seed=3)


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "Cu-eam"
    return out, synthesise("Cu", "Cu/eam", out, SETTINGS)


def test_layout_and_phases(copper):
    out, manifest = copper
    assert sorted(p.name for p in layout.files(out)) == ["Cu_fcc_1630.extxyz", "Cu_fcc_300.extxyz"]
    cold, hot = (manifest["files"][f"Cu_fcc_{t}.extxyz"] for t in (300, 1630))
    assert (cold["phase"], hot["phase"]) == ("solid", "liquid") and cold["solid_fraction"] > 0.99 and hot["solid_fraction"] < 0.1
    assert 3.62**3 / 4 < cold["volume"] < 3.65**3 / 4 < hot["volume"]  # thermal expansion of copper at 300 K: 3.615 Å at 0 K
    frames = data.read(out)
    assert [f.temperature for f in frames] == [300.0] * 6 + [1630.0] * 6 and {f.group for f in frames} == {"solid", "liquid"}
    assert all(len(f) == 108 for f in frames)


def test_labels_are_those_of_the_potential(copper):
    calculator = resolve("Cu/eam").calculator()
    for frame in data.read(copper[0]).frames[::5]:
        atoms = frame.to_atoms()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(frame.energy, abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), frame.forces, atol=1e-6)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), frame.stress, atol=1e-7)
    calculator.close()


def test_same_command_keeps_what_is_there_and_makes_what_is_missing(copper):
    out, manifest = copper
    before = {path.name: path.read_bytes() for path in layout.files(out)}
    times = {path.name: path.stat().st_mtime_ns for path in layout.files(out)}
    (out / "Cu_fcc_300.extxyz").unlink()
    synthesise("Cu", "Cu/eam", out, SETTINGS)
    assert {path.name: path.read_bytes() for path in layout.files(out)} == before
    assert (out / "Cu_fcc_1630.extxyz").stat().st_mtime_ns == times["Cu_fcc_1630.extxyz"]


def test_other_settings_do_not_mix(copper):
    with pytest.raises(MetalffError, match="made with another settings"):
        synthesise("Cu", "Cu/eam", copper[0], Settings(frames=7))


def test_a_run_that_blows_up_is_flagged_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(synth, "APART", 0.85)  # no crystal at this temperature keeps its atoms so far apart
    settings = Settings(frames=3, temperatures=(100.0, 1200.0), spacing_ps=0.02)
    manifest = synthesise("Cu", "Cu/eam", tmp_path / "cu", settings)
    cold, hot = (manifest["files"][f"Cu_fcc_{t}.extxyz"] for t in (100, 1200))
    assert "blown_up" not in cold and cold["frames"] == 3
    assert "Å apart" in hot["blown_up"] and hot["frames"] < 3


@pytest.mark.parametrize("symbol, atoms", [("Cu", 108), ("Nb", 128), ("Ti", 120)])
def test_cells_are_solid_and_orthogonal(symbol, atoms):
    cell = crystal_of(symbol).supercell()
    assert len(cell) == atoms and np.allclose(cell.cell.array, np.diag(cell.cell.lengths()))
    assert order.solid_fraction(cell.positions, cell.cell.array, synth.metal(symbol).crystal) == 1.0


def test_other_lattice_has_the_same_volume():
    assert crystal_of("Ti", "bcc").supercell().get_volume() / 128 == pytest.approx(crystal_of("Ti").supercell().get_volume() / 120, rel=1e-9)


def test_random_points_are_liquid():
    points = np.random.default_rng(0).random((108, 3)) * 11
    assert order.solid_fraction(points, np.eye(3) * 11, "fcc") < 0.05


def test_decorrelation_of_a_damped_oscillation():
    """x(t) with autocorrelation exp(−t/τ) is uncorrelated to 0.1 after τ ln 10."""
    tau, step = 0.05, 0.01
    rng, series = np.random.default_rng(1), [np.zeros((200, 3))]
    decay = np.exp(-step / tau)
    for _ in range(400):
        series.append(decay * series[-1] + np.sqrt(1 - decay**2) * rng.normal(size=(200, 3)))
    found = order.autocorrelation(np.array(series[100:]))
    np.testing.assert_allclose(found[:10], np.exp(-np.arange(10) * step / tau), atol=0.03)
    assert order.decorrelation(found, step) == pytest.approx(tau * np.log(10), abs=0.02)


def test_relabelled_folder_has_the_same_structures(copper, tmp_path):
    result = metalff("data", "relabel", copper[0], "Cu/meam[t=0.5]", "--out", tmp_path / "meam")
    assert result.exit_code == 0, result.output
    first, second = data.read(copper[0]), data.read(tmp_path / "meam")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        assert a.temperature == b.temperature and a.group == b.group and abs(a.forces - b.forces).max() > 1e-3
    said = json.loads((tmp_path / "meam" / "manifest.json").read_text())
    assert said["potential"]["name"] == "Cu/meam[t=0.5]" and said["structures"]["potential"] == "Cu/eam"


CASES = {
    "wrong element": (("relabel", "{out}", "Ti/meam", "--out", "{tmp}"), "contains Cu; Ti/meam is for Ti"),
    "no metal": (("synth", "Xx/eam", "--out", "{tmp}"), "give a metal and a potential such as Cu/eam"),
    "no potential": (("synth", "Cu/eams", "--out", "{tmp}"), 'did you mean "Cu/eam'),
    "lattice": (("synth", "Cu/eam", "--crystal", "sc", "--out", "{tmp}"), "--crystal sc: give fcc, bcc, hcp"),
    "temperatures": (("synth", "Cu/eam", "--temperatures", "hot", "--out", "{tmp}"), "give kelvin such as 300,600"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, copper, tmp_path):
    words, sentence = CASES[case]
    result = metalff("data", *(word.format(out=copper[0], tmp=tmp_path / "new") for word in words))
    assert isinstance(result.exception, MetalffError) and sentence in str(result.exception)
