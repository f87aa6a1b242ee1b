"""MetalFF's engine: opens an .mlff artefact and evaluates neighbour graphs, on numpy arrays.

The compiled part is ``lib/mlff_engine.so``, plain C functions that any Python calls through ctypes, without the interpreter's lock
(``plugins/python/c_interface.cpp``). Needs nothing but numpy and nothing else of MetalFF, so that a family's environment can load it by its path.
"""

import ctypes
import json
import operator
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class EngineError(Exception):
    """Something the user can mend; one clear sentence."""


LIBRARY = Path(__file__).resolve().with_name("lib") / "mlff_engine.so"

if not LIBRARY.is_file():
    raise ImportError(f"MetalFF's compiled part {LIBRARY} is missing: install MetalFF ('pip install .' in its directory)")
try:
    _library = ctypes.CDLL(str(LIBRARY))
except OSError as error:
    raise ImportError(f"MetalFF's compiled part does not load ({error}): install MetalFF again") from error

_TEXT, _INT, _LONG, _SIZE, _REAL, _HANDLE = ctypes.c_char_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t, ctypes.c_double, ctypes.c_void_p
_ARRAY = ctypes.c_void_p
_OUT = ctypes.c_void_p

_ANSWERS = {
    "metalff_error": (_TEXT, ()),
    "metalff_close_artifact": (None, (_HANDLE,)),
    "metalff_describe_artifact": (_TEXT, (_HANDLE,)),
    "metalff_manifest": (_TEXT, (_HANDLE,)),
    "metalff_close_engine": (None, (_HANDLE,)),
    "metalff_describe_engine": (_TEXT, (_HANDLE,)),
    "metalff_artifact_of": (_HANDLE, (_HANDLE,)),
    "metalff_close_trainer": (None, (_HANDLE,)),
    "metalff_n_parameters": (_SIZE, (_HANDLE,)),
    "metalff_n_descriptors": (_INT, (_HANDLE,)),
    "metalff_n_functions": (_INT, (_HANDLE,)),
    "metalff_committee": (_INT, (_HANDLE,)),
}
"""Functions that cannot fail: what they return, and of what."""

_STATUSES = {
    "metalff_open_artifact": (_TEXT, _OUT),
    "metalff_verify": (_HANDLE,),
    "metalff_read": (_HANDLE, _TEXT, _OUT, _OUT),
    "metalff_replay": (_HANDLE, _OUT, _ARRAY),
    "metalff_describe_device": (_TEXT, _OUT),
    "metalff_cached_programs": (_HANDLE, _TEXT, _TEXT, _OUT),
    "metalff_cache_key": (_HANDLE, _TEXT, _TEXT, _OUT),
    "metalff_payload_name": (_HANDLE, _TEXT, _OUT),
    "metalff_open_engine": (_TEXT, _TEXT, _TEXT, _INT, _INT, _TEXT, _TEXT, _INT, _INT, _OUT),
    "metalff_profile": (_HANDLE, _OUT),
    "metalff_evaluate": (_HANDLE, _ARRAY, _ARRAY, _ARRAY, _LONG, _ARRAY, _LONG, _ARRAY, _ARRAY),
    "metalff_evaluate_committee": (_HANDLE, _ARRAY, _ARRAY, _ARRAY, _LONG, _ARRAY, _LONG, _ARRAY, _ARRAY),
    "metalff_open_trainer": (_TEXT, _TEXT, _SIZE, _INT, _OUT),
    "metalff_get_parameters": (_HANDLE, _ARRAY),
    "metalff_set_parameters": (_HANDLE, _ARRAY),
    "metalff_add_structure": (_HANDLE, _ARRAY, _ARRAY, _ARRAY, _LONG, _ARRAY, _LONG, _REAL, _ARRAY, _ARRAY, _REAL, _OUT),
    "metalff_gradient": (_HANDLE, _ARRAY, _INT, _REAL, _REAL, _REAL, _ARRAY, _OUT),
    "metalff_jacobian": (_HANDLE, _INT, _INT, _ARRAY, _ARRAY, _ARRAY, _ARRAY),
    "metalff_predict": (_HANDLE, _ARRAY, _INT, _ARRAY, _ARRAY, _ARRAY),
    "metalff_design": (_HANDLE, _ARRAY, _INT, _ARRAY),
    "metalff_descriptor_range": (_HANDLE, _ARRAY, _ARRAY),
}
"""Functions that return a status: 0 is well, 1 has a sentence, 2 is out of memory."""

for _name, (_answer, _of) in (_ANSWERS | {name: (_INT, of) for name, of in _STATUSES.items()}).items():
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _answer, _of


