"""Polynomial potentials in the native engine: the numbers of plain numpy, in every precision and division of the work."""

import numpy as np
import pytest
from ase import Atoms

from inputs import rewritten
from metalff import MLFFCalculator, _engine
from metalff.errors import MetalffError
from metalff.neighbours import edges
from metalff.poly.program import CORE
from metalff.poly.reference import Reference, polynomial
from nep_variants import crystals
from poly_programs import VARIANTS, committee, put, random_polynomial


@pytest.fixture(scope="module", params=VARIANTS)
def made(request, tmp_path_factory):
    """A potential, its artefact, structures, and the numbers of numpy."""
    potential = random_polynomial(**VARIANTS[request.param])
    path = put(tmp_path_factory.mktemp("poly") / "model.mlff", potential)
    calculator = Reference(potential.elements, potential.r_max, polynomial(potential))
    structures, results = crystals(potential.elements), {}
    for name, atoms in structures.items():
        atoms.calc = calculator
        results[name] = {key: atoms.calc.get_property(key, atoms) for key in ("energies", "forces", "stress")}
    return potential, path, structures, results


def compare(made, tolerance, **options):
    _, path, structures, results = made
    calculator, largest = MLFFCalculator(path, **options), 0.0
    for name, atoms in structures.items():
        atoms = atoms.copy()
        atoms.calc = calculator
        size = max(1.0, np.abs(results[name]["forces"]).max())
        for key, expected in results[name].items():
            found = atoms.calc.get_property(key, atoms)
            largest = max(largest, np.abs(found - expected).max())
            assert np.abs(found - expected).max() < tolerance * size, (name, key)
    return largest


def test_the_numbers_of_numpy(made):
    assert max(np.abs(result["forces"]).max() for result in made[3].values()) > 0.1
    compare(made, 1e-11)


def test_single_precision(made):
    assert compare(made, 2e-5, precision="single") > 1e-9, "this is not single precision"


def test_threads_change_nothing(made):
    _, path, structures, _ = made
    atoms = structures["hot"].copy()
    found = []
    for threads in (1, 3):
        atoms.calc = MLFFCalculator(path, threads=threads)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])


def test_closer_than_the_first_knot(tmp_path):
    """Radial functions go on as straight lines, and the repulsion with them."""
    potential = random_polynomial(zbl=2.4)
    calculator = MLFFCalculator(put(tmp_path / "model.mlff", potential))
    energies = []
    for distance in (0.1, 0.3, 0.5, 1.0, 1.5):
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, distance]], calculator=calculator)
        energies.append(atoms.get_potential_energy())
        reference = Atoms("Cu2", atoms.positions, calculator=Reference(["Cu"], potential.r_max, polynomial(potential)))
        assert energies[-1] == pytest.approx(reference.get_potential_energy(), rel=1e-10)
    assert np.all(np.diff(energies) < 0)


@pytest.mark.parametrize("words", [{}, {"elements": ("Cu", "Ni"), "zbl": 2.4}])
def test_a_committee_is_its_members(words, tmp_path):
    together, apart = committee(**words)
    engine = _engine.Engine(put(tmp_path / "all.mlff", together))
    members = [_engine.Engine(put(tmp_path / f"{m}.mlff", one)) for m, one in enumerate(apart)]
    assert engine.committee == 3 and members[0].committee == 0
    atoms = crystals(together.elements)["hot"]
    types = np.array([together.elements.index(s) for s in atoms.symbols])
    graph = (*edges(atoms.cell.array, atoms.pbc, atoms.positions, together.r_max), types)
    assert np.array_equal(engine.evaluate(*graph)[0], members[0].evaluate(*graph)[0])
    energies, forces = engine.evaluate_committee(*graph)
    for m, member in enumerate(members[1:]):
        energy, grad = member.evaluate(*graph)
        expected = np.zeros((len(atoms), 3))
        np.add.at(expected, graph[0], grad)
        np.subtract.at(expected, graph[1], grad)
        assert energies[m] == pytest.approx(energy.sum(), abs=1e-9)
        assert np.allclose(forces[m], expected, rtol=0, atol=1e-9)
    assert np.abs(forces[0] - forces[1]).max() > 1e-3


def spoilt(change):
    potential = random_polynomial()
    change(potential)
    return potential.to_bytes()


def far_node(potential):
    potential.programs[0].products[0, 2] = 10**7


def later_node(potential):
    potential.programs[0].products[0, 0] = potential.programs[0].products[0, 2]


def no_such_term(potential):
    potential.programs[0].terms[0, 0] = 10**5


def steep(potential):
    potential.pairs[0, 0].table[-1, 0] = 1.0


def wild_embedding(potential):
    object.__setattr__(potential.programs[0], "embedding", np.array([[1.0, 1.0, -2.0]]))


def core_without_distances(potential):
    object.__setattr__(potential.programs[0], "embedding", np.array([[CORE, 1.0, 1.0]]))


def core_beyond_the_cutoff(potential):
    object.__setattr__(potential, "inner", np.array([[4.0, 1.0]]))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (core_without_distances, "it has a core without its distances, inner"),
        (core_beyond_the_cutoff, "inner does not give a range of distances within the cutoff"),
        (far_node, "products.0 holds a number that is not a whole one it may have"),
        (later_node, "products.0 holds a number"),
        (no_such_term, "terms.0 holds a number"),
        (steep, "a function of radial.0 does not end smoothly at the cutoff"),
        (wild_embedding, "embedding.0 has an exponent that is not above 0 and up to 10"),
    ],
)
def test_refused_in_a_sentence(change, sentence):
    with pytest.raises(_engine.EngineError, match=sentence):
        _engine.Trainer("poly", spoilt(change))


def test_another_manifest(tmp_path):
    path = rewritten(put(tmp_path / "model.mlff", random_polynomial()), tmp_path / "other.mlff", r_max=5.0)
    with pytest.raises(MetalffError, match="its manifest says r_max 5.0+ Å and its payload native/poly.safetensors is a model of 4.5"):
        MLFFCalculator(path)
