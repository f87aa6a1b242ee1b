"""Coefficients of a linear polynomial by regularised least squares, in bounded memory.

The loss is Σ weight · N · (force MSE + energy_weight · (ΔE/N)² + stress_weight · virial MSE/N²) over structures of N atoms: every force component counts
alike. One more unknown is a pressure that all stresses share beyond the volume derivative of the energies: that of a plane-wave basis too small for its
cell (Pulay stress). It is no part of the potential. Structures are summed up block by block into normal equations, one set per fold, so that memory does not grow with the data; the regularisation is
the one that predicts held-out folds best.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from metalff import _engine
from metalff.neighbours import edges
from metalff.poly.basis import Basis
from metalff.poly.program import LINEAR, Polynomial, Program, Radial
from metalff.poly.radial import Shape

STRENGTHS = tuple(10.0**-k for k in range(3, 14))
"""Of the regularisation, against columns of norm one."""

ROUGHNESS = (0, 4, 8)
"""Powers of a function's cost that its regularisation grows with: high radial and angular indices make an energy rough."""

TANGENT = 1e-5
"""Step of a number of the mixing in its difference."""

BLOCK_BYTES = 2**28
"""Of the design of structures that are evaluated at once."""


@dataclass(frozen=True)
class Structure:
    """One labelled structure.

    Attributes:
        cell, pbc, positions: [3,3] Å, [3], [N,3] Å.
        types: [N] indices of elements.
        energy: eV, without that of free atoms.
        forces: [N,3] eV/Å.
        virial: [3,3] eV, or None.
        weight: in the loss.
        fold: which part of the data it belongs to, from 0.
    """

    cell: np.ndarray
    pbc: np.ndarray
    positions: np.ndarray
    types: np.ndarray
    energy: float
    forces: np.ndarray
    virial: np.ndarray | None = None
    weight: float = 1.0
    fold: int = 0


@dataclass(frozen=True)
class Choice:
    """A regularisation, and the error that it leaves on the folds that were held out in turn.

    Attributes:
        strength, roughness: of the penalty strength · (cost/mean cost)^roughness on coefficients of columns of norm one.
        error: root of the loss per force component of the held-out folds, eV/Å.
    """

    strength: float
    roughness: int
    error: float


def polynomial(elements: list[str], basis: Basis, pairs: dict[tuple[int, int], Radial], coefficients, shift) -> Polynomial:
    """The potential of a basis and its coefficients: those of the first element as a centre, of the second, …; shift [T] eV.

    Args:
        coefficients: [functions], or [functions, 1 + M] with those of the M members of a committee.
    """
    coefficients = np.asarray(coefficients, float).reshape(len(elements) * len(basis), -1)
    parts, members = np.split(coefficients, len(elements)), coefficients.shape[1] - 1
    programs = [
        Program(
            basis.channels,
            basis.products,
            basis.factors,
            basis.terms,
            part[basis.function] * basis.factor[:, None],
            np.array([[LINEAR, 1.0, 1.0]] + [[LINEAR, 0.0, 1.0]] * members),
            function=basis.function + k * len(basis),
            factor=basis.factor,
        )
        for k, part in enumerate(parts)
    ]
    return Polynomial(list(elements), np.asarray(shift, float), pairs, programs, list(range(len(elements))))


