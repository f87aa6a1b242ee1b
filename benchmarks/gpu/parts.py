"""The parts of a check: each yields rows of a table as they come. Standard library only."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import bundle_cases as cases
import runs
from runs import Backend


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    folder: Path  # of the bundle
    work: Path  # for inputs and outputs
    backend: Backend
    sizes: tuple[int, ...]
    models: tuple[str, ...]
    at_once: int  # runs side by side where no time is measured
    run_seconds: float  # of a timed run

    def pair(self, name: str, precision: str, elements=None) -> str:
        return self.backend.pair(self.folder / "models" / f"{name}.mlff", elements or cases.MODELS[name][1], precision)

    def data(self, name: str, structure: str) -> Path:
        return self.folder / "inputs" / f"{structure}-{len(cases.MODELS[name][1])}.data"

    def speed_models(self):
        return [name for name in cases.SPEED_MODELS if name in self.models]


class Clock:
    """The time that a part may take."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        return self.end - time.monotonic()


def failed(case: dict, outcome, clock: Clock) -> dict:
    if outcome.late and clock.left() < 1:
        return too_late(case)
    return case | {"failure": outcome.failure, "log": runs.tail(outcome.text)}


def too_late(case: dict) -> dict:
    return case | {"skipped": "no time left"}


# --- facts


def facts(bench: Bench, clock: Clock):
    """Card, driver, processor, what LAMMPS says of itself."""
    card = {"card": "", "driver": "", "memory": ""}
    if tool := shutil.which("nvidia-smi"):
        try:
            asked = [tool, "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit,compute_mode", "--format=csv,noheader"]
            said = subprocess.run(asked, capture_output=True, text=True, timeout=min(20, clock.left())).stdout
            words = [word.strip() for word in said.splitlines()[0].split(",")] if said.strip() else []
            card |= dict(zip(("card", "driver", "memory", "clock", "power limit", "compute mode"), words))
        except (OSError, subprocess.SubprocessError):
            pass
    if not card["card"]:
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
            card["card"] = (re.findall(r"Model:\s*(.+)", path.read_text()) or [""])[0]
            break
    if not card["driver"] and (version := Path("/proc/driver/nvidia/version")).is_file():
        card["driver"] = version.read_text().splitlines()[0]
    processor = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    card |= {"processor": processor[0] if processor else "", "cores": os.cpu_count()}
    outcome = runs.run(replace(bench.backend, flags=()), "info config accelerator", bench.work / "facts", min(30, clock.left()))
    card["LAMMPS"] = (re.findall(r"LAMMPS version: (.*)", outcome.text) or re.findall(r"^LAMMPS \((.*)\)", outcome.text, re.M) or [""])[0]
    card["Kokkos"] = (re.findall(r"KOKKOS package API:\s*(.*)", outcome.text) or [""])[0]
    yield failed(card, outcome, clock) if outcome.failure else card


# --- parity


def reference(bench: Bench, name: str, structure: str) -> dict:
    with gzip.open(bench.folder / "reference" / f"{name}-{structure}.json.gz", "rt") as stream:
        return json.load(stream)


def deviations(numbers: dict, expected: dict) -> dict[str, float]:
    """Largest differences of what `runs.state` gives for one step, relative as cases.TOLERANCES says."""
    largest = max(map(abs, expected["forces"])) or 1.0
    atoms = sum(map(abs, expected["atom energies"])) or 1.0
    atom = max(map(abs, expected["atom energies"])) or 1.0
    pressure = max(map(abs, expected["pressure"])) or 1.0

    def most(key, scale):
        if len(numbers[key]) != len(expected[key]):
            return float("inf")
        worst = 0.0
        for a, b in zip(numbers[key], expected[key]):
            difference = abs(a - b) / scale
            if not difference <= worst:  # also of NaN
                worst = difference if difference == difference else float("inf")
        return worst

    energy = abs(numbers["energy"] - expected["energy"]) / atoms
    return {
        "force": most("forces", largest),
        "energy": energy if energy == energy else float("inf"),
        "atom energy": most("atom energies", atom),
        "pressure": most("pressure", pressure),
    }


