"""Damaged artefacts: each is refused with one sentence, or gives the numbers of the sound one.

    python fuzz.py FILE.mlff [--files N] [--seed S]

What is damaged, deterministically by seed: raw bytes; and, with every hash and size put right afterwards, the manifest, the native payload,
the self-test and the fields of the zip. Each file is opened and evaluated in a process of its own that may take 10 s of processor time and
1 GB of memory. Prints what became of them; exits with 1 where one did anything else.
"""

import argparse
import hashlib
import io
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from metalff import _engine
from metalff.artifact import open_artifact
from metalff.errors import MetalffError

SECONDS, MEMORY, SAME = 10, 1 << 30, 1e-7
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # its shadow takes terabytes of addresses; it has a limit of its own
NUMBERS = [0, -1, 1, 2, 3, 5, 7, 1.0, 1.5, -2.5, 1e9, 1e300, -1e300, 10**6, 2**31, 2**32, 2**63, 2**64, float("nan"), float("inf")]
THINGS = [None, True, False, "", "x", "Cu", "Xx", "\x00", "../x", [], {}, [[]], [None], {"a": 1}, [1, 2, 3]]
WORDS = ["nan", "inf", "-1", "0", "1e400", "99999999999", "1.5", "x", "", "-", "1e-320", "0x10", "1 1", "\t", "3", "4"]


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def sealed(contents, manifest):
    """The file with sizes and hashes of its payloads put right."""
    for name, payload in manifest["payloads"].items():
        if name in contents and isinstance(payload, dict):
            payload |= {"sha256": hashlib.sha256(contents[name]).hexdigest(), "size": len(contents[name])}
    return packed(contents | {"manifest.json": json.dumps(manifest).encode()})


def places(value, path=()):
    """Paths to all that is in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def edited(rng, document):
    """A document with one to three of its values changed, removed, repeated or exchanged."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = list(places(document))
        if not found:
            return document
        *path, key = rng.choice(found)
        inside = document
        for step in path:
            inside = inside[step]
        act = rng.randrange(8)
        if act == 0:
            del inside[key]
        elif act == 1 and isinstance(inside, list):
            inside.insert(key, inside[key])
        elif act == 2 and isinstance(inside, list):
            rng.shuffle(inside)
        elif act == 3 and isinstance(inside[key], (int, float)):
            inside[key] = inside[key] * rng.choice((0.5, 2, -1, 1.001)) + rng.choice((0, 0, 1))
        elif act == 4:
            inside[key] = rng.choice(THINGS)
        else:
            inside[key] = rng.choice(NUMBERS)
    return document


def raw(rng, good):
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.randrange(4) == 0:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def of_manifest(rng, good):
    contents = members(good)
    manifest = json.loads(contents["manifest.json"])
    if rng.randrange(3) == 0:  # the few that matter most
        key = rng.choice(("elements", "r_max", "layers", "payloads", "training"))
        manifest[key] = rng.choice([*NUMBERS, *THINGS, ["Cu", "Ni"], ["Ni"], ["Cu"] * 2, manifest["r_max"] * 2])
    else:
        manifest = edited(rng, manifest)
    return packed(contents | {"manifest.json": json.dumps(manifest).encode()})


def of_selftest(rng, good):
    contents = members(good)
    cases = edited(rng, json.loads(contents["selftest.json"]))
    return sealed(contents | {"selftest.json": json.dumps(cases).encode()}, json.loads(contents["manifest.json"]))


def of_payload(rng, good):
    contents = members(good)
    name = next(name for name in contents if name.startswith("native/"))
    data, act = bytearray(contents[name]), rng.randrange(4)
    if act == 0:
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(min(len(data), rng.choice((300, 4000, len(data)))))] = rng.randrange(256)
    elif act == 1:
        del data[rng.randrange(len(data)) : rng.choice((None, rng.randrange(len(data))))]
    elif name.endswith(".txt"):
        lines = data.decode().split("\n")
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(rng.choice((6, len(lines))))
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[at] = " ".join(words)
        data = "\n".join(lines).encode()
    else:
        (length,) = struct.unpack("<Q", data[:8])
        header, blob = json.loads(data[8 : 8 + length]), bytes(data[8 + length :])
        if act == 2:
            described = header["__metadata__"]
            described |= {key: json.dumps(edited(rng, json.loads(text))) for key, text in described.items()}
        else:
            header = edited(rng, header)
        text = json.dumps(header).encode()
        data = struct.pack("<Q", rng.choice([len(text)] * 5 + [0, 2**63, 2**64 - 1])) + text + blob
    return sealed(contents | {name: bytes(data)}, json.loads(contents["manifest.json"]))


