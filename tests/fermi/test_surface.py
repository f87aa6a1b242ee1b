"""Measures of Fermi surfaces whose measures are known."""

import itertools

import numpy as np
import pytest
from ase.build import bulk

from metalff.errors import MetalffError
from metalff.fermi.levels import density_of_states, fermi_level
from metalff.fermi.surface import MASS, VELOCITY, measures, surfaces

CUBE = 2 * np.pi * np.eye(3)


def mesh(count):
    return np.stack(np.meshgrid(*(np.arange(count) / count,) * 3, indexing="ij"), -1)


def free_electrons(atoms, count, bands):
    """Eigenvalues [bands, …] eV and reciprocal cell."""
    reciprocal = 2 * np.pi * atoms.cell.reciprocal().array
    shifts = np.array(list(itertools.product(range(-2, 3), repeat=3))) @ reciprocal
    away = (mesh(count) @ reciprocal)[..., None, :] - shifts
    return np.moveaxis(np.sort(MASS / 2 * (away**2).sum(-1), -1)[..., :bands], -1, 0), reciprocal


def cosines(count, side=1.0):
    """The s band of a simple cubic crystal, hopping of 1 eV."""
    return -2 * np.cos(2 * np.pi * mesh(count)).sum(-1)[None], CUBE / side


@pytest.fixture(scope="module")
def sodium():
    atoms = bulk("Na", "bcc", 4.29)
    eigenvalues, reciprocal = free_electrons(atoms, 20, 3)
    radius = np.cbrt(3 * np.pi**2 / atoms.get_volume())
    level = MASS / 2 * radius**2
    return measures(eigenvalues, level, reciprocal), radius, level, eigenvalues, reciprocal


def test_free_electrons_have_a_sphere(sodium):
    found, radius, level, *_ = sodium
    assert found["area"] == pytest.approx(4 * np.pi * radius**2, rel=0.01)
    assert (found["sheets"], found["fragments"], found["euler"], found["closed"]) == (1, 0, 2, 1)
    assert 0.99 < found["sphericity"] <= 1
    assert found["compactness"] == pytest.approx(1, abs=0.01)
    assert found["mean_curvature"] == pytest.approx(1 / radius, rel=0.01)
    assert found["curvature"] == pytest.approx(1 / radius, rel=0.01)
    assert found["velocity"] == pytest.approx(MASS * radius * VELOCITY, rel=0.01)
    assert found["velocity_spread"] < 0.05  # of the slopes between points of the mesh
    assert found["density_of_states"] == pytest.approx(1.5 / level, rel=0.01)
    assert found["carriers"] == pytest.approx(1, rel=0.02)
    assert found["plasma_energy"] == pytest.approx(np.sqrt(4 * np.pi * 14.39964548 * MASS * 2 / 4.29**3), rel=0.01)
    assert found["complexity_dos"] == pytest.approx(1, abs=0.03)
    assert found["complexity"] == pytest.approx(1, abs=0.15)  # of a derivative by energy; 0.99 on 32³
    assert found["seebeck"] < 0


def test_holes_are_electrons_turned_over(sodium):
    found, _, level, eigenvalues, reciprocal = sodium
    turned = measures(-eigenvalues, -level, reciprocal)
    for key in ("area", "sheets", "euler", "sphericity", "velocity", "density_of_states"):
        assert turned[key] == pytest.approx(found[key], rel=1e-6), key
    assert turned["mean_curvature"] == pytest.approx(-found["mean_curvature"], rel=1e-6)
    assert turned["seebeck"] == pytest.approx(-found["seebeck"], rel=0.05)  # levels above touch the zone: cubes with two choices


def test_the_surface_does_not_depend_on_the_choice_of_the_cell():
    """Another cell of the same lattice, skewed and left-handed, and Γ elsewhere."""
    eigenvalues, reciprocal = free_electrons(bulk("Na", "bcc", 4.29), 16, 1)
    level = 2.0
    found = measures(eigenvalues, level, reciprocal)
    i, j, k = np.meshgrid(*(np.arange(16),) * 3, indexing="ij")
    skewed = measures(eigenvalues[:, j % 16, (i + j) % 16, k], level, np.array([reciprocal[1], reciprocal[0] + reciprocal[1], reciprocal[2]]))
    moved = measures(np.roll(eigenvalues, (3, 5, 8), (1, 2, 3)), level, reciprocal)
    for key in ("area", "sphericity", "euler", "velocity", "mean_curvature", "density_of_states"):
        assert moved[key] == pytest.approx(found[key], rel=1e-6), key
        assert skewed[key] == pytest.approx(found[key], rel=0.02), key


def test_half_filled_cube_is_open():
    """Close to Schwarz' P surface: three holes through a handle body, so χ = −4; the area is that of cos x + cos y + cos z = 0."""
    found = measures(cosines(24)[0], 0.0, CUBE)
    assert found["area_reduced"] == pytest.approx(2.3527, rel=0.003)
    assert (found["sheets"], found["euler"], found["closed"], found["sphericity"]) == (1, -4, 0, None)
    assert found["carriers"] == pytest.approx(1, abs=1e-3)
    assert found["mean_curvature"] == pytest.approx(0, abs=1e-5)
    assert found["seebeck"] == pytest.approx(0, abs=1e-6)


