"""``metalff study``: many trainings, one question."""

import os
import re
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give, group
from metalff.cli.options import duration, out_folder
from metalff.cli.options import jobs as jobs_option
from metalff.cli.study_errors import errors
from metalff.errors import MetalffError, nearest, need_extra

Jobs = jobs_option("Trainings, of one thread each,")
Budget = duration("--budget", "No training starts later than this wall time; the same command goes on.")
Override = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the configuration of all families, or FAMILY.KEY=VALUE.")]


def register(app: typer.Typer) -> None:
    study = group("Many trainings, one question; results are kept as they come.")
    add(study, "learning-curve", learning_curve, "Error against training frames, or against training time.", {"--time": "--times"})
    text = "EAM and MEAM in the part of DFT: are the angular forces what is hard to learn?"
    add(study, "learnability", learnability, text, {"--metals": "--elements", "--epochs": "--max-epochs"})
    add(study, "smearing", smearing, "The same structures at several electronic temperatures: does smearing make forces easier to learn?")
    add(study, "fermi", fermi, "Indicators of the Fermi surface against force errors, over metals.")
    text = "Tight binding in the part of DFT: does the error follow the filling of the band and its smearing?"
    add(study, "filling", filling, text)
    add(
        study,
        "errors",
        errors,
        "Errors of every metal: one model per metal beside one for all, on periodic tables, by temperature, against indicators.",
    )
    app.add_typer(study, name="study")


def learning_curve(
    data: Annotated[list[str], typer.Option(help="Training data, as in `metalff train`; several are joined.")],
    test: Annotated[list[str], typer.Option(help="Test data; several are joined.")],
    family: Annotated[list[str], typer.Option(help="Such as nep or mace; give it several times.")],
    frames: Annotated[str, typer.Option(help="Numbers of training frames, such as 25,50,100,all.")] = "",
    times: Annotated[str, typer.Option("--times", help="Durations of a training, such as 30s,2min,8min, with all frames.")] = "",
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training of --frames.")] = 4000,
    size: Annotated[str, typer.Option(help="small, medium or large: starting point of the architectures.")] = "small",
    seeds: Annotated[str, typer.Option(help="Each training once per seed.")] = "1",
    override: Override = None,
    out: out_folder("Folder for results.json, learning-curve.csv and .png, groups.csv.") = Path("learning-curve"),
    jobs: Jobs = None,
    budget: Budget = None,
) -> None:
    """Train with ever more frames, or ever longer, and test on the same frames."""
    from metalff.paths import atomic_write
    from metalff.study import figure, record, trial
    from metalff.study import learning_curve as study
    from metalff.train.configuration import seconds

    if not (frames or times):
        raise MetalffError("give --frames, such as 25,50,100,all, or --times, such as 1min,4min, or both")
    families, seeds = settings_of(family, size, override or []), numbers(seeds, "--seeds")
    trials = []
    trial.check_test(trial.gathered(tuple(data)), trial.gathered(tuple(test)))
    if frames:
        everything = len(trial.gathered(tuple(data)))
        counts = sorted({everything if word == "all" else int(word) for word in words(frames, r"all|\d+", "--frames", "25,50,all")})
        trials += study.by_frames(families, data, test, counts, seeds, steps)
    if times:
        trials += study.by_time(families, data, test, [seconds(word) for word in re.split(r"[,\s]+", times)], seeds)
    kept = begun(out, "learning-curve")
    missing = {t.family for t in trials if t.key not in kept.trials}
    _, complete = carry_out(kept, missing, lambda *_: (trials, True), jobs, budget)
    rows = kept.rows(trials)
    if rows:
        record.write_csv(out / "learning-curve.csv", record.flat(rows))
        files = ["results.json", "learning-curve.csv", "learning-curve.png"]
        if groups := record.group_lines(rows):
            record.write_csv(out / "groups.csv", groups)
            files.append("groups.csv")
        with atomic_write(out / "learning-curve.png", "wb") as stream:
            title = f"{' + '.join(data)}, tested on {' + '.join(test)}"
            figure.learning_curves(rows, title if len(title) < 100 else "").savefig(stream, format="png")
        typer.echo(f"results: {', '.join(str(out / name) for name in files)}")
    give({"rows": rows, "results": out / "results.json", "complete": complete})
    finish(complete)


