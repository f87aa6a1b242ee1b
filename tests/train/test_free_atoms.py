"""Free atoms among the frames: found, taken out, and what E0 becomes; a NEP that has their energy exactly."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from metalff import MLFFCalculator
from metalff.data import Dataset, Frame, load, read_extxyz, write_extxyz
from metalff.data.checks import is_free_atom
from metalff.errors import MetalffError
from metalff.train import training
from metalff.train.configuration import configuration
from metalff.train.free_atoms import taken_out


def atom(symbol="Cu", energy=-0.25, group="", cell=0.0, pbc=False):
    number = {"Cu": 29, "Ni": 28}[symbol]
    return Frame(np.array([number]), np.zeros((1, 3)), np.eye(3) * cell, np.full(3, pbc), energy, np.zeros((1, 3)), group=group, source="atoms.xyz")


@pytest.fixture(scope="module")
def copper():
    frames = sorted(load("zuo2020-Cu", "train"), key=len)[:24]
    return Dataset("few", tuple(frames))


def alloy(copper):
    """Every other atom called nickel."""
    return replace(copper, frames=tuple(replace(f, numbers=np.where(np.arange(len(f)) % 2, 28, 29)) for f in copper))


@pytest.mark.parametrize(
    "frame, free",
    [
        (atom(), True),
        (atom(cell=20.0, pbc=True), True),
        (atom(cell=4.0, pbc=True), False),
        (atom(cell=4.0, pbc=True, group="IsolatedAtom"), True),
        (atom(cell=4.0, pbc=True, group="isolated_atom"), True),
        (atom(cell=4.0, pbc=True, group="ground"), False),
    ],
)
def test_what_is_free_atom(frame, free, copper):
    assert is_free_atom(frame, 6.0) is free and not is_free_atom(copper.frames[5], 6.0)


def prepared(tmp_path, dataset, **values):
    said = []
    config = configuration("nep", {"elements": dataset.elements} | values)
    written = training.prepare("nep", config, dataset, tmp_path / "out", say=said.append)
    frames = [f for part in ("train", "valid") for f in read_extxyz(tmp_path / "out" / f"{part}.extxyz")]
    assert all(len(f) > 1 for f in frames)
    return written, said


def with_atoms(dataset, *atoms):
    return replace(dataset, frames=(*atoms, *dataset.frames))


def test_they_give_e0_and_leave(copper, tmp_path):
    written, said = prepared(tmp_path, with_atoms(copper, atom()))
    assert written["e0"] == [-0.25] and written["free_atom"] is True and written["data"]["free_atoms"] == {"Cu": -0.25}
    assert "1 frame is a free atom and gives E0: Cu -0.2500 eV; the training and validation parts are without it" in said


def test_none_of_them(copper, tmp_path):
    written, said = prepared(tmp_path, copper)
    assert written["e0"] == [0.0] and written["free_atom"] is False and "free_atoms" not in written["data"]
    assert not any("free atom" in s for s in said)


def test_the_option_wins_and_that_is_said(copper, tmp_path):
    written, said = prepared(tmp_path, with_atoms(copper, atom()), e0={"Cu": -0.3})
    assert written["e0"] == [-0.3] and any("--e0 Cu=-0.3 wins over the free atom of Cu in the data, -0.2500 eV" in s for s in said)


@pytest.mark.parametrize("e0, expected", [("zero", [0.0]), ("average", "average")])
def test_words_win_too(e0, expected, copper, tmp_path):
    written, said = prepared(tmp_path, with_atoms(copper, atom()), e0=e0)
    assert written["e0"] == expected and any(f"--e0 {e0} wins over these free atoms" in s for s in said)


def test_one_from_the_data_the_other_from_the_option(copper, tmp_path):
    mixed = with_atoms(alloy(copper), atom())
    written, _ = prepared(tmp_path, mixed, e0={"Ni": -0.5})
    assert written["e0"] == [-0.5, -0.25] and written["elements"] == ["Ni", "Cu"]
    with pytest.raises(MetalffError, match="e0 must give one energy for each of Ni Cu; Ni is neither there nor a free atom in the data"):
        prepared(tmp_path / "other", mixed, e0={"Cu": -0.5})


def test_one_of_two_elements_far_below_free_atoms(copper, tmp_path):
    """Total energies: what has no free atom gets the average of what the other leaves."""
    deep = alloy(copper)
    deep = replace(deep, frames=tuple(replace(f, energy=f.energy - 1000.0 * len(f)) for f in deep))
    written, _ = prepared(tmp_path, with_atoms(deep, atom("Cu", -1000.0)))
    nickel, cu = written["e0"]
    assert cu == -1000.0 and nickel == pytest.approx(-1007.0, abs=2.0)


def test_several_of_one_element_that_differ():
    _, energies, notes = taken_out(Dataset("atoms", (atom(energy=-0.2), atom(energy=-0.3))), 6.0)
    assert energies == {"Cu": -0.3} and "2 frames are a free atom of Cu, with energies from -0.3000 to -0.2000 eV" in notes[0]


def test_nothing_but_free_atoms(tmp_path):
    with pytest.raises(MetalffError, match="nothing but free atoms"):
        prepared(tmp_path, Dataset("atoms", (atom(), atom())))


@pytest.mark.parametrize("elements", [["Cu"], ["Ni", "Cu"]])
def test_a_nep_has_their_energies(elements, copper, tmp_path):
    """Exactly, whatever it has learnt; and a training still begins at the average energies."""
    data = with_atoms(copper, atom()) if elements == ["Cu"] else with_atoms(alloy(copper), atom("Ni", 0.75), atom("Cu", -0.25))
    write_extxyz(data.frames, tmp_path / "data.xyz")
    tiny = [f"--set={word}" for word in ("n_max=[2, 2]", "basis_size=[4, 4]", "l_max=[3, 2, 0]", "neuron=8")]
    words = ["--data", tmp_path / "data.xyz", "--out", tmp_path / "out", "--threads", 1, "--max-epochs", 10, *tiny]
    done = subprocess.run([sys.executable, "-m", "metalff.cli", "train", "nep", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "out" / "history.csv").read_text().splitlines()[1].split(",")
    assert float(first[5]) < 0.5, "eV/atom, where the energies are about -4"

    from metalff.deploy import nep

    nep.deploy(tmp_path / "out", tmp_path / "model.mlff", accept_errors=True, say=lambda line: None)
    for symbol, energy in zip(elements, (0.75, -0.25) if len(elements) > 1 else (-0.25,)):
        lone = Atoms(symbol, calculator=MLFFCalculator(tmp_path / "model.mlff"))
        assert lone.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    assert json.loads((tmp_path / "out" / "training.json").read_text())["free_atoms"]["Cu"] == -0.25
