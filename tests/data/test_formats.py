"""What communities keep their data in: read to the same numbers as by their own programs, written and read back, refused in a sentence."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from metalff import data
from metalff.data import Dataset
from metalff.data.formats import WRITERS, format_of, lost
from metalff.data.others import ASE_FORMATS
from metalff.errors import MetalffError

COMMUNITY = Path(__file__).parent / "community"
EV_A3_PER_KBAR = 1 / 1602.176634


def unpacked(name, tmp_path):
    path = tmp_path / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((COMMUNITY / name).read_bytes()))
    return path


def same(a, b, digits=0):
    """Whether two sets hold the same frames; ``digits``: of the largest number, 0 for equal."""
    for f, g in zip(a, b, strict=True):
        for key in ("numbers", "positions", "cell", "energy", "forces", "stress"):
            one, two = (getattr(frame, key) for frame in (f, g))
            assert (one is None) == (two is None), key
            if one is not None:
                assert np.allclose(one, two, rtol=0, atol=10.0**-digits if digits else 0), key
        assert f.pbc.tolist() == g.pbc.tolist() and f.group == g.group
    return True


@pytest.mark.parametrize("name", ["vasprun.xml", "some-vasprun_3.xml"])
def test_vasprun(name, tmp_path):
    """Numbers as VASP printed them: energy without entropy, and stresses in kB with the other sign."""
    path = tmp_path / name
    shutil.move(unpacked("vasprun.xml.gz", tmp_path), path)
    dataset = data.read(path)
    assert len(dataset) == 10 and dataset.elements == ["Ti"] and len(dataset.frames[0]) == 32
    assert dataset.frames[-1].energy == -252.37927641
    text = path.read_text()
    printed = np.array([line.split()[1:4] for line in text[text.rindex('<varray name="stress"') :].splitlines()[1:4]], float)
    assert np.allclose(dataset.frames[-1].stress, -EV_A3_PER_KBAR * printed, atol=1e-9)
    assert data.read(COMMUNITY / "vasprun.xml.gz").sha256 == dataset.sha256


def test_a_cut_vasprun_is_refused(tmp_path):
    path = unpacked("vasprun.xml.gz", tmp_path)
    path.write_text(path.read_text()[: int(0.6 * path.stat().st_size)])
    with pytest.raises(MetalffError, match="the file ends within calculation 7 of 8; it is truncated"):
        data.read(path)


def test_what_a_format_cannot_say_is_said(some, tmp_path):
    frames = [replace(f, weight=0.5, temperature=300.0, group="a") for f in some]
    WRITERS["mtp"](frames, tmp_path / "out.cfg")
    assert lost(frames, "mtp") == [] and [(f.weight, f.temperature, f.group) for f in data.read(tmp_path / "out.cfg")] == [(0.5, 300.0, "a")] * 5
    assert [s.split(" of ")[0] for s in lost(frames, "deepmd")] == ["weights", "temperatures", "groups, also that"]
    assert "stress of 4 frames" in lost([replace(f, pbc=np.array([True, True, False])) for f in some], "mtp")[0]


def test_movement_of_pwmat(tmp_path):
    """The file has minus the forces, and says so: ``Force (-force, eV/Angstrom)``."""
    pytest.importorskip("dpdata")
    path = unpacked("Cu_MOVEMENT.gz", tmp_path)
    first, second = data.read(path)
    lines = path.read_text().splitlines()
    at = next(k for k, line in enumerate(lines) if "Force (-force" in line)
    printed = np.array([line.split()[1:4] for line in lines[at + 1 : at + 73]], float)
    assert np.allclose(first.forces, -printed, atol=1e-12) and len(first) == 72
    assert first.energy == -357682.8045
    assert np.allclose(first.stress[0], -np.array([734.547, -0.240455, -0.244180]) / np.linalg.det(first.cell), rtol=2e-4)
    work = -0.5 * np.sum((first.forces + second.forces) * (second.positions - first.positions))
    assert np.isclose(second.energy - first.energy, work, rtol=0.2)  # the sign is right


def test_quantum_espresso():
    """Molecular dynamics of two atoms by pw.x: Ry, bohr and kbar as printed, stresses with the other sign."""
    rydberg, bohr = 13.605693, 0.529177
    text = gzip.decompress((COMMUNITY / "Al_pw.out.gz").read_bytes()).decode().splitlines()
    dataset = data.read(COMMUNITY / "Al_pw.out.gz")
    energies = [float(line.split()[4]) for line in text if line.startswith("!")]
    forces = [list(map(float, line.split()[6:9])) for line in text if "atom    2 type  1   force" in line]
    kbar = [[float(word) for word in text[k + 1].split()[3:6]] for k, line in enumerate(text) if "total   stress" in line]
    assert len(dataset) == len(energies) == 3 and dataset.elements == ["Al"]
    for frame, energy, force, stress in zip(dataset, energies, forces, kbar):
        assert np.isclose(frame.energy, energy * rydberg, rtol=1e-6) and np.allclose(frame.forces[1], np.array(force) * rydberg / bohr, atol=1e-5)
        assert np.allclose(frame.stress[0], -EV_A3_PER_KBAR * np.array(stress), atol=2e-5)


def test_cp2k(tmp_path):
    pytest.importorskip("dpdata")
    path = unpacked("Al_cp2k.out.gz", tmp_path)
    (frame,) = data.read(path)
    assert np.isclose(frame.energy, -8.149065172 * 27.211386, rtol=1e-6) and np.allclose(frame.forces[0], [0, 0, -0.00235573 * 51.42207], atol=1e-5)
    assert frame.elements == ["Al"] and np.allclose(frame.cell, 4.05 * np.eye(3), atol=1e-6)


def test_mlip():
    with pytest.warns(UserWarning, match="Cu_mtp.cfg does not name its elements; its one type is taken for Cu, by the name of the file"):
        (frame,) = data.read(COMMUNITY / "Cu_mtp.cfg")
    volume = 4.396834 * 2.538513 * 15.218062
    assert frame.energy == -20.56857794 and frame.forces[0].tolist() == [0.003987, 0, -0.093326]
    assert np.allclose(frame.stress[[0, 1, 2, 0], [0, 1, 2, 2]] * volume, [1.61627, 1.63388, 0.55849, 0.02493], rtol=1e-6)
    assert data.read(f"{COMMUNITY / 'Cu_mtp.cfg'}[elements=Ag]").elements == ["Ag"]


def test_mlip_in_another_order(tmp_path):
    """The header of PlusStress says the order."""
    text = (COMMUNITY / "Cu_mtp.cfg").read_text()
    moved = text.replace("xx          yy          zz          yz          xz          xy", "zz xx yy xy yz xz")
    moved = moved.replace(
        "-1.61627    -1.63388    -0.55849    -0.00000    -0.02493    -0.00000", "-0.55849 -1.61627 -1.63388 -0.00000 -0.00000 -0.02493"
    )
    (tmp_path / "Cu_x.cfg").write_text(moved)
    with pytest.warns(UserWarning):
        assert same(data.read(tmp_path / "Cu_x.cfg"), data.read(COMMUNITY / "Cu_mtp.cfg"))


def test_fitsnap(tmp_path):
    """Stresses in bar, positive under compression; a folder's groups are its folders."""
    (frame,) = data.read(COMMUNITY / "Ta_fitsnap.json")
    assert (
        frame.energy == -279.206496
        and len(frame) == 24
        and np.allclose(frame.stress[0, :2], [6761.16 / 1602176.634, 2211.94 / 1602176.634], rtol=1e-9)
    )
    for group in ("Bulk_A15", "Surface"):
        (tmp_path / "JSON" / group).mkdir(parents=True)
        shutil.copy(COMMUNITY / "Ta_fitsnap.json", tmp_path / "JSON" / group / "one.json")
    folder = data.read(tmp_path / "JSON")
    assert [f.group for f in folder] == ["Bulk_A15", "Surface"] and len({(f.source, f.index) for f in folder}) == 2
    text = (COMMUNITY / "Ta_fitsnap.json").read_text().replace('"StressStyle": "bar"', '"StressStyle": "kB"')
    (tmp_path / "kB.json").write_text(text)
    assert np.allclose(data.read(tmp_path / "kB.json").frames[0].stress, 1000 * frame.stress)