def learnability(
    elements: Annotated[str, typer.Option(help="Metals such as Al,Cu,Ti; default: all with an EAM and a MEAM that pass their checks.")] = "",
    out: out_folder("Folder for results.json, tables and figures; data lie in data/ inside.") = Path("studies/learnability"),
    frames: Annotated[int, typer.Option(min=10, help="Of each of the eight trajectories of a metal.")] = 40,
    max_epochs: Annotated[int, typer.Option(min=1, help="Of each training with all frames.")] = 96,
    jobs: Jobs = None,
    budget: Budget = None,
) -> None:
    """Make configurations, label them with both potentials, train on each, and compare the errors."""
    from metalff.paths import atomic_write
    from metalff.study import learnability as study
    from metalff.study import outcome, outcome_figures, record

    possible = study.possible()
    chosen = tuple(re.split(r"[,\s]+", elements.strip())) if elements.strip() else tuple(possible)
    for symbol in chosen:
        if symbol not in possible:
            raise MetalffError(
                f"{symbol} has no EAM and MEAM that both pass their checks{nearest(symbol, possible)}; choose among {' '.join(possible)}"
            )
    plan, data = study.Plan(chosen, frames, max_epochs), {}

    def trials(bar, go_on):
        made, complete = study.make_all(out, plan, jobs or cores(), bar, go_on)
        data.update(made)
        return study.trials(out, plan, data), complete

    kept = begun(out, "learnability")
    asked, complete = carry_out(kept, set(study.FAMILIES), trials, jobs, budget)
    rows = kept.rows(asked)
    if absent := study.recorded(kept.trials.values(), [symbol for symbol in chosen if symbol not in data]):
        rows = sorted(rows + kept.named(study.trials(out, plan, absent)), key=lambda row: chosen.index(row["labels"]["metal"]))
    if rows:
        record.write_csv(out / "metals.csv", outcome.metal_lines(rows, data | absent))
        record.write_csv(out / "temperatures.csv", outcome.temperature_lines(rows))
        record.write_csv(out / "labels.csv", outcome.label_lines(rows))
        record.write_csv(out / "trainings.csv", record.flat(rows))
        if groups := record.group_lines(rows):
            record.write_csv(out / "groups.csv", groups)
        for name, figure in outcome_figures.figures(rows).items():
            with atomic_write(out / f"{name}.png", "wb") as stream:
                figure.savefig(stream, format="png")
        with atomic_write(out / "outcome.md") as stream:
            stream.write(outcome.markdown(rows))
        for sentence in outcome.statements(rows):
            typer.echo(sentence)
        typer.echo(f"results: {out / 'results.json'}; outcome.md, tables and figures beside it")
    give({"rows": rows, "statements": outcome.statements(rows) if rows else [], "results": out / "results.json", "complete": complete})
    finish(complete)


Family = Annotated[list[str] | None, typer.Option(help="poly or nep; give it several times. Default: both.")]
Seeds = Annotated[str, typer.Option(help="Each training once per seed; a polynomial has no chance in it and is fitted once.")]


def smearing(
    labels: Annotated[Path, typer.Argument(help="Folder of a queue whose plan lists several widths (docs/dft.md).")] = Path("studies/labels"),
    family: Family = None,
    elements: Annotated[str, typer.Option(help="Metals such as Na,Ti; default: all of the plan.")] = "",
    seeds: Seeds = "1,2,3",
    out: out_folder("Folder for results.json, smearing.csv, outcome.md and smearing.png; data lie in data/ inside.") = Path("studies/fermi/smearing"),
    jobs: Jobs = None,
    budget: Budget = None,
) -> None:
    """Train on the labels of each width, hold out whole runs of molecular dynamics in turn, and compare the errors structure by structure."""
    from metalff.paths import atomic_write
    from metalff.study import record
    from metalff.study import smearing as study

    families, numbers_ = small_models(family), numbers(seeds, "--seeds")
    found = study.chosen(study.labelled(labels), [word for word in re.split(r"[,\s]+", elements) if word])
    typer.echo(study.state(found))
    if not any(metal.judged for metal in found):
        raise MetalffError(f"no metal has {study.FEWEST} structures with labels at every width yet; go on with: metalff dft run {labels}")
    kept = begun(out, "smearing")
    asked, complete = carry_out(
        kept, set(families), lambda *_: (with_seeds(families, numbers_, lambda f, s: study.trials(found, out, f, s)), True), jobs, budget
    )
    made = study.lines(found, kept.rows(asked))
    if made:
        record.write_csv(out / "smearing.csv", made)
        with atomic_write(out / "outcome.md") as stream:
            stream.write(study.markdown(made, found))
        with atomic_write(out / "smearing.png", "wb") as stream:
            study.figure(made).savefig(stream, format="png")
        for sentence in study.statements(made):
            typer.echo(sentence)
        typer.echo(f"results: {out / 'results.json'}; smearing.csv, outcome.md and smearing.png beside it")
    give({"lines": made, "statements": study.statements(made), "state": study.state(found), "complete": complete})
    finish(complete)


