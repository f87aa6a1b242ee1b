"""MACE models of several widths with random weights, to time: ``python benchmarks/mace_models.py FOLDER``.

Two layers, l_max 3, cutoff 5 Å, copper; 16, 64 and 128 channels of scalars, and 64 of scalars and vectors. Speed depends on the shape
alone, so no training is needed. What is there already is kept. Needs ``metalff env create mace``.
"""

import subprocess
import sys
from pathlib import Path

SHAPES = {
    "mace16": {"hidden": "16x0e", "correlation": 2},
    "mace64": {"hidden": "64x0e", "correlation": 3},
    "mace64vector": {"hidden": "64x0e+64x1o", "correlation": 3},
    "mace128": {"hidden": "128x0e", "correlation": 3},
}


def build(name: str, file: str) -> None:
    """Runs in mace's environment."""
    import numpy as np
    import torch
    from mace import modules
    from e3nn import o3

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    model = modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.RealAgnosticResidualInteractionBlock,
        interaction_cls_first=modules.RealAgnosticInteractionBlock,
        num_interactions=2,
        num_elements=1,
        hidden_irreps=o3.Irreps(SHAPES[name]["hidden"]),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(1),
        avg_num_neighbors=40.0,
        atomic_numbers=[29],
        correlation=SHAPES[name]["correlation"],
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        heads=["Default"],
    )
    torch.save(model.eval(), file)


def main(folder: Path) -> None:
    from metalff.deploy.mace import deploy
    from metalff.environments import environment_python

    folder.mkdir(parents=True, exist_ok=True)
    for name in SHAPES:
        model, artefact = folder / f"{name}.model", folder / f"{name}.mlff"
        if not artefact.is_file():
            subprocess.run([environment_python("mace"), "-P", __file__, "--build", name, model], check=True)
            deploy(model, artefact)
            model.unlink()
        print(artefact)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        build(*sys.argv[2:])
    elif len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        sys.exit(__doc__)
