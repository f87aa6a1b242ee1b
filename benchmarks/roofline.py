"""How near the native engine comes to this processor's peak: ``python benchmarks/roofline.py [--precision single] MODEL.mlff …``.

One core, a rattled crystal of 500 atoms. By layer and part: share of the time, operations per atom as the formulas have them, rate, and that
rate in percent of the largest that matrix products reach here in the same run (dgemm or sgemm of numpy's or torch's BLAS, whichever is
faster). Then what goes through memory.
"""

import os

os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

import argparse  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from ase.build import bulk  # noqa: E402
from ase.data import atomic_numbers, reference_states  # noqa: E402
from matscipy.neighbours import neighbour_list  # noqa: E402

from metalff import _engine  # noqa: E402
from metalff.artifact import read_manifest  # noqa: E402


def peak(dtype) -> float:
    """FLOP/s of the best of some matrix products."""
    torch.set_num_threads(1)
    best = np.inf
    for n in (512, 1024):
        a = np.random.default_rng(0).normal(size=(n, n)).astype(dtype)
        for matrix in (a, torch.tensor(a)):
            for _ in range(10):
                started = time.perf_counter()
                matrix @ matrix
                best = min(best, (time.perf_counter() - started) / (2 * n**3))
    return 1 / best


def bandwidth() -> float:
    """Bytes/s of copying what no cache holds."""
    a = np.ones(2**27 // 8)
    b = np.empty_like(a)
    best = np.inf
    for _ in range(6):
        started = time.perf_counter()
        np.copyto(b, a)
        best = min(best, time.perf_counter() - started)
    return 2 * a.nbytes / best


def measure(path, precision, seconds=4.0):
    """Seconds per call, parts, atoms and edges."""
    manifest = read_manifest(path)
    element = manifest.elements[0]
    atoms = bulk(element, a=reference_states[atomic_numbers[element]]["a"], cubic=True).repeat(5)
    atoms.rattle(0.05, seed=1)
    i, j, vec = neighbour_list("ijD", atoms, manifest.r_max)
    engine = _engine.Engine(str(path), precision=precision, engine="native")
    graph = (i.astype(np.int64), j.astype(np.int64), vec, np.zeros(len(atoms), np.int32))
    engine.evaluate(*graph)
    before, calls, started = engine.profile(), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        engine.evaluate(*graph)
        calls += 1
    each = (time.perf_counter() - started) / calls
    parts = [p | {key: (p[key] - q[key]) / calls for key in ("seconds", "flops")} for p, q in zip(engine.profile(), before)]
    return each, parts, len(atoms), len(i)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--precision", choices=("double", "single"), default="double")
    options = parser.parse_args()
    dtype = {"double": np.float64, "single": np.float32}[options.precision]
    top, stream = peak(dtype), bandwidth()
    gemm = {"double": "dgemm", "single": "sgemm"}[options.precision]
    print(f"{gemm}: {top / 1e9:.0f} GFLOP/s; copy: {stream / 1e9:.1f} GB/s; {options.precision} precision, one core\n")
    for path in options.models:
        each, parts, atoms, edges = measure(path, options.precision)
        parts = [p for p in parts if p["seconds"] > 0]
        if not parts:
            print(f"{path}: {1e6 * each / atoms:.1f} µs/atom; this family's parts are not timed\n")
            continue
        print(f"{path}: {1e6 * each / atoms:.1f} µs/atom, {edges / atoms:.0f} neighbours")
        print(f"| {'layer':>5} | {'part':<18} | {'time %':>6} | {'kFLOP/atom':>10} | {'GFLOP/s':>7} | {'% of ' + gemm:>10} |")
        print("|------:|:-------------------|-------:|-----------:|--------:|-----------:|")
        total = {"layer": "all", "name": "", "seconds": each, "flops": sum(p["flops"] for p in parts)}
        for p in [*parts, total]:
            rate = p["flops"] / p["seconds"]
            print(
                f"| {p['layer']!s:>5} | {p['name']:<18} | {100 * p['seconds'] / each:6.1f} | {p['flops'] / atoms / 1e3:10.1f} | "
                f"{rate / 1e9:7.1f} | {100 * rate / top:10.1f} |"
            )
        # edges: vector, neighbour and gradient, each once per layer and direction
        layers = 1 + max(p["layer"] for p in parts)
        traffic = edges / atoms * (24 + 4 + 48) * (2 * layers - 1)
        print(f"edges through memory: {traffic / 1e3:.0f} kB/atom, {100 * traffic * atoms / stream / each:.1f} % of the time at copy speed\n")


if __name__ == "__main__":
    main()