def parity(bench: Bench, clock: Clock):
    """Forces, energies and pressures against those of the plain style on a processor, at once and after steps of NVE."""
    listed = [(n, p, s, "off") for s in cases.STRUCTURES for n in bench.models for p in cases.PRECISIONS]
    listed += [(n, "double", "crystal", "on") for n in bench.models]

    def one(listing):
        name, precision, structure, newton = listing
        case = {"model": name, "precision": precision, "structure": structure, "newton": newton}
        if clock.left() < 5:
            return too_late(case)
        try:
            expected = reference(bench, name, structure)
        except OSError:
            return case | {"failure": "the folder has no reference numbers for it"}
        flags = ("-pk", "kokkos", "newton", "on", "neigh", "half") if newton == "on" else ()
        folder = bench.work / "parity" / f"{name}-{precision}-{structure}-newton-{newton}"
        for last in (False, True):  # a second time by itself where side by side did not work
            numbers, outcome = runs.state(
                bench.backend, bench.data(name, structure), bench.pair(name, precision), folder, min(60, clock.left()), cases.STEPS, flags=flags
            )
            if numbers or last or clock.left() < 10 or bench.at_once == 1:
                break
        if not numbers:
            return failed(case, outcome, clock)
        worst = {}
        for step, there in expected["steps"].items():
            for key, value in deviations(numbers[int(step)], there).items():
                worst[key] = max(worst.get(key, 0.0), value)
        case |= worst
        beyond = [key for key, most in cases.TOLERANCES[precision].items() if not worst[key] <= most]
        if precision == "single":
            case["host's force"] = expected["single"]["force"]
        return case | ({"failure": f"beyond the tolerance: {', '.join(beyond)}"} if beyond else {})

    with ThreadPoolExecutor(bench.at_once) as pool:
        yield from pool.map(one, listed)


# --- from run to run


def repeatability(bench: Bench, clock: Clock):
    """Two equal runs, of copper fifty steps: every digit of positions and forces."""
    for name in bench.models:
        for precision in cases.PRECISIONS:
            case = {"model": name, "precision": precision}
            if clock.left() < 5:
                yield too_late(case)
                continue
            folders = [bench.work / "repeatability" / f"{name}-{precision}-{k}" for k in (1, 2)]

            def one(folder):
                data, pair = bench.data(name, "crystal"), bench.pair(name, precision)
                # no data that the models were trained on had all elements mixed: for long, such a crystal does not last
                steps = 50 if len(cases.MODELS[name][1]) == 1 else 15
                return runs.state(bench.backend, data, pair, folder, min(60, clock.left()), steps)[1]

            with ThreadPoolExecutor(min(2, bench.at_once)) as pool:
                outcomes = list(pool.map(one, folders))
            if bad := [outcome for outcome in outcomes if outcome.failure]:
                yield failed(case, bad[0], clock)
                continue
            equal = (folders[0] / "state.dump").read_bytes() == (folders[1] / "state.dump").read_bytes()
            yield case | {"equal": equal} | ({} if equal else {"failure": "two equal runs differ"})


# --- copies and kernels


def hooks(bench: Bench, mode: str, file: Path) -> dict[str, str]:
    return {"KOKKOS_TOOLS_LIBS": str(bench.folder / "libhooks.so"), "MLFF_HOOKS": mode, "MLFF_HOOKS_OUT": str(file)}


def counted(file: Path) -> dict[tuple[str, ...], tuple[int, float]]:
    """(kind, names …) → calls, and bytes or seconds."""
    found = {}
    for line in file.read_text(errors="replace").splitlines():
        kind, calls, amount, *names = line.split("\t")
        found[(kind, *names)] = int(calls), float(amount)
    return found


def on_host(space: str) -> bool:
    return space.startswith("Host")


def crystal(bench: Bench, name: str, precision: str, atoms: int, more: str, temperature: float = 600) -> str:
    return runs.CRYSTAL.format(
        lattice=cases.LATTICE,
        cells=cases.cells(atoms),
        mass=cases.MASS["Cu"],
        pair=bench.pair(name, precision, ["Cu"]),
        temperature=temperature,
        more=more,
    )


SMALL = 1024
"""Bytes of the largest copy that a step may make: what the host learns of energy, virial and the guard, but nothing of atoms."""