def test_deepmd():
    arrays = {path.stem: np.load(path) for path in (COMMUNITY / "Ta_deepmd" / "set.000").glob("*.npy")}
    dataset = data.read(COMMUNITY / "Ta_deepmd")
    assert len(dataset) == 9 and dataset.elements == ["Ta"]
    for k, frame in enumerate(dataset):
        assert frame.energy == arrays["energy"].ravel()[k] and np.array_equal(frame.forces.ravel(), arrays["force"][k].astype(float))
        assert np.allclose(-frame.stress * np.linalg.det(frame.cell), arrays["virial"][k].reshape(3, 3), rtol=1e-6, atol=1e-6)


def test_deepmd_raw_and_mixed(tmp_path):
    npy = COMMUNITY / "Ta_deepmd"
    raw, mixed = tmp_path / "raw", tmp_path / "mixed"
    (mixed / "set.000").mkdir(parents=True)
    raw.mkdir()
    for folder in (raw, mixed):
        shutil.copy(npy / "type_map.raw", folder)
        shutil.copy(npy / "type.raw", folder)
    for path in (npy / "set.000").glob("*.npy"):
        np.savetxt(raw / f"{path.stem}.raw", np.load(path).reshape(9, -1), fmt="%.18e")
        shutil.copy(path, mixed / "set.000")
    types = np.array((npy / "type.raw").read_text().split(), int)
    real = np.tile(types, (9, 1))
    real[:, -1] = -1  # a place without an atom
    np.save(mixed / "set.000" / "real_atom_types.npy", real)
    assert same(data.read(raw), data.read(npy), digits=12)
    assert [len(f) for f in data.read(mixed)] == [len(types) - 1] * 9
    assert np.array_equal(data.read(mixed).frames[2].forces, data.read(npy).frames[2].forces[:-1])


