"""The learning curve of a training as a picture."""

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