def _call(name: str, *arguments) -> None:
    """Raises: EngineError, MemoryError."""
    if not hasattr(_library, name):
        raise EngineError("this MetalFF was built without the torch engine, so it runs MACE and NEP alone: install it from source, beside torch")
    status = getattr(_library, name)(*arguments)
    if status == 2:
        raise MemoryError("out of memory in MetalFF's engine")
    if status:
        raise EngineError(_library.metalff_error().decode("utf-8", "backslashreplace"))


def _text_of(name: str, *arguments) -> str:
    out = _TEXT()
    _call(name, *arguments, ctypes.byref(out))
    return (out.value or b"").decode("utf-8", "backslashreplace")


def _open(name: str, *arguments) -> ctypes.c_void_p:
    handle = _HANDLE()
    _call(name, *arguments, ctypes.byref(handle))
    return handle


def _text(value) -> bytes:
    data = os.fsencode(value)
    if b"\0" in data:
        raise EngineError(f"{value!r} has a character that no name can have: leave it out")
    return data


def _int(name: str, value) -> int:
    number = operator.index(value)
    if not -(2**31) <= number < 2**31:
        raise EngineError(f"{name} must be a whole number below 2147483648, not {number}")
    return number


def _array(values, dtype) -> np.ndarray:
    return np.ascontiguousarray(values, dtype)


class Artifact:
    """An opened ``.mlff`` file. Lengths in Å.

    Attributes:
        path: of the file.
        sha256: of the manifest, which holds the hash of every payload.
        manifest: its text.
        name, elements, r_max, layers: of the manifest.
        shortest_distance, largest_coordination, smallest_coordination, pairs: of the training data; 0 or empty: unknown. Pairs are indices of
            elements, the smaller first.
        overlap_distance: between two atoms, below which the energy means nothing; 0: unknown.
    """

    def __init__(self, path, handle, keep=None):
        self._handle, self._keep = handle, keep  # kept: an engine, whose artefact this is
        self.path = os.fspath(path)
        said = json.loads(_library.metalff_describe_artifact(handle))
        self.sha256, self.name, self.elements = said["sha256"], said["name"], said["elements"]
        self.r_max, self.layers = said["r_max"], said["layers"]
        self.shortest_distance, self.overlap_distance = said["shortest_distance"], said["overlap_distance"]
        self.largest_coordination, self.smallest_coordination = said["largest_coordination"], said["smallest_coordination"]
        self.manifest = _library.metalff_manifest(handle).decode()
        self.pairs = {tuple(pair) for pair in said["pairs"]}

    @classmethod
    def open(cls, path) -> "Artifact":
        """Raises: EngineError: it is no sound artefact."""
        return cls(path, _open("metalff_open_artifact", _text(path)))

    def verify(self) -> None:
        """Read every payload. Raises: EngineError: a hash is not that of the manifest."""
        _call("metalff_verify", self._handle)

    def read(self, payload: str) -> bytes:
        """Bytes of one payload. Raises: EngineError: there is none of that name, or its hash is not that of the manifest."""
        data, size = ctypes.c_void_p(), _SIZE()
        _call("metalff_read", self._handle, _text(payload), ctypes.byref(data), ctypes.byref(size))
        return ctypes.string_at(data, size.value) if size.value else b""

    def __del__(self, close=_library.metalff_close_artifact, ending=sys.is_finalizing):
        if self.__dict__.get("_handle") and self._keep is None and not ending():
            close(self._handle)


@dataclass(frozen=True)
class Deviation:
    """Of a self-test, the largest over its structures: eV/atom, eV/Å, eV/Å³; ``scaled``: forces as a part of the structure's largest, where that is above 1 eV/Å."""

    structures: int
    energy: float
    forces: float
    stress: float
    scaled: float


