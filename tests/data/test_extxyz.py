"""extxyz: what is written is read back exactly; every kind of bad file gets its own sentence."""

import gzip
import re

import numpy as np
import pytest
from ase.io import read as ase_read

from metalff import data
from metalff.data import Frame
from metalff.errors import MetalffError

HEADER = 'Lattice="4 0 0 0 4 0 0.5 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-7.5 pbc="T T F"'
ATOMS = ["Cu 0 0 0 0.1 0.2 0.3", "Ni 1 2 3 -0.1 -0.2 -0.3"]


def text(header=HEADER, atoms=ATOMS, count=2):
    return "\n".join([str(count), header, *atoms]) + "\n"


def saved(tmp_path, content, name="some.xyz"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", data.names())
def test_round_trip_is_exact(name, tmp_path):
    frames = data.load(name, "test").frames
    data.write_extxyz(frames, tmp_path / "out.xyz")
    back = data.read(tmp_path / "out.xyz")
    assert back.sha256 == data.load(name, "test").sha256
    assert [(f.group, f.temperature) for f in back] == [(f.group, f.temperature) for f in frames]


def test_ase_reads_what_is_written(tmp_path):
    frame = data.load("zuo2020-Mo", "test").frames[0]
    data.write_extxyz([frame], tmp_path / "out.xyz")
    atoms = ase_read(tmp_path / "out.xyz")
    assert atoms.info["REF_energy"] == frame.energy
    assert np.array_equal(atoms.arrays["REF_forces"], frame.forces)
    assert np.array_equal(np.reshape(atoms.info["REF_stress"], (3, 3)), frame.stress)
    assert np.array_equal(atoms.cell.array, frame.cell)


def test_fields(tmp_path):
    frame = data.read(saved(tmp_path, gzip.compress(text().encode()), "some.xyz.gz")).frames[0]
    assert frame.elements == ["Ni", "Cu"] and len(frame) == 2
    assert frame.energy == -7.5 and frame.pbc.tolist() == [True, True, False]
    assert frame.cell.tolist() == [[4, 0, 0], [0, 4, 0], [0.5, 0, 4]]
    assert frame.forces[1].tolist() == [-0.1, -0.2, -0.3]
    assert frame.stress is None and frame.temperature is None and frame.group == ""
    assert np.array_equal(frame.to_atoms().positions, frame.positions)


KEYS = {
    "energy before free_energy": ("energy=-7.5", "free_energy=-7.5001 energy=-7.5", "forces", -7.5),
    "free_energy alone": ("energy=-7.5", "free_energy=3", "forces", 3.0),
    "force": ("forces", "force", "force", -7.5),
    "capitals": ("energy=-7.5", "Energy=-7.5", "forces", -7.5),
    "total_energy": ("energy=-7.5", "total_energy=-7.5", "forces", -7.5),
    "TotEnergy": ("energy=-7.5", "TotEnergy=-7.5", "forces", -7.5),
    "a mark of an editor at the beginning": ("Lattice", "Lattice", "forces", -7.5),
    "keys of GPUMD in lower case": ("Lattice", "lattice", "forces", -7.5),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys(case, tmp_path):
    old, new, _, energy = KEYS[case]
    mark = "\ufeff" if "mark" in case else ""
    frame = data.read(saved(tmp_path, mark + text(HEADER.replace(old, new)))).frames[0]
    assert frame.energy == energy and frame.forces[0].tolist() == [0.1, 0.2, 0.3] and frame.cell[2].tolist() == [0.5, 0, 4]


STRESSES = {
    "nine": 'stress="1 6 5 6 2 4 5 4 3"',
    "voigt": 'stress="1 2 3 4 5 6"',
    "stresses": 'stresses="1 6 5 6 2 4 5 4 3"',
    "Virial": 'Virial="-64 -384 -320 -384 -128 -256 -320 -256 -192"',
    "virials of six": 'virials="-64 -128 -192 -256 -320 -384"',
    "both, and they agree": 'stress="1 2 3 4 5 6" virial="-64 -128 -192 -256 -320 -384"',
    "brackets": "stress=[[1, 6, 5], [6, 2, 4], [5, 4, 3]]",
    "virial": 'virial="-64 -384 -320 -384 -128 -256 -320 -256 -192"',
}


@pytest.mark.parametrize("case", STRESSES)
def test_stress(case, tmp_path):
    frame = data.read(saved(tmp_path, text(f"{HEADER} {STRESSES[case]}"))).frames[0]
    assert np.allclose(frame.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]], atol=1e-12)


