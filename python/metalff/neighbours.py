"""Pairs of atoms within a cutoff, in any cell, at a cost that follows the atoms and the pairs and not the space between them.

Needs only numpy, scipy and ase, so that a worker can load it by its path.
"""

import numpy as np
from ase.cell import Cell
from ase.geometry import minkowski_reduce
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

SKEWED = 2.0
"""Product of the lengths of the cell vectors by its volume, from which the cell is reduced first: a flat one has very many images within a cutoff."""

FEW = 20_000
"""Distances that are computed one by one: below, faster than a tree."""


def edges(cell, pbc, positions, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs closer than ``cutoff``, each in both directions, with all their periodic images, also an atom's own.

    Args:
        cell: [3,3] Å, rows are the vectors; those that are not periodic do not count and may be zero.
        pbc: [3] bool.
        positions: [N,3] Å, finite; may lie outside the cell.
        cutoff: Å.
    Returns:
        centre[E], neighbour[E], edge_vec[E,3] (Å, from the centre to the neighbour), sorted by centre.

    The periodic vectors must be linearly independent. Memory is of the order of N + E: atoms may be any distance apart.
    """
    pbc, positions = np.asarray(pbc, bool), np.asarray(positions, float).reshape(-1, 3)
    if len(positions) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3))
    cell = _reduced(np.where(pbc[:, None], np.asarray(cell, float), 0.0), pbc)
    fractional = np.linalg.solve(cell.T, positions.T).T
    home = np.where(pbc, np.floor(fractional), 0.0)
    fractional -= home
    # round-off of the places of images; pairs so far beyond the cutoff are dropped below, where distances are exact
    slack = 1e-13 * (np.abs(positions).max() + np.abs(cell).max() + cutoff)
    atom, shift = _images(fractional, pbc, (cutoff + slack) * np.linalg.norm(np.linalg.inv(cell), axis=0))
    own, others = fractional @ cell, (fractional[atom] + shift) @ cell
    if len(own) * len(others) < FEW:
        i, image = np.nonzero(cdist(own, others) < cutoff + slack)
    else:
        found = cKDTree(own).sparse_distance_matrix(cKDTree(others), cutoff + slack, output_type="ndarray")
        i, image = found["i"], found["j"]
    kept = np.flatnonzero((i != atom[image]) | shift.any(axis=1)[image])
    order = np.argsort(i[kept].astype(np.min_scalar_type(len(own))), kind="stable")  # of two bytes: a radix sort
    order = kept[order]
    i, image = i[order], image[order]
    j = atom[image]
    # whole numbers of cells: pairs of opposite direction get exactly opposite vectors
    moved = _moved(home[i] - home[j] + shift[image], cell) if home.any() else _moved(shift, cell).take(image, axis=0)
    edge_vec = positions.take(j, axis=0)
    edge_vec -= positions.take(i, axis=0)
    edge_vec += moved
    near = np.einsum("ij,ij->i", edge_vec, edge_vec) < cutoff**2
    return (i, j, edge_vec) if near.all() else (i[near], j[near], edge_vec[near])


def edges_of(atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`edges` of ASE's atoms."""
    return edges(atoms.cell.array, atoms.pbc, atoms.positions, cutoff)


def _moved(cells, cell):
    """[M,3] Å; by products of single numbers, since those of matrices may round differently from row to row."""
    return cells[:, :1] * cell[0] + cells[:, 1:2] * cell[1] + cells[:, 2:] * cell[2]


def _reduced(cell, pbc):
    """The same lattice by vectors that are short; those that are missing are completed at right angles."""
    complete = Cell(cell).complete().array
    if np.linalg.norm(complete, axis=1).prod() > SKEWED * abs(np.linalg.det(complete)):
        cell = minkowski_reduce(cell, pbc)[0]
        complete = Cell(cell).complete().array
    return complete


def _images(fractional, pbc, reach):
    """Images within reach of the box that holds the atoms: atom[M] and shift[M,3], in cells; ``reach`` [3] in fractions of the cell."""
    atom, shift = np.arange(len(fractional)), np.zeros((len(fractional), 3))
    for axis in np.flatnonzero(pbc):
        at = fractional[:, axis]
        low, high = at.min() - reach[axis], at.max() + reach[axis]
        first, last = np.ceil(low - at[atom]).astype(int), np.floor(high - at[atom]).astype(int)
        count = last - first + 1
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        step += np.repeat(first, count)
        atom, shift = np.repeat(atom, count), np.repeat(shift, count, axis=0)
        shift[:, axis] = step
    return atom, shift
