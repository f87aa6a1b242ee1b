"""The plan, the protocol, and structures: what is refused, and that cells, meshes and strains are what they are called."""

import json
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from metalff import environments
from metalff.data.metals import metal
from metalff.dft import run as runs
from metalff.dft.plan import read_plan
from metalff.dft.protocol import CalculatorSpec, arguments_of, k_mesh
from metalff.dft.queue import Queue, make
from metalff.dft.structures import draw, small_cell
from metalff.errors import MetalffError


@pytest.mark.parametrize("symbol, atoms, edges", [("Al", 8, (5.73, 5.73, 4.05)), ("Al", 16, (5.73, 5.73, 8.10)), ("W", 8, (4.47, 4.47, 6.32)),
                                                   ("W", 16, (6.32, 6.32, 6.32)), ("Ti", 8, (5.90, 5.11, 4.68)), ("Al", 4, (4.05, 4.05, 4.05))])  # fmt: skip
def test_small_cells_are_the_perfect_crystal(symbol, atoms, edges):
    chosen = metal(symbol)
    cell = small_cell(chosen, atoms)
    assert len(cell) == atoms and cell.cell.lengths() == pytest.approx(edges, abs=0.01)
    assert cell.get_volume() / atoms == pytest.approx(chosen.unit_cell().get_volume() / len(chosen.unit_cell()))
    distances = cell.repeat((3, 3, 3)).get_all_distances(mic=True)
    np.fill_diagonal(distances, 9)
    assert distances.min() == pytest.approx(chosen.nearest_neighbour, rel=1e-6)
    neighbours = (distances < 1.03 * chosen.nearest_neighbour).sum(axis=1)
    assert set(neighbours) == {{"fcc": 12, "bcc": 8, "hcp": 12}[chosen.crystal]}


def test_no_such_cell():
    with pytest.raises(MetalffError, match="no orthogonal cell of Ti .hcp. has 6 atoms; give a multiple of 4"):
        small_cell(metal("Ti"), 6)


def test_drawn_structures_have_all_temperatures_and_volumes_from_the_beginning():
    found = draw("Na", "Na/meam", 16, 12, temperatures=[186.0, 445.0], strains=[-0.05, 0.0, 0.05])
    assert [a.info["temperature"] for a in found[:4]] == [186.0, 445.0, 186.0, 445.0]
    assert [a.info["strain"] for a in found[:6]] == [-0.05, -0.05, 0.0, 0.0, 0.05, 0.05]
    volume = {(a.info["temperature"], a.info["strain"]): a.get_volume() for a in found}
    for temperature in (186.0, 445.0):
        assert volume[temperature, 0.05] / volume[temperature, -0.05] == pytest.approx(1.05 / 0.95)
    assert volume[445.0, 0.0] > volume[186.0, 0.0]  # it expands
    assert 37.0 < volume[186.0, 0.0] / 16 < 39.5  # experiment: 38.5 Å³ at 186 K
    assert len({a.positions.tobytes() for a in found}) == 12


def test_a_drawing_is_repeated_to_the_bit():
    one, other = (draw("Al", "Al/eam", 8, 2, temperatures=[300.0], strains=[0.0]) for _ in range(2))
    assert [a.positions.tobytes() for a in one] == [a.positions.tobytes() for a in other]


def test_a_potential_that_evaporates_is_refused():
    with pytest.raises(MetalffError, match="Mg/eam does not hold Mg together at 1108 K .* it evaporates"):
        draw("Mg", "Mg/eam", 8, 1, temperatures=[1108.0])


def test_mesh_is_that_of_the_density():
    box = Atoms("Ti", cell=[5.9, 5.11, 4.68], pbc=True)
    assert k_mesh(box, 3.2) == (4, 4, 5) and k_mesh(box, 3.2, more=2) == (6, 6, 7)
    assert k_mesh(Atoms("Ti", cell=[5.9, 5.11, 20.0], pbc=[True, True, False]), 3.2, more=2) == (6, 6, 1)
    assert k_mesh(bulk("Al"), 4.0) == (11,) * 3  # primitive: 4·2π·√3/4.05 = 10.7


