"""Labels → sets in the layout of Metal-43: ``sets/<part>-<width>eV/<El>_<lattice>_<T>.extxyz`` and ``manifest.json``."""

import json
import math
import os
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from metalff.data import Frame, layout
from metalff.data.extxyz import frames_of
from metalff.data.metals import metals
from metalff.data.text import text_lines
from metalff.dft.protocol import GPAW
from metalff.errors import MetalffError

OTHERS = "structures.extxyz"
"""Frames without one element and one temperature, which the layout has no name for."""

TASK = re.compile(r" task=([0-9a-f]{16})$", re.MULTILINE)
"""In the header of a frame."""

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
    """The file of each frame is written before the manifest that counts it, and each frame names its task: after a kill in between, the same labels are put
    in once more, over themselves."""
    folder = queue.folder / "sets" / name
    said = layout.manifest(folder)
    known, files = dict(queue.packed(name)), said.get("files", {})
    place = {task.id: number for number, task in enumerate(queue.tasks)}
    new, damaged = {}, None
    for task in tasks:
        try:
            label = read_label(queue.done_file(task), queue.structure(task))
        except FileNotFoundError:  # another process has packed it
            continue
        except MetalffError as error:
            damaged = error
            continue
        new[task.id] = (task, *_frame(queue.structure(task), label), label)
    folder.mkdir(parents=True, exist_ok=True)
    for file in {file for _, _, file, _ in new.values()}:
        kept = frames_by_task(folder / file) if (folder / file).exists() else {}
        if lost := set(files.get(file, {}).get("tasks", ())) - set(kept):
            raise MetalffError(
                f"{folder / file} lacks {len(lost)} labels that its manifest counts; restore it, or remove {folder} to make its labels again"
            )
        frames = kept | {key: frame for key, (_, frame, own, _) in new.items() if own == file}
        order = sorted(frames, key=lambda key: place.get(key, math.inf))
        layout.write_file([frames[key] for key in order], folder / file, [f"task={key}" for key in order])
        parsed = layout.parse(file)
        # a frame without its record is of a task whose label still lies in done/, or of another plan
        files[file] = {"frames": len(order), "tasks": order} | ({"temperature": parsed.temperature} if parsed else {})
    for key, (task, _, file, label) in new.items():
        atoms = queue.structure(task)
        own = {"structure": f"{task.source}/{task.index}", "file": file, "cpu_s": label["cpu_s"]}
        own |= {word: atoms.info[word] for word in ("strain", "run") if word in atoms.info}
        own |= {word: label[word] for word in ("details", "changed") if word in label} | ({"tries": label["tries"]} if label["tries"] else {})
        known[key] = json.loads(json.dumps(own, default=float))
    if new:
        label = next(iter(new.values()))[3]
        content = {
            "citation": "; ".join(filter(None, [queue.plan.citation, GPAW_CITATION if queue.plan.calculator.name == GPAW else ""])),
            "licence": queue.plan.licence,
            "calculator": queue.plan.calculator.name,
            "arguments": _by_file(queue, files, said.get("arguments", {})),
            "force_consistent": label["force_consistent"],
            "versions": label["versions"],
            "files": dict(sorted(files.items())),
            "tasks": dict(sorted(known.items(), key=lambda item: place.get(item[0], math.inf))),
        }
        layout.write_manifest(folder, content)
    for task, *_ in new.values():
        queue.done_file(task).unlink(missing_ok=True)
    if damaged:
        raise damaged
    return len(new)


def frames_by_task(path: Path) -> dict[str, Frame]:
    """Frames of a file of a set by the task that its header names.

    Raises:
        MetalffError: it is damaged, or a frame names no task.
    """
    lines = list(text_lines(path))  # read once: another process may write it anew
    frames, keys = list(frames_of(lines, str(path), path.name)), TASK.findall("\n".join(lines))
    if len(keys) != len(frames) or len(set(keys)) != len(keys):
        raise MetalffError(f"{path}: {len(frames)} frames name {len(set(keys))} tasks; restore it, or remove {path.parent} to make its labels again")
    return dict(zip(keys, frames, strict=True))


def _by_file(queue, files: dict, before: dict) -> dict:
    """Arguments of the calculator for each file, or, where its frames have several, for each task.

    Args:
        before: what the manifest said; kept for files with tasks that are not of this queue.
    """
    used, found = {task.id: task.arguments for task in queue.tasks}, {}
    for file, entry in files.items():
        keys = {key: used.get(key) for key in entry["tasks"]}
        if None in keys.values() and file in before:
            found[file] = before[file]
        elif len(set(keys.values())) == 1:
            found[file] = queue.arguments[next(iter(keys.values()))]
        else:
            found[file] = {key: queue.arguments[name] for key, name in keys.items() if name}
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
        raise MetalffError(
            f"{path} is damaged; it was put aside as {path.with_suffix('.damaged').name}; run the same command again to make that label anew"
        )
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
