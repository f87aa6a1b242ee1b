"""Files of eigenvalues, with free electrons in the part of GPAW; and GPAW itself, where its environment is."""

import numpy as np
import pytest
from ase.build import bulk

from metalff import environments
from metalff.errors import MetalffError
from metalff.fermi import bands

NEEDS_GPAW = [
    pytest.mark.slow,
    pytest.mark.skipif(environments.status("gpaw").state != "ready", reason="no environment for gpaw (metalff env create gpaw)"),
]


def test_cells_are_primitive_and_meshes_as_close_along_every_axis():
    sizes = {symbol: (len(atoms := bands.primitive_cell(bands.metal(symbol))), bands.mesh_of(atoms, 24)) for symbol in ("Nb", "Cu", "Ti", "Zn")}
    assert sizes == {"Nb": (1, [24] * 3), "Cu": (1, [24] * 3), "Ti": (2, [24, 24, 14]), "Zn": (2, [24, 24, 12])}
    assert bands.primitive_cell(bands.metal("Ti")).cell.lengths()[2] == pytest.approx(4.68)


def test_orders_are_those_of_the_protocol(tmp_path):
    order = bands.orders("Na", tmp_path)
    assert order["arguments"]["setups"] == {"Na": "1"} and order["arguments"]["mode"]["ecut"] == 300 and order["arguments"]["xc"] == "PBE"
    assert "symmetry" not in order["arguments"] and len(order["ladder"]) == 3
    assert len({mesh["task"] for mesh in order["meshes"]} | {mesh["task"] for mesh in bands.orders("K", tmp_path)["meshes"]}) == 4


def test_what_is_there_is_not_computed_again(sodium, monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))  # without any environment
    assert list(bands.compute(["Na", "Na"], sodium)) == [("Na", None)]
    found = bands.load("Na", sodium)
    assert found.eigenvalues.shape == (3, 24, 24, 24) and (found.electrons, found.atoms) == (1.0, 1)
    np.testing.assert_allclose(found.reciprocal, 2 * np.pi * bulk("Na", "bcc", 4.29).cell.reciprocal().array, atol=1e-12)


def test_without_gpaw_the_one_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    with pytest.raises(MetalffError, match="run: metalff env create gpaw"):
        list(bands.compute(["Na"], tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_an_unknown_element_is_refused_before_any_work(tmp_path):
    with pytest.raises(MetalffError, match='did you mean "Nb"'):
        list(bands.compute(["Na", "Nbb"], tmp_path / "nothing"))


def test_another_task_is_not_taken_for_this_one(sodium, tmp_path):
    path = tmp_path / "Na-24.npz"
    with np.load(sodium / "Na-24.npz") as archive:
        np.savez(path, **{**archive, "task": "another"})
    assert not bands.is_there({"file": path, "task": bands.orders("Na", tmp_path)["meshes"][0]["task"]})


@pytest.mark.parametrize("damage", ["cut", "places", "nan", "pickle", "mesh", "none"])
def test_damaged_files_are_refused(sodium, tmp_path, damage):
    path = tmp_path / "Na-24.npz"
    with np.load(sodium / "Na-24.npz") as archive:
        content = dict(archive)
    if damage == "places":
        content["places"] = content["places"] + 10**6
    if damage == "nan":
        content["eigenvalues"] = content["eigenvalues"] * np.nan
    if damage == "pickle":
        content["details"] = np.array([{"a": object()}], dtype=object)
    if damage == "mesh":
        content["eigenvalues"] = content["eigenvalues"][0]
    if damage != "none":
        np.savez(path, **content)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MetalffError, match="metalff fermi Na" if damage == "none" else "damaged"):
        bands.load("Na", tmp_path)


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("d_shares", np.full((3, 24**3), np.nan), "not all of d_shares are finite"),
        ("eigenvalues", np.full((3, 24**3), "x"), "eigenvalues is an array of"),
        ("eigenvalues", np.empty((0, 24**3)), "do not fit"),
        ("d_shares", np.zeros((3, 5)), "do not fit"),
        ("places", np.zeros((24, 24, 24)), "places is an array of"),
        ("places", np.zeros((0, 24, 24), int), "do not fit"),
        ("places", np.zeros((1, 1, 1), int), "do not fit"),
        ("places", np.zeros((12, 12, 12), int), "another mesh"),
        ("cell", np.zeros((3, 3)), "no volume"),
        ("cell", np.full((3, 3), np.inf), "not all of cell"),
        ("electrons", 0.0, "do not hold 0 electrons"),
        ("electrons", 99.0, "do not hold 99 electrons"),
        ("electrons", np.nan, "not all of electrons"),
        ("electrons", np.ones(2), "electrons is an array of"),
        ("task", np.array(["a", "b"]), "task is an array of"),
        ("details", "{", "details are no JSON"),
        ("details", "5", "details are no JSON"),
    ],
)
def test_every_array_of_a_file_is_checked(sodium, tmp_path, key, value, said):
    path = tmp_path / "Na-24.npz"
    with np.load(sodium / "Na-24.npz") as archive:
        np.savez(path, **{**archive, key: value})
    with pytest.raises(MetalffError, match=f"{path} .*{said}.*; delete it, and it is computed again"):
        bands.load("Na", tmp_path)


