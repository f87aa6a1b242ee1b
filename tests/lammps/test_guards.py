"""Every message of pair_style mlff, shown to fire through the stock LAMMPS: one sentence, a non-zero exit, no hang."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cases import lammps
from inputs import rewritten
from metalff import artifact
from metalff.lammps import environment, lmp_executable
from metalff.paths import shared

SOURCE = Path(__file__).parents[2]
NEAREST = 3.615 / 2**0.5  # Å, of the crystal below


def crystal(units="metal", types=1):
    lattice = {"metal": 3.615, "cgs": 3.615e-8, "lj": 1.0}[units]
    lines = [f"units {units}", "atom_style atomic", f"lattice fcc {lattice}", "region b block 0 2 0 2 0 2"]
    return [*lines, f"create_box {types} b", "create_atoms 1 box", "mass * 63.546"]


def says(sentence, directory, lines, ranks=1):
    """LAMMPS stops with exactly this one error."""
    completed = lammps(directory, lines, ranks)
    said = completed.stdout + completed.stderr
    assert completed.returncode != 0, said[-2000:]
    errors = {line for line in completed.stdout.splitlines() if line.startswith("ERROR")}
    assert len(errors) == 1, said[-2000:]
    (error,) = errors
    assert sentence in re.sub(r" \(\S+:\d+\)$", "", error) + "\n"
    assert "Traceback" not in said and "Segmentation" not in said
    assert f"({SOURCE}" not in error, "messages name a source file by its place in the project"


def trained_down_to(oracle, path, distance):
    training = artifact.Training(shortest_distance=distance)
    return rewritten(oracle, path, training=training)


STYLES = {
    "presision single": "unknown keyword 'presision' of pair_style mlff (did you mean 'precision'?): valid are "
    "engine, precision, spline, device, threads, chunk, ghosts, extrapolation, ensemble, deviation, stop_above, kernels",
    "gpu on": "unknown keyword 'gpu' of pair_style mlff: valid are",
    "precision": "keyword 'precision' of pair_style mlff needs a value",
    "threads 2 device": "keyword 'device' of pair_style mlff needs a value",
    "precision half": "precision of pair_style mlff must be double, single or mixed, not 'half'",
    "device gpu": "device of pair_style mlff must be cpu or cuda:N, not 'gpu'",
    "device cuda": "device of pair_style mlff must be cpu or cuda:N, not 'cuda'",
    "chunk 0": "chunk of pair_style mlff must be auto or at least 1",
    "ghosts far": "ghosts of pair_style mlff must be exchange or wide, not 'far'",
    "threads 0": "threads of pair_style mlff must be at least 1",
    "threads two": "'two'",  # LAMMPS' own sentence
}


@pytest.mark.parametrize("words", STYLES)
def test_pair_style(words, tmp_path):
    says(STYLES[words], tmp_path, [*crystal(), f"pair_style mlff {words}"])


COEFFS = {
    "* *": "pair_coeff of pair_style mlff must be: pair_coeff * * FILE.mlff and one element per atom type",
    "* * {model}": "pair_coeff of pair_style mlff must be: pair_coeff * * FILE.mlff and one element per atom type",
    "1 1 {model} Cu Cu": "Pair_coeff must start with * * for pair style mlff",
    "* * {model} Cu": "names 1 element(s) but there are 2 atom type(s): give one per type",
    "* * {model} Cu Cu Cu": "names 3 element(s) but there are 2 atom type(s): give one per type",
    "* * {model} Cu Ni": "does not describe element Ni: it was trained on Cu",
    "* * {model} Cu cu": "does not describe element cu: it was trained on Cu",
    "* * nowhere.mlff Cu Cu": "'nowhere.mlff' does not exist or is not a file: check the path",
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("words", COEFFS)
def test_pair_coeff(words, ranks, oracle, tmp_path):
    lines = [*crystal(types=2), "pair_style mlff", f"pair_coeff {words.format(model=oracle)}"]
    says(COEFFS[words], tmp_path, lines, ranks)


@pytest.mark.parametrize("units", ["lj", "cgs"])
def test_units(units, tmp_path):
    sentence = f"pair_style mlff does not know 'units {units}': use metal, real, si or electron"
    says(sentence, tmp_path, [*crystal(units), "pair_style mlff"])


@pytest.mark.parametrize("ranks", [1, 2])
def test_newton_off(ranks, oracle, tmp_path):
    lines = ["newton off", *crystal(), "pair_style mlff", f"pair_coeff * * {oracle} Cu", "run 0"]
    says("pair_style mlff needs forces on ghost atoms: use 'newton on'", tmp_path, lines, ranks)


def test_wide_ghosts_need_one_ghost_cutoff(bundled_model, tmp_path):
    lines = [*crystal(), "neighbor 0.3 multi", "comm_modify mode multi", "pair_style mlff ghosts wide"]
    lines += [f"pair_coeff * * {bundled_model} Cu", "run 0"]
    says("'ghosts wide' on several ranks needs 'comm_modify mode single'", tmp_path, lines, ranks=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_more_layers_in_the_manifest_than_in_the_payload(ranks, oracle, tmp_path):
    model = rewritten(oracle, tmp_path / "deep.mlff", layers=2)
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", "run 0"]
    says("has no program 'forward0' though its manifest says 2 layer(s): deploy the model again", tmp_path, lines, ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_bonds_that_take_neighbours_away(ranks, oracle, tmp_path):
    lines = [line.replace("atomic", "bond") for line in crystal()]
    lines[4] += " bond/types 1 extra/bond/per/atom 12 extra/special/per/atom 90"
    lines += ["pair_style mlff", f"pair_coeff * * {oracle} Cu", "comm_modify cutoff 9"]
    lines += ["bond_style zero nocoeff", "bond_coeff *", "create_bonds many all all 1 1.0 2.9", "run 0"]
    says("takes bonded neighbours away from pair_style mlff: use 'special_bonds lj/coul 1 1 1'", tmp_path, lines, ranks)


def test_device_that_is_not_there(oracle, tmp_path):
    lines = [*crystal(), "pair_style mlff device cuda:99", f"pair_coeff * * {oracle} Cu"]
    says("device 'cuda:99' is not available", tmp_path, lines)


@pytest.mark.parametrize("ranks", [1, 2])
def test_overlapping_atoms(ranks, oracle, tmp_path):
    model = trained_down_to(oracle, tmp_path / "far.mlff", 1.01 * NEAREST / 0.6)
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", "run 0"]
    sentence = f"two atoms are {NEAREST:.3f} A apart at step 0, but the shortest distance in the training data of"
    says(sentence, tmp_path, lines, ranks)
    says(f"is {1.01 * NEAREST / 0.6:.3f} A: mend the structure", tmp_path, lines, ranks)


FLOOR = "a model with a repulsive floor ('--set zbl=…' of metalff train)"
REMEDIES = {
    "a run": (
        ["group fast id 1", "velocity fast set 100 100 0", "fix move all nve", "run 20"],
        f"use a shorter timestep, or where that does not help {FLOOR} or one trained on hotter data",
    ),
    "a minimization": (
        ["displace_atoms all random 0.1 0.1 0.1 4711 units box", "fix press all box/relax iso 3e6 vmax 0.02", "minimize 0 0 100 1000"],
        f"use a smaller 'min_modify dmax', or {FLOOR}",
    ),
    "a structure of a later run": (["run 2", "group one id 1", "displace_atoms one move 0.5 0.5 0", "run 0"], "mend the structure"),
}


@pytest.mark.parametrize("when", REMEDIES)
def test_what_helps_against_overlapping_atoms(when, oracle, tmp_path):
    """That hangs on whether atoms came so close by a step of the run."""
    commands, remedy = REMEDIES[when]
    model = trained_down_to(oracle, tmp_path / "far.mlff", 0.88 * NEAREST / 0.6)
    says(f"A: {remedy}\n", tmp_path, [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", *commands])


def test_close_atoms_are_warned_of_once(oracle, tmp_path):
    model = trained_down_to(oracle, tmp_path / "near.mlff", 0.99 * NEAREST / 0.6)
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", "fix move all nve", "run 3"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode == 0
    assert completed.stdout.count(f"WARNING: two atoms are {NEAREST:.3f} A apart at step 0, closer than any in") == 1


NEIGHBORS = 54  # within the cutoff of the oracle, 5.51 Å
COUNTED = f"an atom has {NEIGHBORS} neighbours within 5.50679 A at step 0, "
STRANGE = "Cu and Ni are neighbours at step 0, but never within "


def beyond_training(kind, oracle, second, path):
    """A system, and a model that has not seen the like; what the warning says, and what the error."""
    if kind == "coordination":
        training = artifact.Training(largest_coordination=NEIGHBORS - 1)
        return crystal(), f"{rewritten(oracle, path, training=training)} Cu", COUNTED
    if kind == "sparse":
        training = artifact.Training(largest_coordination=NEIGHBORS, smallest_coordination=NEIGHBORS + 1)
        return crystal(), f"{rewritten(oracle, path, training=training)} Cu", COUNTED
    training = artifact.Training(pairs=[("Ni", "Ni"), ("Cu", "Cu")])
    lines = [*crystal(types=2), "set atom 7 type 2"]
    return lines, f"{rewritten(second, path, training=training)} Cu Ni", STRANGE


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["coordination", "sparse", "pairs"])
def test_neighbourhoods_that_training_never_saw(kind, ranks, oracle, second, tmp_path):
    lines, model, sentence = beyond_training(kind, oracle, second, tmp_path / "model.mlff")
    warned = lammps(tmp_path, [*lines, "pair_style mlff", f"pair_coeff * * {model}", "fix move all nve", "run 3"], ranks)
    assert warned.returncode == 0, warned.stdout[-2000:]
    assert warned.stdout.count(f"WARNING: {sentence}") == warned.stdout.count("WARNING: ") == 1
    assert "pair_style mlff extrapolated in 4 of 4 force evaluations: " in warned.stdout
    says(sentence, tmp_path, [*lines, "pair_style mlff extrapolation error", f"pair_coeff * * {model}", "run 0"], ranks)
    ignored = lammps(tmp_path, [*lines, "pair_style mlff extrapolation ignore", f"pair_coeff * * {model}", "run 0"], ranks)
    assert ignored.returncode == 0 and "extrapolate" not in ignored.stdout


def test_neighbourhoods_that_training_saw(oracle, second, tmp_path):
    training = artifact.Training(largest_coordination=NEIGHBORS, smallest_coordination=NEIGHBORS, pairs=[("Cu", "Cu")], shortest_distance=2.0)
    model = rewritten(oracle, tmp_path / "model.mlff", training=training)
    completed = lammps(tmp_path, [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", "run 0"])
    assert completed.returncode == 0 and "extrapolate" not in completed.stdout


SPARSE = "an atom has 0 neighbours within {:g} A at step 0, fewer than any in the training data of '{}' (3), as have 2 atoms in all"


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["Cu-nep", "Cu-mace"])
def test_a_gas_is_told(name, ranks, tmp_path):
    """A crystal and two free atoms, along a list and in a graph; a third that is excluded from all does not count."""
    training = artifact.Training(shortest_distance=1.0, smallest_coordination=3)
    model = rewritten(shared("potentials", "mlff", f"{name}.mlff"), tmp_path / "model.mlff", training=training)
    box = ["units metal", "lattice fcc 3.615", "region b block 0 10 0 10 0 10", "region c block 0 2 0 2 0 2"]
    box += ["region r sphere 5 8 5 0.1", "create_box 1 b", "create_atoms 1 region c"]
    box += [*(f"create_atoms 1 single 5 {y} 5" for y in (2, 5, 8)), "mass 1 63.546"]
    box += ["group away region r", "neigh_modify exclude group away all", f"pair_coeff * * {model} Cu", "fix move all nve", "run 2"]
    completed = lammps(tmp_path, [*box[:-5], "pair_style mlff", *box[-5:]], ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    sentence = SPARSE.format(artifact.open_artifact(model).manifest.r_max, model)
    assert completed.stdout.count(f"WARNING: {sentence}: the model extrapolates") == completed.stdout.count("WARNING") == 1
    counted = (
        "extrapolated in 3 of 3 force evaluations: 2 atoms on average had fewer than 3 neighbours, the fewest in the training data; the fewest 0"
    )
    assert counted in completed.stdout


def test_a_pair_of_elements_that_the_model_lacks(oracle, tmp_path):
    training = artifact.Training(pairs=[("Cu", "Ni")])
    model = rewritten(oracle, tmp_path / "model.mlff", training=training)
    sentence = "training.pairs names Ni, which is not an element of the model"
    says(sentence, tmp_path, [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu"])


def predicted_memory(completed):
    """MB of the largest rank."""
    (line,) = [line for line in completed.stdout.splitlines() if "predicted peak memory" in line]
    return float(line.split("memory ")[1].split()[0])


def many_atoms(model, keywords, cells):
    lines = ["units metal", "lattice fcc 3.63", f"region b block 0 {cells} 0 {cells} 0 {cells}", "create_box 1 b"]
    return [
        *lines,
        "create_atoms 1 box",
        "mass 1 63.5",
        f"pair_style mlff {keywords}",
        f"pair_coeff * * {model} Cu",
        "run 0",
    ]


def predicted_over_taken(folder, lines):
    """The prediction in MB, and its ratio to the peak of the process."""
    completed = lammps(folder, [*lines, 'shell "grep VmHWM /proc/$PPID/status"'])
    predicted = predicted_memory(completed)
    return predicted, predicted / (int(re.search(r"VmHWM:\s+(\d+) kB", completed.stdout)[1]) * 1024 / 1e6)


def test_predicted_memory(oracle, tmp_path):
    """What was predicted is what the process took at most, and a chunk of all atoms takes far more."""
    small, _ = predicted_over_taken(tmp_path, many_atoms(oracle, "engine torch", 24))
    large, ratio = predicted_over_taken(tmp_path, many_atoms(oracle, "engine torch chunk 1000000", 24))
    assert large > small + 100
    assert 0.9 < ratio < 1.5


def test_predicted_memory_of_the_native_engine(bundled_model, tmp_path):
    small, _ = predicted_over_taken(tmp_path, many_atoms(bundled_model, "engine native", 8))
    large, ratio = predicted_over_taken(tmp_path, many_atoms(bundled_model, "engine native", 24))
    assert large > small + 50
    assert 0.9 < ratio < 1.3


def test_memory_that_does_not_suffice(oracle, tmp_path):
    """The limit of the address space; a limit of the machine cannot be set here."""
    (tmp_path / "in.test").write_text("\n".join(many_atoms(oracle, "engine torch chunk 1000000", 44)) + "\n")
    command = f"ulimit -v 4000000; exec {lmp_executable()} -in in.test -log none -nocite"
    completed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert completed.returncode != 0
    assert "than the limit of this process (ulimit -v) has left" in completed.stdout
    assert completed.stdout.count("ERROR") == 1 and "bad_alloc" not in completed.stdout + completed.stderr


def test_comm_modify_cutoff_too_small_for_wide_ghosts(bundled_model, tmp_path):
    """LAMMPS itself never communicates less than the pair cutoff; what wide ghosts need beyond it is told and used."""
    r_max = artifact.read_manifest(bundled_model).r_max
    needed = 2 * r_max + 2  # two layers, and the skin
    pair = [f"pair_coeff * * {bundled_model} Cu", "displace_atoms all random 0.1 0.1 0.1 5", "run 0"]
    outputs = []
    for cutoff in ("7.5", needed + 1):
        lines = [*crystal(), "replicate 2 2 2", f"comm_modify cutoff {cutoff}", "pair_style mlff ghosts wide", *pair]
        completed = lammps(tmp_path, lines, ranks=2)
        assert completed.returncode == 0
        outputs.append(completed.stdout)
    sentence = f"WARNING: comm_modify cutoff 7.5 is too small for 'ghosts wide' of pair_style mlff: {needed:g} is used, 2 layers of {r_max:g}"
    assert sentence in outputs[0] and "too small" not in outputs[1]
    energies = [[line.split() for line in text.splitlines() if line.split()[:1] == ["0"]][0] for text in outputs]
    assert energies[0] == energies[1]


def test_known_distances_are_no_reason_to_warn(oracle, tmp_path):
    model = trained_down_to(oracle, tmp_path / "known.mlff", 0.99 * NEAREST)
    completed = lammps(tmp_path, [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Cu", "run 0"])
    assert completed.returncode == 0
    assert "apart" not in completed.stdout


NAN = ["variable huge equal 1000", "group one id 1"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_nan_position_in_the_start(ranks, oracle, tmp_path):
    """LAMMPS notices these itself, before it bins the atoms."""
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {oracle} Cu", *NAN]
    lines += ["variable nan atom exp(v_huge)-exp(v_huge)", "set group one x v_nan", "run 0"]
    says("Non-numeric atom coords - simulation unstable", tmp_path, lines, ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_nan_position_between_two_neighbour_lists(ranks, oracle, tmp_path):
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {oracle} Cu", *NAN]
    lines += ["variable nan equal exp(v_huge)-exp(v_huge)", "velocity one set v_nan 0 0", "fix move all nve"]
    lines += ["neigh_modify delay 50 every 50 check no", "run 3"]
    says("pair_style mlff: the energy is not a finite number at step 1: look for overlapping", tmp_path, lines, ranks)


def test_atoms_on_top_of_each_other(oracle, tmp_path):
    lines = [*crystal(), "create_atoms 1 single 0 0 0", "pair_style mlff", f"pair_coeff * * {oracle} Cu", "run 0"]
    says("the energy is not a finite number at step 0: look for overlapping atoms", tmp_path, lines)


def test_model_that_fails_while_it_runs(oracle, tmp_path):
    """A manifest that promises an element which the program has no tables for."""
    model = rewritten(oracle, tmp_path / "false.mlff", elements=["Cu", "Ni"])
    lines = [*crystal(), "pair_style mlff", f"pair_coeff * * {model} Ni", "run 0"]
    says(f"'{model}' could not be evaluated: ", tmp_path, lines)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds the plugin alone with other CMake variables."""
    build = tmp_path_factory.mktemp("plugin")

    def build_with(*variables):
        cmake = [sys.executable, "-m", "cmake"]
        configure = [*cmake, "-S", SOURCE, "-B", build, f"-DPython_EXECUTABLE={sys.executable}", *variables]
        for command in (configure, [*cmake, "--build", build, "--target", "mlffplugin"]):
            completed = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-2000:]
        return build / "mlffplugin.so"

    return build_with


OTHER_BUILDS = {
    "-DMETALFF_LAMMPS_VERSION=20230802": "pair_style mlff was built for LAMMPS 2 Aug 2023 but this is LAMMPS",
    "-DLAMMPS_SIZES=bigbig": "pair_style mlff was built for another integer size (LAMMPS_SMALLBIG or LAMMPS_BIGBIG)",
}


@pytest.mark.parametrize("variable", OTHER_BUILDS)
def test_another_lammps(variable, built, oracle, tmp_path):
    """A plugin built for another LAMMPS says so, instead of crashing or of an "Unrecognized pair style"."""
    plugin = built("-UMETALFF_LAMMPS_VERSION", variable)
    load = ["plugin unload pair mlff", f"plugin load {plugin}"]
    says(OTHER_BUILDS[variable], tmp_path, [*crystal(), *load, "pair_style mlff", f"pair_coeff * * {oracle} Cu"])
