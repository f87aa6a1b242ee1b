"""Models with random parameters, to time: ``python benchmarks/random_models.py FOLDER``.

Speed depends on the shape alone. MACE for copper: two layers, l_max 3, correlation 3, cutoff 5 Å, with 16, 64 and 128 channels of scalars, and
64 of scalars and vectors. NEP4 for copper: cutoffs 8 and 4 Å (GPUMD's defaults), l_max 4 with q_222, 30 neurons. What is there already is
kept. Needs ``metalff env create mace`` and ``metalff env create nep``.
"""

import subprocess
import sys
from pathlib import Path

HIDDEN = {
    "mace16": "16x0e",
    "mace64": "64x0e",
    "mace64vector": "64x0e+64x1o",
    "mace128": "128x0e",
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
        hidden_irreps=o3.Irreps(HIDDEN[name]),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(1),
        avg_num_neighbors=40.0,
        atomic_numbers=[29],
        correlation=3,
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
    for name in HIDDEN:
        model, artefact = folder / f"{name}.model", folder / f"{name}.mlff"
        if not artefact.is_file():
            subprocess.run([environment_python("mace"), "-P", __file__, "--build", name, model], check=True)
            deploy(model, artefact)
            model.unlink()
        print(artefact)
    from metalff.deploy.nep import deploy as deploy_nep

    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    from nep_variants import write_nep

    if not (folder / "nep.mlff").is_file():
        text = write_nep(folder / "nep.txt", cutoffs=(8, 4), n_max=(4, 4), basis=(8, 8), l_max="4 2 0", neurons=30)
        deploy_nep(text, folder / "nep.mlff")
        text.unlink()
    print(folder / "nep.mlff")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        build(*sys.argv[2:])
    elif len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        sys.exit(__doc__)