def fermi(
    family: Family = None,
    seeds: Seeds = "1,2,3",
    table: Annotated[
        list[Path] | None, typer.Option(help="CSV of your own with element and normalised (docs/study.md); give it several times.")
    ] = None,
    indicators: Annotated[Path | None, typer.Option(help="fermi.csv of `metalff fermi`; default: those that are shipped.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Queue of DFT labels: its metals, too.")] = None,
    learnability: Annotated[
        Path | None, typer.Option(help="Folder of `metalff study learnability`: errors on EAM and MEAM labels, a control.")
    ] = None,
    forecast: Annotated[
        Path | None, typer.Option(help="Frozen forecast of `metalff predict --out`, to be tested on the labels of its metals.")
    ] = None,
    magnetic: Annotated[
        bool, typer.Option("--magnetic", help="Also Cr, Mn, Fe, Co, Ni, with the Fermi surface of their state without magnetism.")
    ] = False,
    out: out_folder("Folder for results.json, errors.csv, correlations.csv, outcome.md and figures.") = Path("studies/fermi/errors"),
    jobs: Jobs = None,
    budget: Budget = None,
) -> None:
    """Train small models on the DFT of every metal that is here, join their errors with the indicators, and correlate."""
    from metalff.paths import atomic_write
    from metalff.study import fermi as study
    from metalff.study import forecast as forecasting
    from metalff.study import indicators as known
    from metalff.study import record

    families, numbers_ = small_models(family), numbers(seeds, "--seeds")
    values = known.read(indicators, magnetic) if indicators else known.shipped(magnetic)
    users = study.of_tables(table or [])
    controls = study.of_learnability(learnability) if learnability else []
    said, frozen = forecasting.frozen(forecast) if forecast else ({}, {})
    if frozen and said["model"] not in families:
        raise MetalffError(f"{forecast} forecasts errors of {said['model']}, which is not trained here; add --family {said['model']}")
    notes, metals_ = [] if magnetic else [known.MAGNETIC], []
    if labels:
        metals_, more = study.labelled(labels, frozen)
        notes += more
    for note in notes:
        typer.echo(note)
    kept = begun(out, "fermi")

    def trials(*_):
        found = with_seeds(families, numbers_, study.trials)
        return found + with_seeds(families, numbers_, lambda f, s: study.label_trials(metals_, out, f, s)), True

    asked, complete = carry_out(kept, set(families), trials, jobs, budget)
    rows = kept.rows(asked)
    errors = study.of_trials([row for row in rows if row["labels"].get("section") == "dft"])
    labelled = study.of_labels([row for row in rows if row["labels"].get("section") != "dft"])
    errors += [*labelled, *study.of_publications(), *controls, *users]
    lines, left_out = study.correlations(errors, values)
    judged = forecasting.judged(frozen, {e.element: e.normalised for e in labelled if e.model == said.get("model")}) if frozen else []
    record.write_csv(out / "errors.csv", [study.error_line(error) for error in errors])
    record.write_csv(out / "correlations.csv", study.table(lines))
    with atomic_write(out / "outcome.md") as stream:
        stream.write(study.markdown(errors, lines, notes + left_out, judged, known.HEADINGS))
    for name, figure in study.figures(errors, lines, values, known.HEADINGS).items():
        with atomic_write(out / f"{name}.png", "wb") as stream:
            figure.savefig(stream, format="png")
    for sentence in [*study.statements(lines), *judged]:
        typer.echo(sentence)
    typer.echo(f"results: {out / 'results.json'}; errors.csv, correlations.csv, outcome.md and figures beside it")
    give({"errors": errors, "correlations": study.table(lines), "left_out": left_out, "forecast": judged, "complete": complete})
    finish(complete)


