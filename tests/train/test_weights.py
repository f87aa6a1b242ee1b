"""Weights of frames: by rules and from the data, and what they are in the loss of the loop."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import metalff.train
from metalff.data import load
from metalff.errors import MetalffError
from metalff.train.weights import weighted

sys.path.append(str(Path(metalff.train.__file__).parent))
import loop  # noqa: E402

sys.path.pop()


@pytest.fixture(scope="module")
def molybdenum():
    return load("zuo2020-Mo", "train")


def test_rules_multiply(molybdenum):
    first = replace(molybdenum, frames=(replace(molybdenum.frames[0], weight=4.0), *molybdenum.frames[1:]))
    found, notes = weighted(first, ["group=aimd:0.5", "temperature=3000|6000,group=aimd:3", "source=zuo2020-Mo:0.1", "element=Mo:10"])
    for before, frame in zip(first, found):
        factor = before.weight * (0.5 if frame.group == "aimd" else 1.0) * (3.0 if frame.temperature in (3000.0, 6000.0) else 1.0)
        assert frame.weight == pytest.approx(factor) and frame.positions is before.positions
    assert (
        notes[0].startswith("1 of 194 frames have a weight of their own in the data") and "108 of 194 frames (group=aimd) count 0.5 times" in notes[1]
    )


@pytest.mark.parametrize(
    "rule, sentence",
    [
        ("group=aimd", "give WHAT=VALUE:FACTOR, such as group=liquid:0.5"),
        ("group=aimd:-1", "give WHAT=VALUE:FACTOR"),
        ("group=aimd:nan", "give WHAT=VALUE:FACTOR"),
        ("group=aimdd:2", 'has no frame with group=aimdd .did you mean "aimd"'),
        ("grup=aimd:2", "is no selection"),
        ("frames=0:3:2", "give WHAT=VALUE:FACTOR"),
        ("source=mine.xyz:2", "no frame comes from mine.xyz; the data come from zuo2020-Mo:train"),
        ("element=Mo:0", "has a weight above zero, so there is nothing to learn"),
    ],
)
def test_rules_that_cannot_be(rule, sentence, molybdenum):
    with pytest.raises(MetalffError, match=sentence) as error:
        weighted(molybdenum, [rule])
    assert "\n" not in str(error.value)


class Springs(loop.Family):
    """E = k Σ (r - 2)² / 2 over edges."""

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        r = torch.linalg.norm(edge_vec, dim=1)
        return torch.zeros(len(types), dtype=r.dtype).index_add(0, edge_index[0], 0.5 * model * (r - 2.0) ** 2)


def dimer(r, weight, force=0.0, energy=0.0):
    positions = torch.tensor([[0.0, 0.0, 0.0], [r, 0.0, 0.0]], dtype=torch.float64)
    edges = torch.tensor([[0, 1], [1, 0]])
    forces = torch.tensor([[force, 0.0, 0.0], [-force, 0.0, 0.0]], dtype=torch.float64)
    nothing = torch.full((3, 3), torch.nan, dtype=torch.float64)
    return loop.Frame(
        torch.zeros(2, 3, dtype=torch.float64), edges, positions, torch.zeros(2, dtype=torch.long), torch.tensor(energy), forces, nothing, weight
    )


@pytest.mark.parametrize("huber", [0.0, 0.3, 100.0])
def test_loss_of_the_loop(huber):
    """Two dimers; per frame: force error f on each atom, f²/3 in the mean over components, and energy error e/2 per atom."""
    model = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    part, e0 = [dimer(2.5, 0.5), dimer(1.6, 2.0)], torch.zeros(1, dtype=torch.float64)

    def bounded(x):
        return x**2 if not huber or x <= huber else huber * (2 * x - huber)

    def expected(k):
        return sum(f.weight * (bounded(2 * k * abs(x)) / 3 + 7.0 * bounded(k * x**2 / 2)) for f, x in zip(part, (0.5, -0.4))) / 2

    loss = loop.loss_of(Springs(), model, part, e0, 7.0, 0.0, huber)
    assert float(loss.detach()) == pytest.approx(expected(1.5), rel=1e-12)
    (slope,) = torch.autograd.grad(loss, model)
    assert float(slope) == pytest.approx((expected(1.5 + 1e-6) - expected(1.5 - 1e-6)) / 2e-6, rel=1e-7)


def test_a_weight_acts_in_a_batch_of_one():
    e0, model = torch.zeros(1, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    losses = [float(loop.loss_of(Springs(), model, [dimer(2.5, weight)], e0, 7.0, 0.0).detach()) for weight in (1.0, 0.25)]
    assert losses[1] == pytest.approx(0.25 * losses[0], rel=1e-14) and losses[0] > 0


def test_weights_of_one_are_none_at_all():
    """Bit for bit the mean over frames."""
    rng = np.random.default_rng(0)
    part = [dimer(float(r), 1.0, float(f), float(e)) for r, f, e in rng.uniform(1.5, 2.5, (5, 3))]
    e0, model = torch.zeros(1, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)
    energy, forces, _ = loop.predict(Springs(), model, part, training=True)
    per_frame = ((forces - torch.cat([f.forces for f in part])) ** 2).mean(1).view(5, 2)
    want = torch.stack([x.mean() for x in per_frame]).mean() + 3.0 * (((energy - torch.stack([f.energy for f in part])) / 2) ** 2).mean()
    assert float(loop.loss_of(Springs(), model, part, e0, 3.0, 1.0).detach()) == float(want.detach())
