"""Environments: finished ones are recognised, interrupted ones are completed, two processes never build at once.

The family used here is a tiny wheel made on the spot, so real virtual environments are built without the network.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from metalff import environments, installer
from metalff.errors import MetalffError


def wheel(folder: Path, version: str) -> Path:
    """A pure-Python wheel ``toy`` of this version."""
    path = folder / f"toy-{version}-py3-none-any.whl"
    info = f"toy-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data directory, and a family ``toy`` installed from a folder of wheels."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "1.0")
    wheel(wheels, "2.0")
    monkeypatch.setenv("METALFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setitem(environments.PINS, "toy", ("toy==1.0",))
    return tmp_path / "home"


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_create_use_and_remove(home, program, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    if program == "pip":
        monkeypatch.setattr(installer, "uv", lambda: None)
    elif not installer.uv():
        pytest.skip("uv is not installed")
    steps = []
    made = environments.create("toy", progress=lambda step, line: line or steps.append(step))
    assert made.state == "ready" and made.versions["toy"] == "1.0"
    assert list(made.path.glob("**/site-packages/__pycache__/toy.*.pyc")), "what is imported is compiled once, here"
    assert steps == {
        "pip": ["python -m venv", "pip install pip", "pip install toy==1.0"],
        "uv": ["python -m venv", "uv pip install toy==1.0"],
    }[program]  # fmt: skip

    script = home / "script.py"
    script.write_text("import toy, sys; print(toy.VERSION, sys.argv[1])")
    (home / "toy.py").write_text("raise SystemExit('the folder of the script hides the package')")
    run = environments.command("toy", script, "argument")
    assert subprocess.run(run, capture_output=True, text=True).stdout == "1.0 argument\n"

    steps.clear()
    before = (made.path / environments.MARKER).stat().st_mtime_ns
    environments.create("toy", progress=lambda step, line: steps.append(step))
    assert not steps and (made.path / environments.MARKER).stat().st_mtime_ns == before

    assert environments.remove("toy") and environments.status("toy").state == "missing"
    assert not environments.remove("toy")


def test_unfinished_is_completed_and_outdated_is_renewed(home, monkeypatch):
    made = environments.create("toy")
    (made.path / environments.MARKER).unlink()
    kept = made.path / "kept"
    kept.touch()
    assert environments.status("toy").state == "unfinished"
    assert environments.create("toy").state == "ready" and kept.exists()

    monkeypatch.setitem(environments.PINS, "toy", ("toy==2.0",))
    assert environments.status("toy").state == "outdated"
    assert environments.create("toy").versions["toy"] == "2.0" and not kept.exists()


@pytest.mark.parametrize("damage", ["marker", "interpreter"])
def test_damage_is_mended(home, damage):
    made = environments.create("toy")
    if damage == "marker":
        (made.path / environments.MARKER).write_text('{"pins": ')
    else:
        made.python.unlink()
    assert environments.status("toy").state == "unfinished"
    assert environments.create("toy").state == "ready"
    assert made.python.exists()


@pytest.mark.parametrize(
    "marker, reason",
    [
        (None, "does not exist"),
        ("", "is unfinished"),
        (json.dumps({"pins": ["toy==0.1"], "versions": {}}), "has other versions"),
    ],
)
def test_the_sentence_names_the_command(home, marker, reason):
    path = home / "envs" / "toy"
    if marker is not None:
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").touch()
        (path / environments.MARKER).write_text(marker)
    with pytest.raises(MetalffError, match=f"{reason}.*; run: metalff env create toy"):
        environments.environment_python("toy")


def test_failed_installation_is_one_sentence_and_stays_unfinished(home, monkeypatch):
    monkeypatch.setitem(environments.PINS, "toy", ("toy==3.0",))
    with pytest.raises(MetalffError, match=r"pip install toy==3\.0 failed: .*toy==3\.0.*the full output is in") as error:
        environments.create("toy")
    assert "\n" not in str(error.value)
    assert environments.status("toy").state == "unfinished"
    monkeypatch.setitem(environments.PINS, "toy", ("toy==2.0",))
    assert environments.create("toy").state == "ready"


def test_unknown_family():
    with pytest.raises(MetalffError, match='no model family mcae .did you mean "mace"'):
        environments.status("mcae")


CREATE = """
from metalff import environments
environments.PINS["toy"] = ("toy==1.0",)
environments.create("toy", progress=lambda step, line: line or print(step, flush=True))
"""


def creator():
    return subprocess.Popen([sys.executable, "-c", CREATE], stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_killed_creation_is_completed(home):
    with creator() as process:
        for line in process.stdout:
            if "pip install toy" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
    assert environments.status("toy").state in ("unfinished", "ready")
    assert environments.create("toy").state == "ready"


def test_two_at_once_build_once(home):
    with creator() as first, creator() as second:
        outputs = [process.communicate()[0].splitlines() for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert sum("python -m venv" in output for output in outputs) == 1


def test_waits_for_the_lock(home):
    (home / "envs").mkdir(parents=True)
    with open(home / "envs" / "toy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with creator() as process:
            assert process.stdout.readline().startswith("waiting for another process")
            assert environments.status("toy").state == "missing"
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.stdout.readline().startswith("python -m venv")
            process.communicate()
    assert environments.status("toy").state == "ready"
