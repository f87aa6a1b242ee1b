"""Files that are no sound artefact: Python, the C++ engine and LAMMPS refuse each with the same clear sentence."""

import hashlib
import io
import json
import pickle
import pickletools
import subprocess
import sys
import zipfile

import pytest

from cases import lammps
from metalff import _engine, cli
from metalff.artifact import open_artifact
from metalff.errors import MetalffError


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return stream.getvalue()


def with_manifest(path, change):
    """The artefact after ``change(manifest)``, which may return another value to store as the manifest."""
    contents = members(path)
    manifest = json.loads(contents["manifest.json"])
    contents["manifest.json"] = json.dumps(change(manifest) or manifest)
    return packed(contents)


def setting(**values):
    return lambda good: with_manifest(good, lambda manifest: manifest.update(values))


def without(key):
    return lambda good: with_manifest(good, lambda manifest: {k: v for k, v in manifest.items() if k != key})


def cut(fraction):
    return lambda good: good.read_bytes()[: int(fraction * good.stat().st_size)]


def tampered_payload(good):
    contents = members(good)
    data = bytearray(contents["torch/float64.zip"])
    data[len(data) // 2] ^= 1
    return packed(contents | {"torch/float64.zip": bytes(data)})


def flipped_bit(good):
    data = bytearray(good.read_bytes())
    data[data.index(b"PK\x03\x04", 10) + 5000] ^= 1
    return bytes(data)


def missing_payload(good):
    contents = members(good)
    del contents["selftest.json"]
    return packed(contents)


def wrong_size(good):
    return with_manifest(good, lambda manifest: manifest["payloads"]["selftest.json"].update(size=7))


FOREIGN = "is not an .mlff artefact: make one with 'metalff deploy'"
DAMAGED = "is truncated or damaged: copy it again from its source"
INVALID = "is not valid ("

BAD = {
    "empty": (lambda good: b"", FOREIGN),
    "text": (lambda good: b"pair_coeff * * Cu\n", FOREIGN),
    "three bytes": (lambda good: good.read_bytes()[:3], FOREIGN),
    "first header only": (lambda good: good.read_bytes()[:40], DAMAGED),
    "half": (cut(0.5), DAMAGED),
    "nearly whole": (cut(0.999), DAMAGED),
    "last byte lost": (lambda good: good.read_bytes()[:-1], DAMAGED),
    "foreign zip": (lambda good: packed({"readme.txt": b"hello"}), "has no manifest.json, so it is not an .mlff"),
    "compressed": (
        lambda good: packed(members(good), zipfile.ZIP_DEFLATED),
        "was repacked with compression: use the file as 'metalff deploy' wrote it",
    ),
    "missing payload": (missing_payload, "lacks its payload selftest.json"),
    "wrong size": (wrong_size, "but its manifest says 7: copy it again"),
    "newer schema": (setting(schema=4), "has manifest schema 4 but this MetalFF reads up to 3: update MetalFF"),
    "older schema": (
        setting(schema=2),
        "has manifest schema 2, of an older MetalFF, but this one reads 3: deploy the model again",
    ),
    "manifest no JSON": (lambda good: packed(members(good) | {"manifest.json": b"{schema: 1"}), INVALID),
    "manifest no text": (lambda good: packed(members(good) | {"manifest.json": b'{"name": "\xff\xfe"}'}), INVALID),
    "manifest a list": (lambda good: with_manifest(good, lambda manifest: [manifest]), INVALID),
    "no schema": (without("schema"), INVALID),
    "no r_max": (without("r_max"), INVALID),
    "no elements": (without("elements"), INVALID),
    "elements empty": (setting(elements=[]), INVALID),
    "elements a word": (setting(elements="Cu"), INVALID),
    "r_max negative": (setting(r_max=-5.5), INVALID),
    "r_max NaN": (setting(r_max=float("nan")), INVALID),
    "r_max infinite": (setting(r_max=float("inf")), INVALID),
    "no layer": (setting(layers=0), INVALID),
    "a member too many": (lambda good: packed(members(good) | {"readme.txt": b"hello"}), "has a member readme.txt that its manifest does not name"),
    "distance negative": (setting(training={"shortest_distance": -1.0}), INVALID),
    "coordination negative": (setting(training={"smallest_coordination": -1}), INVALID),
}


def refused(path, fragment, directory, monkeypatch, capsys):
    """Each way of opening ``path`` ends with one sentence that holds ``fragment``."""
    with pytest.raises(MetalffError) as python:
        open_artifact(path)
    with pytest.raises(_engine.EngineError) as engine:
        _engine.Artifact.open(str(path))
    monkeypatch.setattr(sys, "argv", ["metalff", "inspect", str(path)])
    with pytest.raises(SystemExit) as command:
        cli.main()
    lines = ["units metal", "region b block 0 9 0 9 0 9", "create_box 1 b", "pair_style mlff"]
    completed = lammps(directory, [*lines, f"pair_coeff * * {path} Cu"])
    assert completed.returncode != 0
    errors = [line for line in completed.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1 and "Traceback" not in completed.stderr
    assert capsys.readouterr().out == ""
    for sentence in (str(python.value), str(engine.value), str(command.value.code), errors[0]):
        assert fragment in sentence and str(path) in sentence
        assert "\n" not in sentence
    assert str(command.value.code) == f"metalff: error: {python.value}"


@pytest.mark.parametrize("case", BAD)
def test_bad_file(case, oracle, tmp_path, monkeypatch, capsys):
    make, fragment = BAD[case]
    path = tmp_path / "bad.mlff"
    path.write_bytes(make(oracle))
    refused(path, fragment, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    "damage, fragment", [(flipped_bit, DAMAGED), (tampered_payload, "does not match its hash in the manifest: the file was altered")]
)
def test_bad_payload(damage, fragment, oracle, tmp_path, monkeypatch, capsys):
    """Found where the whole file is read; who opens it for a run reads, and checks, the payloads that are needed."""
    path = tmp_path / "bad.mlff"
    path.write_bytes(damage(oracle))
    with pytest.raises(MetalffError, match=fragment):
        open_artifact(path)
    monkeypatch.setattr(sys, "argv", ["metalff", "inspect", str(path)])
    with pytest.raises(SystemExit, match=fragment):
        cli.main()
    assert capsys.readouterr().out == ""
    opened = open_artifact(path, whole=False)
    refusals = 0
    for name in opened.manifest.payloads:
        try:
            opened.read(name)
        except MetalffError as error:
            assert fragment in str(error)
            refusals += 1
    assert refusals == 1


@pytest.mark.parametrize("schema", [2, 4])
def test_another_schema_names_the_versions(schema, oracle, tmp_path):
    """Which MetalFF wrote the file, and which ones read what this one reads."""
    path = tmp_path / "other.mlff"
    path.write_bytes(setting(schema=schema, versions={"metalff": "7.8.9"})(oracle))
    with pytest.raises(MetalffError, match=r"the file is of MetalFF 7\.8\.9; schema 3 is that of MetalFF 0\.2\.0 and later"):
        open_artifact(path)


def test_missing_file_and_directory(tmp_path, monkeypatch, capsys):
    for path in (tmp_path / "nowhere.mlff", tmp_path):
        refused(path, "does not exist or is not a file: check the path", tmp_path, monkeypatch, capsys)


def test_sound_file_opens_alike(oracle):
    ours, engine = open_artifact(oracle), _engine.Artifact.open(str(oracle))
    assert ours.sha256 == engine.sha256
    assert ours.manifest.elements == engine.elements == ["Cu"]
    assert (ours.manifest.r_max, ours.manifest.layers) == (engine.r_max, engine.layers)


def test_what_the_engine_knows_of_the_training_data(oracle, tmp_path):
    """As the manifest says; zeros and nothing where an older one does not."""
    known = {"shortest_distance": 2.0, "largest_coordination": 60, "smallest_coordination": 3, "pairs": [["Cu", "Cu"]]}
    path = tmp_path / "known.mlff"
    expected = {name: known[name] for name in known if name != "pairs"} | {"pairs": {(0, 0)}}
    for training, told in ((known, expected), ({}, dict.fromkeys(known, 0) | {"pairs": set()})):
        path.write_bytes(setting(training=training)(oracle))
        engine = _engine.Artifact.open(str(path))
        assert {name: getattr(engine, name) for name in known} == told


FUZZ = """
import random, sys
from metalff import _engine
from metalff.artifact import open_artifact
from metalff.errors import MetalffError

good, path = open(sys.argv[1], "rb").read(), sys.argv[2]
intact, opened = _engine.Artifact.open(sys.argv[1]).sha256, 0
random.seed(1)
for turn in range(int(sys.argv[3])):
    data = bytearray(good)
    for _ in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(len(data))] = random.randrange(256)
    if turn % 3 == 0:
        del data[random.randrange(len(data)):]
    open(path, "wb").write(data)
    for read, error in ((_engine.Artifact.open, _engine.EngineError), (open_artifact, MetalffError)):
        try:
            found = read(path)
            if read is _engine.Artifact.open:
                found.verify()
            assert found.sha256 == intact
            opened += 1
        except error as refusal:
            assert path in str(refusal) and "\\n" not in str(refusal), refusal
print("opened", opened)
"""


@pytest.mark.parametrize("size, turns", [("small", 1500), ("whole", 150)])
def test_random_damage_never_passes_nor_crashes(size, turns, oracle, tmp_path):
    """In a process of its own, so that a crash or a hang fails this test and not the whole run."""
    good = oracle
    if size == "small":  # most bytes are headers and manifest
        good = tmp_path / "small.mlff"
        contents = members(oracle)
        manifest = json.loads(contents["manifest.json"])
        manifest["payloads"] = {"selftest.json": manifest["payloads"]["selftest.json"]}
        data = b"[]"
        manifest["payloads"]["selftest.json"].update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        good.write_bytes(packed({"manifest.json": json.dumps(manifest), "selftest.json": data}))
    command = [sys.executable, "-c", FUZZ, str(good), str(tmp_path / "damaged.mlff"), str(turns)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert completed.stdout.startswith("opened")


def is_pickle(data):
    try:
        *_, (last, _, position) = pickletools.genops(data)
    except ValueError:
        return False
    return last.name == "STOP" and position == len(data) - 1


def parts(name, data):
    """A member and, when it is a zip itself, all that is in it."""
    yield name, data
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for inner in archive.namelist():
                yield from parts(f"{name}/{inner}", archive.read(inner))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pickletools")
@pytest.mark.parametrize("model", ["oracle", "bundled_model"])
def test_nothing_is_a_pickle(model, request):
    assert all(is_pickle(pickle.dumps({"a": [1.0]}, protocol)) for protocol in range(6))
    seen = 0
    for member, whole in members(request.getfixturevalue(model)).items():
        for name, data in parts(member, whole):
            seen += 1
            assert not name.endswith((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".model")), name
            assert not is_pickle(data), name
    assert seen >= 8
