"""What a training has learnt, group by group, and what its data say of pressure and volume."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from metalff.data import Dataset
from metalff.validate.groups import UNGROUPED, UNNAMED, groups_of, indented
from metalff.validate.groups import group_errors as errors_of
from metalff.validate.metrics import FrameErrors

SHARE = 0.5
"""Error of the forces of a group over these forces themselves, above which it is not learnt: the model is nearer to them than zero forces are by no
more than a factor of two."""

LEAST_FORCE = 0.1
"""eV/Å; groups with smaller forces (perfect crystals, strained ones, relaxed surfaces) are learnt by their energies and stresses …"""

LEAST_SHARE = 0.1
"""… as are those whose forces are a smaller part of those of the group with the largest: labels of perfect molybdenum crystals in zuo2020 have forces of
0.14 eV/Å that are noise, where the melt has 2."""

SAME_VOLUME = 0.01
"""Relative difference of volume within which structures of one composition have the same one."""


def group_errors(frames: Dataset, table: Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """Errors by group of frames in the order of ``valid.csv``, see ``validate.groups``; those of frames without a group under ``""``.

    Returns:
        the groups, and their parts: by temperature and metal, where there are several. Both are empty where there is no such table, as in trainings
        of an older MetalFF; the tables of a less old one have no absolute errors.
    Raises:
        ValueError: the table is not that of the frames.
    """
    if not table.exists():
        return {}, {}
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if len(rows) != len(frames):
        raise ValueError(f"{table.name} has {len(rows)} lines for {len(frames)} frames")
    columns = FrameErrors(*(np.array([float(row.get(name, "nan")) for row in rows]) for name in FrameErrors._fields))
    by_group = defaultdict(list)
    for number, frame in enumerate(frames):
        by_group[frame.group].append(number)
    parts = {label: chosen for label, chosen in groups_of(frames).items() if label not in (*by_group, UNNAMED)}
    return errors_of(dict(sorted(by_group.items())), columns), errors_of(parts, columns)


def beside(groups: dict[str, dict], parts: dict[str, dict]) -> dict[str, dict]:
    """Each group with its temperatures after it, then the other parts."""
    found = {}
    for name, errors in groups.items():
        found[name] = errors
        found |= {part: own for part, own in parts.items() if indented(part, (name,)) != part}
    return found | parts


def not_learnt(groups: dict[str, dict]) -> list[str]:
    """Groups whose force error exceeds half of their forces, and not for want of forces."""
    least = max(LEAST_FORCE, LEAST_SHARE * max((e["force_rms"] for e in groups.values()), default=0.0))
    return [name for name, e in groups.items() if e["force_rms"] > least and not e["force_rmse"] <= SHARE * e["force_rms"]]


def unlearnt_sentence(names: list[str], groups: dict[str, dict]) -> str:
    """Which groups are not learnt, with numbers."""
    said = [
        f"{label(name)} ({groups[name]['force_rmse']:.3g} of {groups[name]['force_rms']:.3g} eV/Å)" if name in groups else label(name)
        for name in names
    ]
    return (
        f"the forces of {', '.join(said)} are not learnt: their error on the validation part is more than half of the forces themselves; train longer, "
        "take a larger model, or mend the data"
    )


def label(group: str) -> str:
    return group or UNGROUPED


def one_volume(frames: Dataset) -> bool:
    """Whether no two periodic frames of the same atoms differ in volume; volumes of slabs (half as much again) are no volumes of the crystal."""
    volumes = defaultdict(list)
    for frame in frames:
        if frame.pbc.all():
            volumes[tuple(np.sort(frame.numbers).tolist())].append(abs(np.linalg.det(frame.cell)))
    for values in map(np.sort, volumes.values()):
        ratios = values / values[0]
        if ((ratios > 1 + SAME_VOLUME) & (ratios < 1.5)).any():
            return False
    return True


def pressure_sentence(frames: Dataset, stress_weight: float) -> str:
    """What pressure and volume of the model rest on, where that is little; else empty."""
    stressed = bool(stress_weight) and any(frame.stress is not None for frame in frames)
    why = (
        "" if stressed else "no stress is learnt (" + ("its weight is 0" if any(f.stress is not None for f in frames) else "the data have none") + ")"
    )
    if one_volume(frames):
        reason = f"all training frames of the same atoms have one volume{' and ' + why if why else ''}"
        if stressed:
            return f"{reason}: the pressure is learnt at that volume, but what the model says of other volumes, and so NPT, means nothing"
        return f"{reason}: pressure and volume mean nothing with this model, and neither does NPT"
    if why:
        return f"{why}: pressure and volume rest on the energies of the volumes in the data alone, and may mean little; check them before NPT"
    return ""
