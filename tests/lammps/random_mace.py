"""A small MACE of nickel and copper with random weights; runs inside MACE's environment: ``python -P random_mace.py LAYERS FILE``.

One layer is strictly local; two pass scalars and vectors. With a pair repulsion; scaled so that the forces in a rattled crystal are about 1 eV/Å.
"""

import sys

import ase.build
import numpy as np
import torch
from mace import modules
from mace.calculators import MACECalculator
from mace.modules import blocks
from e3nn import o3


def build(layers, scale):
    torch.manual_seed(5)
    return modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=2 if layers == 1 else 1,
        interaction_cls=blocks.RealAgnosticResidualInteractionBlock,
        interaction_cls_first=blocks.RealAgnosticResidualInteractionBlock,
        num_interactions=layers,
        num_elements=2,
        hidden_irreps=o3.Irreps("8x0e" if layers == 1 else "8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("1x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([-1.3, -0.7]),
        avg_num_neighbors=18.0,
        atomic_numbers=[28, 29],
        correlation=2,
        radial_MLP=[16, 16],
        pair_repulsion=True,
        atomic_inter_scale=scale,
        atomic_inter_shift=0.2,
    ).double()


def main():
    layers = int(sys.argv[1])
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    atoms = ase.build.bulk("Cu", "fcc", a=3.6, cubic=True).repeat(2)
    atoms.symbols[::3] = "Ni"
    atoms.rattle(0.08, seed=1)
    atoms.calc = MACECalculator(models=[build(layers, 1.0)], device="cpu", default_dtype="float64")
    torch.save(build(layers, 1.0 / float(np.sqrt((atoms.get_forces() ** 2).mean()))), sys.argv[2])


if __name__ == "__main__":
    main()