class Design:
    """Structures in the engine, and what every function gives for them.

    Args:
        potential: of which the coefficients do not matter.
        energy_weight, stress_weight: see above.
    Raises:
        EngineError: the engine refuses the potential.
    """

    def __init__(self, potential: Polynomial, structures: list[Structure], energy_weight: float, stress_weight: float, threads: int = 1):
        self.types, self.structures, self.potential = len(potential.elements), structures, potential
        self.weights = energy_weight, stress_weight
        self.engine = _engine.Trainer("poly", potential.to_bytes(), threads)
        for s in structures:
            self.engine.add(*edges(s.cell, s.pbc, s.positions, potential.r_max), s.types, s.energy, s.forces, s.virial, s.weight)
        self.functions = self.engine.n_functions
        self.unknowns = self.functions + self.types + 1
        self.threads = threads

    def blocks(self):
        """Lists of structures that fit into memory together."""
        block, size = [], 0
        for k, s in enumerate(self.structures):
            need = 8 * self.functions * (10 + 3 * len(s.types))
            if block and (size + need > BLOCK_BYTES or len(block) >= 8 * self.threads or s.fold != self.structures[block[0]].fold):
                yield block
                block, size = [], 0
            block.append(k)
            size += need
        if block:
            yield block

    def tangents(self, block, coefficients, shape: Shape, mixing: dict) -> list[np.ndarray]:
        """Derivatives of energy, forces and virial by the numbers of ``mixing``, pair by pair: [n, 1 + 3 N + 9] for each structure.

        By forward differences, which are as exact as a direction of descent needs to be.
        """
        offset, found = self.functions, []
        self.set(coefficients, shape, mixing)
        parameters, answers = self.engine.parameters, self.engine.predict(block)
        for pair in sorted(mixing):
            table = self.potential.pairs[pair].table
            here = parameters[offset : offset + table.size].reshape(table.shape)
            for k in range(shape.count):
                kept = here[:, :, k].copy()
                for n in range(shape.polynomials):
                    here[:, :, k] = kept + TANGENT * shape.basis[:, :, n]
                    self.engine.parameters = parameters
                    found.append([_difference(*two) for two in zip(self.engine.predict(block), answers, strict=True)])
                here[:, :, k] = kept
            offset += table.size
        return [np.array(rows) for rows in zip(*found, strict=True)]

    def set(self, coefficients, shape: Shape | None = None, mixing: dict | None = None) -> None:
        """Coefficients [functions], and radial functions."""
        if mixing is not None:
            pairs = {pair: shape.table(self.potential.elements, pair, some) for pair, some in mixing.items()}
            self.potential = replace(self.potential, pairs=pairs)
        tables = [self.potential.pairs[pair].table.ravel() for pair in sorted(self.potential.pairs)]
        self.engine.parameters = np.concatenate([coefficients, *tables])

    def rows(self, block, tangents=None) -> tuple[np.ndarray, np.ndarray]:
        """[functions + elements + 1, rows] of weighted equations, the last for the energy of a free atom of each element and the pressure that all stresses
        share; and [rows] their right sides.

        With ``tangents`` (see there) those follow.
        """
        return self.equations(block, tangents), np.concatenate([self.labels(self.structures[k]) for k in block])

    def scales(self, s: Structure) -> np.ndarray:
        """[1 + 3 N + 9] what the equations of a structure's energy, forces and virial are multiplied with; zero where one does not count."""
        energy_weight, stress_weight = self.weights
        n = len(s.types)
        found = np.full(1 + 3 * n + 9, np.sqrt(s.weight / 3))
        found[0] = np.sqrt(s.weight * energy_weight / n)
        found[-9:] = 0.0 if s.virial is None or not stress_weight else np.sqrt(s.weight * stress_weight / (9 * n))
        return found

    def labels(self, s: Structure) -> np.ndarray:
        """The right sides of ``rows`` for one structure."""
        scales = self.scales(s)
        virial = np.zeros(9) if s.virial is None else s.virial.ravel()
        return (np.concatenate([[s.energy], s.forces.ravel(), virial]) * scales)[scales > 0]

    def equations(self, block, tangents=None) -> np.ndarray:
        """The left sides of ``rows``, which no label but a missing virial changes."""
        found = []
        for place, (k, design) in enumerate(zip(block, self.engine.design(block), strict=True)):
            s = self.structures[k]
            scales = self.scales(s)
            free = np.zeros((self.types + 1, design.shape[1]))
            free[:-1, 0] = np.bincount(s.types, minlength=self.types)
            free[-1, [-9, -5, -1]] = -abs(np.linalg.det(s.cell))
            unknowns = [design, free] if tangents is None else [design, free, tangents[place]]
            found.append((np.concatenate(unknowns) * scales)[:, scales > 0])
        return np.concatenate(found, axis=1)

    def predict(self, coefficients):
        """Energies (eV, without shifts) and forces [N,3] (eV/Å) of all structures."""
        self.set(coefficients)
        return [answer[:2] for answer in self.engine.predict(range(len(self.structures)))]


class Normal:
    """Normal equations A A^T c = A y of each fold.

    Attributes:
        matrix: [folds, n, n]; the lower triangle counts.
        right: [folds, n].
        square: [folds] y·y.
        components: [folds] force components.
        done: structures that are in.
    """

    def __init__(self, unknowns: int, folds: int):
        self.matrix = np.zeros((folds, unknowns, unknowns))
        self.right = np.zeros((folds, unknowns))
        self.square, self.components, self.done = np.zeros(folds), np.zeros(folds), 0

    def add(self, design: Design, block, tangents=None) -> None:
        """Structures of one fold."""
        fold = design.structures[block[0]].fold
        A, y = design.rows(block, tangents)
        self.matrix[fold] += A @ A.T
        self.right[fold] += A @ y
        self.square[fold] += y @ y
        self.components[fold] += 3 * sum(len(design.structures[k].types) for k in block)
        self.done += len(block)

    def state(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in ("matrix", "right", "square", "components", "done")}

    def restore(self, state) -> None:
        for name in ("matrix", "right", "square", "components"):
            getattr(self, name)[...] = state[name]
        self.done = int(state["done"])