def copies(bench: Bench, clock: Clock):
    """Copies between host and device per step: a run of 20 steps against one of 40, without thermo output or a new neighbour list between."""
    steps = 20
    atoms = min(4000, max(bench.sizes))
    for name in bench.speed_models():
        for precision in cases.PRECISIONS:
            case = {"model": name, "precision": precision, "atoms": 4 * cases.cells(atoms) ** 3}
            if clock.left() < 5:
                yield too_late(case)
                continue

            def one(n):
                folder = bench.work / "copies" / f"{name}-{precision}-{n}"
                folder.mkdir(parents=True, exist_ok=True)
                text = crystal(bench, name, precision, atoms, f"neigh_modify delay 1000\nthermo 1000\nrun {n}", temperature=10)
                outcome = runs.run(bench.backend, text, folder, min(60, clock.left()), hooks(bench, "count", folder / "hooks"))
                return outcome, folder / "hooks"

            with ThreadPoolExecutor(min(2, bench.at_once)) as pool:
                both = list(pool.map(one, (steps, 2 * steps)))
            if bad := [outcome for outcome, _ in both if outcome.failure]:
                yield failed(case, bad[0], clock)
                continue
            try:
                once, twice = (counted(file) for _, file in both)
            except OSError:
                yield case | {"failure": "Kokkos loaded no tool: this LAMMPS was built without tools"}
                continue
            more = {key: (twice[key][0] - once.get(key, (0, 0))[0], twice[key][1] - once.get(key, (0, 0))[1]) for key in twice}
            crossing = {key: value for key, value in more.items() if key[0] == "copy" and value[0] > 0 and on_host(key[1]) != on_host(key[2])}
            case |= {
                "copies/step": sum(calls for calls, _ in crossing.values()) / steps,
                "bytes/step": sum(size for _, size in crossing.values()) / steps,
                "kernels/step": sum(calls for key, (calls, _) in more.items() if key[0] == "kernel") / steps,
                "fences/step": sum(calls for key, (calls, _) in more.items() if key[0] == "fence") / steps,
                "what": [
                    {"from": key[1], "to": key[2], "view": key[3], "target": key[4], "calls/step": calls / steps, "bytes/step": size / steps}
                    for key, (calls, size) in sorted(crossing.items(), key=lambda item: -item[1][1])
                ],
            }
            large = [entry["view"] for entry in case["what"] if entry["bytes/step"] > SMALL * entry["calls/step"]]
            yield case | ({"failure": f"arrays are copied between host and device in every step: {', '.join(large)}"} if large else {})


def kernels(bench: Bench, clock: Clock):
    """Seconds of every kernel, Kokkos waiting for the device around each: a run of its own."""
    atoms = min(32_000, max(bench.sizes))
    for precision in cases.PRECISIONS:
        for name in bench.speed_models():
            case = {"model": name, "precision": precision, "atoms": 4 * cases.cells(atoms) ** 3}
            if clock.left() < 5:
                yield too_late(case)
                continue
            folder = bench.work / "kernels" / f"{name}-{precision}"
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "hooks"
            more = f"thermo 1000\ntimer timeout {bench.run_seconds} every 5\nrun 100"
            outcome = runs.run(bench.backend, crystal(bench, name, precision, atoms, more), folder, min(60, clock.left()), hooks(bench, "time", file))
            if outcome.failure:
                yield failed(case, outcome, clock)
                continue
            try:
                found = counted(file)
            except OSError:
                yield case | {"failure": "Kokkos loaded no tool: this LAMMPS was built without tools"}
                continue
            evaluations = runs.loop(outcome.text)["steps"] + 1
            times = [(key[1], calls, seconds) for key, (calls, seconds) in found.items() if key[0] == "kernel"]
            total = sum(seconds for *_, seconds in times) or 1.0
            per = 1e9 / (evaluations * case["atoms"])
            ordered = sorted(times, key=lambda entry: -entry[2])
            case["ns/atom/step"] = total * per
            case["kernels"] = [
                {"kernel": kernel, "calls/step": calls / evaluations, "ns/atom/step": seconds * per, "%": 100 * seconds / total}
                for kernel, calls, seconds in ordered
                if seconds > 0.002 * total
            ]
            yield case


# --- memory errors


def sanitizer(bench: Bench) -> str | None:
    """compute-sanitizer of the machine, else the one in the folder."""
    if found := shutil.which("compute-sanitizer"):
        return found
    for found in sorted(Path("/usr/local").glob("cuda*/bin/compute-sanitizer")):
        return str(found)
    carried = bench.folder / "sanitizer.zip"
    if not carried.is_file():
        return None
    unpacked = bench.work / "sanitizer"
    if not unpacked.is_dir():
        with zipfile.ZipFile(carried) as archive:
            archive.extractall(unpacked)
    for program in (unpacked / "compute-sanitizer", *unpacked.glob("TreeLauncher*")):
        program.chmod(0o755)
    return str(unpacked / "compute-sanitizer")


def memcheck(bench: Bench, clock: Clock):
    """compute-sanitizer over two steps of a small crystal."""
    program = sanitizer(bench)
    on_gpu = "-k" in bench.backend.flags and "g" in bench.backend.flags
    for name in bench.models:
        for precision in cases.PRECISIONS:
            case = {"model": name, "precision": precision}
            if not program or not on_gpu:
                yield case | {"skipped": "no compute-sanitizer" if on_gpu else "no GPU"}
                return
            if clock.left() < 10:
                yield too_late(case)
                continue
            folder = bench.work / "memcheck" / f"{name}-{precision}"
            text = runs.STATIC.format(
                data=bench.data(name, "cell"),
                pair=bench.pair(name, precision),
                every=2,
                quantities=runs.QUANTITIES,
                dump="state.dump",
                steps=2,
            )
            before = (program, "--tool", "memcheck", "--error-exitcode", "9")
            outcome = runs.run(bench.backend, text, folder, min(60, clock.left()), before=before)
            summary = re.findall(r"ERROR SUMMARY: (\d+) error", outcome.text)
            if not summary:
                yield failed(case, replace(outcome, failure=outcome.failure or "compute-sanitizer told no summary"), clock)
                continue
            case["errors"] = int(summary[-1])
            yield case | ({"failure": f"{summary[-1]} memory errors", "log": runs.tail(outcome.text, 40)} if case["errors"] else {})


