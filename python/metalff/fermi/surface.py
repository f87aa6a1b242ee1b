"""What a Fermi surface is like: area, sheets, curvature, velocities, from eigenvalues on a full mesh of the periodic cell.

Marching cubes (scikit-image) on the mesh and its first repeated layer give the surface of exactly one reciprocal cell; vertices on opposite faces of the cell
are one vertex, so that the surface is closed on the torus, whatever the shape of the cell.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from metalff.errors import MetalffError, need_extra
from metalff.fermi.levels import BOLTZMANN, FINER, finer

VELOCITY = 0.1519267447
"""10⁶ m/s in an eV Å of dε/dk."""

MASS = 7.619964231
"""ħ²/m of the electron, eV Å²."""

COULOMB = 14.39964548
"""e²/4πε₀, eV Å."""

TEMPERATURE = 1160.4518
"""K (kT = 0.1 eV) of the transport integrals behind the complexity factors."""

SPREAD = 2
"""How often the bend at a vertex is shared with its neighbours before signs are dropped: triangles of marching cubes bend to and fro on a smooth surface."""

SLOWEST = 1e-3
"""eV Å; a slope of less counts as this much where it is divided by."""

FEWEST = 4
"""Points of the mesh along an axis."""

CLOSE = 1e-4
"""Least distance of the surface from a point of the mesh, of the step; keeps vertices of different edges apart."""


@dataclass(frozen=True)
class Surface:
    """The surface of one band in one reciprocal cell.

    Attributes:
        band: index.
        corners: [triangles, 3, 3] Cartesian, 1/Å; of the triangles, each whole; normals point to higher energies.
        triangles: [triangles, 3] indices of vertices; those on opposite faces of the cell are one.
        wraps: [triangles, 3, 3] reciprocal cells between each corner and where its vertex is.
        velocities: [triangles, 3] dε/dk in the middle of each, eV Å: that of the eigenvalues, trilinear between the points of the mesh around it.
    """

    band: int
    corners: np.ndarray
    triangles: np.ndarray
    wraps: np.ndarray
    velocities: np.ndarray


def surfaces(eigenvalues, level: float, reciprocal) -> list[Surface]:
    """The surface of every band that crosses a level.

    Args:
        eigenvalues: [bands, n1, n2, n3] eV on the full mesh, Γ first, without a repeated end point: k = (i/n1, j/n2, l/n3) @ reciprocal.
        level: eV.
        reciprocal: [3, 3] rows, with the factor 2π, 1/Å.
    Raises:
        MetalffError: eigenvalues that are no such mesh, a reciprocal cell without volume, or no scikit-image.
    """
    energies, reciprocal = _checked(eigenvalues, reciprocal)
    return [_surface(band, energies[band], float(level), reciprocal) for band in _crossing(energies, level)]


def measures(eigenvalues, fermi_level: float, reciprocal) -> dict:
    """Measures of a Fermi surface.

    Args:
        eigenvalues, reciprocal: see ``surfaces``.
        fermi_level: eV.
    Returns:
        of the whole surface, all per reciprocal cell:

        - ``area`` 1/Å²; ``area_reduced``, that by V_BZ^⅔;
        - ``sheets``: connected pieces on the torus, without ``fragments``, those smaller than a sphere of two mesh steps across;
        - ``closed``: share of the area on pieces that do not run on through the repeated zones; ``sphericity`` of these, π^⅓ (6V)^⅔ / A, averaged by
          area, None where there are none; ``compactness``: area of the spheres as large as the occupied, or the empty, part of each band, whichever
          is smaller, by the area;
        - ``euler``: Euler characteristic of the sheets, by Gauss and Bonnet ∫K dA / 2π;
        - ``mean_curvature``: ∫H dA / A, Å, positive around electrons, 1/R of a sphere; ``curvature``: ∫|H| dA / A, Å; ``curvature_reduced``: that by
          V_BZ^(−⅓);
        - ``velocity``: average over the area of |dε/dk| / ħ, 10⁶ m/s; ``velocity_spread``: its standard deviation, in averages;
        - ``density_of_states``: ∫ dA / |dε/dk|, states (both spins) per eV and cell; ``plasma_energy``: Drude's, eV, averaged over directions;
        - ``carriers``: electrons or holes, whichever are fewer, of each band that crosses, per cell;
        - ``complexity``: N_v K* = (m_S* / m_c*)^(3/2) of Gibbs et al., npj Comput. Mater. 3, 8 (2017), for so many carriers at ``TEMPERATURE`` with a
          constant relaxation time; ``complexity_dos``: the same with the mass of the density of states in place of that of the Seebeck coefficient;
          ``seebeck``: µV/K;
        - ``bands``: for each band that crosses ``band`` (its index), ``occupied`` (share of the zone) and those of the above that a band has by itself.

        Where no band crosses the level, sums are zero and averages None.
    Raises:
        MetalffError: see ``surfaces``.
    """
    energies, reciprocal = _checked(eigenvalues, reciprocal)
    volume, level = abs(np.linalg.det(reciprocal)), float(fermi_level)
    rows = [_band(_surface(band, energies[band], level, reciprocal), energies[band], level, reciprocal) for band in _crossing(energies, level)]
    found = _summary(rows, volume)
    found |= _transport(energies, level, reciprocal, found)
    found["bands"] = [{"band": row["band"], "occupied": row["occupied"], **_summary([row], volume)} for row in rows]
    return found


def _checked(eigenvalues, reciprocal) -> tuple[np.ndarray, np.ndarray]:
    need_extra("a Fermi surface", "fermi", "skimage.measure")
    energies, reciprocal = np.asarray(eigenvalues, float), np.asarray(reciprocal, float)
    if energies.ndim != 4 or not len(energies) or min(energies.shape[1:]) < FEWEST:
        raise MetalffError(
            f"eigenvalues of shape {energies.shape} are no bands on a mesh; give [bands, n1, n2, n3] with at least {FEWEST} points along each axis"
        )
    if not np.isfinite(energies).all():
        raise MetalffError("the eigenvalues are not all finite numbers; leave out bands that did not converge")
    if reciprocal.shape != (3, 3) or not np.isfinite(reciprocal).all() or abs(np.linalg.det(reciprocal)) < 1e-12:
        raise MetalffError("the reciprocal cell has no volume; give three vectors as rows, in 1/Å")
    return energies, reciprocal


def _crossing(energies: np.ndarray, level: float) -> list[int]:
    return [band for band, field in enumerate(energies) if field.min() < level < field.max()]


def _surface(band: int, field: np.ndarray, level: float, reciprocal: np.ndarray) -> Surface:
    from skimage.measure import marching_cubes

    mesh = np.array(field.shape)
    values = _apart(field - level)
    corners, triangles, _, _ = marching_cubes(np.pad(values, (0, 1), mode="wrap"), 0.0, gradient_direction="descent")
    if np.linalg.det(reciprocal) < 0:  # which turns triangles over
        triangles = triangles[:, ::-1]
    at, name = _exact(corners.astype(float), values)
    _, vertices = np.unique(name, return_inverse=True)
    home = at - np.floor(at / mesh) * mesh
    wraps = np.rint((at - home) / mesh).astype(int)
    velocities = _slopes(field, at[triangles].mean(axis=1), reciprocal)
    return Surface(band, (at / mesh @ reciprocal)[triangles], vertices.reshape(-1)[triangles], wraps[triangles], velocities)


def _apart(values: np.ndarray) -> np.ndarray:
    """Values pushed off zero, so that the surface keeps ``CLOSE`` from every point of the mesh."""
    steps = [np.abs(values - other)[values * other <= 0] for other in (np.roll(values, -1, axis) for axis in range(3))]
    least = CLOSE * max(step.max(initial=0.0) for step in steps)
    return np.where(np.abs(values) < least, np.where(values < 0, -least, least), values)


def _exact(corners: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in steps of the mesh to double precision, and a number for each that is the same on opposite faces of the cell.

    A corner lies on an edge of the mesh, which names it; the few inside a cube, where marching cubes adds one, are named by themselves.
    """
    mesh = np.array(values.shape)
    off = np.abs(corners - np.rint(corners))
    axis = off.argmax(axis=1)
    rows = np.arange(len(corners))
    on_edge = np.sort(off, axis=1)[:, 1] < 0.2 * CLOSE
    start = np.rint(corners).astype(int)
    start[rows, axis] = np.floor(corners[rows, axis]).astype(int)
    end = start.copy()
    end[rows, axis] += 1
    first, last = (values[tuple((point % mesh).T)] for point in (start, end))
    at = start.astype(float)
    at[rows, axis] += first / np.where(on_edge, first - last, 1.0)
    name = np.ravel_multi_index(tuple((start % mesh).T), mesh) * 3 + axis
    name = np.where(on_edge, name, 3 * mesh.prod() + rows)
    return np.where(on_edge[:, None], at, corners), name


