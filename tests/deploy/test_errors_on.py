"""Errors on test data in the manifest: of the whole set, and of each group of it."""

import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.artifact import read_manifest
from metalff.cli import build_app
from metalff.potentials import resolve
from metalff.validate.compare import compare
from nep_variants import write_nep

SPEC = "zuo2020-Cu:test[frames=0:31:2]"


def metalff(*words):
    done = CliRunner().invoke(build_app(), [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    said = metalff("deploy", "nep", write_nep(folder / "nep.txt", elements=("Cu",)), "-o", folder / "Cu.mlff", "--test", SPEC)
    return folder / "Cu.mlff", said


def test_manifest(deployed):
    """The engine reads the file, so that errors of groups are numbers by name as those of sets are."""
    deployed, said = deployed
    errors = read_manifest(deployed).training.errors
    (result,) = compare([resolve(str(deployed), ["Cu"])], data.read(SPEC))
    assert set(errors) == {SPEC, *(f"{SPEC}, {label}" for label in result.groups)} and f"{SPEC}, aimd 3000 K" in errors
    whole, parts = errors.pop(SPEC), {name.removeprefix(f"{SPEC}, "): own for name, own in errors.items()}
    assert parts == {label: pytest.approx(own) for label, own in result.groups.items()}
    assert whole["force_rmse"] == pytest.approx(result.overall.force_rmse.value) and whole["stress_rmse"] > 0 and whole["normalised"] > 0
    assert sum(own["frames"] for label, own in parts.items() if not label.endswith(" K")) == whole["frames"] == 16
    assert "normalised" not in parts["strain"]
    hot = parts["aimd 3000 K"]
    numbers = [f"{hot[key]:.{digits}f}" for key, digits in (("force_rms", 3), ("force_rmse", 4), ("force_mae", 4), ("normalised", 3))]
    assert ["3000", "K", "3", *numbers, f"{100 * hot['share']:.1f}", "%"] in [line.split()[:9] for line in said.splitlines()]


def test_inspect(deployed):
    lines = metalff("inspect", deployed[0]).splitlines()
    (at,) = [k for k, line in enumerate(lines) if line.startswith(f"error on {SPEC} ")]
    below = [line.strip().partition("  ")[0] for line in lines[at + 2 : at + 9]]
    assert below == ["aimd", "300 K", "1000 K", "3000 K", "strain", "surface", "vacancy"]
