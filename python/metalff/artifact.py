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
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from metalff import _engine
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
    errors: dict = {}  # e.g. {"zuo2020-Cu:test": {"force_rmse": …, "energy_rmse": …}} in eV/Å and eV/atom, "zuo2020-Cu:test, surface": of a group;
    # "groups": by group of validation
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
        """Bytes of one payload, whose hash is that of the manifest.

        Raises:
            MetalffError: there is no such payload, it is damaged, or the file was altered.
        """
        return _said(lambda: _engine.Artifact.open(str(self.path)).read(member))

    def has_selftest(self) -> bool:
        """Whether there is a self-test with structures, whatever they are; raises like `read`."""
        try:
            return "selftest.json" in self.manifest.payloads and bool(self.selftest())
        except ValueError:
            return False

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


def open_artifact(path, whole: bool = True) -> Artifact:
    """Open and check an artefact: container, schema, sizes, and of the ``whole`` file the hash of every payload, too.

    The engine reads it, so that whatever opens a file refuses the same ones with the same sentence. Where not the whole file is asked for no
    payload is read; `Artifact.read` checks the hash of the one that it reads.

    Raises:
        MetalffError: one sentence that says what is wrong with the file.
    """
    path = Path(path)
    opened = _said(lambda: _engine.Artifact.open(str(path)))
    if whole:
        _said(opened.verify)
    try:
        return Artifact(path, Manifest.model_validate_json(opened.manifest), opened.sha256)
    except pydantic.ValidationError as error:
        reason = "; ".join(".".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors())
        raise MetalffError(f"the manifest of '{path}' is not valid ({reason}): deploy the model again") from None


def read_manifest(path) -> Manifest:
    """The manifest of an artefact, whose payloads are not read; raises like `open_artifact`."""
    return open_artifact(path, whole=False).manifest


def _said(act):
    """What ``act`` returns; the engine's sentence as ours."""
    try:
        return act()
    except UnicodeEncodeError:
        raise MetalffError("the name of a file is no text: rename it") from None
    except _engine.EngineError as error:
        raise MetalffError(str(error)) from None
