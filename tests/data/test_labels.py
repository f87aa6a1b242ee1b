"""One policy for every key: which words of a file are its labels, what is said of the others, and what is refused."""

import warnings

import numpy as np
import pytest

from metalff import data
from metalff.data import Keys
from metalff.data.checks import is_free_atom
from metalff.data.labels import plan
from metalff.errors import MetalffError

CELL = 'Lattice="4 0 0 0 4 0 0 0 4" pbc="T T T"'
WHOLE = {
    "plain": ("energy=-7", "forces:R:3"),
    "GAP": ("dft_energy=-7", "dft_force:R:3"),
    "suffix": ("energy_REF=-7", "forces_REF:R:3"),
    "mace": ("REF_energy=-7", "REF_forces:R:3"),
    "VASP": ("vasp_energy=-7", "vasp_forces:R:3"),
    "QUIP's capitals": ("QM_energy=-7", "QM_force:R:3"),
}


def file(tmp_path, header, columns="forces:R:3", rows=("Cu 0 0 0 0.1 0 0", "Cu 0 0 2 -0.1 0 0"), name="some.xyz"):
    path = tmp_path / name
    path.write_text(f"{len(rows)}\n{CELL} {header} Properties=species:S:1:pos:R:3:{columns}\n" + "\n".join(rows) + "\n")
    return path


