"""Time and memory of ``metalff validate`` on sets of the layout of Metal-43, and what they say of one of 172,000 frames × 108 atoms.

    python benchmarks/streaming.py [--frames 10 40 100] [--files 172] [--atoms 108] [--potential '{element}/eam'] [--jobs N] [--out table.csv]

Makes, in a temporary folder, files ``<El>_<lattice>_<T>.extxyz`` of the metals that the potential is for: ten perturbed crystals of each file are labelled
by the potential, with noise, and repeated. Each size is validated in a process of its own, whose stages are timed and whose memory, with that of its
children, is looked at five times a second: RSS of the parent; PSS of all, in which a page that processes share counts once; RSS of all.
Processor time is that of the parent and its children, the same on a machine where others are at work. Time and memory are fitted by lines.
``--frames 1000`` measures the whole size instead.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

FRAMES = 172_000
"""Of Metal-43, of 108 atoms each."""

STAGES = {
    "reading": ("reference", "reference_of"),
    "all batches": ("compare", "compare"),
    "statistics": ("compare", "summarise"),
    "writing": ("folder", "write"),
}
"""Functions of ``metalff.validate`` that are timed."""

DISTINCT = 10
"""Structures of a file."""

NOISE = 0.1
"""eV/Å, of the labels' forces."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 40, 100], help="of a file, one size after the other")
    parser.add_argument("--files", type=int, default=172)
    parser.add_argument("--atoms", type=int, default=108, help="of a frame")
    parser.add_argument("--potential", default="{element}/eam")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", help="where the set is made; a temporary folder")
    parser.add_argument("--out", help="a table, CSV")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        blocks = labelled(given.potential, given.files, given.atoms)
        for frames in given.frames:
            data = Path(folder) / f"{frames}"
            write(blocks, frames, data)
            rows.append(measured(data, given.potential, given.jobs, Path(folder) / f"out-{frames}", frames * len(blocks)))
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            for file in data.iterdir():
                file.unlink()
    if given.out:
        with open(given.out, "w", newline="") as stream:
            table = csv.DictWriter(stream, rows[0])
            table.writeheader()
            table.writerows(rows)
    if len(rows) > 1:
        said(rows)


