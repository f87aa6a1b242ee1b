"""Around a run: clear, several LAMMPS at once, layouts of ranks, boundaries, minimize, rerun, files."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cases import BAR
from inputs import MEASURE, TELL, TOLERANCE, by_position, crystal, ends, execute, same, state
from metalff.lammps import environment

NVE = ["velocity all create 600 11 loop geom", "fix move all nve"]
HOT = ["velocity all create 2000 11 loop geom", "fix move all nve"]
METAL = ["units metal", "atom_style atomic"]


@pytest.fixture
def mlff(oracle):
    return ["pair_style mlff", f"pair_coeff * * {oracle} Cu"]


def cluster(boundary="p p p", low=-3, high=14, corner=0, extra=()):
    """A rattled piece of copper of 10 Å and whatever ``extra`` adds, in a cubic box with room around it."""
    box = f"region b block {low} {high} {low} {high} {low} {high} units box"
    c = f"{corner} {corner + 10}"
    lines = [*METAL, f"boundary {boundary}", "lattice fcc 3.615", box, "create_box 1 b"]
    lines += [f"region c block {c} {c} {c} units box", "create_atoms 1 region c", *extra]
    return [*lines, "displace_atoms all random 0.08 0.08 0.08 4711"]


def rows(directory, name="dev.txt"):
    return np.loadtxt(directory / name, ndmin=2)


def spread(a, b):
    """Deviation of the forces [N] of two members."""
    return np.linalg.norm(a - b, axis=1) / 2


# One process, several systems


BETWEEN = {"clear": ["clear"], "the same atoms": ["thermo_style one", "uncompute sum", "uncompute ea"]}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("between", BETWEEN)
def test_another_pair_style_in_between(between, ranks, mlff, eam_commands, tmp_path):
    """mlff, eam/alloy and mlff again in one input: the same numbers three times."""
    lines = []
    for k, pair in enumerate((mlff, eam_commands, mlff, mlff)):
        (tmp_path / str(k)).mkdir()
        lines += crystal() if k == 0 or between == "clear" else []
        lines += [
            *pair,
            "mass * 63.546",
            *MEASURE,
            "run 0",
            *(line.replace(" state ", f" {k}/state ") for line in TELL),
        ]
        lines += [*BETWEEN[between], 'print "NEXT"']
    completed = execute(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    parts = completed.stdout.split("NEXT\n")[:4]
    first, eam, *later = [state(tmp_path / str(k), subprocess.CompletedProcess([], 0, part, "")) for k, part in enumerate(parts)]
    for ours in (first, *later):
        same(ours, eam, atoms=108)
    for ours in later:
        assert ours.energy == pytest.approx(first.energy, abs=1e-12 * 108)


INSTANCES = """
import json, sys
from metalff.lammps import Instance

boxes, pair, told = json.loads(sys.argv[1]), json.loads(sys.argv[2]), []

def start(k):
    one = Instance()
    for line in [*boxes[k], *pair, "mass * 63.546", "velocity all create 600 11 loop geom", "fix move all nve"]:
        one.command(line)
    return one

def tell(one):
    told.append([one.lmp.get_thermo("pe"), list(one.lmp.gather_atoms("x", 1, 3))])

a, b = start(0), start(1)
for steps in (5, 3, 7):
    for one in (a, b):
        one.command(f"run {steps}")
tell(a), tell(b)
a.close()
b.command("run 5")
tell(b)
c = start(0)
for one in (b, c):
    one.command("run 10")
    tell(one)
