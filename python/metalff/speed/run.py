"""Measure cases one after the other; what is done is kept, so a run that is cut off goes on where it was."""

import hashlib
import json
import os
import platform
import subprocess
import tempfile
import zipfile
from pathlib import Path

from metalff.artifact import read_manifest
from metalff.environments import environment_python
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.speed import peers_worker
from metalff.speed.cases import Case
from metalff.speed.lammps import lattice, measure, mlff
from metalff.versions import versions

SECONDS = 6.0
"""Aim of a timed run."""


def machine() -> dict:
    """Processor, cores and the versions of what takes part."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "versions": versions("lammps", "torch", "ase", "numpy", "metalff"),
    }


def load(path: Path, models) -> dict:
    """Results so far of the same models on the same machine, else none."""
    hashes = {str(model): hashlib.sha256(Path(model).read_bytes()).hexdigest() for model in models}
    fresh = {"machine": machine(), "models": hashes, "results": {}}
    if path.is_file():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            raise MetalffError(f"'{path}' is not a file of results: choose another --out, or remove it") from None
        same = found.get("machine") == fresh["machine"]
        if same and all(found.get("models", {}).get(name, sha) == sha for name, sha in hashes.items()):
            found["models"] |= hashes
            return found
    return fresh


def run(cases: list[Case], path: Path, models, symmetrix: Path | None = None, progress=lambda case, k: None) -> dict:
    """Measure what is missing and write ``path`` after each case.

    Args:
        symmetrix: a Python that has symmetrix-xl and mace-torch, for that peer.
        progress: called with the case at hand and the number of those done.

    Returns:
        machine, models (path → SHA-256) and results (`Case.key` → name, atoms, ranks, weak, µs/atom, MB, and the parts of a step).

    Raises:
        MetalffError: LAMMPS or a peer stopped; what is done is kept.
    """
    document = load(path, models)
    for k, case in enumerate(cases):
        progress(case, k)
        if case.key in document["results"]:
            continue
        measured = _peer(case, symmetrix) if case.peer else _lammps(case)
        document["results"][case.key] = {
            "name": case.name,
            "model": case.model.stem,
            "engine": case.engine,
            "precision": case.precision,
            "atoms": measured["atoms"],
            "ranks": case.ranks,
            "weak": case.weak,
            "µs/atom": 1e6 * measured["s/step"] / measured["atoms"],
        } | {key: value for key, value in measured.items() if key not in ("atoms", "s/step")}
        with atomic_write(path) as stream:
            json.dump(document, stream, indent=1, ensure_ascii=False)
    return document


def _lammps(case: Case) -> dict:
    element, cells = case.crystal()
    keywords = f"engine {case.engine} precision {case.precision} extrapolation ignore"

    def once(steps):
        return measure(mlff([case.model], keywords, element), cells, steps, case.ranks, element=element)

    probe = once(3)
    return once(max(5, min(2000, round(SECONDS / probe["s/step"]))))


def _peer(case: Case, symmetrix: Path | None) -> dict:
    element, cells = case.crystal()
    worker = Path(peers_worker.__file__)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(case.model) as archive:
            archive.extractall(folder)
        config = read_manifest(case.model).training.config.get("model", {})
        (Path(folder) / "config.json").write_text(json.dumps(config))
        crystal, a = lattice(element)[0].split()
        job = {
            "folder": folder,
            "element": element,
            "crystal": crystal,
            "a": float(a),
            "cells": cells,
            "precision": case.precision,
        }
        job |= {"seconds": SECONDS}
        if case.engine == "NEP_CPU":
            return _work(environment_python("nep"), worker, job | {"work": "time nep"})
        mace = environment_python("mace")
        if case.engine == "MACECalculator":
            return _work(mace, worker, job | {"work": "time mace"})
        if symmetrix is None:
            raise MetalffError("symmetrix-xl is timed in an environment of its own: give its Python with --symmetrix")
        _work(mace, worker, job | {"work": "restore"})
        return _work(symmetrix, worker, job | {"work": "time symmetrix"})


def _work(python: Path, worker: Path, job: dict) -> dict:
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [str(python), "-P", str(worker), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MetalffError(f"{job['work']} stopped: {reason}")
    return json.loads(done.stdout.splitlines()[-1])
