"""Grand canonical Monte Carlo, Widom insertions, swaps: the chains of eam/alloy and of an ideal gas, and trials that are too close."""

import re

import numpy as np
import pytest
from ase import Atoms

from inputs import crystal, execute, rewritten
from metalff import MLFFCalculator
from metalff.artifact import Training
from metalff.paths import shared

BOLTZMANN = 8.617343e-5  # eV/K, as in LAMMPS' units metal
COUNTS = "f_mc[1] f_mc[2] f_mc[3] f_mc[4] f_mc[5] f_mc[6]"


def model(name):
    return shared("potentials", "mlff", f"{name}.mlff")


def thermo(completed):
    """The rows of all tables."""
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr[-2000:]
    rows, inside = [], False
    for line in completed.stdout.splitlines():
        inside = not line.startswith("Loop") and (inside or line.split()[:1] == ["Step"])
        if inside and re.match(r"\s+\d", line):
            rows.append([float(word) for word in line.split()])
    return np.array(rows)


def thermal_volume(mass, temperature):
    """The cube of the thermal wavelength in Å³."""
    h, amu, joule = 6.62607015e-34, 1.66053907e-27, 1.602176634e-19 * BOLTZMANN * temperature
    return (h**2 / (2 * np.pi * mass * amu * joule)) ** 1.5 * 1e30


@pytest.fixture
def gas_model(name, request):
    """A model in which a single atom has an energy, and that energy."""
    path = model(name) if name == "Cu-nep" else request.getfixturevalue(name)
    atom = Atoms("Cu", positions=[[0, 0, 0]])
    atom.calc = MLFFCalculator(path)
    assert abs(atom.get_potential_energy()) > 0.3
    return path, atom.get_potential_energy()


SIDE, HOT, MEAN = 150.0, 20000.0, 6.0


def gas(path, mu, steps, ranks, tmp_path):
    lines = ["units metal", f"region b block 0 {SIDE} 0 {SIDE} 0 {SIDE}", "create_box 1 b", "create_atoms 1 random 6 4711 b"]
    lines += ["mass 1 63.546", "pair_style mlff extrapolation ignore", f"pair_coeff * * {path} Cu"]
    lines += [f"fix mc all gcmc 1 20 0 1 4711 {HOT} {mu:.10f} 0.5 full_energy group all", "compute_modify thermo_temp dynamic/dof yes"]
    lines += [f"thermo_style custom step atoms pe {COUNTS}", "thermo 1", f"run {steps}"]
    return thermo(execute(tmp_path, lines, ranks))


@pytest.mark.parametrize("name, ranks, steps", [("Cu-nep", 1, 500), ("Cu-nep", 2, 100), ("two_layer_mace", 1, 100)])
def test_an_ideal_gas_has_as_many_atoms_as_it_should(name, ranks, steps, gas_model, tmp_path):
    """⟨N⟩ = V/Λ³ exp((μ − E₀)/kT), where E₀ is the energy of one atom, and N is distributed as Poisson says.

    Atoms are within the cutoff of another in less than one of a hundred positions, at a temperature where that hardly matters.
    """
    (path, alone), kt = gas_model, BOLTZMANN * HOT
    mu = alone + kt * np.log(MEAN * thermal_volume(63.546, HOT) / SIDE**3)
    rows = gas(path, mu, steps, ranks, tmp_path)
    numbers, energies = rows[5:, 1], rows[5:, 2]
    error = np.sqrt(MEAN / (len(numbers) * 20 / (4 * MEAN)))  # a trial changes N by one: it forgets in about 2 N of them
    assert numbers.mean() == pytest.approx(MEAN, abs=4 * error) and 4 * error < 0.35 * MEAN
    assert numbers.std() == pytest.approx(np.sqrt(MEAN), rel=0.35)
    np.testing.assert_allclose(energies, alone * numbers, rtol=0, atol=1.0)
    inserted, deleted = rows[-1, 6] / rows[-1, 5], rows[-1, 8] / rows[-1, 7]
    assert 0.3 < inserted < 1 and 0.3 < deleted < 1


