"""The stability run itself: what ends it, when exactly, and that it goes on where it was."""

import numpy as np
import pytest

from metalff.benchmark.crystals import MELTING, crystal, melting_point
from metalff.benchmark.stability import survive, timestep
from metalff.errors import MetalffError
from metalff.potentials import Potential, resolve


def of(style, *coeff):
    """A pair style as a force field of copper."""
    return Potential("x", "pair", "x", ("Cu",), (), "", style, coeff)


FREE = of("zero 6.0", "* *")
"""No forces at all: atoms fly through each other without becoming hotter."""


def test_too_close_is_told_to_the_step(tmp_path):
    """The same seed fails at the same step, however long the run is meant to be; no later than atoms can meet."""
    short, long = (survive(FREE, "Cu", 1358.0, ps, 3, tmp_path / str(ps)) for ps in (1.0, 5.0))
    assert short["failure"].startswith("two atoms came as close as 1.") and short["failure"] == long["failure"]
    assert short["ps"] == long["ps"] < 0.4 and short["over"] and long["over"]
    assert short["steps"] % 5 == 0 and short["ps"] == pytest.approx(short["steps"] * 0.002)
    assert not (tmp_path / "1.0").exists()


def test_an_error_of_lammps_is_a_failure(tmp_path):
    """Enormous forces: the atoms are lost or not numbers within the first steps."""
    result = survive(of("lj/cut 6.0", "* * 1e12 4.0"), "Cu", 300.0, 1.0, 3, tmp_path / "md")
    assert result["over"] and result["ps"] <= 0.02 and result["failure"]


def test_what_does_not_start_is_no_result(tmp_path):
    with pytest.raises(MetalffError, match="LAMMPS did not start x on Cu: .*Unrecognized pair style 'eem'"):
        survive(of("eem", "* *"), "Cu", 300.0, 1.0, 3, tmp_path / "md")


def test_a_limit_stops_and_a_second_call_goes_on(tmp_path):
    eam = resolve("Cu/eam", ["Cu"])
    seen = []
    first = survive(eam, "Cu", 679.0, 20.0, 3, tmp_path / "md", limit_s=0.3, step=seen.append)
    assert not first["over"] and first["failure"] == "" and 0 < first["steps"] < 10000
    second = survive(eam, "Cu", 679.0, 20.0, 3, tmp_path / "md", step=seen.append)
    assert second["over"] and second["steps"] == 10000 and second["ps"] == 20 and second["starts"] == 2
    assert second["mean_temperature"] == pytest.approx(679, rel=0.05)
    assert max(seen) <= 10000 and not (tmp_path / "md").exists()


def test_crystals():
    """Every element with a melting point has a crystal of the size asked for, periodic and with bonds of a metal."""
    for element in MELTING:
        atoms = crystal(element, 128)
        assert 90 <= len(atoms) <= 220 and atoms.pbc.all() and set(atoms.symbols) == {element}
        lengths = np.linalg.norm(atoms.cell.array, axis=1)
        assert lengths.max() < 2 * lengths.min()
        assert melting_point(element) > 200
    assert timestep("Li") == 1 and timestep("Cu") == 2
    with pytest.raises(MetalffError, match="the melting point of He is not known here.*--parts accuracy,speed"):
        melting_point("He")
    with pytest.raises(MetalffError, match="the crystal of Ga is not a simple one"):
        crystal("Ga", 128)
