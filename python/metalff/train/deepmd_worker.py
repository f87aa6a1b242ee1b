"""Train a DeePMD model; runs inside deepmd-kit's private environment: see ``loop.py``."""

import math
import sys
from pathlib import Path

import torch

here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parent / "deploy")]
import deepmd_layers
import loop
from deepmd.utils.env_mat_stat import StatItem


class Rows(deepmd_layers.DeepmdLayers):
    """The same sums as matrix products over rows as long as the longest: 1.7 times as fast where nothing is compiled."""

    def contracted(self, matrix, embedded, centre, n):
        counts = torch.bincount(centre, minlength=n)
        length = int(counts.max())
        place = centre * length + torch.arange(len(centre)) - (counts.cumsum(0) - counts)[centre]  # edges are sorted by centre
        rows = [m.new_zeros(n * length, m.shape[1]).index_copy(0, place, m) for m in (matrix, embedded)]
        left, right = (m.view(n, length, -1) for m in rows)
        return left.transpose(1, 2) @ right


class DeePMD(loop.Family):
    """Kept as ``weights.safetensors`` with deepmd's own description of the model in it."""

    recorded = ("deepmd-kit",)

    def build(self, cfg, e0, neighbours, scale):
        self.config = arguments(cfg)
        precision = str(torch.get_default_dtype()).removeprefix("torch.")
        model = deepmd_layers.build(self.config, precision)
        model.atomic_model.fitting_net.bias_atom_e[:, 0] = torch.tensor(e0)
        return Rows(model)

    def prepare(self, model, run):
        cfg, atomic = run.cfg, model.model.atomic_model
        mean, stddev = statistics(run.train, cfg["r_max"], cfg["rcut_smth"], cfg["sel"])
        atomic.descriptor.sea.mean[:] = mean[:, None]
        atomic.descriptor.sea.stddev[:] = stddev[:, None]
        average = torch.tensor(loop.zero_of_energy("average", run.train, len(cfg["elements"])))
        edge_vec, edge_index, types, _ = loop.collate(run.train[:: math.ceil(len(run.train) / 32)])
        networks = atomic.fitting_net.filter_layers.networks
        with torch.no_grad():
            descriptor = model.descriptor(edge_vec, edge_index, types, len(types))
            for t, network in enumerate(networks):
                first, last = network.layers[0], network.layers[-1]
                spread = (descriptor[types == t] @ first.matrix).std(0).mean()
                if spread > 0:  # deepmd's weights make it some thousandths, and thousands of steps go by until it is 1
                    first.matrix /= spread
                last.bias.fill_(average[t] - run.e0[t])  # training begins at the average energy, whatever is taken off

    def energies(self, model, edge_vec, edge_index, types, batch, frames):
        return model.interaction(edge_vec, edge_index, types, len(types))

    def save(self, model, cfg, out):
        data = deepmd_layers.save(model.model, self.config)
        loop.save_atomically(lambda path: path.write_bytes(data), out / "weights.safetensors")


def statistics(frames, r_max, rcut_smth, sel):
    """Mean and standard deviation [types,4] of the environment matrices of each element's atoms, empty slots being zeros.

    As ``compute_input_stats`` of deepmd: the radial column has a mean, the three others share a deviation.
    """
    elements = len(sel)
    radial = [StatItem() for _ in sel]
    angular = [StatItem() for _ in sel]
    for frame in frames:
        i, j = frame.edge_index
        edge_vec = (frame.positions[j] - frame.positions[i] + frame.shift).double()
        matrix = deepmd_layers.environment_matrix(edge_vec, r_max, rcut_smth)
        of = frame.types[i]
        for t, count in enumerate(torch.bincount(frame.types, minlength=elements).tolist()):
            here = matrix[of == t]
            for stat, part in ((radial, here[:, :1]), (angular, here[:, 1:])):
                number = count * sum(sel) * part.shape[1]
                stat[t] = stat[t] + StatItem(number, float(part.sum()), float((part**2).sum()))
    mean = torch.zeros(elements, 4, dtype=torch.float64)
    stddev = torch.zeros(elements, 4, dtype=torch.float64)
    for t in range(elements):
        mean[t, 0], stddev[t, 0] = radial[t].compute_avg(), radial[t].compute_std()
        stddev[t, 1:] = angular[t].compute_std()
    return mean, stddev


def arguments(cfg):
    """deepmd's own description of the model of a configuration of MetalFF."""
    common = {"activation_function": cfg["activation_function"], "seed": cfg["seed"]}
    return {
        "type_map": cfg["elements"],
        "descriptor": {
            "type": "se_e2_a",
            "rcut": cfg["r_max"],
            "rcut_smth": cfg["rcut_smth"],
            "sel": cfg["sel"],
            "neuron": cfg["neuron"],
            "axis_neuron": cfg["axis_neuron"],
            "type_one_side": cfg["type_one_side"],
        }
        | common,
        "fitting_net": {"type": "ener", "neuron": cfg["fitting_neuron"], "resnet_dt": cfg["resnet_dt"]} | common,
    }


if __name__ == "__main__":
    loop.main(DeePMD())
