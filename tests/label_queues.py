"""Queues of labels at two widths, as DFT would make them, in no time."""

import json

import numpy as np
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from metalff.dft import queue as queues
from metalff.dft.sets import pack

TINY = {"r_max": 4.5, "radial": 3, "l_max": 1, "degree": [5, 4], "cutoff_power": 4}
"""Settings of a polynomial that is fitted in a second."""


def labelled_queue(folder, count=26, done=26, noise=0.05):
    """A queue of two widths: EMT, and at the smaller width noise on its forces that nobody can learn."""
    rng = np.random.default_rng(5)
    frames = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.12, seed=seed)
        atoms.info = {"temperature": 300.0 if seed % 2 else 1358.0}
        frames.append(atoms)
    write(folder / "cu.extxyz", frames, format="extxyz")
    plan = {
        "out": str(folder / "queue"),
        "calculator": "gpaw",
        "parts": [{"name": "dose", "structures": str(folder / "cu.extxyz"), "smearing": [0.1, 0.5]}],
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    queue = queues.make(folder / "plan.yaml")
    for task in queue.tasks:
        if task.index >= done:
            continue
        atoms = queue.structure(task)
        atoms.calc = EMT()
        forces = atoms.get_forces() + (noise * rng.normal(size=(4, 3)) if task.set == "dose-0.1eV" else 0)
        label = {"id": task.id, "energy": atoms.get_potential_energy(), "forces": forces.tolist(), "stress": None, "cpu_s": 1.0, "tries": []}
        queue.done_file(task).parent.mkdir(exist_ok=True)
        queue.done_file(task).write_text(json.dumps(label | {"versions": {}, "force_consistent": True}))
    pack(queue)
    return folder / "queue"
