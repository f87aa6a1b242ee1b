"""The training error of a family against the minutes spent, with several settings, one after the other on one thread.

    python benchmarks/convergence.py nep --data zuo2020-Ni:train --minutes 3 --out studies/training/nep-Ni
    python benchmarks/convergence.py nep --data … --setting adam 'optimizer=adam lr=0.003' --setting kalman '' --out …
    python benchmarks/convergence.py nep --data … --frames ::11 --setting 'ten frames' '' --out …

Leaves OUT.csv (setting, minutes, force RMSE in eV/Å and energy RMSE in meV/atom on the frames that are trained on) and OUT.png. Errors are those of the
averaged weights, found between epochs; finding them does not count. Without --setting, those in ``SETTINGS``.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = {
    "nep": {
        "before": "optimizer=adam batch_size=4 lr=0.01 r_max=5.5 r_max_angular=5.0 n_max=[6,6] basis_size=[10,10] neuron=40",
        "Adam, a frame a step": "optimizer=adam lr=0.003",
        "after": "",
    },
    "mace": {"before": "r_max=4.5", "a frame a step": "r_max=4.5 batch_size=1"},
}
COLUMNS = "setting", "minutes", "force_rmse", "energy_rmse_meV"


def child(folder: Path, code: str, every: float) -> None:
    """In the family's environment: train what was prepared in a folder, and print seconds spent and errors on the training part."""
    sys.path[:0] = [str(Path(code).parent), str(Path(code).parent.parent / "deploy")]
    import importlib

    import loop
    import torch

    config = json.loads((folder / "config.json").read_text())
    config |= {key: str(folder / config[key]) for key in ("train_file", "valid_file")}
    torch.set_num_threads(config["threads"])
    module = importlib.import_module(Path(code).stem)
    family = next(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, loop.Family) and v.__module__ == module.__name__)()
    run, due = loop.Run(family, config, folder), 0.0

    class Never:
        is_set = False

    while not run.over():
        run.train_epoch(Never, lambda: None)
        run.settle(*loop.errors(loop.frame_errors(family, run.ema, run.valid, run.e0, 8)))
        if run.elapsed >= due or run.over():
            due = run.elapsed + every
            print(json.dumps([run.elapsed, *loop.errors(loop.frame_errors(family, run.ema, run.train, run.e0, 8))]), flush=True)


def measure(family: str, data: str, frames: str, seconds: float, words: str):
    from metalff.cli.train import overrides
    from metalff.data import Dataset, read
    from metalff.train import training
    from metalff.train.configuration import FAMILIES, configuration

    dataset, known = read(data), FAMILIES[family]
    if frames:
        dataset = Dataset(dataset.name, dataset.frames[slice(*(int(n) if n else None for n in frames.split(":")))])
    values = {"elements": dataset.elements, "budget_s": seconds, "stress_weight": 0.0} | overrides(words.split())
    with tempfile.TemporaryDirectory() as folder:
        training.prepare(family, configuration(family, values), dataset, Path(folder) / "run")
        worker, *_ = [w for w in training.family_command(known) if w.endswith(".py")]
        python = training.family_command(known)[0]
        command = [python, "-P", str(Path(__file__).resolve()), "--child", str(Path(folder) / "run"), worker, str(seconds / 20)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def draw(rows, out: Path, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row[0] for row in rows):
        some = [row for row in rows if row[0] == name]
        axes.loglog([row[1] for row in some], [row[2] for row in some], marker=".", label=name)
    axes.set_xlabel("time spent / min")
    axes.set_ylabel("force RMSE, training frames / (eV/Å)")
    axes.set_title(title)
    axes.legend()
    figure.savefig(out, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=SETTINGS)
    parser.add_argument("--data", default="zuo2020-Ni:train")
    parser.add_argument("--frames", default="", help="a range of these frames, such as ::25")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--setting", nargs=2, action="append", metavar=("NAME", "'KEY=VALUE …'"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for name, words in dict(args.setting or SETTINGS[args.family]).items():
        for seconds, force, energy in measure(args.family, args.data, args.frames, 60 * args.minutes, words):
            rows.append((name, f"{seconds / 60:.3f}", f"{force:.5f}", f"{1e3 * energy:.3f}"))
        print(*rows[-1], flush=True)
        with args.out.with_suffix(".csv").open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    draw([(name, *map(float, numbers)) for name, *numbers in rows], args.out.with_suffix(".png"), f"{args.family}, {args.data}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
    else:
        main()