class Engine:
    """A model and the buffers of its last graph: for one thread at a time. Options are those of ``MLFFCalculator``; ``programs`` names a directory
    of compiled ones outside the cache. Without ``selftest`` the file's own is not asked for.

    Raises:
        EngineError: the file or an option cannot be used, or the file fails its self-test here.
    """

    def __init__(self, path, precision="double", device="cpu", threads=1, chunk=0, programs="", engine="auto", spline=-1, selftest=True):
        numbers = _int("threads", threads), _int("chunk", chunk)
        words = _text(programs), _text(engine), _int("spline", spline)
        self._handle = _open("metalff_open_engine", _text(path), _text(precision), _text(device), *numbers, *words, int(selftest))
        self._path = path

    def __del__(self, close=_library.metalff_close_engine, ending=sys.is_finalizing):
        if self.__dict__.get("_handle") and not ending():
            close(self._handle)

    @property
    def artifact(self) -> Artifact:
        return Artifact(self._path, _library.metalff_artifact_of(self._handle), keep=self)

    @property
    def engine(self) -> str:
        """What evaluates, in words."""
        return _library.metalff_describe_engine(self._handle).decode()

    def replay(self) -> "Deviation":
        """Largest deviations from the file's self-test. Raises: EngineError: it has none, or one that proves nothing."""
        structures, found = _INT(), np.empty(4)
        _call("metalff_replay", self._handle, ctypes.byref(structures), found.ctypes.data)
        return Deviation(structures.value, *map(float, found))

    def profile(self) -> list[dict]:
        """Where the time went so far: layer, name, seconds (of all threads) and flops of each part; empty where it is not known."""
        return json.loads(_text_of("metalff_profile", self._handle))

    def evaluate(self, centre, neighbor, edge_vec, types):
        """Energies[N] in eV and dE/d edge_vec [E,3] in eV/Å.

        Args:
            centre, neighbor: [E] nodes of each edge, in the order of their centres.
            edge_vec: [E,3] Å, from centre to neighbour, shorter than the model's cutoff.
            types: [N] indices into the model's elements.
        Raises:
            EngineError: the arrays do not fit together.
        """
        arrays, given = self._graph(centre, neighbor, edge_vec, types)
        energy, grad = np.empty(arrays[3].size), np.empty((arrays[0].size, 3))
        _call("metalff_evaluate", self._handle, *given, energy.ctypes.data, grad.ctypes.data)
        return energy, grad

    @property
    def committee(self) -> int:
        """Members of a committee that came with the model, besides the model itself."""
        return _library.metalff_committee(self._handle)

    def evaluate_committee(self, centre, neighbor, edge_vec, types):
        """Energies [M] of the structure in eV and forces [M,N,3] in eV/Å of the committee's members, with one pass over the neighbours.

        Arguments and errors: see ``evaluate``.
        """
        arrays, given = self._graph(centre, neighbor, edge_vec, types)
        energy, forces = np.empty(self.committee), np.empty((self.committee, arrays[3].size, 3))
        _call("metalff_evaluate_committee", self._handle, *given, energy.ctypes.data, forces.ctypes.data)
        return energy, forces

    @staticmethod
    def _graph(centre, neighbor, edge_vec, types):
        """Arrays of a graph, which must outlive the call, and what the library takes for them."""
        centre, neighbor = _array(centre, np.int64), _array(neighbor, np.int64)
        edge_vec, types = _array(edge_vec, np.float64), _array(types, np.int32)
        edges, nodes = centre.size, types.size
        if neighbor.size != edges or edge_vec.size != 3 * edges:
            raise EngineError("centre, neighbor and edge_vec must describe the same number of edges")
        return (centre, neighbor, edge_vec, types), (centre.ctypes.data, neighbor.ctypes.data, edge_vec.ctypes.data, edges, types.ctypes.data, nodes)


