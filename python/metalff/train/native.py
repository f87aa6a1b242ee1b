"""Losses and their gradients from the native engine, for the loop of all families; runs inside a family's environment.

MetalFF's engine lies in the folder above and needs nothing but numpy, so any environment can load it.
"""

import importlib.util
import sys
from pathlib import Path

import loop
import numpy as np
import torch


def engine():
    """MetalFF's engine. Raises ImportError where its compiled part is missing."""
    spec = importlib.util.spec_from_file_location("_engine", Path(__file__).resolve().parents[1] / "_engine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trainer:
    """Labelled frames in the native engine, and the loss of ``loop.loss_of`` on them.

    Args:
        family: nep or mace.
        payload: a model of the architecture to train; its parameters do not matter.
        frames: all that will be asked for.
    """

    def __init__(self, family, payload, frames, threads):
        native = engine()
        try:
            self.engine = native.Trainer(family, payload, threads)
        except native.EngineError as error:
            if "not finite" not in str(error):
                raise
            sys.exit("training diverged (the model holds numbers that are not finite): use a lower learning rate (--lr), and check --e0")
        self.number = {id(frame): k for k, frame in enumerate(frames)}
        for f in frames:
            vec, (centre, neighbor), types, _ = loop.collate([f])
            known = not bool(torch.isnan(f.virial).any())
            self.engine.add(
                centre.numpy(),
                neighbor.numpy(),
                vec.numpy(),
                types.numpy(),
                float(f.energy),
                f.forces.numpy(),
                f.virial.numpy() if known else None,
                f.weight,
            )

    def loss(self, parameters, part, energy_weight, stress_weight, huber=0.0):
        """A number that can be differentiated by the parameters [n], those of the payload in its order."""
        self.engine.parameters = parameters.detach().numpy()
        value, gradient = self.engine.gradient([self.number[id(f)] for f in part], energy_weight, stress_weight, huber)
        return WithGradient.apply(parameters, value, torch.from_numpy(gradient))

    def answer(self, parameters, frame):
        """Energy (eV), forces [N,3] (eV/Å) and virial [3,3] (eV) of a frame, as numpy has them."""
        self.engine.parameters = parameters.detach().numpy()
        return self.engine.predict([self.number[id(frame)]])[0]

    def jacobian(self, frame, by_energy, by_force, by_virial):
        """By the parameters that were given last; see the engine's ``Trainer.jacobian``."""
        return torch.from_numpy(self.engine.jacobian(self.number[id(frame)], by_energy, by_force, by_virial))

    def predict(self, parameters, part, e0):
        """See ``loop.predict``; without virials."""
        self.engine.parameters = parameters.detach().numpy()
        answers = self.engine.predict([self.number[id(f)] for f in part])
        energy = torch.tensor([a[0] for a in answers], dtype=torch.float64)
        energy = energy - torch.stack([e0[f.types].sum() for f in part])
        return energy, torch.from_numpy(np.concatenate([a[1] for a in answers])), None


class WithGradient(torch.autograd.Function):
    """A number whose gradient by ``parameters`` is known."""

    @staticmethod
    def forward(ctx, parameters, value, gradient):
        ctx.save_for_backward(gradient)
        return parameters.new_tensor(value)

    @staticmethod
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None, None
