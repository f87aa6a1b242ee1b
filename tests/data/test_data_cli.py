"""``metalff data``: list, info, export."""

from dataclasses import replace

import numpy as np
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


@pytest.mark.parametrize("out", ["train.xyz", "out.extxyz", "out.cfg", "folder"])
def test_convert(out, tmp_path):
    """Several sources into one, and back: energies, forces and stresses to round-off, whatever the order of atoms."""
    assert "40 frames" in run("convert", "zuo2020-Cu:test", "zuo2020-Ni:test[frames=0:9]", tmp_path / out)
    back = sorted(data.read(tmp_path / out), key=lambda frame: frame.energy)
    source = sorted([*data.read("zuo2020-Cu:test"), *data.read("zuo2020-Ni:test[frames=0:9]")], key=lambda frame: frame.energy)
    for a, b in zip(back, source, strict=True):
        assert a.energy == b.energy and np.allclose(a.forces, b.forces, atol=1e-12) and np.allclose(a.stress, b.stress, atol=1e-12)
    with pytest.raises(MetalffError, match="exists; choose another name"):
        run("convert", "zuo2020-Cu:test", tmp_path / out)


def test_info_says_what_a_person_would(tmp_path):
    frames = list(data.load("zuo2020-Cu", "test"))
    frames[3] = replace(frames[3], forces=1e8 * frames[3].forces)
    data.write_extxyz([replace(f, stress=1602.1766 * f.stress) for f in frames], tmp_path / "cu.xyz")
    output = run("info", tmp_path / "cu.xyz")
    assert "1 of 31 frames have forces above 50 eV/Å" in output and "frame 3 of cu.xyz" in output
    assert "they seem to be in kbar; --stress-factor 0.000624151 mends that" in output
    assert "kbar" not in run("info", tmp_path / "cu.xyz", "--stress-factor", 1 / 1602.1766)


NEGATIVE_CONTROLS = {
    "convert nothing": (("convert", "zuo2020-Cu:test"), "give what is to be read, and last what is to be written"),
    "convert to what": (("convert", "zuo2020-Cu:test", "out.dat"), "out.dat: say --format: extxyz, gpumd, deepmd, mtp"),
    "convert misspelt": (("convert", "zuo2020-Cu:test", "out.dat", "--format", "gpumb"), 'did you mean "gpumd"'),
    "stress and virial": (("info", "zuo2020-Cu:test", "--stress-key", "a", "--virial-key", "b"), "give --stress-key or --virial-key, not both"),
    "keys of a bundled set": (("info", "zuo2020-Cu:test", "--energy-key", "e"), "a bundled set has no keys to name"),
    "ending": (("export", "zuo2020-Cu:test", "cu.txt"), "cu.txt must end in .xyz or .extxyz"),
    "no such set": (("info", "zuo2020-Fe"), "neither a file nor a bundled set"),
}


@pytest.mark.parametrize("case", NEGATIVE_CONTROLS)
def test_refuses(case):
    arguments, message = NEGATIVE_CONTROLS[case]
    with pytest.raises(MetalffError, match=message):
        run(*arguments)