def _slopes(field: np.ndarray, at: np.ndarray, reciprocal: np.ndarray) -> np.ndarray:
    """[positions, 3] dε/dk, eV Å, of the trilinear interpolation.

    Differences over two steps of the mesh, as between the points on both sides, would take the bend at the edge of a zone for a part of the slope.

    Args:
        at: [positions, 3] in steps of the mesh.
    """
    mesh = np.array(field.shape)
    first = np.floor(at).astype(int)
    part = at - first
    cube = np.empty((2, 2, 2, len(at)))
    for corner in np.ndindex(2, 2, 2):
        cube[corner] = field[tuple(((first + corner) % mesh).T)]
    x, y, z = part.T
    along = [
        _between(_between(cube[1] - cube[0], y), z),
        _between(_between(cube[:, 1] - cube[:, 0], x), z),
        _between(_between(cube[:, :, 1] - cube[:, :, 0], x), y),
    ]
    return (np.array(along).T * mesh) @ np.linalg.inv(reciprocal).T


def _between(pair: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Linear between the two entries of the first axis."""
    return pair[0] + share * (pair[1] - pair[0])


def _band(surface: Surface, field: np.ndarray, level: float, reciprocal: np.ndarray) -> dict:
    """Sums over the surface of a band, from which ``_summary`` makes averages."""
    volume = abs(np.linalg.det(reciprocal))
    first, second, third = (surface.corners[:, k] for k in range(3))
    normals = 0.5 * np.cross(second - first, third - first)
    areas = np.linalg.norm(normals, axis=1)
    count = surface.triangles.max() + 1
    tails, heads = surface.triangles.ravel(), np.roll(surface.triangles, -1, axis=1).ravel()
    pieces, piece_of = connected_components(coo_array((np.ones(len(tails)), (tails, heads)), shape=(count, count)), directed=False)
    of_triangle = piece_of[surface.triangles[:, 0]]
    area = np.bincount(of_triangle, areas, pieces)
    large = area >= 4 * math.pi * (volume / field.size) ** (2 / 3)
    faces = np.bincount(of_triangle, minlength=pieces)
    euler = np.bincount(piece_of, minlength=pieces) - faces // 2  # every triangle has three halves of an edge
    closed, inside = _closed(surface, piece_of, pieces, reciprocal)
    round_area = np.cbrt(36 * math.pi * inside**2)[closed].sum()
    occupied = float((finer(field[None], FINER) < level).mean())
    speed = np.linalg.norm(surface.velocities, axis=1)
    signed, absolute = _mean_curvature(surface, normals, areas, count)
    return {
        "band": surface.band,
        "occupied": occupied,
        "area": areas.sum(),
        "sheets": int(large.sum()),
        "fragments": int((~large).sum()),
        "closed_area": areas[closed[of_triangle]].sum(),
        "round_area": round_area,
        "sphere_area": np.cbrt(36 * math.pi * (min(occupied, 1 - occupied) * volume) ** 2),
        "euler": int(euler[large].sum()),
        "signed": signed,
        "absolute": absolute,
        "speed": areas @ speed,
        "square": areas @ speed**2,
        "inverse": (areas / np.maximum(speed, SLOWEST)).sum(),
        "carriers": 2 * min(occupied, 1 - occupied),
    }


def _closed(surface: Surface, piece_of: np.ndarray, pieces: int, reciprocal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[pieces] which of them do not run through the repeated zones, and the volume inside those.

    Each vertex is put into the cell that a way over the surface leads to; on an open piece two ways lead to different cells.
    """
    count = len(piece_of)
    tails, heads = surface.triangles.ravel(), np.roll(surface.triangles, -1, axis=1).ravel()
    jumps = (np.roll(surface.wraps, -1, axis=1) - surface.wraps).reshape(-1, 3)
    _, origins = np.unique(piece_of, return_index=True)
    rows, columns = np.concatenate([tails, np.full(pieces, count)]), np.concatenate([heads, origins])
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    order, before = breadth_first_order(graph, count, directed=False)
    before[count] = count
    _, index = np.unique(tails * (count + 1) + heads, return_index=True)
    edges = (tails * (count + 1) + heads)[index]
    way = before[:count] * (count + 1) + np.arange(count)
    cells = np.zeros((count + 1, 3), int)
    at = np.clip(np.searchsorted(edges, way), 0, len(edges) - 1)
    known = edges[at] == way
    cells[:count][known] = jumps[index][at[known]]
    for _ in range(math.ceil(math.log2(count + 1)) + 1):  # of the way back to the origin, twice as far each time
        cells, before = cells + cells[before], before[before]
    torn = (cells[heads] - cells[tails] != jumps).any(axis=1)
    closed = np.bincount(piece_of[tails], torn, pieces) == 0
    whole = surface.corners + (cells[surface.triangles] - surface.wraps) @ reciprocal
    six = np.einsum("ij,ij->i", whole[:, 0], np.cross(whole[:, 1], whole[:, 2]))
    return closed, np.abs(np.bincount(piece_of[surface.triangles[:, 0]], six, pieces)) / 6


def _mean_curvature(surface: Surface, normals: np.ndarray, areas: np.ndarray, count: int) -> tuple[float, float]:
    """∫H dA and ∫|H| dA, 1/Å: half the length of every edge times its bend, and that spread from each vertex to its neighbours."""
    tails, heads = surface.triangles.ravel(), np.roll(surface.triangles, -1, axis=1).ravel()
    vectors = (np.roll(surface.corners, -1, axis=1) - surface.corners).reshape(-1, 3)
    forward, backward = tails * count + heads, heads * count + tails
    order = np.argsort(forward)
    mate = order[np.clip(np.searchsorted(forward, backward, sorter=order), 0, len(order) - 1)]
    units = (normals / np.maximum(areas, 1e-300)[:, None]).repeat(3, axis=0)
    lengths = np.linalg.norm(vectors, axis=1)
    across = np.einsum("ij,ij->i", np.cross(units, units[mate]), vectors) / np.maximum(lengths, 1e-300)
    bends = np.arctan2(across, np.einsum("ij,ij->i", units, units[mate]))
    halves = np.where(forward[mate] == backward, lengths * bends / 4, 0.0)  # every edge comes twice, once from each side
    curved = (np.bincount(tails, halves, count) + np.bincount(heads, halves, count)) / 2
    every = np.arange(count)
    ring = coo_array((np.ones(len(tails) + count), (np.append(tails, every), np.append(heads, every))), shape=(count, count)).tocsr()
    shares = 1 / ring.sum(axis=0)
    for _ in range(SPREAD):
        curved = ring @ (shares * curved)
    return float(halves.sum()), float(np.abs(curved).sum())


def _summary(rows: list[dict], volume: float) -> dict:
    """Averages and sums of bands together."""
    keys = (
        "area",
        "sheets",
        "fragments",
        "closed_area",
        "round_area",
        "sphere_area",
        "euler",
        "signed",
        "absolute",
        "speed",
        "square",
        "inverse",
        "carriers",
    )
    total = {key: sum(row[key] for row in rows) for key in keys}
    area = total["area"]

    def by(value, divisor):
        return float(value / divisor) if divisor else None

    speed, square = by(total["speed"], area), by(total["square"], area)
    per_cell = 2 / volume  # (2π)³ / V_BZ is the volume of the cell
    return {
        "area": float(area),
        "area_reduced": float(area / volume ** (2 / 3)),
        "sheets": total["sheets"],
        "fragments": total["fragments"],
        "closed": by(total["closed_area"], area),
        "sphericity": by(total["round_area"], total["closed_area"]),
        "compactness": by(total["sphere_area"], area),
        "euler": total["euler"],
        "mean_curvature": by(total["signed"], area),
        "curvature": by(total["absolute"], area),
        "curvature_reduced": by(total["absolute"] * math.cbrt(volume), area),
        "velocity": None if speed is None else speed * VELOCITY,
        "velocity_spread": None if speed is None else by(math.sqrt(max(0.0, square - speed**2)), speed),
        "density_of_states": float(per_cell * total["inverse"]),
        "plasma_energy": math.sqrt(4 * math.pi * COULOMB * 2 / (2 * math.pi) ** 3 * total["speed"] / 3),
        "carriers": float(total["carriers"]),
    }


def _transport(energies: np.ndarray, level: float, reciprocal: np.ndarray, found: dict) -> dict:
    """Seebeck coefficient and complexity factors by ∫ dA |dε/dk| at levels around the Fermi level."""
    heat = BOLTZMANN * TEMPERATURE
    away = np.linspace(-10, 10, 21)
    flow = np.array([_flow(energies, level + heat * x, reciprocal) for x in away])
    peak = 0.25 / np.cosh(away / 2) ** 2
    charge, warmth = (flow * peak).sum(), (flow * away * peak).sum()
    if not charge or not found["carriers"]:
        return {"seebeck": None, "complexity": None, "complexity_dos": None}
    volume = abs(np.linalg.det(reciprocal))
    carriers = found["carriers"] * volume / (2 * math.pi) ** 3
    conduction = 2 / (2 * math.pi) ** 3 / 3 * charge  # eV/Å: carriers ħ²/m
    inertia = MASS * carriers / conduction
    heavy = found["density_of_states"] * volume / (2 * math.pi) ** 3 * math.pi**2 * MASS / np.cbrt(3 * math.pi**2 * carriers)
    reduced = warmth / charge
    return {
        "seebeck": float(-1e6 * BOLTZMANN * reduced),
        "complexity": float((_seebeck_mass(abs(reduced), carriers, heat) / inertia) ** 1.5),
        "complexity_dos": float((heavy / inertia) ** 1.5),
    }


def _flow(energies: np.ndarray, level: float, reciprocal: np.ndarray) -> float:
    """∫ dA |dε/dk| at a level, eV/Å."""
    total = 0.0
    for surface in (_surface(band, energies[band], level, reciprocal) for band in _crossing(energies, level)):
        first, second, third = (surface.corners[:, k] for k in range(3))
        areas = 0.5 * np.linalg.norm(np.cross(second - first, third - first), axis=1)
        total += float(areas @ np.linalg.norm(surface.velocities, axis=1))
    return total


def _seebeck_mass(reduced: float, carriers: float, heat: float) -> float:
    """Mass, in electrons', of the parabolic band with so many carriers and this Seebeck coefficient at a constant relaxation time.

    Args:
        reduced: the coefficient by k/e.
        carriers: 1/Å³.
        heat: kT, eV.
    """
    x = np.linspace(-30, 30, 601)
    peak = 0.25 / np.cosh(x / 2) ** 2 * (x[1] - x[0])

    def moments(eta):
        states = np.maximum(x + eta, 0) ** 1.5 * peak
        return states.sum(), (states * x).sum()

    def excess(eta):
        lowest, first = moments(eta)
        return first / lowest - reduced

    if reduced < 0.01:
        eta = math.pi**2 / (2 * max(reduced, 1e-12))  # Sommerfeld
    else:
        eta = brentq(excess, -20, 1e3)
    half = 2 / 3 * moments(eta)[0]  # Fermi's integral of order ½
    return MASS / 2 * (2 * math.pi**2 * carriers / half) ** (2 / 3) / heat
