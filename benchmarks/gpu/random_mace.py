"""The native payload of a random MACE of benchmarks/random_models.py; runs in mace's environment: ``python -P random_mace.py NAME FILE``."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "python" / "metalff" / "deploy"), str(ROOT / "benchmarks")]
import mace_worker  # noqa: E402, F401  (first: it keeps e3nn from scripting)

import mace_weights  # noqa: E402
import torch  # noqa: E402
from random_models import build  # noqa: E402

if __name__ == "__main__":
    name, file = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        build(name, f"{folder}/model")
        model = torch.load(f"{folder}/model", weights_only=False)
    Path(file).write_bytes(mace_weights.payload(model))