b.close(), c.close()
print("TOLD", json.dumps(told))
"""


def test_several_instances_in_one_process(mlff, eam_commands, tmp_path):
    """Two LAMMPS alive at once, their runs interleaved; one is closed, another begins, the second goes on."""
    boxes = [["units metal", "atom_style atomic", "atom_modify map yes", *crystal(cells=n)[2:]] for n in (2, 3)]
    command = [sys.executable, "-c", INSTANCES, json.dumps(boxes), json.dumps(mlff)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (told,) = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TOLD")]
    for (energy, positions), (k, steps) in zip(told, [(0, 15), (1, 15), (1, 20), (1, 30), (0, 10)], strict=True):
        reference = ends(tmp_path / "eam", boxes[k], eam_commands, [*NVE, f"run {steps}"])
        length = 3.615 * (2 + k)
        apart = (np.reshape(positions, (-1, 3)) - reference.positions) / length  # LAMMPS wraps when it likes
        np.testing.assert_allclose(apart, apart.round(), rtol=0, atol=1e-9)
        assert energy == pytest.approx(reference.energy, abs=1e-7)


SWITCHES = {"omp": "-sf omp", "two threads": "-sf omp -pk omp 2", "opt": "-sf opt"}


@pytest.mark.parametrize("name", SWITCHES)
def test_suffixes(name, mlff, eam_commands, tmp_path):
    """pair_style mlff has no variants, but what is around it does."""
    switches = SWITCHES[name].split()
    commands = [*NVE, "run 10"]
    reference = ends(tmp_path / "eam", crystal(), eam_commands, commands, 2, switches)
    assert f"pair eam/alloy/{'opt' if 'opt' in name else 'omp'}" in reference.text, "the switch has no effect"
    ours = ends(tmp_path / "ours", crystal(), mlff, commands, 2, switches)
    assert "pair mlff," in ours.text
    same(ours, reference, moved=True)


@pytest.mark.parametrize("ranks", [1, 2])
def test_suffix_of_the_other_in_a_hybrid(ranks, oracle, tmp_path):
    """zbl/omp adds its forces after those of mlff, from arrays of its own."""
    box = [*crystal(), "create_atoms 1 single 2.6 2.6 1.0 units box"]
    pair = [
        "pair_style hybrid/overlay mlff zbl 1.0 2.0",
        f"pair_coeff * * mlff {oracle} Cu",
        "pair_coeff 1 1 zbl 29 29",
    ]
    reference = ends(tmp_path / "plain", box, pair, ranks=ranks)
    ours = ends(tmp_path / "omp", box, pair, ranks=ranks, switches=["-sf", "omp", "-pk", "omp", "2"])
    assert "active /omp style is pair_style zbl" in ours.text and "/omp" not in reference.text
    same(ours, reference, tolerance=1e-8)  # ZBL's forces are some hundred eV/Å


# Ranks

HALF = ["region gone block 5.5 INF INF INF INF INF units box", "delete_atoms region gone compress yes"]
LAYOUTS = {  # ranks, a line before the box, commands
    "processors 2 1 1": (2, "processors 2 1 1", []),
    "processors 1 1 2": (2, "processors 1 1 2", []),
    "balance shift": (2, "processors 2 1 1", [*HALF, "balance 1.1 shift x 10 1.05"]),
    "balance rcb": (2, "processors 2 1 1", [*HALF, "comm_style tiled", "balance 1.0 rcb"]),
    "fix balance": (2, "processors 2 1 1", [*HALF, "fix even all balance 5 1.0 shift x 10 1.05"]),
    "fix balance rcb": (2, "processors 2 1 1", [*HALF, "comm_style tiled", "fix even all balance 5 1.0 rcb"]),
    "fix balance rcb on four": (4, "processors 4 1 1", [*HALF, "comm_style tiled", "fix even all balance 5 1.0 rcb"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, mlff, eam_commands, tmp_path):
    ranks, before, commands = LAYOUTS[name]
    head, *rest = crystal()
    commands = [*commands, *NVE, "run 12"]
    if "fix" in name:
        commands.append('print "EVEN $(f_even[3]) $(f_even)"')
    reference = ends(tmp_path / "eam", [head, before, *rest], eam_commands, commands, ranks)
    ours = ends(tmp_path / "ours", [head, before, *rest], mlff, commands, ranks)
    same(ours, reference, moved=True)
    if name.startswith("balance"):
        ((was, became),) = re.findall(r"initial/final imbalance factor += (\S+) (\S+)", ours.text)
        assert float(became) < float(was) - 0.1, "nothing was balanced"
    if "fix" in name:
        (words,) = re.findall(r"^EVEN (\S+) (\S+)$", ours.text, re.MULTILINE)
        assert float(words[0]) > 1, "nothing was balanced"


@pytest.mark.parametrize("ghosts", ["exchange", "wide"])
@pytest.mark.parametrize("name", ["balance shift", "balance rcb", "fix balance rcb on four"])
def test_layouts_with_messages(name, ghosts, bundled_model, tmp_path):
    """Message passing over an uneven brick or tiled layout gives the numbers of one rank."""
    ranks, before, commands = LAYOUTS[name]
    head, *rest = crystal(cells=4)  # tiled layouts need a box longer than two cutoffs and the skin
    start, *move = *NVE, "run 6"  # velocities go by the positions, which balance wraps and so rounds
    last = ["pair_style mlff ghosts " + ghosts, f"pair_coeff * * {bundled_model} Cu"]
    reference = ends(tmp_path / "one", [head, *rest], last, [start, *HALF, *move])
    ours = ends(tmp_path / "several", [head, before, *rest], last, [start, *commands, *move], ranks)
    same(by_position(ours), by_position(reference), moved=True)


def test_atoms_move_through_empty_ranks(mlff, eam_commands, tmp_path):
    """A piece of copper flies across a box of four ranks: at first one rank has all of it, then others."""
    box = cluster(low=0, high=60, corner=19)
    move = [*NVE, "velocity all set 200 200 200 sum yes units box", "run 0", "run 50"]
    reference, ours = (ends(tmp_path / str(k), box, pair, move, ranks=4) for k, pair in enumerate((eam_commands, mlff)))
    same(ours, reference, moved=True)
    assert ours.positions.min() > 26
    counts = re.findall(r"^Nlocal: +\S+ ave +(\d+) max +(\d+) min", ours.text, re.MULTILINE)
    assert len(counts) == 2 and counts[0][1] == "0", "no rank is empty"
    assert counts[0] != counts[1], "no atom changed its rank"


LONELY = [f"create_atoms 1 single {x} {y} {z} units box" for x, y, z in [(45, 5, 5), (5, 45, 5), (45, 45, 50)]]


def test_ranks_with_atoms_but_no_pairs(mlff, bundled_model, eam_commands, tmp_path):
    """Atoms without neighbours, on ranks of their own: no force on them, and no one waits for a message."""
    box = cluster(low=0, high=60, corner=3, extra=LONELY)
    same(
        ends(tmp_path / "ours", box, mlff, [*NVE, "run 10"], 4),
        ends(tmp_path / "eam", box, eam_commands, [*NVE, "run 10"], 4),
        moved=True,
    )
    mace = ["pair_style mlff", f"pair_coeff * * {bundled_model} Cu"]
    ours = by_position(ends(tmp_path / "several", box, mace, ranks=4))
    same(ours, by_position(ends(tmp_path / "one", box, mace)))
    far = (ours.positions > 30).any(axis=1)
    assert far.sum() == 3 and len(far) > 30
    np.testing.assert_allclose(ours.energies[far], ours.energies[far][0], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(ours.forces[far], 0, rtol=0, atol=TOLERANCE)


# Boundaries


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("boundary", ["p p f", "f f f", "s s s", "p m f"])
def test_boundaries(boundary, ranks, mlff, eam_commands, tmp_path):
    box = cluster(boundary)
    commands = [*HOT, "neigh_modify every 2 delay 0 check no", "run 40"]
    reference = ends(tmp_path / "eam", box, eam_commands, commands, ranks)
    same(ends(tmp_path / "ours", box, mlff, commands, ranks), reference, moved=True)
    sites = reference.positions / (3.615 / 2)
    assert np.abs(sites - sites.round()).max() > 0.2, "nothing moved"


# Files


def thermo(text):
    """Values of thermo's five columns by step."""
    lines = [line.split() for line in text.splitlines()]
    return {int(r[0]): np.array(r[1:], float) for r in lines if len(r) == 5 and r[0].isdigit() and "." in r[1]}


