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

DAMPING_MOST = 1e3
"""Above which no step is tried."""

ENOUGH = 1e-3
"""Part of the loss below which a step gains too little for another."""


@dataclass(frozen=True)
class Place:
    """Radial functions, and the coefficients that tangents are taken with there.

    Attributes:
        mixing: by pair of elements [count, polynomials].
        coefficients: [functions], those of the step that led here.
    """

    mixing: dict
    coefficients: np.ndarray


@dataclass
class State:
    """Where an optimisation stands.

    Attributes:
        best: the place of the smallest loss so far.
        trial: the place to go to next.
        loss: of the best.
        damping: of the step to the trial.
        step: steps done.
    """

    best: Place
    trial: Place
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
    linear = len(costs)

    def equations(place):
        unknowns = linear + sum(some.size for some in place.mixing.values())
        return _equations(design, shape, place, unknowns, folds, lambda rest: tell(state.step, rest))

    normal = None  # of the best place
    while state.step < steps:
        now = equations(state.trial)
        solver = Solver(_linear_part(now, linear), costs, known)
        loss = solver.loss(solver.solve(choice.strength, choice.roughness), choice)
        state.step += 1
        if loss < state.loss:
            last = state.loss - loss < ENOUGH * loss
            state.best, state.loss, normal = state.trial, loss, now
            state.damping /= 5
        else:
            last = state.damping > DAMPING_MOST
            state.damping *= 10
        if last:
            state.step = steps
        if state.step < steps:
            normal = normal or equations(state.best)  # a state from the disk does not have them
            state.trial = _step(normal, costs, known, choice, linear, state, design.functions)
        keep(state)


def _equations(design, shape, place, unknowns, folds, tell) -> Normal:
    normal = Normal(unknowns, folds)
    for block in design.blocks():
        tell(normal.done / len(design.structures))
        tangents = design.tangents(block, place.coefficients, shape, place.mixing)
        design.set(place.coefficients, shape, place.mixing)
        normal.add(design, block, tangents)
    return normal


def _linear_part(normal: Normal, linear: int) -> Normal:
    part = Normal(0, len(normal.square))
    part.matrix, part.right = normal.matrix[:, :linear, :linear], normal.right[:, :linear]
    part.square, part.components, part.done = normal.square, normal.components, normal.done
    return part


def _step(normal, costs, known, choice, linear, state, functions) -> Place:
    matrix, right = normal.matrix.sum(0), normal.right.sum(0)
    solver = Solver(_linear_part(normal, linear), costs, known)
    free = np.append(solver.free, np.arange(linear, len(right)))
    right = right - matrix[:, :linear] @ solver.known
    matrix, right = matrix[np.ix_(free, free)], right[free]
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale[scale == 0] = 1.0
    matrix = matrix / np.outer(scale, scale)
    penalty = np.append(solver.penalty(choice.strength, choice.roughness), np.full(len(free) - len(solver.free), state.damping))
    matrix[np.diag_indices_from(matrix)] += penalty + 1e-14
    found = cho_solve(cho_factor(matrix), right / scale) / scale
    coefficients = solver.known.copy()
    coefficients[solver.free] = found[: len(solver.free)]
    mixing, offset = {}, len(solver.free)
    for pair, some in sorted(state.best.mixing.items()):
        mixing[pair] = some + found[offset : offset + some.size].reshape(some.shape)
        offset += some.size
    return Place(mixing, coefficients[:functions])