class Trainer:
    """Structures with labels, and the loss of a native model on them by its parameters.

    Args:
        family: nep, mace or poly.
        payload: text or bytes of a model of the architecture to train.
    Raises:
        EngineError: no such family, or the payload is not valid.
    """

    def __init__(self, family, payload, threads=1):
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        self._handle = _open("metalff_open_trainer", _text(family), data, len(data), _int("threads", threads))
        self._atoms = []  # of each structure

    def __del__(self, close=_library.metalff_close_trainer, ending=sys.is_finalizing):
        if self.__dict__.get("_handle") and not ending():
            close(self._handle)

    @property
    def parameters(self) -> np.ndarray:
        values = np.empty(_library.metalff_n_parameters(self._handle))
        _call("metalff_get_parameters", self._handle, values.ctypes.data)
        return values

    @parameters.setter
    def parameters(self, values):
        values, n = _array(values, np.float64), _library.metalff_n_parameters(self._handle)
        if values.size != n:
            raise EngineError(f"the model has {n} parameters, not {values.size}")
        _call("metalff_set_parameters", self._handle, values.ctypes.data)

    def add(self, centre, neighbor, edge_vec, types, energy, forces, virial=None, weight=1.0) -> int:
        """The number of a structure with labels: energy (eV), forces [N,3] (eV/Å), virial [3,3] (eV) or None. Graph: see ``Engine.evaluate``."""
        centre, neighbor = _array(centre, np.int64), _array(neighbor, np.int64)
        edge_vec, types, forces = _array(edge_vec, np.float64), _array(types, np.int32), _array(forces, np.float64)
        virial = None if virial is None else _array(virial, np.float64)
        edges, nodes = centre.size, types.size
        if neighbor.size != edges or edge_vec.size != 3 * edges or forces.size != 3 * nodes or (virial is not None and virial.size != 9):
            raise EngineError("centre[E], neighbor[E], edge_vec[E,3], types[N], forces[N,3] and virial[3,3] do not fit together")
        number = _INT()
        given = centre.ctypes.data, neighbor.ctypes.data, edge_vec.ctypes.data, edges, types.ctypes.data, nodes
        labels = energy, forces.ctypes.data, None if virial is None else virial.ctypes.data, weight
        _call("metalff_add_structure", self._handle, *given, *labels, ctypes.byref(number))
        self._atoms.append(nodes)
        return number.value

    def gradient(self, batch, energy_weight, virial_weight, huber=0.0):
        """Loss of the structures of these numbers, and its gradient by the parameters: see ``plugins/engine/training_loss.h``."""
        batch = self._batch(batch)
        out, loss = np.empty(_library.metalff_n_parameters(self._handle)), _REAL()
        weights = energy_weight, virial_weight, huber
        _call("metalff_gradient", self._handle, batch.ctypes.data, batch.size, *weights, out.ctypes.data, ctypes.byref(loss))
        return loss.value, out

    def jacobian(self, number, by_energy, by_force, by_virial):
        """Derivatives by the parameters, [rows, n], of by_energy · E + Σ by_force · F + Σ by_virial · virial of a structure.

        Args:
            by_energy: [rows].
            by_force: [rows, N, 3].
            by_virial: [rows, 3, 3].
        """
        (number,), n = self._batch([number]), self._atoms[number]
        by_energy, by_force, by_virial = (_array(a, np.float64) for a in (by_energy, by_force, by_virial))
        rows = by_energy.size
        if by_force.size != 3 * n * rows or by_virial.size != 9 * rows:
            raise EngineError("by_energy[rows], by_force[rows,N,3] and by_virial[rows,3,3] do not fit together")
        out = np.empty((rows, _library.metalff_n_parameters(self._handle)))
        given = by_energy.ctypes.data, by_force.ctypes.data, by_virial.ctypes.data
        _call("metalff_jacobian", self._handle, int(number), rows, *given, out.ctypes.data)
        return out

    def predict(self, batch):
        """Energy (eV), forces [N,3] (eV/Å) and virial [3,3] (eV) of each of these structures."""
        batch = self._batch(batch)
        ends = np.cumsum([self._atoms[k] for k in batch], dtype=int)
        energy, forces, virial = np.empty(batch.size), np.empty((ends[-1] if batch.size else 0, 3)), np.empty((batch.size, 3, 3))
        outputs = energy.ctypes.data, forces.ctypes.data, virial.ctypes.data
        _call("metalff_predict", self._handle, batch.ctypes.data, batch.size, *outputs)
        return list(zip(energy.tolist(), np.split(forces, ends[:-1]), virial, strict=True)) if batch.size else []

    @property
    def n_functions(self) -> int:
        """Basis functions of a model that is linear in its coefficients; 0 of others."""
        return _library.metalff_n_functions(self._handle)

    def design(self, batch):
        """Of a model that is linear in its coefficients: energy (eV), forces (eV/Å) and virial (eV) of each basis function with a coefficient of one.

        Returns:
            An array [n_functions, 1 + 3 N + 9] for each of these structures.
        """
        batch = self._batch(batch)
        widths = [10 + 3 * self._atoms[k] for k in batch]
        out = np.empty(self.n_functions * sum(widths))
        _call("metalff_design", self._handle, batch.ctypes.data, batch.size, out.ctypes.data)
        parts = np.split(out, np.cumsum([self.n_functions * width for width in widths])[:-1]) if batch.size else []
        return [part.reshape(-1, width) for part, width in zip(parts, widths, strict=True)]

    def descriptor_range(self):
        """Least and greatest value [n] of each descriptor over all structures."""
        n = _library.metalff_n_descriptors(self._handle)
        low, high = np.empty(n), np.empty(n)
        _call("metalff_descriptor_range", self._handle, low.ctypes.data, high.ctypes.data)
        return low, high

    def _batch(self, batch) -> np.ndarray:
        numbers = _array(batch, np.int32)
        if numbers.size and not (0 <= numbers.min() and numbers.max() < len(self._atoms)):
            raise EngineError(f"there are {len(self._atoms)} structures, numbered from 0")
        return numbers


def describe_device(device: str) -> str:
    """What the native engine's library for a device runs on. Raises: EngineError: it is not built, or there is no such device."""
    return _text_of("metalff_describe_device", _text(device))


def cached_programs(artifact: Artifact, precision: str, device: str) -> str:
    """Directory of what was compiled of an artefact before; '' where nothing was. Raises: EngineError: something was, and may not be believed."""
    return _text_of("metalff_cached_programs", artifact._handle, _text(precision), _text(device))


def cache_key(artifact: Artifact, precision: str, device: str) -> str:
    """Fingerprint of all that a compiled payload depends on. Raises: EngineError: the artefact has none for that precision."""
    return _text_of("metalff_cache_key", artifact._handle, _text(precision), _text(device))


def payload_name(artifact: Artifact, precision: str) -> str:
    """The portable payload that a precision selects. Raises: EngineError: there is none."""
    return _text_of("metalff_payload_name", artifact._handle, _text(precision))
