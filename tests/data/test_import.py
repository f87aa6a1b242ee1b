"""Published sets, as folder and archive, right and broken: imported once, opened in parts."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import layout, store
from metalff.data.extxyz import frames_of


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def said(result):
    """Messages and the error, whatever the width of the terminal."""
    return (result.stderr + str(result.exception)).replace("\n", "")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def frames():
    """Copper and nickel, their names as in the layout."""
    return {symbol: data.read(f"zuo2020-{symbol}:test").frames for symbol in ("Cu", "Ni")}


@pytest.fixture
def folder(frames, tmp_path):
    out = tmp_path / "metals"
    for symbol, own in frames.items():
        for k, temperature in enumerate((300, 1358)):
            layout.write_file(own[4 * k : 4 * k + 4], out / layout.file_name(symbol, "fcc", temperature))
    return out


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "Metals-Dataset.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream:
        for file in sorted(folder.iterdir()):
            stream.write(file, f"set/{file.name}")
        stream.writestr("__MACOSX/set/._Cu_fcc_300.extxyz", b"\x00\x05")
        stream.writestr("set/README.md", "words")
    return path


def test_archive_folder_and_files_are_the_same(archive, folder):
    assert metalff("data", "import", archive).exit_code == 0
    assert metalff("data", "import", folder).exit_code == 0
    whole = data.read(folder)
    assert store.names() == ["Metals", "metals"]
    assert data.read("Metals").sha256 == data.read("metals").sha256 == whole.sha256
    part, same = data.read("Metals[element=Ni,temperature=1358]"), data.read(f"{folder}[element=Ni,temperature=1358]")
    assert part.sha256 == same.sha256 and {f.source for f in part} == {"Metals/Ni_fcc_1358.extxyz"}
    assert len(data.read("Metals[frames=2:11]")) == 9


def test_a_part_opens_its_own_files_alone(archive):
    metalff("data", "import", archive)
    (store.home() / "Metals" / "Cu_fcc_300.h5").write_bytes(b"damaged")
    assert len(data.read("Metals[element=Ni]")) == 8
    with pytest.raises(data.MetalffError, match="Cu_fcc_300.h5 is missing or damaged; import the set again"):
        data.read("Metals[element=Cu]")


def test_what_is_in_it_is_shown_without_reading_it(archive, folder):
    before, imported = metalff("data", "show", archive), metalff("data", "import", archive)
    assert "Cu_fcc_1358.extxyz" in before.stdout and "._Cu" not in before.stdout and "not imported yet" in before.stdout
    assert "16 frames of 2 metals in 4 files" in imported.stdout
    after = metalff("data", "show", "Metals", "--element", "Ni").stdout
    assert "Ni_fcc_300.extxyz" in after and "Cu_fcc" not in after
    assert "Metals" in metalff("data", "list").stdout
    assert metalff("data", "remove", "Metals").exit_code == 0 and not store.names()


def test_phase_is_that_of_the_structure(tmp_path):
    """Cells that were heated above the melting temperature may not have melted."""
    rng = np.random.default_rng(1)
    from metalff.data.metals import metal

    atoms = metal("Cu").supercell()
    crystal = [a for a in (atoms.copy() for _ in range(3)) if a.rattle(0.1, seed=int(rng.integers(99))) is None]
    gas = rng.random((3, len(atoms), 3)) @ atoms.cell.array
    frame = data.read("zuo2020-Cu:test").frames[0]

    def like(positions):
        zero = np.zeros_like(positions)
        return replace(frame, numbers=atoms.numbers, positions=positions, cell=atoms.cell.array, forces=zero, stress=None)

    layout.write_file([like(a.positions) for a in crystal], tmp_path / "s" / "Cu_fcc_1630.extxyz")
    layout.write_file([like(positions) for positions in gas], tmp_path / "s" / "Cu_fcc_1358.extxyz")
    assert metalff("data", "import", tmp_path / "s").exit_code == 0
    assert {f.temperature: f.group for f in data.read("s")} == {1358.0: "liquid", 1630.0: "solid"}


def test_tm23(frames, tmp_path):
    """Its files of all temperatures repeat those of one, but for one frame here."""
    out, own = tmp_path / "tm23", frames["Cu"]
    parts = {
        "cold_nequip_train": own[:3],
        "cold_nequip_test": own[3:5],
        "melt_nequip_train": own[5:8],
        "2700cwm_train": (*own[:3], *own[5:8], own[9]),
    }
    for name, chosen in parts.items():
        layout.write_file(chosen, out / f"Cu_{name}.xyz")
    imported = metalff("data", "import", out)
    assert "9 frames of 1 metal in 4 files; 6 frames of *_2700cwm_*" in imported.stdout
    found = data.read("tm23")
    assert found.sha256 == data.read(out).sha256 and len(found) == 9
    assert {(f.group, f.temperature) for f in found} == {("cold", 340.0), ("melt", 1698.0), ("cwm", None)}
    assert len(data.read("tm23[split=test]")) == len(data.read("tm23:test")) == 2 and len(data.read("tm23[group=melt,split=train]")) == 3


def damaged(folder, lines):
    path = folder / "Cu_fcc_300.extxyz"
    text = path.read_text().splitlines()
    path.write_text("\n".join(lines(text)) + "\n")
    return int(text[0]) + 2


@pytest.mark.parametrize(
    "kind, lost",
    [
        ("a word for a number", 1),
        ("a line is missing", 1),
        ("the header is missing", 1),
        ("the count is missing", 1),
        ("not a number", 1),
        ("the end is missing", 1),
    ],
)
def test_damaged_frame_is_named(kind, lost, folder):
    def lines(text):
        size = int(text[0]) + 2
        start = size * (3 if kind == "the end is missing" else 1)
        if kind in ("a word for a number", "not a number"):
            words = text[start + 5].split()
            words[2] = "x" if kind == "a word for a number" else "nan"
            return [*text[: start + 5], " ".join(words), *text[start + 6 :]]
        if kind == "the end is missing":
            return text[: start + 5]
        gone = start + {"a line is missing": 5, "the header is missing": 1, "the count is missing": 0}[kind]
        return [*text[:gone], *text[gone + 1 :]]

    damaged(folder, lines)
    frame = 3 if kind == "the end is missing" else 1
    refused = metalff("data", "import", folder)
    assert refused.exit_code == 1 and f"Cu_fcc_300.extxyz: frame {frame}" in said(refused) and "--skip-bad" in said(refused)
    with pytest.raises(data.MetalffError, match="the import of metals is not complete"):
        data.read("metals")
    skipped = metalff("data", "import", folder, "--skip-bad")
    assert skipped.exit_code == 0 and f"left out: {folder / 'Cu_fcc_300.extxyz'}: frame {frame}" in said(skipped)
    assert [f.index for f in data.read("metals[element=Cu,temperature=300]")] == [k for k in range(4) if k != frame]
    assert len(data.read("metals")) == 16 - lost
    assert metalff("data", "import", folder).exit_code == 1, "without --skip-bad it is refused again"


@pytest.mark.parametrize("streamed", [False, True], ids=["sizes in headers", "sizes after the data"])
def test_archive_that_is_cut_short(streamed, archive, folder, tmp_path):
    if streamed:

        class Pipe:
            def __init__(self, stream):
                self.write, self.flush = stream.write, stream.flush

        with archive.open("wb") as out, zipfile.ZipFile(Pipe(out), "w", zipfile.ZIP_DEFLATED) as stream:
            for file in sorted(folder.iterdir()):
                stream.write(file, f"set/{file.name}")
    with zipfile.ZipFile(archive) as stream:
        third = stream.infolist()[2]
    archive.write_bytes(archive.read_bytes()[: third.header_offset + 60 + third.compress_size // 2])
    refused = metalff("data", "import", archive)
    assert refused.exit_code == 1 and "is damaged or cut short" in said(refused) and not store.names()
    skipped = metalff("data", "import", archive, "--skip-bad")
    assert skipped.exit_code == 0 and third.filename in said(skipped)
    found = json.loads((store.home() / "Metals" / "index.json").read_text())["files"]
    assert [entry["frames"] for entry in found.values()][:2] == [4, 4] and 0 < found[
        "Ni_fcc_1358.extxyz" if "1358" in third.filename else "Ni_fcc_300.extxyz"
    ]["frames"] < 4
    whole = data.read(folder)
    assert all(any(np.array_equal(f.positions, g.positions) for g in whole) for f in data.read("Metals"))


def test_archive_that_ends_while_a_damaged_frame_is_passed(frames, tmp_path):
    """The second damage comes while the reader looks for the end of the first."""
    layout.write_file(frames["Cu"][:3], tmp_path / "Cu_fcc_300.extxyz")
    text = (tmp_path / "Cu_fcc_300.extxyz").read_text().splitlines()

    def lines():
        size = int(text[0]) + 2
        yield from text[:size]
        yield from ("not a count", *text[size + 1 : size + 9])
        raise data.MetalffError("the packed data are damaged")

    bad = []
    assert len(list(frames_of(lines(), "file", "file", bad.append))) == 1
    assert len(bad) == 2 and "frame 1" in str(bad[0]) and "packed" in str(bad[1])


def test_flipped_bit_in_an_archive(archive):
    with zipfile.ZipFile(archive) as stream:
        first = stream.infolist()[0]
    raw = bytearray(archive.read_bytes())
    raw[first.header_offset + 200] ^= 0x10
    archive.write_bytes(raw)
    refused = metalff("data", "import", archive)
    assert refused.exit_code == 1 and first.filename in said(refused)


def test_import_goes_on(folder, monkeypatch):
    """What is there is kept, what has changed is read again."""
    metalff("data", "import", folder)
    kept = {path.name: path.stat().st_mtime_ns for path in (store.home() / "metals").glob("*.h5")}
    path = folder / "Ni_fcc_300.extxyz"
    path.write_text("\n".join(path.read_text().splitlines()[: 3 * (int(path.read_text().split()[0]) + 2)]) + "\n")
    (store.home() / "metals" / "Cu_fcc_1358.h5").unlink()
    assert metalff("data", "import", folder).exit_code == 0
    changed = {path.name for path in (store.home() / "metals").glob("*.h5") if path.stat().st_mtime_ns != kept.get(path.name)}
    assert changed == {"Ni_fcc_300.h5", "Cu_fcc_1358.h5"} and len(data.read("metals")) == 15


def test_bad_sources(folder, archive, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no file named <El>_<lattice>_<T>.extxyz" in said(metalff("data", "import", tmp_path / "empty"))
    assert "does not exist" in said(metalff("data", "import", tmp_path / "nowhere"))
    (tmp_path / "text.zip").write_text("not an archive")
    assert "is no zip archive" in said(metalff("data", "import", tmp_path / "text.zip"))
    assert "that no bundled set has" in said(metalff("data", "import", folder, "--name", "zuo2020-Cu"))
    metalff("data", "import", folder)
    assert "a set named metals was imported from" in said(metalff("data", "import", archive, "--name", "metals"))
    with pytest.raises(data.MetalffError, match="import it once: metalff data import"):
        data.read(archive)
    (folder / "more").mkdir()
    (folder / "more" / "Cu_fcc_300.extxyz").write_text("")
    assert "holds two files named Cu_fcc_300.extxyz" in said(metalff("data", "import", folder, "--name", "other"))


def test_two_imports_of_one_name_never_mix(folder, archive):
    """One that comes while another is at work is refused; so is one of another source afterwards."""
    with store.Import(folder, "both").claim():
        refused = metalff("data", "import", archive, "--name", "both")
        assert refused.exit_code == 1 and "another import is at work in" in said(refused) and not store.names()
    assert metalff("data", "import", folder, "--name", "both").exit_code == 0
    with store.claimed(store.home() / "both"):
        assert "another import is at work in" in said(metalff("data", "remove", "both"))
    assert "was imported from" in said(metalff("data", "import", archive, "--name", "both"))
    assert data.read("both").sha256 == data.read(folder).sha256


def test_keys_are_named_at_the_import(folder):
    """Headers and columns of another name; a set keeps the keys that it was read with."""
    for path in folder.iterdir():
        text = path.read_text()
        path.write_text(text.replace(" energy=", " E_x=").replace(":forces:", ":F_x:").replace("free_energy=", "E_free="))
    assert "no energy in the header" in said(metalff("data", "import", folder))
    words = ("data", "import", folder, "--energy-key", "e_x", "--forces-key", "F_x", "--name", "named")
    found = metalff(*words)
    assert found.exit_code == 0 and "not understood and left out: E_free" in said(found)
    assert len(data.read("named")) == 16
    assert "was imported with other keys" in said(metalff(*words, "--stress-factor", "-1"))
    with pytest.raises(data.MetalffError, match="keys are named when a set is imported"):
        data.read("named[energy_key=x]")