NEGATIVE_CONTROLS = {
    "no energy": (text(HEADER.replace("energy=-7.5", "")), r"frame 0 \(line 1\): no energy in the header"),
    "no forces": (
        text(HEADER.replace(":forces:R:3", ""), ["Cu 0 0 0", "Cu 1 2 3"]),
        "frame 0 .*no forces among the columns",
    ),
    "NaN force": (text(atoms=["Cu 0 0 0 nan 0 0", ATOMS[1]]), "forces is not a finite number"),
    "NaN energy": (text(HEADER.replace("-7.5", "nan")), "energy is not a finite number"),
    "energy is a word": (text(HEADER.replace("-7.5", "none")), "energy is not a finite number"),
    "infinite position": (text(atoms=["Cu inf 0 0 0 0 0", ATOMS[1]]), "positions is not a finite number"),
    "truncated in frame 1": (text() + text(atoms=ATOMS[:1]), r"frame 1 \(line 5\): the file ends after 1 of 2 atoms"),
    "truncated line": (text(atoms=[ATOMS[0], "Ni 1 2"]), "an atom line does not match"),
    "other columns": (text(atoms=[line + " 5" for line in ATOMS]), "does not match the Properties"),
    "unknown species": (text(atoms=[ATOMS[0], ATOMS[1].replace("Ni", "Qq")]), "Qq is no chemical symbol"),
    "species in capitals": (text(atoms=[ATOMS[0].replace("Cu", "CU"), ATOMS[1]]), r'CU is no chemical symbol \(did you mean "Cu"'),
    "species X": (text(atoms=[ATOMS[0], ATOMS[1].replace("Ni", "X")]), "X is no chemical element"),
    "Z of 999": (text(HEADER.replace("species:S", "Z:I"), ["29" + ATOMS[0][2:], "999" + ATOMS[1][2:]]), "no element with the atomic number 999"),
    "Z of -1": (text(HEADER.replace("species:S", "Z:I"), ["29" + ATOMS[0][2:], "-1" + ATOMS[1][2:]]), "no element with the atomic number -1"),
    "cut within the last number": (text()[:-2], r"frame 0 \(line 1\): the file ends within a line, so its last number may be cut"),
    "energy of no structure": (text(HEADER.replace("-7.5", "1e308")), "an energy of 1e\\+308 eV is that of no structure"),
    "periodic without a cell": (text(HEADER.replace('Lattice="4 0 0 0 4 0 0.5 0 4"', "")), "pbc says periodic, but the cell vectors"),
    "cell of zeros": (text(HEADER.replace("4 0 0 0 4 0 0.5 0 4", "0 0 0 0 0 0 0 0 0")), "pbc says periodic, but the cell vectors"),
    "flat cell": (text(HEADER.replace("4 0 0 0 4 0", "4 0 0 4 0 0")), "cell vectors are linearly dependent"),
    "slab with zero c and a stress": (text(HEADER.replace("0.5 0 4", "0 0 0") + ' stress="1 2 3 4 5 6"'), "the cell has no volume"),
    "virial of a slab with zero c": (
        text(HEADER.replace("0.5 0 4", "0 0 0") + ' virial="1 2 3 4 5 6"'),
        "virial is given, but the cell has no volume",
    ),
    "stress of a cluster": (text(HEADER.replace("T T F", "F F F") + ' stress="1 2 3 4 5 6"'), "a stress on atoms without periodic images"),
    "stress and virial contradict": (
        text(HEADER + ' stress="1 2 3 4 5 6" virial="64 128 192 256 320 384"'),
        "stress and virial contradict each other",
    ),
    "stress in another order": (text(HEADER + ' stress="1 2 3 4 5 6 7 8 9"'), "stress is not symmetric"),
    "energy twice": (text(HEADER + " Energy=-8"), "the header says energy twice, and not the same"),
    "negative weight": (text(HEADER + " weight=-1"), "weight -1 must not be negative"),
    "endless line": (text(HEADER + " comment=" + "x" * 2_000_000), "a line is longer than 1,048,576 characters"),
    "stress of five": (text(HEADER + ' stress="1 2 3 4 5"'), "stress must have 9 or 6 numbers"),
    "short Lattice": (text(HEADER.replace("0.5 0 4", "0.5 0")), "Lattice must have 9 numbers, not 8"),
    "pbc of two": (text(HEADER.replace("T T F", "T T")), "pbc must be three of T and F, not 'T T'"),
    "Hartree": (text(HEADER + " energy_unit=Hartree"), "energy_unit=Hartree in the header; convert the file to eV and Å"),
    "atomic units": (text(HEADER + ' units="eV, bohr"'), "units=eV, bohr in the header"),
    "kcal": (text(HEADER + " force_units=kcal/mol/A"), "force_units=kcal/mol/A in the header"),
    "not extxyz": ("LAMMPS data file\n\n2 atoms\n", "expected a number of atoms, found 'LAMMPS data file'"),
    "empty": ("", "holds no frames"),
    "no atoms": ("0\n" + HEADER + "\n", "0 is no number of atoms"),
    "absurdly many atoms": (text(count=10**20), "100000000000000000000 is no number of atoms"),
    "cell in metres": (text(HEADER.replace("4 0 0 0 4 0 0.5 0 4", "4e-10 0 0 0 4e-10 0 0 0 4e-10")), "is that of no crystal; is the cell in Å"),
    "gap": (text() + "\n" + text(), "an empty line where a number of atoms belongs"),
    "binary": (b"\xff\xfe\x00\x80", "not a text file"),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case, tmp_path):
    content, message = NEGATIVE_CONTROLS[case]
    path = saved(tmp_path, content)
    with pytest.raises(MetalffError, match=message) as caught:
        data.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "units=eV",
        'unit="eV, Angstrom"',
        "energy_unit=eV force_unit=eV/Å",
        "stress_unit=eV/A^3",
        "units=metal",
        "units=eV/Angstroms",
        "energy_unit=electronvolt",
        "force_unit=eV·Å⁻¹",
    ],
)
def test_own_units_may_be_declared(words, tmp_path):
    assert len(data.read(saved(tmp_path, text(f"{HEADER} {words}")))) == 1


