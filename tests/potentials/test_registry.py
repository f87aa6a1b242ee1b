"""The registry: every entry resolves, is physical and measures what its paper says; guards."""

import hashlib
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from metalff import MLFFCalculator
from metalff.artifact import read_manifest
from metalff.errors import MetalffError
from metalff.lammps import LammpsCalculator
from metalff.paths import shared
from metalff.potentials import entries, names, resolve, usable
from metalff.potentials import registry as registry_module
from metalff.potentials.crystal import check_crystal
from metalff.potentials.registry import Entry

COHESIVE_ENERGY = {"Cu/eam": 3.54, "Cu/meam": 3.54}  # eV/atom, fitted to experiment in both papers


def element_of(name):
    return name.partition("/")[0]


@pytest.mark.parametrize("name", [*(n for n in entries() if n.startswith("Cu/")), "Al/eam", "Nb/meam", "W/eam", "Pt/meam"])
def test_lattice_constant(name):
    potential = resolve(name)
    found = check_crystal(potential.calculator(), element_of(name), potential.crystal, potential.lattice_constant * 1.01)
    assert found.lattice_constant == pytest.approx(potential.lattice_constant, abs=1e-3)
    if name in COHESIVE_ENERGY:
        assert found.cohesive_energy == pytest.approx(COHESIVE_ENERGY[name], abs=1e-3)


@pytest.mark.parametrize("name", usable())
def test_nothing_beyond_the_cutoff(name):
    """Two atoms just outside the registry's cutoff do not see each other."""
    calculator = resolve(name).calculator()
    cutoff = resolve(name).cutoff
    energies = []
    for distance in (cutoff + 0.01, cutoff + 1.0):
        atoms = Atoms([element_of(name)] * 2)
        atoms.set_cell([0, 0, 0])
        atoms.pbc = False
        atoms.positions[1] = (distance, 0, 0)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    assert energies[0] == pytest.approx(energies[1], abs=1e-12)


@pytest.mark.filterwarnings("ignore:.*fails its check")
@pytest.mark.parametrize("name", entries())
def test_lines_can_be_pasted(name):
    potential = resolve(name, [element_of(name)])
    lines = potential.lammps_commands()
    assert lines[0].startswith("pair_style ") and all(line.startswith("pair_coeff * * ") for line in lines[1:])
    assert all(file.is_absolute() and file.is_file() and str(file) in lines[1] for file in potential.files)
    assert len(potential.sha256) == 64 and potential.doi.startswith("10.") and potential.citation and potential.licence


def test_types_may_repeat():
    """Two atom types of one element: the same energy as with one type."""
    one, two = bulk("Cu", cubic=True), bulk("Cu", cubic=True)
    one.calc = resolve("Cu/meam").calculator()
    two.calc = LammpsCalculator(resolve("Cu/meam", ["Cu", "Cu"]).lammps_commands(), ["Cu", "Cu"])
    assert one.get_potential_energy() == pytest.approx(two.get_potential_energy(), abs=1e-10)


