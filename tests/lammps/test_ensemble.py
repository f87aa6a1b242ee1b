"""Ensembles: two EAMs of different cutoff and order of elements, against pair_style eam/alloy and arithmetic."""

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps
from poly_programs import committee, put

TOLERANCE = 1e-9  # eV, eV/Å, eV/Å³


def ensemble(first, second, words=""):
    return [f"pair_style mlff {words}", f"pair_coeff * * {first} {second} Cu"]


def same(a, b):
    assert a.energy == pytest.approx(b.energy, abs=TOLERANCE * len(a.forces))
    for field in ("forces", "stress", "energies"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), rtol=0, atol=TOLERANCE)


def spread(a, b):
    """Deviation of the forces [N] of two members."""
    return np.linalg.norm(a - b, axis=1) / 2


def crystal(head=()):
    return ["units metal", "atom_style atomic", *head, *Script(STRUCTURES["bulk"])._box()]


def written(directory, name="dev.txt"):
    return np.loadtxt(directory / name, ndmin=2)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["bulk", "triclinic", "tiny box", "isolated atom", "cluster in a corner"])
def test_first_and_mean_and_deviation(name, ranks, oracle, second, eam_commands, second_commands, tmp_path):
    pairs = [eam_commands, second_commands]
    pairs += [ensemble(oracle, second), ensemble(second, oracle, "ensemble first deviation 1 dev.txt")]
    pairs += [ensemble(oracle, second, "ensemble mean deviation 1 mean.txt")]
    a, b, first, swapped, mean = Script(STRUCTURES[name]).run(tmp_path, pairs, ranks=ranks)
    same(first, a)
    same(swapped, b)
    assert mean.energy == pytest.approx((a.energy + b.energy) / 2, abs=TOLERANCE * len(a.forces))
    np.testing.assert_allclose(mean.forces, (a.forces + b.forces) / 2, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(mean.stress, (a.stress + b.stress) / 2, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(mean.energies, (a.energies + b.energies) / 2, rtol=0, atol=TOLERANCE)

    apart = spread(a.forces, b.forces)
    expected = [0, apart.max(), apart.min(), apart.mean(), abs(a.energy - b.energy) / 2 / len(apart)]
    for file in ("dev.txt", "mean.txt"):
        np.testing.assert_allclose(written(tmp_path, file), [expected], rtol=1e-8, atol=1e-9)
    assert (tmp_path / "dev.txt").read_text().startswith("# step max_devi_f[eV/A] min_devi_f[eV/A] avg_devi_f[eV/A] devi_e")
    if name in ("bulk", "triclinic"):
        assert apart.min() > 1e-3, "the members must disagree"


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["triclinic", "tiny box", "cluster in a corner"])
def test_a_committee_in_one_file_is_an_ensemble_of_files(name, ranks, tmp_path):
    together, apart = committee()
    put(tmp_path / "all.mlff", together)
    files = [put(tmp_path / f"{m}.mlff", one).name for m, one in enumerate(apart)]
    pairs = [["pair_style mlff deviation 1 one.txt", "pair_coeff * * all.mlff Cu"]]
    pairs += [["pair_style mlff deviation 1 many.txt", f"pair_coeff * * {' '.join(files)} Cu"], ["pair_style mlff", "pair_coeff * * all.mlff Cu"]]
    one, many, plain = Script(STRUCTURES[name]).run(tmp_path, pairs, ranks=ranks)
    same(one, many)
    same(plain, one)
    np.testing.assert_allclose(written(tmp_path, "one.txt"), written(tmp_path, "many.txt"), rtol=1e-8, atol=1e-9)
    assert name == "tiny box" or written(tmp_path, "one.txt")[0, 1] > 1e-3


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("every", [1, 4])
def test_deviation_in_dumps_and_thermo(every, ranks, oracle, second, second_commands, tmp_path):
    """fix pair asks on steps of its own; atoms migrate between them."""
    lines = [*crystal(), *ensemble(oracle, second, f"deviation {every} dev.txt"), "compute dev all pair mlff"]
    lines += ["neighbor 0.3 bin", "neigh_modify every 1 delay 0 check no", "velocity all create 2500 11 loop geom"]
    lines += [
        "fix move all nve",
        "fix dev all pair 3 mlff deviation 0",
        "dump d all custom 3 dump.* id x y z fx fy fz f_dev",
    ]
    lines += ["dump_modify d sort id format float %.17g", "thermo_style custom step c_dev[1] c_dev[2] c_dev[3]"]
    lines += ["thermo_modify format float %.12g", "thermo 4", "run 12"]
    completed = lammps(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    other = [*crystal(), *second_commands, "mass 1 63.546", "dump d all custom 3 other.* id fx fy fz"]
    other += ["dump_modify d sort id format float %.17g", "rerun dump.0 dump.3 dump.6 dump.9 dump.12 dump x y z"]
    again = lammps(tmp_path, other)
    assert again.returncode == 0, again.stdout[-2000:]
    largest = {}
    for step in (0, 3, 6, 9, 12):
        ours = np.loadtxt(tmp_path / f"dump.{step}", skiprows=9)
        forces = np.loadtxt(tmp_path / f"other.{step}", skiprows=9)[:, 1:]
        apart = spread(ours[:, 4:7], forces)
        np.testing.assert_allclose(ours[:, 7], apart, rtol=0, atol=1e-7)
        largest[step] = apart.max(), apart.min(), apart.mean()
    table = written(tmp_path)
    assert list(table[:, 0]) == list(range(0, 13, every))
    rows = [line.split() for line in completed.stdout.splitlines()]
    thermo = {int(r[0]): np.array(r[1:], float) for r in rows if len(r) == 4 and r[0] in ("0", "4", "8", "12")}
    for step in (0, 12):
        np.testing.assert_allclose(thermo[step], largest[step], rtol=0, atol=1e-7)
        np.testing.assert_allclose(table[table[:, 0] == step][0, 1:4], largest[step], rtol=0, atol=1e-7)


@pytest.mark.parametrize("ranks", [1, 2])
def test_stop_above_ends_the_run_and_the_input_goes_on(ranks, oracle, second, tmp_path):
    move = ["velocity all create 2500 11 loop geom", "fix move all nve", "thermo 1"]
    words = "deviation 1 dev.txt"
    free = lammps(tmp_path, [*crystal(), *ensemble(oracle, second, words), *move, "run 20"], ranks)
    assert free.returncode == 0, free.stdout[-2000:]
    largest = written(tmp_path)[:, 1]
    limit = np.sort(largest)[-3]  # passed for the first time somewhere within the run
    (at, *_) = np.flatnonzero(largest > limit)

    lines = [*crystal(), *ensemble(oracle, second, f"{words} stop_above {limit:.12g} stop.restart"), *move]
    lines += ["run 20 post no", 'print "STOPPED AT $(step)"', "pair_style zero 6.0", "pair_coeff * *", "run 5"]
    lines += ['print "WENT ON TO $(step)"']
    completed = lammps(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    assert f"STOPPED AT {at}\n" in completed.stdout
    assert f"WENT ON TO {at + 5}\n" in completed.stdout
    assert completed.stdout.count("the forces of the models deviate by") == 1
    assert f"on an atom at step {at}, more than stop_above" in completed.stdout
    assert len(written(tmp_path)) == at + 1

    again = lammps(tmp_path, ["read_restart stop.restart", "fix move all nve", "run 0", 'print "AGAIN AT $(step)"'], ranks)
    assert again.returncode == 0, again.stdout[-2000:]
    assert f"AGAIN AT {at}\n" in again.stdout


def test_deviation_needs_two_models(oracle, tmp_path):
    for words in ("deviation 10 dev.txt", "stop_above 0.3"):
        completed = lammps(tmp_path, [*crystal(), f"pair_style mlff {words}", f"pair_coeff * * {oracle} Cu"])
        assert completed.returncode != 0
        assert "compare models, but there is only" in completed.stdout


WORDS = {
    "ensemble second": "ensemble of pair_style mlff must be first or mean, not 'second'",
    "deviation 0 dev.txt": "deviation of pair_style mlff must be every 1 or more steps",
    "deviation 10": "keyword 'deviation' of pair_style mlff needs a number of steps and a file",
    "stop_above 0": "stop_above of pair_style mlff must be a force above 0 eV/A",
}


@pytest.mark.parametrize("words", WORDS)
def test_words(words, tmp_path):
    completed = lammps(tmp_path, [*crystal(), f"pair_style mlff {words}"])
    assert completed.returncode != 0
    assert WORDS[words] in completed.stdout


def test_every_member_must_know_the_elements(oracle, second, tmp_path):
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {second} {oracle} Ni"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode != 0
    assert f"'{oracle}' does not describe element Ni" in completed.stdout


def test_deviation_file_that_cannot_be_written(oracle, second, tmp_path):
    lines = [*crystal(), *ensemble(oracle, second, "deviation 1 nowhere/dev.txt"), "run 0"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode != 0
    assert "cannot write the deviation file 'nowhere/dev.txt'" in completed.stdout