OTHER_UNITS = """energy_unit=eV/atom REF_energy_unit=Hartree dft_force_units=Ha/Bohr pos_unit=bohr cell_units=nm pressure_unit=kbar stress_unit=eV
virial_unit=eV/A^3 force_unit="10^-3 eV/A" force_unit="eV/A^2" units="eV, bohr" """


@pytest.mark.parametrize("words", re.findall(r'\w+=(?:"[^"]*"|\S+)', OTHER_UNITS))
def test_other_units_are_refused_whatever_their_key(words, tmp_path):
    with pytest.raises(MetalffError, match="in the header; convert the file to eV and Å"):
        data.read(saved(tmp_path, text(f"{HEADER} {words}")))


def test_units_of_what_is_not_read_are_left_out_and_said(tmp_path):
    with pytest.warns(UserWarning, match="some.xyz: not understood and left out: formula_units, time_unit"):
        data.read(saved(tmp_path, text(f"{HEADER} time_unit=fs formula_units=4")))


def test_an_empty_value_takes_nothing_of_the_next_key(tmp_path):
    """ASE writes ``config_type= `` for an empty string, and quotes within strings as backslash and quote."""
    frame = data.read(saved(tmp_path, text(f'config_type= stress="1 2 3 4 5 6" comment= weight=0.5 {HEADER}'))).frames[0]
    assert frame.group == "" and frame.stress[0, 0] == 1 and frame.weight == 0.5
    words = f'{HEADER} note="INCAR \\"x\\" weight=5 temperature=7 energy=99"'
    frame = data.read(saved(tmp_path, text(words))).frames[0]
    assert frame.energy == -7.5 and frame.weight == 1 and frame.temperature is None


DAMAGES = [lambda raw: raw[:-20], lambda raw: b"no gzip" + raw, lambda raw: raw[:15] + b"\x00\xff" + raw[17:]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_gzip(damage, tmp_path):
    path = saved(tmp_path, damage(gzip.compress(text().encode() * 50)), "some.xyz.gz")
    with pytest.raises(MetalffError, match="gzip stream is damaged or truncated"):
        data.read(path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = saved(tmp_path, "precious")
    good = data.load("zuo2020-Li", "test").frames[0]
    bad = Frame(good.numbers, good.positions, good.cell, good.pbc, good.energy, good.forces[:-1])
    with pytest.raises(ValueError):
        data.write_extxyz([good, bad], path)
    assert path.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1