DIMER = """two atoms

2 atoms

Coords

1 0.0 0.0 0.0
2 2.4 0.0 0.0

Types

1 1
2 1

Molecules

1 1
2 1
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_ideal_gas_of_molecules(ranks, tmp_path):
    """A molecule that is to be deleted takes its inner energy along, which LAMMPS has as intra_energy: ⟨N⟩ = V/Λ³ exp(μ/kT) molecules."""
    path, kt = model("Cu-nep"), BOLTZMANN * HOT
    dimer = Atoms("Cu2", positions=[[0, 0, 0], [2.4, 0, 0]])
    dimer.calc = MLFFCalculator(path)
    inner = dimer.get_potential_energy()
    assert inner < -5
    mu = kt * np.log(MEAN * thermal_volume(2 * 63.546, HOT) / SIDE**3)
    (tmp_path / "dimer.mol").write_text(DIMER)
    lines = ["units metal", "atom_style molecular", f"region b block 0 {SIDE} 0 {SIDE} 0 {SIDE}", "create_box 1 b", "mass 1 63.546"]
    lines += ["molecule dimer dimer.mol", "create_atoms 0 random 6 4711 NULL mol dimer 77", "pair_style mlff extrapolation ignore"]
    lines += [f"pair_coeff * * {path} Cu", "compute_modify thermo_temp dynamic/dof yes"]
    lines += [f"fix mc all gcmc 1 20 0 0 4711 {HOT} {mu:.10f} 0.5 mol dimer full_energy intra_energy {inner:.10f} group all"]
    lines += [f"thermo_style custom step atoms pe {COUNTS}", "thermo 1", "run 300"]
    rows = thermo(execute(tmp_path, lines, ranks))
    numbers = rows[5:, 1] / 2
    error = np.sqrt(MEAN / (len(numbers) * 20 / (4 * MEAN)))
    assert numbers.mean() == pytest.approx(MEAN, abs=4 * error)
    np.testing.assert_allclose(rows[5:, 2], inner * numbers, rtol=0, atol=1.0)


def slab(mu, words, temperature=3000, fix="", types=1):
    """A hot slab of copper with room above it."""
    lines = ["units metal", "boundary p p f", "atom_modify map yes", "region b block 0 10.845 0 10.845 -6 16", "lattice fcc 3.615"]
    lines += ["region m block 0 3 0 3 0 2", f"create_box {types} b", "create_atoms 1 region m", "mass * 63.546"]
    lines += ["displace_atoms all random 0.1 0.1 0.1 77 units box", "velocity all create 600 4711 loop geom"]
    return lines, [
        fix or f"fix mc all gcmc 2 30 30 1 4711 {temperature} {mu} 0.3 full_energy group all {words}",
        "fix move all nve",
        "compute_modify thermo_temp dynamic/dof yes",
        f"thermo_style custom step atoms pe {'' if fix else COUNTS}",
        "thermo 1",
    ]


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_chain_is_that_of_eam(ranks, oracle, eam_commands, tmp_path):
    """Every trial of insertion, deletion and translation ends as with pair_style eam/alloy, at positions that move."""
    box, commands = slab(-3.7, "")
    tables = []
    for pair in (eam_commands, ["pair_style mlff", f"pair_coeff * * {oracle} Cu"]):
        tables.append(thermo(execute(tmp_path, [*box, *pair, "mass * 63.546", *commands, "run 10"], ranks)))
    eam, ours = tables
    np.testing.assert_array_equal(ours[:, 3:], eam[:, 3:])
    np.testing.assert_allclose(ours[:, :3], eam[:, :3], rtol=0, atol=1e-3)
    attempts, successes = eam[-1, [3, 5, 7]], eam[-1, [4, 6, 8]]
    assert (attempts > 10).all() and (successes > 0).all() and (successes < attempts).all()


@pytest.mark.parametrize("ranks", [1, 2])
def test_widom_insertions_are_those_of_eam(ranks, oracle, eam_commands, tmp_path):
    fix = "fix mc all widom 1 20 1 4711 3000 full_energy"
    box, commands = slab(0, "", fix=fix)
    commands[-2] = "thermo_style custom step pe f_mc[1] f_mc[2]"
    tables = []
    for pair in (eam_commands, ["pair_style mlff", f"pair_coeff * * {oracle} Cu"]):
        tables.append(thermo(execute(tmp_path, [*box, *pair, "mass * 63.546", *commands, "run 3"], ranks)))
    eam, ours = tables
    assert eam[-1, 3] > 0
    np.testing.assert_allclose(ours, eam, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", ["Cu-nep", "two_layer_mace"])
def test_widom_of_an_ideal_gas(name, gas_model, tmp_path):
    """The excess chemical potential of an insertion into nothing is the energy of an atom."""
    lines = ["units metal", "region b block 0 60 0 60 0 60", "create_box 1 b", "create_atoms 1 single 5 5 5", "mass 1 63.546"]
    path, alone = gas_model
    lines += ["pair_style mlff extrapolation ignore", f"pair_coeff * * {path} Cu", f"fix mc all widom 1 20 1 4711 {HOT} full_energy"]
    lines += ["thermo_style custom step f_mc[1]", "thermo 1", "run 3"]
    rows = thermo(execute(tmp_path, lines))
    assert rows[-1, 1] == pytest.approx(alone, abs=0.03)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["Cu-nep", "Cu-mace"])
def test_trials_that_are_too_close_are_rejected(name, ranks, tmp_path):
    """As with LAMMPS' own overlap_cutoff: the same trials are, and the run goes on."""
    from metalff.artifact import open_artifact

    shortest = open_artifact(model(name)).manifest.training.shortest_distance
    box, commands = slab(-3.4, "")
    _, cutoff = slab(-3.4, f"overlap_cutoff {0.6 * shortest:.15g}")
    outcomes = []
    for words, commands in (("", commands), ("extrapolation ignore", cutoff)):
        lines = [*box, f"pair_style mlff {words}", f"pair_coeff * * {model(name)} Cu", *commands, "unfix move", "run 6"]
        outcomes.append(execute(tmp_path, lines, ranks))
    ours, theirs = map(thermo, outcomes)
    np.testing.assert_array_equal(ours[:, 3:], theirs[:, 3:])
    np.testing.assert_allclose(ours[:, :3], theirs[:, :3], rtol=0, atol=1e-3)
    (said,) = [line for line in outcomes[0].stdout.splitlines() if "trial energies" in line]
    rejected, trials = map(int, re.search(r"rejected (\d+) of (\d+) trial energies: atoms were closer than", said).groups())
    assert 10 < rejected < trials and trials == 3 + ours[-1, [3, 5, 7]].sum()
    assert "trial energies" not in outcomes[1].stdout


