"""A model's own trajectories beside a reference's: distributions of known systems, what belongs together, what is refused."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.cli.compare import ensembles_of
from metalff.data import Frame, layout
from metalff.data.metals import metal
from metalff.errors import MetalffError
from metalff.validate import distributions, ensembles
from metalff.validate.structure import radial_distribution

RNG = np.random.default_rng(4)


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def trajectory(spread, force, frames=40, symbol="Cu"):
    """Independent Gaussian displacements (Å) and force components (eV/Å) around the crystal, wrapped into the cell."""
    atoms = metal(symbol).supercell()
    made = []
    for k in range(frames):
        moved = atoms.copy()
        moved.positions += RNG.normal(scale=spread, size=moved.positions.shape) + 0.1 * k
        moved.wrap()
        forces = RNG.normal(scale=force, size=moved.positions.shape)
        made.append(Frame(moved.numbers, moved.positions, moved.cell.array, moved.pbc, -3.0 * len(moved), forces, index=k))
    return made


def test_unwrapped_and_displaced():
    frames = trajectory(0.12, 1.0)
    positions, cell = (np.stack([getattr(f, key) for f in frames]) for key in ("positions", "cell"))
    found = distributions.displacements(distributions.unwrapped(positions, cell))
    assert found.shape == (40, 108) and np.sqrt(np.mean(found**2)) == pytest.approx(0.12 * np.sqrt(3), rel=0.03)


def test_angles_of_a_crystal():
    atoms = metal("Cu").supercell()
    atoms.rattle(1e-3, seed=1)  # no angle on the edge of a bin
    angle, density = distributions.bond_angles(atoms.positions[None], atoms.cell.array[None], 3.0)
    assert np.sum(density) * (angle[1] - angle[0]) == pytest.approx(1)
    share = {a: np.sum(density[np.abs(angle - a) < 3]) * (angle[1] - angle[0]) for a in (60, 90, 120, 180)}
    assert share == pytest.approx({60: 24 / 66, 90: 12 / 66, 120: 24 / 66, 180: 6 / 66})


def test_neighbours_end_at_the_first_minimum():
    frames = trajectory(0.1, 1.0, 10)
    r, g = radial_distribution(np.stack([f.positions for f in frames]), np.stack([f.cell for f in frames]), 160)
    first, second = metal("Cu").nearest_neighbour, metal("Cu").a
    assert first + 0.2 < distributions.first_minimum(r, g) < second - 0.1
    with pytest.raises(MetalffError, match="no minimum behind its first peak"):
        distributions.first_minimum(r, np.zeros_like(g))


def test_distances():
    sample = RNG.normal(size=50_000)
    assert distributions.wasserstein(sample, sample + 0.3) == pytest.approx(0.3)
    assert distributions.variation([1, 0, 0], [0, 0, 1], 1.0) == 1 and distributions.variation([0.5, 0.5], [0.5, 0.5], 1.0) == 0


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    out = tmp_path_factory.mktemp("sets")
    layout.write_file(trajectory(0.10, 0.5), out / "reference" / "Cu_fcc_300.extxyz")
    layout.write_file(trajectory(0.20, 1.0), out / "reference" / "Cu_fcc_1358.extxyz")
    layout.write_file(trajectory(0.10, 0.5), out / "alike" / "Cu_fcc_300.extxyz")
    layout.write_file(trajectory(0.13, 0.8), out / "other" / "Cu_fcc_305.extxyz")
    layout.write_file(trajectory(0.10, 0.5, 4, "Ni"), out / "nickel" / "Ni_fcc_300.extxyz")
    layout.write_file(trajectory(0.10, 0.5, 4), out / "warm" / "Cu_fcc_900.extxyz")
    return out


def test_compared_on_the_command_line(sets, tmp_path):
    done = metalff("compare", sets / "alike", sets / "other", "--reference", sets / "reference", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    with (tmp_path / "out" / "compare.csv").open() as stream:
        alike, other = csv.DictReader(stream)
    assert alike["reference_temperature"] == other["reference_temperature"] == "300"
    # the same distributions: nothing beyond what the length of the reference leaves uncertain; others: by as much as they differ
    for key in ("forces", "displacements", "g", "angles"):
        assert float(alike[f"{key}_distance"]) < 2 * float(alike[f"{key}_floor"])
        assert float(other[f"{key}_distance"]) > 2 * float(other[f"{key}_floor"])
    mean = np.sqrt(2 / np.pi)  # of the magnitude of a normal variable; that of Gaussians is the difference of their widths times it
    assert float(other["forces_distance"]) == pytest.approx(0.3 * mean, rel=0.05)
    assert float(other["displacements_distance"]) == pytest.approx(0.03 * 2 * mean, rel=0.1)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"alike-Cu-300K.png", "other-Cu-305K.png"}


def test_a_liquid_has_no_mean_positions(sets):
    atoms = metal("Cu").supercell()
    gas = ensembles.Ensemble("gas", "Cu", 1358.0, RNG.random((6, 108, 3)) @ atoms.cell.array, np.stack([atoms.cell.array] * 6), np.ones((6, 108, 3)))
    references = ensembles_of(str(sets / "reference"))
    found = ensembles.pair(gas, references)
    assert (found.model.phase, found.reference.phase) == ("liquid", "solid") and found.distance["displacements"] is None
    assert ensembles.figure(found).axes


@pytest.mark.parametrize(
    "model, sentence",
    [("nickel", "reference has no Ni; it has Cu"), ("warm", "reference has no Cu near 900 K; its temperatures are 300, 1358 K")],
)
def test_what_has_no_reference_is_left_out(model, sentence, sets, tmp_path):
    refused = metalff("compare", sets / model, "--reference", sets / "reference", "--out", tmp_path / "out")
    assert refused.exit_code == 1 and sentence in str(refused.exception) and not (tmp_path / "out").exists()
    both = metalff("compare", sets / model, sets / "alike", "--reference", sets / "reference", "--out", tmp_path / "out")
    assert both.exit_code == 0 and "left out" in both.stderr


@pytest.mark.parametrize("spec, sentence", [("zuo2020-Cu", "has no temperature"), ("li2020-W[frames=0:1]", "holds no trajectory")])
def test_references_that_are_no_trajectories(spec, sentence, sets):
    with pytest.raises(MetalffError, match=sentence):
        ensembles_of(spec)
