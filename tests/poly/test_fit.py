"""Fits of linear polynomials: equations, regularisation, optimised radial functions."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from metalff.poly.basis import Size, make
from metalff.poly.fit import Design, Normal, Solver, Structure, polynomial
from metalff.poly.optimise import Place, State, optimise
from metalff.poly.radial import Shape, chebyshev, repulsion

ELEMENTS = ["Cu", "Ni"]
SIZE = Size(3, 3, (6, 6, 6, 6), elements=2, repulsion=True)
SHAPE = Shape(3, 5, 2.0, 4.5, 3, 2.4)


def structures(elements=ELEMENTS, count=12, folds=2):
    """Small hot crystals, the elements at random."""
    rng, found = np.random.default_rng(7), []
    for k in range(count):
        atoms = bulk("Cu", a=rng.uniform(3.4, 3.8), cubic=True).repeat((2, 1, 1))
        atoms.rattle(0.2, seed=k)
        types = rng.integers(len(elements), size=len(atoms)).astype(np.int32)
        found.append(Structure(atoms.cell.array, atoms.pbc, atoms.positions, types, 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3)), fold=k % folds))
    return sorted(found, key=lambda s: s.fold)


@pytest.fixture(scope="module")
def basis():
    return make(SIZE)


@pytest.fixture(scope="module")
def coefficients(basis):
    found = np.random.default_rng(0).normal(size=(2, len(basis))) / 3.0**basis.costs
    found[:, -1] = 1.0
    return found.ravel()


def potential(basis, shape=SHAPE, mixing=None, coefficients=None):
    pairs = {(a, b): shape.table(ELEMENTS, (a, b), None if mixing is None else mixing[a, b]) for a in (0, 1) for b in (0, 1)}
    return polynomial(ELEMENTS, basis, pairs, np.ones(2 * len(basis)) if coefficients is None else coefficients, np.zeros(2))


def labelled(design, coefficients, shift):
    """The structures with the energies, forces and virials of these coefficients."""
    design.set(coefficients)
    answers = design.engine.predict(range(len(design.structures)))
    return [
        replace(s, energy=energy + shift[s.types].sum(), forces=forces, virial=virial)
        for s, (energy, forces, virial) in zip(design.structures, answers, strict=True)
    ]


def test_the_design_is_linear_in_the_coefficients(basis, coefficients):
    some = structures(count=2)
    design = Design(potential(basis), some, 1.0, 1.0)
    design.set(coefficients)
    for rows, (energy, forces, virial) in zip(design.engine.design([0, 1]), design.engine.predict([0, 1]), strict=True):
        expected = np.concatenate([[energy], forces.ravel(), virial.ravel()])
        assert np.abs(forces).max() > 0.1
        assert np.allclose(coefficients @ rows, expected, rtol=1e-10, atol=1e-9 * np.abs(expected).max())


def test_forces_and_virial_of_each_function_are_derivatives(basis):
    (s,) = structures(count=1)
    h, pot = 1e-5, potential(basis)
    (rows,) = Design(pot, [s], 1.0, 1.0).engine.design([0])

    def energies(changed):
        return Design(pot, [changed], 1.0, 1.0).engine.design([0])[0][:, 0]

    def moved(step):
        positions = s.positions.copy()
        positions[1, 2] += step
        return replace(s, positions=positions)

    def strained(step):
        matrix = np.eye(3)
        matrix[0, 1] += step
        return replace(s, cell=s.cell @ matrix, positions=s.positions @ matrix)

    for change, column, sign in ((moved, 1 + 3 + 2, -1), (strained, rows.shape[1] - 9 + 1, -1)):
        numeric = sign * (energies(change(h)) - energies(change(-h))) / (2 * h)
        scale = np.abs(rows).max(axis=1)
        assert np.all(np.abs(numeric - rows[:, column]) < 1e-6 * np.maximum(scale, 1e-3))
        assert np.abs(rows[:, column]).max() > 0.1


def test_the_coefficients_that_made_the_labels_are_found(basis, coefficients):
    shift = np.array([-1.0, 2.0])
    some = labelled(Design(potential(basis), structures(count=80), 1.0, 1.0), coefficients, shift)
    design = Design(potential(basis), some, 30.0, 1.0, threads=2)
    normal = Normal(design.unknowns, 2)
    for block in design.blocks():
        normal.add(design, block)
    solver = Solver(normal, np.append(np.tile(basis.costs, 2), [0, 0, 0]), {len(basis) - 1: 1.0, 2 * len(basis) - 1: 1.0})
    choice = solver.choose()
    found = solver.solve(choice.strength, choice.roughness)
    assert choice.error < 1e-3 * np.sqrt(np.mean([np.mean(s.forces**2) for s in some]))
    assert found[len(basis) - 1] == 1.0 and np.allclose(found[-3:-1], shift, atol=0.05)
    for (energy, forces), s in zip(design.predict(found[:-3]), some, strict=True):
        assert np.abs(forces - s.forces).max() < 1e-3 * np.abs(s.forces).max()


def test_a_pressure_that_all_stresses_share_is_no_part_of_the_potential(basis, coefficients):
    pressure, found = 0.02, []
    for offset in (0.0, pressure):
        some = labelled(Design(potential(basis), structures(count=80), 1.0, 1.0), coefficients, np.zeros(2))
        some = [replace(s, virial=s.virial - offset * abs(np.linalg.det(s.cell)) * np.eye(3)) for s in some]
        design = Design(potential(basis), some, 30.0, 10.0, threads=2)
        normal = Normal(design.unknowns, 2)
        for block in design.blocks():
            normal.add(design, block)
        solver = Solver(normal, np.append(np.tile(basis.costs, 2), [0, 0, 0]), {len(basis) - 1: 1.0, 2 * len(basis) - 1: 1.0})
        found.append(solver.solve(1e-7, 0))
    assert found[1][-1] - found[0][-1] == pytest.approx(pressure, rel=1e-6)
    assert np.allclose(found[0][:-1], found[1][:-1], rtol=1e-4, atol=1e-6)


def test_memory_and_blocks_do_not_change_the_equations(basis, coefficients, monkeypatch):
    some = labelled(Design(potential(basis), structures(count=6), 1.0, 1.0), coefficients, np.zeros(2))
    sums = []
    for size in (2**28, 1):
        monkeypatch.setattr("metalff.poly.fit.BLOCK_BYTES", size)
        design = Design(potential(basis), some, 30.0, 1.0)
        normal = Normal(design.unknowns, 2)
        for block in design.blocks():
            normal.add(design, block)
        sums.append(normal.matrix)
    assert np.allclose(*sums, rtol=1e-9, atol=1e-12 * np.abs(sums[0]).max())


def test_tangents_of_the_radial_functions(basis, coefficients):
    some = structures(count=1)
    rng = np.random.default_rng(4)
    mixing = {(a, b): SHAPE.mixing() + rng.normal(0, 0.1, (3, 5)) for a in (0, 1) for b in (0, 1)}
    design = Design(potential(basis), some, 1.0, 1.0)
    (found,) = design.tangents([0], coefficients, SHAPE, mixing)
    direction = {pair: rng.normal(size=(3, 5)) for pair in mixing}
    answers = []
    for sign in (1, -1):
        design.set(coefficients, SHAPE, {pair: mixing[pair] + sign * 1e-4 * direction[pair] for pair in mixing})
        energy, forces, virial = design.engine.predict([0])[0]
        answers.append(np.concatenate([[energy], forces.ravel(), virial.ravel()]))
    along = np.concatenate([direction[pair].ravel() for pair in sorted(direction)]) @ found
    assert np.abs(along).max() > 0.01
    assert np.allclose(along, (answers[0] - answers[1]) / 2e-4, rtol=1e-4, atol=1e-4 * np.abs(along).max())


def test_optimised_radial_functions_find_those_that_made_the_labels():
    elements, size, shape = ["Cu"], Size(2, 2, (5, 6, 6)), Shape(2, 4, 2.0, 4.5, 3, 0.0)
    basis, rng = make(size), np.random.default_rng(8)
    truth = {(0, 0): shape.mixing() + rng.normal(0, 0.3, (2, 4))}
    coefficients = rng.normal(size=len(basis)) / 3.0**basis.costs
    made = polynomial(elements, basis, {(0, 0): shape.table(elements, (0, 0), truth[0, 0])}, coefficients, [0.0])
    some = labelled(Design(made, structures(elements), 1.0, 1.0), coefficients, np.zeros(1))
    start = polynomial(elements, basis, {(0, 0): shape.table(elements, (0, 0))}, coefficients, [0.0])
    design = Design(start, some, 30.0, 0.0)
    costs, normal = np.append(basis.costs, [0, 0]), Normal(design.unknowns, 2)
    for block in design.blocks():
        normal.add(design, block)
    solver = Solver(normal, costs, {})
    choice = replace(solver.choose(), strength=1e-10)
    begin = solver.loss(solver.solve(choice.strength, choice.roughness), choice)
    losses = []
    start = Place({(0, 0): shape.mixing()}, solver.solve(choice.strength, choice.roughness)[:-2])
    state = State(start, start)
    optimise(design, shape, state, costs, {}, 2, choice, 15, keep=lambda s: losses.append(s.loss))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-4 * begin


def test_derivatives_of_the_radial_functions():
    r, h = np.linspace(1.0, 4.4, 300), 1e-6
    for functions in (lambda r: chebyshev(r, 8, 2.0, 4.5, 3), lambda r: repulsion(r, "Cu", "Ni", 2.4)[:, :, None]):
        value, slope, curvature = functions(r)
        (more, more_slope, _), (less, less_slope, _) = functions(r + h), functions(r - h)
        assert np.allclose((more - less) / (2 * h), slope, rtol=1e-6, atol=1e-6 * np.abs(slope).max())
        assert np.allclose((more_slope - less_slope) / (2 * h), curvature, rtol=1e-6, atol=1e-6 * np.abs(curvature).max())


def test_the_polynomials_stay_small_below_the_shortest_distance():
    inside, below = chebyshev(np.linspace(2.0, 4.5, 200), 12, 2.0, 4.5, 3)[0], chebyshev(np.linspace(0.1, 2.0, 200), 12, 2.0, 4.5, 3)[0]
    assert np.all(np.abs(below).max(axis=0) < 60 * np.abs(inside).max(axis=0))


def test_a_committee_is_as_wide_as_held_out_errors(basis, coefficients):
    """Labels with noise: members differ from the fit by about as much as it errs on folds that it has not seen."""
    rng = np.random.default_rng(3)
    some = labelled(Design(potential(basis), structures(count=80), 1.0, 1.0), coefficients, np.zeros(2))
    noisy = [replace(s, forces=s.forces + rng.normal(0, 0.5, s.forces.shape)) for s in some]
    design = Design(potential(basis), noisy, 1.0, 0.0, threads=2)
    normal = Normal(design.unknowns, 2)
    for block in design.blocks():
        normal.add(design, block)
    solver = Solver(normal, np.append(np.tile(basis.costs, 2), [0, 0, 0]), {len(basis) - 1: 1.0, 2 * len(basis) - 1: 1.0})
    choice = solver.choose()
    fitted, members = solver.solve(choice.strength, choice.roughness), solver.committee(choice, 12, seed=1)
    assert np.all(members[len(basis) - 1] == 1.0)
    own = np.concatenate([f.ravel() for _, f in design.predict(fitted[:-3])])
    spread = np.sqrt(np.mean([np.mean((np.concatenate([f.ravel() for _, f in design.predict(m[:-3])]) - own) ** 2) for m in members.T]))
    assert 0.2 < spread / choice.error < 1.2
    assert np.array_equal(members, solver.committee(choice, 12, seed=1))
