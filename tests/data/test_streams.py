"""Sets frame by frame: the same frames, notes and refusals as in memory, and never many of them at once."""

import gzip
import json
import re
import shutil
import warnings
import weakref
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import Dataset, Stream, layout, store, write_extxyz
from metalff.errors import MetalffError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of Metal-43 with a manifest and one of TM23, a zip archive and a gzipped file of the former, and an imported set."""
    root = tmp_path_factory.mktemp("sets")
    frames = {symbol: data.read(f"zuo2020-{symbol}:test[group=aimd]").frames for symbol in ("Cu", "Ni")}
    for symbol, own in frames.items():
        for temperature, part in ((300, own[:4]), (1358, own[4:9])):
            layout.write_file(part, root / "metals" / layout.file_name(symbol, "fcc", temperature), ["extra=1"] * len(part))
    with zipfile.ZipFile(root / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "metals").iterdir()):
            archive.write(path, f"metals/{path.name}")
    shutil.copytree(root / "metals", root / "said")
    entries = {"Cu_fcc_300.extxyz": {"phase": "solid"}, "mixed.extxyz": {}}
    (root / "said" / "manifest.json").write_text(json.dumps({"citation": "A. Author", "licence": "CC0", "files": entries}))
    write_extxyz([*frames["Cu"][9:11], *frames["Ni"][9:11]], root / "said" / "mixed.extxyz")
    for kind, part in (("cold_nequip", frames["Cu"][:3]), ("melt_nequip", frames["Cu"][3:6]), ("2700cwm", frames["Cu"][1:8])):
        layout.write_file(part, root / "tm23" / f"Cu_{kind}_train.xyz")
    write_extxyz(frames["Cu"][:7], root / "one.xyz")
    (root / "one.xyz.gz").write_bytes(gzip.compress((root / "one.xyz").read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METALFF_HOME", str(root / "home"))
        for name in ("metals", "tm23"):
            assert CliRunner().invoke(build_app(), ["data", "import", str(root / name)]).exit_code == 0
        yield root


SPECS = {
    "a folder": ("{root}/metals", 18),
    "a manifest": ("{root}/said", 22),
    "TM23": ("{root}/tm23", 8),
    "a file": ("{root}/one.xyz", 7),
    "a gzipped file": ("{root}/one.xyz.gz", 7),
    "an imported set": ("metals", 18),
    "an imported split": ("tm23:train", 8),
    "a part of an imported set": ("metals[element=Ni,temperature=1358]", 5),
    "a temperature": ("{root}/metals[temperature=300]", 8),
    "a range": ("{root}/metals[frames=2:11:3]", 3),
    "a range of an imported set": ("metals[frames=2:11,element=Cu]", 7),
    "the end": ("{root}/metals[frames=-3:]", 3),
    "a bundled set": ("zuo2020-Cu:test", 31),
}


@pytest.mark.parametrize("case", SPECS)
def test_frames_are_those_of_the_set_in_memory(case, root):
    spec, count = SPECS[case]
    spec = spec.format(root=root)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        whole = data.read(spec)
    found = data.stream(spec)
    for _ in range(2):  # as often as one likes
        frames = tuple(found)
        assert len(frames) == count and Dataset("", frames).sha256 == whole.sha256
        for one, other in zip(frames, whole, strict=True):
            assert [getattr(one, key) for key in ("source", "index", "group", "temperature", "weight")] == [
                getattr(other, key) for key in ("source", "index", "group", "temperature", "weight")
            ]
    assert (found.name, found.citation, found.licence, found.notes) == (whole.name, whole.citation, whole.licence, whole.notes)
    assert [str(warning.message) for warning in said] == list(found.notes)


def test_an_archive_is_streamed_as_its_folder(root):
    packed, folder = data.stream(root / "packed.zip"), data.stream(root / "metals")
    frames = tuple(packed)
    assert Dataset("", frames).sha256 == folder.dataset().sha256 and packed.name == "packed"
    assert [frame.source for frame in frames] == [frame.source for frame in folder] and packed.notes == folder.notes != ()


def test_a_phase_of_the_manifest_and_files_it_alone_knows(root):
    frames = tuple(data.stream(root / "said"))
    assert {frame.group for frame in frames if frame.source == "said/Cu_fcc_300.extxyz"} == {"solid"}
    assert {frame.source for frame in frames[-4:]} == {"said/mixed.extxyz"} and {symbol for f in frames[-4:] for symbol in f.elements} == {"Cu", "Ni"}


def test_frames_that_two_files_of_tm23_share_count_once(root):
    sources = [frame.source for frame in data.stream(root / "tm23")]
    assert sources.count("tm23/Cu_2700cwm_train.xyz:train") == 2 and len(sources) == 8


@pytest.mark.parametrize("case", ["a folder", "a manifest", "TM23", "a file", "an imported set"])
def test_expected_frames(case, root):
    found = data.stream(SPECS[case][0].format(root=root))
    assert isinstance(found, Stream) and found.expected == pytest.approx(len(tuple(found)), abs=2 + 5 * (case == "TM23"))


@pytest.mark.parametrize("spec", ["{root}/metals", "{root}/packed.zip", "metals", "{root}/one.xyz.gz[element=Cu]"])
def test_frames_that_have_passed_are_forgotten(spec, root, monkeypatch):
    monkeypatch.setattr(store, "AT_ONCE", 1)
    alive, most = weakref.WeakSet(), 0
    for frame in data.stream(spec.format(root=root)):
        alive.add(frame)
        most = max(most, len(alive))
    assert most <= 2


REFUSED = {
    "cut short": (lambda folder: cut(folder / "Cu_fcc_1358.extxyz"), "Cu_fcc_1358.extxyz: frame 4 .*truncated"),
    "another element": (
        lambda folder: (folder / "Cu_fcc_300.extxyz").rename(folder / "Al_fcc_300.extxyz"),
        "the name says Al, but the frames contain Cu",
    ),
    "an empty file": (lambda folder: (folder / "Ni_fcc_300.extxyz").write_text(""), "Ni_fcc_300.extxyz: the file holds no frames"),
    "no such temperature": ("[temperature=77]", "has no frame with temperature=77; its temperatures are 300, 1358 K"),
    "no such group": ("[group=fxc]", 'has no frame with group=fxc.*did you mean "fcc"'),
    "no such range": ("[frames=90:]", "metals has 18 frames and none with frames=90:"),
    "no such element": ("[element=W]", "has no frame with element=W"),
    "elements": ("[elements=Cu]", "this format names its elements"),
    "no file": ("/nothing", "neither a file nor a bundled set"),
}


def cut(path):
    path.write_text(path.read_text()[:-300])


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_those_of_the_set_in_memory(case, root, tmp_path):
    change, message = REFUSED[case]
    folder = shutil.copytree(root / "metals", tmp_path / "metals")
    spec = f"{folder}{change}" if isinstance(change, str) else str(folder)
    if not isinstance(change, str):
        change(folder)
    with pytest.raises(MetalffError, match=message) as one:
        list(data.stream(spec))
    with pytest.raises(MetalffError) as other:
        data.read(spec)
    assert str(one.value) == str(other.value)


def test_an_import_that_is_damaged_is_refused_where_it_is(root):
    path = store.home() / "metals" / "Ni_fcc_1358.h5"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-200])
        with pytest.raises(MetalffError, match="Ni_fcc_1358.h5 is missing or damaged"):
            list(data.stream("metals"))
        assert len(list(data.stream("metals[element=Cu]"))) == 9
    finally:
        path.write_bytes(whole)


def test_parts_of_an_import_are_its_frames(root, monkeypatch):
    whole = data.read("metals").sha256
    monkeypatch.setattr(store, "AT_ONCE", 250)
    assert data.read("metals").sha256 == whole
    assert replace(data.read("metals"), frames=tuple(data.stream("metals"))).sha256 == whole


def by_another(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def by_one_of_deflate64(path):
    """As Windows packs files of gigabytes, and Python cannot unpack."""
    raw = bytearray(path.read_bytes())
    for header, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        for found in re.finditer(re.escape(header), raw):
            raw[found.start() + method] = 9
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "replaced, message",
    [(by_another, "is not there any more: the archive has changed"), (by_one_of_deflate64, "cannot be unpacked .*give the folder")],
)
def test_an_archive_that_cannot_be_unpacked_any_more(replaced, message, root, tmp_path):
    path = Path(shutil.copy(root / "packed.zip", tmp_path))
    frames = data.stream(path)
    replaced(path)
    with pytest.raises(MetalffError, match=message):
        list(frames)


def test_a_folder_that_is_gone(root, tmp_path):
    frames = data.stream(shutil.copytree(root / "metals", tmp_path / "metals"))
    shutil.rmtree(tmp_path / "metals")
    with pytest.raises(MetalffError, match="metals: cannot be read: No such file or directory"):
        list(frames)


def test_an_empty_archive_is_not_to_be_given_as_it_is(tmp_path):
    (tmp_path / "empty.zip").touch()
    with pytest.raises(MetalffError, match="empty.zip is empty; fetch it again"):
        data.stream(tmp_path / "empty.zip")