def test_arguments_of_gpaw_and_others():
    got = arguments_of(CalculatorSpec(), (4, 4, 4), 0.5, ["Na"] * 16)
    assert got["mode"] == {"name": "pw", "ecut": 300} and got["setups"] == {"Na": "1"}
    assert got["occupations"] == {"name": "fermi-dirac", "width": 0.5} and got["kpts"] == {"size": [4, 4, 4], "gamma": True}
    assert got["nbands"] == -28  # 16 × (0.75 + 2.5 × 0.4)
    mixed = arguments_of(CalculatorSpec(arguments={"mode": {"ecut": 500}}), (4, 4, 4), 0.1, ["Na", "W"])
    assert mixed["mode"] == {"name": "pw", "ecut": 500} and mixed["nbands"] == -2
    assert arguments_of(CalculatorSpec(name="vasp"), (4, 4, 4), 0.1, ["W"])["sigma"] == 0.1
    pw = arguments_of(CalculatorSpec(name="espresso", arguments={"input_data": {"system": {"ecutwfc": 60}}}), (4, 4, 4), 0.1, ["W"])
    assert pw["input_data"]["system"]["degauss"] == pytest.approx(0.00735, rel=1e-3) and pw["input_data"]["system"]["ecutwfc"] == 60
    assert arguments_of(CalculatorSpec(name="emt", arguments={"x": 1}), None, None, ["Cu"]) == {"x": 1}


K2 = {"name": "k+2", "more_k": 2, "frames": {0.1: 1}}
METAL = {"Na": {"potential": "Na/eam", "atoms": 16}}


@pytest.mark.parametrize(
    "content, sentence",
    [
        ({"parts": []}, "parts: List should have at least 1 item"),
        ({"parts": [{"name": "a"}]}, "parts.0: give either metals or structures"),
        ({"parts": [{"name": "a/b", "metals": METAL}]}, "parts.0.name"),
        ({"parts": [{"name": "a", "metals": METAL, "frame": 3}]}, "parts.0.frame: Extra inputs"),
        ({"parts": [{"name": "a", "metals": METAL}] * 2}, "two parts have the same name"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [0.1, 0.1]}]}, "a smearing is given twice"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [0.1], "repeats": [{**K2, "frames": {0.5: 2}}]}]}, "k.2 is asked for at 0.5 eV"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [0.1], "repeats": [{"name": "x", "frames": {0.1: 2}}]}]}, "give more_k or arguments"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [0.1], "repeats": [K2, K2]}]}, "two repeats have the same name"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [-0.1]}]}, "parts.0.smearing.0"),
        ({"parts": [{"name": "a", "metals": METAL, "smearing": [0.1, 0.1000000001]}]}, "two sets would have the name a-0.1eV"),
        ({"parts": [{"name": "a", "metals": METAL}, {"name": "a-Na", "structures": "x.cif"}]}, "keep their structures under the name a-Na"),
        ({"parts": [{"name": "a", "metals": {}}]}, "parts.0.metals"),
        ({"parts": [{"name": "a", "metals": METAL, "k_density": float("inf")}]}, "parts.0.k_density"),
        ({"parts": [{"name": "a", "metals": {"Na": {"potential": "Na/eam", "atoms": 40000}}}]}, "parts.0.metals.Na.atoms"),
        ({"calculator": {"name": "gpaw", "arguments": {"d": {1: "a"}}}, "parts": [{"name": "a", "metals": METAL}]}, "mappings whose keys are words"),
        ({"calculator": {"name": "gpaw", "arguments": {"d": float("nan")}}, "parts": [{"name": "a", "metals": METAL}]}, "give numbers, words"),
        ({"calculator": ":", "parts": [{"name": "a", "metals": METAL}]}, "calculator :: ASE has none"),
        ({"parts": [{"name": "a", "metals": {"Xx": METAL["Na"]}}]}, "Xx is no chemical symbol"),
        ({"parts": [{"name": "a", "metals": {"O": METAL["Na"]}}]}, "no metal O"),
        ({"parts": [{"name": "a", "metals": {"Na": {"potential": "Na/eam", "atoms": 7}}}]}, "no orthogonal cell of Na .bcc. has 7 atoms"),
        ({"parts": [{"name": "a", "metals": {"Na": {"potential": "Na/eem", "atoms": 8}}}]}, "Na/eem"),
        ({"calculator": "gpwa", "parts": [{"name": "a", "metals": METAL}]}, 'calculator gpwa: ASE has none of this name .did you mean "gpaw"'),
        ({"calculator": "emt", "parts": [{"name": "a", "metals": METAL, "smearing": [0.1]}]}, "not known where emt takes them"),
    ],
)
def test_bad_plans(tmp_path, content, sentence):
    import yaml

    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(MetalffError, match=sentence) as error:
        read_plan(path)
    assert "\n" not in str(error.value) and not (tmp_path / "dft").exists()


