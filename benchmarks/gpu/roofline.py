"""What an H100 could do at most, computed and not measured: ``python benchmarks/gpu/roofline.py [--log LOG] [MODEL.mlff …]``.

By kernel of mlff/kk: registers and spilled bytes as ptxas tells them (gpu-bundle/ptxas.txt, which ``make gpu-bundle`` leaves), shared memory of a
block, resident warps and what bounds them, operations and bytes of an atom and step from the model's shapes (stages.py), and the time that these
take at least: at the full rate of the arithmetic (34 TFLOP/s in float64, 67 in float32, without tensor cores) or of the memory (3.35 TB/s), whichever
is longer. A kernel with few warps, or that waits for the cache, takes longer.
"""

import argparse
import re
import zipfile
from pathlib import Path

import ptxas
import stages

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEAK = {8: 34e12, 4: 67e12}
MEMORY = 3.35e12
MOST = 100 * 1024
"""Bytes of fast memory beyond which fewer atoms share a block (plugins/kokkos/launch_kokkos.h)."""


def block(stage: stages.Stage) -> tuple[int, int]:
    """Threads, and bytes of shared memory."""
    team = 1
    while 2 * team <= stage.team and 2 * team * stage.shared <= MOST:
        team *= 2
    each = -(-stage.shared // 16) * 16 + 16 if stage.shared else 0
    return team * stage.lanes, team * each


def rows(name: str, listed: list[stages.Stage], size: int, kernels: list[ptxas.Kernel]) -> list[list[str]]:
    """One per kernel, and their sum."""
    table, total = [], [0.0, 0.0, 0.0]
    for stage in listed:
        arithmetic, traffic = 1e9 * stage.flops / PEAK[size], 1e9 * stage.bytes / MEMORY
        found = [kernel for kernel in kernels if stage.functor and re.search(stage.functor, kernel.functor)]
        registers = spilled = shared = warps = bound = ""
        if found:
            worst = max(found, key=lambda kernel: (kernel.registers, kernel.spilled))
            threads, shared_bytes = block(stage)
            resident, bound = ptxas.occupancy(worst.registers, threads, shared_bytes)
            registers, spilled, warps = str(worst.registers), str(max(k.spilled for k in found)), f"{resident}"
            shared = f"{shared_bytes / 1024:.1f}" if shared_bytes else "0"
        floor = max(arithmetic, traffic)
        total = [total[0] + stage.flops, total[1] + stage.bytes, total[2] + floor]
        limit = "arithmetic" if arithmetic > traffic else "memory"
        table.append(
            [stage.label, registers, spilled, shared, warps, bound, f"{stage.flops / 1e3:.1f}", f"{stage.bytes / 1e3:.2f}", f"{floor:.2f}", limit]
        )
    table.append(["all", "", "", "", "", "", f"{total[0] / 1e3:.1f}", f"{total[1] / 1e3:.2f}", f"{total[2]:.2f}", ""])
    return table


HEAD = ["kernel", "registers", "spilled B", "shared kB", "warps of 64", "bound by", "kFLOP", "kB", "floor, ns", "of"]


def model(path: Path, size: int) -> tuple[list[stages.Stage], int]:
    with zipfile.ZipFile(path) as archive:
        if "native/nep.txt" in archive.namelist():
            return stages.nep(archive.read("native/nep.txt").decode(), size)
        return stages.mace(archive.read("native/mace.safetensors"), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--log", type=Path, default=ROOT / "gpu-bundle" / "ptxas.txt", help="what nvcc said with -Xptxas -v [%(default)s]")
    options = parser.parse_args()
    bundled = ROOT / "gpu-bundle" / "models"
    chosen = options.models or [bundled / f"{name}.mlff" for name in ("Cu-nep", "Cu-mace", "mace64", "mace128")]
    kernels = ptxas.kernels(options.log.read_text()) if options.log.is_file() else []
    sums = [["model", "precision", "neighbours", "kFLOP/atom", "kB/atom", "floor, ns/atom/step"]]
    for path in chosen:
        for precision, size in (("double", 8), ("single", 4)):
            listed, edges = model(path, size)
            table = rows(path.stem, listed, size, kernels)
            print(f"\n{path.stem}, {precision}, {edges} neighbours:\n")
            show([HEAD, *table], 1)
            sums.append([path.stem, precision, str(edges), *table[-1][6:9]])
    print()
    show(sums, 2)


def show(table: list[list[str]], words: int) -> None:
    """In Markdown; columns after the first ones are numbers."""
    width = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    for k, row in enumerate(table):
        print("| " + " | ".join(cell.ljust(w) if c < words else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, width))) + " |")
        if k == 0:
            print("|" + "|".join("-" * (w + 2) if c < words else "-" * (w + 1) + ":" for c, w in enumerate(width)) + "|")


if __name__ == "__main__":
    main()