class Solver:
    """Coefficients of part of the functions.

    Args:
        normal: the equations.
        costs: [n] of the functions, for the regularisation; 0: not regularised.
        fixed: coefficients that are known, by their number.
        kept: [n] bool, which functions there are.
    """

    def __init__(self, normal: Normal, costs, fixed: dict[int, float], kept=None):
        self.normal, self.fixed = normal, fixed
        self.free = np.setdiff1d(np.flatnonzero(np.ones(len(costs), bool) if kept is None else kept), list(fixed)).astype(int)
        costs = np.asarray(costs, float)[self.free]
        regular = costs > 0
        self.relative = np.where(regular, costs / (costs[regular].mean() if regular.any() else 1.0), 0.0)
        self.regular = regular
        self.known = np.zeros(normal.right.shape[1])
        for k, value in fixed.items():
            self.known[k] = value

    def solve(self, strength: float, roughness: int, left_out: int | None = None) -> np.ndarray | None:
        """[n] coefficients from all folds but one; None where the equations are singular in float64."""
        folds = [f for f in range(len(self.normal.square)) if f != left_out]
        right = sum(self.normal.right[f] - self.normal.matrix[f] @ self.known for f in folds)[self.free]
        try:
            factor, scale = self._factor(strength, roughness, left_out)
            found = cho_solve(factor, right / scale, check_finite=False) / scale
        except LinAlgError:
            return None
        if not np.isfinite(found).all():
            return None
        coefficients = self.known.copy()
        coefficients[self.free] = found
        return coefficients

    def penalty(self, strength: float, roughness: int) -> np.ndarray:
        """On the squares of coefficients of columns of norm one."""
        return np.where(self.regular, strength * self.relative**roughness, 0.0)

    def loss(self, coefficients, choice: Choice) -> float:
        """Of all folds, with the penalty."""
        n = self.normal
        matrix = n.matrix.sum(0)
        scaled = coefficients[self.free] ** 2 * np.diag(matrix)[self.free]
        rest = n.square.sum() - 2 * coefficients @ n.right.sum(0) + coefficients @ (matrix @ coefficients)
        return float(rest + self.penalty(choice.strength, choice.roughness) @ scaled)

    def committee(self, choice: Choice, members: int, seed: int) -> np.ndarray:
        """[n, members] coefficients drawn from the posterior of the Bayesian ridge regression, as wide as held-out errors are.

        The posterior's covariance is σ² (A Aᵀ + penalty)⁻¹ (Bishop, Pattern Recognition and Machine Learning (2006), eq. 3.54). With σ from residuals it
        would say how well the coefficients are known if the polynomial were exact; here σ² is such that the mean variance that it predicts for the
        equations of a fold, from the other folds, is the mean square of the errors there.
        """
        n, errors, predicted = self.normal, 0.0, 0.0
        for fold in range(len(n.square)):
            c = self.solve(choice.strength, choice.roughness, fold)
            errors += n.square[fold] - 2 * c @ n.right[fold] + c @ (n.matrix[fold] @ c)
            factor, scale = self._factor(choice.strength, choice.roughness, fold)
            part = n.matrix[fold][np.ix_(self.free, self.free)] / np.outer(scale, scale)
            predicted += np.trace(cho_solve(factor, part))
        factor, scale = self._factor(choice.strength, choice.roughness, None)
        draws = np.random.default_rng(seed).normal(size=(len(self.free), members))
        spread = solve_triangular(factor[0], draws, lower=factor[1], trans=1) / scale[:, None]
        found = np.repeat(self.solve(choice.strength, choice.roughness)[:, None], members, axis=1)
        found[self.free] += np.sqrt(max(0.0, errors) / max(predicted, 1e-300)) * spread
        return found

    def _factor(self, strength: float, roughness: int, left_out: int | None):
        """Cholesky factor of the scaled equations of all folds but one, and their scales."""
        matrix = sum(self.normal.matrix[f] for f in range(len(self.normal.square)) if f != left_out)[np.ix_(self.free, self.free)]
        scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
        scale[scale == 0] = 1.0
        matrix = matrix / np.outer(scale, scale)
        matrix[np.diag_indices_from(matrix)] += self.penalty(strength, roughness) + 1e-14
        return cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False), scale

    def held_out_error(self, strength: float, roughness: int) -> float:
        """See ``Choice.error``; infinite where the equations are singular."""
        n = self.normal
        total = 0.0
        for fold in range(len(n.square)):
            c = self.solve(strength, roughness, fold)
            if c is None:
                return np.inf
            total += n.square[fold] - 2 * c @ n.right[fold] + c @ (n.matrix[fold] @ c)
        return float(np.sqrt(max(0.0, total) / n.components.sum() * 3))

    def choose(self, strengths=STRENGTHS, roughness=ROUGHNESS) -> Choice:
        """The best of all regularisations; from the strongest on, until twice in a row it gets worse."""
        best = Choice(strengths[0], roughness[0], np.inf)
        for power in roughness:
            worse, last = 0, np.inf
            for strength in strengths:
                error = self.held_out_error(strength, power)
                if error < best.error:
                    best = Choice(strength, power, error)
                worse = worse + 1 if error > last else 0
                last = error
                if worse == 2:
                    break
        return best


def _difference(more, less) -> np.ndarray:
    """[1 + 3 N + 9] derivatives from two answers of the engine."""
    return np.concatenate([np.ravel(np.subtract(a, b)) for a, b in zip(more, less, strict=True)]) / TANGENT
