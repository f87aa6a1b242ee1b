"""What fills environments: uv as pip is set, and pip where uv cannot do that."""

import sys
from pathlib import Path

import pytest

from metalff import installer


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.setattr(installer, "uv", lambda: tmp_path / "uv")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"index-url": "https://one/simple"}, ["--default-index", "https://one/simple"]),
        ({"extra-index-url": "file:///a file:///b"}, ["--index", "file:///a", "--index", "file:///b"]),
        ({"find-links": "/wheels\n/more"}, ["--find-links", "/wheels", "--find-links", "/more"]),
        ({"constraint": "/c.txt", "timeout": "60"}, ["--constraints", "/c.txt"]),
        ({"no-index": "1"}, ["--no-index"]),
        ({"no-index": "false"}, []),
    ],
)
def test_settings_of_pip_are_those_of_uv(program, settings, words):
    command = installer.uv_command(Path("python"), settings)
    assert command[command.index("unsafe-best-match") + 1 :] == words and "--compile-bytecode" in command


def test_what_uv_would_not_heed_is_left_to_pip(program):
    assert installer.uv_command(Path("python"), {"require-hashes": "true"}) is None


def test_without_uv(monkeypatch, tmp_path):
    monkeypatch.setattr(installer.sysconfig, "get_path", lambda name: str(tmp_path))
    assert installer.uv() is None and installer.uv_command(Path(sys.executable), {}) is None


def test_settings_are_read_as_pip_reads_them(monkeypatch, tmp_path):
    """A variable outweighs a file, and its value may have quotes; what would leak into an environment is not among them."""
    (tmp_path / "pip.conf").write_text("[global]\nfind-links = /there\ntimeout = 7\n[install]\ntimeout = 8\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/it's/here")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    settings = installer.pip_settings()
    assert settings["find-links"] == "/it's/here" and settings["timeout"] == "8" and "target" not in settings
