"""The closed form of Zhou, Johnson and Wadley: as tabulated by others, smooth, right for alloys."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from metalff.data.metals import metal
from metalff.errors import MetalffError
from metalff.potentials import entries, names, resolve, zhou

TABULATED = ("Pd", "Pt", "Pb", "Mo", "Ti")
"""Metals whose EAM in the registry is OpenKIM's tabulation of the same potential."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path_factory.mktemp("cache")))


def evaluated(potential, atoms):
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    found = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc.close()
    return found


@pytest.mark.parametrize("symbol", TABULATED)
def test_as_tabulated_by_openkim(symbol):
    assert "Zhou" in entries()[f"{symbol}/eam"].label
    atoms = metal(symbol).supercell()
    atoms.rattle(0.1, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these fail their check
        theirs = evaluated(resolve(f"{symbol}/eam"), atoms)
    ours = evaluated(resolve(f"{symbol}/zhou"), atoms)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5 * len(atoms))
    np.testing.assert_allclose(ours[1], theirs[1], atol=2e-4)  # where the embedding of Mo has a kink, tables of other spacing differ


@pytest.mark.parametrize("symbol", zhou.parameters())
def test_embedding_is_joined(symbol):
    """At the inner and outer density; published digits leave steps of some meV."""
    p = zhou.parameters()[symbol]
    for joint in (p.low * p.rhoe, p.rhoe, 1.15 * p.rhoe):
        below, above = p.embedding([joint * (1 - 1e-9), joint * (1 + 1e-9)])
        assert abs(above - below) < 0.01 * abs(below)


def test_alloy_is_each_metal_and_their_mixture():
    mixed = resolve("CuNi/zhou")
    assert mixed.elements == ("Cu", "Ni") and "CuNi/zhou" not in names() and "Cu/zhou" in names()
    for symbol in ("Cu", "Ni"):
        atoms = metal(symbol).supercell()
        atoms.rattle(0.05, seed=3)
        alone, inside = evaluated(resolve(f"{symbol}/zhou"), atoms), evaluated(resolve("CuNi/zhou", [symbol]), atoms)
        assert inside[0] == pytest.approx(alone[0], abs=2e-3 * len(atoms)), "tables reach farther in the alloy, by the larger r_e"
    cu, ni = (zhou.parameters()[s] for s in ("Cu", "Ni"))
    r = np.array([2.4, 2.6, 4.0])
    expected = 0.5 * (ni.density(r) / cu.density(r) * cu.pair(r) + cu.density(r) / ni.density(r) * ni.pair(r))
    np.testing.assert_allclose(zhou.between(cu, ni, r), expected)
    np.testing.assert_allclose(zhou.between(ni, cu, r), expected)


def test_forces_of_the_alloy_are_derivatives():
    atoms = metal("Cu").supercell()
    atoms.symbols[::3] = "Ni"
    atoms.rattle(0.05, seed=4)
    potential = resolve("CuNi/zhou")
    _, forces = evaluated(potential, atoms)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[5, 1] += sign * 1e-3
        energies.append(evaluated(potential, moved)[0])
    assert -(energies[0] - energies[1]) / 2e-3 == pytest.approx(forces[5, 1], abs=1e-4)


@pytest.mark.parametrize("spec, sentence", [("CuXx/zhou", "Zhou, Johnson and Wadley have no Xx"), ("Na/zhou", "have no Na")])
def test_metals_that_it_lacks(spec, sentence):
    with pytest.raises(MetalffError, match=sentence):
        resolve(spec)
    with pytest.raises(MetalffError, match="Cu/zhou has no parameters for Ni"):
        resolve("Cu/zhou", ["Ni"])


def test_it_is_known_by_its_parameters_on_every_processor(monkeypatch):
    """Not by the digits of its file, whose last one differs between processors."""
    copper, nickel = zhou.identity(["Cu"]), zhou.identity(["Ni"])
    assert copper != nickel and resolve("Cu/zhou").sha256 == copper and zhou.identity(["Cu", "Ni"]) != zhou.identity(["Ni", "Cu"])
    monkeypatch.setattr(zhou, "numbers", lambda values: [f"{v:.12e}" for v in values])
    assert resolve("Cu/zhou").sha256 == copper
    changed = zhou.parameters() | {"Cu": replace(zhou.parameters()["Cu"], alpha=7.0)}
    monkeypatch.setattr(zhou, "parameters", lambda: changed)
    assert zhou.identity(["Cu"]) != copper and zhou.identity(["Ni"]) == nickel
