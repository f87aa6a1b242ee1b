"""``metalff train``: one sub-command per model family."""

import hashlib
import inspect
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import Command, add, give, group
from metalff.cli.options import LABELS, TRAINING, duration, keys_of, out_folder, precisions
from metalff.errors import MetalffError
from metalff.yaml_file import parse, read_yaml


def option(kind, text: str, *names: str):
    """An option that the user may leave out."""
    return Annotated[kind | None, typer.Option(*names, help=text)]


DATA = {
    "data": (
        Annotated[
            list[str],
            typer.Option(help="Bundled or imported set, file or folder (docs/data.md), whole or a part: SET[temperature=300]; several are joined."),
        ],
        inspect.Parameter.empty,
    ),
    "out": (out_folder("Of this training."), inspect.Parameter.empty),
    "valid_data": (option(list[str], "Validation data; default: a part of --data."), None),
    "valid_fraction": (Annotated[float, typer.Option(help="Part of --data held out without --valid-data.")], 0.05),
    "folds": (option(int, "Cut the data into so many parts, of which one is the test part."), None),
    "fold": (option(int, "Which part is the test part, from 1."), None),
    "block": (option(int, "Consecutive frames that stay together when some are held out; default: 4."), None),
    "offsets": (
        Annotated[
            str,
            typer.Option(help="Constants between the energies of sources: refuse, fit (and subtract), or ignore."),
        ],
        "refuse",
    ),
    **{name: (kind, None) for name, kind in LABELS.items()},
    "config": (option(Path, "YAML file with any keys of the configuration."), None),
    "size": (Annotated[str, typer.Option(help="small, medium or large: starting point of the architecture.")], "small"),
    "override": (option(list[str], "KEY=VALUE of the configuration, such as num_bessels=6.", "--set"), None),
}
"""Options that are not keys of the configuration, with their defaults; all families have them."""

KEYS = {
    "elements": option(str, "Such as Cu or Cu,Al; default: those in the data."),
    "r_max": option(float, "Cutoff of one layer, Å."),
    "precision": precisions(TRAINING, str | None),
    "budget_s": duration("--budget", "Wall time to spend."),
    "max_epochs": option(int, "End after so many epochs; without --budget nothing else ends it."),
    "seed": option(int, "Of weights, batches and held-out blocks."),
    "batch_size": option(int, "Frames per step."),
    "lr": option(float, "Peak learning rate."),
    "stress_weight": option(float, "Weight of the virial; default: by the data."),
    "e0": option(str, "Free atoms in eV: Cu=-0.2,…, or average, zero, auto."),
    "weight": option(list[str], "WHAT=VALUE:FACTOR of frames in the loss, such as group=liquid:0.5; repeatable."),
    "max_force": option(float, "Leave out frames with a larger force, eV/Å."),
    "max_energy": option(float, "Leave out frames this much above the line of their composition, eV/atom."),
    "huber": option(float, "Error beyond which the loss is linear, eV/Å; 0: nowhere."),
    "threads": option(int, "CPU threads; default: number of cores."),
}
"""Keys of the configuration that are options of all families."""

STEPWISE = ("precision", "budget_s", "max_epochs", "batch_size", "lr", "huber")
"""Those that a fit in one step has no use for."""

ANGULAR = {
    "l_max": option(int, "Angular momentum of edges.", "--l-max"),
    "num_layers": option(int, "Layers.", "--layers"),
}
ARCHITECTURE = {
    "mace": ANGULAR
    | {
        "channels": option(int, "Channels of the node features."),
        "max_L": option(int, "Angular momentum of node features.", "--max-L"),
        "correlation": option(int, "Body order − 1 of one layer."),
    },
    "allegro": ANGULAR,
    "nequip": ANGULAR,
    "sevennet": ANGULAR,
    "nep": {},
    "poly": {"l_max": ANGULAR["l_max"], "radial": option(int, "Radial functions of each neighbouring element.")},
    "deepmd": {},
    "torch": {},
}
"""Keys of the configuration that are options of one family; ``--set`` and ``--config`` take the others."""

TITLES = {
    "mace": "a MACE model",
    "allegro": "an Allegro model",
    "nequip": "a NequIP model",
    "sevennet": "a SevenNet model",
    "nep": "a NEP",
    "poly": "a linear polynomial (ACE), by least squares",
    "deepmd": "a DeePMD model",
    "torch": "a PyTorch module of your own",
}


ESTIMATE = 10.0
"""Seconds after which a training says how long it will take."""

COST = {
    "mace": "the bundled model of copper, 262 frames, took 31 core-minutes (force RMSE of its test frames 0.029 eV/Å), that of seven metals 22 minutes",
    "nep": "the bundled model of copper, 262 frames, took 2 core-minutes (force RMSE of its test frames 0.015 eV/Å), that of seven metals 6 minutes",
    "deepmd": "a model of copper, 262 frames, took 12 core-minutes (force RMSE of its test frames 0.029 eV/Å)",
    "nequip": "a model of copper, 262 frames, took 15 core-minutes (force RMSE of its test frames 0.062 eV/Å)",
    "allegro": "a model of copper, 262 frames, took 15 core-minutes (force RMSE of its test frames 0.081 eV/Å)",
}
"""What trainings of the README took."""


