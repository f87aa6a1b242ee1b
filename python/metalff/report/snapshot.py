"""The last frame of a run as a small picture: atoms seen along z, those that are solid-like told apart from those that are not."""

import base64
import warnings

import numpy as np

from metalff.data.metals import metals
from metalff.validate import order

MOST = 500
"""Atoms of a picture; of a larger cell, a slab at its middle that has so many."""

FRAMES = 3
"""At the end of a trajectory, over which the solid part is averaged."""


def snapshot(positions, cell, crystal: str) -> dict | None:
    """The last of some frames: ``width`` and ``height`` (Å), ``atoms`` in base64, four bytes each (x, y and depth from 0 to 255; 1 where solid-like),
    deepest first.

    Also ``solid``, the part of solid-like atoms over the last ``FRAMES`` frames, and ``phase``, solid or liquid by that. None where the crystal is of
    no kind that order is defined for, or the cell has too few atoms to see it.

    Args:
        positions: [F,N,3] Å.
        cell: [F,3,3] Å.
        crystal: fcc, bcc or hcp.
    """
    positions, cell = positions[-FRAMES:], cell[-FRAMES:]
    if crystal not in order.NEIGHBOURS or positions.shape[1] <= 2 * order.NEIGHBOURS[crystal]:
        return None
    solid = [order.solid_atoms(p, c, crystal) for p, c in zip(positions, cell, strict=True)]
    fractional = np.linalg.solve(cell[-1].T, positions[-1].T).T % 1.0
    depth = fractional[:, 2]
    chosen = np.argsort(depth)
    if len(chosen) > MOST:
        middle = (len(chosen) - MOST) // 2
        chosen = chosen[middle : middle + MOST]
    flat = fractional @ cell[-1]
    low, high = flat[:, :2].min(axis=0), flat[:, :2].max(axis=0)
    scaled = np.concatenate([(flat[:, :2] - low) / np.maximum(high - low, 1e-9), depth[:, None]], axis=1)
    atoms = np.concatenate([np.round(255 * scaled[chosen]), solid[-1][chosen, None]], axis=1).astype(np.uint8)
    part = float(np.mean(solid))
    return {
        "width": round(float(high[0] - low[0]), 2),
        "height": round(float(high[1] - low[1]), 2),
        "atoms": base64.b64encode(atoms.tobytes()).decode(),
        "solid": round(part, 3),
        "phase": order.phase([part]),
    }


def picture_of(path, symbol: str) -> dict | None:
    """Of the last good frame of a failed run; None where the file cannot be read."""
    from ase.io import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path)
    except (OSError, ValueError, KeyError, IndexError, StopIteration, RuntimeError):
        return None
    metal = metals().get(symbol)
    return snapshot(atoms.positions[None], np.array(atoms.cell)[None], metal.crystal if metal and atoms.cell.rank == 3 else "")
