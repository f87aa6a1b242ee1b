"""Noise of forces by the k-mesh: labels beside their repeats with more points."""

from dataclasses import dataclass

import numpy as np

from metalff.data import read_extxyz
from metalff.dft.queue import MORE_K


@dataclass(frozen=True)
class Noise:
    """One metal at one width.

    Attributes:
        set, source: of the labels.
        frames: structures with a label in both meshes.
        mesh: points along each axis.
        rms: eV/Å, difference of force components between the meshes.
        rms_of_frames: the same of each frame.
        forces: eV/Å, RMS of the force components.
    """

    set: str
    source: str
    frames: int
    mesh: tuple[int, ...]
    rms: float
    rms_of_frames: tuple[float, ...]
    forces: float


def table(queue) -> list[Noise]:
    """Noise of every metal and width that has repeats in its sets."""
    ending = f"-k+{MORE_K}"
    repeats = [task for task in queue.tasks if task.set.endswith(ending)]
    forces = {}
    for name in {task.set for task in repeats} | {task.set.removesuffix(ending) for task in repeats}:
        forces[name] = _forces(queue, name)
    coarse = {(task.set, task.source, task.index): task for task in queue.tasks}
    pairs = {}
    for task in repeats:
        base = coarse.get((task.set.removesuffix(ending), task.source, task.index))
        if base and base.id in forces[base.set] and task.id in forces[task.set]:
            pairs.setdefault((base.set, task.source), []).append((base, forces[base.set][base.id], forces[task.set][task.id]))
    found = []
    for (name, source), rows in pairs.items():
        squares = [float(np.mean((fine - rough) ** 2)) for _, rough, fine in rows]
        mesh = tuple(queue.arguments[rows[0][0].arguments].get("kpts", {}).get("size", ()))
        size = float(np.sqrt(np.mean([np.mean(fine**2) for _, _, fine in rows])))
        found.append(Noise(name, source, len(rows), mesh, float(np.sqrt(np.mean(squares))), tuple(np.sqrt(squares)), size))
    return found


def _forces(queue, name: str) -> dict[str, np.ndarray]:
    """Forces of the labels in a set, by task."""
    from metalff.data import layout

    folder = queue.folder / "sets" / name
    found = {}
    for file, entry in layout.manifest(folder).get("files", {}).items():
        found |= dict(zip(entry["tasks"], (frame.forces for frame in read_extxyz(folder / file))))
    return found


def lines(rows: list[Noise]) -> list[str]:
    """A table for people."""
    if not rows:
        return []
    head = f"noise of forces by the k-mesh (against {MORE_K} more points along each axis)"
    width = max(len(f"{row.set} {row.source}") for row in rows)
    return [f"{head:<{width}}"] + [
        f"{row.set + ' ' + row.source:<{width}}  {'×'.join(map(str, row.mesh)):>7}  {1e3 * row.rms:6.1f} meV/Å "
        f"({1e3 * min(row.rms_of_frames):.1f} to {1e3 * max(row.rms_of_frames):.1f} of {row.frames} frames); forces {1e3 * row.forces:.0f}"
        for row in rows
    ]