# --- drift


def drift(bench: Bench, clock: Clock):
    """The total energy of copper over some thousand steps of NVE: its slope and its spread about that."""
    listed = [(n, p) for n in ("Cu-mace", "Cu-nep", "LiNiCuNbMoTaW-nep", "LiNiCuNbMoTaW-mace") if n in bench.models for p in cases.PRECISIONS]
    for name, precision in listed:
        case = {"model": name, "precision": precision}
        if clock.left() < 5:
            yield too_late(case)
            continue
        steps = cases.DRIFT_STEPS
        text = f"""
units metal
read_data {bench.folder / "inputs" / "crystal-1.data"}
{bench.pair(name, precision, ["Cu"])}
timestep 0.001
fix move all nve
thermo 20
thermo_style custom step etotal temp
thermo_modify format float %.17g
timer timeout {max(1.0, min(12.0, clock.left() - 3)):.0f} every 20
run 400
reset_timestep 0
run {steps}
"""
        outcome = runs.run(bench.backend, text, bench.work / "drift" / f"{name}-{precision}", min(40, clock.left()))
        if outcome.failure:
            yield failed(case, outcome, clock)
            continue
        rows = [row for row in runs.thermo(outcome.text) if row["Step"] % 20 == 0]
        if len(rows) < 10:
            yield case | {"skipped": f"only {int(rows[-1]['Step']) if rows else 0} steps in the time there was"}
            continue
        atoms = runs.loop(outcome.text)["atoms"]
        t, e = [row["Step"] * 1e-6 for row in rows], [row["TotEng"] / atoms for row in rows]  # ns, eV/atom
        slope, spread = line(t, e)
        limit = cases.DRIFT * (1 if precision == "double" else 10)
        case |= {"steps": int(rows[-1]["Step"]), "K": rows[-1]["Temp"], "eV/atom/ns": slope, "eV/atom": spread}
        error = 3.5 * spread / (len(e) ** 0.5 * (t[-1] - t[0]))  # of the slope, of independent residuals
        yield case | {"±": error} | ({} if abs(slope) <= limit + 2 * error else {"failure": f"the energy drifts by more than {limit} eV/atom/ns"})


def line(x, y) -> tuple[float, float]:
    """Slope of the least-squares line, and the standard deviation about it."""
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    slope = sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)
    return slope, (sum((b - my - slope * (a - mx)) ** 2 for a, b in zip(x, y)) / n) ** 0.5


# --- speed


def speed(bench: Bench, clock: Clock):
    """Nanoseconds per atom and step of NVE at 600 K, all of LAMMPS included."""
    full = set()  # models and precisions that did not fit: larger ones do not either
    for size in bench.sizes:
        for precision in cases.PRECISIONS:
            for name in bench.speed_models():
                atoms = 4 * cases.cells(size) ** 3
                case = {"model": name, "precision": precision, "atoms": atoms}
                if any(f[:2] == (name, precision) and atoms >= f[2] for f in full):
                    yield case | {"skipped": "a smaller one did not fit in memory"}
                    continue
                if clock.left() < 3 + 2 * bench.run_seconds:
                    yield too_late(case)
                    continue
                limit = bench.run_seconds
                more = f"thermo 1000000\ntimer timeout {limit} every 5\nrun 5\nrun 100000"
                outcome = runs.run(
                    bench.backend,
                    crystal(bench, name, precision, size, more),
                    bench.work / "speed" / f"{name}-{precision}-{atoms}",
                    min(25 + 4 * limit, clock.left()),
                )
                if "memory" in outcome.failure.lower():
                    full.add((name, precision, atoms))
                    yield case | {"skipped": outcome.failure}
                    continue
                if outcome.failure:
                    yield failed(case, outcome, clock)
                    continue
                loop = runs.loop(outcome.text)
                if loop["steps"] == 0:
                    yield case | {"skipped": "not one step in the time there was"}
                    continue
                each = loop["seconds"] / (loop["steps"] * loop["atoms"])
                yield case | {"steps": loop["steps"], "ns/atom/step": 1e9 * each, "atom-steps/s": 1 / each, "shares": loop["shares"]}


PARTS = {
    # seconds that a part may take at most, of 480 in all; parity comes first, for speed of wrong numbers is none
    "facts": (facts, 30),
    "parity": (parity, 110),
    "repeatability": (repeatability, 45),
    "copies": (copies, 45),
    "speed": (speed, 200),
    "kernels": (kernels, 60),
    "drift": (drift, 60),
    "memcheck": (memcheck, 90),
}
