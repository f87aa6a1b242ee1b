"""The basis of linear polynomials: invariant, independent, complete."""

import numpy as np
import pytest

from metalff.poly.basis import Size, clebsch_gordan, make
from metalff.poly.fit import Design, Structure, polynomial
from metalff.poly.program import Program
from metalff.poly.radial import Shape
from metalff.poly.reference import evaluate

SIZE = Size(3, 4, (6, 9, 9, 11))


def values(basis, moments):
    """Of each function for moments [samples, nodes]."""
    found = np.empty((len(moments), len(basis)))
    for k in range(len(basis)):
        some = basis.function == k
        program = Program(basis.channels, basis.products, basis.factors, basis.terms[some], basis.factor[some, None])
        found[:, k] = [evaluate(program, m)[0] for m in moments]
    return found


def random_moments(basis, samples):
    count = int(((basis.channels[:, 1] + 1) ** 2).sum())
    return np.random.default_rng(1).normal(size=(samples, count))


def test_functions_are_independent():
    basis = make(Size(2, 3, (4, 6, 7, 8)))
    found = values(basis, random_moments(basis, 2 * len(basis)))
    found /= np.linalg.norm(found, axis=0)
    singular = np.linalg.svd(found, compute_uv=False)
    assert len(basis) > 30 and singular[-1] > 1e-4 * singular[0]


@pytest.mark.parametrize(
    "moments, count",
    [
        ([(0, 2)] * 4, 1),
        ([(0, 2), (0, 2), (1, 2), (1, 2)], 3),
        ([(0, 2), (1, 2), (2, 2), (3, 2)], 5),
        ([(0, 1), (1, 1), (2, 1), (3, 1)], 3),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], 3),
        ([(0, 3)] * 4, 2),
        ([(0, 4)] * 4, 2),
        ([(0, 1), (0, 1), (0, 2), (0, 2)], 2),
        ([(0, 0), (0, 1), (0, 1), (0, 2)], 1),
    ],
)
def test_the_number_of_invariants_of_four_moments(moments, count):
    """Multiplicities of the trivial representation, by characters; of equal moments the symmetric powers."""
    from metalff.poly import basis as module

    maker = module._Maker(Size(4, 4, (20, 20, 20, 20)))
    assert len(maker.invariants(moments)) == count == by_characters(moments)


def by_characters(moments) -> int:
    """Of O(3): ∫ Π χ over the group's classes, symmetric powers by Newton's identities."""
    angles = (np.arange(4000) + 0.5) * np.pi / 4000
    measure = (1 - np.cos(angles)) / 4000
    total = np.ones_like(angles)
    for moment in set(moments):
        power, l = moments.count(moment), moment[1]
        chi = lambda k: np.sin((2 * l + 1) * k * angles / 2) / np.sin(k * angles / 2)  # noqa: B023, E731
        symmetric = [np.ones_like(angles)]
        for n in range(1, power + 1):
            symmetric.append(sum(chi(k) * symmetric[n - k] for k in range(1, n + 1)) / n)
        total = total * symmetric[power]
    return round(float((measure * total).sum()))


def test_clebsch_gordan_coefficients_are_orthonormal():
    for one, two, three in ((1, 2, 2), (2, 2, 4), (3, 2, 1), (4, 4, 0), (3, 3, 3)):
        coupling = clebsch_gordan(one, two, three)
        assert np.allclose(np.einsum("abm,abn->mn", coupling, coupling), np.eye(2 * three + 1), atol=1e-12)


@pytest.fixture(scope="module")
def structures():
    rng = np.random.default_rng(5)
    found = []
    for n in (5, 7):
        positions = rng.uniform(0, 6, (n, 3)) + np.arange(n)[:, None] * 1.5
        found.append(Structure(np.zeros((3, 3)), np.zeros(3, bool), positions, np.zeros(n, np.int32), 0.0, np.zeros((n, 3))))
    return found


def test_functions_do_not_change_when_structures_are_turned(structures):
    from dataclasses import replace

    basis, shape = make(SIZE), Shape(3, 5, 1.5, 5.0, 3, 0.0)
    potential = polynomial(["Cu"], basis, {(0, 0): shape.table(["Cu"], (0, 0))}, np.ones(len(basis)), [0.0])
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turned = [replace(s, positions=s.positions @ turn) for s in structures]
    here, there = (Design(potential, some, 1.0, 1.0).engine.design([0, 1]) for some in (structures, turned))
    for a, b, s in zip(here, there, structures, strict=True):
        n, scale = len(s.types), np.abs(a).max(axis=1)
        assert np.all(scale > 0)
        assert np.all(np.abs(a[:, 0] - b[:, 0]) < 1e-11 * scale)
        forces = a[:, 1 : 1 + 3 * n].reshape(-1, n, 3) @ turn
        assert np.all(np.abs(forces - b[:, 1 : 1 + 3 * n].reshape(-1, n, 3)).max(axis=(1, 2)) < 1e-10 * scale)


def test_part():
    basis = make(SIZE)
    kept = basis.costs <= 7
    part = basis.part(kept)
    moments = random_moments(basis, 3)
    assert 0 < len(part) < len(basis) and len(part.products) < len(basis.products)
    assert np.allclose(values(part, moments), values(basis, moments)[:, kept], rtol=1e-12, atol=1e-12)