def test_what_would_end_the_run_rejects_a_trial(oracle, tmp_path):
    """With 'extrapolation error' no trial beyond the training data is accepted, and none ends the run."""
    known = rewritten(oracle, tmp_path / "known.mlff", training=Training(shortest_distance=2.0, largest_coordination=90, smallest_coordination=12))
    box, commands = slab(-2.0, "")  # would fill the room
    outcomes = []
    for words in ("extrapolation error", "extrapolation ignore"):
        lines = [*box, f"pair_style mlff {words}", f"pair_coeff * * {known} Cu", *commands, "unfix move", "run 4"]
        outcomes.append(execute(tmp_path, lines))
    strict, free = map(thermo, outcomes)
    assert free[-1, 1] > strict[-1, 1] >= 72
    assert "trial energies: the positions are beyond the training data" in outcomes[0].stdout


def test_a_step_that_overlaps_still_ends_the_run(oracle, tmp_path):
    """Monte Carlo beside it does not hide what the atoms themselves do."""
    known = rewritten(oracle, tmp_path / "known.mlff", training=Training(shortest_distance=2.2))
    box, commands = slab(-3.4, "")
    fast = ["group fast id 10", "velocity fast set 100 100 0"]
    lines = [*box, "pair_style mlff", f"pair_coeff * * {known} Cu", *commands, *fast, "run 50"]
    completed = execute(tmp_path, lines)
    (error,) = {line for line in completed.stdout.splitlines() if line.startswith("ERROR")}
    assert "A apart at step" in error and "use a shorter timestep, or where that does not help a model with a repulsive floor" in error


@pytest.mark.parametrize("name", ["Cu-nep", "Cu-mace"])
def test_two_atoms_in_one_place_are_no_trial_to_accept(name, tmp_path):
    """Also where nothing guards: an energy that is not a number is rejected, and Widom's average stays one."""
    box = ["units metal", "region b block 0 30 0 30 0 30", "create_box 1 b", "create_atoms 1 single 15 15 15", "mass 1 63.546"]
    box += ["region point sphere 15 15 15 1e-17"]
    fix = f"fix mc all widom 1 3 1 4711 {HOT} full_energy region point"
    lines = [
        *box,
        "pair_style mlff extrapolation ignore",
        f"pair_coeff * * {model(name)} Cu",
        fix,
        "thermo_style custom step f_mc[2]",
        "thermo 1",
        "run 2",
    ]
    assert not thermo(execute(tmp_path, lines))[:, 1].any()


@pytest.mark.parametrize("ranks", [1, 2])
def test_ensembles_compare_no_trials(ranks, tmp_path):
    """The file has the steps alone, and a trial does not end the run."""
    box, commands = slab(-3.4, "")
    lines = [*box, "pair_style mlff ensemble mean deviation 1 dev.txt", f"pair_coeff * * {model('Cu-nep')} {model('Cu-mace')} Cu"]
    rows = thermo(execute(tmp_path, [*lines, *commands, "run 4"], ranks))
    records = np.loadtxt(tmp_path / "dev.txt")
    assert records[:, 0].tolist() == [0, 1, 2, 3, 4] and rows[-1, 3] > 5
    assert 0 < records[:, 2].min() and records[:, 1].max() < 20


@pytest.mark.parametrize("ranks", [1, 2])
def test_swaps_are_those_of_eam(ranks, second, second_commands, tmp_path):
    """fix atom/swap changes types without a new neighbour list."""
    swap = "fix mc all atom/swap 1 20 4711 2000 types 1 2"
    tables = []
    for pair in ([second_commands[0], second_commands[1].replace(" Cu", " Cu Ni")], ["pair_style mlff", f"pair_coeff * * {second} Cu Ni"]):
        lines = [*crystal(types=2), *pair, "mass * 63.546", swap, "thermo_style custom step pe f_mc[1] f_mc[2]", "thermo 1", "run 3"]
        tables.append(thermo(execute(tmp_path, lines, ranks)))
    assert 0 < tables[0][-1, 3] < tables[0][-1, 2] == 60
    np.testing.assert_allclose(tables[1], tables[0], rtol=0, atol=1e-3)
