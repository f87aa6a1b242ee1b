"""Paths of metals, their energies, and GPAW along one of them where its environment is."""

import json

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from typer.testing import CliRunner

from metalff import environments, errors
from metalff.cli import build_app
from metalff.data.metals import metal
from metalff.errors import MetalffError
from metalff.fermi import path_energies, paths
from metalff.fermi.roughness import roughness


@pytest.mark.parametrize("symbol", ["Cu", "Nb", "Ti"])
def test_every_path_starts_at_the_crystal_and_stays_inside_its_cell(symbol):
    perfect = metal(symbol)
    per_atom = perfect.unit_cell().get_volume() / len(perfect.unit_cell())
    for name in paths.names_of(symbol):
        along = paths.path(symbol, name)
        centre = along.place(0.0)
        shortest = neighbor_list("d", centre, 1.2 * perfect.nearest_neighbour).min()
        assert shortest == pytest.approx(perfect.nearest_neighbour, rel=1e-6)
        assert centre.get_volume() / len(centre) == pytest.approx(per_atom)
        fractional = np.array([atoms.get_scaled_positions(wrap=False) for atoms in along.atoms()])
        assert len(centre) == 1 or (fractional.min() > 0 and fractional.max() < 1)
        assert len(along.parameter) == (11 if along.even else 21)
        assert along.parameter[0] == (0 if along.even else -along.parameter[-1])


def test_strains_are_what_they_say():
    for symbol, name in (("Nb", "tetragonal"), ("Cu", "trigonal"), ("Ti", "axial"), ("Ti", "orthorhombic")):
        volumes = [atoms.get_volume() for atoms in paths.path(symbol, name).atoms()]
        np.testing.assert_allclose(volumes, volumes[0])
    volume = paths.path("Nb", "volume")
    assert volume.place(0.03).get_volume() == pytest.approx(1.03**3 * volume.place(0).get_volume())
    axial = paths.path("Ti", "axial")
    assert axial.place(0.05).cell.lengths()[2] == pytest.approx(np.exp(0.05) * metal("Ti").c)
    assert volume.length == pytest.approx(metal("Nb").nearest_neighbour)


@pytest.mark.parametrize("name", ["phonon", "thermal"])
def test_displacements_are_in_angstrom_and_leave_the_centre_of_mass(name):
    for symbol in ("Cu", "Nb", "Ti"):
        along = paths.path(symbol, name)
        moved = along.place(0.07).positions - along.place(0.0).positions
        assert np.sqrt((moved**2).sum(axis=1).mean()) == pytest.approx(0.07)
        np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-12)


def test_a_phonon_is_even():
    from ase.calculators.morse import MorsePotential

    for symbol in ("Cu", "Nb", "Ti"):
        along = paths.path(symbol, "phonon")
        energies = []
        for value in (0.1, -0.1):
            atoms = along.place(value)
            atoms.calc = MorsePotential(epsilon=1, r0=metal(symbol).nearest_neighbour, rho0=4.0, rcut1=3.5, rcut2=4.0)
            energies.append(atoms.get_potential_energy())
        assert energies[0] == pytest.approx(energies[1], abs=1e-10)


def test_meshes_are_as_dense_in_every_cell():
    primitive = paths.path("Nb", "volume").place(0.0)
    assert paths.meshes(primitive, (24, 32)) == [[24] * 3, [32] * 3]
    for symbol in ("Na", "Cu", "Ti", "Zn"):
        for name in paths.names_of(symbol):
            atoms = paths.path(symbol, name).place(0.0)
            spacing = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1) / paths.meshes(atoms, (24,))[0]
            longest = 2 * np.pi * np.linalg.norm(paths.path(symbol, "volume").place(0.0).cell.reciprocal(), axis=1).max()
            assert (spacing <= longest / 24 * 1.001).all()


def test_unknown_paths_and_methods():
    with pytest.raises(MetalffError, match="no metal Xx"):
        paths.path("Xx", "volume")
    with pytest.raises(MetalffError, match='no path phonn .did you mean "phonon"'):
        paths.path("Cu", "phonn")
    with pytest.raises(MetalffError, match="Cu is fcc and has no path axial"):
        paths.path("Cu", "axial")
    with pytest.raises(MetalffError, match="no method vasp"):
        path_energies.check("Cu", "phonon", "vasp")
    with pytest.raises(MetalffError, match="Al has no tb here; it has dft, eam, meam"):
        path_energies.check("Al", "phonon", "tb")


def test_files_are_kept_believed_only_when_whole_and_made_into_tables(tmp_path):
    """MEAM of Ta jumps along the tetragonal path, where second neighbours pass the edge of the screening; EAM does not."""
    files = [path_energies.compute("Ta", "tetragonal", method, tmp_path) for method in ("eam", "meam")]
    stamps = [file.stat().st_mtime_ns for file in files]
    assert [path_energies.compute("Ta", "tetragonal", method, tmp_path) for method in ("eam", "meam")] == files
    assert [file.stat().st_mtime_ns for file in files] == stamps
    rows = path_energies.write_tables(path_energies.in_order(tmp_path), tmp_path / "out")
    smooth, jumps = (row["roughness"] for row in rows)
    assert smooth < 0.05 and jumps > 100 * smooth
    kept = json.loads(files[1].read_text())
    assert jumps == pytest.approx(roughness(kept["parameter"], kept["records"][0]["energy"]).residual)
    curves = (tmp_path / "out" / "curves.csv").read_text().splitlines()
    assert len(curves) == 1 + 2 * 21
    files[0].write_text(files[0].read_text()[:-40])
    with pytest.raises(MetalffError, match="damaged"):
        path_energies.compute("Ta", "tetragonal", "eam", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"records": []},
        {"records": {"a": 1}},
        {"details": 5},
        {"task": 1},
        {"width": "x"},
        {"width": float("nan")},
        {"mesh": 3},
        {"energy": ["a"] * 21},
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage):
    file = path_energies.compute("Ta", "tetragonal", "eam", tmp_path)
    content = json.loads(file.read_text())
    of = content if set(damage) <= set(content) else content["records"][0]
    of |= damage
    file.write_text(json.dumps(content))
    with pytest.raises(MetalffError, match=f"{file} is damaged, or no energies along a path; delete it, and it is computed again"):
        path_energies.compute("Ta", "tetragonal", "eam", tmp_path)