def register(app: typer.Typer) -> None:
    train = group("Train a model, inside the environment of its family where that needs one.")
    for name, title in TITLES.items():
        text = f"Train {title}; the same command again resumes an interrupted training."
        add(train, name, command_of(name), text, kind=type("TrainCommand", (TrainCommand,), {"family": name}))
    app.add_typer(train, name="train")


class TrainCommand(Command):
    """A command whose help has the defaults of the family's configuration, and what a training costs."""

    family = ""

    def format_help(self, ctx, formatter):
        from metalff.train.configuration import FAMILIES

        fields = FAMILIES[self.family].schema.model_fields
        sized = FAMILIES[self.family].sizes["small"]
        for parameter in self.params:
            default = sized.get(parameter.name, fields[parameter.name].default) if parameter.name in fields else None
            if default not in (None, [], "") and "default" not in (parameter.help or ""):
                parameter.help = f"{parameter.help.removesuffix('.')}; default: {in_words(parameter.name, default)}."
        super().format_help(ctx, formatter)

    def format_epilog(self, ctx, formatter):
        cost = f" As a guide: {COST[self.family]}; cost grows with frames × atoms × neighbours × epochs." if self.family in COST else ""
        formatter.write_paragraph()
        if self.family == "poly":
            formatter.write_text(f"Defaults are those of --size small; --set and --config take all keys of docs/training.md.{cost}")
            return
        formatter.write_text(
            "Defaults are those of --size small; --set and --config take all keys of docs/training.md. Without --budget and --max-epochs the training "
            f"takes {in_words('budget_s', 4200)}.{cost} How long it takes here is told once it has begun."
        )


def in_words(key: str, default) -> str:
    """A default for people."""
    if key == "budget_s":
        return f"{default / 60:.0f}min"
    if key == "precision":
        return {"float32": "single", "float64": "double"}.get(default, default)
    return "none" if default == 0 and key.startswith("max_") else f"{default:g}" if isinstance(default, float) else str(default)


def command_of(name: str):
    """The command of a family, with the options of the tables above."""
    keys = {key: kind for key, kind in KEYS.items() if name != "poly" or key not in STEPWISE} | ARCHITECTURE[name]

    def command(**said) -> None:
        given = {key: said.pop(key) for key in keys} | overrides(said.pop("override") or [])
        train_family(name, given, **said)

    module = Annotated[str, typer.Argument(help="FILE.py:NAME, a class or function that makes the module.")]
    described = {"module": (module, inspect.Parameter.empty)} if name == "torch" else {}
    described |= DATA | {key: (annotation, None) for key, annotation in keys.items()}
    command.__signature__ = inspect.Signature(
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in described.items()
        ]
    )
    return command


