"""What a reader of .mlff files believes: nothing. One table of damages; the engine and Python say the same of each."""

import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from cases import lammps
from metalff import MLFFCalculator, _engine, selftest
from metalff.artifact import open_artifact
from metalff.errors import MetalffError
from metalff.paths import shared

NEP, MACE, POLY = (shared("potentials", "mlff", f"Cu-{family}.mlff") for family in ("nep", "mace", "poly"))
INTEGER = "is not a whole number from"
DISTANCE = "r_max is not a number above 0 and up to 50"


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def sealed(source, change, **changed):
    """A file whose manifest ``change`` has edited and whose members are ``changed`` (None: taken away), hashes and sizes put right."""
    members = contents(source)
    for name, data in changed.items():
        name = {"selftest": "selftest.json", "nep": "native/nep.txt", "mace": "native/mace.safetensors"}[name]
        members[name] = data
    members = {name: data for name, data in members.items() if data is not None}
    manifest = json.loads(members["manifest.json"])
    manifest["payloads"] = {name: payload for name, payload in manifest["payloads"].items() if name in members}
    for name, payload in manifest["payloads"].items():
        payload |= {"sha256": hashlib.sha256(members[name]).hexdigest(), "size": len(members[name])}
    change(manifest)
    return packed(members | {"manifest.json": json.dumps(manifest).encode()})


def put(**values):
    return lambda manifest: manifest.update(values)


def nothing(manifest):
    pass


def in_training(**values):
    return lambda manifest: manifest["training"].update(values)


def in_payload(**values):
    return lambda manifest: manifest["payloads"]["selftest.json"].update(values)


MANIFESTS = {
    "schema 2.0": (put(schema=2.0), f"schema {INTEGER}"),
    "schema true": (put(schema=True), f"schema {INTEGER}"),
    "schema 2^64": (put(schema=2**64), f"schema {INTEGER}"),
    "unknown key": (put(colour="red"), "it has the unknown key 'colour'"),
    "name a number": (put(name=7), "name is not a text"),
    "family missing": (lambda manifest: manifest.pop("family"), "family is missing"),
    "licence a list": (put(licence=["MIT"]), "licence is not a text"),
    "no such element": (put(elements=["Xx"]), "elements names 'Xx', which is no element"),
    "element in small letters": (put(elements=["cu"]), "elements names 'cu', which is no element"),
    "element twice": (put(elements=["Cu", "Cu"]), "elements names Cu twice"),
    "element a number": (put(elements=[29]), "elements names '29', which is no element"),
    "many elements": (put(elements=["Cu"] * 10**5), "elements is a list of 100000, more than there are"),
    "of 8 MB": (put(elements=["Cu"] * 10**6), "it has more than 4 MB"),
    "r_max 1e9": (put(r_max=1e9), DISTANCE),
    "r_max 0": (put(r_max=0), DISTANCE),
    "r_max a text": (put(r_max="5"), DISTANCE),
    "r_max true": (put(r_max=True), DISTANCE),
    "layers 1.0": (put(layers=1.0), f"layers {INTEGER} 1 to 32"),
    "layers true": (put(layers=True), f"layers {INTEGER}"),
    "layers 10^9": (put(layers=10**9), f"layers {INTEGER}"),
    "layers 10^30": (put(layers=10**30), f"layers {INTEGER}"),
    "layers -1": (put(layers=-1), f"layers {INTEGER}"),
    "other units": (put(units={"energy": "kcal/mol", "length": "angstrom"}), "units is not that of energies in eV"),
    "versions numbers": (put(versions={"metalff": 1}), "versions is not an object of texts"),
    "training a list": (put(training=[]), "training is not an object"),
    "frames a half": (in_training(frames=0.5), f"training.frames {INTEGER}"),
    "frames 10^10": (in_training(frames=10**10), f"training.frames {INTEGER}"),
    "coordination 1e2": (in_training(largest_coordination=1e2), f"training.largest_coordination {INTEGER}"),
    "distance true": (in_training(shortest_distance=True), "training.shortest_distance is not a number from 0 to 50"),
    "pair of three": (in_training(pairs=[["Cu"] * 3]), "training.pairs is not a list of pairs of elements"),
    "pair of another": (in_training(pairs=[["Cu", "Ni"]]), "training.pairs names Ni, which is not an element of the model"),
    "error a text": (in_training(errors={"test": {"force_rmse": "small"}}), "training.errors.test is not an object of numbers"),
    "seed a text": (in_training(seed="one"), "training.seed is not a whole number"),
    "unlearnt a text": (in_training(unlearnt="hot"), "training.unlearnt is not a list of texts"),
    "payloads a list": (put(payloads=[]), "payloads is not an object"),
    "no hash": (in_payload(sha256="0"), "payloads.selftest.json.sha256 is not 64 hexadecimal digits"),
    "size negative": (in_payload(size=-1), "payloads.selftest.json.size is not a number of bytes"),
    "size a half": (in_payload(size=0.5), "payloads.selftest.json.size is not a number of bytes"),
    "payload's unknown key": (in_payload(colour="red"), "payloads.selftest.json has the unknown key 'colour'"),
    "precision half": (in_payload(precision="half"), "payloads.selftest.json.precision is neither double nor single"),
    "kind unknown": (in_payload(kind="pickle"), "kind"),
    "nested": (put(name=json.loads("[" * 150 + "]" * 150)), "it is not JSON, or nested too deep"),
}


