"""NEP4 by its formulas in torch against the engine, and what is deployed with it as the reference."""

import numpy as np
import pytest
from ase import Atoms

from metalff import MLFFCalculator, artifact
from metalff.deploy import nep
from metalff.deploy.nep_reference import Formulas, NotCovered
from metalff.errors import MetalffError
from nep_variants import VARIANTS, crystals, put, write_nep

COVERED = ("NEP4", "no angular part", "l_max 8, many radial functions", "few of everything", "ZBL")
NOT_COVERED = {
    "NEP3, two elements": "it is a nep3",
    "NEP5, three elements": "it is a nep5",
    "all invariants": "invariants beyond q_222 and q_1111",
    "ZBL by radii": "its ZBL differs between pairs",
    "flexible ZBL": "its ZBL differs between pairs",
    "cutoffs by element": "cutoffs of their own",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_covered_or_named(name, tmp_path):
    text = write_nep(tmp_path / "nep.txt", **VARIANTS[name]).read_text()
    if name in COVERED:
        Formulas(text)
    else:
        with pytest.raises(NotCovered, match=NOT_COVERED[name]):
            Formulas(text)


@pytest.mark.parametrize("name, l_max", [*((name, None) for name in COVERED), ("NEP4", "4 2 1")])
def test_the_engine_agrees(name, l_max, tmp_path):
    words = VARIANTS[name] | ({"l_max": l_max, "elements": ("Cu", "Ni")} if l_max else {})
    elements, text = list(words.get("elements", ("Cu",))), write_nep(tmp_path / "nep.txt", **words)
    engine, formulas = MLFFCalculator(put(tmp_path / "nep.mlff", text.read_bytes(), elements)), Formulas(text.read_text())
    for atoms in crystals(elements).values():
        found = []
        for calculator in (engine, formulas):
            atoms.calc = calculator
            found.append((atoms.get_potential_energies(), atoms.get_forces(), atoms.get_stress()))
        for a, b in zip(*found):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_close_nuclei(tmp_path):
    text = write_nep(tmp_path / "nep.txt").read_text().replace("nep4 ", "nep4_zbl ", 1)
    lines = text.splitlines(keepends=True)
    text = "".join([lines[0], "zbl 1.1 2.2\n", *lines[1:]])
    engine = MLFFCalculator(put(tmp_path / "nep.mlff", text.encode(), ["Cu"]))
    for r in (0.9, 1.6, 2.15, 2.3):
        pair = Atoms("Cu2", positions=[[0, 0, 0], [0, r, 0]])
        energies = []
        for calculator in (engine, Formulas(text)):
            pair.cell, pair.calc = np.eye(3) * 20, calculator
            energies.append((pair.get_potential_energy(), pair.get_forces()[1, 1]))
        assert energies[0] == pytest.approx(energies[1], rel=1e-9)


def test_a_file_from_elsewhere_without_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "nowhere"))
    said = []
    write_nep(tmp_path / "nep.txt")
    manifest = nep.deploy(tmp_path / "nep.txt", tmp_path / "Cu.mlff", say=said.append)
    assert manifest.training.reference.startswith("NEP4 by its formulas") and any("metalff env create nep" in line for line in said)
    assert len(artifact.open_artifact(tmp_path / "Cu.mlff").selftest()) == 4
    write_nep(tmp_path / "other.txt", **VARIANTS["all invariants"])
    with pytest.raises(MetalffError, match="needs NEP_CPU for its self-test, since .*metalff env create nep"):
        nep.deploy(tmp_path / "other.txt", tmp_path / "other.mlff", say=said.append)
