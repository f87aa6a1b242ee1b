"""The bundled sets: complete, physical, labelled; the stress convention of the source; guards."""

import numpy as np
import pytest

from metalff import data
from metalff.data import bundled
from metalff.data.convert import infer_groups, merge
from metalff.data.frame import GROUPS
from metalff.errors import MetalffError

FRAMES = {("Cu", "train"): 262, ("Cu", "test"): 31, ("Ni", "train"): 263, ("Ni", "test"): 31}
FRAMES |= {("Li", "train"): 241, ("Li", "test"): 29, ("Mo", "train"): 194, ("Mo", "test"): 23}
HASHES = {
    "zuo2020-Cu:train": "619eceb2",
    "zuo2020-Cu:test": "89605ba6",
    "zuo2020-Ni:test": "4f079bb2",
    "zuo2020-Li:test": "98b24984",
    "zuo2020-Mo:test": "08058df9",
}
C44 = {"Cu": 84, "Ni": 140, "Mo": 105}  # GPa, what these DFT data give; experiment: 75, 125, 109
GPA = 160.2176634
SIZE_LIMIT = 4_000_000


@pytest.mark.parametrize("element, split", FRAMES)
def test_complete(element, split):
    dataset = data.load(f"zuo2020-{element}", split)
    assert len(dataset) == FRAMES[element, split]
    assert dataset.elements == [element]
    assert dataset.licence == "BSD-3-Clause" and "10.1021/acs.jpca.9b08723" in dataset.citation
    assert [frame.index for frame in dataset] == list(range(len(dataset)))
    for frame in dataset:
        assert frame.group in GROUPS and frame.pbc.all()
        assert np.isfinite(frame.forces).all() and np.isfinite(frame.positions).all()
        assert np.abs(frame.forces.sum(axis=0)).max() < 0.1
        assert frame.temperature is None or frame.group == "aimd"


@pytest.mark.parametrize("spec", HASHES)
def test_content_is_what_was_converted(spec):
    assert data.read(spec).sha256.startswith(HASHES[spec])


def test_first_frame_as_printed_in_the_source():
    frame = data.read("zuo2020-Cu:train").frames[0]
    assert frame.energy == -426.29982847
    assert frame.positions[0].tolist() == [10.72089660, 0.02908236, 3.74682271]
    assert frame.forces[1].tolist() == [-0.16469973, 1.12617361, -0.68775326]
    assert frame.cell[0, 0] == 10.86378800


def test_all_splits_together():
    whole = data.load("zuo2020-Li")
    assert len(whole) == 270
    assert whole.filter(split="test").sha256 == data.load("zuo2020-Li", "test").sha256


def test_shipped_with_licence_and_small():
    assert "Redistribution and use" in (bundled.SETS / "LICENSE").read_text()
    assert sum(path.stat().st_size for path in bundled.SETS.iterdir()) < SIZE_LIMIT


@pytest.mark.parametrize("element", C44)
def test_shear_stress_follows_shear_strain(element):
    """σ_ij = 2 C44 ε_ij with the right sign, each component with its own: fixes sign, unit and order of the stress."""
    frames = [f for f in data.load(f"zuo2020-{element}") if f.group == "strain" and f.stress is not None]
    cube = np.median([np.diag(f.cell) for f in frames]) * np.eye(3)
    rows, columns = [1, 0, 0], [2, 2, 1]
    gradients = [np.linalg.solve(cube, f.cell) - np.eye(3) for f in frames]
    strain = np.array([((g + g.T) / 2)[rows, columns] for g in gradients])
    stress = np.array([f.stress[rows, columns] for f in frames])
    slope = np.linalg.lstsq(strain, stress, rcond=None)[0] * GPA / 2
    assert np.abs(slope - np.diag(np.diag(slope))).max() < 1
    assert np.diag(slope) == pytest.approx(C44[element], rel=0.05)


def test_mirror_plane_fixes_the_stress_order_of_lithium():
    """The (2 1 0) slab of Li is mirror symmetric in x: of the shears only yz may differ from zero."""
    slab = next(f for f in data.load("zuo2020-Li", "train") if f.group == "surface" and len(f) == 20)
    xy, xz, yz = slab.stress[0, 1], slab.stress[0, 2], slab.stress[1, 2]
    assert abs(xy) < 1e-9 and abs(xz) < 1e-9 and abs(yz) > 1e-4


def test_compressed_crystals_have_negative_stress():
    pressure = {}
    for frame in data.load("zuo2020-Li").filter(group="aimd"):
        pressure.setdefault(round(abs(np.linalg.det(frame.cell)) / len(frame), 1), []).append(-np.trace(frame.stress) / 3)
    means = [np.mean(pressure[volume]) for volume in sorted(pressure)]
    assert means == sorted(means, reverse=True) and means[0] > 0 > means[-1]


@pytest.mark.parametrize("element", ["Cu", "Ni"])
def test_rule_for_groups_gives_the_groups_of_the_source(element):
    frames = data.load(f"zuo2020-{element}").frames
    for frame, guessed in zip(frames, infer_groups(frames, element), strict=True):
        assert guessed.group == frame.group


