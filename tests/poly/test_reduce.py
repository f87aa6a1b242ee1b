"""A shorter program has the same energies and gradients."""

import numpy as np
import pytest

from metalff.poly.program import LINEAR, SHIFTED_SCALED, Polynomial, Program, Radial, from_bytes
from metalff.poly.reduce import reduce
from metalff.poly.reference import evaluate


def random_program(seed: int, densities: int) -> Program:
    """Sums of moments, multiples, products in three levels, squares, nodes that nothing reads, and one that is zero."""
    rng = np.random.default_rng(seed)
    channels = np.array([[0, 2], [1, 1]])
    rows, factors, node = [], [], 12

    def add(parts) -> int:
        nonlocal node
        for a, b, factor in parts:
            rows.append((a, b, node))
            factors.append(factor)
        node += 1
        return node - 1

    sums = [add([(int(a), -1, rng.normal()) for a in rng.choice(12, 3, replace=False)]) for _ in range(4)]
    multiples = [add([(int(a), -1, rng.normal())]) for a in rng.choice(16, 3, replace=False)]
    low = [add([(int(rng.choice(12)), int(rng.choice([*sums, *multiples])), rng.normal()) for _ in range(3)]) for _ in range(5)]
    zero = add([(3, 4, 0.7), (4, 3, -0.7)])
    high = [add([(int(rng.choice(low)), int(rng.choice(12 + 7)), rng.normal()) for _ in range(2)]) for _ in range(4)] + [add([(zero, 2, 1.0)])]
    add([(low[0], low[1], 1.0)])
    nothing = node = node + 1
    terms = [(n, -1) for n in high + low[:2] + sums[:1]] + [
        (low[2], 5),
        (low[3], 5),
        (sums[0], sums[1]),
        (sums[1], sums[1]),
        (zero, zero),
        (nothing, 5),
    ]
    embedding = np.array([[LINEAR, 1.0, 1.0], [SHIFTED_SCALED, 0.7, 0.5]])[:densities]
    return Program(channels, np.array(rows), np.array(factors), np.array(terms), rng.normal(size=(len(terms), densities)), embedding)


@pytest.mark.parametrize("densities", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_the_same_polynomial(seed, densities):
    program = random_program(seed, densities)
    shorter = reduce(program)
    assert len(shorter.products) < len(program.products) and shorter.nodes <= program.nodes
    moments = np.random.default_rng(seed).normal(size=program.moments)
    (energy, slope, _), (other, found, _) = evaluate(program, moments), evaluate(shorter, moments)
    assert other == pytest.approx(energy, rel=1e-12) and np.allclose(found, slope, rtol=1e-11, atol=1e-11)
    numeric = [evaluate(shorter, moments + h)[0] - evaluate(shorter, moments - h)[0] for h in 1e-5 * np.eye(len(moments))]
    assert np.allclose(np.array(numeric) / 2e-5, slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_nodes_are_complete_before_they_are_read(seed):
    shorter = reduce(random_program(seed, 1))
    read: set[int] = set()
    for a, b, out in shorter.products.tolist():
        read |= {a, b}
        assert out not in read and max(a, b) < out


def test_bytes_and_back():
    """With and without what is optional."""
    radial = Radial(1.0, 0.5, 3.0, np.arange(30.0).reshape(5, 3, 2), np.array([0, 1]))
    program = random_program(1, 2)
    for inner in (None, np.array([[1.0, 0.5]] * 4)):
        made = Polynomial(["Al", "Ni"], np.array([0.5, 1.5]), {(0, 1): radial, (1, 0): radial}, [program], [0, 0], inner)
        data = made.to_bytes()
        assert from_bytes(data).to_bytes() == data and made.r_max == 3.0
    with pytest.raises(ValueError, match="no polynomial"):
        from_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
