"""Exporting any module of atomic energies."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from matscipy.neighbours import neighbour_list

from metalff.deploy import program
from metalff.deploy.contract import export_model


class TwoLayers(torch.nn.Module):
    """A message-passing model with so many channels."""

    layers = 2

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(0)
        self.mix = torch.nn.Parameter(torch.randn(channels, channels))
        self.readout = torch.nn.Parameter(torch.randn(channels))

    def layer(self, k, edge_vec, edge_index, types, features, n):
        lengths = torch.linalg.norm(edge_vec, dim=1, keepdim=True)
        messages = torch.exp(-lengths * torch.arange(1, len(self.readout) + 1, dtype=edge_vec.dtype) / 4)
        if features is not None:
            messages = messages * features[edge_index[1]]
        sums = edge_vec.new_zeros(n, len(self.readout)).index_add(0, edge_index[0], messages)
        mixed = torch.tanh(torch.einsum("nc,cd->nd", sums, self.mix))
        mixed = mixed * torch.einsum("nc,nc->n", mixed, mixed)[:, None]
        return mixed @ self.readout, mixed


@pytest.mark.parametrize("channels", [16, 32])
def test_widths_that_numbers_of_atoms_may_equal(channels):
    """torch.export takes the number of an example's atoms for a width of the model where the two are equal: 32 atoms, half of them centres."""
    crystal = bulk("Cu", cubic=True).repeat((4, 2, 1))
    crystal.rattle(0.1)
    i, j, vec = neighbour_list("ijD", crystal, 4.0)
    model = TwoLayers(channels).double()
    payload = export_model(model, torch.tensor(vec), torch.tensor(np.stack([i, j]), dtype=torch.long), 1)
    assert program.names(payload) == ["backward0", "forward0", "last"]