def of_zip(rng, good):
    """Fields of its headers; half the time a number that means something."""
    data = bytearray(good)
    end = len(data) - 22
    directory = struct.unpack("<I", data[end + 16 : end + 20])[0]
    starts, at = [], directory
    while at < end:
        starts += [(at, 46), (struct.unpack("<I", data[at + 42 : at + 46])[0], 30)]
        at += 46 + sum(struct.unpack("<HHH", data[at + 28 : at + 34]))
    start, size = rng.choice([*starts, (end, 22), (end, 22)])
    for _ in range(rng.choice((1, 1, 2))):
        width = rng.choice((1, 2, 4))
        place = start + rng.randrange(size + 8)
        number = rng.choice((0, 1, 8, 0xFFFF, 0xFFFFFFFF, rng.randrange(2**32), rng.randrange(len(data)), directory, end))
        data[place : place + width] = number.to_bytes(4, "little")[:width]
    return bytes(data[: len(good)])


def evaluated(path):
    engine = _engine.Engine(path, engine="native")
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (20, 3))
    vectors *= (rng.uniform(2, 4.4, 20) / np.linalg.norm(vectors, axis=1))[:, None]
    centre, neighbour = np.repeat([0, 1], 10), np.tile([1, 0], 10)
    energies, gradient = engine.evaluate(centre, neighbour, vectors, np.zeros(2, np.int32))
    return np.concatenate([energies, gradient.ravel()])


def attempt(path, expected):
    """In a process of its own: what became of one file, "refused" or "same", else what went wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if not SANITIZED:
            resource.setrlimit(resource.RLIMIT_AS, (int(memory()) + MEMORY, -1))
        said = "same"
        try:
            try:
                open_artifact(path)
                if not np.allclose(evaluated(path), expected, rtol=SAME, atol=SAME):
                    said = "gives other numbers"
            except (MetalffError, _engine.EngineError) as error:
                sentence = str(error)
                said = "refused" if path in sentence and "\n" not in sentence and len(sentence) < 1000 else f"says {sentence!r}"
        except BaseException as error:
            said = f"raises {error!r}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"ends by {signal.Signals(os.WTERMSIG(status)).name}"
    return said or f"ends with {os.WEXITSTATUS(status)}"


def memory():
    """Bytes of addresses in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


DAMAGES = {"raw": raw, "manifest": of_manifest, "payload": of_payload, "selftest": of_selftest, "zip": of_zip}


def run(model, files, seed, folder, say=print):
    """Counts of (damage, what became of it), and the descriptions of those that were neither refused nor the same."""
    good, expected = Path(model).read_bytes(), evaluated(str(model))
    counts, wrong = {}, []
    for number in range(files):
        kind = list(DAMAGES)[number % len(DAMAGES)]
        rng = random.Random(f"{seed} {number}")
        path = Path(folder) / "damaged.mlff"
        path.write_bytes(DAMAGES[kind](rng, good))
        outcome = attempt(str(path), expected)
        if outcome not in ("refused", "same"):
            kept = Path(folder) / f"{number}-{kind}.mlff"
            path.rename(kept)
            wrong.append(f"{Path(model).name}, seed {seed}, file {number} ({kind}): {outcome}")
            say(wrong[-1])
            outcome = "wrong"
        counts[kind, outcome] = counts.get((kind, outcome), 0) + 1
    return counts, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--files", type=int, default=1000, help="damaged files of each model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder where files that went wrong stay")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        if given.keep:
            Path(given.keep).mkdir(parents=True, exist_ok=True)
        for model in given.model:
            counts, wrong = run(model, given.files, given.seed, given.keep or folder)
            for (kind, outcome), count in sorted(counts.items()):
                print(f"{Path(model).name:28s} {kind:10s} {outcome:10s} {count:5d}")
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