def refused(path, *fragments):
    """The engine and Python say the same sentence of a file."""
    with pytest.raises(MetalffError) as python:
        open_artifact(path)
    sentence = str(python.value)
    try:
        _engine.Artifact.open(str(path)).verify()
    except _engine.EngineError as error:
        assert str(error) == sentence
    assert all(fragment in sentence for fragment in fragments), sentence
    assert str(path) in sentence and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifest(case, tmp_path):
    change, fragment = MANIFESTS[case]
    path = tmp_path / "bad.mlff"
    path.write_bytes(sealed(NEP, change))
    refused(path, "is not valid (", fragment)


@pytest.mark.parametrize(
    "text", [b'\xef\xbb\xbf{"schema": 2}', b'{"schema": 2, "name": "\\ud800"}', b'{"schema": 1e999}', b"[" * 10**6, b'{"schema": NaN}']
)
def test_manifest_that_is_no_json(text, tmp_path):
    path = tmp_path / "bad.mlff"
    path.write_bytes(packed(contents(NEP) | {"manifest.json": text}))
    refused(path, "is not valid (it is not JSON, or nested too deep)")


# Zips


def entries(data):
    """Places of the directory's entries and of their local headers, and of the end."""
    end = len(data) - 22
    at, found = struct.unpack("<I", data[end + 16 : end + 20])[0], []
    while at < end:
        found.append((at, struct.unpack("<I", data[at + 42 : at + 46])[0]))
        at += 46 + struct.unpack("<H", data[at + 28 : at + 30])[0]
    return found, end


def field(place, offset, code, value, which=1):
    """Writes a number into the header of a member: ``place`` 0 its entry in the directory, 1 what is before its bytes; None: the end."""

    def change(data):
        found, end = entries(data)
        start = end if place is None else found[which][place]
        struct.pack_into(code, data, start + offset, value)

    return change


def in_both(offset, code, value):
    def change(data):
        field(0, offset + 2, code, value)(data)
        field(1, offset, code, value)(data)

    return change


def overlapping(data):
    """A second entry whose bytes begin inside the first member's."""
    found, _ = entries(data)
    struct.pack_into("<I", data, found[2][0] + 42, found[1][1])


def with_name(name):
    return lambda: packed({name if key == "selftest.json" else key: data for key, data in contents(NEP).items()})


def twice():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in ("manifest.json", "manifest.json"):
            archive.writestr(zipfile.ZipInfo(name), contents(NEP)["manifest.json"])
    return stream.getvalue()


