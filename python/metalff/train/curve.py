"""The course of a training as a picture."""

import csv
from pathlib import Path

from metalff.paths import atomic_write
from metalff.train.description import history


def write_curve(table: Path, picture: Path) -> None:
    """Draw the validation errors of ``history.csv`` against the time spent, into a PNG file."""
    from matplotlib.figure import Figure

    rows = history(table)
    minutes = [row["elapsed_s"] / 60 for row in rows]
    figure = Figure(figsize=(6, 4), layout="constrained")
    force = figure.subplots()
    energy = force.twinx()
    force.semilogy(minutes, [row["force_rmse_valid"] for row in rows], color="C0")
    energy.semilogy(minutes, [row["energy_rmse_valid"] * 1000 for row in rows], color="C1")
    force.set_xlabel("time spent / min")
    force.set_ylabel("force RMSE / (eV/Å)", color="C0")
    energy.set_ylabel("energy RMSE / (meV/atom)", color="C1")
    force.set_title("errors on the validation part")
    with atomic_write(picture, "wb") as stream:
        figure.savefig(stream, format="png", dpi=150)


def write_sizes(table: Path, picture: Path) -> None:
    """Draw the held-out error of ``sizes.csv`` against the number of functions, into a PNG file."""
    from matplotlib.figure import Figure

    with open(table, newline="") as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["functions"] for row in rows], [row["held_out_error"] for row in rows], "o-", color="C0", ms=5)
    for row in rows:
        if row["chosen"]:
            axes.plot(row["functions"], row["held_out_error"], "o", ms=11, mfc="none", color="C1", label="chosen")
    axes.set_xlabel("functions per element")
    axes.set_ylabel("held-out error / (eV/Å)")
    axes.set_ylim(bottom=0)
    axes.set_title("polynomials within this one, by folds held out in turn")
    axes.legend()
    with atomic_write(picture, "wb") as stream:
        figure.savefig(stream, format="png", dpi=150)
