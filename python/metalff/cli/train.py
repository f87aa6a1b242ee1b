"""``metalff train``: one sub-command per model family."""

import inspect
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from metalff.errors import MetalffError

Data = Annotated[str, typer.Option(help="Bundled set such as zuo2020-Cu:train, or an extxyz or mlearn file.")]
Out = Annotated[Path, typer.Option(help="Directory of this training.")]
Elements = Annotated[str | None, typer.Option(help="Such as Cu or Cu,Al; default: those in the data.")]
ValidData = Annotated[str | None, typer.Option(help="Validation data; default: a part of --data.")]
ValidFraction = Annotated[float, typer.Option(help="Part of --data held out without --valid-data.")]
ConfigFile = Annotated[Path | None, typer.Option(help="YAML file with any keys of the configuration.")]
Size = Annotated[str, typer.Option(help="small, medium or large: starting point of the architecture.")]
Precision = Annotated[str | None, typer.Option(help="float32 or float64.")]
Budget = Annotated[str | None, typer.Option(help="Time to spend, such as 70min or 2h.")]
MaxEpochs = Annotated[int | None, typer.Option(help="End earlier, after so many epochs.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, batches and held-out blocks.")]
BatchSize = Annotated[int | None, typer.Option(help="Frames per step.")]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
StressWeight = Annotated[float | None, typer.Option(help="Weight of the virial; default: by the data.")]
FreeAtoms = Annotated[str | None, typer.Option(help="Free atoms in eV: Cu=-0.2,…, or average, zero, auto.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE of the configuration, such as num_bessels=6.")
]

