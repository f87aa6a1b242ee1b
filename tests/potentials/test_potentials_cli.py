"""``metalff potentials``: list, show, check."""

import pytest
import typer
from typer.testing import CliRunner

from metalff.cli import potentials as command
from metalff.errors import MetalffError
from metalff.potentials import entries, resolve
from metalff.properties import checking


def run(*arguments):
    app = typer.Typer()
    command.register(app)
    result = CliRunner().invoke(app, ["potentials", *arguments])
    if isinstance(result.exception, MetalffError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_list():
    output = run("list")
    assert all(name in output and entry.doi in output for name, entry in entries().items())


def test_show_prints_lines_to_paste():
    output = run("show", "Cu/snap")
    assert output.endswith("units metal\n" + "\n".join(resolve("Cu/snap").lammps_commands()) + "\n")
    assert resolve("Cu/snap").sha256 in output and "10.1021/acs.jpca.9b08723" in output


def test_quick_check():
    output = run("check", "Cu/eam", "--crystal", "fcc")
    assert "3.6149 Å fcc (registry 3.615)" in output and "3.5402 eV/atom against" in output


def test_check_finds_the_paper_s_numbers():
    """Mishin et al., Phys. Rev. B 63, 224106 (2001), table III: 3.615 Å, 3.54 eV, 169.9, 122.6 and 76.2 GPa, vacancy 1.272 eV."""
    row = checking.one("Cu/eam")
    assert row["failed"] == [] and row["survived"] == 20.0 and row["solid_fraction"] > 0.99
    assert (row["a"], row["cohesive_energy"], row["vacancy"]) == pytest.approx((3.615, 3.54, 1.272), rel=5e-3)
    assert [row["elastic"][key] for key in ("C11", "C12", "C44")] == pytest.approx([169.9, 122.6, 76.2], rel=5e-3)


def test_check_of_an_element_says_what_it_found():
    output = run("check", "Rb")
    assert "Rb/eam: passes" in output and "C44" in output and "experiment 5.700 Å" in output


def test_list_by_element_and_style():
    output = run("list", "--elements", "Ti", "--style", "meam")
    assert [line.split()[0] for line in output.splitlines()] == [n for n in entries() if n.startswith("Ti/meam")]


NEGATIVE_CONTROLS = {
    "unknown": (("show", "Cu/snaps"), 'did you mean "Cu/snap"'),
    "element": (("check", "Cu/eam", "--element", "Ni"), "Cu/eam has no parameters for Ni"),
    "crystal": (
        ("check", "Cu/snap", "--crystal", "hcp"),
        "needs a cubic crystal, not hcp; give --crystal fcc or bcc or diamond",
    ),
    "nothing to check": (("check",), "give a name, an element, or --all"),
    "style": (("list", "--style", "maem"), 'did you mean "meam"'),
    "no such metal": (("list", "--elements", "Xx"), "nothing of Xx; there are potentials of Ag Al"),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case):
    arguments, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        run(*arguments)
