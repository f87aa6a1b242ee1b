"""Train a NEP with the gradients of the native engine; runs in MetalFF's own Python: see ``loop.py``.

A NEP (Fan et al., J. Chem. Phys. 157, 114801 (2022)) has some thousand parameters. GPUMD trains them by an evolution strategy, which takes
10⁵ generations; here the engine that evaluates it also gives exact gradients, and the loop that trains all families uses them.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent))
import loop
import native


class NepModel(torch.nn.Module):
    """Parameters in the order of nep.txt, and the scale of each descriptor."""

    def __init__(self, header, parameters, scale):
        super().__init__()
        self.header = header
        self.theta = torch.nn.Parameter(torch.tensor(parameters, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def text(self):
        """The model as nep.txt."""
        numbers = torch.cat([self.theta.detach(), self.scale])
        return self.header + "".join(f"{value:.16e}\n" for value in numbers.tolist())


class Nep(loop.Family):
    """Kept as ``nep.txt``."""

    recorded = ("metalff",)

    def build(self, cfg, e0, neighbours, scale):
        return NepModel(*initial(cfg, np.random.default_rng(cfg["seed"])))

    def prepare(self, model, run):
        """Descriptors are scaled to a range of one over the training data, and energies start at their averages."""
        cfg, frames = run.cfg, run.train
        low, high = native.Trainer("nep", model.text(), frames, 1).engine.descriptor_range()
        model.scale.copy_(torch.tensor(1.0 / np.maximum(high - low, 1e-6)))
        average = loop.zero_of_energy("average", frames, len(cfg["elements"]))
        with torch.no_grad():
            set_averages(model.theta, cfg, average)
        self.trainer = None  # made from the model at first use, whose scales may come from a checkpoint
        self.frames, self.threads = [*frames, *run.valid, *run.tested], cfg["threads"]

    def loss(self, model, part, e0, energy_weight, stress_weight):
        return self._trainer(model).loss(model.theta, part, energy_weight, stress_weight)

    def predict(self, model, part, e0):
        return self._trainer(model).predict(model.theta, part, e0)

    def save(self, model, cfg, out):
        loop.save_atomically(lambda path: path.write_text(model.text()), out / "nep.txt")

    def _trainer(self, model):
        if self.trainer is None:
            self.trainer = native.Trainer("nep", model.text(), self.frames, self.threads)
        return self.trainer


def initial(cfg, rng):
    """First lines of nep.txt, random parameters in its order, and scales of one."""
    types, neurons = len(cfg["elements"]), cfg["neuron"]
    (n_r, n_a), (k_r, k_a), (l2, l3, l4) = cfg["n_max"], cfg["basis_size"], cfg["l_max"]
    dim = n_r + 1 + (n_a + 1) * (l2 + (l3 > 0) + (l4 > 0))
    zbl = cfg["zbl"]
    header = [f"nep4{'_zbl' if zbl else ''} {types} {' '.join(cfg['elements'])}"]
    header += [f"zbl {zbl / 2:g} {zbl:g}"] if zbl else []
    header += [
        f"cutoff {cfg['r_max']:g} {cfg['r_max_angular']:g} 500 500",
        f"n_max {n_r} {n_a}",
        f"basis_size {k_r} {k_a}",
        f"l_max {l2} {l3} {l4}",
        f"ANN {neurons} 0",
    ]
    networks = []
    for _ in range(types):
        networks += [
            rng.normal(0, 2 / math.sqrt(dim), neurons * dim),
            rng.normal(0, 1, neurons),
            rng.normal(0, 1 / math.sqrt(neurons), neurons),
        ]
    radial = rng.normal(0, 1 / math.sqrt(k_r + 1), types**2 * (n_r + 1) * (k_r + 1))
    angular = rng.normal(0, 1 / math.sqrt(k_a + 1), types**2 * (n_a + 1) * (k_a + 1))
    parameters = np.concatenate([*networks, [0.0], radial, angular])
    return "\n".join(header) + "\n", parameters, np.ones(dim)


SATURATED = 4.0
"""Argument at which a neuron is as good as constant."""


def set_averages(theta, cfg, average):
    """The common bias becomes the mean of the elements' average energies, the first neuron of each element the rest.

    NEP4 has one bias for all elements; one neuron per element that starts constant takes what differs between them.
    """
    types, neurons = len(cfg["elements"]), cfg["neuron"]
    per_net = (len(theta) - 1 - radial_and_angular(cfg)) // types
    dim = per_net // neurons - 2
    theta[per_net * types] = -float(np.mean(average))
    if types == 1:
        return
    for t in range(types):
        net = theta[t * per_net : (t + 1) * per_net]
        net[:dim] = 0.0
        net[neurons * dim] = -SATURATED
        net[neurons * (dim + 1)] = float(average[t] - np.mean(average)) / math.tanh(SATURATED)


def radial_and_angular(cfg):
    """Number of expansion coefficients."""
    (n_r, n_a), (k_r, k_a) = cfg["n_max"], cfg["basis_size"]
    return len(cfg["elements"]) ** 2 * ((n_r + 1) * (k_r + 1) + (n_a + 1) * (k_a + 1))


if __name__ == "__main__":
    loop.main(Nep())
