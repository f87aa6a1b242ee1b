"""Peers of the torch program, in MACE's environment: ``python -P mace_peers.py DIR CELLS CALLS`` prints JSON.

DIR holds an unpacked artefact. Times force calls of MACECalculator under ASE and of the TorchScript model, both float64
on one thread, on a rattled copper crystal of 4·CELLS³ atoms.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "lammps"))
from mace_reference import rebuild  # noqa: E402  (imports mace before e3nn)
from e3nn.util import jit  # noqa: E402
from mace.calculators import MACECalculator  # noqa: E402


def main():
    folder, cells, calls = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    atoms = bulk("Cu", "fcc", a=3.63, cubic=True).repeat(cells)
    atoms.rattle(0.05, seed=1)
    calculator = MACECalculator(models=[rebuild(folder)], device="cpu", default_dtype="float64")
    atoms.calc = calculator
    atoms.get_forces()
    started = time.perf_counter()
    for k in range(calls):
        atoms.positions += 1e-4 * (-1) ** k  # forces are cached for equal positions
        atoms.get_forces()
    eager = (time.perf_counter() - started) / calls

    scripted = jit.compile(rebuild(folder))
    batch = calculator._atoms_to_batch(atoms).to_dict()
    scripted(batch, compute_force=True)
    scripted(batch, compute_force=True)  # the profiling executor specialises on the second call
    started = time.perf_counter()
    for _ in range(calls):
        scripted(batch, compute_force=True)
    script = (time.perf_counter() - started) / calls
    print(json.dumps({"MACECalculator (ASE), float64": eager, "TorchScript model only, float64": script}))


if __name__ == "__main__":
    main()