FILES = {"frames.traj": "traj", "frames.db": "db", "frames.json": "json"}


@pytest.fixture
def some():
    """Frames of two groups, one without stress."""
    frames = list(data.load("zuo2020-Mo", "test").frames[:3]) + list(data.load("li2020-Nb", "test").frames[:2])
    frames[1] = replace(frames[1], stress=None)
    return Dataset("some", tuple(frames))


@pytest.mark.parametrize("name", FILES)
def test_ase(name, some, tmp_path):
    images = []
    for frame in some:
        atoms = frame.to_atoms()
        stress = {} if frame.stress is None else {"stress": frame.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]}
        atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces, **stress)
        atoms.info["group"] = frame.group
        images.append(atoms)
    if name.endswith("traj"):
        ase.io.write(tmp_path / name, images)
    else:
        from ase.db import connect

        with connect(tmp_path / name) as base:
            for atoms in images:
                base.write(atoms, group=atoms.info["group"])
    assert same(data.read(tmp_path / name), some, digits=12)


def test_labels_in_a_database(some, tmp_path):
    """As mace's users keep them: REF_energy and REF_forces, a calculator's own results beside."""
    from ase.db import connect

    frame = some.frames[0]
    atoms, more = frame.to_atoms(), {"REF_energy": frame.energy, "REF_forces": frame.forces}
    connect(tmp_path / "a.db").write(atoms, data=more)
    assert data.read(tmp_path / "a.db").frames[0].energy == frame.energy
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((len(atoms), 3)))
    connect(tmp_path / "b.db").write(atoms, data=more)
    with pytest.raises(MetalffError, match="frame 0: REF_energy and energy are two sets of labels that disagree"):
        data.read(tmp_path / "b.db")


def test_labels_of_info_and_calculator_must_agree(some, tmp_path):
    """Labels in ``info`` are no less labels where they are arrays of one number, or have the names of results."""
    atoms = some.frames[0].to_atoms()
    results = {"energy": -99.0, "forces": np.zeros((len(atoms), 3))}
    for k, info in enumerate(({"REF_energy": np.array([-7.0])}, {"energy": -7.0})):
        atoms.calc, atoms.info = SinglePointCalculator(atoms, **results), info
        ase.io.write(tmp_path / f"{k}.traj", [atoms])
        with pytest.raises(MetalffError, match="are two sets of labels that disagree"):
            data.read(tmp_path / f"{k}.traj")


def test_structures_without_labels(tmp_path):
    ase.io.write(tmp_path / "bare.traj", [data.load("zuo2020-Mo", "test").frames[0].to_atoms()])
    with pytest.raises(MetalffError, match="bare.traj: frame 0: no energy in the header"):
        data.read(tmp_path / "bare.traj")


NAMES = {"extxyz": "out.xyz", "gpumd": "train.xyz", "deepmd": "out", "mtp": "out.cfg"}


@pytest.mark.parametrize("format", WRITERS)
def test_what_is_written_is_read_back(format, some, tmp_path):
    path = tmp_path / NAMES[format]
    assert format_of(path) == format
    WRITERS[format](some.frames, path)
    back = data.read(path)
    if format == "deepmd":  # systems by composition, atoms by element; a system's name is the group
        order = {frame.energy: frame for frame in some}
        back = Dataset("back", tuple(replace(frame, group=order[frame.energy].group) for frame in back))
        some = Dataset("some", tuple(order[frame.energy] for frame in back))
    assert same(back, some, digits=0 if format == "extxyz" else 12)
    assert [f.weight for f in back] == [1.0] * 5


def test_deepmd_kit_s_own_order(tmp_path):
    """Atoms of several elements come in the order of their types, which dpdata and deepmd-kit expect."""
    frame = data.load("zuo2020-Cu", "test").frames[0]
    mixed = replace(frame, numbers=np.where(np.arange(len(frame)) % 2, 29, 13))
    WRITERS["deepmd"]([mixed], tmp_path / "out")
    (system,) = (tmp_path / "out").iterdir()
    types = np.array((system / "type.raw").read_text().split(), int)
    assert (system / "type_map.raw").read_text().split() == ["Al", "Cu"] and np.array_equal(types, np.sort(types))
    assert np.array_equal(np.load(system / "set.000" / "coord.npy").reshape(-1, 3)[types == 1], mixed.positions[1::2])
    dpdata = pytest.importorskip("dpdata")
    theirs = dpdata.LabeledSystem(str(system), fmt="deepmd/npy")
    assert theirs["energies"].tolist() == [frame.energy] and np.allclose(theirs["forces"][0], data.read(tmp_path / "out").frames[0].forces, atol=1e-6)


