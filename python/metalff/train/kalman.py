"""Second-order training by an extended Kalman filter, for models of few parameters whose engine gives Jacobians; see ``loop.py``.

The parameters θ are a Gaussian estimate with covariance P, which begins as the spread of the initial weights. Every step measures a few numbers of a
frame, its energy, the forces of some atoms and its virial, whose errors r and derivatives by the parameters H change both:

    K = P Hᵀ (H P Hᵀ + λR)⁻¹,  θ ← θ + K r,  P ← (P − K H P) / λ

(Singhal and Wu, NIPS 1 (1988); blocks of parameters as in Hu et al., AAAI 37, 7910 (2023)). R is the mean square of what the errors have been lately.
λ forgets what was measured with other parameters; it goes to one as 1 − 2/(frames + 1000), so that at every time most of the memory is the last half
of the training, and the steps end small without a schedule.
"""

import math

import numpy as np
import torch

ATOMS = 8
"""Atoms of a frame whose forces are measured in a step."""

FORGET, START = 2.0, 1000.0
"""λ = 1 − FORGET / (frames + START)."""

WORST = 2
"""Of these, those with the largest errors; the others are drawn."""

LATELY = 0.98
"""Weight of the past in the mean square of the errors, per step."""

CAUTION = 4.0
"""What R is multiplied by after a training has gone back."""

REMINDERS = 4
"""Parameters of each block that a step measures to be what they were before training, as far as λ has forgotten it."""

LARGEST_BLOCK = 3000
"""Parameters that have one covariance matrix."""


class Kalman:
    """The filter for one model.

    Args:
        parameters: those of the model.
        deviation: standard deviation of each before training, [n].
        groups: sizes of groups of parameters that follow each other; those of different groups are taken for independent, and larger groups are cut.
        seed: of the choice of atoms.
    """

    def __init__(self, parameters, deviation, groups, seed):
        self.parameters, self.deviation, self.seed = list(parameters), deviation, seed
        self.sizes = [int(s) for size in groups for s in np.diff(np.linspace(0, size, math.ceil(size / LARGEST_BLOCK) + 1).round())]
        self.first = torch.nn.utils.parameters_to_vector(self.parameters).detach().clone()
        self.setbacks = 0
        self.restart()

    def restart(self):
        """Forget everything but how often a training has gone back."""
        self.covariance = [torch.diag(d**2) for d in self.deviation.split(self.sizes)]
        self.frames, self.square = 0, None

    def go_back(self):
        """Begin anew from other weights, with more caution."""
        self.setbacks += 1
        self.restart()

    @property
    def rate(self):
        """Share of the memory that a frame replaces: 1 − λ."""
        return FORGET / (self.frames + START)

    def state_dict(self):
        return {"covariance": self.covariance, "frames": self.frames, "square": self.square, "setbacks": self.setbacks}

    def load_state_dict(self, state):
        self.covariance, self.frames, self.square, self.setbacks = (state[key] for key in ("covariance", "frames", "square", "setbacks"))

    @torch.no_grad()
    def step(self, family, model, part, e0, energy_weight, stress_weight, huber):
        """Measure frames and change the parameters; returns what ``family.loss`` gives before that. A loss that is not finite changes nothing."""
        errors, jacobians, losses = [], [], []
        rng = np.random.default_rng([self.seed, self.frames])
        for frame in part:
            answer = family.answer(model, frame)
            losses.append(loss_of_frame(frame, answer, energy_weight, stress_weight, huber))
            if not math.isfinite(losses[-1]):
                return losses[-1]
            error, *functionals = measured(frame, answer, rng, energy_weight, stress_weight, huber)
            if len(error):
                errors.append(torch.from_numpy(error))
                jacobians.append(family.jacobian(model, frame, *functionals))
        if errors:
            self._update(torch.cat(errors), torch.cat(jacobians), rng)
        self.frames += len(part)
        return float(np.mean(losses))

    def _update(self, error, jacobian, rng):
        forget = 1.0 - self.rate
        square = float((error**2).mean())
        self.square = square if self.square is None else LATELY * self.square + (1 - LATELY) * square
        noise = forget * CAUTION**self.setbacks * max(self.square, 1e-12)
        flat = torch.nn.utils.parameters_to_vector(self.parameters)
        blocks, now, first = jacobian.split(self.sizes, 1), flat.split(self.sizes), self.first.split(self.sizes)
        deviation = self.deviation.split(self.sizes)
        seen = [k for k, block in enumerate(blocks) if bool(block.any())]
        spread, chosen, factor, missed = {}, {}, {}, [error]
        for k in seen:
            size = self.sizes[k]
            chosen[k] = torch.from_numpy(rng.choice(size, min(REMINDERS, size), replace=False))
            factor[k] = (noise * self.rate * size / len(chosen[k])) ** 0.5 / deviation[k][chosen[k]]
            missed.append((first[k] - now[k])[chosen[k]] * factor[k])
        error = torch.cat(missed)
        total, begin = torch.zeros(len(error), len(error), dtype=error.dtype), len(jacobian)
        for k in seen:
            rows = torch.zeros(len(error), self.sizes[k], dtype=error.dtype)
            rows[: len(jacobian)] = blocks[k]
            rows[torch.arange(begin, begin + len(chosen[k])), chosen[k]] = factor[k]
            begin += len(chosen[k])
            spread[k] = rows @ self.covariance[k]  # H P
            total += spread[k] @ rows.T
        total.diagonal().add_(noise)
        lower, failed = torch.linalg.cholesky_ex(total)
        if failed:
            return self.restart()  # round-off has eaten the covariance
        weighted = torch.linalg.solve_triangular(lower, error[:, None], upper=False)
        change = [torch.zeros(size, dtype=error.dtype) for size in self.sizes]
        for k in seen:
            gain = torch.linalg.solve_triangular(lower, spread[k], upper=False)
            change[k] = (gain.T @ weighted).squeeze(1)
            self.covariance[k].addmm_(gain.T, gain, alpha=-1).div_(forget)
        torch.nn.utils.vector_to_parameters(flat + torch.cat(change), self.parameters)


