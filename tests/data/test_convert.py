"""The conversion, from raw files made here out of a bundled set back to the same set."""

import gzip
import json

import numpy as np

from metalff import data
from metalff.data import bundled, convert
from metalff.data.mlearn import EV_A3_PER_KBAR

SOURCE_GROUP = {
    "aimd": "AIMD-NVT",
    "vacancy": "Vacancy",
    "surface": "Surface",
    "strain": "Elastic",
    "ground": "Elastic",
}


def described(frame):
    """The mlearn entry of a Mo frame."""
    rows, columns = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]
    sites = [{"species": [{"element": "Mo"}], "xyz": position.tolist()} for position in frame.positions]
    temperature = f"simulation at {frame.temperature:g} K" if frame.temperature else frame.group
    return {
        "structure": {"lattice": {"matrix": frame.cell.tolist()}, "sites": sites},
        "outputs": {
            "energy": frame.energy,
            "forces": frame.forces.tolist(),
            "virial_stress": (-frame.stress[rows, columns] / EV_A3_PER_KBAR).tolist(),
        },
        "element": "Mo",
        "group": SOURCE_GROUP[frame.group],
        "description": "Ground state crystal" if frame.group == "ground" else temperature,
    }


def test_conversion_can_be_repeated(tmp_path, monkeypatch):
    for split, long_name in convert.SPLITS.items():
        frames = data.load("zuo2020-Mo", split).frames
        raw = tmp_path / "zuo2020" / f"Mo_{split}.xyz"
        data.write_extxyz(frames, raw)
        raw.with_suffix(".xyz.gz").write_bytes(gzip.compress(raw.read_bytes(), 1))
        (tmp_path / "mlearn").mkdir(exist_ok=True)
        entries = json.dumps([described(frame) for frame in frames]).encode()
        (tmp_path / "mlearn" / f"Mo_{long_name}.json.gz").write_bytes(gzip.compress(entries, 1))
    monkeypatch.setattr(convert, "ELEMENTS", ("Mo",))
    convert.convert(tmp_path, tmp_path / "sets")
    before = data.load("zuo2020-Mo")
    monkeypatch.setattr(bundled, "SETS", tmp_path / "sets")
    after = data.load("zuo2020-Mo")
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.positions, new.positions) and np.array_equal(old.forces, new.forces)
        assert old.energy == new.energy and np.array_equal(old.cell, new.cell)
        assert np.allclose(old.stress, new.stress, rtol=1e-14, atol=1e-16)
        assert (old.group, old.temperature, old.source, old.index) == (
            new.group,
            new.temperature,
            new.source,
            new.index,
        )
