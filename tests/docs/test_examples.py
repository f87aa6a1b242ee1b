"""The examples run from beginning to end in an empty folder; what they say of their results is checked in them and here."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {"phonons_and_elasticity": "matcalc"}
"""Packages that are no part of MetalFF."""


def run(name: str, folder: Path) -> str:
    if (needed := NEEDS.get(name)) and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed (pip install matcalc==0.7.0)")
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_train_and_run(tmp_path):
    said = run("train_and_run", tmp_path)
    ours, eam = (float(re.search(rf"{name}\s+force RMSE (\S+)", said)[1]) for name in (r"Cu\.mlff", "Cu/eam"))
    assert ours < 0.5 * eam


def test_phonons_and_elasticity(tmp_path):
    said = run("phonons_and_elasticity", tmp_path)
    assert re.search(r"^C44 +\S+ +\S+ +\S+ GPa$", said, re.MULTILINE)
    assert not list(tmp_path.iterdir())  # it says that it writes nothing


@pytest.mark.slow  # the tutorial, whose blocks are run, does the same
def test_sweep_to_report(tmp_path):
    said = run("sweep_to_report", tmp_path)
    cold, hot = (float(re.search(rf"Cu-poly +{kelvin} K: .* peak of (\S+) at", said)[1]) for kelvin in (150, 679))
    assert hot < cold and said.count("solid") == 4
    assert "Copper, from a sweep to a report" in (tmp_path / "report.html").read_text("utf-8")


def test_all_are_cells():
    found = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    assert found == ["phonons_and_elasticity", "sweep_to_report", "train_and_run"]
    for name in found:
        cells = (EXAMPLES / f"{name}.py").read_text("utf-8").split("# %%")
        assert cells[0] == "" and cells[1].startswith(" [markdown]\n# # ")