def test_empty_names_are_refused():
    for words, said in (
        (["Nb", "--paths", ""], '--paths "" has an empty name'),
        (["--paths", ""], '--paths "" has an empty name'),
        (["Nb", "--paths", "volume,,phonon"], '--paths "volume,,phonon" has an empty name'),
        (["Nb", "--paths", "volume", "--methods", ""], '--methods "" has an empty name'),
        (["Nb", "--methods", ""], "--methods goes with --paths"),
        (["Nb", ""], "an empty name is no metal"),
    ):
        ran = CliRunner().invoke(build_app(), ["fermi", *words])
        assert isinstance(ran.exception, MetalffError) and said in str(ran.exception), words


def test_tight_binding_along_a_path(monkeypatch, tmp_path):
    """The free energy is that of its calculator; more smearing is less rough; the two meshes are told apart."""
    from metalff.synth.tight_binding import TightBinding

    monkeypatch.setattr(path_energies, "OF_TIGHT_BINDING", (4, 6))
    found = path_energies.read(path_energies.compute("Nb", "tetragonal", "tb", tmp_path))
    free = {record["width"]: record for record in found["records"] if record["quantity"] == "free_energy"}
    atoms = paths.path("Nb", "tetragonal").place(found["parameter"][3])
    for mesh, key in ((4, "other"), (6, "energy")):
        expected = TightBinding("Nb", kT=0.2, mesh=(mesh,) * 3).label(atoms, gradients=False).energy
        assert free[0.2][key][3] == pytest.approx(expected, abs=1e-8)
    rough = [roughness(found["parameter"], free[width]["energy"]).residual for width in path_energies.WIDTHS]
    assert rough[0] > rough[1] > rough[2]
    assert min(free[0.1]["change"]) >= 0 and max(free[0.1]["change"]) > 0.5


def test_the_table_that_ships():
    rows = path_energies.table()
    assert {row["method"] for row in rows} >= {"dft", "eam", "meam"}
    for row in rows:
        assert row["roughness"] >= 0 and row["path"] in paths.names_of(row["element"])
        assert (row["mesh_error"] is None) == (row["method"] in ("eam", "meam"))
        assert row["converged"] or not path_energies.resolved(row)
    assert len({row["element"] for row in rows if row["method"] == "dft"}) >= 16


@pytest.mark.slow
@pytest.mark.skipif(environments.status("gpaw").state != "ready", reason="no environment for gpaw (metalff env create gpaw)")
def test_gpaw_along_a_path(monkeypatch, tmp_path):
    """Bands out of matrices between cells are those of GPAW's own diagonalisation: the worker refuses others. Sodium's well is where it should be."""
    monkeypatch.setattr(path_energies, "WIDE", {"Na": (6, 8)})
    found = path_energies.read(path_energies.compute("Na", "volume", "dft", tmp_path))
    (free,) = (record for record in found["records"] if record["quantity"] == "free_energy" and record["width"] == 0.2)
    lowest = found["parameter"][int(np.argmin(free["energy"]))]
    assert -0.04 < lowest < 0.0  # PBE: 4.20 Å of 4.29 Å
    assert found["details"]["electrons"] == 1
    with np.load(path_energies.file_of(tmp_path, "dft", "Na", "volume").with_suffix(".npz")) as kept:
        assert kept["8x8x8"].shape[0] == 21


def test_what_the_command_is_asked_for():
    from metalff.cli.fermi_paths import tasks

    assert tasks(["Nb", "Ti"], "tetragonal,axial", "dft") == [("Nb", "tetragonal", "dft"), ("Ti", "axial", "dft")]
    assert {name for _, name, _ in tasks(["Al"], "all", None)} == set(paths.names_of("Al"))
    assert {method for _, _, method in tasks(["Al"], "phonon", None)} == {"dft", "eam", "meam"}
    for words, methods, sentence in (("axial", None, "no path axial"), ("phonn", None, "no path phonn"), ("phonon", "tb", "Al has no tb")):
        with pytest.raises(MetalffError, match=sentence):
            tasks(["Al"], words, methods)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    words = ["fermi", "Cu", "--methods", "eam,meam", "--out", str(tmp_path / "out"), "--json", "--paths"]
    ran = CliRunner().invoke(build_app(), [*words, "phonon"])
    assert ran.exit_code == 0, ran.output
    assert [row["method"] for row in json.loads(ran.stdout)["rows"]] == ["eam", "meam"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"roughness.csv", "curves.csv", "roughness.png", "Cu-phonon.png"}
    ran = CliRunner().invoke(build_app(), [*words, "phonn"])
    assert isinstance(ran.exception, errors.MetalffError) and "no path phonn" in str(ran.exception)
