"""Numerical noise of labels: forces beside those of repeats with finer settings."""

from dataclasses import dataclass

import numpy as np

from metalff.data import layout
from metalff.dft.plan import set_name
from metalff.dft.sets import frames_by_task, pack
from metalff.paths import atomic_write


@dataclass(frozen=True)
class Noise:
    """One metal, one width, one kind of repeat.

    Attributes:
        set, source: of the labels.
        repeat: its name.
        frames: structures that have both labels.
        mesh: points of the labels along each axis.
        rms: eV/Å, difference of force components.
        rms_of_frames: the same of each frame.
        energy: eV/atom, standard deviation of the difference of energies (a common shift changes nothing); None of a single frame.
        forces: eV/Å, RMS of the force components.
    """

    set: str
    source: str
    repeat: str
    frames: int
    mesh: tuple[int, ...]
    rms: float
    rms_of_frames: tuple[float, ...]
    energy: float | None
    forces: float


def table(queue) -> list[Noise]:
    """Noise of all metals and widths, as far as both labels are in their sets."""
    kinds = {
        set_name(part.name, width, repeat): (set_name(part.name, width), repeat.name)
        for part in queue.plan.parts
        for repeat in part.repeats
        for width in repeat.frames
    }
    labels = {name: _labels(queue, name) for name in {*kinds, *(base for base, _ in kinds.values())}}
    tasks = {(task.set, task.source, task.index): task for task in queue.tasks}
    pairs = {}
    for task in queue.tasks:
        if task.set not in kinds or task.id not in labels[task.set]:
            continue
        base, repeat = kinds[task.set]
        own = tasks[base, task.source, task.index]
        if own.id in labels[base]:
            pairs.setdefault((base, task.source, repeat), []).append((own, labels[base][own.id], labels[task.set][task.id]))
    found = []
    for (name, source, repeat), rows in pairs.items():
        squares = [float(np.mean((fine.forces - label.forces) ** 2)) for _, label, fine in rows]
        shifts = [(fine.energy - label.energy) / len(label) for _, label, fine in rows]
        mesh = tuple(queue.arguments[rows[0][0].arguments].get("kpts", {}).get("size", ()))
        size = float(np.sqrt(np.mean([np.mean(fine.forces**2) for _, _, fine in rows])))
        rms = float(np.sqrt(np.mean(squares)))
        found.append(
            Noise(
                name, source, repeat, len(rows), mesh, rms, tuple(np.sqrt(squares).tolist()), float(np.std(shifts)) if len(shifts) > 1 else None, size
            )
        )
    return found


def _labels(queue, name: str) -> dict:
    """Labelled frames of a set, by task."""
    folder, found = queue.folder / "sets" / name, {}
    for file in layout.manifest(folder).get("files", {}):
        found |= frames_by_task(folder / file)
    return found


def write_csv(rows: list[Noise], path) -> None:
    """``noise.csv``: forces in eV/Å, energies in eV/atom."""
    import pandas

    lines = [
        {
            "set": row.set,
            "structures": row.source,
            "repeat": row.repeat,
            "frames": row.frames,
            "mesh": "x".join(map(str, row.mesh)),
            "force_rms_difference": row.rms,
            "least_of_frames": min(row.rms_of_frames),
            "most_of_frames": max(row.rms_of_frames),
            "force_rms": row.forces,
            "energy_difference": row.energy,
        }
        for row in rows
    ]
    with atomic_write(path) as stream:
        pandas.DataFrame(lines).to_csv(stream, index=False, float_format="%.6g")


def lines(rows: list[Noise]) -> list[str]:
    """A table for people."""
    if not rows:
        return []
    width = max(len(f"{row.set} {row.source}") for row in rows)
    head = f"{'noise: labels beside repeats':<{width}}  {'mesh':>7}  {'repeat':<8}  frames  force RMS of the difference, meV/Å (frame by frame)  of forces  energy, meV/atom"
    return [head] + [
        f"{row.set + ' ' + row.source:<{width}}  {'×'.join(map(str, row.mesh)):>7}  {row.repeat:<8}  {row.frames:>6}  "
        f"{1e3 * row.rms:>12.1f} {f'({1e3 * min(row.rms_of_frames):.1f} to {1e3 * max(row.rms_of_frames):.1f})':<42}  {1e3 * row.forces:>7.0f}  {'' if row.energy is None else f'{1e3 * row.energy:.2f}':>8}"
        for row in rows
    ]


def finish(queue) -> None:
    """Put finished labels into their sets, and what their repeats say into ``noise.csv``."""
    if pack(queue) and (rows := table(queue)):
        write_csv(rows, queue.folder / "noise.csv")