def test_a_plain_array_is_no_file_of_eigenvalues(tmp_path):
    with open(tmp_path / "Na-24.npz", "wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(MetalffError, match="Na-24.npz is damaged, .*; delete it, and it is computed again"):
        bands.load("Na", tmp_path)
    assert not bands.is_there({"file": tmp_path / "Na-24.npz", "task": ""})


class TestGpaw:
    pytestmark = NEEDS_GPAW

    @pytest.fixture
    def coarse(self, monkeypatch):
        monkeypatch.setattr(bands, "SELF_CONSISTENT", 4)

    def test_symmetry_gives_what_the_full_mesh_gives(self, coarse, monkeypatch, tmp_path):
        """Hexagonal, the hardest case: eigenvalues of irreducible points, unfolded, against those of a mesh without symmetry."""
        plain, found = bands.orders, {}
        for name, more in {"folded": {}, "full": {"symmetry": "off"}}.items():
            more["convergence"] = {"eigenstates": 1e-9, "density": 1e-7}
            monkeypatch.setattr(bands, "EIGENSTATES", 1e-9)
            monkeypatch.setattr(bands, "orders", lambda *words: plain(*words) | {"arguments": plain(*words)["arguments"] | more})
            assert list(bands.compute(["Mg"], tmp_path / name, (4,))) == [("Mg", None)]
            found[name] = bands.load("Mg", tmp_path / name, 4)
        with np.load(tmp_path / "full/Mg-4.npz") as archive, np.load(tmp_path / "folded/Mg-4.npz") as fewer:
            assert 2 * fewer["eigenvalues"].shape[1] < archive["eigenvalues"].shape[1]
        count = min(len(each.eigenvalues) for each in found.values())
        folded, full = (each.eigenvalues[:count] for each in found.values())
        below = full < 5.0
        assert below.mean() > 0.1
        np.testing.assert_allclose(folded[below], full[below], atol=1e-4)
        assert found["folded"].electrons == 4

    def test_a_density_that_does_not_converge_is_told(self, coarse, monkeypatch, tmp_path):
        plain = bands.orders

        def hopeless(*words):
            order = plain(*words)
            return order | {"arguments": order["arguments"] | {"maxiter": 2}, "ladder": [{"maxiter": 3}]}

        monkeypatch.setattr(bands, "orders", hopeless)
        ((symbol, error),) = bands.compute(["Na"], tmp_path, (4,))
        assert symbol == "Na" and "did not converge on any of the 2 ways" in str(error)
        assert not list(tmp_path.glob("Na*"))