def train_family(
    name: str,
    given: dict,
    data: list[str],
    out: Path,
    valid_data: list[str] | None,
    valid_fraction: float,
    folds: int | None,
    fold: int | None,
    block: int | None,
    offsets: str,
    config: Path | None,
    size: str,
    module: str | None = None,
    **labels,
) -> None:
    """Prepare and run a training; ``given`` holds what the user said, None where nothing, ``labels`` the keys of the files."""
    from rich.console import Console

    from metalff.train import training as family
    from metalff.train.configuration import FAMILIES, configuration
    from metalff.train.learnt import unlearnt_sentence
    from metalff.train.process import write_log
    from metalff.train.sets import gather, one_fold
    from metalff.train.splits import BLOCK

    given = {key: value for key, value in given.items() if value is not None}
    for key, as_values in (("e0", free_atoms), ("elements", symbols)):
        if isinstance(given.get(key), str):
            given[key] = as_values(given[key])
    if block is not None and block < 1:
        raise MetalffError(f"--block {block}: give a positive number of frames")
    sets = gather(data, valid_data or [], offsets, keys_of(**labels), stresses=given.get("stress_weight") != 0)
    values = {"elements": sets.train.elements, "threads": len(os.sched_getaffinity(0))}
    values |= read_yaml(config) if config else {}
    values |= given
    files = {}
    if module:
        from metalff.deploy.torch_module import module_of

        file, attribute = module_of(module)
        files[file.name] = file.read_bytes()
        values |= {"module": f"{file.name}:{attribute}", "module_sha256": hashlib.sha256(files[file.name]).hexdigest()}
    chosen = configuration(name, values, size)
    family.family_command(FAMILIES[name])  # what it needs is there, before anything is written
    console, said = Console(stderr=True, soft_wrap=True), []

    def note(sentence: str) -> None:
        console.print(f"note: {sentence}", highlight=False, markup=False)
        said.append(f"note: {sentence}")

    written = family.prepare(
        name,
        chosen,
        sets.train,
        out,
        sets.valid,
        valid_fraction,
        fold=one_fold(folds, fold),
        block=block or BLOCK,
        record=sets.record,
        files=files,
        say=note,
    )
    for sentence in (*sets.notes, *notes(chosen, written, not valid_data)):
        note(sentence)
    resume = shlex.join(["metalff", *sys.argv[1:]])
    if not (out / "result.json").exists():
        console.print(begins(out, written), highlight=False, markup=False)
    write_log(out, [resume, *said])
    try:
        described = run(family, out, written)
    except KeyboardInterrupt:
        console.print(
            f"interrupted; the state is saved, this command goes on: {resume}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    lines = [*outcome(described, out), f"next: metalff deploy {name} {shlex.quote(str(out))} -o MODEL.mlff"]
    for line in lines:
        typer.echo(line)
    write_log(out, lines)
    if "unlearnt" in described:
        note(unlearnt_sentence(described["unlearnt"], described["errors"].get("groups", {})))
    give({"out": out} | described)


def outcome(described: dict, out: Path):
    """The errors of the model kept, in sentences."""
    from metalff.validate.groups import lines, parts_of

    errors = described["errors"]["validation"]
    yield (
        f"{described['epochs']} epochs; best epoch {described['best_epoch']}: force RMSE "
        f"{errors['force_rmse']:.4f} eV/Å, energy RMSE {1000 * errors['energy_rmse']:.2f} meV/atom (validation part)"
    )
    yield from lines(described["errors"].get("groups", {}))
    if "test" in described["errors"]:
        test = described["errors"]["test"]
        yield (
            f"test part of the fold ({out / 'test.extxyz'}, {test['frames']} frames): force RMSE {test['force_rmse']:.4f} eV/Å, energy RMSE "
            f"{1000 * test['energy_rmse']:.2f} meV/atom"
        )
        yield from lines(parts_of("test", described["errors"]))


def begins(out: Path, written: dict) -> str:
    """What ends the training, and where its log is."""
    from metalff.train.process import LOG

    if written["family"] == "poly":
        return f"fitting on {written['threads']} core{'s' * (written['threads'] > 1)}; the log is {out / LOG}"
    limits = [f"{written['max_epochs']} epochs"] if written["max_epochs"] else []
    limits += [f"{written['budget_s'] / 60:.3g} min"] if written["budget_s"] else []
    threads = written["threads"]
    return f"training for {' or '.join(limits)} on {threads} core{'s' * (threads > 1)}; the log is {out / LOG}"


def run(family, out: Path, written: dict) -> dict:
    """Train with progress: the errors of the last epoch, the part that is done, time left; after some seconds, what it will take."""
    from metalff.progress import Bar, Pace

    pace, start = Pace(), time.monotonic()
    estimated = not written["max_epochs"]  # else the budget says it

    with Bar() as bar:
        bar.update("reading the data, making the model", 0, None, None)

        def show(message) -> None:
            nonlocal estimated
            if isinstance(message, str):
                bar.line(message)
                return
            left = pace.left(message.fraction)
            if not estimated and left is not None and time.monotonic() > start + ESTIMATE:
                estimated = True
                bar.line(f"about {max(1, round(left / 60))} min from here on {written['threads']} core{'s' * (written['threads'] > 1)}")
            bar.update(str(message), message.fraction, 1.0, left, due=not message.step)

        return family.train(out, show)


def notes(chosen, written: dict, held_out: bool):
    """What was decided for the user, in sentences."""
    if held_out:
        yield (
            "validation frames are held out in blocks of consecutive frames: frames drawn one by one would have "
            "neighbours of the same trajectory in the training part, and the validation error would look too small"
        )
    if chosen.e0 == "auto" and written["e0"] == "average":
        yield (
            "the energies are not relative to free atoms; E0 is the average energy per atom. Give energies of free "
            "atoms (--e0 Cu=…) for better surfaces and vacancies"
        )
    if getattr(chosen, "zbl", None) == "auto" and written["zbl"]:
        yield (
            f"atoms closer than {written['zbl']:g} Å repel each other by the nuclear repulsion (ZBL), so that no hole opens below the shortest distance "
            "of the data (--set zbl=0: none)"
        )
    if chosen.stress_weight == "auto" and written["stress_weight"]:
        yield f"the data have stresses; they are learnt with weight {written['stress_weight']:g}"


def symbols(text: str) -> list[str]:
    """``Cu,Al`` or ``Cu Al`` as a list."""
    return text.replace(",", " ").split()


def overrides(words: list[str]) -> dict:
    """``KEY=VALUE`` as keys and values, as in a YAML file."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise MetalffError(f"--set {word}: give KEY=VALUE, such as num_bessels=6")
        try:
            found[key.strip()] = parse(value)
        except ValueError:
            raise MetalffError(f"--set {word}: the value cannot be read; write it as in a YAML file") from None
    return found


def free_atoms(text: str) -> str | dict[str, float]:
    """``average``, ``zero`` and ``auto`` as they are; ``Cu=-0.2,Al=-0.1`` as energies in eV."""
    if "=" not in text:
        return text
    try:
        return {symbol.strip(): float(value) for symbol, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise MetalffError(f"--e0 {text}: give energies of free atoms in eV such as Cu=-0.2,Al=-0.1") from None
