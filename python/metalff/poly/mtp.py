"""Moment tensor potentials of MLIP-2 and MLIP-3 (``.mtp``, ``.almtp``): read, by their formulas, and as a program of ``program.py``.

Novikov, Gubaev, Podryabinkin, Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021). With x, y, z of the unit vector to neighbour j,

    M_{μ,abc} = Σ_j f_μ(r_j) x^a y^b z^c,    f_μ(r) = scaling (max_dist - r)² Σ_k radial_coeffs[t_i, t_j, μ, k] T_k(s),

s from -1 at min_dist to 1 at max_dist; further moments are products, M_out += factor M_a M_b, in the order of the file, and the energy of an atom is
species_coeffs[t_i] + Σ_k moment_coeffs[k] M_{alpha_moment_mapping[k]}. Below min_dist the polynomials go on as they are.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from metalff.errors import MetalffError
from metalff.poly.program import L_MOST, NODES_MOST, Polynomial, Program, Radial
from metalff.poly.reduce import reduce
from metalff.poly.reference import real_harmonics

LARGEST = 32 << 20
"""Bytes of the text; what MLIP-3 needs to select structures follows it after a '#'."""

TIMES_MOST, DEPTH_MOST = 200_000, 64
"""Products of a file, and of products of products."""

LARGE = 1e30
"""No number of a file is larger."""

INNER = 0.5
"""The tables of radial functions begin at this part of min_dist; below, functions are straight lines."""

COUNTS = {
    "species_count": 118,
    "radial_basis_size": 100,
    "radial_funcs_count": 100,
    "alpha_moments_count": NODES_MOST,
    "alpha_index_basic_count": 100_000,
    "alpha_index_times_count": TIMES_MOST,
    "alpha_scalar_moments": 100_000,
}
"""Whole numbers of a file, with the most that is read."""

SAME = {
    "min": "min_dist",
    "max": "max_dist",
    "size": "radial_basis_size",
    "min_val": "min_dist",
    "max_val": "max_dist",
    "basis_size": "radial_basis_size",
}
"""Other names of keys."""

TEXTS = ("version", "potential_name", "potential_tag", "radial_basis_type")
NUMBERS = ("scaling", "min_dist", "max_dist")
LISTS = {"alpha_index_basic": 4, "alpha_index_times": 4, "alpha_moment_mapping": 1, "species_coeffs": 1, "moment_coeffs": 1}
"""Numbers of an entry."""


@dataclass(frozen=True)
class Mtp:
    """A moment tensor potential.

    Attributes:
        min_dist, max_dist: Å.
        radial: [T, T, μ, k] scaling times ``radial_coeffs``, eV-free units of the file.
        basic: [B, 4] μ, a, b, c; the first moments.
        times: [N, 4] a, b, factor, out.
        moments: their number.
        mapping: [S] the moments of the energy.
        coefficients: [S] eV.
        species: [T] eV.
    """

    min_dist: float
    max_dist: float
    radial: np.ndarray
    basic: np.ndarray
    times: np.ndarray
    moments: int
    mapping: np.ndarray
    coefficients: np.ndarray
    species: np.ndarray

    def functions(self, centre: int, neighbour: int, r) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """f_μ of a pair, first and second derivatives, [K, μ] at r [K] in Å."""
        c, r = self.radial[centre, neighbour], np.asarray(r, float)
        chebyshev = [
            np.polynomial.chebyshev.chebder(np.eye(c.shape[1]), d, axis=1) if d < c.shape[1] else np.zeros((c.shape[1], 1)) for d in range(3)
        ]
        per = 2 / (self.max_dist - self.min_dist)
        s = (2 * r - self.min_dist - self.max_dist) / (self.max_dist - self.min_dist)
        t, dt, ddt = (per**d * np.polynomial.chebyshev.chebval(s, (c @ series).T).T for d, series in enumerate(chebyshev))
        left = np.where(r < self.max_dist, self.max_dist - r, 0.0)[:, None]
        inside = (r <= self.max_dist)[:, None]
        return left**2 * t, left**2 * dt - 2 * left * t, inside * (left**2 * ddt - 4 * left * dt + 2 * t)

    def atom(self, kind: int, vec, kinds) -> tuple[float, np.ndarray]:
        """Energy of an atom in eV and dE/dvec [E,3] by the formulas, for ``reference.Reference``."""
        r = np.linalg.norm(vec, axis=1)
        f, df = np.zeros((2, len(r), self.radial.shape[2]))
        for neighbour in range(len(self.species)):
            own = (kinds == neighbour) & (r < self.max_dist)
            f[own], df[own], _ = self.functions(kind, neighbour, r[own])
        unit = vec / r[:, None]
        power = unit[:, :, None] ** np.arange(self.basic[:, 1:].max(initial=0) + 1)
        mu, abc = self.basic[:, 0], self.basic[:, 1:]
        sides = np.stack([power[:, axis, abc[:, axis]] for axis in range(3)])
        angular, degree = sides.prod(axis=0), abc.sum(axis=1)
        moments = np.zeros(self.moments)
        moments[: len(mu)] = (f[:, mu] * angular).sum(axis=0)
        for a, b, factor, out in self.times.tolist():
            moments[out] += factor * moments[a] * moments[b]
        slope = np.zeros(self.moments)
        np.add.at(slope, self.mapping, self.coefficients)
        for a, b, factor, out in self.times[::-1].tolist():
            slope[a] += factor * slope[out] * moments[b]
            slope[b] += factor * slope[out] * moments[a]
        slope = slope[: len(mu)]
        along = (df[:, mu] - degree * f[:, mu] / r[:, None]) * angular @ slope
        gradient = along[:, None] * unit
        for axis in range(3):
            lower = np.where(abc[:, axis] > 0, abc[:, axis] * power[:, axis, np.maximum(abc[:, axis] - 1, 0)], 0.0)
            gradient[:, axis] += (f[:, mu] * lower * sides[[k for k in range(3) if k != axis]].prod(axis=0)) @ slope / r
        return float(self.species[kind] + self.coefficients @ moments[self.mapping]), gradient

    def polynomial(self, elements: list[str]) -> Polynomial:
        """The potential as programs over spherical harmonics; ``elements`` are the species of the file, in its order."""
        degrees = [max((int(sum(abc)) for mu, *abc in self.basic.tolist() if mu == m), default=-1) for m in range(self.radial.shape[2])]
        used = [mu for mu, degree in enumerate(degrees) if degree >= 0]
        channels = np.array([[0, degrees[mu]] for mu in used], int).reshape(-1, 2)
        first = self.min_dist * INNER
        pairs = {}
        for centre in range(len(self.species)):
            for neighbour in range(len(self.species)):

                def functions(r, centre=centre, neighbour=neighbour):
                    return [values[:, used] for values in self.functions(centre, neighbour, r)]

                pairs[centre, neighbour] = Radial.sample(functions, first, self.max_dist, np.arange(len(used)), self.min_dist)
        program = reduce(self._program(channels, used))
        return Polynomial(elements, self.species, pairs, [program], [0] * len(elements))

    def _program(self, channels, used: list[int]) -> Program:
        starts = np.concatenate([[0], np.cumsum((channels[:, 1] + 1) ** 2)])
        rows, factors = [], []
        shift = int(starts[-1])
        monomials: dict[tuple[int, int, int, int], int] = {tuple(key): shift + k for k, key in enumerate(self.basic.tolist())}
        nodes = shift + self.moments

        def monomial(mu: int, a: int, b: int, c: int) -> int:
            nonlocal nodes
            node = monomials.get((mu, a, b, c))
            if node is None:
                node = monomials[mu, a, b, c] = nodes
                nodes += 1
            if (mu, a, b, c) not in done:
                done.add((mu, a, b, c))
                if b < 2:
                    start = int(starts[used.index(mu)])
                    parts = [(start + place, factor) for place, factor in _in_harmonics(a, b, c)]
                else:  # y² = 1 - x² - z²
                    parts = [(monomial(mu, a, b - 2, c), 1.0), (monomial(mu, a + 2, b - 2, c), -1.0), (monomial(mu, a, b - 2, c + 2), -1.0)]
                for part, factor in parts:
                    rows.append((part, -1, node))
                    factors.append(factor)
            return node

        done: set[tuple[int, int, int, int]] = set()
        for mu, a, b, c in self.basic.tolist():
            monomial(mu, a, b, c)
        for a, b, factor, out in self.times.tolist():
            rows.append((shift + a, shift + b, shift + out))
            factors.append(float(factor))
        terms = np.stack([shift + self.mapping, np.full(len(self.mapping), -1)], axis=1)
        return Program(channels, np.array(rows, int).reshape(-1, 3), np.array(factors), terms, self.coefficients[:, None])


@cache
def _in_harmonics(a: int, b: int, c: int) -> list[tuple[int, float]]:
    """x^a y^b z^c on the unit sphere: places l² + l + m and factors of real harmonics."""
    degree = a + b + c
    y, weights = np.polynomial.legendre.leggauss(degree + 1)  # exact for polynomials of degree 2 · degree + 1
    angle = 2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1)
    ring = np.sqrt(1 - y**2)[:, None]
    points = np.stack([ring * np.sin(angle), np.broadcast_to(y[:, None], (len(y), len(angle))), ring * np.cos(angle)], axis=-1).reshape(-1, 3)
    mean = np.repeat(weights / (2 * len(angle)), len(angle)) * (points ** [a, b, c]).prod(axis=1)
    factors = mean @ real_harmonics(points, degree)[0]
    return [(int(place), float(factors[place])) for place in np.flatnonzero(np.abs(factors) > 1e-14)]


def read(path) -> Mtp:
    """A moment tensor potential from a file of MLIP-2 or MLIP-3; nothing of it is believed before it is checked.

    Raises:
        MetalffError: it cannot be read, is none, was never trained, or has what is not covered: another radial basis, magnetic moments.
    """
    path = Path(path)
    values, places = _values(path)

    def refuse(key: str, reason: str):
        where = f", line {places[key]}" if key in places else ""
        raise MetalffError(f"'{path}'{where}: {reason}")

    kind = values.get("radial_basis_type")
    if kind != "RBChebyshev":
        refuse("radial_basis_type", f"the radial basis {kind or '(none)'} is not covered, only RBChebyshev is")
    for key in ("radial_coeffs", "species_coeffs", "moment_coeffs"):
        if key not in values:
            raise MetalffError(f"'{path}' has no {key}: it is a form of a potential that was never trained; give a trained one")
    for key in (*COUNTS, "min_dist", "max_dist", *LISTS):
        if key not in values:
            raise MetalffError(f"'{path}' has no {key}, so it is no whole file of MLIP; give the .mtp or .almtp that MLIP wrote")
    low, high, species = values["min_dist"], values["max_dist"], values["species_count"]
    if not 0 < low < high < 100:
        refuse("max_dist", f"min_dist {low:g} and max_dist {high:g} are no range of distances in Å")
    basic, times = values["alpha_index_basic"].astype(int), values["alpha_index_times"].astype(int)
    mapping, moments = values["alpha_moment_mapping"].ravel().astype(int), values["alpha_moments_count"]
    for key, name, count in (
        ("alpha_index_basic", "alpha_index_basic_count", len(basic)),
        ("alpha_index_times", "alpha_index_times_count", len(times)),
        ("alpha_moment_mapping", "alpha_scalar_moments", len(mapping)),
        ("moment_coeffs", "alpha_scalar_moments", values["moment_coeffs"].size),
        ("species_coeffs", "species_count", values["species_coeffs"].size),
    ):
        if count != values[name]:
            refuse(key, f"{count} entries of {key} where {name} is {values[name]}")
    for key in ("alpha_index_basic", "alpha_index_times", "alpha_moment_mapping"):
        if np.any(values[key] != np.round(values[key])):
            refuse(key, f"{key} holds a number that is not whole")
    if np.any(basic < 0) or np.any(basic[:, 0] >= values["radial_funcs_count"]):
        refuse("alpha_index_basic", "a moment names a radial function or a power that there is not")
    if basic[:, 1:].sum(axis=1).max(initial=0) > L_MOST:
        refuse("alpha_index_basic", f"a moment has more than {L_MOST} powers of a direction, which is not covered")
    if len({tuple(row) for row in basic.tolist()}) < len(basic):
        refuse("alpha_index_basic", "a moment is given twice")
    if len(basic) > moments or np.any(mapping < 0) or np.any(mapping >= moments):
        refuse("alpha_moment_mapping", f"a moment beyond alpha_moments_count, {moments}")
    read_first, depth = np.full(moments, len(times) + 1), np.zeros(moments, int)
    for n, (a, b, _, out) in enumerate(times.tolist()):
        if not (0 <= a < moments and 0 <= b < moments and len(basic) <= out < moments):
            refuse("alpha_index_times", f"product {n + 1} names a moment that there is not, or writes to a basic one")
        if read_first[out] <= n or out in (a, b):
            refuse("alpha_index_times", f"product {n + 1} adds to a moment that was read before")
        read_first[[a, b]] = np.minimum(read_first[[a, b]], n)
        depth[out] = max(depth[out], depth[a] + 1, depth[b] + 1)
    if depth.max() > DEPTH_MOST:
        refuse("alpha_index_times", f"products of products lie more than {DEPTH_MOST} deep")
    shape = (species, species, values["radial_funcs_count"], values["radial_basis_size"])
    if values["radial_coeffs"].size != np.prod(shape):
        refuse("radial_coeffs", f"{values['radial_coeffs'].size} numbers of radial_coeffs where {' × '.join(map(str, shape))} belong")
    radial = values["radial_coeffs"].reshape(shape) * values.get("scaling", 1.0)
    return Mtp(low, high, radial, basic, times, moments, mapping, values["moment_coeffs"].ravel(), values["species_coeffs"].ravel())


def _values(path: Path) -> tuple[dict, dict[str, int]]:
    """What the keys of a file hold, and their lines."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise MetalffError(f"cannot read '{path}': {error.strerror}; give a .mtp or .almtp of MLIP") from None
    if data.split(None, 1)[:1] != [b"MTP"]:
        raise MetalffError(f"'{path}' is no moment tensor potential: the first line of a .mtp or .almtp of MLIP is MTP")
    data = data.partition(b"#")[0]
    if len(data) > LARGEST:
        raise MetalffError(f"'{path}' is larger than {LARGEST >> 20} MB, so it is no moment tensor potential")
    values: dict = {}
    places: dict[str, int] = {}
    pairs = 0

    def put(key: str, value) -> None:
        if key in values:
            refuse(f"{key} is given twice")
        values[key], places[key] = value, number

    def refuse(reason: str):
        raise MetalffError(f"'{path}', line {number}: {reason}")

    for number, line in enumerate(data.decode("latin-1").splitlines(), 1):
        line = line.strip()
        if not line or (number == 1 and line == "MTP"):
            continue
        key, equals, text = (part.strip() for part in line.partition("="))
        key = SAME.get(key, key)
        if "mag" in key:
            refuse(f"the potential has magnetic moments ({key}), which are not covered")
        if not equals and "radial_coeffs" in values and "alpha_moments_count" not in values:
            species = values.get("species_count", 1)
            if re.fullmatch(r"\d+\s*-\s*\d+", line):
                if line.replace(" ", "") != f"{pairs // species}-{pairs % species}":
                    refuse(f"radial_coeffs of {line[:20]} where those of {pairs // species}-{pairs % species} belong")
                pairs += 1
            else:
                values["radial_coeffs"].append(_numbers(line, 1, refuse).ravel())
        elif line == "radial_coeffs":
            put(key, [])
        elif not equals:
            refuse(f"'{line[:40]}' where a key with its value belongs")
        elif key in TEXTS:
            put(key, text)
        elif key == "scaling":  # older files have it within the radial basis
            values["scaling"] = values.get("scaling", 1.0) * _number(text, refuse)
        elif key in NUMBERS:
            put(key, _number(text, refuse))
        elif key in COUNTS:
            if not re.fullmatch(r"\d{1,9}", text) or not (key == "alpha_index_times_count" or int(text)) or int(text) > COUNTS[key]:
                refuse(f"{key} is '{text[:40]}', not a number up to {COUNTS[key]:,}")
            put(key, int(text))
        elif key in LISTS:
            put(key, _numbers(text, LISTS[key], refuse))
        else:
            refuse(f"the key '{key[:40]}' is not covered")
    if "radial_coeffs" in values:
        values["radial_coeffs"] = np.concatenate([np.zeros(0), *values["radial_coeffs"]])
    return values, places


def _number(text: str, refuse) -> float:
    return float(_numbers("{" + text + "}", 1, refuse).ravel()[0]) if text else refuse("a number is missing")


def _numbers(text: str, width: int, refuse) -> np.ndarray:
    """[n, width] of '{1, 2}' or '{{1, 2, 3, 4}, {…}}'."""
    inner = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else refuse("a list in braces { } belongs here")
    if width > 1:
        inner = inner.replace("{", " ").replace("}", " ")
    words = inner.replace(",", " ").split()
    try:
        values = np.array(words, float)
    except ValueError:
        refuse(f"a list holds something other than numbers: '{next(word for word in words if not _is_number(word))[:40]}'")
    if not np.all(np.abs(values) <= LARGE):
        refuse("a list holds a number that is not finite, or beyond 1e30")
    if values.size % width:
        refuse(f"a list of {values.size} numbers where entries have {width} each")
    return values.reshape(-1, width)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
