"""Artefacts of models that no framework trained: their self-test has the engine's own numbers."""

from ase.build import bulk

from metalff import _engine, artifact
from metalff.artifact import Payload
from metalff.selftest import of_the_engine


def write(path, manifest, member, data, atoms=None):
    """An artefact of one native payload, its self-test the energy and forces of ``atoms``; without one where the engine refuses the payload."""
    members = {member: (Payload(kind="native", sha256="", size=0), data)}
    artifact.write(path, manifest, members)
    if atoms is None:
        atoms = bulk("Cu", a=3.7, cubic=True)
        atoms.rattle(0.05, seed=1)
    try:
        members["selftest.json"] = Payload(kind="selftest", sha256="", size=0), of_the_engine(path, atoms)
    except _engine.EngineError:
        return path
    artifact.write(path, manifest, members)
    return path
