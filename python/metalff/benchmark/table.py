"""Results as one table: rows for ``benchmark.csv``, the terminal and ``benchmark.md``; sections are data sets."""

import re
from dataclasses import dataclass

from metalff.benchmark.plan import FRACTIONS, Model, Task, crystal_of
from metalff.benchmark.record import Record
from metalff.data import Dataset
from metalff.data.published import CITATION, SOURCE, published
from metalff.validate.groups import still, still_sentence

MISSING = "–"

MOST_GROUPS = 16
"""Of a set whose errors are shown group by group; those of a larger one are in ``groups.csv`` alone."""


@dataclass(frozen=True)
class Row:
    """A model on a data set; each part is its result, {} where it was not asked for, ``{"error": …}`` where it could not be measured."""

    dataset: Dataset
    model: Model
    element: str
    accuracy: dict
    speed: dict
    stability: dict  # by fraction of the melting point

    @property
    def training_core_s(self) -> float | None:
        """Seconds of training × threads; None where the file does not tell."""
        told = self.model.record()["training"]
        return told["elapsed_s"] * told["threads"] if {"elapsed_s", "threads"} <= told.keys() else None

    @property
    def size_mb(self) -> float:
        return self.model.record()["size"] / 1e6

    def at(self, temperature: str) -> dict | None:
        """Metrics at a temperature of the data set, ``"300"``."""
        return self.accuracy.get("by_temperature", {}).get(temperature)

    @property
    def point(self) -> tuple[float, float] | None:
        """µs per atom and step, and force RMSE (eV/Å); None where either was not measured."""
        if "µs/atom" in self.speed and "overall" in self.accuracy:
            return self.speed["µs/atom"], self.accuracy["overall"]["force_rmse"]["value"]
        return None


def front(table: list[Row], dataset: Dataset) -> list[Row]:
    """The Pareto front of a data set, the fastest first: models that no other one beats in speed and force RMSE both."""
    kept = []
    for row in sorted((row for row in table if row.dataset is dataset and row.point), key=lambda row: row.point):
        if not kept or row.point[1] < kept[-1].point[1]:
            kept.append(row)
    return kept


def rows(record: Record, models: list[Model], datasets: list[Dataset], parts) -> list[Row]:
    """Every model that covers a data set, data set by data set."""
    table = []
    for dataset in datasets:
        element = crystal_of(dataset)
        for model in models:
            if model.covers(dataset):
                tasks = {
                    "accuracy": Task("accuracy", model, dataset),
                    "speed": Task("speed", model, element=element),
                    **{f: Task("stability", model, element=element, fraction=f) for f in FRACTIONS},
                }
                found = {key: record.result(task) if task.part in parts else {} for key, task in tasks.items()}
                runs = {fraction: found[fraction] for fraction in FRACTIONS}
                table.append(Row(dataset, model, element, found["accuracy"], found["speed"], runs))
    return table


def temperatures(table: list[Row], dataset: Dataset) -> list[str]:
    """Of the frames of a data set, ``"300"`` in K, rising."""
    return sorted({f"{frame.temperature:g}" for frame in dataset if frame.temperature is not None}, key=float)


def csv_rows(table: list[Row]):
    """One dict per row: energies in eV/atom, forces in eV/Å, times in µs, ps and s, sizes in MB; empty where nothing is known."""
    fronts = {dataset.name: front(table, dataset) for dataset in {row.dataset.name: row.dataset for row in table}.values()}
    for row in table:
        overall, record = row.accuracy.get("overall", {}), row.model.record()
        values = {
            "data": row.dataset.name,
            "model": row.model.name,
            "label": record["label"],
            "family": row.model.family,
            "sha256": record["sha256"],
            "frames": len(row.dataset),
            "frames_seen_in_training": row.accuracy.get("seen_in_training"),
        }
        for name in ("force_rmse", "force_mae", "force_rmse_normalised", "energy_rmse_offset", "energy_rmse", "stress_rmse"):
            found = overall.get(name) or {}
            values |= {name: found.get("value"), f"{name}_low": found.get("low"), f"{name}_high": found.get("high")}
        values["energy_offset"] = " ".join(f"{key}={value:.6f}" for key, value in row.accuracy.get("energy_offset", {}).items())
        for temperature in temperatures(table, row.dataset):
            found = row.at(temperature)
            values[f"force_rmse_{temperature}K"] = found["force_rmse"]["value"] if found else None
        values |= {"element": row.element, "us_per_atom_step": row.speed.get("µs/atom"), "peak_MB": row.speed.get("MB")}
        values["pareto"] = row in fronts[row.dataset.name] if row.point else None
        for fraction, run in row.stability.items():
            values |= {f"stable_ps_{fraction:g}Tm": run.get("ps"), f"failure_{fraction:g}Tm": run.get("failure", run.get("error"))}
        told = record["training"]
        yield values | {
            "file_MB": row.size_mb,
            "training_core_s": row.training_core_s,
            "training_epochs": told.get("epochs"),
            "training_data": told.get("data"),
            "accuracy_error": row.accuracy.get("error"),
            "speed_error": row.speed.get("error"),
        }


