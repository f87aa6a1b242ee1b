"""Time a peer under ASE; runs in the peer's environment: ``python -P peers_worker.py JOB``, a JSON; prints a JSON.

JOB: ``work`` ("restore", "time mace", "time symmetrix" or "time nep"), ``folder`` of an unpacked artefact with its ``config.json``, ``element``,
``crystal``, ``a`` (Å), ``cells``, ``precision`` and ``seconds`` to spend.
"""

import json
import statistics
import sys
import time
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def model_file(folder: Path) -> Path:
    return folder / "restored.model"


def restore(folder: Path) -> Path:
    """The model in mace's own format, made in mace's environment."""
    if not model_file(folder).is_file():
        sys.path.append(str(DEPLOY))
        import mace_worker
        import torch

        torch.save(mace_worker.restore(folder), model_file(folder))
    return model_file(folder)


def seconds_per_call(job, calculator):
    """Median of whole ASE calls on a rattled crystal, the first ones left out, and the number of atoms."""
    from ase.build import bulk

    atoms = bulk(job["element"], job["crystal"], a=job["a"], cubic=True).repeat(job["cells"])
    atoms.rattle(0.05, seed=1)
    atoms.calc = calculator
    atoms.get_forces()
    times = []
    while len(times) < 4 or sum(times) < job["seconds"] and len(times) < 500:
        atoms.positions += 1e-4 * (-1) ** len(times)  # forces are cached for equal positions
        started = time.perf_counter()
        atoms.get_forces()
        times.append(time.perf_counter() - started)
    return {"s/step": statistics.median(times[1:]), "atoms": len(atoms)}


def main():
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    if job["work"] == "restore":
        restore(folder)
        result = {}
    elif job["work"] == "time mace":
        path = restore(folder)
        import torch
        from mace.calculators import MACECalculator

        torch.set_num_threads(1)
        dtype = {"double": "float64", "single": "float32"}[job["precision"]]
        result = seconds_per_call(job, MACECalculator(model_paths=str(path), device="cpu", default_dtype=dtype))
    elif job["work"] == "time nep":
        sys.path.append(str(DEPLOY))
        from nep_worker import NepCpu

        result = seconds_per_call(job, NepCpu(folder / "native" / "nep.txt"))
    else:
        from symmetrix import Symmetrix

        dtype = {"double": "float64", "single": "float32"}[job["precision"]]
        result = seconds_per_call(job, Symmetrix(str(model_file(folder)), dtype=dtype, execution_profile="speed"))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
