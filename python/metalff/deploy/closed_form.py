"""A potential in closed form that LAMMPS knows too → artefact, its self-test being LAMMPS' own numbers."""

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from metalff import artifact
from metalff.artifact import Manifest, Payload, Training
from metalff.deploy.contract import export_model
from metalff.deploy.reference import reference


def deploy(model, commands, output, *, family: str, name: str | None = None, citation: str = "", licence: str = "", say=print) -> Manifest:
    """Write the artefact of a module of atomic energies; the self-test holds the numbers of ``commands``.

    Args:
        model: what ``contract.export_model`` takes, with ``elements`` in the order of its types and ``r_max`` in Å.
        commands: ``pair_style`` and ``pair_coeff`` lines of the same potential in LAMMPS, with the same order of types.
        output: the ``.mlff`` file to write.
        family: the kind of potential, as the manifest names it.
        name: the model's name; the output's stem when None.
        citation, licence: of the parameters.
        say: called with one line per step.
    """
    from matscipy.neighbours import neighbour_list

    i, j, vec = neighbour_list("ijD", _crystal(model, np.random.default_rng(0)), model.r_max)
    edge_index = torch.tensor(np.stack([i, j]), dtype=torch.long)
    members = {}
    for dtype, precision in ((torch.float64, "double"), (torch.float32, "single")):
        file = f"torch/{str(dtype).removeprefix('torch.')}.zip"
        say(f"exporting the program, {precision} precision")
        data = export_model(model.to(dtype), torch.tensor(vec, dtype=dtype), edge_index, len(model.elements))
        members[file] = (Payload(kind="program", sha256="", size=0, precision=precision), data)
    say(f"reference energies, forces and stresses from {commands[0]}")
    members["selftest.json"] = (Payload(kind="selftest", sha256="", size=0), _selftest(model, commands))
    manifest = Manifest(
        name=name or Path(output).stem,
        family=family,
        elements=model.elements,
        r_max=model.r_max,
        layers=model.layers,
        training=Training(data="none: an interatomic potential in closed form"),
        citation=citation,
        licence=licence,
        versions={"torch": torch.__version__, "metalff": metadata.version("metalff")},
    )
    artifact.write(output, manifest, members)
    return artifact.read_manifest(output)


def _crystal(model, rng):
    """A strained, rattled fcc crystal with the nearest neighbours at about half the cutoff."""
    atoms = bulk("Cu", "fcc", a=2**0.5 * 0.55 * model.r_max, cubic=True).repeat((2, 2, 1))
    atoms.symbols = rng.choice(model.elements, len(atoms))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.05, (len(atoms), 3))
    return atoms


def _selftest(model, commands) -> bytes:
    """A crystal and a slab."""
    from metalff.lammps import LammpsCalculator

    calculator = LammpsCalculator(commands, model.elements)
    rng = np.random.default_rng(1)
    cases = []
    for vacuum in (False, True):
        atoms = _crystal(model, rng)
        if vacuum:
            atoms.cell[2] *= 4
        atoms.calc = calculator
        cases.append(reference(atoms))
    calculator.close()
    return json.dumps(cases).encode()
