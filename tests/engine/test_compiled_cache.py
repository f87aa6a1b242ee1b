"""The cache of compiled models: once per machine, whoever comes at the same time, whatever was killed before."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cases import lammps
from metalff import MLFFCalculator, artifact
from metalff.compiled import forecast
from metalff.errors import MetalffError
from metalff.lammps import environment, lmp_executable
from metalff.paths import cache_dir
from metalff.potentials import resolve

COMPILING = "compiling torch/float64.zip"
INPUT = """units metal
lattice fcc 3.615
region b block 0 2 0 2 0 2
create_box 1 b
create_atoms 1 box
mass 1 63.546
pair_style mlff
pair_coeff * * {model} Cu
run 0
print "ENERGY $(pe:%.12g)"
"""
PYTHON = """
from ase.build import bulk
from metalff import MLFFCalculator
atoms = bulk("Cu", cubic=True, a=3.615).repeat(2)
atoms.calc = MLFFCalculator({model!r})
print("ENERGY", format(atoms.get_potential_energy(), ".12g"))
"""


def start(program, oracle, directory, **variables):
    """LAMMPS or Python on a small crystal, with a compile cache in ``directory``."""
    if program == "lammps":
        script = directory / "in.energy"
        script.write_text(INPUT.format(model=oracle))
        command = [str(lmp_executable()), "-in", str(script), "-log", "none", "-nocite"]
    else:
        command = [sys.executable, "-c", PYTHON.format(model=str(oracle))]
    env = environment() | {"METALFF_CACHE": str(directory / "cache")} | variables
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def energy(process, output):
    assert process.returncode == 0, output
    return float(next(line for line in output.splitlines() if line.startswith("ENERGY")).split()[1])


@pytest.fixture(scope="module")
def no_compiler(tmp_path_factory):
    """A PATH without a compiler."""
    return str(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def filled(oracle, tmp_path_factory):
    """Directory whose cache was filled by two processes at once, after one that was killed; and what those two said."""
    directory = tmp_path_factory.mktemp("filled")
    compiled = directory / "cache" / "compiled"
    env = os.environ | {"METALFF_CACHE": str(directory / "cache")}
    kept = cache_dir() / "torch"  # what torch has kept for others of the suite
    if kept.is_dir():
        (directory / "cache").mkdir()
        (directory / "cache" / "torch").symlink_to(kept)
    killed = subprocess.Popen(
        [sys.executable, "-m", "metalff.compiled", str(oracle)],
        stdout=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    while not list(compiled.glob("*/inductor/**/*.cpp")):  # the compiler has begun
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    litter = [path.name for path in compiled.iterdir() if path.is_dir()]
    assert litter and not list(compiled.glob("*/ready"))

    processes = [start(program, oracle, directory) for program in ("lammps", "python")]
    outputs = [process.communicate()[0] for process in processes]
    return directory, processes, outputs, litter


def test_two_processes_compile_once(filled):
    _, processes, outputs, _ = filled
    assert sum(output.count(COMPILING) for output in outputs) == 1
    first, second = (energy(*pair) for pair in zip(processes, outputs, strict=True))
    assert first == pytest.approx(second, abs=1e-9)


def test_a_killed_compile_leaves_nothing(filled):
    directory, _, _, litter = filled
    compiled = directory / "cache" / "compiled"
    (entry,) = (path for path in compiled.iterdir() if path.is_dir())
    assert entry.name not in litter
    assert sorted(path.name for path in entry.iterdir()) == ["last.so", "ready"]
    assert [path.name for path in compiled.iterdir() if path.is_file()] == [f"{entry.name}.lock"]
    kept = directory / "cache" / "torch"
    assert list(kept.glob("**/*.gch")) or not shutil.which("openssl"), "what torch keeps is not in /tmp"


@pytest.mark.parametrize("program", ["lammps", "python"])
def test_second_use_compiles_nothing(program, filled, oracle, no_compiler):
    """No message, and no compiler is missed."""
    directory, processes, outputs, _ = filled
    process = start(program, oracle, directory, PATH=no_compiler)
    output = process.communicate()[0]
    assert "compil" not in output
    assert energy(process, output) == pytest.approx(energy(processes[0], outputs[0]), abs=1e-9)


def test_no_compiler(oracle, no_compiler, tmp_path, monkeypatch, capfd):
    sentence = "must be compiled once for this machine, but there is no C++ compiler 'g++': install one"
    monkeypatch.delenv("CXX", raising=False)
    process = start("lammps", oracle, tmp_path, PATH=no_compiler)
    output = process.communicate()[0]
    assert process.returncode != 0
    assert output.count(sentence) == 1 and "Traceback" not in output
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", no_compiler)
    with pytest.raises(MetalffError, match=sentence.replace("+", "[+]")):
        MLFFCalculator(oracle)
    assert capfd.readouterr() == ("", ""), "the exception says it all"
    assert not list((tmp_path / "cache" / "compiled").glob("*/"))


def test_cache_that_cannot_be_written(oracle, tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MetalffError, match="cannot be written .Not a directory.: make room there, or set METALFF_CACHE"):
        MLFFCalculator(oracle)
    assert capfd.readouterr() == ("", "")


def test_unknown_device(oracle, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path))
    with pytest.raises(MetalffError, match="device 'cuda:99' is not available to torch on this machine: use device cpu"):
        MLFFCalculator(oracle, device="cuda:99")


def test_failing_self_test(oracle, filled, tmp_path, monkeypatch):
    """A file that is sound but whose numbers this machine does not give: it is not used, nothing is kept."""
    opened = artifact.open_artifact(oracle)
    wrong = opened.selftest()
    wrong[0]["energy"] += 1e-5
    contents = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    contents["selftest.json"] = (contents["selftest.json"][0], json.dumps(wrong).encode())
    model = tmp_path / "wrong.mlff"
    artifact.write(model, opened.manifest, contents)

    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "torch").symlink_to(filled[0] / "cache" / "torch")
    completed = lammps(tmp_path, INPUT.format(model=model).splitlines())
    assert completed.returncode != 0
    said = completed.stdout + completed.stderr
    assert said.count("fails its self-test on this machine (energy 6.2e-07 eV/atom") == 1
    assert "Traceback" not in said and "ENERGY" not in completed.stdout
    assert not list((tmp_path / "cache" / "compiled").glob("*/"))


def test_full_disk(oracle, tmp_path):
    """In a file system of 8 kB, which needs the right to mount one in a namespace of its own."""
    mount = f"mount -t tmpfs -o size=8k,mode=755 tmpfs {tmp_path}"
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small file system")
    script = f"{mount} && METALFF_CACHE={tmp_path} {sys.executable} -m metalff.compiled {oracle}; r=$?; ls {tmp_path}/*; exit $r"
    completed = subprocess.run([unshare, "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert completed.returncode == 1
    (sentence,) = completed.stderr.splitlines()
    assert "cannot be written (No space left on device): make room there" in sentence
    assert "ready" not in completed.stdout and "inductor" not in completed.stdout


def test_forecast_grows_with_the_programs(oracle):
    """A closed form takes seconds, the bundled MACE minutes."""
    payload = "torch/float64.zip"
    simple, large = (forecast(artifact.open_artifact(path), payload) for path in (oracle, resolve("Cu/mace").files[0]))
    assert 0 < simple < 20 and 100 < large < 400


def stranger(path):
    """Gives a path to another user; only root may."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 65534, 65534, follow_symlinks=False)


