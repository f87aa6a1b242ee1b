"""What ptxas said of kernels (``-Xptxas -v``), and how many of their warps an H100's multiprocessor holds."""

import re
import subprocess
from dataclasses import dataclass

REGISTERS = 65_536
SHARED = 228 * 1024
RESERVED = 1024
"""Bytes of shared memory that a block takes for the system."""
WARPS = 64
BLOCKS = 32


@dataclass(frozen=True)
class Kernel:
    functor: str  # as in the source, with its template arguments, without the project's namespaces
    registers: int
    stack: int  # bytes of local memory
    spilled: int  # bytes


def kernels(log: str) -> list[Kernel]:
    """Those of a log, by what their functor is called."""
    found = re.findall(
        r"Compiling entry function '(\S+)' for.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
        log,
        re.S,
    )
    names = subprocess.run(["c++filt"], input="\n".join(f[0] for f in found), capture_output=True, text=True, check=True).stdout.splitlines()
    names = [re.sub(r"_INTERNAL_\w+::|metalff::|\(anonymous namespace\)::", "", name) for name in names]
    return [Kernel(name, int(r), int(stack), int(stores) + int(loads)) for name, (_, stack, stores, loads, r) in zip(names, found)]


def occupancy(registers: int, threads: int, shared: int) -> tuple[int, str]:
    """Warps that are resident at once, and what bounds them: registers, shared memory, or nothing but the machine."""
    warps = -(-threads // 32)
    by = {
        "nothing": min(WARPS // warps, BLOCKS),
        "registers": REGISTERS // (-(-registers // 8) * 8 * 32 * warps),
        "shared memory": SHARED // (shared + RESERVED),
    }
    bound = min(by, key=by.get)
    return by[bound] * warps, bound
