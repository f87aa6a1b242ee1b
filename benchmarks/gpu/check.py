"""Checks of the folder on this machine: ``bash run.sh [OPTIONS]``. Python's standard library only.

Writes results.json anew after every row, so that what ends early loses nothing, and says in the end what was found.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from pathlib import Path

import bundle_cases as cases
import parts
from runs import Backend

FOLDER = Path(__file__).resolve().parent
RESERVE = {"speed": 95, "kernels": 45, "drift": 25}
"""Seconds that these parts leave for the ones after them."""


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmp", help="another LAMMPS than the folder's")
    parser.add_argument("--flags", default="-k on g 1 -sf kk", help="words of its command line [%(default)s]")
    parser.add_argument("--keywords", default="", help="more keywords of pair_style mlff, as 'kernels device'")
    parser.add_argument("--plugins", help="folder of the plugin [lib]")
    parser.add_argument("--libraries", help="folders of libraries for that LAMMPS [lib]")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(cases.SIZES), help="atoms to time [%(default)s]")
    parser.add_argument("--models", nargs="+", choices=cases.MODELS, default=list(cases.MODELS))
    parser.add_argument("--parts", nargs="+", choices=parts.PARTS, default=list(parts.PARTS))
    parser.add_argument("--seconds", type=float, default=480, help="time for everything [%(default)s]")
    parser.add_argument("--run-seconds", type=float, default=1.5, help="of a timed run [%(default)s]")
    parser.add_argument("--at-once", type=int, default=min(4, max(1, (os.cpu_count() or 1) // 2)), help="runs side by side where none is timed")
    parser.add_argument("--out", type=Path, default=Path("results.json"), help="[%(default)s]")
    return parser.parse_args()


def unpacked(work: Path) -> Path:
    """The folder's LAMMPS, ``lmp``, and its libraries, ``lib``."""
    place = work / "programs"
    shutil.rmtree(place, ignore_errors=True)
    with zipfile.ZipFile(FOLDER / "programs.zip") as archive:
        archive.extractall(place)
    (place / "lmp").chmod(0o755)
    return place


def starts(program: str, variables: dict) -> bool:
    """Whether the machine has all libraries that it needs."""
    try:
        return subprocess.run([program, "-h"], env=os.environ | variables, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def main() -> int:
    chosen = options()
    started = time.monotonic()
    work = chosen.out.resolve().with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    place = work if chosen.lmp else unpacked(work)
    own = str(place / "lib")
    variables = {
        "LAMMPS_PLUGIN_PATH": chosen.plugins or own,
        "LD_LIBRARY_PATH": ":".join(filter(None, [chosen.libraries or own, os.environ.get("LD_LIBRARY_PATH")])),
        "OMP_NUM_THREADS": "1",
        "OMP_PROC_BIND": "false",
        "OMP_WAIT_POLICY": "passive",
    }
    lmp = chosen.lmp or str(place / "lmp")
    spare = variables | {"LD_LIBRARY_PATH": f"{own}/spare:{variables['LD_LIBRARY_PATH']}"}
    if not chosen.lmp and not starts(lmp, variables) and starts(lmp, spare):
        variables = spare
    backend = Backend(lmp, tuple(chosen.flags.split()), chosen.keywords, variables)
    bench = parts.Bench(FOLDER, work, backend, tuple(chosen.sizes), tuple(chosen.models), chosen.at_once, chosen.run_seconds)
    results = {
        "schema": 1,
        "bundle": json.loads((FOLDER / "bundle.json").read_text()),
        "flags": chosen.flags,
        "keywords": chosen.keywords,
        "parts": {},
        "seconds": {},
    }
    for name in chosen.parts:
        act, most = parts.PARTS[name]
        rows = results["parts"][name] = []
        begun = time.monotonic()
        left = chosen.seconds - (begun - started) - RESERVE.get(name, 0) * chosen.seconds / 480
        print(f"== {name}: {act.__doc__.strip().splitlines()[0]}", flush=True)
        try:
            for row in act(bench, parts.Clock(min(left, most * chosen.seconds / 480))):
                rows.append(row)
                print("   " + sentence(row), flush=True)
                write(chosen.out, results | {"seconds": results["seconds"] | {name: time.monotonic() - begun}})
        except Exception as error:  # a part that stops must not take the others with it
            rows.append({"failure": f"{type(error).__name__}: {error}", "log": traceback.format_exc()})
            print("   " + sentence(rows[-1]), flush=True)
        results["seconds"][name] = time.monotonic() - begun
        write(chosen.out, results)
    text = summary(results)
    chosen.out.with_suffix(".txt").write_text(text)
    print("\n" + text, end="")
    return 1 if failures(results) else 0


def write(path: Path, results: dict) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    part.replace(path)


def number(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.3e}"
    return str(value)


def sentence(row: dict) -> str:
    """A row in one line, without its lists and logs."""
    plain = {key: value for key, value in row.items() if not isinstance(value, (list, dict)) and key not in ("log", "failure", "skipped")}
    words = ", ".join(f"{key} {number(value)}" for key, value in plain.items())
    if "failure" in row:
        return f"FAILED {words}: {row['failure']}"
    return f"{words}: skipped, {row['skipped']}" if "skipped" in row else words


def failures(results: dict) -> list[tuple[str, dict]]:
    return [(name, row) for name, rows in results["parts"].items() for row in rows if "failure" in row]


def summary(results: dict) -> str:
    """What was found, to read."""
    facts = (results["parts"].get("facts") or [{}])[0]
    lines = [f"{facts.get('card') or 'no card'}, driver {facts.get('driver') or 'unknown'}, LAMMPS {facts.get('LAMMPS')}, flags {results['flags']}"]
    for name, rows in results["parts"].items():
        if name == "facts":
            continue
        bad = sum("failure" in row for row in rows)
        late = sum("skipped" in row for row in rows)
        lines.append(f"{name}: {len(rows) - bad - late} of {len(rows)} fine, {bad} failed, {late} skipped, {results['seconds'][name]:.0f} s")
    if worst := [row for row in results["parts"].get("parity", []) if "force" in row]:
        for precision in cases.PRECISIONS:
            if chosen := [row["force"] for row in worst if row["precision"] == precision]:
                lines.append(f"largest difference of a force, {precision}: {max(chosen):.1e} of the largest force")
    if timed := [row for row in results["parts"].get("speed", []) if "ns/atom/step" in row]:
        lines += ["", f"{'model':12} {'precision':9} {'atoms':>9} {'ns/atom/step':>12} {'atom-steps/s':>12}"]
        for row in sorted(timed, key=lambda row: (cases.SPEED_MODELS.index(row["model"]), row["precision"], row["atoms"])):
            lines.append(f"{row['model']:12} {row['precision']:9} {row['atoms']:9d} {row['ns/atom/step']:12.1f} {row['atom-steps/s']:12.3e}")
    for row in results["parts"].get("kernels", []):
        if "kernels" in row:
            lines += ["", f"{row['model']}, {row['precision']}, {row['atoms']} atoms: {row['ns/atom/step']:.1f} ns/atom/step in kernels"]
            lines += [f"  {entry['%']:5.1f} %  {entry['ns/atom/step']:9.2f} ns  {entry['kernel'][:90]}" for entry in row["kernels"][:12]]
    if bad := failures(results):
        lines += ["", "failures:"]
        for name, reason in dict.fromkeys((name, row["failure"]) for name, row in bad):
            same = [row for part, row in bad if (part, row["failure"]) == (name, reason)]
            lines.append(f"  {name}, {len(same)} of them, the first: {sentence(same[0])}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
