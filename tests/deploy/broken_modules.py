"""Modules that each break the contract in one way, and the good ones that they are made from."""

import numpy as np
import torch


class Good(torch.nn.Module):
    """A sum over pairs."""

    elements = ["Cu", "Ni"]

    def __init__(self, r_max=4.0):
        super().__init__()
        self.r_max, self.w = r_max, torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def pair(self, v):
        r = torch.linalg.norm(v, dim=1)
        return torch.exp(-r) * (1 - (r / self.r_max).clamp(max=1.0)) ** 3

    def forward(self, v, e, t):
        return v.new_zeros(t.shape[0]).index_add(0, e[0], self.pair(v)) * self.w[0]


class Layered(Good):
    """Message passing."""

    layers = 2

    def layer(self, k, v, e, t, f, n):
        p = self.pair(v) if k == 0 else self.pair(v) * f[e[1], 0]
        s = v.new_zeros(n).index_add(0, e[0], p)
        return s * self.w[k], s[:, None] if k == 0 else None


class Masked(Good):
    """Edges within the cutoff by a boolean mask: their number depends on values, but torch.export follows."""

    def forward(self, v, e, t):
        inside = torch.linalg.norm(v, dim=1) < self.r_max
        return super().forward(v[inside], e[:, inside], t)


def function():
    return Good()


instance = Good()


# attributes


class NoElements(Good):
    elements = None


class BadElement(Good):
    elements = ["Cu", "Xq"]


class TextCutoff(Good):
    def __init__(self):
        super().__init__()
        self.r_max = "4 A"


class InMetres(Good):
    def __init__(self):
        super().__init__(4e-10)


class NoForward(torch.nn.Module):
    elements, r_max = ["Cu"], 4.0


class NoLayers(NoForward):
    def layer(self, *arguments):
        pass


# how they are made


class NeedsWidth(Good):
    def __init__(self, width):
        super().__init__()


class RaisesWhenMade(Good):
    def __init__(self):
        raise ValueError("no tables")


def three():
    return 3


number = 3


# outputs


class Column(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t)[:, None]


class PerEdge(Good):
    def forward(self, v, e, t):
        return self.pair(v)


class Total(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t).sum()


class Dictionary(Good):
    def forward(self, v, e, t):
        return {"energy": super().forward(v, e, t)}


class AlwaysDouble(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t) * torch.ones(1, dtype=torch.float64)


class NanWithoutEdges(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t) / v.new_zeros(t.shape[0]).index_add(0, e[0], torch.ones_like(v[:, 0]))


class Crash(Good):
    def forward(self, v, e, t):
        return self.w @ v


class LayerAlone(Layered):
    def layer(self, *arguments):
        return super().layer(*arguments)[0]


class FlatFeatures(Layered):
    def layer(self, *arguments):
        energy, features = super().layer(*arguments)
        return energy, features if features is None else features[:, 0]


class AllNodes(Layered):
    def layer(self, k, v, e, t, f, n):
        return super().layer(k, v, e, t, f, t.shape[0])


# gradients


class Detached(Good):
    def forward(self, v, e, t):
        return super().forward(v.detach(), e, t)


class ByNumpy(Good):
    def forward(self, v, e, t):
        return torch.tensor(np.zeros(t.shape[0]), dtype=v.dtype)


class Constant(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t) * 0


class Dropout(Good):
    def forward(self, v, e, t):
        return torch.nn.functional.dropout(super().forward(v, e, t), 0.5, training=True)


class Root(Good):
    """Its slope is infinite for an atom whose neighbours are all beyond the cutoff."""

    def forward(self, v, e, t):
        return super().forward(v, e, t).sqrt()


# the cutoff


class Endless(Good):
    def pair(self, v):
        return torch.exp(-torch.linalg.norm(v, dim=1))


class Step(Good):
    def pair(self, v):
        r = torch.linalg.norm(v, dim=1)
        return torch.where(r < self.r_max, torch.exp(-r), 0.0)


class Kink(Good):
    def pair(self, v):
        r = torch.linalg.norm(v, dim=1)
        return torch.exp(-r) * (1 - r / self.r_max).clamp(min=0)


# symmetries


class Directed(Good):
    def pair(self, v):
        return super().pair(v) * (1 + 0.1 * v[:, 0])


class EdgeOrder(Good):
    def forward(self, v, e, t):
        weights = torch.arange(v.shape[0], dtype=v.dtype) % 2 + 1
        return v.new_zeros(t.shape[0]).index_add(0, e[0], self.pair(v) * weights)


class NodeOrder(Good):
    def forward(self, v, e, t):
        return super().forward(v, e, t) * (torch.arange(t.shape[0], dtype=v.dtype) + 1)


# locality


class TwoSteps(Good):
    def forward(self, v, e, t):
        h = super().forward(v, e, t)
        return h + torch.zeros_like(h).index_add(0, e[0], self.pair(v) * h[e[1]])


class RelativeToMean(Good):
    def forward(self, v, e, t):
        h = super().forward(v, e, t)
        return h - h.mean()


class Counting(Layered):
    def layer(self, k, v, e, t, f, n):
        energy, features = super().layer(k, v, e, t, f, n)
        return energy, None if features is None else features + n


# exporting


class Branch(Good):
    def forward(self, v, e, t):
        factor = 2.0 if self.pair(v).max().item() > 100 else 1.0
        return super().forward(v, e, t) * factor


class Loop(Good):
    def forward(self, v, e, t):
        p = self.pair(v)
        return torch.stack([(p * (e[0] == i)).sum() for i in range(len(t))])
