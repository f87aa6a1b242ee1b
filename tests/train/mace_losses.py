"""Loss and gradients of new MACEs by both engines; runs inside MACE's environment: ``python -P mace_losses.py TRAIN_DIR DEPLOY_DIR FOLDER…``.

A folder is one that a training was prepared in. Prints a JSON object for each: losses by engine, the largest difference of a gradient over the largest gradient, of energies and forces, and which
parameters have a gradient by one engine alone.
"""

import json
import sys
from pathlib import Path

sys.path += sys.argv[1:3]
import loop  # noqa: E402
import mace_worker  # noqa: E402
import torch  # noqa: E402


def compare(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {key: str(folder / config[key]) for key in ("train_file", "valid_file")}
    family = mace_worker.Mace()
    run = loop.Run(family, config, folder)
    assert family.native and run.dtype == torch.float64
    found, losses = [], []
    for loss in (family.loss, lambda *arguments: loop.loss_of(family, *arguments)):
        run.model.zero_grad(set_to_none=True)
        value = loss(run.model, run.train, run.e0, 30.0, 10.0, config["huber"])
        value.backward()
        losses.append(float(value.detach()))
        found.append({name: p.grad for name, p in run.model.named_parameters() if p.grad is not None})
    native, torchs = found
    largest = max(float(g.abs().max()) for g in torchs.values())
    energy, forces, _ = family.predict(run.model, run.valid, run.e0)
    energy2, forces2, _ = loop.predict(family, run.model, run.valid, training=False)
    return {
        "losses": losses,
        "gradient": max(float((native[n] - torchs[n]).abs().max()) for n in native if n in torchs) / largest,
        "alone": sorted(set(native) ^ set(torchs)),
        "energy": float((energy - energy2.detach()).abs().max()),
        "forces": float((forces - forces2).abs().max() / forces2.abs().max()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[3:]:
        print(json.dumps(compare(Path(name))))
