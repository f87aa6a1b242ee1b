"""The ``.mlff`` container: a stored zip of ``manifest.json``, portable payloads and a self-test; nothing is a pickle.

Members:

- ``manifest.json``: what the model is (`Manifest`), with the SHA-256 of every other member;
- ``torch/float64.zip``, ``torch/float32.zip``: the programs of the layers as plain data (``deploy/program.py``);
- ``native/mace.safetensors``: the weights in plain form for the native engine (``deploy/mace_weights.py``), where it covers the model;
- ``weights.safetensors``: the weights by name, to train on or to deploy anew;
- ``selftest.json``: structures with the energies, forces and stresses of the framework that trained the model.

The contract of the last layer's program, the only one of a strictly local model: ``(edge_vec[E,3], edge_index[2,E], types[N],
mask[n][, features[N,F]]) → (atomic_energy[n], dE/d edge_vec[E,3][, dE/d features])`` with lengths in Å, energies in eV,
edge_index = (centre, neighbour), edge_vec = r_neighbour - r_centre, the first n nodes being the centres, and E = Σ mask·E_i.
Every layer before it has two more (``deploy.contract.export_model``). Edges at or beyond ``r_max`` contribute nothing.
"""

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from metalff.errors import MetalffError
from metalff.paths import atomic_write

SCHEMA = 3
SINCE = "0.2.0"
"""The first version of MetalFF that writes and reads this schema."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # equal contents give equal files


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class Payload(_Strict):
    """One member of the container."""

    kind: Literal["program", "safetensors", "native", "selftest"]
    sha256: str
    size: int
    precision: Literal["double", "single"] | None = None


class Training(pydantic.BaseModel):
    """How the model came to be. Further keys are kept as they are."""

    model_config = pydantic.ConfigDict(extra="allow")

    data: str = ""  # name of the data set
    data_sha256: str = ""
    frames: int = 0
    shortest_distance: float = pydantic.Field(0.0, ge=0, allow_inf_nan=False)  # Å, in the training data; 0: unknown
    largest_coordination: int = pydantic.Field(0, ge=0)  # most neighbours within r_max of an atom there; 0: unknown
    smallest_coordination: int = pydantic.Field(0, ge=0)  # fewest of them; 0: unknown, or there are isolated atoms
    pairs: list[tuple[str, str]] = []  # elements within r_max of each other there; empty: unknown
    seed: int | None = None
    config: dict = {}
    errors: dict = {}  # e.g. {"zuo2020-Cu:test": {"force_rmse": …, "energy_rmse": …}} in eV/Å and eV/atom; "groups": by group of validation
    unlearnt: list[str] = []  # groups of the validation part whose force error exceeds half of their forces
    pressure: str = ""  # a sentence, where pressure and volume of the model rest on little
    reference: str = ""  # what gave the numbers of the self-test, where that is not the framework of the family


class Manifest(_Strict):
    """What a model is. Lengths in Å, energies in eV."""

    schema_: int = pydantic.Field(SCHEMA, alias="schema")
    name: str
    family: str
    elements: list[str] = pydantic.Field(min_length=1)  # in the order of the model's types
    r_max: float = pydantic.Field(gt=0, allow_inf_nan=False)  # cutoff of one layer, Å
    layers: int = pydantic.Field(ge=1)  # message-passing layers; 1: strictly local
    units: dict[str, str] = {"energy": "eV", "length": "angstrom"}
    training: Training = Training()
    citation: str = ""
    licence: str = ""
    versions: dict[str, str] = {}
    payloads: dict[str, Payload] = {}


@dataclass(frozen=True)
class Artifact:
    """An opened, checked ``.mlff`` file."""

    path: Path
    manifest: Manifest
    sha256: str  # of manifest.json, and so of the whole

    def read(self, member: str) -> bytes:
        """Bytes of one payload."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(member)

    def selftest(self) -> list[dict]:
        """Reference structures: symbols, positions[N,3] Å, cell[3,3] Å, pbc[3], energy eV, forces[N,3], stress[3,3]."""
        return json.loads(self.read("selftest.json"))


