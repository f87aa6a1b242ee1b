"""Make the bundled sets again from the raw files: ``python -m metalff.data.convert SOURCE [OUT]``.

SOURCE holds ``zuo2020/<El>_{train,test}.xyz.gz`` and ``mlearn/<El>_{training,test}.json.gz``, the data of
materialsvirtuallab/mlearn, ``maml/<El>_{AIMD,Elastic,Surface,Test}.json.gz``, those of materialsvirtuallab/maml, and
``jarvis/<El>_{stresses,forces}.json.zip``, those of the JARVIS leaderboard. For the first, structures, energies and forces come from
``zuo2020``; stress, group and temperature from ``mlearn`` where it has the frame. The training frames of Cu and Ni have no entry there: they
carry no temperature, their group follows from the structure, by a rule that gives the source's own group for every test frame, and their
stress comes from JARVIS, which has all frames in the same order, with the same forces. Its matrices are the six numbers of mlearn (xx yy zz
xy xz yz, kbar, positive under compression) put where xx yy zz yz xz xy belong; so xy and yz are exchanged there, as every test frame shows.

The temperatures of the vacancy frames are left out: the source's labels cannot be right. Frames labelled 300 K and
907 K (Li) or 300 K and 3000 K (Cu, Ni) have the same mean energy and RMS force within their scatter, while the bulk
AIMD frames of these temperatures lie many standard deviations apart; for Mo the two labels are mixed in the test
split.

The source of maml mixes its snapshots; here they are in the order of their trajectories, so that blocks of consecutive frames can be
held out together. Its split ``train`` is all but the file ``Test``.
"""

import argparse
import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from metalff.data.bundled import SETS, pack
from metalff.data.extxyz import read_extxyz
from metalff.data.mlearn import CITATION, MAML_CITATION, read_mlearn, stress_of, trajectory
from metalff.data.text import text_of
from metalff.errors import MetalffError
from metalff.paths import atomic_write

ELEMENTS = ("Cu", "Ni", "Li", "Mo")
MAML_ELEMENTS = ("Nb", "Mo", "Ta", "W")
MAML_FILES = {"AIMD": "train", "Elastic": "train", "Surface": "train", "Test": "test"}
SPLITS = {"train": "training", "test": "test"}
BULK_ATOMS = {"Cu": 108, "Ni": 108}
POSITION_TOLERANCE = 1e-6
FORCE_TOLERANCE = 2e-6
JARVIS_ORDER = [0, 4, 8, 5, 2, 1]
"""Places of xx yy zz xy xz yz in the nine numbers of JARVIS."""
NOTE = (
    "Train of Cu and Ni: not described in the source, so group inferred from the structure, stress from the JARVIS leaderboard (NIST), no temperature. "
    "Vacancy: the source's temperatures are inconsistent and left out."
)


def convert(source: Path, out: Path) -> None:
    """Write ``out/zuo2020-<El>.npz`` for every element."""
    for element in ELEMENTS:
        frames, split = [], []
        for name, long_name in SPLITS.items():
            described = source / "mlearn" / f"{element}_{long_name}.json.gz"
            raw = read_extxyz(source / "zuo2020" / f"{element}_{name}.xyz.gz").frames
            frames += (
                merge(raw, read_mlearn(described).frames)
                if described.exists()
                else with_stresses(infer_groups(raw, element), source / "jarvis", element, name)
            )
            split += [name] * len(raw)
        with atomic_write(out / f"zuo2020-{element}.npz", "wb") as stream:
            np.savez_compressed(stream, **pack(frames, split, CITATION, "BSD-3-Clause", NOTE))


def convert_maml(source: Path, out: Path) -> None:
    """Write ``out/li2020-<El>.npz`` for every element."""
    for element in MAML_ELEMENTS:
        frames, split = [], []
        for name, part in MAML_FILES.items():
            file = source / "maml" / f"{element}_{name}.json.gz"
            found = read_mlearn(file).frames
            if name in ("AIMD", "Test"):
                keys = [trajectory(entry) for entry in json.loads(text_of(file))]
                found = [found[k] for k in sorted(range(len(keys)), key=keys.__getitem__)]
            frames += found
            split += [part] * len(found)
        with atomic_write(out / f"li2020-{element}.npz", "wb") as stream:
            np.savez_compressed(stream, **pack(frames, split, MAML_CITATION, "BSD-3-Clause", ""))


def merge(raw, described):
    """``raw`` with stress, group and temperature of ``described``, which must be the same frames in the same order."""
    if len(raw) != len(described):
        raise MetalffError(f"{raw[0].source}: {len(raw)} frames, but {described[0].source} describes {len(described)}")
    merged = []
    for frame, other in zip(raw, described, strict=True):
        same = len(frame) == len(other) and np.array_equal(frame.forces, other.forces)
        if not same or np.abs(frame.positions - other.positions).max() > POSITION_TOLERANCE:
            raise MetalffError(f"{frame.source}: frame {frame.index} is not the frame that {other.source} describes")
        temperature = None if other.group == "vacancy" else other.temperature
        merged.append(replace(frame, stress=other.stress, group=other.group, temperature=temperature))
    return merged


def with_stresses(raw, folder: Path, element: str, split: str):
    """``raw`` with the stresses of JARVIS, whose frames must have the same forces in the same order."""
    found = {}
    for key in ("stresses", "forces"):
        with zipfile.ZipFile(folder / f"{element}_{key}.json.zip") as archive:
            entries = json.loads(archive.read(archive.namelist()[0]))[split]
            found[key] = [np.array(text.split(";"), float) for text in entries.values()]
    frames = []
    for frame, forces, matrix in zip(raw, found["forces"], found["stresses"], strict=True):
        if forces.size != frame.forces.size or np.abs(forces - frame.forces.ravel()).max() > FORCE_TOLERANCE:
            raise MetalffError(f"{frame.source}: frame {frame.index} is not the frame of the JARVIS leaderboard")
        frames.append(replace(frame, stress=stress_of(element, matrix[JARVIS_ORDER])))
    return frames


def infer_groups(raw, element):
    """Groups of the fcc sets from atom count and cell.

    One atom less than the bulk cell: ``vacancy``; another count: ``surface``. Bulk cells: those of the trajectory share
    one cell, so the most frequent is ``aimd``; the rest is ``strain``, and ``ground`` when the cell is a cube.
    """
    bulk = BULK_ATOMS[element]
    trajectory = Counter(frame.cell.tobytes() for frame in raw if len(frame) == bulk).most_common(1)[0][0]

    def group(frame):
        if len(frame) != bulk:
            return "vacancy" if len(frame) == bulk - 1 else "surface"
        if frame.cell.tobytes() == trajectory:
            return "aimd"
        return "ground" if np.array_equal(frame.cell, frame.cell[0, 0] * np.eye(3)) else "strain"

    return [replace(frame, group=group(frame)) for frame in raw]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=SETS)
    arguments = parser.parse_args()
    convert(arguments.source, arguments.out)
    convert_maml(arguments.source, arguments.out)
