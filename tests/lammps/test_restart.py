"""Restart files remember models, settings and hashes; what pair_style mlff does with the guard's words."""

import re
import shutil

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps
from metalff import artifact

NEAREST = 3.615 / 2**0.5  # Å


def box(name="bulk"):
    return ["units metal", "atom_style atomic", *Script(STRUCTURES[name])._box()]


def perfect():
    lines = ["units metal", "atom_style atomic", "lattice fcc 3.615", "region b block 0 2 0 2 0 2"]
    return [*lines, "create_box 1 b", "create_atoms 1 box", "mass * 63.546"]


def trained_down_to(oracle, path, distance):
    opened = artifact.open_artifact(oracle)
    members = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    training = artifact.Training(shortest_distance=distance)
    artifact.write(path, opened.manifest.model_copy(update={"training": training}), members)
    return path


MOVE = ["fix move all nve", "thermo_style custom step pe etotal pxx", "thermo_modify format float %.14g", "thermo 5"]


def table(completed):
    assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-1000:]
    rows = [line.split() for line in completed.stdout.splitlines()]
    return {int(r[0]): np.array(r[1:], float) for r in rows if len(r) == 4 and r[0].isdigit() and "." in r[1]}


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_run_goes_on_without_pair_coeff(ranks, oracle, second, tmp_path):
    """Paths are as good from another directory; settings, too: the mean of both models drives, in float32."""
    shutil.copy(oracle, tmp_path / "a.mlff")
    pair = ["pair_style mlff ensemble mean precision mixed deviation 5 dev.txt", f"pair_coeff * * a.mlff {second} Cu"]
    lines = [*box(), *pair, "velocity all create 900 3 loop geom", *MOVE, "run 5", "write_restart go.restart", "run 10"]
    whole = table(lammps(tmp_path, lines, ranks))
    (tmp_path / "elsewhere").mkdir()
    again = lammps(tmp_path / "elsewhere", ["read_restart ../go.restart", *MOVE, "run 10"], ranks)
    rest = table(again)
    for step in (5, 10, 15):
        np.testing.assert_allclose(rest[step], whole[step], rtol=2e-6)  # float32 forces, atoms in another order
    assert again.stdout.count("precision mixed") == 2
    assert [line.split()[0] for line in (tmp_path / "elsewhere" / "dev.txt").read_text().splitlines()] == [
        "5",
        "10",
        "15",
    ]


def test_another_model_at_the_same_path(oracle, second, tmp_path):
    model = tmp_path / "a.mlff"
    shutil.copy(oracle, model)
    pair = ["pair_style mlff", "pair_coeff * * a.mlff Cu"]
    assert lammps(tmp_path, [*box(), *pair, "write_restart go.restart"]).returncode == 0
    shutil.copy(second, model)
    changed = lammps(tmp_path, ["read_restart go.restart", "run 0"], 2)
    assert changed.returncode != 0
    assert changed.stdout.count(f"ERROR: '{model}' is not the model of the restart file: its manifest has sha256") == 1
    chosen = lammps(tmp_path, ["read_restart go.restart", "pair_coeff * * a.mlff Cu", "run 0"])
    assert chosen.returncode == 0, chosen.stdout[-2000:]
    model.unlink()
    missing = lammps(tmp_path, ["read_restart go.restart", "run 0"])
    assert missing.returncode != 0
    assert f"'{model}' does not exist or is not a file" in missing.stdout


def test_a_second_pair_style_opens_the_models_anew(oracle, tmp_path):
    lines = [
        *box(),
        "pair_style mlff",
        f"pair_coeff * * {oracle} Cu",
        "run 0",
        "pair_style mlff precision single",
        "run 0",
    ]
    completed = lammps(tmp_path, lines)
    assert completed.returncode == 0, completed.stdout[-2000:]
    assert completed.stdout.count("precision single") == 1 + completed.stdout.count("pair_style mlff precision single")


def test_respa_is_refused(oracle, tmp_path):
    lines = [*box(), "pair_style mlff", f"pair_coeff * * {oracle} Cu", "run_style respa 2 2 pair 2", "run 0"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode != 0
    assert "pair_style mlff does not work with run_style respa: use 'run_style verlet'" in completed.stdout


def run_with(words, model, tmp_path, ranks=1):
    lines = [*perfect(), f"pair_style mlff {words}", f"pair_coeff * * {model} Cu", "fix move all nve", "run 3"]
    return lammps(tmp_path, lines, ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_extrapolation(ranks, oracle, tmp_path):
    """Between 0.6 times the shortest training distance and that distance; all 32 atoms of the crystal."""
    model = trained_down_to(oracle, tmp_path / "near.mlff", 1.1 * NEAREST)
    for words in ("", "extrapolation warn"):
        warned = run_with(words, model, tmp_path, ranks)
        assert warned.returncode == 0, warned.stdout[-2000:]
        assert len(re.findall(r"WARNING: two atoms are 2.556 A apart at step 0, .* as are 32 atoms in all", warned.stdout)) == 1
        assert "pair_style mlff extrapolated in 4 of 4 force evaluations: 32 atoms on average" in warned.stdout
    silent = run_with("extrapolation ignore", model, tmp_path, ranks)
    assert silent.returncode == 0
    assert "WARNING: two atoms" not in silent.stdout and "extrapolated" not in silent.stdout
    refused = run_with("extrapolation error", model, tmp_path, ranks)
    assert refused.returncode != 0
    assert refused.stdout.count("ERROR: two atoms are 2.556 A apart at step 0, but the shortest distance") == 1
    assert run_with("extrapolation error", trained_down_to(oracle, tmp_path / "known.mlff", 0.99 * NEAREST), tmp_path).returncode == 0


def test_extrapolation_ignore_is_no_end_either(oracle, tmp_path):
    model = trained_down_to(oracle, tmp_path / "far.mlff", 2 * NEAREST)
    assert run_with("", model, tmp_path).returncode != 0
    assert run_with("extrapolation ignore", model, tmp_path).returncode == 0


def test_mixed_is_single(oracle, tmp_path):
    pairs = [[f"pair_style mlff precision {p}", f"pair_coeff * * {oracle} Cu"] for p in ("double", "single", "mixed")]
    double, single, mixed = Script(STRUCTURES["bulk"]).run(tmp_path, pairs)
    np.testing.assert_array_equal(single.forces, mixed.forces)
    assert single.energy == mixed.energy
    assert 1e-9 < np.abs(single.forces - double.forces).max() < 1e-3


@pytest.mark.parametrize("ranks", [1, 2])
def test_hybrid_overlay_with_an_ensemble(ranks, oracle, second, eam_commands, tmp_path):
    """Twice the forces of one EAM; the deviation is known to fix pair under hybrid, too."""
    hybrid = ["pair_style hybrid/overlay mlff eam/alloy", f"pair_coeff * * mlff {oracle} {second} Cu"]
    hybrid += [eam_commands[1].replace("* *", "* * eam/alloy")]
    alone, both = Script(STRUCTURES["bulk"]).run(tmp_path, [eam_commands, hybrid], ranks=ranks)
    np.testing.assert_allclose(both.forces, 2 * alone.forces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(both.stress, 2 * alone.stress, rtol=0, atol=1e-9)