def copied(filled, folder):
    """A copy of the filled cache, and its entry."""
    shutil.copytree(filled[0] / "cache", folder / "cache")
    (entry,) = (path for path in (folder / "cache" / "compiled").iterdir() if path.is_dir())
    return folder / "cache", entry


def test_the_umask_rules_but_nobody_else_may_write(filled):
    entry = next(path for path in (filled[0] / "cache" / "compiled").iterdir() if path.is_dir())
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (entry, *entry.iterdir())} == {
        entry.name: "0o755",
        "last.so": "0o644",
        "ready": "0o644",
    }


@pytest.mark.parametrize("which", ["cache", "compiled", "entry", "last.so", "ready"])
@pytest.mark.parametrize("how", ["of another", "open to others", "a link"])
def test_what_others_could_have_put_there_is_not_loaded(which, how, filled, oracle, tmp_path, monkeypatch):
    cache, entry = copied(filled, tmp_path)
    path = {"cache": cache, "compiled": cache / "compiled", "entry": entry}.get(which, entry / which)
    if how == "of another":
        stranger(path)
        sentence = (
            "belongs to the user nobody, and what the cache holds is run: set METALFF_TRUST=nobody if you trust that user, or set METALFF_CACHE"
        )
    elif how == "open to others":
        path.chmod(path.stat().st_mode | 0o020)
        sentence = "may be written by others, and what the cache holds is run: chmod go-w"
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        sentence = "is a link, which is not followed: delete it"
    monkeypatch.setenv("METALFF_CACHE", str(cache))
    if (which, how) == ("cache", "a link"):  # which the user's own setting names
        MLFFCalculator(oracle)
        return
    with pytest.raises(MetalffError, match=sentence):
        MLFFCalculator(oracle)
    if how == "of another":
        monkeypatch.setenv("METALFF_TRUST", "somebody,nobody")
        MLFFCalculator(oracle)


ANOTHER = """
import os, sys
from metalff import _engine
opened = _engine.Artifact.open(sys.argv[1])
_engine.cache_key(opened, "double", "cpu")  # asks this Python for its torch, which another user may not be able to
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
print(_engine.cached_programs(opened, "double", "cpu"))
"""


def test_another_user_reads_a_shared_cache(filled, oracle, tmp_path):
    """Root's entries serve everyone; a folder that its owner keeps to himself gets a sentence that helps."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    shared = Path(tempfile.mkdtemp())  # pytest's own folders are private
    try:
        cache, entry = copied(filled, shared)
        shutil.copy(oracle, shared / "Cu.mlff")
        shared.chmod(0o755)
        (shared / "Cu.mlff").chmod(0o644)
        command = [sys.executable, "-c", ANOTHER, str(shared / "Cu.mlff")]
        env = os.environ | {"METALFF_CACHE": str(cache)}
        assert subprocess.run(command, capture_output=True, text=True, env=env).stdout.strip() == str(entry)
        (cache / "compiled").chmod(0o700)
        refused = subprocess.run(command, capture_output=True, text=True, env=env).stderr
        assert "may not be read by you: ask root for chmod -R go+rX, or set METALFF_CACHE to a folder of your own" in refused
    finally:
        shutil.rmtree(shared)


@pytest.mark.parametrize("selftest", [b"[]", b"{", None])
def test_a_file_that_proves_nothing_is_not_compiled(selftest, oracle, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    opened = artifact.open_artifact(oracle)
    contents = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    kind, _ = contents.pop("selftest.json")
    artifact.write(tmp_path / "bare.mlff", opened.manifest, contents | ({"selftest.json": (kind, selftest)} if selftest else {}))
    with pytest.raises(MetalffError, match="has no self-test, or one without structures, which proves nothing: deploy the model again"):
        MLFFCalculator(tmp_path / "bare.mlff")
    assert not (tmp_path / "cache").exists()