def write(path, manifest: Manifest, members: dict[str, tuple[Payload, bytes]]) -> None:
    """Write an artefact atomically; hashes and sizes of the payloads are filled in."""
    manifest = manifest.model_copy(
        update={
            "payloads": {
                name: payload.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
                for name, (payload, data) in members.items()
            }
        }
    )
    text = manifest.model_dump_json(by_alias=True, indent=1).encode()
    with atomic_write(path, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"manifest.json": text, **{n: d for n, (_, d) in members.items()}}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)


def open_artifact(path) -> Artifact:
    """Open and check an artefact: container, schema, the size and hash of every payload.

    Raises:
        MetalffError: one sentence that says what is wrong with the file.
    """
    path = Path(path)
    if not path.is_file():
        raise MetalffError(f"'{path}' does not exist or is not a file: check the path")
    members = _read_members(path)
    if "manifest.json" not in members:
        raise MetalffError(
            f"'{path}' has no manifest.json, so it is not an .mlff artefact: make one with 'metalff deploy'"
        )
    manifest = _parse_manifest(path, members["manifest.json"])
    for name, payload in manifest.payloads.items():
        if name not in members:
            raise MetalffError(f"'{path}' lacks its payload {name}: copy it again from its source")
        data = members[name]
        if len(data) != payload.size:
            raise MetalffError(
                f"payload {name} of '{path}' has {len(data)} bytes but its manifest says {payload.size}: copy it again "
                "from its source"
            )
        if hashlib.sha256(data).hexdigest() != payload.sha256:
            raise MetalffError(
                f"payload {name} of '{path}' does not match its hash in the manifest: the file was altered; copy it "
                "again from its source"
            )
    return Artifact(path, manifest, hashlib.sha256(members["manifest.json"]).hexdigest())


def read_manifest(path) -> Manifest:
    """The manifest of a checked artefact; raises like `open_artifact`."""
    return open_artifact(path).manifest


def _read_members(path: Path) -> dict[str, bytes]:
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            raise MetalffError(f"'{path}' is not an .mlff artefact: make one with 'metalff deploy'")
        try:
            stream.seek(-22, os.SEEK_END)
            if stream.read(4) != b"PK\x05\x06":  # a cut file may still hold that of a payload, which is a zip as well
                raise zipfile.BadZipFile
            with zipfile.ZipFile(stream) as archive:
                if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                    raise MetalffError(
                        f"'{path}' was repacked with compression: use the file as 'metalff deploy' wrote it"
                    )
                return {info.filename: archive.read(info) for info in archive.infolist()}
        # what zipfile raises depends on the byte that is wrong
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
            raise MetalffError(f"'{path}' is truncated or damaged: copy it again from its source") from error


def _parse_manifest(path: Path, text: bytes) -> Manifest:
    try:
        raw = json.loads(text)
        found = raw["schema"]
        if isinstance(found, int) and found != SCHEMA:
            writer = raw["versions"]["metalff"] if "metalff" in raw.get("versions", {}) else "an unknown version"
            versions = f"(the file is of MetalFF {writer}; schema {SCHEMA} is that of MetalFF {SINCE} and later)"
            if found > SCHEMA:
                raise MetalffError(
                    f"'{path}' has manifest schema {found} but this MetalFF reads up to {SCHEMA}: update MetalFF {versions}"
                )
            raise MetalffError(
                f"'{path}' has manifest schema {found}, of an older MetalFF, but this one reads {SCHEMA}: deploy the model again "
                f"{versions}"
            )
        return Manifest.model_validate(raw)
    except pydantic.ValidationError as error:
        reason = "; ".join(".".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors())
    except KeyError as error:
        reason = f"key {error} not found"
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)
    raise MetalffError(f"the manifest of '{path}' is not valid ({reason}): deploy the model again")
