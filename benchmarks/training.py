"""How long an epoch of MACE takes with gradients by the native engine and by torch, side by side, one thread each.

    python benchmarks/training.py [--data zuo2020-Cu:train] [--size small] [--set r_max=4.0 …]

Prints seconds per epoch (training and validation) of the engines and their ratio; torch in float32, its default, and in float64, in which
the native engine trains.
"""

import argparse
import tempfile
from pathlib import Path

from metalff.cli.train import overrides
from metalff.data import read
from metalff.train import training
from metalff.train.configuration import configuration
from metalff.train.description import history

RUNS = {
    "native, float64": ({"engine": "native"}, 6),
    "torch, float32": ({"engine": "torch", "precision": "float32"}, 2),
    "torch, float64": ({"engine": "torch", "precision": "float64"}, 2),
}
"""What is set, and how many epochs are measured; the first also warms up."""


def seconds_per_epoch(folder: Path, dataset, values: dict, size: str, epochs: int) -> float:
    values = {"elements": dataset.elements, "max_epochs": epochs, "budget_s": 1e6} | values
    training.prepare("mace", configuration("mace", values, size), dataset, folder)
    training.train(folder)
    rows = history(folder / "history.csv")
    return (rows[-1]["elapsed_s"] - rows[0]["elapsed_s"]) / (len(rows) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="zuo2020-Cu:train")
    parser.add_argument("--size", default="small")
    parser.add_argument("--set", dest="override", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    dataset = read(args.data)
    found = {}
    for name, (engine, epochs) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            values = overrides(args.override) | engine
            found[name] = seconds_per_epoch(Path(folder) / "training", dataset, values, args.size, epochs)
        ratio = found[name] / found["native, float64"]
        print(f"{name}: {found[name]:.1f} s per epoch of {args.data}, {ratio:.1f} times the native engine's", flush=True)


if __name__ == "__main__":
    main()