def group_rows(table: list[Row]):
    """One dict per row and group of its data set: what ``groups.csv`` holds; keys and units of ``validate.groups``."""
    for row in table:
        for label, errors in row.accuracy.get("groups", {}).items():
            yield {"data": row.dataset.name, "model": row.model.name, "family": row.model.family, "group": label, **errors}


def published_rows(datasets: list[Dataset]):
    """One dict per data set, model and group: what ``published.csv`` holds; forces in eV/Å."""
    for dataset in datasets:
        for other in published(dataset.sha256):
            for group, errors in other.groups.items():
                yield {"data": dataset.name, "model": other.model, "group": group, **errors, "source": SOURCE}


def head(columns: int) -> list[str]:
    """Names of the columns; ``columns`` of them are temperatures, named by each section."""
    fixed = ["model", "force RMSE, eV/Å", "95 % interval", "RMSE / RMS force", "energy RMSE*, meV/atom"]
    runs = [f"ps at {fraction:g} Tm" for fraction in FRACTIONS]
    return [*fixed, *["RMSE at T"] * columns, "µs/atom/step", "memory, MB", *runs, "file, MB", "training, core-min"]


def section(dataset: Dataset, table: list[Row], columns: int) -> list[str]:
    """The line above a data set's rows: its name, and the temperatures of the columns."""
    own = [f"{temperature} K" for temperature in temperatures(table, dataset)]
    return [dataset.name, f"{len(dataset)} frames", *[""] * 3, *own, *[""] * (columns - len(own)), *[""] * 7]


def cells(row: Row, table: list[Row], columns: int) -> list[str]:
    """A row in words, as many as ``head`` has."""
    overall = row.accuracy.get("overall", {})
    force, relative, energy = (overall.get(key) for key in ("force_rmse", "force_rmse_normalised", "energy_rmse_offset"))
    interval = f"{force['low']:.4f}–{force['high']:.4f}" if force and force["low"] is not None else MISSING
    hot = [row.at(temperature) for temperature in temperatures(table, row.dataset)]
    core_s = row.training_core_s
    return [
        row.model.name + ("†" if row.accuracy.get("seen_in_training") else ""),
        "fails" if "error" in row.accuracy else f"{force['value']:.4f}" if force else MISSING,
        interval,
        f"{relative['value']:.3f}" if relative else MISSING,
        f"{1000 * energy['value']:.2f}" if energy else MISSING,
        *[f"{found['force_rmse']['value']:.4f}" if found else MISSING for found in hot],
        *[""] * (columns - len(hot)),
        "fails" if "error" in row.speed else short(row.speed.get("µs/atom")),
        short(row.speed.get("MB")),
        *[_survived(run) for run in row.stability.values()],
        short(row.size_mb),
        MISSING if core_s is None else f"{core_s / 60:.0f}",
    ]


def short(value: float | None) -> str:
    """Three digits, never an exponent."""
    if value is None:
        return MISSING
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _survived(run: dict) -> str:
    if "error" in run:
        return "fails"
    if not run:
        return MISSING
    return f"{run['ps']:.2f}" if run["failure"] else f">{short(run['ps'])}"


def notes(table: list[Row], models: list[Model], datasets: list[Dataset], settings) -> list[str]:
    """What the table cannot say by itself, in sentences."""
    said = [
        "* RMSE after one constant per element, fitted on these frames, is added to the energies. Intervals: block bootstrap within trajectories.",
        f"ps at …: molecular dynamics at fixed volume until it fails, at most {settings.ps:g} ps; > means that it did not. "
        f"Speed and memory: {settings.atoms} atoms, double precision, one core, LAMMPS.",
    ]
    seen = [row for row in table if row.accuracy.get("seen_in_training")]
    said += [
        f"† {row.model.name} was trained on {row.accuracy['seen_in_training']} of the {len(row.dataset)} frames of {row.dataset.name}."
        for row in seen
    ]
    said += dict.fromkeys(
        f"{row.model.name} on {row.element} at {fraction:g} Tm: {run['failure']} after {run['ps']:g} ps."
        for row in table
        for fraction, run in row.stability.items()
        if run.get("failure")
    )
    said += dict.fromkeys(
        f"{row.model.name} has no pair style of LAMMPS, so only its accuracy is measured." for row in table if not row.model.in_lammps
    )
    said += dict.fromkeys(
        f"{row.model.name}, {part} on {row.dataset.name if part == 'accuracy' else row.element}: {result['error']}"
        for row in table
        for part, result in (("accuracy", row.accuracy), ("speed", row.speed), *(("stability", r) for r in row.stability.values()))
        if "error" in result
    )
    for dataset in datasets:
        offsets = [
            f"{row.model.name} {' '.join(f'{key} {value:+.4f}' for key, value in row.accuracy['energy_offset'].items())}"
            for row in table
            if row.dataset is dataset and "energy_offset" in row.accuracy
        ]
        if offsets:
            said.append(f"Added to the energies on {dataset.name}, eV per atom: {', '.join(offsets)}.")
        if outside := [model.name for model in models if not model.covers(dataset)]:
            said.append(f"{dataset.name} ({' '.join(dataset.elements)}) is not covered by {', '.join(outside)}.")
    return said