def test_paths_with_spaces(tmp_path, monkeypatch):
    folder = tmp_path / "with a space"
    folder.mkdir()
    source = resolve("Cu/eam").files[0]
    (folder / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(registry_module, "potentials_dir", lambda: folder)
    atoms = bulk("Cu", a=3.615)
    atoms.calc = resolve("Cu/eam").calculator()
    assert np.isfinite(atoms.get_potential_energy())


def altered(monkeypatch, folder, keep):
    for file in resolve("Cu/eam").files:
        if keep:
            (folder / file.name).write_bytes(file.read_bytes() + b"\n")
    monkeypatch.setattr(registry_module, "potentials_dir", lambda: folder)
    return resolve("Cu/eam")


NEGATIVE_CONTROLS = {
    "near name": (
        lambda m, t: resolve("Cu/eamm"),
        r'no potential Cu/eamm \(did you mean "Cu/eam"\?\); there are .*Cu/snap',
    ),
    "far name": (lambda m, t: resolve("xyzzy"), r"no potential xyzzy; there are .* or give the path of a .mlff file"),
    "other element": (lambda m, t: resolve("Cu/eam", ["Cu", "Ni"]), "Cu/eam has no parameters for Ni; it is for Cu"),
    "altered file": (
        lambda m, t: altered(m, t, True),
        "Cu_mishin1.eam.alloy of this LAMMPS is not the file that Cu/eam means",
    ),
    "missing file": (
        lambda m, t: altered(m, t, False),
        "Cu/eam needs Cu_mishin1.eam.alloy, which this LAMMPS does not have",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case, monkeypatch, tmp_path):
    act, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        act(monkeypatch, tmp_path)


def test_unknown_key_in_an_entry():
    fields = entries()["Cu/eam"].model_dump() | {"cutof": 1.0}
    with pytest.raises(ValueError, match="cutof"):
        Entry.model_validate(fields)


def test_bundled_models_go_by_element_and_family(monkeypatch, tmp_path):
    monkeypatch.setattr(registry_module, "shared", lambda *parts: Path(tmp_path, *parts))
    folder = tmp_path / "potentials" / "mlff"
    folder.mkdir(parents=True)
    (folder / "Cu-mace.mlff").touch()
    assert "Cu/mace" in names()
    assert registry_module.bundled_models()["Cu/mace"] == folder / "Cu-mace.mlff"


@pytest.mark.parametrize("name", registry_module.PUBLISHED)
def test_published_models_are_references(name, monkeypatch, tmp_path):
    """A bundled model of others goes by its paper; the parameter file that it is made from ships as it was published."""
    element = element_of(name)
    readme, file = shared("potentials", "reference", "README.md"), shared("potentials", "reference", "mtp", f"{element}.mtp")
    assert f"| `{element}.mtp` | `{hashlib.sha256(file.read_bytes()).hexdigest()}` |" in readme.read_text("utf-8")
    monkeypatch.setattr(registry_module, "shared", lambda *parts: Path(tmp_path, *parts))
    folder = tmp_path / "potentials" / "mlff"
    folder.mkdir(parents=True)
    nep = read_manifest(shared("potentials", "mlff", f"{element}-nep.mlff")).citation
    shutil.copy(shared("potentials", "mlff", f"{element}-nep.mlff"), folder / f"{element}-mtp.mlff")
    potential = resolve(name)
    assert (potential.label, potential.doi, potential.kind) == ("MTP (Zuo 2020)", "10.1021/acs.jpca.9b08723", "mlff")
    assert potential.citation.splitlines()[0] == "Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020)" and nep in potential.citation
    assert potential.files == (folder / f"{element}-mtp.mlff",) and name in names()
    assert registry_module.listed(name).doi == potential.doi


@pytest.mark.parametrize("spec", ["Cu/mace", "file"])
def test_mlff_files_become_pair_style_mlff(spec, monkeypatch, tmp_path):
    """Only the resolving is tested here; the file is opened by ``metalff.artifact``, which stands in as a stub."""
    path = tmp_path / "potentials" / "mlff" / "Cu-mace.mlff"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"model")
    stub = ModuleType("metalff.artifact")
    stub.read_manifest = lambda path: SimpleNamespace(elements=["Ni", "Cu"], r_max=5.0, citation="", licence="MIT")
    monkeypatch.setitem(sys.modules, "metalff.artifact", stub)
    monkeypatch.setattr(registry_module, "shared", lambda *parts: Path(tmp_path, *parts))
    potential = resolve(str(path) if spec == "file" else spec, ["Cu"])
    assert potential.lammps_commands() == ["pair_style mlff", f"pair_coeff * * {path} Cu"]
    assert potential.name == ("Cu-mace.mlff" if spec == "file" else "Cu/mace")
    assert (potential.kind, potential.label, potential.cutoff) == ("mlff", "Cu-mace", 5.0)
    assert potential.sha256 == hashlib.sha256(b"model").hexdigest()
    assert resolve(spec if spec != "file" else str(path)).elements == ("Ni", "Cu")
    with pytest.raises(MetalffError, match="has no parameters for Mo; it is for Ni Cu"):
        resolve(str(path), ["Mo"])


@pytest.mark.parametrize("name", ["a b", "it's", "a#1", "cost$x", '"a"', "a & b", "${x}", "-x", "(x);y", "a\\b", "50%"])
def test_a_file_with_any_printable_name_is_one_word_for_lammps(name, tmp_path):
    """Blanks, quotes, comments and variables of LAMMPS are nothing special in a path."""
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(shared("potentials", "mlff", "Cu-nep.mlff"), folder)
    calculator = LammpsCalculator(resolve(folder / "Cu-nep.mlff", ["Cu"]).lammps_commands(), ["Cu"])
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    calculator.close()
    atoms.calc = MLFFCalculator(folder / "Cu-nep.mlff")
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("Müller", "holds the character 'ü', which LAMMPS cannot take: rename the file or its folder"),
        ("a\tb", r"holds the character '\\t' \(not printable\), which LAMMPS cannot take"),
        ("x\nshell touch ran\n", r"holds the character '\\n' \(not printable\), which LAMMPS cannot take"),
        ("a'b\"c", "holds both kinds of quotes, which LAMMPS cannot take"),
    ],
)
def test_a_name_that_lammps_cannot_take_is_refused_where_it_enters(name, sentence, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(shared("potentials", "mlff", "Cu-nep.mlff"), folder)
    with pytest.raises(MetalffError, match=sentence):
        resolve(folder / "Cu-nep.mlff", ["Cu"])