def measured(frame, answer, rng, energy_weight, stress_weight, huber):
    """What a step measures of a frame: errors [rows], and the functionals of ``Trainer.jacobian``, by_energy [rows], by_force [rows,N,3], by_virial [rows,3,3].

    Rows are scaled such that the sum of their squares is, on average over the choice of atoms, the frame's loss times a constant. Forces that are zero
    by symmetry, whatever the parameters, are left out.
    """
    energy, forces, virial = answer
    n, known = len(forces), bool(stress_weight) and not bool(torch.isnan(frame.virial).any())
    difference = frame.forces.double().numpy() - forces
    atoms, count = np.flatnonzero(np.abs(forces).max(1) > 1e-8), 3 * min(ATOMS, n)
    weights = np.full(len(atoms), count / (3 * n))
    if len(atoms) > ATOMS:
        order = atoms[np.argsort(-(difference[atoms] ** 2).sum(1), kind="stable")]
        atoms = np.concatenate([order[:WORST], np.sort(rng.choice(order[WORST:], ATOMS - WORST, replace=False))])
        weights[WORST:] *= (len(order) - WORST) / (ATOMS - WORST)
    rows = 1 + 3 * len(atoms) + 6 * known
    by_energy, by_force, by_virial, error = np.zeros(rows), np.zeros((rows, n, 3)), np.zeros((rows, 3, 3)), np.zeros(rows)
    scale = np.empty(rows)
    off = (float(frame.energy) - energy) / n
    by_energy[0], error[0], scale[0] = 1.0 / n, off, math.sqrt(energy_weight * count * slope(off**2, huber))
    for k, (a, weight) in enumerate(zip(atoms, weights)):
        three = slice(1 + 3 * k, 4 + 3 * k)
        by_force[three, a] = np.eye(3)
        error[three], scale[three] = difference[a], math.sqrt(weight * slope(difference[a] @ difference[a], huber))
    if known:
        off = (frame.virial.double().numpy() - virial) / n
        for k, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), 1 + 3 * len(atoms)):
            by_virial[k, a, b] += 0.5 / n
            by_virial[k, b, a] += 0.5 / n
            error[k] = (off[a, b] + off[b, a]) / 2
            scale[k] = math.sqrt(stress_weight * count / 9 * (1 if a == b else 2) * slope((off**2).sum(), huber))
    scale *= math.sqrt(frame.weight)
    kept = scale > 0
    error, scale = (error * scale)[kept], scale[kept]
    return error, by_energy[kept] * scale, by_force[kept] * scale[:, None, None], by_virial[kept] * scale[:, None, None]


def slope(square, huber):
    """What the square of an error counts in Huber's loss, to first order."""
    return huber / math.sqrt(square) if huber and square > huber**2 else 1.0


def loss_of_frame(frame, answer, energy_weight, stress_weight, huber):
    """See ``loop.loss_of``."""
    energy, forces, virial = answer
    n = len(forces)
    squares = ((frame.forces.double().numpy() - forces) ** 2).sum(1)
    loss = np.mean([robust(s, huber) for s in squares]) / 3 + energy_weight * robust(((float(frame.energy) - energy) / n) ** 2, huber)
    if stress_weight and not bool(torch.isnan(frame.virial).any()):
        loss += stress_weight * robust((((frame.virial.double().numpy() - virial) / n) ** 2).sum(), huber) / 9
    return float(loss) * frame.weight


def robust(square, huber):
    """See ``loop.robust``, of one number."""
    return huber * (2 * math.sqrt(square) - huber) if huber and square > huber**2 else square
