"""The reference sets that ship with MetalFF: compact ``.npz`` files in ``sets/``, read without pickles."""

import json
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from metalff.data.frame import Dataset, Frame
from metalff.errors import MetalffError, nearest

SETS = Path(__file__).parent / "sets"
SCHEMA = 1
DECIMALS = 8
"""Decimals that the source prints; stored as integers, which restore the printed numbers exactly."""


def names() -> list[str]:
    """Names of the bundled sets."""
    return sorted(path.stem for path in SETS.glob("*.npz"))


def load(name: str, split: str | None = None) -> Dataset:
    """A bundled set, such as ``load("zuo2020-Cu", split="test")``; all splits when ``split`` is None.

    Raises:
        MetalffError: no such set or split.
    """
    if name not in names():
        raise MetalffError(f"no bundled set {name}{nearest(name, names())}; there are {', '.join(names())}")
    meta, frames = _read(SETS / f"{name}.npz")
    if split is not None:
        if split not in meta["splits"]:
            raise MetalffError(f"{name} has no split {split}{nearest(split, meta['splits'])}; it has {', '.join(meta['splits'])}")
        frames = tuple(frame for frame in frames if frame.source == f"{name}:{split}")
    return Dataset(f"{name}:{split}" if split else name, frames, meta["citation"], meta["licence"])


def splits(name: str) -> list[str]:
    """Names of the splits of a bundled set."""
    return _read(SETS / f"{name}.npz")[0]["splits"]


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[dict, tuple[Frame, ...]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"]))
            arrays = {key: stored[key] for key in stored.files if key != "meta"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MetalffError(f"{path.name}: the bundled set is damaged ({error}); reinstall metalff") from None
    if meta["schema"] != SCHEMA:
        raise MetalffError(f"{path.name}: schema {meta['schema']}, but this metalff reads {SCHEMA}; reinstall metalff")
    return meta, tuple(_frames(path.stem, arrays))


def _frames(name, arrays):
    ends = np.cumsum(arrays["atoms"])
    position, force = (arrays[key] / 10.0**DECIMALS for key in ("positions", "forces"))
    index = {}
    for k, end in enumerate(ends):
        rows = slice(end - arrays["atoms"][k], end)
        source = f"{name}:{arrays['split'][k]}"
        index[source] = index.get(source, -1) + 1
        stress, temperature = arrays["stress"][k], float(arrays["temperature"][k])
        yield Frame(
            numbers=arrays["numbers"][rows].astype(int),
            positions=position[rows],
            cell=arrays["cell"][k],
            pbc=np.ones(3, bool),
            energy=float(arrays["energy"][k]),
            forces=force[rows],
            stress=None if np.isnan(stress).any() else stress,
            temperature=None if np.isnan(temperature) else temperature,
            group=str(arrays["group"][k]),
            source=source,
            index=index[source],
        )


def pack(frames: list[Frame], split: list[str], citation: str, licence: str, note: str) -> dict[str, np.ndarray]:
    """Arrays of a set, ready for ``np.savez_compressed``; positions and forces as integers of 1e-8."""

    def stack(key, missing):
        values = [getattr(frame, key) for frame in frames]
        return np.array([missing if value is None else value for value in values], float)

    def integers(key):
        return np.rint(np.concatenate([getattr(frame, key) for frame in frames]) * 10.0**DECIMALS).astype(np.int64)

    meta = {
        "schema": SCHEMA,
        "splits": list(dict.fromkeys(split)),
        "citation": citation,
        "licence": licence,
        "note": note,
    }
    return {
        "meta": np.array(json.dumps(meta)),
        "atoms": np.array([len(frame) for frame in frames], np.int32),
        "numbers": np.concatenate([frame.numbers for frame in frames]).astype(np.uint8),
        "positions": integers("positions"),
        "forces": integers("forces"),
        "cell": np.array([frame.cell for frame in frames]),
        "energy": stack("energy", np.nan),
        "stress": stack("stress", np.full((3, 3), np.nan)),
        "temperature": stack("temperature", np.nan),
        "group": np.array([frame.group for frame in frames]),
        "split": np.array(split),
    }