COLUMNS = ["thermo_style custom step pe pxx pyy pzz", "thermo_modify format float %.13g", "thermo 10"]
FRAMES = ["dump d all custom 10 frames.dump id x y z", "dump_modify d format float %.17g", "run 40"]


@pytest.mark.parametrize("writers, readers", [(1, 2), (2, 1)])
def test_rerun_on_several_ranks(writers, readers, mlff, eam_commands, tmp_path):
    write = execute(tmp_path, [*crystal(), *eam_commands, *NVE, *COLUMNS, *FRAMES], writers)
    rerun = [*crystal(), *mlff, "mass * 63.546", *COLUMNS, "rerun frames.dump dump x y z"]
    again = execute(tmp_path, rerun, readers)
    assert write.returncode == again.returncode == 0, write.stdout[-2000:] + again.stdout[-2000:]
    first, second = thermo(write.stdout), thermo(again.stdout)
    assert list(first) == list(second) == [0, 10, 20, 30, 40]
    assert abs(first[40][0] - first[0][0]) > 0.1
    kinetic = execute(tmp_path, [*crystal(), *eam_commands, *COLUMNS, "rerun frames.dump dump x y z"], readers)
    for step, values in thermo(kinetic.stdout).items():
        assert second[step][0] == pytest.approx(first[step][0], abs=1e-7)
        np.testing.assert_allclose(second[step][1:] * BAR, values[1:] * BAR, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("ranks", [1, 2])
def test_data_files_with_gaps_between_the_ids(ranks, mlff, eam_commands, tmp_path):
    """Written under mlff in the midst of a run, read again; every third atom is gone."""
    gaps = ["group some id 1:108:3", "delete_atoms group some compress no", *NVE, "run 5", "write_data gaps.data"]
    gaps += ["run 0"]
    written = ends(tmp_path, crystal(), mlff, gaps, ranks)
    assert written.ids.max() == 108 and len(written.ids) == 72
    read = [*METAL, f"read_data {tmp_path / 'gaps.data'}"]
    for name, pair in (("eam", eam_commands), ("ours", mlff)):
        same(ends(tmp_path / name, read, pair, ranks=ranks), written, tolerance=1e-8)
    move = ["fix move all nve", "run 20"]
    states = [ends(tmp_path / str(k), read, pair, move, ranks) for k, pair in enumerate((eam_commands, mlff))]
    assert np.abs(states[0].positions - written.positions).max() > 0.05, "nothing moved"
    same(*reversed(states), moved=True)


@pytest.mark.parametrize("ranks", [1, 2])
def test_restart_of_a_hybrid(ranks, oracle, tmp_path):
    """Under hybrid/overlay LAMMPS remembers the settings of the parts, and wants pair_coeff again."""
    box = [*crystal(), "create_atoms 1 single 2.6 2.6 1.0 units box"]
    coeff = [f"pair_coeff * * mlff {oracle} Cu", "pair_coeff 1 1 zbl 29 29"]
    style = "pair_style hybrid/overlay mlff chunk 7 extrapolation ignore zbl 1.0 2.0"
    move = ["timestep 1e-4", "fix move all nve", "run 10"]
    whole = ends(tmp_path / "whole", box, [style, *coeff], [*NVE, *move[::2], "write_restart go", "run 10"], ranks)
    read = [f"read_restart {tmp_path / 'whole' / 'go'}"]
    start = ends(tmp_path / "start", read, coeff, ranks=ranks)
    assert np.abs(start.positions - whole.positions).max() > 1e-3, "nothing moved"
    same(ends(tmp_path / "rest", read, coeff, move, ranks), whole, moved=True)


# Pressure


@pytest.mark.parametrize("scale, sign, ranks", [(0.95, 1, 1), (0.95, 1, 2), (1.08, -1, 1)])
def test_pressure_is_minus_the_derivative_of_the_energy(scale, sign, ranks, mlff, eam_commands, tmp_path):
    """Positive in a compressed crystal."""

    def at(s, pair, name):
        change = [f"change_box all x scale {s} y scale {s} z scale {s} remap", "run 0"]
        return ends(tmp_path / name, crystal(), pair, change, ranks)

    ours = at(scale, mlff, "ours")
    same(ours, at(scale, eam_commands, "eam"))
    pressure = -ours.stress[:3].mean()  # of the virial: the atoms do not move
    assert sign * pressure > 0.03
    h = 1e-4
    low, high = (at(scale + d, mlff, "moved").energy for d in (-h, h))
    volume = [(3 * 3.615 * (scale + d)) ** 3 for d in (-h, h)]
    assert pressure == pytest.approx(-(high - low) / (volume[1] - volume[0]), rel=1e-4)


# Ensembles


def ensemble(first, second, words=""):
    return [f"pair_style mlff {words}", f"pair_coeff * * {first} {second} Cu", "mass * 63.546"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_deviation_of_a_rerun(ranks, oracle, second, tmp_path):
    """A line per frame, with the numbers of the run that wrote the frames; a second rerun writes them again."""
    run = [*crystal(), *ensemble(oracle, second, "deviation 10 dev.txt"), *NVE, *FRAMES]
    assert execute(tmp_path, run, ranks).returncode == 0
    again = [*crystal(), *ensemble(oracle, second, "deviation 1 again.txt"), *2 * ["rerun frames.dump dump x y z"]]
    completed = execute(tmp_path, again, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    written = rows(tmp_path)
    assert list(written[:, 0]) == [0, 10, 20, 30, 40] and len(set(written[:, 1])) == 5 and written.min(0)[1] > 0.05
    np.testing.assert_allclose(rows(tmp_path, "again.txt"), [*written, *written], rtol=0, atol=1e-7)


@pytest.mark.parametrize("style, ranks", [("cg", 1), ("cg", 2), ("sd", 1), ("fire", 2)])
def test_deviation_while_minimizing(style, ranks, oracle, second, tmp_path):
    """A line per step, of the positions that the step ended with, not of others that the minimizer tried."""
    run = [*crystal(), *ensemble(oracle, second, "deviation 1 dev.txt"), f"min_style {style}", "thermo 1"]
    run += ["compute dev all pair mlff", "thermo_style custom step c_dev[1] c_dev[2] c_dev[3] pe"]
    run += ["thermo_modify format float %.12g", "minimize 0 1e-6 8 100"]
    completed = execute(tmp_path, run, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    told, written = thermo(completed.stdout), rows(tmp_path)
    assert list(written[:, 0]) == list(told) == list(range(9))
    assert len({f"{largest:.3g}" for largest in written[:, 1]}) > 5, "the deviation must change"
    np.testing.assert_allclose(written[:, 1:4], [values[:3] for values in told.values()], rtol=1e-8)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("command", ["minimize 0 1e-6 8 100", "rerun frames.dump dump x y z"])
def test_stop_above_and_the_input_goes_on(command, ranks, oracle, second, tmp_path):
    """A minimize ends at the first step; after it and after rerun a restart file is there and a run goes on."""
    run = [*crystal(), *ensemble(oracle, second, "deviation 10 dev.txt"), *NVE, *FRAMES]
    assert execute(tmp_path, run, ranks).returncode == 0
    limit = 0.9 * rows(tmp_path)[0, 1]
    words = f"deviation 1 dev.txt stop_above {limit} stop.restart"
    lines = [*crystal(), *ensemble(oracle, second, words), command, 'print "AT $(step)"']
    lines += ["pair_style mlff", f"pair_coeff * * {oracle} Cu", *NVE, "run 5", 'print "WENT ON TO $(step)"']
    completed = execute(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    assert completed.stdout.count("the forces of the models deviate by") == 1
    last = 0 if "minimize" in command else 40  # rerun does not ask whether time is up
    assert f"AT {last}\n" in completed.stdout and f"WENT ON TO {last + 5}\n" in completed.stdout
    assert list(rows(tmp_path)[:, 0]) == ([0] if "minimize" in command else [0, 10, 20, 30, 40])
    again = execute(tmp_path, ["read_restart stop.restart", "run 0", 'print "AGAIN AT $(step)"'], ranks)
    assert again.returncode == 0 and f"AGAIN AT {last}\n" in again.stdout, again.stdout[-2000:]


@pytest.mark.parametrize("ranks, ghosts", [(1, "exchange"), (2, "exchange"), (2, "wide")])
def test_ensembles_with_message_passing(ranks, ghosts, oracle, bundled_model, tmp_path):
    """A MACE and its copy agree; a MACE and an EAM, of other depth and cutoff, are as far apart as their own runs."""
    copy = shutil.copy(bundled_model, tmp_path / "copy.mlff")
    mace, eam = (
        by_position(ends(tmp_path / name, crystal(), ["pair_style mlff", f"pair_coeff * * {model} Cu"], ranks=ranks))
        for name, model in (("mace", bundled_model), ("eam", oracle))
    )
    apart = spread(mace.forces, eam.forces)
    assert apart.min() > 1e-4, "the members must disagree"
    measure = ["compute dev all pair mlff", "fix dev all pair 1 mlff deviation 0", "variable dev atom f_dev"]
    measure += ["run 0", "write_dump all custom peratom id x y z f_dev modify sort id format float %.17g"]
    for first, other, driving, expected in (
        (bundled_model, copy, mace, 0 * apart),
        (bundled_model, oracle, mace, apart),
        (oracle, bundled_model, eam, apart),
    ):
        pair = ensemble(first, other, f"ghosts {ghosts} deviation 1 dev.txt")
        ours = ends(tmp_path / "both", crystal(), pair, measure, ranks)
        same(by_position(ours), driving)
        table = np.loadtxt(tmp_path / "both" / "peratom", skiprows=9)
        order = np.lexsort(table[:, 1:4].round(6).T)
        np.testing.assert_allclose(table[order, 4], expected, rtol=0, atol=TOLERANCE)
        file = rows(tmp_path / "both")[0, 1:4]
        np.testing.assert_allclose(file, [expected.max(), expected.min(), expected.mean()], rtol=0, atol=TOLERANCE)
