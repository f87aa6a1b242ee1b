"""The table of a metal, the pictures and the page; the table that ships."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import errors
from metalff.cli import build_app
from metalff.data.metals import metals as known
from metalff.dft.protocol import protocol
from metalff.fermi import bands, metals, table
from metalff.fermi.surface import surfaces
from metalff.fermi.zone import sheets, zone


def metalff(*words):
    return CliRunner().invoke(build_app(), list(map(str, words)))


def test_the_shipped_table_is_whole():
    frame = table()
    assert list(frame.reset_index().columns) == list(metals.COLUMNS)
    assert set(frame.index) <= set(known()) and len(frame) >= 40
    assert set(frame.index[frame.magnetic == "yes"]) == set(protocol().magnetic) & set(frame.index)
    for key in ("n_ef_0.1", "area", "velocity_mean", "compactness", "complexity_dos"):
        assert (frame[key] > 0).all(), key
    assert frame.d_weight.between(0, 1).all() and frame.closed.between(0, 1).all()
    assert (frame.sphericity.isna() == (frame.closed == 0)).all()


def test_the_shipped_table_says_what_textbooks_say():
    frame = table()
    assert 0.98 <= frame.sphericity["Na"] <= 1 and frame.area["Na"] == pytest.approx(3.05, abs=0.01)  # a sphere of one electron
    for noble in ("Cu", "Ag", "Au"):  # eight half necks
        assert (frame.sheets[noble], frame.euler[noble], frame.closed[noble]) == (1, -6, 0), noble
    for alkali in ("Na", "K"):
        assert (frame.sheets[alkali], frame.euler[alkali], frame.fragments[alkali]) == (1, 2, 0)
    assert frame["n_ef_0.1"]["Pd"] > 2 > frame["n_ef_0.1"]["Nb"] > 1.3 > 0.5 > frame["n_ef_0.1"]["W"] > frame["n_ef_0.1"]["Cu"]
    assert frame.velocity_mean["Cu"] == pytest.approx(1.11, abs=0.03) and frame.velocity_mean["Na"] == pytest.approx(1.03, abs=0.03)
    assert frame.d_weight[["Nb", "Ta", "W", "Mo", "V"]].min() > 0.75 and frame.d_weight[["Na", "Mg", "Al"]].max() < 0.3
    assert frame.carriers["W"] < 0.5 < frame.carriers["Nb"]  # compensated
    assert frame.plasma_energy["Cu"] == pytest.approx(9.0, abs=0.3)


def test_zones_are_those_of_the_crystals():
    counts = {"fcc": [4] * 6 + [6] * 8, "bcc": [4] * 12, "hcp": [4] * 6 + [6] * 2}
    for symbol in ("Cu", "Nb", "Ti"):
        metal = bands.metal(symbol)
        reciprocal = 2 * np.pi * bands.primitive_cell(metal).cell.reciprocal().array
        found = zone(reciprocal)
        assert sorted(map(len, found.faces)) == counts[metal.crystal]
        pyramids = sum(np.linalg.norm(n) * np.linalg.norm(_area(face)) / 3 for n, face in zip(found.normals, found.faces, strict=True))
        assert pyramids == pytest.approx(abs(np.linalg.det(reciprocal)))


def _area(corners):
    return 0.5 * np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)


def test_the_zone_holds_the_surface_of_one_cell():
    """Of a band whose surface runs through the faces of the zone: what is cut out has the area of what is counted."""
    fractions = np.stack(np.meshgrid(*(np.arange(12) / 12,) * 3, indexing="ij"), -1) * 2 * np.pi
    u, v, w = np.moveaxis(fractions, -1, 0)
    band = -(np.cos(u) + np.cos(v) + np.cos(w) + np.cos(u - v) + np.cos(v - w) + np.cos(w - u))[None]
    reciprocal = 2 * np.pi * bands.primitive_cell(bands.metal("Cu")).cell.reciprocal().array
    (sheet,), (surface,) = sheets(band, 0.2, reciprocal), surfaces(band, 0.2, reciprocal)
    whole, cut = (
        np.linalg.norm(np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0]), axis=1).sum() for c in (surface.corners, sheet.vertices[sheet.triangles])
    )
    assert cut == pytest.approx(whole, rel=1e-4)
    assert (sheet.vertices @ zone(reciprocal).normals.T <= (zone(reciprocal).normals ** 2).sum(1) + 1e-4).all()


@pytest.fixture(scope="module")
def made(sodium, tmp_path_factory):
    """``metalff fermi Na``, and the folder that it fills."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(sodium, folder / "cache/fermi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METALFF_CACHE", str(folder / "cache"))
        return metalff("fermi", "Na", "--out", folder / "out", "--json"), folder / "out"


def test_the_command_leaves_table_picture_and_page(made):
    ran, out = made
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(ran.stdout)["rows"]
    assert row["area"] == pytest.approx(3.05, abs=0.01) and row["d_weight"] == pytest.approx(0.25) and row["mesh"] == 24
    assert 0.98 < row["sphericity"] <= 1 and row["euler"] == row["euler_coarse"] == 2 and row["error_area"] < 0.01
    assert (out / "Na.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "fermi.json").read_text()) == [row]
    with open(out / "fermi.csv", newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert line["element"] == "Na" and float(line["area"]) == pytest.approx(row["area"], rel=1e-3) and line["c"] == ""


def test_the_page_needs_nothing_from_elsewhere(made):
    page = (made[1] / "fermi.html").read_text("utf-8")
    embedded = json.loads(re.search(r'<script type="application/json" data-metal="Na">(.*?)</script>', page, re.DOTALL)[1])
    assert [part["type"] for part in embedded["data"]] == ["mesh3d", "scatter3d"]
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page) and "Plotly.react" in page


def test_without_a_metal_the_shipped_table_is_shown():
    ran = metalff("fermi")
    assert ran.exit_code == 0 and "Nb" in ran.stdout and "velocity_mean" in ran.stdout
    rows = json.loads(metalff("fermi", "--json").stdout)
    assert [row["element"] for row in rows] == list(table().index)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    ran = metalff("fermi", "Na")
    assert str(ran.exception) == "metalff fermi needs skimage and plotly, not installed here; run: pip install 'metalff[fermi]'"
    with pytest.raises(errors.MetalffError, match="a Fermi surface needs skimage"):
        surfaces(np.zeros((1, 4, 4, 4)), 0.0, np.eye(3))


def test_a_broken_package_is_named(monkeypatch, tmp_path):
    (tmp_path / "broken_here.py").write_text("raise ImportError('libx.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(errors.MetalffError, match="x needs broken_here, which is installed but cannot be imported .libx.so: no such file.; run: pip"):
        errors.need_extra("x", "fermi", "broken_here")


def test_numbers_that_are_not_finite_are_none(sodium, monkeypatch):
    monkeypatch.setattr(metals, "weighted_density", lambda *words: float("nan"))
    assert metals.row("Na", sodium)["d_weight"] is None


def test_magnetic_metals_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path))
    with pytest.warns(UserWarning, match="Fe: magnetic, but computed without spin"):
        ran = metalff("fermi", "Fe", "--out", tmp_path / "out")
    assert "metalff env create gpaw" in str(ran.exception) and not (tmp_path / "out").exists()
