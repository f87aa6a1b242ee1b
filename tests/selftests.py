"""Artefacts of models that no framework trained: their self-test has the engine's own numbers."""

import json

import numpy as np
from ase.build import bulk

from metalff import _engine, artifact
from metalff.artifact import Payload
from metalff.neighbours import edges_of


def write(path, manifest, member, data, atoms=None):
    """An artefact of one native payload, its self-test the energy and forces of ``atoms``; without one where the engine refuses the payload."""
    members = {member: (Payload(kind="native", sha256="", size=0), data)}
    artifact.write(path, manifest, members)
    try:
        engine = _engine.Engine(str(path), engine="native", spline=0, selftest=False)
    except _engine.EngineError:
        return path
    if atoms is None:
        atoms = bulk("Cu", a=3.7, cubic=True)
        atoms.rattle(0.05, seed=1)
    elements = manifest.elements
    types = np.arange(len(atoms)) % len(elements)
    centre, neighbour, vectors = edges_of(atoms, manifest.r_max)
    energies, gradient = engine.evaluate(centre, neighbour, vectors, types)
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, centre, gradient)
    np.subtract.at(forces, neighbour, gradient)
    case = {
        "symbols": [elements[t] for t in types],
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energy": energies.sum(),
        "forces": forces.tolist(),
        "stress": None,
    }
    members["selftest.json"] = Payload(kind="selftest", sha256="", size=0), json.dumps([case]).encode()
    artifact.write(path, manifest, members)
    return path