def small_models(families: list[str] | None) -> list[str]:
    """Families of the small models, each once; unknown ones are refused before anything is trained."""
    from metalff.study.models import FAMILIES, settings

    found = list(dict.fromkeys(families or FAMILIES))
    for name in found:
        settings("Cu", name)
    return found


def with_seeds(families: list[str], seeds: list[int], trials) -> list:
    """Trials of all families, those without chance with the first seed alone."""
    from metalff.study.models import WITHOUT_CHANCE

    return [trial for name in families for trial in trials([name], seeds[:1] if name in WITHOUT_CHANCE else seeds)]


def filling(
    elements: Annotated[str, typer.Option(help="Of Nb (bcc, 54 atoms) and Pd (fcc, 32 atoms).")] = "Nb,Pd",
    fillings: Annotated[str, typer.Option("--filling", help="d electrons per atom.")] = "1,2,3,4,5,6,7,8,9",
    kt: Annotated[str, typer.Option("--kT", help="Electronic temperatures, eV.")] = "0.1,0.2,0.5",
    frames: Annotated[int, typer.Option(min=16, help="Of each metal, for training; half as many for testing.")] = 48,
    seeds: Annotated[str, typer.Option(help="Each training once per seed.")] = "1,2,3",
    out: out_folder("Folder for results.json, tables and figures; data lie in data/ inside.") = Path("studies/fermi/filling"),
    jobs: Jobs = None,
    budget: Budget = None,
) -> None:
    """Label the same frames at every filling and electronic temperature, train the same models on each, and compare errors with the Fermi surface."""
    from metalff.cli.data import positive
    from metalff.paths import atomic_write
    from metalff.progress import Bar
    from metalff.study import filling as study
    from metalff.study import filling_outcome as outcome
    from metalff.study import record
    from metalff.synth.tight_binding import Dose

    chosen = tuple(dict.fromkeys(re.split(r"[,\s]+", elements.strip())))
    for symbol in chosen:
        if symbol not in study.METALS:
            raise MetalffError(f"--elements {symbol}{nearest(symbol, study.METALS)}: give {' or '.join(study.METALS)}")
    counts, widths = positive(fillings, "--filling", "electrons per atom such as 2,4,6"), positive(kt, "--kT", "eV such as 0.1,0.5")
    for values, option in ((counts, "--filling"), (widths, "--kT")):
        if not values or len({f"{value:g}" for value in values}) < len(values):
            raise MetalffError(f"{option}: give at least one value, and each once to six digits")
    for count in counts:
        if not 0 < count < 10:
            raise MetalffError(f"--filling {count:g}: a band that is empty or full has no Fermi surface; give electrons per atom between 0 and 10")
        for width in widths:
            Dose(count, width)
    plan = study.Plan(chosen, counts, widths, frames - frames % 8, tuple(numbers(seeds, "--seeds")))

    def trials(bar, go_on):
        if not study.make_all(out, plan, bar, go_on):
            return [], False
        asked = study.trials(out, plan)
        if not study.fit_all(asked, kept, out / "work", bar, go_on):
            bar.line("the budget is spent; the same command goes on")
            return [trial for trial in asked if trial.key in kept.trials], False
        return asked, True

    need_extra("metalff study filling", "fermi", "skimage.measure")
    kept = begun(out, "filling")
    asked, complete = carry_out(kept, {"poly", "nep"} if study.NEP_FILLINGS else {"poly"}, trials, jobs, budget)
    rows = kept.rows(asked)
    if rows:
        meshes = [row for symbol in chosen for row in study.mesh_errors(symbol, out, plan)]
        with Bar() as bar:
            found = [row for symbol in chosen for row in study.indicators(symbol, out, plan, lambda what: bar.update(what, 0, None, None))]
        lines = outcome.dose_lines(rows, meshes)
        tables = {
            "doses": lines,
            "mesh": meshes,
            "effect": outcome.effect_lines(lines),
            "temperatures": outcome.temperature_lines(rows),
            "curves": outcome.curve_lines(rows),
        }
        tables |= {"indicators": found, "relations": outcome.relation_lines(lines, found), "trainings": record.flat(rows)}
        for name, content in tables.items():
            if content:
                record.write_csv(out / f"{name}.csv", content)
        for name, figure in outcome.figures(rows, lines, found).items():
            with atomic_write(out / f"{name}.png", "wb") as stream:
                figure.savefig(stream, format="png")
        typer.echo(f"results: {out / 'results.json'}; tables and figures beside it")
    give({"rows": rows, "results": out / "results.json", "complete": complete})
    finish(complete)


