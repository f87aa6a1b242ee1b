"""The comparison on the bundled test set: published SNAP errors; and on calculators that misbehave."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from metalff import data
from metalff.errors import MetalffError
from metalff.potentials import resolve
from metalff.validate.compare import compare
from metalff.validate.reference import trajectories_of
from metalff.validate.tables import document, frame_columns

# eV/Å on the 31 test frames of copper. SNAP, quadratic SNAP: Zuo et al. 2020; EAM and MEAM: measured once.
FORCE_RMSE = {"Cu/snap": 0.083, "Cu/qsnap": 0.055, "Cu/eam": 0.091, "Cu/meam": 0.198}


class Truth(Calculator):
    """Returns the reference of the frames in order, with forces off by ``error`` and energy by ``offset`` per atom."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, frames, error=0.0, offset=0.0):
        super().__init__()
        self.known = {frame.positions.tobytes(): frame for frame in frames}
        self.error, self.offset = error, offset

    def calculate(self, atoms=None, properties=(), system_changes=()):
        frame = self.known[atoms.positions.tobytes()]
        if not np.isfinite(self.error):
            raise MetalffError("it broke")
        self.results = {"energy": frame.energy + self.offset * len(frame), "forces": frame.forces + self.error}
        if frame.stress is not None:
            self.results["stress"] = frame.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


@dataclass
class Fake:
    name: str
    made: Calculator

    def calculator(self):
        return self.made


@pytest.fixture(scope="module")
def copper():
    return data.read("zuo2020-Cu:test")


@pytest.fixture(scope="module")
def measured(copper):
    return compare([resolve(name) for name in FORCE_RMSE], copper)


@pytest.mark.parametrize("number, name", list(enumerate(FORCE_RMSE)))
def test_published_force_errors(number, name, measured):
    overall = measured[number].overall
    assert overall.force_rmse.value == pytest.approx(FORCE_RMSE[name], abs=1e-3)
    assert overall.force_rmse.low < overall.force_rmse.value < overall.force_rmse.high
    assert overall.energy_rmse_offset.value <= overall.energy_rmse.value


def test_selections_add_up(copper, measured):
    result = measured[0]
    assert set(result.by_group) == {"aimd", "strain", "surface", "vacancy"}
    assert list(result.by_temperature) == ["300", "1000", "3000"]
    assert sum(m.frames for m in result.by_group.values()) == 31
    total = sum(m.force_rmse.value**2 * m.atoms for m in result.by_group.values()) / result.overall.atoms
    assert np.sqrt(total) == pytest.approx(result.overall.force_rmse.value)
    assert {name: e["force_rmse"] for name, e in result.groups.items() if name in result.by_group} == {
        name: pytest.approx(m.force_rmse.value) for name, m in result.by_group.items()
    }
    shares = {name: e["share"] for name, e in result.groups.items()}
    assert sum(shares[name] for name in result.by_group) == pytest.approx(1)
    assert sum(shares[f"aimd {t} K"] for t in result.by_temperature) == pytest.approx(shares["aimd"]) and shares["aimd 3000 K"] > 0.5


def test_eam_has_another_zero_of_energy(measured):
    eam = measured[list(FORCE_RMSE).index("Cu/eam")]
    assert eam.energy_offset["Cu"] == pytest.approx(-0.56, abs=0.01)
    assert eam.overall.energy_rmse.value > 0.5 and eam.overall.energy_rmse_offset.value < 0.01


def test_known_errors_come_out(copper):
    result = compare([Fake("off", Truth(copper, error=0.25, offset=0.5))], copper)[0]
    assert result.overall.force_rmse.value == pytest.approx(0.25)
    assert result.overall.energy_mae.value == pytest.approx(0.5)
    assert result.energy_offset["Cu"] == pytest.approx(-0.5)
    assert result.overall.energy_rmse_offset.value == pytest.approx(0, abs=1e-9)
    assert result.overall.stress_rmse.value == pytest.approx(0, abs=1e-12)


def test_trajectories_are_told_apart():
    """Three runs at 300 K differ in their volume; frames of one run lie apart in the file; strained cells are no runs."""
    assert np.bincount(trajectories_of(data.read("li2020-Nb:test").frames)).tolist() == [6] * 5
    copper = data.read("zuo2020-Cu:test").filter(group="aimd")
    labels, temperature = trajectories_of(copper.frames), np.array([frame.temperature for frame in copper])
    assert [set(temperature[labels == label]) for label in range(3)] == [{300.0}, {3000.0}, {1000.0}]
    frames = [replace(frame, cell=frame.cell * (1 + 0.01 * k)) for k, frame in enumerate(copper.frames)]
    assert len(set(trajectories_of(frames))) == 3


def test_frames_without_stress_need_none(copper):
    bare = replace(copper, frames=tuple(replace(frame, stress=None) for frame in copper.frames[:3]))
    result = compare([Fake("exact", Truth(bare))], bare)[0]
    assert result.overall.stress_rmse is None and result.overall.stress_frames == 0


def test_progress_counts_every_frame(copper):
    few = replace(copper, frames=copper.frames[:3])
    seen = []
    compare([Fake("a", Truth(few)), Fake("b", Truth(few))], few, lambda *now: seen.append(now))
    assert seen == [("a", 1, 6), ("a", 2, 6), ("a", 3, 6), ("b", 4, 6), ("b", 5, 6), ("b", 6, 6)]


def test_document_survives_json(copper, measured):
    content = document(measured, {"metalff": "x"})
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["schema"] == 1 and content["dataset"]["sha256"] == copper.sha256
    assert [p["name"] for p in content["potentials"]] == list(FORCE_RMSE)


def test_tables_hold_what_the_metrics_sum_up(copper, measured):
    columns = {key: np.array(values) for key, values in frame_columns(measured[2], slice(None)).items()}
    shifted = (columns["energy_predicted"] + columns["energy_offset"] - columns["energy_reference"]) / columns["atoms"]
    assert np.sqrt(np.mean(np.square(shifted))) == pytest.approx(measured[2].overall.energy_rmse_offset.value)
    for k, frame in enumerate(copper):
        assert (columns["index"][k], columns["source"][k], columns["group"][k]) == (frame.index, frame.source, frame.group)
        assert columns["force_rms_reference"][k] == pytest.approx(np.sqrt(np.mean(frame.forces**2)), rel=1e-14)
        assert [columns[f"stress_reference_{x}"][k] for x in ("yz", "xx")] == [frame.stress[1, 2], frame.stress[0, 0]]


NEGATIVE_CONTROLS = {
    "no frames": (lambda d: compare([], replace(d, frames=())), "has no frames to compare with"),
    "a frame fails": (
        lambda d: compare([Fake("bad", Truth(d, np.nan))], d),
        "bad on frame 0 of zuo2020-Cu:test: it broke",
    ),
    "not finite": (
        lambda d: compare([Fake("bad", Truth(d, 0, np.inf))], d),
        "frame 0 of zuo2020-Cu:test: the energy or a force is not finite",
    ),
    "other element": (
        lambda d: compare([resolve("Cu/eam")], data.read("zuo2020-Ni:test")),
        "Cu/eam on frame 0 of zuo2020-Ni:test: the potential is for Cu, but the structure contains Ni",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case, copper):
    act, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        act(copper)