TITLES = {"allegro": "an Allegro", "nequip": "a NequIP", "nep": "a NEP"}
"""Families whose architecture is given by ``--set`` and ``--config``."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Train a model inside the environment of its family.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("mace", help="Train a MACE model; the same command again resumes an interrupted training.")(mace)
    for name, title in TITLES.items():
        text = f"Train {title} model; the same command again resumes an interrupted training."
        command = command_of(name)
        if name == "nep":  # its angular momenta are three numbers, and it has one layer
            shown = inspect.signature(command)
            left = [p for key, p in shown.parameters.items() if key not in ("l_max", "layers")]
            command.__signature__ = shown.replace(parameters=left)
        group.command(name, help=text)(command)
    app.add_typer(group, name="train")


def mace(
    data: Data,
    out: Out,
    elements: Elements = None,
    valid_data: ValidData = None,
    valid_fraction: ValidFraction = 0.05,
    config: ConfigFile = None,
    size: Size = "small",
    r_max: Annotated[float | None, typer.Option(help="Cutoff of one layer, Å.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the node features.")] = None,
    max_l_features: Annotated[int | None, typer.Option("--max-L", help="Angular momentum of node features.")] = None,
    l_max: Annotated[int | None, typer.Option("--l-max", help="Angular momentum of edges.")] = None,
    correlation: Annotated[int | None, typer.Option(help="Body order − 1 of one layer.")] = None,
    layers: Annotated[int | None, typer.Option(help="Message-passing layers.")] = None,
    override: Override = None,
    precision: Precision = None,
    budget: Budget = None,
    max_epochs: MaxEpochs = None,
    seed: Seed = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    stress_weight: StressWeight = None,
    e0: FreeAtoms = None,
    threads: Threads = None,
) -> None:
    given = {
        "r_max": r_max,
        "channels": channels,
        "max_L": max_l_features,
        "l_max": l_max,
        "correlation": correlation,
        "num_layers": layers,
        "precision": precision,
        "budget_s": budget,
        "max_epochs": max_epochs,
        "seed": seed,
        "batch_size": batch_size,
        "lr": lr,
        "stress_weight": stress_weight,
        "e0": e0,
        "threads": threads,
        "elements": elements,
    }
    given |= overrides(override or [])
    train_family("mace", given, data, out, valid_data, valid_fraction, config, size)


def command_of(name: str):
    """The command of a family whose architecture is given by ``--set``."""

    def command(
        data: Data,
        out: Out,
        elements: Elements = None,
        valid_data: ValidData = None,
        valid_fraction: ValidFraction = 0.05,
        config: ConfigFile = None,
        size: Size = "small",
        r_max: Annotated[float | None, typer.Option(help="Cutoff of one layer, Å.")] = None,
        l_max: Annotated[int | None, typer.Option("--l-max", help="Angular momentum of edges.")] = None,
        layers: Annotated[int | None, typer.Option(help="Layers.")] = None,
        override: Override = None,
        precision: Precision = None,
        budget: Budget = None,
        max_epochs: MaxEpochs = None,
        seed: Seed = None,
        batch_size: BatchSize = None,
        lr: Rate = None,
        stress_weight: StressWeight = None,
        e0: FreeAtoms = None,
        threads: Threads = None,
    ) -> None:
        given = {
            "r_max": r_max,
            "l_max": l_max,
            "num_layers": layers,
            "precision": precision,
            "budget_s": budget,
            "max_epochs": max_epochs,
            "seed": seed,
            "batch_size": batch_size,
            "lr": lr,
            "stress_weight": stress_weight,
            "e0": e0,
            "threads": threads,
            "elements": elements,
        }
        given |= overrides(override or [])
        train_family(name, given, data, out, valid_data, valid_fraction, config, size)

    return command


def train_family(name: str, given: dict, data, out: Path, valid_data, valid_fraction, config, size) -> None:
    """Prepare and run a training; ``given`` holds what the user said, None where nothing."""
    from rich.console import Console

    from metalff import environments
    from metalff.data import read
    from metalff.train import training as family
    from metalff.train.configuration import FAMILIES, configuration, seconds

    given = {key: value for key, value in given.items() if value is not None}
    for key, parse in (("budget_s", seconds), ("e0", free_atoms), ("elements", symbols)):
        if key in given:
            given[key] = parse(given[key])
    dataset = read(data)
    values = {"elements": dataset.elements, "threads": len(os.sched_getaffinity(0))}
    values |= from_file(config) if config else {}
    values |= given
    chosen = configuration(name, values, size)
    if FAMILIES[name].framework:
        environments.environment_python(name)  # before anything is written
    console = Console(stderr=True)
    written = family.prepare(name, chosen, dataset, out, read(valid_data) if valid_data else None, valid_fraction)
    for note in notes(chosen, written, valid_data is None):
        console.print(f"note: {note}", highlight=False)
    try:
        described = run(family, out, console)
    except KeyboardInterrupt:
        resume = shlex.join(["metalff", *sys.argv[1:]])
        console.print(
            f"interrupted; the state is saved, this command goes on: {resume}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    errors = described["errors"]["validation"]
    typer.echo(
        f"{described['epochs']} epochs; best epoch {described['best_epoch']}: force RMSE "
        f"{errors['force_rmse']:.4f} eV/Å, energy RMSE {1000 * errors['energy_rmse']:.2f} meV/atom (validation part)"
    )
    typer.echo(f"next: metalff deploy {name} {shlex.quote(str(out))} -o MODEL.mlff")


def run(family, out: Path, console) -> dict:
    """Train with a progress bar: part of the budget, time left, errors of the last epoch."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)

        def show(message) -> None:
            if isinstance(message, str):
                bar.console.print(message, highlight=False)
                return
            if bar.tasks[task].total is None:  # a resumed training does not begin at zero
                bar.reset(task, total=1.0, completed=message.fraction)
            text = f"epoch {message.epoch}: {message.force_rmse:.4f} eV/Å, {1000 * message.energy_rmse:.2f} meV/atom"
            bar.update(task, completed=message.fraction, description=text)

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
    if chosen.stress_weight == "auto" and written["stress_weight"]:
        yield f"the data have stresses; they are learnt with weight {written['stress_weight']:g}"


def symbols(text: str) -> list[str]:
    """``Cu,Al`` or ``Cu Al`` as a list."""
    return text.replace(",", " ").split()


def overrides(words: list[str]) -> dict:
    """``KEY=VALUE`` as keys and values, as in a YAML file."""
    import yaml

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise MetalffError(f"--set {word}: give KEY=VALUE, such as num_bessels=6")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
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


def from_file(path: Path) -> dict:
    """Keys and values of a YAML file."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise MetalffError(f"{path} is not a readable YAML file") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise MetalffError(f"{path} must hold keys and values such as channels: 16")
    return content
