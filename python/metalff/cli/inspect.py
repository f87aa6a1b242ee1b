"""``metalff inspect FILE``."""

from pathlib import Path
from typing import Annotated

import typer

from metalff.cli.command import add, give

VALIDATION = "validation"
"""The part of the data whose errors by group the manifest calls ``groups``."""


def register(app: typer.Typer) -> None:
    add(app, "inspect", inspect, "Tell what an .mlff file is; checks the hash of every payload on the way. --json: its manifest.")


def inspect(file: Annotated[Path, typer.Argument(help="An .mlff file, or the name of a bundled model such as Cu/poly.")]) -> None:
    from metalff.artifact import open_artifact
    from metalff.engines import model_file
    from metalff.train.learnt import unlearnt_sentence
    from metalff.validate.groups import PART, in_words, lines, parts_of

    file = model_file(file) if not file.exists() else file
    opened = open_artifact(file)
    manifest = opened.manifest
    give(manifest.model_dump(mode="json", by_alias=True))
    training = manifest.training
    rows = {
        "file": f"{file} ({file.stat().st_size / 1e6:.1f} MB, manifest sha256 {opened.sha256[:12]}, schema {manifest.schema_})",
        "model": f"{manifest.name} ({manifest.family})",
        "elements": " ".join(manifest.elements),
        "cutoff": f"{manifest.r_max:g} Å, {manifest.layers} layer(s)",
        "trained on": f"{training.data or 'unknown'}, {training.frames or '?'} frames, seed {training.seed}",
        "training data": f"shortest distance {training.shortest_distance:.3f} Å, "
        f"{training.smallest_coordination or '?'} to {training.largest_coordination or '?'} neighbours, pairs "
        + (" ".join("-".join(pair) for pair in training.pairs) or "unknown"),
        "licence": manifest.licence or "not stated",
        "versions": ", ".join(f"{k} {v}" for k, v in manifest.versions.items()),
    }
    for label, text in rows.items():
        typer.echo(f"{label:18s} {text}")
    groups = training.errors.get("groups", {})
    sets = {name: errors for name, errors in training.errors.items() if name != "groups"}
    for name, errors in sets.items():
        if name.rpartition(PART)[0] not in sets:
            typer.echo(f"{'error on ' + name:18s} {in_words(errors)}")
            for line in lines(groups if name == VALIDATION else parts_of(name, sets)):
                typer.echo(f"{'':16s} {line}")
    if training.unlearnt:
        typer.echo(f"{'note':18s} {unlearnt_sentence(training.unlearnt, groups)}")
    if training.pressure:
        typer.echo(f"{'note':18s} {training.pressure}")
    if training.reference:
        typer.echo(f"{'self-test':18s} reference: {training.reference}")
    for name, payload in manifest.payloads.items():
        typer.echo(f"{'payload':18s} {name} ({payload.size / 1e3:.0f} kB, sha256 {payload.sha256[:12]})")
    typer.echo(f"{'cite':18s} " + manifest.citation.replace("\n", "\n" + 19 * " "))
