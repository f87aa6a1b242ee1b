"""The check that goes to a machine with a GPU, here on the stock LAMMPS, and ``metalff speed --gpu`` on what it writes."""

import gzip
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.lammps import lmp_executable, plugin_path
from metalff.speed import gpu

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "gpu"
NAMES = ("bundle_cases", "runs", "parts", "check", "bundle", "structures", "cuda_lammps", "ptxas", "stages", "roofline")


@pytest.fixture(scope="module")
def scripts():
    """Modules of benchmarks/gpu by name."""
    sys.path.insert(0, str(SCRIPTS))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(SCRIPTS))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(scripts, tmp_path_factory):
    """A bundle of one model, without what is for a GPU."""
    cases, path = scripts["bundle_cases"], tmp_path_factory.mktemp("gpu") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "MODELS", {"Cu-nep": ("nep", ["Cu"])})
        scripts["bundle"].make(path, host=True, say=lambda line: None)
    return path


def run(folder, out, *words):
    command = ["bash", folder / "run.sh", "--lmp", lmp_executable(), "--flags", "", "--plugins", plugin_path()]
    command += ["--models", "Cu-nep", "--sizes", "108", "--run-seconds", "0.2", "--at-once", "1", "--out", out, *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_the_check(folder, tmp_path):
    out = tmp_path / "results.json"
    done = run(folder, out, "--parts", "facts", "parity", "repeatability", "speed", "memcheck")
    # newton is a word of KOKKOS' package command, which the stock LAMMPS refuses; nothing else fails
    results = json.loads(out.read_text())
    failed = [row for rows in results["parts"].values() for row in rows if "failure" in row]
    assert [row["newton"] for row in failed] == ["on"], done.stdout + done.stderr
    assert done.returncode == 1 and "parity: 6 of 7 fine, 1 failed" in out.with_suffix(".txt").read_text()
    fine = [row for row in results["parts"]["parity"] if "failure" not in row]
    assert {row["structure"] for row in fine} == {"crystal", "slab", "cell"}
    assert all(row["force"] == 0 for row in fine if row["precision"] == "double")  # the same program
    assert all(0 < row["force"] < 1e-5 for row in fine if row["precision"] == "single")
    assert [row["equal"] for row in results["parts"]["repeatability"]] == [True, True]
    assert all(row["ns/atom/step"] > 0 and row["atoms"] == 108 for row in results["parts"]["speed"])
    assert results["parts"]["memcheck"] == [{"model": "Cu-nep", "precision": "double", "skipped": "no GPU"}]


def test_numbers_that_differ_are_found(scripts, folder, tmp_path):
    parts, runs = scripts["parts"], scripts["runs"]
    (tmp_path / "wrong").mkdir()
    for room in ("models", "inputs", "reference"):
        (tmp_path / "wrong" / room).symlink_to(folder / room)
    bench = parts.Bench(tmp_path / "wrong", tmp_path, runs.Backend(str(lmp_executable())), (108,), ("Cu-nep",), 1, 0.2)
    there = parts.reference(bench, "Cu-nep", "cell")
    numbers = there["steps"]["5"]
    assert max(parts.deviations(numbers, numbers).values()) == 0
    for key, tell in (("forces", "force"), ("atom energies", "atom energy"), ("pressure", "pressure")):
        for value in (numbers[key][0] + 1e-3, float("nan")):
            worst = parts.deviations(numbers | {key: [value, *numbers[key][1:]]}, numbers)
            assert worst[tell] > 1e-8 and max(v for k, v in worst.items() if k != tell) == 0
    assert parts.deviations(numbers | {"energy": float("nan")}, numbers)["energy"] == float("inf")


def test_a_part_that_stops_and_time_that_ends(folder, tmp_path):
    out = tmp_path / "results.json"
    done = run(folder, out, "--parts", "facts", "parity", "copies", "--seconds", "0")
    results = json.loads(out.read_text())
    assert all(row["skipped"] == "no time left" for row in results["parts"]["parity"] + results["parts"]["copies"])
    assert done.returncode in (0, 1)

    done = run(folder, out, "--parts", "parity", "copies", "--lmp", "/bin/false")
    results = json.loads(out.read_text())
    assert done.returncode == 1
    assert all("ended with status 1" in row["failure"] for row in results["parts"]["parity"] + results["parts"]["copies"])


def test_copies_between_host_and_device(scripts, tmp_path):
    """Of two files of hooks.c: what every step copies is told from what is copied once."""
    parts = scripts["parts"]
    (tmp_path / "hooks").write_text("kernel\t21\t0.5\tmlff/nep\ncopy\t1\t96\tHost\tCuda\ttypes\ttypes\ncopy\t40\t320\tCuda\tHost\tx of a\ty\n")
    found = parts.counted(tmp_path / "hooks")
    assert found["kernel", "mlff/nep"] == (21, 0.5)
    assert found["copy", "Cuda", "Host", "x of a", "y"] == (40, 320)
    assert [parts.on_host(space) for space in ("Host", "HostSpace", "Cuda", "CudaHostPinned")] == [True, True, False, False]


def test_hooks_compile_and_bad_folders(scripts, folder, tmp_path):
    assert (folder / "libhooks.so").is_file()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").touch()
    with pytest.raises(MetalffError, match="is not a bundle: choose another folder"):
        scripts["bundle"].make(other, host=True)


@pytest.mark.parametrize(
    "variables, sentence",
    [
        ({}, "no LAMMPS for CUDA: set KOKKOS_LAMMPS_ARCHIVE"),
        ({"GPU_LMP": "/nowhere/lmp"}, "GPU_LMP names /nowhere/lmp, which does not exist"),
    ],
)
def test_no_lammps_for_cuda(scripts, variables, sentence, monkeypatch, tmp_path):
    for name in ("GPU_LMP", "GPU_LAMMPS_SOURCE", "GPU_LAMMPS_BUILD", "KOKKOS_LAMMPS_ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MetalffError, match=sentence):
        scripts["cuda_lammps"].find()


def test_roofline(scripts, folder):
    """Operations are those that the engine of the processor counts; occupancy as CUDA's tables have it."""
    stages, ptxas = scripts["stages"], scripts["ptxas"]
    assert stages.neighbors(5.0) == 42
    assert ptxas.occupancy(32, 256, 0) == (64, "nothing")
    assert ptxas.occupancy(128, 256, 0) == (16, "registers")
    assert ptxas.occupancy(32, 128, 64 * 1024)[1] == "shared memory"
    listed, edges = scripts["roofline"].model(folder / "models" / "Cu-nep.mlff", 8)
    assert [stage.label for stage in listed] == ["edges", "nep", "forces"] and edges == 42
    table = scripts["roofline"].rows("Cu-nep", listed, 8, [])
    assert float(table[-1][8]) == pytest.approx(sum(float(row[8]) for row in table[:-1]), abs=0.03)


def test_roofline_counts_as_the_engine_does(scripts, bundled_model):
    """Of MACE, both from the payload's shapes; the rest of the crystal's neighbours apart."""
    import numpy as np
    from ase.build import bulk
    from matscipy.neighbours import neighbour_list

    from metalff import _engine

    atoms = bulk("Cu", "fcc", a=3.615, cubic=True).repeat(3)
    i, j, vec = neighbour_list("ijD", atoms, 5.0)
    engine = _engine.Engine(str(bundled_model), precision="double", engine="native")
    engine.evaluate(i.astype(np.int64), j.astype(np.int64), vec, np.zeros(len(atoms), np.int32))
    counted = {}
    for part in engine.profile():
        counted[part["name"]] = counted.get(part["name"], 0) + part["flops"] / len(atoms)
    listed, edges = scripts["roofline"].model(bundled_model, 8)
    assert edges == len(i) / len(atoms)
    mine = {}
    for stage in listed:
        mine[stage.label.replace(" of the first layer", "")] = mine.get(stage.label.replace(" of the first layer", ""), 0) + stage.flops
    assert mine["linear"] == counted["linear"] and mine["product"] == pytest.approx(counted["product"], rel=0.05)
    assert mine["messages, backward"] == pytest.approx(counted["messages, backward"], rel=0.1)
    assert mine["messages"] == pytest.approx(counted["messages"] + counted["edges"], rel=0.1)


RESULTS = {
    "schema": 1,
    "flags": "-k on g 1 -sf kk",
    "parts": {
        "facts": [{"card": "Made-up card"}],
        "parity": [{"model": "a", "failure": "beyond the tolerance: force"}, {"model": "b"}],
        "speed": [
            {"model": "a", "precision": p, "atoms": n, "ns/atom/step": 1e6 / n, "atom-steps/s": 1e3 * n}
            for p in ("double", "single")
            for n in (500, 4000)
        ]
        + [{"model": "b", "precision": "double", "atoms": 500, "skipped": "no time left"}],
        "kernels": [
            {
                "model": "a",
                "precision": "double",
                "atoms": 4000,
                "ns/atom/step": 200.0,
                "kernels": [{"kernel": "mlff/nep", "calls/step": 1, "ns/atom/step": 150.0, "%": 75.0}],
            }
        ],
    },
}


def speed(*words):
    return CliRunner().invoke(build_app(), ["speed", *map(str, words)])


def test_drawing(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(RESULTS))
    other = RESULTS | {"parts": RESULTS["parts"] | {"facts": [{"card": "", "processor": "a processor"}]}}
    (tmp_path / "two.json").write_text(json.dumps(other))
    outcome = speed("--gpu", tmp_path / "one.json", "--gpu", tmp_path / "two.json", "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    text = (tmp_path / "out" / "gpu.md").read_text()
    assert "| Made-up card | a | double | 500 | 2000.0 | 5e+05 |" in text and "| mlff/nep | 75.0 | 150.00 |" in text
    assert "parity: 1 fine, 1 failed, 0 left out" in text and "a processor, -k on g 1 -sf kk" in text
    assert (tmp_path / "out" / "gpu.png").stat().st_size > 10_000
    assert gpu.rows([RESULTS])[0] == ["Made-up card", "a", "double", "500", "2000.0", "5e+05"]


@pytest.mark.parametrize(
    "text, words, sentence",
    [
        ("{", (), "is not a file of results"),
        ("[]", (), "is not a file of results"),
        ('{"schema": 9, "parts": {}}', (), "has schema 9, this MetalFF reads 1"),
        ('{"schema": 1, "parts": {"speed": []}}', (), "nothing was timed there"),
        (json.dumps(RESULTS), ("--peers",), "give it alone, or with --out"),
    ],
)
def test_bad_results(text, words, sentence, tmp_path):
    (tmp_path / "r.json").write_text(text)
    outcome = speed("--gpu", tmp_path / "r.json", "--out", tmp_path / "out", *words)
    assert isinstance(outcome.exception, MetalffError) and sentence in str(outcome.exception)
    assert not (tmp_path / "out").exists()


def test_no_results(tmp_path):
    with pytest.raises(MetalffError, match="cannot be read"):
        gpu.read(tmp_path / "none.json")


def test_references_are_read_as_written(scripts, folder):
    with gzip.open(folder / "reference" / "Cu-nep-slab.json.gz") as stream:
        there = json.load(stream)
    lonely = there["steps"]["0"]["forces"][-3:]
    assert lonely == [0.0, 0.0, 0.0]  # the atom by itself
