"""``metalff potentials``: list, show, check."""

import pytest
import typer
from typer.testing import CliRunner

from metalff.cli import potentials as command
from metalff.errors import MetalffError
from metalff.potentials import entries, resolve


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


def test_check():
    output = run("check", "Cu/eam")
    assert "3.6149 Å fcc (registry 3.615)" in output and "3.5402 eV/atom against" in output


NEGATIVE_CONTROLS = {
    "unknown": (("show", "Cu/snaps"), 'did you mean "Cu/snap"'),
    "element": (("check", "Cu/eam", "--element", "Ni"), "Cu/eam has no parameters for Ni"),
    "crystal": (
        ("check", "Cu/eam", "--crystal", "hcp"),
        "needs a cubic crystal, not hcp; give --crystal fcc or bcc or diamond",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case):
    arguments, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        run(*arguments)
