"""Labels → sets in the layout of Metal-43: ``sets/<part>-<width>eV/<El>_<lattice>_<T>.extxyz`` and ``manifest.json``."""

import json
import math
import os
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from metalff.data import Frame, layout, read_extxyz
from metalff.data.metals import metals
from metalff.dft.protocol import GPAW
from metalff.errors import MetalffError

LICENCE = "CC-BY-4.0"

OTHERS = "structures.extxyz"
"""Frames without one element and one temperature, which the layout has no name for."""

GPAW_CITATION = "labels of GPAW: J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024), doi:10.1063/5.0182685"


def pack(queue) -> int:
    """Put finished labels into their sets; gives how many. A label is removed from ``done/`` only when its set holds it.

    Raises:
        MetalffError: a label is damaged (it is put aside, and made again), or a set is.
    """
    from metalff.dft.queue import take

    loose = defaultdict(list)
    for task in queue.tasks:
        if queue.done_file(task).exists():
            loose[task.set].append(task)
    if not loose:
        return 0
    while (lock := take(queue.work / "pack.lock")) is None:
        time.sleep(0.1)
    try:
        return sum(_pack_set(queue, name, tasks) for name, tasks in loose.items())
    finally:
        os.close(lock)


def _pack_set(queue, name: str, tasks: list) -> int:
    folder = queue.folder / "sets" / name
    known, files = dict(queue.packed(name)), layout.manifest(folder).get("files", {})
    place = {task.id: number for number, task in enumerate(queue.tasks)}
    new, touched = {}, set()
    for task in tasks:
        try:
            label = read_label(queue.done_file(task), queue.structure(task))
        except FileNotFoundError:  # another process has packed it
            continue
        frame, file = _frame(queue.structure(task), label)
        new[task.id] = (task, frame, label, file)
        touched.add(file)
    kept = {}
    for file in touched & set(files):
        frames = read_extxyz(folder / file).frames
        ids = files[file]["tasks"]
        if len(ids) != len(frames):
            raise MetalffError(f"{folder / file} has {len(frames)} frames, its manifest says {len(ids)}; restore it, or remove {folder} to make its labels again")
        kept[file] = dict(zip(ids, frames))
    folder.mkdir(parents=True, exist_ok=True)
    for file in touched:
        frames = kept.get(file, {}) | {key: frame for key, (_, frame, _, f) in new.items() if f == file}
        order = sorted(frames, key=lambda key: place.get(key, math.inf))
        layout.write_file([frames[key] for key in order], folder / file)
        parsed = layout.parse(file)
        files[file] = {"frames": len(order), "tasks": order} | ({"temperature": parsed.temperature} if parsed else {})
    for key, (task, _, label, file) in new.items():
        atoms = queue.structure(task)
        own = {"structure": f"{task.source}/{task.index}", "file": file, "cpu_s": label["cpu_s"]}
        own |= {word: atoms.info[word] for word in ("strain", "run") if word in atoms.info}
        own |= {word: label[word] for word in ("details", "changed") if word in label} | ({"tries": label["tries"]} if label["tries"] else {})
        known[key] = json.loads(json.dumps(own, default=float))
    sample = next(iter(new.values()), None)
    if sample is None:
        return 0
    content = {
        "citation": f"structures and labels of MetalFF; {GPAW_CITATION}" if queue.plan.calculator.name == GPAW else f"labels of {queue.plan.calculator.name}",
        "licence": LICENCE,
        "calculator": queue.plan.calculator.name,
        "arguments": _by_file(queue, known, files),
        "force_consistent": sample[2]["force_consistent"],
        "versions": sample[2]["versions"],
        "files": dict(sorted(files.items())),
        "tasks": dict(sorted(known.items(), key=lambda item: place.get(item[0], math.inf))),
    }
    layout.write_manifest(folder, content)
    for key, (task, *_) in new.items():
        queue.done_file(task).unlink(missing_ok=True)
    return len(new)


def _by_file(queue, known: dict, files: dict) -> dict:
    """Arguments of the calculator for each file; frames of a file that have others are listed by task."""
    used = {task.id: task.arguments for task in queue.tasks}
    found = {}
    for file, entry in files.items():
        keys = list(dict.fromkeys(used[key] for key in entry["tasks"] if key in used))
        if len(keys) == 1:
            found[file] = queue.arguments[keys[0]]
        else:
            found[file] = {key: queue.arguments[used[key]] for key in entry["tasks"] if key in used}
    return dict(sorted(found.items()))


def read_label(path: Path, atoms) -> dict:
    """A label as ``label_worker`` wrote it, its numbers checked.

    Raises:
        FileNotFoundError: it is gone.
        MetalffError: it is damaged; it has been put aside as ``….damaged``.
    """
    try:
        label = json.loads(path.read_text("utf-8"))
        forces, stress = np.array(label["forces"], float), label["stress"]
        ok = forces.shape == (len(atoms), 3) and np.isfinite(forces).all() and math.isfinite(label["energy"]) and label["id"] == path.stem
        ok &= stress is None or (np.array(stress, float).shape == (3, 3) and bool(np.isfinite(stress).all()))
        _ = label["cpu_s"], label["tries"], label["versions"], label["force_consistent"]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        ok = False
    if not ok:
        path.rename(path.with_suffix(".damaged"))
        raise MetalffError(f"{path} is damaged; it was put aside as {path.with_suffix('.damaged').name}; run the same command again to make that label anew")
    return label


def _frame(atoms, label: dict) -> tuple[Frame, str]:
    """The labelled structure, and the file of its set that it belongs to."""
    temperature, symbols = atoms.info.get("temperature"), set(atoms.symbols)
    frame = Frame(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=atoms.pbc,
        energy=label["energy"],
        forces=np.array(label["forces"]),
        stress=None if label["stress"] is None else np.array(label["stress"]),
        temperature=None if temperature is None else float(temperature),
    )
    symbol = next(iter(symbols))
    if len(symbols) > 1 or temperature is None or symbol not in metals():
        return frame, OTHERS
    return frame, layout.file_name(symbol, metals()[symbol].crystal, float(temperature))