def bytes_of(**options):
    """As another program packs it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression=options.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in contents(NEP).items():
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            info.extra = options.get("extra", b"")
            info.comment = options.get("comment", b"")
            with archive.open(info, "w", force_zip64=options.get("zip64", False)) as member:
                member.write(data)
    return stream.getvalue()


class Pipe(io.RawIOBase):
    """What cannot be sought, so that sizes follow the bytes."""

    def __init__(self):
        self.written = b""

    def writable(self):
        return True

    def write(self, data):
        self.written += bytes(data)
        return len(data)


def streamed():
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, data in contents(NEP).items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return pipe.written


DAMAGED = "is truncated or damaged: copy it again from its source"
CONTRARY = "one thing in its directory and another before its bytes"
ZIPS = {
    "compressed": (lambda: bytes_of(compression=zipfile.ZIP_DEFLATED), "was repacked with compression"),
    "zip64": (lambda: bytes_of(zip64=True), "was repacked with zip64"),
    "extra fields": (lambda: bytes_of(extra=b"UT\x05\x00\x03abcd"), "was repacked with extra fields"),
    "comment": (lambda: bytes_of(comment=b"hello"), "was repacked with comments"),
    "data descriptors": (streamed, "was repacked with data descriptors"),
    "a name twice": (twice, "has two members of the name manifest.json"),
    "absolute name": (with_name("/etc/passwd"), "has a member whose name is no plain relative path"),
    "name upwards": (with_name("a/../../b"), "has a member whose name is no plain relative path"),
    "name not printable": (with_name("a\nb"), "has a member whose name is no plain relative path"),
    "many members": (lambda: packed(contents(NEP) | {f"m{k}": b"" for k in range(2000)}), "members, and an artefact has at most 100"),
    "encrypted": (in_both(6, "<H", 1), "was repacked with encryption"),
    "other size in the directory": (field(0, 24, "<I", 17), DAMAGED),
    "other size before": (field(1, 22, "<I", 17), CONTRARY),
    "size beyond the file": (field(0, 24, "<I", 0xFFFFFFF0), DAMAGED),
    "other name before": (field(1, 30, "B", ord("x")), CONTRARY),
    "other method before": (field(1, 8, "<H", 8), CONTRARY),
    "other flags before": (field(1, 6, "<H", 8), CONTRARY),
    "other hash before": (field(1, 14, "<I", 5), CONTRARY),
    "extra field before": (field(1, 28, "<H", 4), CONTRARY),
    "members overlap": (overlapping, "directory"),
    "count 0": (field(None, 10, "<H", 0), DAMAGED),
    "count of another disk": (field(None, 4, "<H", 1), DAMAGED),
    "directory elsewhere": (field(None, 16, "<I", 5), DAMAGED),
    "directory of zip64": (field(None, 16, "<I", 0xFFFFFFFF), "was repacked with zip64"),
    "in front of it": (lambda: b"PK\x03\x04 hello" + NEP.read_bytes(), DAMAGED),
}


@pytest.mark.parametrize("case", ZIPS)
def test_zip(case, tmp_path):
    damage, fragment = ZIPS[case]
    path = tmp_path / "bad.mlff"
    if damage.__code__.co_argcount:
        data = bytearray(NEP.read_bytes())
        damage(data)
    else:
        data = damage()
    path.write_bytes(data)
    refused(path, fragment)


def test_members_that_overlap(tmp_path):
    """Two entries of the directory, each with a header before its bytes, the second inside the first: a bomb of many such is refused."""
    inner = packed({"inner": b"x" * 100})[: 30 + 5 + 100]
    data = bytearray(packed({"outer": b"-" * 10 + inner}))
    found, end = entries(data)
    (first, _) = found[0]
    entry = bytearray(data[first : first + 46] + b"inner")
    with zipfile.ZipFile(io.BytesIO(packed({"inner": b"x" * 100}))) as archive:
        info = archive.getinfo("inner")
    struct.pack_into("<III", entry, 16, info.CRC, 100, 100)
    struct.pack_into("<I", entry, 42, 30 + 5 + 10)
    whole = data[:end] + entry + data[end:]
    struct.pack_into("<HHI", whole, len(whole) - 22 + 8, 2, 2, 2 * 51)
    (tmp_path / "bad.mlff").write_bytes(whole)
    refused(tmp_path / "bad.mlff", "has members that overlap or leave gaps")


# The manifest against the payload, wherever a model is opened


def opened(path):
    """The sentence of each way to open a model."""
    for act in (lambda: MLFFCalculator(path), lambda: selftest.replay(open_artifact(path))):
        with pytest.raises(MetalffError) as refusal:
            act()
        yield str(refusal.value)


def twin(source, member, change):
    """The payload after ``change`` of its text (NEP) or of its description (MACE)."""
    data = contents(source)[member]
    if member.endswith(".txt"):
        return change(data.decode()).encode()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["mace"])
    change(description, header)
    header["__metadata__"]["mace"] = json.dumps(description)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def mace(change):
    return lambda: sealed(MACE, nothing, mace=twin(MACE, "native/mace.safetensors", change))


def into(key, value, layer=None):
    return mace(lambda description, header: (description if layer is None else description["layers"][layer]).update({key: value}))


PAYLOADS = {
    "fewer layers": (lambda: sealed(MACE, put(layers=1)), "its manifest says layers 1 and its payload native/mace.safetensors is a model of 2"),
    "more layers": (lambda: sealed(NEP, put(layers=2)), "its manifest says layers 2 and its payload native/nep.txt is a model of 1"),
    "longer cutoff": (lambda: sealed(MACE, put(r_max=7.5)), "its manifest says r_max 7.5"),
    "shorter cutoff": (lambda: sealed(NEP, put(r_max=4.5)), "its manifest says r_max 4.5"),
    "another metal": (lambda: sealed(MACE, lambda m: m.update(elements=["Ni"], training={})), "says the elements Ni and its payload"),
    "one more metal": (lambda: sealed(NEP, lambda m: m.update(elements=["Cu", "Ni"], training={})), "says the elements Cu Ni and its payload"),
    "no path": (into("paths", [], 0), "it has no paths, or too many"),
    "path beyond": (into("paths", [[0, 9, 0]], 0), "a path leaves the range of l"),
    "channels 10^9": (into("channels", 10**9), "channels is 1000000000"),
    "channels 8.0": (into("channels", 8.0), "channels is not a whole number"),
    "channels of a layer": (into("channels", 3, 0), "has a wrong shape"),
    "l beyond": (into("l_out", list(range(9)), 0), "go beyond l = 4"),
    "no layer": (into("layers", []), "it has no layers, or more than 8"),
    "r_max true": (into("r_max", True), "r_max is not a number"),
    "tensor larger": (
        mace(lambda description, header: header["energy"].update(shape=[10**12])),
        "tensor energy is larger than the payload",
    ),
    "tensors overlap": (
        mace(lambda description, header: header["energy"].update(data_offsets=header["atomic_number"]["data_offsets"])),
        "its tensors overlap or leave gaps",
    ),
    "shape of halves": (mace(lambda description, header: header["energy"].update(shape=[1.0])), "no list of whole numbers"),
    "neurons 10^3": (
        lambda: sealed(NEP, nothing, nep=twin(NEP, "native/nep.txt", lambda text: re.sub("ANN .*", "ANN 1000 0", text))),
        "native/nep.txt",
    ),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_payload(case, tmp_path):
    make, fragment = PAYLOADS[case]
    path = tmp_path / "bad.mlff"
    path.write_bytes(make())
    for sentence in opened(path):
        assert fragment in sentence and str(path) in sentence and "\n" not in sentence


def test_elements_in_another_order(tmp_path):
    alloy = shared("potentials", "mlff", "LiNiCuNbMoTaW-nep.mlff")
    for member in ("nep", "mace"):
        alloy = shared("potentials", "mlff", f"LiNiCuNbMoTaW-{member}.mlff")
        path = tmp_path / f"{member}.mlff"
        path.write_bytes(sealed(alloy, lambda manifest: manifest["elements"].reverse()))
        for sentence in opened(path):
            assert "says the elements W Ta Mo Nb Cu Ni Li and its payload" in sentence
            assert "is a model of the elements Li Ni Cu Nb Mo Ta W: deploy the model again" in sentence


def test_in_lammps(tmp_path):
    """The same sentences, and no run."""
    (tmp_path / "layers.mlff").write_bytes(PAYLOADS["fewer layers"][0]())
    lines = ["units metal", "region b block 0 9 0 9 0 9", "create_box 1 b", "mass 1 63.5", "pair_style mlff"]
    completed = lammps(tmp_path, [*lines, "pair_coeff * * layers.mlff Cu", "run 0"])
    assert completed.returncode != 0 and "Traceback" not in completed.stderr
    assert PAYLOADS["fewer layers"][1] in completed.stdout


# The self-test


def cases(path=NEP):
    return json.loads(contents(path)["selftest.json"])


def with_cases(change):
    def make():
        known = cases()
        return sealed(NEP, nothing, selftest=json.dumps(change(known) or known).encode())

    return make


SELFTESTS = {
    "none": (lambda: sealed(NEP, nothing, selftest=None), "has no self-test, so nothing proves"),
    "without structures": (lambda: sealed(NEP, nothing, selftest=b"[]"), "has a self-test without structures, so nothing proves"),
    "no JSON": (lambda: sealed(NEP, nothing, selftest=b"[["), "is not valid (it is not a list of structures)"),
    "10^5 structures": (lambda: sealed(NEP, nothing, selftest=b"[" + b"{}," * 10**5 + b"{}]"), "it has more than 100 structures"),
    "no atoms": (with_cases(lambda known: known[0].update(symbols=[])), "a structure has no atoms"),
    "another element": (with_cases(lambda known: known[0]["symbols"].__setitem__(0, "Ni")), "an element that the model has not"),
    "fewer forces": (with_cases(lambda known: known[0]["forces"].__delitem__(0)), "other numbers of symbols, positions and forces"),
    "energy a text": (with_cases(lambda known: known[0].update(energy="0")), "another thing where a number belongs"),
    "flat cell": (with_cases(lambda known: known[0]["cell"].__setitem__(2, [0, 0, 0])), "a cell is flat"),
    "a point of a cell": (with_cases(lambda known: known[0].update(cell=[[1e-2, 0, 0], [0, 1e-2, 0], [0, 0, 1e-2]])), "too many neighbours"),
    "two atoms in one place": (with_cases(lambda known: known[0]["positions"].__setitem__(0, known[0]["positions"][1])), "in one place"),
    "pbc numbers": (with_cases(lambda known: known[0].update(pbc=[1, 1, 1])), "pbc is not three truth values"),
}


@pytest.mark.parametrize("case", SELFTESTS)
def test_selftest_that_proves_nothing(case, tmp_path):
    make, fragment = SELFTESTS[case]
    path = tmp_path / "bad.mlff"
    path.write_bytes(make())
    for sentence in opened(path):
        assert fragment in sentence and str(path) in sentence and "\n" not in sentence


def changed_weights(path):
    """A model whose weights are others than those of its self-test."""
    lines = contents(NEP)["native/nep.txt"].decode().split("\n")
    lines[20:60] = [str(1.01 * float(line)) for line in lines[20:60]]
    path.write_bytes(sealed(NEP, nothing, nep="\n".join(lines).encode()))
    return path


def test_failed_selftest(tmp_path):
    path = changed_weights(tmp_path / "bad.mlff")
    with pytest.raises(MetalffError, match="fails its self-test on this machine .energy .* eV/atom, forces .*: do not use it here"):
        MLFFCalculator(path)
    outcome = selftest.replay(open_artifact(path))  # what 'metalff check' prints
    assert not outcome.passed and outcome.structures == 4 and outcome.forces > 1e-4


def test_selftest_is_replayed_once(tmp_path, monkeypatch):
    """And is believed where nobody else may have written so; without a cache it is replayed each time."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("METALFF_CACHE", str(cache))
    MLFFCalculator(NEP)
    (record,) = (cache / "proved").iterdir()
    assert record.stat().st_size == 0 and record.stat().st_mode & 0o022 == 0
    bad = changed_weights(tmp_path / "bad.mlff")
    for _ in range(2):
        with pytest.raises(MetalffError, match="fails its self-test"):
            MLFFCalculator(bad)
    assert list((cache / "proved").iterdir()) == [record]
    before = record.stat().st_mtime_ns
    MLFFCalculator(NEP)
    assert record.stat().st_mtime_ns == before
    cache.chmod(0o777)  # anybody may have written there
    MLFFCalculator(NEP)
    monkeypatch.setenv("METALFF_CACHE", str(NEP / "nowhere"))
    MLFFCalculator(NEP)