def labelled(potential: str, files: int, size: int) -> dict[str, str]:
    """Name of each file → text of its structures."""
    from dataclasses import replace

    from metalff.data import Dataset, Frame, layout
    from metalff.data.metals import metals
    from metalff.errors import MetalffError
    from metalff.potentials import resolve
    from metalff.synth.relabel import relabelled

    chosen = {}
    for symbol in metals():
        try:
            chosen[symbol] = resolve(potential.replace("{element}", symbol), [symbol])
        except MetalffError:
            continue
    rng, found = np.random.default_rng(1), {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            symbol = list(chosen)[number % len(chosen)]
            share = 0.3 + 0.3 * (number // len(chosen))
            temperature = round(share * metals()[symbol].melting_temperature)
            crystal = cell_of(metals()[symbol], size)
            frames = []
            for index in range(DISTINCT):
                atoms = crystal.copy()
                atoms.rattle(0.03 * np.sqrt(share) * metals()[symbol].nearest_neighbour, seed=100 * number + index)
                zero = np.zeros_like(atoms.positions)
                frames.append(Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 0.0, zero, index=index))
            made = relabelled(Dataset(symbol, tuple(frames)), chosen[symbol]).frames
            made = [replace(frame, forces=frame.forces + rng.normal(0, NOISE, frame.forces.shape)) for frame in made]
            file = Path(folder) / layout.file_name(symbol, metals()[symbol].crystal, temperature)
            layout.write_file(made, file)
            found[file.name] = file.read_text()
    return found


def cell_of(metal, size: int):
    """A supercell of so many atoms, without those that it has more."""
    cell = metal.unit_cell()
    repeat = round((size / len(cell)) ** (1 / 3) + 0.49)
    return (cell * (repeat, repeat, repeat))[:size]


def write(blocks: dict[str, str], frames: int, folder: Path) -> None:
    folder.mkdir()
    for name, text in blocks.items():
        whole, rest = divmod(frames, DISTINCT)
        lines = text.splitlines(keepends=True)
        with open(folder / name, "w") as stream:
            for _ in range(whole):
                stream.write(text)
            stream.writelines(lines[: rest * (len(lines) // DISTINCT)])


def measured(data: Path, potential: str, jobs: int, out: Path, frames: int) -> dict:
    """A row of the table: seconds of each stage, peaks of memory in MB."""
    words = ["validate", potential, "--data", str(data), "--out", str(out), "--jobs", str(jobs)]
    before = spent()
    process = subprocess.Popen([sys.executable, __file__, "--timed", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peaks = {"parent RSS": 0.0, "all PSS": 0.0, "all RSS": 0.0}
    over = threading.Event()
    watch = threading.Thread(target=look, args=(process.pid, peaks, over))
    watch.start()
    told = process.stderr.read()
    process.wait()
    over.set()
    watch.join()
    if process.returncode:
        sys.exit(told)
    times = json.loads(told.splitlines()[-1])
    statistics = times["statistics"]
    row = {"frames": frames, "jobs": jobs, "total s": times["total"], "processor s": spent() - before, "reading s": times["reading"]}
    row |= {"reading and evaluating s": times["all batches"] - statistics, "statistics s": statistics, "writing s": times["writing"]}
    return {key: round(value, 1) if isinstance(value, float) else value for key, value in row.items()} | {
        f"{key} MB": round(value) for key, value in peaks.items()
    }


def spent() -> float:
    """Processor time of children that have ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(words: list[str]) -> None:
    """The command ``metalff`` with these words; the last line on stderr says what its stages took."""
    import importlib

    times, begun = dict.fromkeys(STAGES, 0.0), time.monotonic()

    def clocked(function, stage):
        def run(*args, **more):
            start = time.monotonic()
            try:
                return function(*args, **more)
            finally:
                times[stage] += time.monotonic() - start

        return run

    for stage, (module, name) in STAGES.items():
        module = importlib.import_module(f"metalff.validate.{module}")
        setattr(module, name, clocked(getattr(module, name), stage))
    from metalff.cli import main as metalff

    sys.argv = ["metalff", *words]
    try:
        metalff()
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps(times | {"total": time.monotonic() - begun}), file=sys.stderr)


def look(pid: int, peaks: dict, over) -> None:
    """Keep the largest memory of a process and its children, MB."""
    while not over.wait(0.2):
        found = [memory(number) for number in family(pid)]
        if found and found[0][0]:
            now = {"parent RSS": found[0][0], "all PSS": sum(pss for _, pss in found), "all RSS": sum(rss for rss, _ in found)}
            for key, value in now.items():
                peaks[key] = max(peaks[key], value)


def family(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [number for child in (task / "children").read_text().split() for number in family(int(child))]
    except OSError:
        pass
    return found


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS, MB; zero of a process that is gone."""
    try:
        lines = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    except (OSError, ValueError):
        return 0.0, 0.0
    return tuple(int(lines[key].split()[0]) * 1024 / 1e6 for key in ("Rss", "Pss"))


def said(rows: list[dict]) -> None:
    """What lines through the rows give at the size of Metal-43."""
    frames = np.array([row["frames"] for row in rows], float)
    print(f"extrapolated to {FRAMES:,} frames, from {int(frames.max()):,} at most:")
    for key, name in (("total s", "time"), ("processor s", "processor time")):
        slope, start = np.polyfit(frames, [row[key] for row in rows], 1)
        print(f"  {name}: {start:.1f} s + {1000 * slope:.2f} ms per frame: {(start + slope * FRAMES) / 60:.1f} min")
    for key in ("parent RSS MB", "all PSS MB", "all RSS MB"):
        slope, start = np.polyfit(frames, [row[key] for row in rows], 1)
        print(f"  {key.removesuffix(' MB')}: {start:.0f} MB + {1e6 * slope / 1000:.2f} kB per frame: {start + slope * FRAMES:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        timed(sys.argv[2:])
    else:
        main()