@pytest.mark.parametrize("text, sentence", [("parts: [", "is not YAML"), ("- 1", "must hold keys and values"), ("", "must hold keys and values")])
def test_plans_that_are_none(tmp_path, text, sentence):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(MetalffError, match=sentence):
        read_plan(tmp_path / "plan.yaml")
    with pytest.raises(MetalffError, match="cannot be read"):
        read_plan(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    "atoms, sentence",
    [
        (Atoms("Cu4", [[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]]), "structure 0 has no cell; plane waves need one"),
        (Atoms("Cu2", [[0, 0, 0], [0.1, 0, 0]], cell=[5, 5, 5], pbc=True), "two atoms are 0.10 Å apart"),
        (Atoms("Cu", [[float("nan"), 0, 0]], cell=[5, 5, 5], pbc=True), "not a finite number"),
    ],
)
def test_structures_that_cannot_be_labelled(plan, tmp_path, atoms, sentence):
    write(tmp_path / "bad.traj", atoms)
    with pytest.raises(MetalffError, match=sentence):
        make(plan("gpaw", parts=[{"name": "bad", "structures": str(tmp_path / "bad.traj")}]))
    assert not (tmp_path / "queue").exists()


@pytest.mark.parametrize("temperature", ["nan", "-5", "T", "warm"])
def test_temperatures_that_are_none(plan, tmp_path, temperature):
    (tmp_path / "t.extxyz").write_text(
        f'1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 temperature={temperature} pbc="T T T"\nCu 0 0 0\n'
    )
    with pytest.raises(MetalffError, match="structure 0: temperature=.* is none; give it in kelvin"):
        make(plan(parts=[{"name": "t", "structures": str(tmp_path / "t.extxyz")}]))