def test_pairs_of_any_cell(tmp_path):
    """The engine's own neighbours agree with those of the calculator: thin, skewed and partly periodic cells, atoms outside of them."""
    rng = np.random.default_rng(4)
    calculator, known = MLFFCalculator(NEP), []
    thin = bulk("Cu", a=3.7).repeat((1, 1, 4))
    skewed = bulk("Cu", a=3.8, cubic=True)
    skewed.set_cell(skewed.cell.array @ [[1, 0, 0], [2.7, 1, 0], [-1.9, 3.2, 1]])
    skewed.positions += rng.integers(-3, 4, (4, 3)) @ skewed.cell.array
    chain = bulk("Cu", a=3.7, orthorhombic=True).repeat((1, 1, 2))
    chain.set_cell([[0, 0, 0], [0, 0, 0], [0.3, 0.1, 7.4]])
    for atoms, pbc in (
        (thin, True),
        (skewed, True),
        (skewed, (True, False, True)),
        (chain, (False, False, True)),
        (bulk("Cu", a=3.7).repeat(2), False),
    ):
        atoms = atoms.copy()
        atoms.pbc = pbc
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        atoms.calc = calculator
        known.append(
            {
                "symbols": list(atoms.symbols),
                "positions": atoms.positions.tolist(),
                "cell": atoms.cell.tolist(),
                "pbc": atoms.pbc.tolist(),
                "energy": atoms.get_potential_energy(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist() if atoms.cell.rank == 3 else None,
            }
        )
        assert np.abs(atoms.get_forces()).max() > 0.01
    path = tmp_path / "known.mlff"
    path.write_bytes(sealed(NEP, nothing, selftest=json.dumps(known).encode()))
    outcome = selftest.replay(open_artifact(path))
    assert outcome.structures == 5 and max(outcome.energy, outcome.forces, outcome.stress) < 1e-10, outcome


def test_only_what_is_needed_is_read(tmp_path):
    """A payload that a run does not use may be altered; one that it uses may not, and check reads all."""
    members = contents(MACE)
    unused = next(name for name in members if name.startswith("torch/"))
    members[unused] = members[unused][:-1] + bytes([members[unused][-1] ^ 1])
    path = tmp_path / "altered.mlff"
    path.write_bytes(packed(members))
    atoms = bulk("Cu")
    atoms.calc = MLFFCalculator(path)
    assert np.isfinite(atoms.get_potential_energy())
    refused(path, f"payload {unused} of", "does not match its hash in the manifest")
    members["native/mace.safetensors"] = members["native/mace.safetensors"][:-1] + b"\x01"
    path.write_bytes(packed(members))
    with pytest.raises(MetalffError, match="payload native/mace.safetensors of .* does not match its hash"):
        MLFFCalculator(path)


@pytest.mark.parametrize("family, files", [("nep", 40), ("mace", 20), ("poly", 20)])
def test_damaged_files(family, files, tmp_path):
    """A few of those of 'make test-sanitize', in processes with limits."""
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, script, {"nep": NEP, "mace": MACE, "poly": POLY}[family], "--files", str(files), "--seed", "7"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "METALFF_CACHE": str(tmp_path)})
    assert completed.returncode == 0, completed.stdout + completed.stderr[-2000:]
    assert sum(int(line.split()[-1]) for line in completed.stdout.splitlines()) == files