def begun(out: Path, name: str):
    """The record of a study in ``out``, this command added."""
    from metalff.study.record import Record

    return Record(out, name, ["metalff", *sys.argv[1:]])


@contextmanager
def alone(out: Path):
    """Within the block no other study is at work in ``out``, which is made; where nothing is written there, it goes again.

    Raises:
        MetalffError: another is at work there.
    """
    from metalff.sweep.run import locked

    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out, "study"):
            yield
    finally:
        if made and [path.name for path in out.iterdir()] == [".lock"]:
            (out / ".lock").unlink()
            out.rmdir()


def carry_out(record, families: set[str], trials, jobs: int | None, budget: float | None, carry=None, held: bool = False):
    """Run trials with a bar, the folder of the record locked.

    Args:
        families: of the trainings to come.
        budget: s.
        trials: called with the bar and a function that says whether there is time left; gives the trials, and whether these are all.
        carry: carries out a trial as ``study.trial.run``, which does it when None.
        held: the caller is in a block of ``alone``.
    Returns:
        the trials, and whether all have their results.
    """
    from metalff.progress import Bar
    from metalff.study.run import Study
    from metalff.study.trial import run

    ready(families)
    end = time.monotonic() + budget if budget else float("inf")

    def go_on() -> bool:
        return time.monotonic() < end

    with nullcontext() if held else alone(record.path.parent), Bar() as bar:
        asked, whole = trials(bar, go_on)
        record.write()
        complete = Study(record, jobs or cores(), go_on, bar, carry or run).run(asked)
        record.know(asked)
        record.write()
    return asked, complete and whole


def cores() -> int:
    return len(os.sched_getaffinity(0))


def ready(families) -> None:
    """What every family needs must be there before anything is written."""
    from metalff.train.configuration import FAMILIES
    from metalff.train.training import family_command

    for name in families:
        family_command(FAMILIES[name])


def finish(complete: bool) -> None:
    if not complete:
        raise MetalffError("not every training has its result (see above); the same command goes on")


def settings_of(families: list[str], size: str, override: list[str]) -> dict[str, dict]:
    """Settings of each family, checked: those of the size, then what ``--set`` says."""
    from metalff.cli.train import overrides
    from metalff.train.configuration import FAMILIES, configuration

    known = [name for name in FAMILIES if name != "torch"]
    found = {}
    for name in families:
        if name not in known:
            raise MetalffError(f"there is no family {name}{nearest(name, known)}; choose {', '.join(known)}")
        said = overrides(override)
        if stranger := next((key for key in said if "." in key and key.partition(".")[0] not in families), None):
            raise MetalffError(f"--set {stranger}: {stranger.partition('.')[0]} is not among the --family {' '.join(families)}")
        own = {key: value for key, value in said.items() if "." not in key}
        own |= {key.partition(".")[2]: value for key, value in said.items() if key.partition(".")[0] == name and "." in key}
        configuration(name, {"elements": ["Cu"]} | own, size)
        found[name] = FAMILIES[name].sizes[size] | own
    return found


def words(text: str, pattern: str, option: str, example: str) -> list[str]:
    found = [word for word in re.split(r"[,\s]+", text) if word]
    if not found or not all(re.fullmatch(pattern, word) for word in found):
        raise MetalffError(f"{option} {text}: give {example}")
    return found


def numbers(text: str, option: str) -> list[int]:
    """Each once."""
    return list(dict.fromkeys(int(word) for word in words(text, r"\d+", option, "whole numbers such as 1,2,3")))
