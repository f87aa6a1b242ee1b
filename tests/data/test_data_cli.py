"""``metalff data``: list, info, export."""

import pytest
import typer
from typer.testing import CliRunner

from metalff import data
from metalff.cli import data as command
from metalff.errors import MetalffError


def run(*arguments):
    app = typer.Typer()
    command.register(app)
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if isinstance(result.exception, MetalffError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_list():
    lines = run("list").splitlines()
    assert [line.split()[0] for line in lines] == data.names()
    assert "train 262, test 31 frames" in next(line for line in lines if line.startswith("zuo2020-Cu"))


def test_info():
    output = run("info", "zuo2020-Cu:test")
    for words in (
        "vacancy 4, surface 2, aimd 12, strain 13",
        "300 K 3, 1000 K 3, 3000 K 6",
        "BSD-3-Clause",
        "89605ba6",
    ):
        assert words in output


def test_export(tmp_path):
    out = tmp_path / "cu.xyz"
    assert "31 frames" in run("export", "zuo2020-Cu:test", out)
    assert data.read(out).sha256 == data.read("zuo2020-Cu:test").sha256
    with pytest.raises(MetalffError, match="cu.xyz exists; choose another name or add --force"):
        run("export", "zuo2020-Li:test", out)
    run("export", "zuo2020-Li:test", out, "--force")
    assert data.read(out).elements == ["Li"]


NEGATIVE_CONTROLS = {
    "ending": (("export", "zuo2020-Cu:test", "cu.txt"), "cu.txt must end in .xyz or .extxyz"),
    "no such set": (("info", "zuo2020-Fe"), "neither a file nor a bundled set"),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case):
    arguments, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        run(*arguments)