def extras(table: list[Row], datasets: list[Dataset]) -> list[tuple[str, list[list[str]], str]]:
    """Smaller tables below the large one: title, lines of words (the first is the head), and a note."""
    found = []
    for dataset in datasets:
        own = [row for row in table if row.dataset is dataset and row.accuracy.get("groups")]
        if own and len(labels := own[0].accuracy["groups"]) <= MOST_GROUPS:
            found.append(_by_group(dataset, own, labels))
    if any(len(front(table, dataset)) > 1 for dataset in datasets):
        lines = [["data", "model", "µs/atom/step", "force RMSE, eV/Å"]]
        lines += [[d.name, row.model.name, short(row.point[0]), f"{row.point[1]:.4f}"] for d in datasets for row in front(table, d)]
        found.append(("Pareto front", lines, "Models that no other one here beats in speed and force RMSE both."))
    if known := [dataset for dataset in datasets if published(dataset.sha256)]:
        found.append(_published(known))
    return found


def _by_group(dataset: Dataset, own: list[Row], labels: dict) -> tuple[str, list[list[str]], str]:
    """Force RMSE and share of the squared error, a column per group."""
    lines = [["", *labels], ["frames", *(str(errors["frames"]) for errors in labels.values())]]
    lines.append(["RMS force, eV/Å", *(f"{errors['force_rms']:.3f}" for errors in labels.values())])
    for row in own:
        groups = row.accuracy["groups"].values()
        lines.append([row.model.name, *(f"{e['force_rmse']:.4f} ({100 * e['share']:.0f} %)" if "share" in e else "0" for e in groups)])
    note = "Force RMSE, eV/Å, and what part of the squared error of all frames it is; temperatures are parts of their group."
    return f"{dataset.name} by group", lines, " ".join(filter(None, (note, still_sentence(still(labels)), "All errors: groups.csv.")))


def _published(known: list[Dataset]) -> tuple[str, list[list[str]], str]:
    """Errors that others published on these sets."""
    columns = [{other.label: other for other in published(dataset.sha256)} for dataset in known]
    lines = [["", *(dataset.name for dataset in known)]]
    for label in dict.fromkeys(label for column in columns for label in column):
        words = [f"{c[label].force_rmse:.4f} ({100 * c[label].normalised:.1f} %)" if label in c else MISSING for c in columns]
        lines.append([label, *words])
    note = f"Force RMSE, eV/Å, and RMSE / RMS force, of universal models as they are: not measured here, and without a speed. {CITATION}."
    return SOURCE[0].upper() + SOURCE[1:], lines, note


def markdown(table: list[Row], datasets: list[Dataset], said: list[str]) -> str:
    """``benchmark.md``."""
    columns = max(len(temperatures(table, dataset)) for dataset in datasets)
    names = head(columns)
    lines = [names, ["---"] + ["---:"] * (len(names) - 1)]
    for dataset in datasets:
        title = section(dataset, table, columns)
        lines.append([f"**{word}**" if word else "" for word in title])
        lines += [cells(row, table, columns) for row in table if row.dataset is dataset]
    text = "".join(f"| {' | '.join(words)} |\n" for words in lines)
    text += "".join(f"\n{sentence}\n" for sentence in said).replace("* RMSE", "\\* RMSE")
    for title, lines, note in extras(table, datasets):
        ruled = [lines[0], ["---"] + ["---:"] * (len(lines[0]) - 1), *lines[1:]]
        text += f"\n**{title}**\n\n" + "".join(f"| {' | '.join(words)} |\n" for words in ruled) + f"\n{note}\n"
    return text


def shown_extra(title: str, lines: list[list[str]], note: str):
    """One of ``extras`` for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, title=title, caption=note, padding=(0, 1, 0, 0), pad_edge=False)
    for k, word in enumerate(lines[0]):
        drawn.add_column(word, justify="right" if k else "left", no_wrap=True)
    for words in lines[1:]:
        drawn.add_row(*words)
    return drawn


def shown(table: list[Row], datasets: list[Dataset]):
    """The table for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    columns = max(len(temperatures(table, dataset)) for dataset in datasets)
    names = head(columns)
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    kept = [k for k in range(len(names)) if k != 2]  # the interval stands below its value
    for k in kept:
        drawn.add_column(re.sub(r",? (?=eV|/|meV|at|MB|core)|(?<=atom)(?=/)", "\n", names[k]), justify="right" if k else "left", no_wrap=True)
    for dataset in datasets:
        title = section(dataset, table, columns)
        drawn.add_section()
        drawn.add_row(*[title[k] for k in kept], style="bold")
        for row in (row for row in table if row.dataset is dataset):
            words = cells(row, table, columns)
            words[1] += "" if words[2] == MISSING else f"\n{words[2]}"
            drawn.add_row(*[words[k] for k in kept])
    return drawn
