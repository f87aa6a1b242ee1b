"""MACE models of many shapes with random weights, their payloads for the native engine and their numbers.

Runs inside MACE's environment: ``python -P mace_variants.py DEPLOY_DIR OUT_DIR``; deploying code is imported from DEPLOY_DIR.
"""

import json
import sys
from pathlib import Path

sys.path.append(sys.argv[1])
import mace_worker  # noqa: E402  (first: it keeps e3nn from scripting)

import ase.build  # noqa: E402
import mace_weights  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from e3nn import o3  # noqa: E402
from mace import modules  # noqa: E402
from matscipy.neighbours import neighbour_list  # noqa: E402

VARIANTS = {
    "plain": dict(hidden="16x0e", l_max=3),
    "vectors": dict(hidden="12x0e+12x1o", l_max=2, correlation=2),
    "tensors, densities, Agnesi, ZBL": dict(
        hidden="8x0e+8x1o+8x2e", elements=(13, 29, 28), density=True, transform="Agnesi", zbl=True, residual_first=True
    ),
    "three layers, Soft": dict(hidden="8x0e+8x1o", elements=(13, 29), layers=3, transform="Soft", l_max=2),
    "one layer, l = 4": dict(hidden="10x0e", elements=(13, 29), layers=1, l_max=4, density=True, correlation=2),
    "densities, not residual": dict(hidden="8x0e+8x1o", elements=(13, 29, 28), density=True, l_max=2),
    "Gaussians, linear": dict(hidden="8x0e", correlation=1, l_max=1, radial="gaussian"),
    "cutoff apart": dict(hidden="8x0e", correlation=2, l_max=2, density=True, residual_first=True, apart=True),
    "last readout only": dict(hidden="8x0e", correlation=2, l_max=1, last_only=True),
    "two heads": dict(hidden="8x0e", correlation=2, l_max=1, heads=["first", "second"]),
    "one product for all": dict(hidden="8x0e", elements=(13, 29), correlation=2, l_max=1, agnostic=True),
    "narrow messages": dict(hidden="16x0e+16x1o", correlation=2, l_max=1, edge="8x0e+8x1o"),
}


def build(
    hidden, elements=(29,), correlation=3, l_max=3, layers=2, density=False, transform=None, zbl=False, residual_first=False,
    radial="bessel", apart=False, last_only=False, heads=("Default",), agnostic=False, edge=None,
):  # fmt: skip
    torch.manual_seed(1)
    kind = "Density" if density else ""
    residual = getattr(modules, f"RealAgnostic{kind}ResidualInteractionBlock")
    count = len(elements)
    return modules.ScaleShiftMACE(
        r_max=4.5,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=l_max,
        interaction_cls=residual,
        interaction_cls_first=residual if residual_first else getattr(modules, f"RealAgnostic{kind}InteractionBlock"),
        num_interactions=layers,
        num_elements=count,
        hidden_irreps=o3.Irreps(hidden),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.linspace(-1, 1, count * len(heads)).reshape(len(heads), count),
        avg_num_neighbors=30.0,
        atomic_numbers=list(elements),
        correlation=correlation,
        gate=torch.nn.functional.silu,
        pair_repulsion=zbl,
        distance_transform=transform,
        radial_type=radial,
        apply_cutoff=not apart,
        use_last_readout_only=last_only,
        use_agnostic_product=agnostic,
        edge_irreps=o3.Irreps(edge) if edge else None,
        heads=list(heads),
        atomic_inter_scale=[1.3] * len(heads) if len(heads) > 1 else 1.3,
        atomic_inter_shift=[0.2] * len(heads) if len(heads) > 1 else 0.2,
    ).eval()


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    out = Path(sys.argv[2])
    names = {}
    for k, (name, settings) in enumerate(VARIANTS.items()):
        model = build(**settings)
        (out / f"{k}.safetensors").write_bytes(mace_weights.payload(model))
        atoms = ase.build.bulk("Cu", cubic=True).repeat((3, 2, 2))
        atoms.rattle(0.1, seed=2)
        del atoms[5]
        centre, neighbor, vec = neighbour_list("ijD", atoms, 4.5)
        types = np.random.default_rng(0).integers(0, len(model.atomic_numbers), len(atoms))
        layers = mace_worker.Layers(model)
        r = torch.tensor(vec, requires_grad=True)
        edges, features, energy = torch.tensor(np.stack([centre, neighbor]), dtype=torch.long), None, 0.0
        for layer in range(layers.layers):
            part, features = layers.layer(layer, r, edges, torch.tensor(types), features, len(atoms))
            energy = energy + part
        (gradient,) = torch.autograd.grad(energy.sum(), r)
        np.savez(
            out / f"{k}.npz",
            centre=centre,
            neighbor=neighbor,
            edge_vec=vec,
            types=types,
            energy=energy.detach(),
            gradient=gradient,
        )
        names[name] = {"file": k, "elements": len(model.atomic_numbers), "layers": layers.layers}
    (out / "variants.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
