"""Radial functions that suit the data, by Gauss-Newton steps with Levenberg's damping.

A function R_k = Σ_n C_kn T_n f_cut of few optimised ones does what many polynomials do, at a fraction of the cost. The energy is linear in the
coefficients c and of the fourth degree in C, so each step solves for c and the change of C together (Golub and Pereyra, SIAM J. Numer. Anal. 10, 413
(1973); in the approximation of Kaufman, BIT 15, 49 (1975)), and c is solved anew for the C that results.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from metalff.poly.fit import Choice, Design, Normal, Solver
from metalff.poly.radial import Shape

DAMPING = 1e-3
"""Of the first step, against columns of norm one."""

ENOUGH = 1e-3
"""Part of the loss below which a step gains too little for another."""


@dataclass
class State:
    """Where an optimisation stands.

    Attributes:
        mixing: by pair of elements [count, polynomials], the best so far.
        coefficients: [n] that tangents are made with; those of the last step's equations.
        loss: of the best.
        damping: of the next step.
        step: steps done.
    """

    mixing: dict
    coefficients: np.ndarray
    loss: float = np.inf
    damping: float = DAMPING
    step: int = 0


def optimise(
    design: Design,
    shape: Shape,
    state: State,
    costs,
    known,
    folds: int,
    choice: Choice,
    steps: int,
    tell=lambda step, rest: None,
    keep=lambda state: None,
):
    """Take up to ``steps`` steps from ``state``, which is changed.

    Args:
        costs, known: of the linear unknowns; see ``Solver``.
        choice: the regularisation meanwhile.
        tell: called with the step and the part of it that is done; what it raises ends the optimisation.
        keep: called with the state after each step.
    """
    linear, pairs = len(costs), sorted(state.mixing)
    numbers = sum(state.mixing[pair].size for pair in pairs)
    trial, coefficients, normal = state.mixing, state.coefficients, None
    while state.step < steps:
        now = _equations(design, shape, trial, coefficients, linear + numbers, folds, lambda rest: tell(state.step, rest))
        solver = Solver(_linear_part(now, linear), costs, known)
        found = solver.solve(choice.strength, choice.roughness)
        loss = solver.loss(found, choice)
        state.step += 1
        if loss < state.loss:
            gain = (state.loss - loss) / loss
            state.mixing, state.coefficients, state.loss, normal = trial, found[: design.functions], loss, now
            state.damping /= 5
            if gain < ENOUGH:
                state.step = steps
        else:
            state.damping *= 10
            if normal is None or state.damping > 1e3:
                state.step = steps
        keep(state)
        if state.step < steps:
            coefficients, change = _step(normal, costs, known, choice, linear, state.damping)
            coefficients = coefficients[: design.functions]
            parts = np.split(change, np.cumsum([state.mixing[pair].size for pair in pairs])[:-1])
            trial = {pair: state.mixing[pair] + part.reshape(state.mixing[pair].shape) for pair, part in zip(pairs, parts, strict=True)}
    return state


def _equations(design, shape, mixing, coefficients, unknowns, folds, tell) -> Normal:
    normal = Normal(unknowns, folds)
    for block in design.blocks():
        tell(normal.done / len(design.structures))
        tangents = design.tangents(block, coefficients, shape, mixing)
        design.set(coefficients, shape, mixing)
        normal.add(design, block, tangents)
    return normal


def _linear_part(normal: Normal, linear: int) -> Normal:
    part = Normal(0, len(normal.square))
    part.matrix, part.right = normal.matrix[:, :linear, :linear], normal.right[:, :linear]
    part.square, part.components, part.done = normal.square, normal.components, normal.done
    return part


def _step(normal, costs, known, choice, linear, damping):
    """Coefficients and the change of the mixing, [n] and [numbers]."""
    matrix, right = normal.matrix.sum(0), normal.right.sum(0)
    solver = Solver(_linear_part(normal, linear), costs, known)
    free = np.append(solver.free, np.arange(linear, len(right)))
    right = right - matrix[:, :linear] @ solver.known
    matrix, right = matrix[np.ix_(free, free)], right[free]
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale[scale == 0] = 1.0
    matrix = matrix / np.outer(scale, scale)
    penalty = np.append(solver.penalty(choice.strength, choice.roughness), np.full(len(free) - len(solver.free), damping))
    matrix[np.diag_indices_from(matrix)] += penalty + 1e-14
    found = cho_solve(cho_factor(matrix), right / scale) / scale
    coefficients = solver.known.copy()
    coefficients[solver.free] = found[: len(solver.free)]
    return coefficients, found[len(solver.free) :]
