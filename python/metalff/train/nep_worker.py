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
    """Parameters in the order of nep.txt, and the scale of each descriptor.

    Where the energies of free atoms are known, the model has them exactly, whatever its parameters: an atom without neighbours has no descriptors,
    and its energy Σ_j w1_j tanh(-b0_j) - bias is a condition on one parameter, which follows from the others. That is the bias where there is one
    element; NEP4 has one bias for all elements, so of several the first neuron of each, which is kept constant, takes it.

    Args:
        shape: numbers of elements, neurons and descriptors.
        free: [elements] energies of free atoms, eV; None where they are not known.
    """

    def __init__(self, header, parameters, scale, shape, free=None):
        super().__init__()
        self.header, self.shape = header, shape
        self.free = None if free is None else torch.tensor(free, dtype=torch.float64)
        self.theta = torch.nn.Parameter(torch.tensor(parameters, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def parameters_of(self, theta):
        """Those of the file, which free atoms have their energies with."""
        if self.free is None:
            return theta
        types, neurons, dim = self.shape
        per_net = neurons * (dim + 2)
        nets = theta[: types * per_net].view(types, per_net)
        b0, w1 = nets[:, neurons * dim : neurons * (dim + 1)], nets[:, neurons * (dim + 1) :]
        at_rest, found = -w1 * torch.tanh(b0), theta.clone()
        if types == 1:
            found[per_net] = at_rest.sum() - self.free[0]
            return found
        constant = self.free + theta[types * per_net] - at_rest[:, 1:].sum(1)
        for t in range(types):
            found[t * per_net : t * per_net + dim] = 0.0
            found[t * per_net + neurons * dim] = -SATURATED
            found[t * per_net + neurons * (dim + 1)] = constant[t] / math.tanh(SATURATED)
        return found

    def by_theta(self, jacobian):
        """Derivatives by theta, of derivatives by the parameters of the file, [rows, n]."""
        if self.free is None:
            return jacobian
        _, pull_back = torch.func.vjp(self.parameters_of, self.theta.detach())
        return torch.stack([pull_back(row)[0] for row in jacobian])

    @torch.no_grad()
    def lift(self, middle, energies):
        """Change the output weights as little as possible so that an atom with the descriptors ``middle`` has ``energies`` [elements] more."""
        types, neurons, dim = self.shape
        for t, net in enumerate(self.theta[: types * neurons * (dim + 2)].view(types, -1)):
            w0, b0 = net[: neurons * dim].view(neurons, dim), net[neurons * dim : neurons * (dim + 1)]
            change = torch.tanh(w0 @ middle - b0) + torch.tanh(b0)  # of each neuron, from a free atom to such an atom
            if types > 1:
                change[0] = 0.0
            net[neurons * (dim + 1) :] += energies[t] * change / (change @ change)

    def text(self):
        """The model as nep.txt."""
        numbers = torch.cat([self.parameters_of(self.theta.detach()), self.scale])
        return self.header + "".join(f"{value:.16e}\n" for value in numbers.tolist())


class Nep(loop.Family):
    """Kept as ``nep.txt``."""

    recorded = ("metalff",)

    def build(self, cfg, e0, neighbours, scale):
        header, parameters, scale = initial(cfg, np.random.default_rng(cfg["seed"]))
        shape = len(cfg["elements"]), cfg["neuron"], len(scale)
        return NepModel(header, parameters, scale, shape, cfg["e0"] if cfg.get("free_atom") and cfg["e0"] != "average" else None)

    def prepare(self, model, run):
        """Descriptors are scaled to a range of one over the training data, and energies start at their averages."""
        cfg, frames = run.cfg, run.train
        low, high = native.Trainer("nep", model.text(), frames, 1).engine.descriptor_range()
        model.scale.copy_(torch.tensor(1.0 / np.maximum(high - low, 1e-6)))
        average = loop.zero_of_energy("average", frames, len(cfg["elements"]))
        with torch.no_grad():
            set_averages(model.theta, cfg, average)
        if model.free is not None:
            start_at_averages(model, frames, average, torch.tensor((low + high) / 2) * model.scale, cfg["threads"])
        self.trainer = None  # made from the model at first use, whose scales may come from a checkpoint
        self.frames, self.threads = [*frames, *run.valid, *run.tested], cfg["threads"]

    def loss(self, model, part, e0, energy_weight, stress_weight, huber=0.0):
        return self._trainer(model).loss(model.parameters_of(model.theta), part, energy_weight, stress_weight, huber)

    def predict(self, model, part, e0):
        return self._trainer(model).predict(model.parameters_of(model.theta), part, e0)

    def answer(self, model, frame):
        return self._trainer(model).answer(model.parameters_of(model.theta), frame)

    def jacobian(self, model, frame, by_energy, by_force, by_virial):
        return model.by_theta(self.trainer.jacobian(frame, by_energy, by_force, by_virial))

    def prior(self, model, cfg):
        return torch.from_numpy(np.concatenate(deviations(cfg, len(model.scale)))), groups(cfg, len(model.scale))

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
    parameters = np.concatenate([rng.normal(0, deviation) for deviation in deviations(cfg, dim)])
    parameters[types * neurons * (dim + 2)] = 0.0  # the common bias
    return "\n".join(header) + "\n", parameters, np.ones(dim)


def deviations(cfg, dim):
    """Standard deviations of the random parameters, in their order: of every network, of the bias, and of the expansion coefficients.

    Chebyshev functions that change fast have small coefficients, so that radial functions are smooth where there are no data.
    """
    types, neurons = len(cfg["elements"]), cfg["neuron"]
    network = [np.full(neurons * dim, 2 / math.sqrt(dim)), np.ones(neurons), np.full(neurons, 1 / math.sqrt(neurons))]
    expansions = []
    for n, k in zip(cfg["n_max"], cfg["basis_size"]):
        expansions.append(np.tile(1 / (math.sqrt(k + 1) * np.arange(1, k + 2)), types**2 * (n + 1)))
    return [*(network * types), np.ones(1), *expansions]


def groups(cfg, dim):
    """Numbers of parameters that hang together: all where there is one element, else those of each network and the rest."""
    sizes = [d.size for d in deviations(cfg, dim)]
    types = len(cfg["elements"])
    return [sum(sizes)] if types == 1 else [*[sum(sizes[:3])] * types, sum(sizes[3 * types :])]


SATURATED = 4.0
"""Argument at which a neuron is as good as constant."""

START_FRAMES = 32
"""Frames whose energies a training starts from."""


def start_at_averages(model, frames, average, middle, threads):
    """Where the bias is not free, the output weights bring the energies to their averages."""
    some = frames[:: math.ceil(len(frames) / START_FRAMES)]
    trainer = native.Trainer("nep", model.text(), some, threads)
    types = model.shape[0]
    counts = np.array([np.bincount(f.types, minlength=types) for f in some], float)
    fractions = counts / counts.sum(1, keepdims=True)
    normal = fractions.T @ fractions + 0.01 * len(some) * np.eye(types)  # where all compositions are alike, elements get the same
    for _ in range(6):  # the answer to a change is not quite that of the middle of the descriptors
        energy, _, _ = trainer.predict(model.parameters_of(model.theta.detach()), some, torch.zeros(types, dtype=torch.float64))
        missing = (counts @ average - energy.numpy()) / counts.sum(1)
        model.lift(middle, np.linalg.solve(normal, fractions.T @ missing))


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
