"""Polynomial potentials with random coefficients."""

from dataclasses import replace

import numpy as np

import selftests
from metalff.artifact import Manifest
from metalff.poly import program
from metalff.poly.basis import Size, make
from metalff.poly.fit import polynomial
from metalff.poly.radial import Shape

VARIANTS = {
    "one element": {},
    "two elements": {"elements": ("Cu", "Ni")},
    "repulsion": {"zbl": 2.4},
    "many channels, l to 7": {"size": Size(7, 7, (9, 9, 9)), "elements": ("Cu",)},
    "pairs alone": {"size": Size(5, 0, (5, 4))},
    "embedded densities": {"densities": 3, "elements": ("Al", "Cu", "Ni"), "size": Size(2, 2, (5, 5, 5))},
    "a core that takes over": {"densities": 3, "elements": ("Cu", "Ni"), "size": Size(2, 2, (5, 5, 5)), "core": True},
    "elements that do not interact": {"elements": ("Cu", "Ni"), "apart": True},
}


POLYNOMIAL = {"elements": ("Cu", "Ni"), "size": Size(3, 3, (6, 6, 6, 6)), "r_max": 4.8}
"""The one that every path of LAMMPS is tried with."""


def random_polynomial(elements=("Cu",), size=Size(4, 3, (7, 7, 7, 7)), zbl=0.0, densities=1, apart=False, core=False, r_max=4.5, seed=3):
    rng = np.random.default_rng(seed)
    count = len(elements)
    size = replace(size, elements=count, repulsion=zbl > 0)
    basis, shape = make(size), Shape(size.radial, size.radial + 2, 2.0, r_max, 3, zbl)
    pairs = {(a, b): shape.table(elements, (a, b), rng.normal(0, 0.08, (size.radial, size.radial + 2))) for a in range(count) for b in range(count)}
    coefficients = rng.normal(0, 0.5, (count, len(basis))) / 2.0**basis.costs * 4
    if zbl:
        coefficients[:, -1] = 1.0
    made = polynomial(list(elements), basis, pairs, coefficients.ravel(), rng.normal(size=count))
    if apart:
        made = replace(made, pairs={pair: radial for pair, radial in pairs.items() if pair[0] == pair[1]})
    if densities > 1:
        embedding = np.array([[program.LINEAR, 1.0, 1.0], [program.SHIFTED_SCALED, 0.4, 0.5], [program.FINNIS_SINCLAIR, 0.3, 0.8]])[:densities]
        mixed = [p.weights * rng.normal(1, 0.4, (1, densities)) for p in made.programs]
        made = replace(made, programs=[replace(p, weights=w, embedding=embedding) for p, w in zip(made.programs, mixed, strict=True)])
    if core:  # the last density, where a neighbour is close
        embedding[-1] = program.CORE, 1.0, 1.0
        made = replace(made, inner=np.stack([rng.uniform(1.8, 2.1, count**2), rng.uniform(1.0, 1.4, count**2)], axis=1))
    return made


def committee(members=3, **words):
    """A polynomial with a committee, and each of its members as one of its own: the model itself first."""
    alone = random_polynomial(**words)
    rng = np.random.default_rng(5)
    weights = [np.concatenate([p.weights, p.weights * rng.normal(1, 0.05, (len(p.terms), members))], axis=1) for p in alone.programs]
    embedding = np.array([[program.LINEAR, 1.0, 1.0]] + [[program.LINEAR, 0.0, 1.0]] * members)
    together = replace(alone, programs=[replace(p, weights=w, embedding=embedding) for p, w in zip(alone.programs, weights, strict=True)])
    apart = [
        replace(alone, programs=[replace(p, weights=w[:, [m]]) for p, w in zip(alone.programs, weights, strict=True)]) for m in range(members + 1)
    ]
    return together, apart


def put(path, potential, atoms=None):
    manifest = Manifest(name="variant", family="poly", elements=potential.elements, r_max=potential.r_max, layers=1)
    return selftests.write(path, manifest, program.MEMBER, potential.to_bytes(), atoms)