def test_necks_change_the_topology():
    """An s band of an fcc crystal: closed while nearly empty, then with necks to the eight neighbours through L, as copper: χ = 2 − 2·4."""
    fractions = 2 * np.pi * mesh(20)
    u, v, w = np.moveaxis(fractions, -1, 0)
    band = -2 * (np.cos(u) + np.cos(v) + np.cos(w) + np.cos(u - v) + np.cos(v - w) + np.cos(w - u))[None]
    reciprocal = 2 * np.pi * bulk("Cu", "fcc", 3.61).cell.reciprocal().array
    assert band[0, 10, 10, 10] == band[0, 10, 0, 0] == 0.0  # L
    found = {level: measures(band, level, reciprocal) for level in (-0.3, 0.3)}
    assert found[-0.3]["euler"] == 2 and found[-0.3]["closed"] == 1
    assert found[0.3]["euler"] == -6 and found[0.3]["closed"] == 0


def test_lengths_scale():
    small, large = (measures(cosines(12, side)[0], -3.0, cosines(12, side)[1]) for side in (1.0, 2.0))
    assert large["area"] == pytest.approx(small["area"] / 4)
    assert large["velocity"] == pytest.approx(2 * small["velocity"])
    assert large["curvature"] == pytest.approx(2 * small["curvature"])
    for key in ("area_reduced", "sphericity", "euler", "sheets", "complexity", "complexity_dos", "velocity_spread", "density_of_states", "seebeck"):
        assert large[key] == pytest.approx(small[key]), key


def test_bands_add_up_in_any_order():
    eigenvalues, reciprocal = cosines(12)
    several = np.concatenate([eigenvalues, eigenvalues + 1.5, -eigenvalues - 4.0, eigenvalues + 40.0])
    found = measures(several, -3.0, reciprocal)
    turned = measures(several[[3, 1, 2, 0]], -3.0, reciprocal)
    assert [band["band"] for band in found["bands"]] == [0, 1, 2] and [band["band"] for band in turned["bands"]] == [1, 2, 3]
    for key in ("area", "sheets", "euler", "velocity", "velocity_spread", "carriers", "complexity"):
        assert turned[key] == pytest.approx(found[key]), key
    for key in ("area", "sheets", "euler", "density_of_states", "carriers"):
        assert found[key] == pytest.approx(sum(band[key] for band in found["bands"])), key


def test_surfaces_are_closed_on_the_torus():
    """Every edge of every triangle has one other triangle, turned the same way, whatever the values."""
    random = np.random.default_rng(1)
    for shape in ((7, 6, 5), (12, 9, 4)):
        values = random.integers(-2, 3, shape).astype(float)  # zeros included: the surface through points of the mesh
        (surface,) = surfaces(values[None], 0.0, CUBE)
        tails, heads = surface.triangles.ravel(), np.roll(surface.triangles, -1, axis=1).ravel()
        edges = set(zip(tails.tolist(), heads.tolist()))
        assert len(edges) == len(tails) and {(b, a) for a, b in edges} == edges


def test_no_band_at_the_level():
    found = measures(cosines(8)[0], 100.0, CUBE)
    assert (found["area"], found["sheets"], found["density_of_states"], found["bands"]) == (0, 0, 0, [])
    assert found["velocity"] is None and found["sphericity"] is None and found["complexity"] is None


@pytest.mark.parametrize(
    "eigenvalues, reciprocal, sentence",
    [
        (np.zeros((2, 8, 8)), CUBE, "bands on a mesh"),
        (np.zeros((2, 8, 8, 2)), CUBE, "at least 4 points"),
        (np.full((1, 8, 8, 8), np.nan), CUBE, "finite"),
        (np.zeros((1, 8, 8, 8)), np.ones((3, 3)), "no volume"),
    ],
)
def test_what_is_no_mesh_is_refused(eigenvalues, reciprocal, sentence):
    with pytest.raises(MetalffError, match=sentence):
        measures(eigenvalues, 0.0, reciprocal)


def test_levels():
    eigenvalues, _ = cosines(24)
    assert fermi_level(eigenvalues, None, 1.0, 0.1) == pytest.approx(0, abs=1e-9)
    low = fermi_level(eigenvalues, None, 0.5, 0.1)
    turned = fermi_level(eigenvalues, None, 1.5, 0.1)
    assert low == pytest.approx(-turned, abs=1e-9) and low < 0
    edges = np.linspace(-7, 7, 281)
    every = sum(density_of_states(eigenvalues, None, energy, 0.1) for energy in edges) * (edges[1] - edges[0])
    assert every == pytest.approx(2, rel=1e-4)
    assert density_of_states(eigenvalues, None, 0.0, 0.2) == pytest.approx(measures(eigenvalues, 0.0, CUBE)["density_of_states"], rel=0.03)
    with pytest.raises(MetalffError, match="more bands"):
        fermi_level(eigenvalues, None, 2.0, 0.1)
