"""The layout of Metal-43: names, folders, what is refused."""

import pytest

from metalff import data
from metalff.data import layout
from metalff.errors import MetalffError


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Al_fcc_467.extxyz", ("Al", "fcc", 467.0)),
        ("Ti_p6-mmm_1941.extxyz", ("Ti", "p6-mmm", 1941.0)),
        ("Ru_hcp_3218.extxyz", ("Ru", "hcp", 3218.0)),
        ("Cu_cold_nequip_train.xyz", ("Cu", "", 340.0, "cold", "train")),
        ("Cu_2700cwm_test.xyz", ("Cu", "", None, "cwm", "test")),
        ("manifest.json", None),
        ("Xx_fcc_300.extxyz", None),
        ("Al_fcc.extxyz", None),
    ],
)
def test_names(name, expected):
    assert layout.parse(name) == (expected and layout.Name(*expected))


@pytest.fixture
def folder(tmp_path):
    frames = data.read("zuo2020-Cu:test").frames
    for temperature in (1358, 300):
        layout.write_file(frames[:3], tmp_path / layout.file_name("Cu", "fcc", temperature))
    (tmp_path / "notes.txt").write_text("not data")
    return tmp_path


def test_temperature_is_that_of_the_name(folder):
    found = data.read(folder)
    assert [f.temperature for f in found] == [300.0] * 3 + [1358.0] * 3 and {f.group for f in found} == {"fcc"}
    assert len(data.read(f"{folder}[temperature=1358]")) == 3


def test_another_element_than_the_name_says(folder):
    (folder / "Cu_fcc_300.extxyz").rename(folder / "Ni_fcc_300.extxyz")
    with pytest.raises(MetalffError, match="the name says Ni, but the frames contain Cu"):
        data.read(folder)


def test_truncated_file_is_named(folder):
    path = folder / "Cu_fcc_300.extxyz"
    path.write_text(path.read_text()[:-400])
    with pytest.raises(MetalffError, match="Cu_fcc_300.extxyz: frame 2"):
        data.read(folder)


def test_empty_folder(tmp_path):
    with pytest.raises(MetalffError, match="holds no file named"):
        data.read(tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"files": []}', '{"files": {"Cu_fcc_300.extxyz": 1}}'])
def test_a_manifest_of_something_else_is_refused(text, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(MetalffError, match="is no manifest of data"):
        layout.manifest(tmp_path)