def test_merge_refuses_other_frames():
    frames = data.load("zuo2020-Mo", "test").frames
    assert merge(frames, frames)[3].forces is frames[3].forces
    with pytest.raises(MetalffError, match="23 frames, but .* describes 22"):
        merge(frames, frames[1:])
    with pytest.raises(MetalffError, match="frame 0 is not the frame that"):
        merge(frames, frames[::-1])


def test_filter():
    test = data.read("zuo2020-Cu:test")
    assert len(test.filter(group="aimd", temperature=300.0)) == 3
    assert len(test.filter(element="Cu")) == 31
    assert data.read("zuo2020-Cu").filter(split="test").name == "zuo2020-Cu[split=test]"


NEGATIVE_CONTROLS = {
    "unknown set": (lambda: data.read("zuo2020-Cx"), 'neither a file nor a bundled set \\(did you mean "zuo2020-C'),
    "unknown set by load": (lambda: data.load("zuo-Ni"), "no bundled set zuo-Ni"),
    "unknown split": (
        lambda: data.read("zuo2020-Cu:tests"),
        'no split tests \\(did you mean "test"\\?\\); it has train, test',
    ),
    "unknown ending": (lambda: data.read(__file__), "no format that is known has the ending .py; metalff reads extxyz"),
    "nothing left": (lambda: data.read("zuo2020-Cu:test").filter(element="Ni"), "no frame with element=Ni"),
    "near group": (lambda: data.read("zuo2020-Cu:test").filter(group="surfaces"), 'did you mean "surface"'),
    "fraction": (lambda: data.hold_out(data.read("zuo2020-Cu:test"), 1.5, 0), "must lie between 0 and 1, not 1.5"),
    "too few": (
        lambda: data.hold_out(data.read("zuo2020-Cu:test").filter(group="surface"), 0.1, 0),
        "too few to hold out",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case):
    act, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        act()


def test_damaged_set(tmp_path, monkeypatch):
    raw = (bundled.SETS / "zuo2020-Mo.npz").read_bytes()
    (tmp_path / "zuo2020-Mo.npz").write_bytes(raw[: len(raw) // 2])
    monkeypatch.setattr(bundled, "SETS", tmp_path)
    with pytest.raises(MetalffError, match="zuo2020-Mo.npz: the bundled set is damaged"):
        data.load("zuo2020-Mo")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
def test_hold_out(fraction, seed):
    whole = data.read("zuo2020-Cu:train")
    fit, held = data.hold_out(whole, fraction, seed, block=4)
    assert sorted(f.index for f in (*fit, *held)) == list(range(262))
    assert len(held) == pytest.approx(262 * fraction, abs=4) and len(fit) and len(held)
    kept = {f.index for f in held}
    assert all(len({i in kept for i in range(start, min(start + 4, 262))}) == 1 for start in range(0, 262, 4))
    again = data.hold_out(whole, fraction, seed, block=4)[1]
    assert again.sha256 == held.sha256


def test_seeds_differ():
    whole = data.read("zuo2020-Cu:train")
    assert len({data.hold_out(whole, 0.1, seed)[1].sha256 for seed in range(4)}) == 4


@pytest.mark.parametrize("element, frames", [("Nb", 334), ("Mo", 332), ("Ta", 334), ("W", 334)])
def test_li2020_complete_and_physical(element, frames):
    train, test = (data.load(f"li2020-{element}", split) for split in ("train", "test"))
    assert len(train) == frames and len(test) == 30
    hot = {"Nb": 3000, "Mo": 3000, "Ta": 4000, "W": 4000}[element]
    assert {f.temperature for f in test} == {300, 2000 if hot == 4000 else 1000, hot}
    for frame in (*train, *test):
        assert frame.stress is not None and frame.elements == [element]
        assert (frame.temperature is not None) == (frame.group == "aimd")
        assert np.abs(frame.forces.sum(axis=0)).max() < 1e-5
    dynamics = [f for f in train if f.group == "aimd"]
    assert len(dynamics) == 200
    volumes = np.array([abs(np.linalg.det(f.cell)) / len(f) for f in dynamics])
    pressures = np.array([-np.trace(f.stress) / 3 for f in dynamics])
    dense, wide = volumes < 0.95 * np.median(volumes), volumes > 1.05 * np.median(volumes)
    assert pressures[dense].min() > 10 / GPA > -5 / GPA > pressures[wide].max()


@pytest.mark.parametrize("element, c44", [("Mo", 105), ("W", 141)])
def test_li2020_stress_order(element, c44):
    """Each sheared cell has the shear stress where its shear strain is, with the slope of C44."""
    slopes = []
    for frame in data.load(f"li2020-{element}", "train").filter(group="strain"):
        rest = abs(np.linalg.det(frame.cell)) ** (1 / 3)
        strain = (frame.cell @ frame.cell.T / rest**2 - np.eye(3)) / 2
        a, b = np.unravel_index(np.abs(np.triu(strain, 1)).argmax(), (3, 3))
        if abs(strain[a, b]) > 0.004:
            others = [abs(frame.stress[x, y]) for x, y in ((0, 1), (0, 2), (1, 2)) if (x, y) != (a, b)]
            assert max(others) < 1e-6
            if abs(strain[a, b]) < 0.02 and np.abs(np.diag(strain)).max() < 0.002:
                slopes.append(frame.stress[a, b] / (2 * strain[a, b]) * GPA)
    assert len(slopes) > 10 and np.mean(slopes) == pytest.approx(c44, abs=6)
