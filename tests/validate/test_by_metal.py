"""Many metals at once: one potential per element, errors by metal, phase and temperature, and the periodic table of the report."""

import csv
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff import data
from metalff.cli import build_app
from metalff.data import Dataset, Frame, layout
from metalff.data.metals import metal
from metalff.errors import MetalffError
from metalff.potentials import per_element, resolve
from metalff.report import metals
from metalff.synth.relabel import relabelled

METALS = ("Al", "Ni", "Cu")


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rattled crystals labelled with EAM, two temperatures of each metal, the hotter ones twice."""
    out = tmp_path_factory.mktemp("set") / "three"
    for symbol in METALS:
        frames = []
        for seed in range(6):
            atoms = metal(symbol).unit_cell() * (2, 2, 2)
            atoms.rattle(0.06 if seed < 2 else 0.15, seed=seed)
            zero = np.zeros_like(atoms.positions)
            frames.append(Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 0.0, zero, index=seed))
        labelled = relabelled(Dataset(symbol, tuple(frames)), resolve(f"{symbol}/eam")).frames
        melting = metal(symbol).melting_temperature
        layout.write_file(labelled[:2], out / layout.file_name(symbol, "fcc", 300))
        layout.write_file(labelled[2:], out / layout.file_name(symbol, "fcc", 1.2 * melting))
    return out


@pytest.fixture(scope="module")
def validated(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("validated") / "v"
    done = metalff("validate", "{element}/eam", "{element}/meam", "--data", folder, "--out", out)
    assert done.exit_code == 0, done.output
    return out, done.stdout


def rows(out):
    with (out / "elements.csv").open() as stream:
        return {(r["potential"].partition("/")[2], r["element"], r["temperature"]): r for r in csv.DictReader(stream)}


def test_each_metal_has_its_own_potential(validated, folder):
    out, said = validated
    found = rows(out)
    for symbol in METALS:
        assert float(found["eam", symbol, ""]["force_rmse"]) < 1e-6
        frames = data.read(f"{folder}[element={symbol},temperature=300]").frames
        own = relabelled(Dataset("", frames), resolve(f"{symbol}/meam")).frames
        square, reference = (
            np.sum([np.sum(v**2) for v in values]) for values in ([a.forces - b.forces for a, b in zip(own, frames)], [f.forces for f in frames])
        )
        row = found["meam", symbol, "300"]
        assert float(row["normalised"]) == pytest.approx(np.sqrt(square / reference), rel=1e-5) and row["group"] == "fcc" and row["frames"] == "2"
        assert float(row["normalised_low"]) <= float(row["normalised"]) <= float(row["normalised_high"])
    assert re.search(r"Ni +0\.0 \(0\.0–0\.0\) +\d", said)


def test_periodic_table_of_the_report(validated, tmp_path):
    out, _ = validated
    assert metalff("report", out, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    shown = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert shown["classes"] == ["all", "300 K", "1.2 Tm"] and [model["label"] for model in shown["models"]] == ["EAM", "MEAM"]
    found = rows(out)
    for symbol in METALS:
        for name, temperature in (("all", ""), ("300 K", "300")):
            row = found["meam", symbol, temperature]
            wanted = [100 * float(row[f"normalised{side}"]) for side in ("", "_low", "_high")]
            assert shown["values"]["normalised"][name][1][symbol] == pytest.approx(wanted, rel=1e-3)
            assert shown["values"]["force_rmse"][name][1][symbol][0] == pytest.approx(float(row["force_rmse"]), rel=1e-3)


@pytest.mark.parametrize(
    "element, temperature, name",
    [
        ("Al", 300, "300 K"),
        ("Rb", 312, "Tm"),
        ("Tl", 288, "0.5 Tm"),
        ("Al", 467, "0.5 Tm"),
        ("Al", 933, "Tm"),
        ("Ru", 3218, "1.2 Tm"),
        ("Cu", 1698, "1.2 Tm"),
        ("Cu", 600, "0.5 Tm"),
        ("Al", None, ""),
    ],
)
def test_temperatures_of_different_metals_beside_each_other(element, temperature, name):
    assert metals.temperature_class(element, temperature) == name


def test_an_element_without_a_potential():
    with pytest.raises(MetalffError, match=r"\{element\}/meam: nothing for Cs .*element=Al"):
        per_element("{element}/meam", ["Al", "Cs"])


def test_an_alloy_has_no_potential_per_element():
    atoms = metal("Al").unit_cell()
    atoms.symbols[0] = "Cu"
    atoms.calc = per_element("{element}/eam", ["Al", "Cu"]).calculator()
    with pytest.raises(MetalffError, match="one potential for each of Al Cu, and the structure has Al Cu"):
        atoms.get_potential_energy()