def test_clusters_are_labelled_where_the_calculator_takes_them(plan, tmp_path):
    write(tmp_path / "a@1.xyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]))
    assert len(make(plan(parts=[{"name": "pair", "structures": str(tmp_path / "a@1.xyz")}])).tasks) == 1
    write(tmp_path / "same.xyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]))
    with pytest.raises(MetalffError, match="two atoms are 0.10 Å apart"):
        make(plan(parts=[{"name": "pair", "structures": str(tmp_path / "same.xyz")}]), tmp_path / "other")


def test_structures_out_of_sets_and_files(plan, tmp_path):
    queue = make(plan(parts=[{"name": "dft", "structures": "zuo2020-Cu:test[frames=0:3]"}]))
    assert len(queue.tasks) == 3 and len(queue.structures("dft")[0]) == 107
    with pytest.raises(MetalffError, match="neither a file nor a bundled set"):
        make(plan(parts=[{"name": "dft", "structures": "nowhere"}]), tmp_path / "other")
    (tmp_path / "text.cif").write_text("nothing")
    with pytest.raises(MetalffError, match="text.cif"):
        make(plan(parts=[{"name": "dft", "structures": str(tmp_path / "text.cif")}]), tmp_path / "other")


def test_magnetic_metals_are_said(plan, tmp_path):
    write(tmp_path / "ni.traj", bulk("Ni", cubic=True))
    with pytest.warns(UserWarning, match="Ni: magnetic, but labelled without spin"):
        make(plan(parts=[{"name": "ni", "structures": str(tmp_path / "ni.traj")}]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        make(plan(), tmp_path / "copper")


def test_order_is_every_metal_at_the_same_pace(plan):
    metals = {"Na": {"potential": "Na/eam", "atoms": 16, "frames": 4}, "Al": {"potential": "Al/eam", "atoms": 8, "frames": 8}}
    parts = [
        {"name": "dose", "metals": metals, "smearing": [0.1, 0.5], "repeats": [K2]},
        {"name": "last", "metals": {"Cu": {"potential": "Cu/eam", "atoms": 8, "frames": 2}}},
    ]
    queue = make(plan("gpaw", parts=parts))
    assert len(queue.tasks) == 2 * (4 + 8) + 2 + 2
    first = queue.tasks[: len(queue.tasks) // 2]
    assert 4 <= sum(t.source == "dose-Na" for t in first) <= 5 and 8 <= sum(t.source == "dose-Al" for t in first) <= 9
    assert {t.source for t in queue.tasks[-2:]} == {"last-Cu"}
    repeat = next(t for t in queue.tasks if t.set == "dose-0.1eV-k+2" and t.source == "dose-Na")
    base = next(t for t in queue.tasks if t.set == "dose-0.1eV" and (t.source, t.index) == (repeat.source, repeat.index))
    sizes = [queue.arguments[t.arguments]["kpts"]["size"] for t in (base, repeat)]
    assert [b - a for a, b in zip(*sizes)] == [2, 2, 2]
    # strained cells of a metal have one mesh
    assert len({json.dumps(queue.arguments[t.arguments]["kpts"]) for t in queue.tasks if t.set == "dose-0.5eV" and t.source == "dose-Al"}) == 1


@pytest.fixture
def gpaw_queue(plan, tmp_path):
    return make(plan("gpaw", parts=[{"name": "mo", "structures": "zuo2020-Mo:test[frames=0:1]"}]))


def test_no_gpaw_names_the_command(gpaw_queue, metalff, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "home"))
    ran = metalff("dft", "run", tmp_path / "queue")
    assert ran.returncode == 1 and ran.stderr.strip().endswith("the environment for gpaw does not exist; run: metalff env create gpaw")


def test_missing_setup_is_named(gpaw_queue, tmp_path, monkeypatch):
    home = tmp_path / "home" / "envs" / "gpaw"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").touch()
    (home / environments.MARKER).write_text(json.dumps({"pins": environments.PINS["gpaw"], "versions": {}}))
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "home"))
    with pytest.raises(MetalffError, match="GPAW has no PAW setup Mo.PBE; make one with `gpaw dataset Mo -f PBE -w`"):
        runs.check(gpaw_queue)
    (home / "setups").mkdir()
    (home / "setups" / "Mo.PBE").touch()
    runs.check(gpaw_queue)


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setitem(environments.LIBRARIES, "gpaw", {"xc": ("xc_missing.h", "libxc-dev"), "nosuch": ("", "libnosuch-dev")})
    with pytest.raises(MetalffError, match="apt-get install libxc-dev libnosuch-dev"):
        environments._need_libraries("gpaw")


def test_no_queue(metalff, tmp_path):
    ran = metalff("dft", "status", tmp_path)
    assert ran.returncode == 1 and "holds no queue; make one: metalff dft queue PLAN.yaml" in ran.stderr
    (tmp_path / "queue.json").write_text("{")
    ran = metalff("dft", "run", tmp_path)
    assert ran.returncode == 1 and "is damaged" in ran.stderr and "Traceback" not in ran.stderr
    with pytest.raises(MetalffError):
        Queue(tmp_path)
