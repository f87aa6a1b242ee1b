"""The calculator's guard: what it says beyond the training data, how often, and what it lets through; beside that of LAMMPS."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cases import Script, lammps
from metalff import MLFFCalculator, _engine, artifact
from metalff.errors import MetalffError
from metalff.extrapolation import OVERLAP
from metalff.paths import shared

CU, SEVEN = (shared("potentials", "mlff", f"{name}-nep.mlff") for name in ("Cu", "LiNiCuNbMoTaW"))


def trained_on(source, path, **training):
    """A model whose manifest says this of its training data and nothing else."""
    opened = artifact.open_artifact(source)
    members = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    artifact.write(path, opened.manifest.model_copy(update={"training": artifact.Training(**training)}), members)
    return path


def dimer(distance=2.0):
    return Atoms("Cu2", positions=[[0, 0, 0], [distance, 0, 0]])


def crystal(a=3.61):
    return bulk("Cu", a=a, cubic=True).repeat(3)


def mixed():
    atoms = crystal()
    atoms.symbols[:2] = "Ni"
    return atoms


NEIGHBOURS = 42  # of copper within the 5 Å of its NEP

WARNED = {
    "distance": (
        CU,
        dimer,
        dict(shortest_distance=3.2),
        "two atoms are 2.000 Å apart, closer than any in the training data of .* as are 2 atoms in all",
    ),
    "crowded": (
        CU,
        crystal,
        dict(largest_coordination=NEIGHBOURS - 1),
        rf"an atom has {NEIGHBOURS} neighbours within 5 Å, more than any in the training data of .* \({NEIGHBOURS - 1}\), as are 108 atoms in all",
    ),
    "lonely": (
        CU,
        crystal,
        dict(smallest_coordination=NEIGHBOURS + 1),
        rf"an atom has {NEIGHBOURS} neighbours within 5 Å, fewer than any in the training data of .* \({NEIGHBOURS + 1}\), as are 108 atoms in all",
    ),
    "pair": (
        SEVEN,
        mixed,
        dict(pairs=[("Ni", "Ni"), ("Cu", "Cu")]),
        "(Cu and Ni|Ni and Cu) are neighbours, but never within 6 Å of each other in the",
    ),
}
STOPPED = {
    "distance": "two atoms are 2.000 Å apart, but the shortest distance in the training data of .* is 3.200 Å: mend the structure",
    "crowded": f"an atom has {NEIGHBOURS} neighbours within 5 Å, but no atom in the training data of .* more than {NEIGHBOURS - 1}: compare the density",
    "lonely": f"an atom has {NEIGHBOURS} neighbours within 5 Å, but no atom in the training data of .* fewer than {NEIGHBOURS + 1}: compare",
    "pair": "(Cu and Ni|Ni and Cu) are neighbours, but never within 6 Å of each other .*: use a model that has seen them together",
}


def energy(atoms, calculator):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy()


def quietly(atoms, calculator):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return energy(atoms, calculator)


@pytest.mark.parametrize("kind", WARNED)
def test_each_kind(kind, tmp_path):
    source, atoms, training, sentence = WARNED[kind]
    atoms, path = atoms(), trained_on(source, tmp_path / "model.mlff", **training)
    free = quietly(atoms, MLFFCalculator(source, extrapolation="ignore"))
    assert quietly(atoms, MLFFCalculator(path, extrapolation="ignore")) == free
    with pytest.raises(MetalffError, match=STOPPED[kind]):
        energy(atoms, MLFFCalculator(path, extrapolation="stop"))
    calculator = MLFFCalculator(path)
    with pytest.warns(UserWarning, match=sentence) as caught:
        assert energy(atoms, calculator) == free
    caught = [warning for warning in caught if warning.category is UserWarning]
    assert len(caught) == 1 and caught[0].filename != warnings.__file__
    # once, also in copies and pickles
    for again in (calculator, copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        again.reset()
        assert quietly(atoms, again) == free
    seen = calculator.guard.seen
    assert list(seen) == [kind] and seen[kind].evaluations == 3 and seen[kind].atoms % 3 == 0
    assert quietly(bulk("W"), MLFFCalculator(SEVEN)) < 0


@pytest.mark.parametrize("kind", WARNED)
def test_known_structures(kind, tmp_path):
    """Limits that are just met."""
    met = dict(
        shortest_distance=1.9999, largest_coordination=NEIGHBOURS, smallest_coordination=NEIGHBOURS, pairs=[("Ni", "Ni"), ("Cu", "Cu"), ("Ni", "Cu")]
    )
    source, atoms, training, _ = WARNED[kind]
    path = trained_on(source, tmp_path / "model.mlff", **{key: met[key] for key in training})
    quietly(atoms(), MLFFCalculator(path, extrapolation="stop"))


def test_nothing_said_nothing_guarded(tmp_path):
    path = trained_on(CU, tmp_path / "model.mlff")
    for atoms in (dimer(0.5), crystal(2.5), Atoms("Cu")):
        quietly(atoms, MLFFCalculator(path, extrapolation="stop"))


def test_overlap_stops_a_warning(tmp_path):
    path = trained_on(CU, tmp_path / "model.mlff", shortest_distance=2.0)
    assert _engine.Artifact.open(str(path)).overlap_distance == OVERLAP * 2.0
    with pytest.warns(UserWarning, match="closer than any"):
        energy(dimer(1.21), MLFFCalculator(path))
    with pytest.raises(MetalffError, match='two atoms are 1.190 Å apart, .* or use extrapolation="ignore"'):
        energy(dimer(1.19), MLFFCalculator(path))


def test_a_dimer_of_one_angstrom_has_an_energy(tmp_path):
    """The first look at a model is the curve of its dimer; LAMMPS has the same."""
    calculator = MLFFCalculator(CU, extrapolation="ignore")
    for d in (0.3, 1.0, 1.2, 2.4):
        boxed = Atoms("Cu2", positions=[[9, 10, 10], [9 + d, 10, 10]], cell=np.eye(3) * 20, pbc=True)
        (theirs,) = Script(boxed).run(tmp_path, [["pair_style mlff extrapolation ignore", f"pair_coeff * * {CU} Cu"]])
        assert quietly(dimer(d), calculator) == pytest.approx(theirs.energy, abs=1e-9)
    with pytest.raises(MetalffError, match="two atoms are 1.000 Å apart"):
        energy(dimer(1.0), MLFFCalculator(CU))


def test_one_warning_in_a_hundred_steps():
    atoms = dimer(1.5)
    atoms.calc = MLFFCalculator(CU)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(100):
            atoms.positions[1, 0] = 1.5 + 0.002 * step
            atoms.get_potential_energy()
    said = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert len([text for text in said if "two atoms are 1.500 Å apart" in text]) == 1
    assert len(said) == len({text.split(" neighbours")[-1] for text in said}) <= 2, "one of each kind"
    seen = atoms.calc.guard.seen["distance"]
    assert (seen.evaluations, seen.atoms, seen.worst) == (100, 200, 1.5)


def test_warnings_as_errors_stay_errors(tmp_path):
    """A filter that makes errors of warnings stops every time, not the first time only."""
    calculator = MLFFCalculator(trained_on(CU, tmp_path / "model.mlff", shortest_distance=2.5))
    for _ in range(2):
        with pytest.raises(UserWarning, match="two atoms are 2.000 Å apart"):
            quietly(dimer(), calculator)


def test_worst_of_all(tmp_path):
    training = dict(shortest_distance=2.5, largest_coordination=1, smallest_coordination=1)
    calculator = MLFFCalculator(trained_on(CU, tmp_path / "model.mlff", **training))
    three = Atoms("Cu3", positions=[[0, 0, 0], [2.4, 0, 0], [4.6, 0, 0]])
    with pytest.warns(UserWarning):
        for atoms in (dimer(2.0), dimer(2.3), three, Atoms("Cu"), dimer(2.4)):
            energy(atoms, calculator)
    seen = calculator.guard.seen
    assert (seen["distance"].worst, seen["distance"].evaluations, seen["distance"].atoms) == (2.0, 4, 2 + 2 + 3 + 2)
    assert (seen["crowded"].worst, seen["crowded"].evaluations, seen["crowded"].atoms) == (2, 1, 3)
    assert (seen["lonely"].worst, seen["lonely"].evaluations, seen["lonely"].atoms) == (0, 1, 1)


@pytest.mark.parametrize("action", ["stop", "warn", "ignore"])
@pytest.mark.parametrize("kind", ["distance", "crowded", "pair"])
def test_as_lammps(kind, action, tmp_path):
    """Both go on, warn or stop; the same numbers are in both sentences."""
    source, atoms, training, _ = WARNED[kind]
    atoms, path = atoms(), trained_on(source, tmp_path / "model.mlff", **training)
    boxed = atoms.copy()
    if not boxed.pbc.any():
        boxed.set_cell(np.eye(3) * 30), boxed.center()
        boxed.pbc = True
    elements = ("Cu", "Ni")[: 1 + (kind == "pair")]
    lines = ["units metal", "atom_style atomic", *Script(boxed, elements=elements)._box()]
    style = f"pair_style mlff extrapolation {'error' if action == 'stop' else action}"
    theirs = lammps(tmp_path, [*lines, style, f"pair_coeff * * {path} {' '.join(elements)}", "run 0"])
    calculator = MLFFCalculator(path, extrapolation=action)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            energy(atoms, calculator)
            stopped, said = False, [str(warning.message) for warning in caught]
        except MetalffError as error:
            stopped, said = True, [str(error)]
    assert stopped == (theirs.returncode != 0) == (action == "stop"), theirs.stdout[-500:]
    words = {"distance": "two atoms are 2.000 ", "crowded": f"an atom has {NEIGHBOURS} neighbours within 5 ", "pair": " are neighbours"}[kind]
    assert (words in "".join(said)) == (words in theirs.stdout) == (action != "ignore")
