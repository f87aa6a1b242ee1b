"""Polynomial potentials in plain numpy, exact and slow: the reference of self-tests and tests. It shares nothing with the engine.

A potential is a function of one atom's neighbours: ``atom(kind, vec [E,3] Å, kinds [E]) → energy (eV), dE/dvec [E,3] (eV/Å)``. ``Reference`` makes a
calculator of it, and ``polynomial`` such a function of a ``Polynomial``.
"""

from collections.abc import Callable

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from metalff.neighbours import edges_of
from metalff.poly.program import CORE, FINNIS_SINCLAIR, LINEAR, Polynomial, Program, harmonics


class Reference(Calculator):
    """Energy (eV), energies, forces (eV/Å) and stress (eV/Å³) from a function of one atom's neighbours.

    Args:
        elements: symbols; their places are the kinds.
        cutoff: Å.
        atom: see above.
    """

    implemented_properties = ("energy", "energies", "forces", "stress")

    def __init__(self, elements: list[str], cutoff: float, atom: Callable):
        super().__init__()
        self.elements, self.cutoff, self.atom = elements, cutoff, atom

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        count = len(self.atoms)
        centre, neighbour, vec = edges_of(self.atoms, self.cutoff)
        kinds = np.array([self.elements.index(symbol) for symbol in self.atoms.symbols])
        energies, gradient = np.zeros(count), np.zeros_like(vec)
        for i in range(count):
            own = centre == i
            energies[i], gradient[own] = self.atom(int(kinds[i]), vec[own], kinds[neighbour[own]])
        forces = np.zeros((count, 3))
        np.add.at(forces, centre, gradient)
        np.subtract.at(forces, neighbour, gradient)
        self.results = {"energy": float(energies.sum()), "energies": energies, "forces": forces}
        if self.atoms.cell.rank == 3:
            virial = vec.T @ gradient
            stress = 0.5 * (virial + virial.T) / self.atoms.get_volume()
            self.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def polynomial(potential: Polynomial, radial: Callable | None = None) -> Callable:
    """The function of a potential.

    Args:
        potential: its tables are taken where ``radial`` is None.
        radial: (centre, neighbour, r [E] Å) → values and slopes [E, F] of the functions of ``potential.pairs[centre, neighbour].channel``.
    """
    radial = radial or (lambda centre, neighbour, r: potential.pairs[centre, neighbour](r))

    def atom(kind: int, vec, kinds):
        program = potential.programs[potential.program_of[kind]]
        r = np.linalg.norm(vec, axis=1)
        values, slopes = np.zeros((len(r), len(program.channels))), np.zeros((len(r), len(program.channels)))
        for (centre, neighbour), table in potential.pairs.items():
            near = (kinds == neighbour) & (r < table.cutoff)
            if centre == kind and near.any():
                value, slope = radial(centre, neighbour, r[near])
                for f, channel in enumerate(table.channel):
                    values[near, channel] += value[:, f]
                    slopes[near, channel] += slope[:, f]
        y, dy = real_harmonics(vec, int(program.channels[:, 1].max(initial=0)))
        moments = [values[:, c] @ y[:, first**2 : (last + 1) ** 2] for c, (first, last) in enumerate(program.channels)]
        left, along, nearest = 1.0, 0.0, 0
        if potential.inner is not None:
            ranges = potential.inner.reshape(len(potential.elements), -1, 2)[kind][kinds]
            reach = [potential.pairs[kind, k].cutoff if (kind, k) in potential.pairs else 0.0 for k in kinds]
            left, along, nearest = switch(r, ranges, reach)
        energy, slope, excess = evaluate(program, np.concatenate(moments) if moments else np.zeros(0), left)
        gradient, start = np.zeros_like(vec), 0
        if along:
            gradient[nearest] += excess * along * vec[nearest] / r[nearest]
        for c, ((first, last), count) in enumerate(zip(program.channels, harmonics(program.channels), strict=True)):
            part, s = slice(first**2, (last + 1) ** 2), slope[start : start + count]
            gradient += (slopes[:, c] * (y[:, part] @ s) / r)[:, None] * vec + values[:, c, None] * (dy[:, part].transpose(0, 2, 1) @ s)
            start += count
        return potential.shift[kind] + energy, gradient

    return atom


def switch(r, ranges, reach) -> tuple[float, float, int]:
    """c of an atom's nearest neighbour, dc/dr in 1/Å, and which it is; ranges [E,2] and reach [E] in Å of each neighbour's pair."""
    if not (near := np.flatnonzero(r < reach)).size:
        return 1.0, 0.0, 0
    nearest = int(near[np.argmin((r - ranges[:, 0])[near])])
    start, width = ranges[nearest]
    x = np.clip(2 * (r[nearest] - start) / width - 1, -1.0, 1.0)
    return 0.5 + 3.75 * (x / 4 - x**3 / 6 + x**5 / 20), 1.875 / width * (1 - x**2) ** 2, nearest