def notes(path, **keys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = data.read(path, Keys(**keys))
    assert tuple(str(w.message) for w in caught) == dataset.notes
    return dataset.frames[0], dataset.notes


@pytest.mark.parametrize("case", WHOLE)
def test_families(case, tmp_path):
    frame, said = notes(file(tmp_path, *WHOLE[case]))
    assert frame.energy == -7 and frame.forces[0].tolist() == [0.1, 0, 0] and not said


@pytest.mark.parametrize("name", ["REF_virials", "REF_virial", "ref_VIRIALS", "REF_stress", "REF_stresses", "virials_REF"])
def test_stress_of_the_family(name, tmp_path):
    sign = -1 if "stress" in name.lower() else 1
    words = " ".join(str(sign * value) for value in (64, 6, 5, 6, 128, 4, 5, 4, 192))
    frame, said = notes(file(tmp_path, f'REF_energy=-7 {name}="{words}"', "REF_forces:R:3"))
    assert np.allclose(frame.stress * (1 if "stress" in name.lower() else 64), [[-64, -6, -5], [-6, -128, -4], [-5, -4, -192]]) and not said


def test_what_is_not_understood_is_said_once_per_file(tmp_path):
    path = file(tmp_path, "energy=-7 Dipole=3 md_step=4", "forces:R:3:magmoms:R:1", ("Cu 0 0 0 0.1 0 0 1", "Cu 0 0 2 -0.1 0 0 1"))
    path.write_text(path.read_text() * 3)
    frame, said = notes(path)
    assert said == ("some.xyz: not understood and left out: Dipole, magmoms, md_step",)


def test_labels_of_single_atoms_are_no_labels(tmp_path):
    rows = ("Cu 0 0 0 0.1 0 0" + " 1" * 10, "Cu 0 0 2 -0.1 0 0" + " 1" * 10)
    frame, said = notes(file(tmp_path, "energy=-7", "forces:R:3:virials:R:9:energy:R:1", rows))
    assert frame.stress is None and frame.energy == -7 and said == ("some.xyz: not understood and left out: energy (per atom), virials (per atom)",)


def test_stress_of_another_family_is_left_out_and_said(tmp_path):
    frame, said = notes(path := file(tmp_path, 'REF_energy=-7 Virials="1 2 3 0 0 0"', "REF_forces:R:3"))
    assert frame.stress is None
    assert said == ("some.xyz: left out, for the labels are those of another name: Virials; --virial-key would take them",)
    frame, said = notes(path, virial="virials")
    assert np.allclose(np.diag(frame.stress), -np.array([1, 2, 3]) / 64) and not said


def two(tmp_path, header, columns="REF_forces:R:3:forces:R:3", row="0.1 0 0 0.1 0 0"):
    return file(tmp_path, header, columns, (f"Cu 0 0 0 {row}", "Cu 0 0 2 0 0 0 0 0 0"))


def test_two_sets_that_agree_are_one(tmp_path):
    frame, said = notes(two(tmp_path, "REF_energy=-7 energy=-7.000001", row="0.1 0 0 0.10001 0 0"))
    assert frame.energy == -7 and frame.forces[0, 0] == 0.1 and not said


@pytest.mark.parametrize("family", ["", "MACE_", "dft_", "nep_"])
def test_two_sets_that_disagree_are_refused(family, tmp_path):
    columns = f"REF_forces:R:3:{family}forces:R:3"
    for header, row in ((f"REF_energy=-7 {family}energy=-6", "0.1 0 0 0.1 0 0"), (f"REF_energy=-7 {family}energy=-7", "0.1 0 0 0.2 0 0")):
        path = two(tmp_path, header, columns, row)
        with pytest.raises(
            MetalffError, match=f"REF_.* and {family}.* are two sets of labels that disagree; choose with --energy-key and --forces-key"
        ):
            data.read(path)
        for key, energy in (("REF_energy", -7), (f"{family}energy", -6 if "-6" in header else -7)):
            frame, _ = notes(path, energy=key, forces=key.replace("energy", "forces"))
            assert frame.energy == energy


def test_energy_alone_of_another_family_must_agree_too(tmp_path):
    with pytest.raises(MetalffError, match="REF_energy and energy are two sets of labels that disagree"):
        data.read(file(tmp_path, "REF_energy=-7 energy=-6", "REF_forces:R:3"))


REFUSED = {
    "mixed": ("REF_energy=-7", "forces:R:3", {}, "energy and forces are not of one family: REF_energy in the header, forces among the columns"),
    "a model's": ("MACE_energy=-7", "MACE_forces:R:3", {}, "MACE_energy and MACE_forces are what a model said.*--energy-key MACE_energy"),
    "no energy": ("Etot_x=-7", "forces:R:3", {}, "no energy in the header, whose keys are Lattice, pbc, Etot_x, Properties; --energy-key names"),
    "no forces": ("energy=-7", "force_x:R:3", {}, "no forces among the columns, which are species, force_x; --forces-key names"),
    "misspelt key": ("my_energy=-7", "forces:R:3", {"energy": "my_enrgy"}, r'no my_enrgy in the header \(did you mean "my_energy"\?\)'),
    "one of two families": (
        "REF_energy=-7 MACE_energy=-6",
        "REF_forces:R:3",
        {"energy": "MACE_energy"},
        "MACE_energy comes without forces of its family; say --forces-key, too",
    ),
    "per atom": ("energy_per_atom=-3.5", "forces:R:3", {}, "no energy in the header"),
    "two energies": ("energy=-7 total_energy=-8", "forces:R:3", {}, "energy and total_energy are two sets of labels that disagree"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    header, columns, keys, message = REFUSED[case]
    with pytest.raises(MetalffError, match=message):
        data.read(file(tmp_path, header, columns), Keys(**keys))


def test_any_key_can_be_named(tmp_path):
    path = file(tmp_path, 'my_e=-7 S="1 2 3 0 0 0"', "f:R:3")
    frame, said = notes(path, energy="My_E", forces="F", stress="s", stress_factor=-0.5)
    assert frame.energy == -7 and frame.forces[0, 0] == 0.1 and np.allclose(np.diag(frame.stress), [-0.5, -1, -1.5]) and not said
    again = data.read(f"{path}[energy_key=my_e,forces_key=f,stress_key=S,stress_factor=-0.5]")
    assert again.sha256 == data.read(path, Keys("my_e", "f", "S", None, -0.5)).sha256


def test_forces_belong_to_the_free_energy(tmp_path):
    frame, said = notes(file(tmp_path, "energy=-7 free_energy=-7.1"))
    assert frame.energy == -7 and "forces belong to free_energy, which differs by -50 meV/atom" in said[0]
    assert notes(file(tmp_path, "energy=-7 free_energy=-7.1"), energy="free_energy")[0].energy == -7.1
    assert not notes(file(tmp_path, "energy=-7 free_energy=-7.0001"))[1]


def test_group_and_weight(tmp_path):
    assert [data.read(file(tmp_path, f"energy=-7 {words}")).frames[0].group for words in ("Config_type=liquid", "config_type=.", "Group=b", "")] == [
        "liquid",
        "",
        "b",
        "",
    ]
    assert data.read(file(tmp_path, "energy=-7 Weight=2 config_weight=0.25")).frames[0].weight == 0.5
    back = tmp_path / "back.xyz"
    data.write_extxyz(data.read(file(tmp_path, "energy=-7 weight=0.1")).frames, back)
    assert data.read(back).frames[0].weight == 0.1


def test_zero_stress_of_a_free_atom_says_nothing(tmp_path):
    path = tmp_path / "atom.xyz"
    path.write_text(
        '1\nLattice="20 0 0 0 20 0 0 0 20" pbc="F F F" energy=-1 stress="0 0 0 0 0 0 0 0 0" Properties=species:S:1:pos:R:3:forces:R:3\nCu 0 0 0 0 0 0\n'
    )
    assert data.read(path).frames[0].stress is None


def test_plan_is_one_for_all_frames():
    found = plan(("lattice", "properties", "ref_energy", "virial", "note"), ("ref_forces",))
    assert found.keys == {"energy": "ref_energy", "forces": "ref_forces"} and found.left_out == ("virial", "note") and not found.rivals


LONE = {
    "mace's own": "1\nProperties=species:S:1:pos:R:3 config_type=IsolatedAtom energy_REF=-0.25 pbc='F F F'\nCu 0 0 0\n",
    "integer forces": "1\nProperties=species:S:1:pos:R:3:forces:I:3 energy=-0.25 config_type=IsolatedAtom\nCu 0 0 0 0 0 0\n",
    "in a box": '1\nLattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3 dft_energy=-0.25 config_type=isolated_atom\nCu 0 0 0\n',
}


@pytest.mark.parametrize("case", LONE)
def test_free_atoms_need_no_forces(case, tmp_path):
    (tmp_path / "atom.xyz").write_text(LONE[case])
    (frame,) = data.read(tmp_path / "atom.xyz")
    assert frame.energy == -0.25 and frame.forces.tolist() == [[0, 0, 0]] and is_free_atom(frame)
    (tmp_path / "two.xyz").write_text(LONE["mace's own"].replace("1\n", "2\n", 1) + "Cu 0 0 2\n")
    with pytest.raises(MetalffError, match="no forces among the columns"):
        data.read(tmp_path / "two.xyz")


def test_free_atoms_beside_named_keys(tmp_path):
    path = tmp_path / "iso.xyz"
    path.write_text(
        f"1\nconfig_type=IsolatedAtom E_x=-0.2 Properties=species:S:1:pos:R:3\nCu 0 0 0\n2\n{CELL} E_x=-7 Properties=species:S:1:pos:R:3:F_x:R:3\nCu 0 0 0 0.1 0 0\nCu 0 0 2 -0.1 0 0\n"
    )
    assert [frame.energy for frame in data.read(path, Keys("E_x", "F_x"))] == [-0.2, -7]


def test_frames_of_one_file_have_labels_of_one_family(tmp_path):
    first = file(tmp_path, "REF_energy=-7", "REF_forces:R:3").read_text()
    path = tmp_path / "mixed.xyz"
    path.write_text(first + file(tmp_path, "energy=-6").read_text())
    with pytest.raises(MetalffError, match=r"frame 1 .*labels are energy here, but REF_energy in frame 0"):
        data.read(path)
    path.write_text("1\nenergy=-0.2 Properties=species:S:1:pos:R:3\nCu 0 0 0\n" + first)
    assert len(data.read(path)) == 2


def test_a_stress_that_vanishes_need_not_be_symmetric(tmp_path):
    assert data.read(file(tmp_path, 'energy=-7 stress="1e-6 2e-7 0 0 1e-6 0 0 0 1e-6"')).frames[0].stress is not None
