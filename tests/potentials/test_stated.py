"""What parameter files say of their own crystals, against what LAMMPS makes of them."""

from dataclasses import replace

import pytest

from metalff.errors import MetalffError
from metalff.lammps import potentials_dir
from metalff.potentials import checks, resolve
from metalff.potentials.stated import deviations, stated
from metalff.properties import checking
from metalff.properties.check import Verification, verify


def test_library_entry():
    """Baskes 1992, table III: copper 3.54 eV, 3.62 Å, α = 5.11."""
    said = stated(resolve("Cu/meam-baskes"), "Cu")
    assert (said.crystal, said.a, said.c, said.cohesive_energy) == ("fcc", 3.62, None, 3.54)
    assert said.bulk_modulus == pytest.approx(138.5, abs=0.5)


def test_parameter_file_has_the_last_word(tmp_path):
    potential = resolve("Cu/meam-baskes")
    own = tmp_path / "own.meam"
    own.write_text("rc = 5.0\nEc(1,1) = 3.0\nre(1,1) = 2.6\n")
    changed = replace(potential, pair_coeff=(potential.pair_coeff[0].replace("NULL", str(own)),))
    said = stated(changed, "Cu")
    assert (said.cohesive_energy, said.a) == pytest.approx((3.0, 2.6 * 2**0.5))
    found = verify(changed, "Cu", md=False)
    assert max(map(abs, deviations(found, said).values())) < 2e-3


def test_setfl_of_several_elements():
    assert stated(resolve("Re/eam"), "Re").a == pytest.approx(2.761) and stated(resolve("Re/eam"), "Re").crystal == "hcp"
    alloy = resolve("CuNi/zhou")
    assert [stated(alloy, symbol).a for symbol in alloy.elements] == pytest.approx([3.615, 3.520], abs=1e-3)


def test_files_that_say_nothing(tmp_path):
    potential = resolve("Cu/eam")
    cut = tmp_path / "cut.eam.alloy"
    cut.write_text("a\nb\nc\n1 Cu\n")
    assert stated(replace(potential, files=(cut,)), "Cu") is None
    assert stated(resolve("Cu/snap"), "Cu") is None


def test_library_without_the_element():
    potential = resolve("Cu/meam-baskes")
    line = f"* * {potentials_dir() / 'library.meam'} Uu NULL Uu"
    with pytest.raises(MetalffError, match="library.meam has no element Uu"):
        stated(replace(potential, pair_coeff=(line,)), "Cu")


def test_a_cutoff_below_the_first_shell_is_found():
    """Potassium's neighbours are 4.63 Å away, LAMMPS cuts at 4 Å unless told otherwise; its own entry says 6 Å."""
    potential = resolve("K/meam")
    assert verify(potential, "K", md=False).failed == []
    library, _ = potential.files
    failed = verify(replace(potential, pair_coeff=(f"* * {library} K NULL K",)), "K", md=False).failed
    assert "cohesive energy 0.00 eV, its own parameters 0.94 eV" in failed


def test_what_is_kept_says_what_deviates():
    rows = {name: row for name, row in checks().items() if "a" in row}
    marked = {name for name, row in rows.items() if any("its own parameters" in words for words in row["failed"])}
    assert marked == {"Li/meam"}
    assert sum(checking.stated_of(row) is not None for row in rows.values()) > 80
    shown = "\n".join(checking.lines("Li/meam", rows["Li/meam"]))
    assert "its own parameters 13.3 GPa" in shown and "its own parameters 3.487 Å" in shown


def test_another_crystal_is_no_comparison():
    found = Verification("Mo/eam", "Mo", "bcc", a=3.15, cohesive_energy=6.8)
    assert deviations(found, stated(resolve("Mo/eam"), "Mo")) == {}
