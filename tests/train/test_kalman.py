"""The Kalman filter on models whose answer is known: of linear ones it is the least-squares fit with the prior, block by block."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import metalff.train

SPEC = importlib.util.spec_from_file_location("kalman", Path(metalff.train.__file__).with_name("kalman.py"))
kalman = importlib.util.module_from_spec(SPEC)
sys.modules["kalman"] = kalman
SPEC.loader.exec_module(kalman)


class Linear:
    """Energy a·θ, forces B θ and virial C θ of every frame; its own derivatives."""

    def answer(self, model, frame):
        theta = model.detach().numpy()
        return float(frame.a @ theta), frame.B @ theta, frame.C @ theta

    def jacobian(self, model, frame, by_energy, by_force, by_virial):
        rows = np.outer(by_energy, frame.a) + np.einsum("rnc,ncp->rp", by_force, frame.B) + np.einsum("rab,abp->rp", by_virial, frame.C)
        return torch.from_numpy(rows)


def frame_of(rng, truth, noise=0.0, weight=1.0, atoms=5):
    a, B, C = (rng.normal(size=(*shape, truth.size)) for shape in ((), (atoms, 3), (3, 3)))
    C = C + C.transpose(1, 0, 2)
    forces = torch.from_numpy(B @ truth + noise * rng.normal(size=(atoms, 3)))
    return SimpleNamespace(a=a, B=B, C=C, energy=float(a @ truth), forces=forces, virial=torch.from_numpy(C @ truth), weight=weight)


@pytest.mark.parametrize("groups", [[12], [7, 5]])
def test_it_finds_a_linear_model(groups):
    rng, truth = np.random.default_rng(0), np.random.default_rng(1).normal(size=12)
    theta = torch.nn.Parameter(torch.zeros(12, dtype=torch.float64))
    found = kalman.Kalman([theta], torch.ones(12, dtype=torch.float64), groups, 1)
    losses = [found.step(Linear(), theta, [frame_of(rng, truth)], None, 30.0, 10.0, 0.0) for _ in range(200)]
    assert losses[-1] < 1e-4 * losses[0]
    np.testing.assert_allclose(theta.detach().numpy(), truth, atol=0.02)


def test_what_is_measured_adds_up_to_the_loss():
    """Rows over all atoms: their squares are the loss times the number of force components, whatever the weights and the robust loss do."""
    rng, truth = np.random.default_rng(0), np.random.default_rng(1).normal(size=6)
    frame, theta = frame_of(rng, truth, weight=0.4, atoms=kalman.ATOMS), torch.full((6,), 0.1, dtype=torch.float64)
    answer = Linear().answer(theta, frame)
    error, *functionals = kalman.measured(frame, answer, rng, 30.0, 10.0, 0.0)
    assert (error**2).sum() == pytest.approx(3 * kalman.ATOMS * kalman.loss_of_frame(frame, answer, 30.0, 10.0, 0.0), rel=1e-12)
    rows = Linear().jacobian(theta, frame, *functionals).numpy()
    np.testing.assert_allclose(rows @ (truth - 0.1), error, rtol=1e-9)
    robust, *_ = kalman.measured(frame, answer, rng, 30.0, 10.0, 1e-3)
    assert (robust**2).sum() < 0.1 * (error**2).sum()


def test_what_is_drawn_adds_up_to_the_loss_on_average():
    rng, truth = np.random.default_rng(0), np.random.default_rng(1).normal(size=6)
    frame, theta = frame_of(rng, truth, atoms=9), torch.full((6,), 0.1, dtype=torch.float64)
    answer = Linear().answer(theta, frame)
    sums = [(kalman.measured(frame, answer, rng, 30.0, 10.0, 0.0)[0] ** 2).sum() for _ in range(400)]
    assert np.ptp(sums) > 0
    assert np.mean(sums) == pytest.approx(3 * kalman.ATOMS * kalman.loss_of_frame(frame, answer, 30.0, 10.0, 0.0), rel=0.02)


def test_a_loss_that_is_not_finite_changes_nothing():
    rng = np.random.default_rng(0)
    theta = torch.nn.Parameter(torch.full((3,), torch.nan, dtype=torch.float64))
    found = kalman.Kalman([theta], torch.ones(3, dtype=torch.float64), [3], 1)
    assert not np.isfinite(found.step(Linear(), theta, [frame_of(rng, np.ones(3))], None, 30.0, 0.0, 0.0))
    assert found.frames == 0 and torch.equal(found.covariance[0], torch.eye(3, dtype=torch.float64))


def test_large_groups_are_cut(monkeypatch):
    monkeypatch.setattr(kalman, "LARGEST_BLOCK", 4)
    theta = torch.nn.Parameter(torch.zeros(11, dtype=torch.float64))
    assert kalman.Kalman([theta], torch.ones(11, dtype=torch.float64), [9, 2], 1).sizes == [3, 3, 3, 2]