def evaluate(program: Program, moments, left: float = 1.0) -> tuple[float, np.ndarray, float]:
    """Energy of an atom (eV), of all but the core ``left`` and of that the rest; its derivatives by the moments [A], and by ``left``."""
    x, slope = np.zeros(program.nodes + 1), np.zeros(program.nodes + 1)
    x[: len(moments)], x[-1] = moments, 1.0  # b = -1 is the last one
    for (a, b, out), factor in zip(program.products.tolist(), program.factors.tolist(), strict=True):
        x[out] += factor * x[a] * x[b]
    a, b = np.asarray(program.terms, int).reshape(-1, 2).T
    densities = (x[a] * x[b]) @ program.weights
    values, slopes = zip(*(embed(int(kind), w, m, density) for (kind, w, m), density in zip(program.embedding, densities, strict=True)), strict=True)
    core = program.embedding[:, 0] == CORE
    share = np.where(core, 1 - left, left)
    weight = program.weights @ (share * slopes)
    np.add.at(slope, a, weight * x[b])
    np.add.at(slope, b, weight * x[a])
    for (a, b, out), factor in zip(program.products[::-1].tolist(), program.factors[::-1].tolist(), strict=True):
        slope[a] += factor * slope[out] * x[b]
        slope[b] += factor * slope[out] * x[a]
    return float(share @ values), slope[: len(moments)], float(np.where(core, -1.0, 1.0) @ values)


def embed(kind: int, w: float, m: float, rho: float) -> tuple[float, float]:
    """An embedding function and its slope; those of Finnis and Sinclair as Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), and ML-PACE have them."""
    size, sign = abs(rho), -1.0 if rho < 0 else 1.0
    if kind in (LINEAR, CORE) or m == 1.0:
        return w * rho, w
    if kind == FINNIS_SINCLAIR:  # |ρ|^m, a straight line near zero
        line = 1e6 ** (1.0 - m)
        if size <= 1e-10:
            return w * line * rho, w * line
        cube = (1e6 * size) ** 3
        g = np.exp(-cube) if cube <= 30.0 else 0.0
        dg = -3 * cube / size * g
        value = (1 - g) * size**m + line * g * size
        return w * sign * value, w * (m * size ** (m - 1) * (1 - g) - size**m * dg + line * (dg * size + g))
    power = 1 / m / (1 - 1 / m)
    off, down = (m**-power) * np.exp(-size), m ** -(1 / (1 - 1 / m)) * np.exp(-size)
    value = (off + size) ** m - down
    return w * sign * value, w * (down + m * (1 - off) * (off + size) ** (m - 1))


def real_harmonics(vec, l_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Real spherical harmonics of directions in the convention of e3nn, by associated Legendre functions of the polar axis y.

    Args:
        vec: [E,3] Å, not zero.
    Returns:
        Y [E, (l_max + 1)²], index l² + l + m, Σ_m Y_lm² = 2l + 1; dY/dvec [E, (l_max + 1)², 3] in 1/Å.
    """
    vec = np.asarray(vec, float).reshape(-1, 3)
    r = np.linalg.norm(vec, axis=1)
    x, y, z = (vec / r[:, None]).T
    turn = (z + 1j * x)[:, None] ** np.arange(l_max + 2)  # (z + ix)^m, whose real and imaginary parts go round the polar axis
    legendre = np.zeros((l_max + 1, l_max + 2, len(r)))  # d^m P_l / dy^m
    odd = 1.0
    for m in range(l_max + 1):
        legendre[m, m] = odd
        if m < l_max:
            legendre[m + 1, m] = (2 * m + 1) * y * legendre[m, m]
        for l in range(m + 2, l_max + 1):
            legendre[l, m] = ((2 * l - 1) * y * legendre[l - 1, m] - (l + m - 1) * legendre[l - 2, m]) / (l - m)
        odd *= 2 * m + 1
    values, slopes = np.zeros((len(r), (l_max + 1) ** 2)), np.zeros((len(r), (l_max + 1) ** 2, 3))
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            k = abs(m)
            ratio = 1.0
            for factor in range(l - k + 1, l + k + 1):
                ratio /= factor
            norm = np.sqrt((2 * l + 1) * ratio * (2 if k else 1))
            pick = np.real if m >= 0 else np.imag
            values[:, l * l + l + m] = norm * legendre[l, k] * pick(turn[:, k])
            before = k * turn[:, k - 1] if k else 0 * turn[:, 0]
            slopes[:, l * l + l + m] = norm * np.stack(
                [
                    legendre[l, k] * pick(1j * before),
                    legendre[l, k + 1] * pick(turn[:, k]),
                    legendre[l, k] * pick(before),
                ],
                axis=1,
            )
    unit = vec / r[:, None]
    along = np.einsum("ehk,ek->eh", slopes, unit)
    return values, (slopes - along[:, :, None] * unit[:, None]) / r[:, None, None]
