"""Pairs within a cutoff, against every distance of every image; atoms far apart take no memory."""

import tracemalloc

import numpy as np
import pytest
from ase.build import bulk
from ase.cell import Cell
from matscipy.neighbours import neighbour_list

from metalff import neighbours
from metalff.neighbours import edges, edges_of


def by_force(cell, pbc, positions, cutoff):
    """{(centre, neighbour, edge_vec)}: all images in as many cells as the cutoff and the spread of the atoms can reach."""
    cell = Cell(np.where(np.array(pbc)[:, None], cell, 0.0)).complete().array
    inverse = np.linalg.inv(cell)
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0) + np.ptp(positions @ inverse, axis=0)).astype(int)
    steps = [np.arange(-r, r + 1) if periodic else [0] for r, periodic in zip(reach, pbc, strict=True)]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (positions[None] - positions[:, None])[:, :, None] + shifts @ cell
    found = np.argwhere((vectors**2).sum(axis=-1) < cutoff**2)
    return {(i, j, *rounded(vectors[i, j, k])) for i, j, k in found if i != j or shifts[k].any()}


def rounded(vector):
    return tuple(np.round(vector, 6) + 0.0)


def same_as_by_force(cell, pbc, positions, cutoff):
    centre, neighbour, edge_vec = edges(cell, pbc, positions, cutoff)
    found = [(i, j, *rounded(vector)) for i, j, vector in zip(centre, neighbour, edge_vec, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == by_force(cell, pbc, positions, cutoff)
    assert (np.diff(centre) >= 0).all()
    return len(found)


CELLS = {
    "cube": np.eye(3) * 4.0,
    "left-handed": np.array([[0.0, 4, 0], [4, 0, 0], [0, 0, 4]]),
    "skewed": np.array([[3.0, 0, 0], [1.4, 2.8, 0], [-1.2, 0.7, 3.1]]),
    "very skewed": np.array([[2.0, 0, 0], [9.0, 2, 0], [-13.0, 7, 2]]),
    "flat": np.array([[8.0, 0, 0], [0, 8, 0], [7.7, 7.6, 0.9]]),
    "turned": np.array([[1.0, 2, 2], [-2, 3, 0.5], [0.3, -1, 4]]),
}


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_every_pair_once(name, pbc, monkeypatch):
    rng = np.random.default_rng(2)
    for few in (neighbours.FEW, 0):  # one by one, and by a tree
        monkeypatch.setattr(neighbours, "FEW", few)
        for atoms, cutoff in ((1, 4.5), (2, 2.0), (5, 3.3)):
            same_as_by_force(CELLS[name], pbc, rng.uniform(-9, 9, (atoms, 3)), cutoff)


def test_random_cells():
    rng, pairs = np.random.default_rng(0), 0
    for _ in range(60):
        cell = rng.normal(0, 3, (3, 3))
        if abs(np.linalg.det(cell)) > 4:
            pairs += same_as_by_force(cell, rng.integers(0, 2, 3).astype(bool), rng.uniform(-6, 6, (4, 3)), rng.uniform(1, 4))
    assert pairs > 500


def test_the_pairs_of_matscipy():
    atoms = bulk("Cu", cubic=True).repeat(5)
    atoms.rattle(0.1)
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1.02, 0], [0.05, 0, 0.97]], scale_atoms=True)
    ours, theirs = edges_of(atoms, 5.5), neighbour_list("ijD", atoms, 5.5)
    ours, theirs = ({(i, j, *rounded(v)) for i, j, v in zip(*found, strict=True)} for found in (ours, theirs))
    assert ours == theirs and len(ours) > 20000


@pytest.mark.parametrize("spread", [0, 4])
def test_opposite_edges_are_exactly_opposite(spread):
    atoms = bulk("Cu").repeat(3)
    atoms.rattle(0.3)
    atoms.set_scaled_positions(0.1 + 0.8 * atoms.get_scaled_positions())
    atoms.positions += np.random.default_rng(1).integers(-spread, spread + 1, (len(atoms), 3)) @ atoms.cell.array
    centre, neighbour, edge_vec = edges_of(atoms, 5.0)
    assert {(i, j, *v) for i, j, v in zip(centre, neighbour, edge_vec)} == {(j, i, *(0.0 - v)) for i, j, v in zip(centre, neighbour, edge_vec)}


def test_atoms_in_one_place_and_no_atoms():
    centre, neighbour, edge_vec = edges(np.zeros((3, 3)), (0, 0, 0), np.zeros((2, 3)), 3.0)
    assert list(centre) == [0, 1] and list(neighbour) == [1, 0] and not edge_vec.any()
    assert [len(part) for part in edges(np.eye(3), (1, 1, 1), np.zeros((0, 3)), 3.0)] == [0, 0, 0]


FAR = 1e6  # Å
SPARSE = {
    "two pairs far apart": (np.zeros((3, 3)), (0, 0, 0), [[0, 0, 0], [FAR, FAR, FAR], [2, 0, 0], [FAR, FAR, FAR + 2]], 4),
    "a huge periodic cell, over its border": (np.eye(3) * FAR, (1, 1, 1), [[0, 0, 0], [FAR - 2, 0, 0], [FAR / 2, 0, 0]], 2),
    "a huge slab of two periodic directions": (np.diag([FAR, 3.0, 0]), (1, 1, 0), [[0, 0, 0], [FAR / 2, 0, FAR]], 2 * 2),
    "long and very skewed": (np.array([[3.0, 0, 0], [FAR, 3, 0], [FAR, FAR, 3]]), (1, 1, 1), [[0, 0, 0]], 12),
    "five thousand atoms of a gas": (np.zeros((3, 3)), (0, 0, 0), np.random.default_rng(3).uniform(0, FAR, (5000, 3)), 0),
}


@pytest.mark.parametrize("name", SPARSE)
def test_empty_space_takes_no_memory(name):
    cell, pbc, positions, pairs = SPARSE[name]
    tracemalloc.start()
    try:
        centre, _, edge_vec = edges(cell, pbc, np.array(positions, float), 4.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6
    assert len(centre) == pairs
    assert (np.linalg.norm(edge_vec, axis=1) < 4.0).all()


def test_the_lattice_of_the_long_cell():
    """FAR is 1 above a multiple of 3, so its vectors less multiples of one another are these."""
    assert same_as_by_force(np.array([[3.0, 0, 0], [1, 3, 0], [1, 1, 3]]), (1, 1, 1), np.zeros((1, 3)), 4.0) == SPARSE["long and very skewed"][3]
