"""Unit and sign of stresses are told by the energies of the same frames; what the checks of a set say."""

from dataclasses import replace

import numpy as np
import pytest

from metalff import data
from metalff.data import Dataset, Frame
from metalff.data.checks import remarks
from metalff.data.stresses import judge

KBAR, GPA = 1602.1766, 160.21766
SETS = ["zuo2020-Cu:test", "zuo2020-Cu:train", "zuo2020-Ni:train", "zuo2020-Mo:train", "li2020-Nb:train", "li2020-W"]
FACTORS = {"kbar": KBAR, "GPa": GPA, "bar": 1e3 * KBAR, "VASP's": -KBAR, "the other sign": -1.0}


def scaled(dataset, factor):
    return replace(dataset, frames=tuple(f if f.stress is None else replace(f, stress=factor * f.stress) for f in dataset))


@pytest.mark.parametrize("name", SETS)
def test_right_stresses_pass(name):
    verdict = judge(data.read(name))
    assert not verdict.sentence and verdict.pairs >= 20 and 0.7 < verdict.slope < 1.3


@pytest.mark.parametrize("unit", FACTORS)
@pytest.mark.parametrize("name", SETS)
def test_wrong_ones_are_named_with_the_factor_that_mends_them(name, unit):
    verdict = judge(scaled(data.read(name), FACTORS[unit]))
    assert np.isclose(verdict.factor * FACTORS[unit], 1, rtol=1e-3) and "--stress-factor" in verdict.sentence
    assert ("other sign" in verdict.sentence) == (FACTORS[unit] < 0)
    assert not judge(scaled(scaled(data.read(name), FACTORS[unit]), verdict.factor)).sentence


def test_virials_taken_for_stresses():
    dataset = data.read("zuo2020-Mo:train")
    wrong = replace(dataset, frames=tuple(replace(f, stress=f.stress * abs(np.linalg.det(f.cell))) for f in dataset))
    assert judge(wrong).sentence


def test_trajectories_at_several_volumes_tell():
    """Frames too far from each other for pairs: molecular dynamics of tungsten at three volumes."""
    frames = data.read("li2020-W:train[group=aimd,temperature=2000|4000]")
    assert not judge(frames).sentence
    assert "kbar" in judge(scaled(frames, KBAR)).sentence


def test_size_tells_where_energies_cannot():
    frames = data.read("zuo2020-Li:train[temperature=300]")
    assert judge(frames).slope is None and not judge(frames).sentence
    assert "which no metal has" in judge(scaled(frames, 1e3 * KBAR)).sentence


def test_nothing_is_said_of_a_set_without_stress():
    frames = data.read("zuo2020-Li:test")
    assert judge(replace(frames, frames=tuple(replace(f, stress=None) for f in frames))) == judge(Dataset("empty", ()))


def crystal(k, energy=-3.5, force=0.1, volume=1.0, **more):
    rng = np.random.default_rng(k)
    positions = np.array([[0, 0, 0], [0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]]) + rng.normal(scale=0.02, size=(4, 3))
    forces = np.clip(rng.normal(scale=force, size=(4, 3)), -2 * force, 2 * force)
    cell = 3.6 * volume ** (1 / 3) * np.eye(3)
    return Frame(np.full(4, 29), positions, cell, np.ones(3, bool), 4 * energy + 0.001 * k, forces, source="some.xyz", index=k, **more)


def said(frames):
    return " ".join(remarks(Dataset("some.xyz", tuple(frames))))


GOOD = [crystal(k, volume=1 + 0.01 * k) for k in range(12)]
REMARKS = {
    "nothing": ([], ""),
    "a large force": (
        [replace(crystal(12), forces=np.full((4, 3), 80.0))],
        "1 of 13 frames have forces above 50 eV/Å, or far above the others, of which nine tenths stay below 0.297: frame 12 of some.xyz (138.6 eV/Å)",
    ),
    "huge forces": (
        [replace(crystal(k), forces=np.full((4, 3), 1e8)) for k in (12, 13)],
        "2 of 14 frames have forces above 50 eV/Å, or far above the others",
    ),
    "an energy far away": (
        [crystal(12, energy=20.0)],
        "1 of 13 frames have energies per atom far from the line of their composition, whose usual deviation is 0.00111 eV: frame 12 of some.xyz (23.5 eV)",
    ),
    "twice": ([replace(GOOD[3], index=12)], "1 frame is there twice: frame 12 of some.xyz"),
    "two atoms on one place": (
        [replace(crystal(12), positions=np.zeros((4, 3)))],
        "1 frame has atoms closer than 1 Å, down to 0.000 Å: frame 12 of some.xyz",
    ),
    "a free atom": (
        [Frame(np.array([29]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), -0.25, np.zeros((1, 3)), group="IsolatedAtom")],
        "free atoms, which give E0 and are no training frames: Cu -0.25 eV",
    ),
    "high pressure": (
        [replace(frame, stress=-0.1 * np.eye(3), index=20 + k) for k, frame in enumerate(map(crystal, range(20, 24)))],
        "the mean pressure is 16.0 GPa",
    ),
}


@pytest.mark.parametrize("case", REMARKS)
def test_remarks(case):
    frames, sentence = REMARKS[case]
    found = said([*GOOD, *frames])
    assert found.startswith(sentence) if sentence else not found


def test_one_volume_is_said():
    assert "all frames have one volume, 11.66 Å³/atom: a model of them alone knows no pressure" in said(map(crystal, range(5)))


@pytest.mark.parametrize("element", ["Cu", "Ni"])
def test_stresses_taken_from_elsewhere_do_the_work_that_energies_tell(element):
    """Training frames of these have theirs from the JARVIS leaderboard: unit, sign and order are those of the energies of strained crystals."""
    strained = data.read(f"zuo2020-{element}:train[group=strain|ground]")
    assert all(frame.stress is not None for frame in strained)
    verdict = judge(strained)
    assert verdict.sentence == "" and verdict.pairs > 500 and verdict.slope == pytest.approx(1, abs=0.02)