def entry(**changes):
    content = json.loads((COMMUNITY / "Ta_fitsnap.json").read_text().split("\n", 1)[1])
    content["Dataset"]["Data"][0] |= changes
    return "# comment\n" + json.dumps(content)


REFUSED = {
    "nonsense": ("run.log", "nothing\n" * 9, r"run.log: no format that is known has the ending .log; metalff reads extxyz \(.xyz"),
    "no vasprun": ("vasprun.xml", "<modeling><calculation>", "vasprun.xml: ASE cannot read it as vasprun.xml of VASP"),
    "cut .cfg": ("Cu.cfg", (COMMUNITY / "Cu_mtp.cfg").read_text()[:700], r"configuration 0 \(line 1\): the file ends within it; it is truncated"),
    ".cfg without forces": ("Cu.cfg", (COMMUNITY / "Cu_mtp.cfg").read_text().replace("fx ", "gx "), "no forces; calculate it first"),
    ".cfg of unnamed types": (
        "mtp.cfg",
        (COMMUNITY / "Cu_mtp.cfg").read_text(),
        r"type 0 is an element that the file does not name; .*'mtp.cfg\[elements=Cu\|Zr\]'",
    ),
    "FitSNAP in pascal": ("Ta.json", entry().replace('"StressStyle": "bar"', '"StressStyle": "Pa"'), "the unit Pa is not read"),
    "FitSNAP, short forces": ("Ta.json", entry(Forces=[[0, 0, 0]]), "entry 0: not an entry of FitSNAP"),
    "FitSNAP, cut": ("Ta.json", entry()[:-90], "not valid JSON of FitSNAP"),
    "FitSNAP, flat cell": ("Ta.json", entry(Lattice=[[4, 0, 0], [8, 0, 0], [0, 0, 4]]), "entry 0: the periodic cell vectors are linearly dependent"),
    "FitSNAP without data": ("Ta.json", '{"Dataset": {"Data": null}}', "not valid JSON of FitSNAP"),
    "JSON without end": ("a.json", "[" * 200000, "not valid JSON"),
    "an empty file": ("frames.traj", "", "frames.traj: ASE cannot read it as trajectory of ASE"),
    "elements where they are named": ("a.xyz[elements=Cu]", "x", "elements=… is for .cfg of MLIP"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case, tmp_path):
    name, content, message = REFUSED[case]
    (tmp_path / name.partition("[")[0]).write_text(content)
    with pytest.raises(MetalffError, match=message):
        data.read(tmp_path / name)


def damaged_deepmd(tmp_path, change):
    folder = tmp_path / "system"
    shutil.copytree(COMMUNITY / "Ta_deepmd", folder)
    change(folder)
    return folder


DAMAGES = {
    "no type map": (lambda f: (f / "type_map.raw").unlink(), "names no elements: put their symbols into"),
    "a type too many": (lambda f: (f / "type.raw").write_text("0\n1\n"), "has types that type_map.raw"),
    "no forces": (lambda f: (f / "set.000" / "force.npy").unlink(), "has no force"),
    "no box": (lambda f: (f / "set.000" / "box.npy").unlink(), "has no box; put a file 'nopbc'"),
    "another size": (lambda f: np.save(f / "set.000" / "force.npy", np.zeros(5)), "force has 5 numbers, not 162 for each of 9 frames"),
    "objects": (
        lambda f: np.save(f / "set.000" / "energy.npy", np.array([{}], object), allow_pickle=True),
        "energy.npy is damaged or no array of numbers",
    ),
    "words": (lambda f: (f / "type.raw").write_text("Ta Ta"), "type.raw holds something else than numbers"),
    "no symbol": (lambda f: (f / "type_map.raw").write_text("Qq"), "Qq is no chemical symbol"),
    "not finite": (lambda f: np.save(f / "set.000" / "energy.npy", np.full(9, np.nan)), "frame 0: energy is not a finite number"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_deepmd(case, tmp_path):
    change, message = DAMAGES[case]
    with pytest.raises(MetalffError, match=message):
        data.read(damaged_deepmd(tmp_path, change))


def test_no_format_of_ase_keeps_python_objects():
    assert not {"bundletrajectory", "gpw", "pickle"} & set(ASE_FORMATS)
