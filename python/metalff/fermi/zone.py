"""The first Brillouin zone, and the part of a Fermi surface in it."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Voronoi

from metalff.fermi.surface import VELOCITY, surfaces

EDGE = 1e-6
"""Of the length of a reciprocal vector; corners of the zone closer than this are one."""


@dataclass(frozen=True)
class Zone:
    """The points that are closer to Γ than to any other point of the reciprocal lattice.

    Attributes:
        normals: [faces, 3] vectors to the middle of each face, 1/Å.
        faces: of each its corners in order, [corners, 3], 1/Å.
    """

    normals: np.ndarray
    faces: list[np.ndarray]


@dataclass(frozen=True)
class Sheet:
    """The surface of one band inside the zone.

    Attributes:
        band: index.
        vertices: [vertices, 3] 1/Å.
        triangles: [triangles, 3] indices.
        speeds: [vertices] |dε/dk| / ħ, 10⁶ m/s, averaged over the triangles around each.
    """

    band: int
    vertices: np.ndarray
    triangles: np.ndarray
    speeds: np.ndarray


def zone(reciprocal) -> Zone:
    """The first Brillouin zone of a reciprocal cell, [3, 3] rows in 1/Å."""
    reciprocal = np.asarray(reciprocal, float)
    steps = np.array(sorted(itertools.product(range(-2, 3), repeat=3), key=lambda step: step != (0, 0, 0)))  # Γ first
    points = steps @ reciprocal
    cells = Voronoi(points)
    least = EDGE * np.linalg.norm(reciprocal, axis=1).max()
    normals, faces = [], []
    for (first, second), corners in zip(cells.ridge_points, cells.ridge_vertices, strict=True):
        if 0 not in (first, second) or -1 in corners:
            continue
        face = cells.vertices[corners]
        face = face[np.linalg.norm(face - np.roll(face, 1, axis=0), axis=1) > least]
        if len(face) >= 3:
            normals.append(points[max(first, second)] / 2)
            faces.append(face)
    return Zone(np.array(normals), faces)


def sheets(eigenvalues, level: float, reciprocal) -> list[Sheet]:
    """The Fermi surface inside the first Brillouin zone, band by band.

    Args:
        eigenvalues, level, reciprocal: see ``metalff.fermi.surface.surfaces``.
    """
    around = zone(reciprocal)
    cells = np.array(list(itertools.product(range(-2, 2), repeat=3))) @ np.asarray(reciprocal, float)
    found = []
    for surface in surfaces(eigenvalues, level, reciprocal):
        corners = (surface.corners[None] + cells[:, None, None]).reshape(-1, 3, 3)
        heights = corners @ around.normals.T - (around.normals**2).sum(axis=1)
        kept = ~(heights > 0).all(axis=1).any(axis=1)  # no face of the zone has all three corners beyond it
        speeds = np.tile(_speeds(surface), (len(cells), 1))
        parts = np.concatenate([corners, speeds[..., None]], axis=2)[kept]
        for normal in around.normals:
            parts = _cut(parts, normal)
        found.append(_joined(surface.band, parts))
    return found


def _speeds(surface) -> np.ndarray:
    """[triangles, 3] at the corners, 10⁶ m/s."""
    around = np.bincount(surface.triangles.ravel())
    total = np.bincount(surface.triangles.ravel(), np.linalg.norm(surface.velocities, axis=1).repeat(3))
    return (total / around * VELOCITY)[surface.triangles]


def _cut(corners: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """What of [triangles, 3, 4] lies on Γ's side of the plane through ``normal``; the fourth number of a corner is carried along."""
    heights = corners[..., :3] @ normal - normal @ normal
    inside = heights <= 0
    count = inside.sum(axis=1)
    parts = [corners[count == 3]]
    for number in (1, 2):
        which = np.flatnonzero(count == number)
        lone = (inside if number == 1 else ~inside)[which].argmax(axis=1)  # the corner that is alone on its side
        order = (which[:, None], (lone[:, None] + np.arange(3)) % 3)
        (tip, right, left), (level, *others) = np.moveaxis(corners[order], 1, 0), heights[order].T
        to_right, to_left = (tip + (level / (level - other))[:, None] * (end - tip) for end, other in zip((right, left), others, strict=True))
        made = [(tip, to_right, to_left)] if number == 1 else [(to_right, right, left), (to_right, left, to_left)]
        parts += [np.stack(three, axis=1) for three in made]
    return np.concatenate(parts)


def _joined(band: int, corners: np.ndarray) -> Sheet:
    """Each vertex once."""
    _, first, names = np.unique(np.round(corners[..., :3].reshape(-1, 3), 6), axis=0, return_index=True, return_inverse=True)
    triangles = names.reshape(-1, 3)
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    vertices = corners.reshape(-1, 4)[first]
    return Sheet(band, vertices[:, :3], triangles[whole], vertices[:, 3])
