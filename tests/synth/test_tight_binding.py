"""The d-band model: derivatives by finite differences, folded meshes, sum rules, its names and commands."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import layout, write_extxyz
from metalff.errors import MetalffError
from metalff.potentials import names, resolve
from metalff.synth import doses
from metalff.synth import tight_binding as tb
from metalff.synth.tight_binding import Dose, TightBinding, d_electrons, fermi_level, k_points, model, primitive_cell

DOSES = [Dose(3.5, 0.1), Dose(6.0, 0.3), Dose(9.5, 0.05)]


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def refused(*words):
    result = metalff(*words)
    assert isinstance(result.exception, MetalffError), (result.output, result.exception)
    return str(result.exception)


@pytest.fixture(scope="module")
def rattled():
    """Four atoms of a skewed cell, smaller than the cutoff."""
    atoms = bulk("Nb", "bcc", 3.3, cubic=True) * (2, 1, 1)
    atoms.rattle(0.15, seed=1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True)
    return atoms


@pytest.fixture(scope="module")
def labels(rattled):
    return model("Nb").labels(rattled, DOSES, (2, 3, 3))


def energies(atoms, mesh=(2, 3, 3)):
    return np.array([label.energy for label in model("Nb").labels(atoms, DOSES, mesh, gradients=False)])


def test_forces_are_derivatives_of_the_free_energy(rattled, labels):
    h = 1e-4
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        sides = []
        for sign in (1, -1):
            moved = rattled.copy()
            moved.positions[atom, axis] += sign * h
            sides.append(energies(moved))
        np.testing.assert_allclose([label.forces[atom, axis] for label in labels], (sides[1] - sides[0]) / (2 * h), atol=2e-6)
    for label in labels:
        assert abs(label.forces.sum(axis=0)).max() < 1e-10


def test_stress_is_the_derivative_by_strain(rattled, labels):
    h = 1e-4
    for a, b in ((0, 0), (0, 1), (1, 2)):
        sides = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            strained = rattled.copy()
            strained.set_cell(rattled.cell.array @ strain, scale_atoms=True)
            sides.append(energies(strained))
        slope = (sides[0] - sides[1]) / (2 * h) / rattled.get_volume()
        np.testing.assert_allclose([label.stress[a, b] for label in labels], slope, atol=2e-7)


def test_hopping_is_that_of_slater_and_koster():
    l, m, n = u = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
    s, p, d = tb.SIGMA, tb.PI, tb.DELTA
    found, slope = tb._angular(u[None])
    assert found[0, 0, 0] == pytest.approx(3 * l**2 * m**2 * s + (l**2 + m**2 - 4 * l**2 * m**2) * p + (n**2 + l**2 * m**2) * d)
    assert found[0, 0, 1] == pytest.approx(3 * l * m**2 * n * s + l * n * (1 - 4 * m**2) * p + l * n * (m**2 - 1) * d)
    z2 = n**2 - (l**2 + m**2) / 2
    assert found[0, 4, 4] == pytest.approx(z2**2 * s + 3 * n**2 * (l**2 + m**2) * p + 0.75 * (l**2 + m**2) ** 2 * d)
    third = np.sqrt(3) / 2 * (l**2 - m**2) * z2 * s + np.sqrt(3) * n**2 * (m**2 - l**2) * p + np.sqrt(3) / 4 * (1 + n**2) * (l**2 - m**2) * d
    assert found[0, 3, 4] == pytest.approx(third)
    assert np.trace(found[0]) == pytest.approx(s + 2 * p + 2 * d, abs=1e-12)


def test_hopping_and_repulsion_end_smoothly():
    low, high = tb.SWITCH
    x = np.array([low - 1e-4, low + 1e-4, high - 1e-4, high + 1e-4])
    value, slope = tb._switch(x)
    np.testing.assert_allclose(value, [1, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    middle = np.linspace(low, high, 50)
    np.testing.assert_allclose(tb._switch(middle)[1], (tb._switch(middle + 1e-6)[0] - tb._switch(middle - 1e-6)[0]) / 2e-6, atol=1e-8)


def test_a_supercell_is_a_folded_mesh():
    one = primitive_cell("Nb")
    few = model("Nb").labels(one * (2, 1, 1), DOSES, (4, 8, 8))
    single = model("Nb").labels(one, DOSES, (8, 8, 8))
    for a, b in zip(few, single, strict=True):
        assert a.energy == pytest.approx(2 * b.energy, abs=1e-9) and a.fermi_level == pytest.approx(b.fermi_level, abs=1e-9)
        np.testing.assert_allclose(a.stress, b.stress, atol=1e-10)


def test_a_rigid_shift_changes_nothing(rattled, labels):
    moved = rattled.copy()
    moved.positions += [7.1, -0.3, 2.2]
    for before, after in zip(labels, model("Nb").labels(moved, DOSES, (2, 3, 3)), strict=True):
        assert after.energy == pytest.approx(before.energy, abs=1e-9)
        np.testing.assert_allclose(after.forces, before.forces, atol=1e-9)


def test_a_turned_cell_turns_the_forces(rattled, labels):
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    turned = rattled.copy()
    turned.set_cell(rattled.cell.array @ turn, scale_atoms=True)
    for before, after in zip(labels, model("Nb").labels(turned, DOSES, (2, 3, 3)), strict=True):
        assert after.energy == pytest.approx(before.energy, abs=1e-9)
        np.testing.assert_allclose(after.forces, before.forces @ turn, atol=1e-9)


def test_the_level_holds_the_electrons():
    values = np.random.default_rng(2).normal(size=(7, 5))
    weights = np.full(7, 1 / 7)
    for electrons in (1e-6, 0.3, 5.0, 9.99):
        for kT in (1e-3, 0.5):
            level = fermi_level(values, weights, electrons, kT)
            assert 2 * (weights @ (1 / (1 + np.exp(np.clip((values - level) / kT, -700, 700))))).sum() == pytest.approx(electrons, rel=1e-6)


def test_an_empty_and_a_full_band_bind_nothing(rattled):
    empty, full = model("Nb").labels(rattled, [Dose(0.0), Dose(10.0)], (1, 1, 1))
    assert empty.band_energy == 0 and full.band_energy == pytest.approx(0, abs=1e-9)  # the trace of H
    np.testing.assert_allclose(empty.forces, full.forces, atol=1e-9)
    assert empty.entropy == full.entropy == 0


def test_free_energy_and_entropy_belong_together(rattled):
    """dF = −S dT at fixed number of electrons."""
    h = 1e-4
    low, at, high = model("Nb").labels(rattled, [Dose(4.0, 0.2 - h), Dose(4.0, 0.2), Dose(4.0, 0.2 + h)], (2, 2, 2), gradients=False)
    assert (high.energy - low.energy) / (2 * h) == pytest.approx(-at.entropy, rel=1e-6)


def test_repulsion_holds_the_metal_at_its_volume():
    def label(length, gradients):
        atoms = primitive_cell("Nb")
        atoms.set_cell(atoms.cell * length, scale_atoms=True)
        return TightBinding("Nb", k=5.0).label(atoms, gradients)

    middle = label(1.0, True)
    assert abs(np.trace(middle.stress)) / 3 < 0.003  # eV/Å³, 0.5 GPa: the fit has another mesh
    assert min(label(length, False).energy for length in (0.97, 1.03)) > middle.energy


def test_eigenvalues_on_the_whole_mesh():
    atoms = primitive_cell("Pd")
    values = TightBinding("Pd").get_eigenvalues(atoms, (3, 4, 5))
    assert values.shape == (5, 3, 4, 5) and (np.diff(values, axis=0) >= -1e-12).all()
    np.testing.assert_allclose(values, np.roll(values[:, ::-1, ::-1, ::-1], 1, axis=(1, 2, 3)), atol=1e-12)  # k and −k
    np.testing.assert_allclose(values[:, 0, 0, 0][[1, 2]], values[0, 0, 0, 0], atol=1e-9)  # t2g and e_g at Γ
    np.testing.assert_allclose(values.sum(axis=0).mean(), 0, atol=0.05)
    points, weights = k_points((3, 4, 5))
    assert weights.sum() == pytest.approx(1) and len(points) == (3 * 4 * 5 + 2) // 2


def test_mirror_of_the_mesh_order():
    """Each point is where its index says: an energy of one point computed by itself."""
    atoms, index = primitive_cell("Nb"), (1, 2, 3)
    values = model("Nb").eigenvalues(atoms, (4, 4, 5))
    structure = tb._Structure(atoms, model("Nb"))
    phases = structure.phases(np.array([[1 / 4, 2 / 4, 3 / 5]]))
    np.testing.assert_allclose(values[(slice(None), *index)], np.linalg.eigvalsh(structure.matrix(phases, structure.hopping))[0], atol=1e-12)


def test_atoms_without_neighbours_and_clusters():
    alone = Atoms("Nb")
    alone.calc = TightBinding("Nb", filling=5, kT=0.1)
    assert alone.get_potential_energy() == pytest.approx(-0.1 * 10 * np.log(2)) and abs(alone.get_forces()).max() == 0
    pair = Atoms("Nb2", positions=[[0, 0, 0], [0, 0, 2.4]])
    pair.calc = TightBinding("Nb")
    assert pair.get_forces()[0, 2] == pytest.approx(-pair.get_forces()[1, 2]) and abs(pair.get_forces()[0, 2]) > 0.1
    with pytest.raises(MetalffError, match="does not have Mo"):
        TightBinding("Nb").label(Atoms("NbMo", positions=[[0, 0, 0], [0, 0, 2]]))


def test_electrons_of_the_metals():
    assert [d_electrons(symbol) for symbol in ("Sc", "Ti", "Nb", "Mo", "Hf", "W", "Pd", "Au")] == [1.5, 2.5, 3.5, 4.5, 2.5, 4.5, 8.5, 9.5]


def test_names(tmp_path):
    potential = resolve("Nb/tb[filling=4,kT=0.5]", ["Nb"])
    assert potential.kind == "tb" and potential.elements == ("Nb",) and "Nb/tb" in names() and not potential.in_lammps
    calculator = potential.calculator()
    assert calculator.dose == Dose(4.0, 0.5) and calculator.k == tb.K_DENSITY
    assert resolve("Nb/tb").sha256 == resolve("Nb/tb[filling=3.5,kT=0.1]").sha256 != potential.sha256
    with pytest.raises(MetalffError, match="runs in ASE only"):
        potential.lammps_commands()
    shown = metalff("potentials", "show", "Nb/tb[filling=4]")
    assert shown.exit_code == 0 and "4 electrons" in shown.output and "runs in ASE only" in shown.output


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("Nb/tb[fillin=4]", 'no knob fillin (did you mean "filling"?)'),
        ("Nb/tb[filling=11]", "a d band holds 0 to 10 electrons"),
        ("Nb/tb[filling=-1]", "a d band holds 0 to 10 electrons"),
        ("Nb/tb[kT=0]", "an electronic temperature from 1e-06 to 100 eV"),
        ("Nb/tb[kT=1e-7]", "an electronic temperature from 1e-06 to 100 eV"),
        ("Nb/tb[kT=101]", "an electronic temperature from 1e-06 to 100 eV"),
        ("Nb/tb[filling=4,filling=6]", "filling is there twice"),
        ("Nb/tb[]", "a knob in the brackets is empty"),
        ("Nb/tb[kT=warm]", "kT must be a number"),
        ("Nb/tb[k=0]", "density of the mesh must be above 0"),
        ("Al/tb", "Al has no d band"),
        ("Nb/tb[", "give a metal and its knobs"),
    ],
)
def test_bad_names_are_refused_in_a_sentence(name, sentence):
    with pytest.raises(MetalffError) as error:
        resolve(name)
    assert sentence in str(error.value)


@pytest.fixture(scope="module")
def frames(tmp_path_factory, rattled):
    """A folder in the layout with a file of two frames."""
    folder = tmp_path_factory.mktemp("tb") / "frames"
    folder.mkdir()
    found = []
    for k in range(2):
        atoms = rattled.copy()
        atoms.rattle(0.05, seed=k)
        zero = np.zeros((len(atoms), 3))
        found.append(data.Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 0.0, zero, temperature=300.0, index=k))
    write_extxyz(found, folder / "Nb_bcc_300.extxyz")
    return folder


def test_several_doses_share_the_work_and_files_that_are_there_are_kept(frames, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("data", "synth", "Nb/tb[k=2]", "--structures", frames, "--kT", "0.1,0.5", "--jobs", 1, "--out", out)
    calls = []
    whole = tb.DBand.labels
    monkeypatch.setattr(tb.DBand, "labels", lambda self, atoms, doses, *more: calls.append(len(doses)) or whole(self, atoms, doses, *more))
    monkeypatch.setattr(doses, "side_by_side", lambda function, tasks, jobs, tick: ((key, function(*task), None) for key, task in tasks.items()))
    assert metalff(*words, "--filling", "2,6").exit_code == 0 and calls == [4, 4]
    again = metalff(*words, "--filling", "2,6,8")
    assert again.exit_code == 0 and calls == [4, 4, 2, 2], again.output
    folder = out / "Nb-tb-filling6-kT0.5-k2"
    said = json.loads((folder / "manifest.json").read_text())
    assert (
        said["tight_binding"]["filling"] == 6
        and said["tight_binding"]["kT_eV"] == 0.5
        and said["files"]["Nb_bcc_300.extxyz"]["meshes"] == [[2, 4, 4]]
    )
    for frame in layout.read_folder(folder):
        atoms = frame.to_atoms()
        atoms.calc = resolve("Nb/tb[filling=6,kT=0.5,k=2]").calculator()
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-6)
    assert metalff("data", "relabel", frames, "Nb/tb[filling=6,kT=0.5,k=2]", "--out", tmp_path / "one").exit_code == 0
    assert (tmp_path / "one" / "Nb_bcc_300.extxyz").read_bytes() == (folder / "Nb_bcc_300.extxyz").read_bytes()


def test_commands_refuse_in_a_sentence(frames, tmp_path):
    out = ("--out", tmp_path / "out")
    assert "knobs of tight binding" in refused("data", "synth", "Nb/eam", "--filling", "2", *out)
    assert "give it once" in refused("data", "synth", "Nb/tb[filling=2]", "--filling", "2", *out)
    assert "0 to 10 electrons" in refused("data", "synth", "Nb/tb", "--filling", "11", *out)
    assert "from 0 to 10, such as 2,4,6" in refused("data", "synth", "Nb/tb", "--filling", "-1", *out)
    ignored = ("--md", "Nb/eam", "--crystal", "bcc", "--frames", 1000, "--temperatures", "300", "--spacing", "50fs", "--seed", 1)
    for k in range(0, len(ignored), 2):
        words = ("data", "synth", "Nb/tb", "--structures", frames, *ignored[k : k + 2], *out)
        assert f"{ignored[k]}: for molecular dynamics, which --structures replaces" in refused(*words)
    assert "--kT 0: give eV" in refused("data", "synth", "Nb/tb", "--kT", "0", *out)
    assert "is no folder" in refused("data", "synth", "Nb/tb", "--structures", tmp_path / "none", *out)
    assert "runs in ASE only" in refused("data", "synth", "Nb/tb", "--md", "Nb/tb", *out)
    assert "no EAM or MEAM" in refused("data", "synth", "Tc/tb", *out)
    assert "--md is for tight binding" in refused("data", "synth", "Nb/eam", "--md", "Nb/eam", *out)
    with pytest.raises(MetalffError, match="does not have Nb"):
        doses.label(frames, ["Mo/tb"], tmp_path / "mo")
    assert not (tmp_path / "out").exists()


def saved(folder, *several):
    folder.mkdir(parents=True)
    found = [data.Frame(a.numbers, a.positions, a.cell.array, a.pbc, 0.0, np.zeros((len(a), 3)), temperature=300.0) for a in several]
    write_extxyz(found, folder / "Nb_bcc_300.extxyz")
    return folder


def test_labels_of_other_structures_are_not_kept(tmp_path):
    cell = primitive_cell("Nb")
    moved = cell.copy()
    moved.set_cell(1.01 * cell.cell.array, scale_atoms=True)
    one, two, out = saved(tmp_path / "a" / "src", cell), saved(tmp_path / "b" / "src", moved), tmp_path / "out"
    label = ("data", "relabel", one, "Nb/tb[kT=0.2,k=1,filling=4]", "--out", out)
    assert metalff(*label).exit_code == 0
    before = (out / "Nb_bcc_300.extxyz").read_bytes()
    other = ("data", "relabel", two, "Nb/tb[filling=4,kT=0.2,k=1]", "--out", out)
    assert refused(*other) == f"{out} holds labels of other structures; choose another --out"
    assert metalff(*label).exit_code == 0 and (out / "Nb_bcc_300.extxyz").read_bytes() == before
    name = "Nb/tb[filling=4,kT=0.2,k=1]"
    doses.label(one, [name, "Nb/tb[k=1,kT=0.2,filling=4.0]"], tmp_path / "doses")
    assert [path.name for path in (tmp_path / "doses").iterdir()] == ["Nb-tb-filling4-kT0.2-k1"]
    with pytest.raises(MetalffError, match="labels of other structures"):
        doses.label(two, [name], tmp_path / "doses")
    said = json.loads((out / "manifest.json").read_text())
    del said["files"]["Nb_bcc_300.extxyz"]["structures_sha256"]
    (out / "manifest.json").write_text(json.dumps(said))  # as written before there were hashes
    assert metalff(*other).exit_code == 0


def test_labels_do_not_replace_those_of_their_structures(tmp_path):
    source = saved(tmp_path / "src", primitive_cell("Nb"))
    file = source / "Nb_bcc_300.extxyz"
    before = file.read_bytes()
    for words in ((source, source / ".." / "src"), (file, source / ".." / "src" / file.name)):
        assert "is where the structures are" in refused("data", "relabel", words[0], "Nb/tb[k=1]", "--out", words[1])
    assert file.read_bytes() == before and list(source.iterdir()) == [file]


def test_labels_replace_a_file_only_where_asked(tmp_path):
    file, out = saved(tmp_path / "src", primitive_cell("Nb")) / "Nb_bcc_300.extxyz", tmp_path / "labels.extxyz"
    label = ("data", "relabel", file, "Nb/tb[k=1]", "--out", out)
    assert metalff(*label).exit_code == 0
    labels = out.read_bytes()
    out.write_text("of someone else")
    assert refused(*label) == f"{out} exists; choose another name or add --force"
    assert out.read_text() == "of someone else"
    assert metalff(*label, "--force").exit_code == 0 and out.read_bytes() == labels


@pytest.mark.parametrize("name", ["Nb/tb[k=1]", "Nb/eam"])
def test_a_frame_that_nothing_can_label_is_named_and_nothing_is_written(name, tmp_path):
    twice = Atoms("Nb2", positions=[[1, 1, 1], [1, 1, 1.0005]], cell=[5, 5, 5], pbc=True)
    source = saved(tmp_path / "src", primitive_cell("Nb"), twice)
    sentence = "frame 1 of src/Nb_bcc_300.extxyz: atoms 0 and 1 are at one place"
    assert sentence in refused("data", "relabel", source, name, "--out", tmp_path / "one")
    if "tb" in name:
        with pytest.raises(MetalffError, match=sentence):
            doses.label(source, [name], tmp_path / "many")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


@pytest.mark.parametrize(
    "atoms, k, sentence",
    [
        (Atoms(), 1, "it has no atoms"),
        (Atoms("Nb", cell=[0.05] * 3, pbc=True), 1, "its cell is too small"),
        (Atoms("Nb", cell=[3, 3, 0], pbc=True), 1, "zero or lie in one plane"),
        (primitive_cell("Nb"), 50, "too large for 1 atom"),
    ],
)
def test_structures_out_of_reach_are_refused_in_a_sentence(atoms, k, sentence):
    with pytest.raises(MetalffError, match=sentence):
        TightBinding("Nb", k=k).label(atoms)
    assert len(doses.expanded(["Nb/tb"], [0.0, 10.0])) == 2


def test_labels_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    source = saved(tmp_path / "src", primitive_cell("Nb"))
    monkeypatch.setattr(tb.DBand, "labels", lambda self, *more: [tb.Label(np.nan, np.zeros((1, 3)), np.zeros((3, 3)), 0, 0, 0)])
    with pytest.raises(MetalffError, match="frame 0 of .*not finite"):
        doses.label(source, ["Nb/tb[k=1]"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
