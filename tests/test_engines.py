"""Calculators that are copied, pickled, forked, spawned and shared among threads give the numbers of the first one."""

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from ase.build import bulk

from metalff import MLFFCalculator, artifact
from metalff.errors import MetalffError
from metalff.paths import shared

MODELS = ["Cu-nep", "Cu-mace"]  # native; the oracle runs on torch


def model(name):
    return shared("potentials", "mlff", f"{name}.mlff")


def crystal(seed=0):
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=seed)
    return atoms


def energy(atoms):
    """Of atoms and calculator as they come out of a pickle, anew."""
    atoms.calc.reset()
    return atoms.get_potential_energy()


def energy_of(calculator, seed):
    return energy(with_calculator(calculator, seed))


def with_calculator(calculator, seed=0):
    atoms = crystal(seed)
    atoms.calc = calculator
    return atoms


@pytest.fixture(params=[*MODELS, "oracle"])
def path(request):
    return request.getfixturevalue("oracle") if request.param == "oracle" else model(request.param)


def test_deep_copies(path):
    atoms = with_calculator(MLFFCalculator(path, precision="single"))
    first = atoms.get_potential_energy()
    other = copy.deepcopy(atoms)
    assert other.calc is not atoms.calc and other.calc.results is not atoms.calc.results
    assert other.calc.parameters == atoms.calc.parameters
    other.positions[0] += 0.2
    assert other.get_potential_energy() != pytest.approx(first, abs=1e-3)
    assert atoms.get_potential_energy() == first == energy(atoms)
    shallow = copy.copy(atoms.calc)
    shallow.set(precision="double")
    assert (shallow.parameters["precision"], atoms.calc.parameters["precision"]) == ("double", "single")
    assert energy_of(shallow, 0) != first == energy(atoms)


def test_pickles(path):
    atoms = with_calculator(MLFFCalculator(path))
    first, forces = atoms.get_potential_energy(), atoms.get_forces()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        other = pickle.loads(pickle.dumps(atoms, protocol))
        assert other.calc.get_property("energy", other, allow_calculation=False) == first, "results travel"
        assert energy(other) == first
        np.testing.assert_array_equal(other.get_forces(), forces)
        assert other.calc.parameters == atoms.calc.parameters and other.calc.engine == atoms.calc.engine
    assert len(pickle.dumps(MLFFCalculator(path))) < 1e5, "the path, not the model"


def test_relative_paths_mean_where_they_were_said(tmp_path, monkeypatch):
    shutil.copy(model("Cu-nep"), tmp_path / "here.mlff")
    monkeypatch.chdir(tmp_path)
    blob = pickle.dumps(MLFFCalculator("here.mlff"))
    monkeypatch.chdir("/")
    assert energy_of(pickle.loads(blob), 0) == energy_of(MLFFCalculator(model("Cu-nep")), 0)


def test_a_file_that_changed(tmp_path):
    path = tmp_path / "model.mlff"
    shutil.copy(model("Cu-nep"), path)
    calculator = MLFFCalculator(path)
    first, blob = energy_of(calculator, 0), pickle.dumps(calculator)
    shutil.copy(model("Cu-mace"), path)
    assert energy_of(copy.deepcopy(calculator), 0) == first, "what is open stays open"
    back = pickle.loads(blob)
    old, new = (artifact.open_artifact(model(name)).sha256[:12] for name in ("Cu-nep", "Cu-mace"))
    for _ in range(2):
        sentence = rf"model.mlff' has changed since the calculator was made \(its hash was {old} and is now {new}\): put the old file back"
        with pytest.raises(MetalffError, match=sentence):
            energy_of(back, 0)
    path.unlink()
    with pytest.raises(MetalffError, match="model.mlff"):
        energy_of(back, 0)
    shutil.copy(model("Cu-nep"), path)
    assert energy_of(back, 0) == first


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", MODELS)
def test_pools_of_processes(name, method):
    context = multiprocessing.get_context(method)
    calculator = MLFFCalculator(model(name), threads=2)
    expected = [energy_of(calculator, seed) for seed in range(4)]
    everything = [with_calculator(calculator, seed) for seed in range(4)]
    with context.Pool(2) as pool:
        assert pool.map_async(energy, everything).get(120) == expected
    with ProcessPoolExecutor(2, context) as pool:
        assert list(pool.map(energy_of, [calculator] * 4, range(4), timeout=120)) == expected


def test_joblib():
    joblib = pytest.importorskip("joblib")
    calculator = MLFFCalculator(model("Cu-nep"))
    expected = [energy_of(calculator, seed) for seed in range(4)]
    for backend in ("loky", "threading", "multiprocessing"):
        tasks = (joblib.delayed(energy)(with_calculator(copy.deepcopy(calculator), seed)) for seed in range(4))
        assert joblib.Parallel(2, backend=backend, timeout=120)(tasks) == expected


def test_dask():
    dask = pytest.importorskip("dask")
    calculator = MLFFCalculator(model("Cu-nep"))
    expected = tuple(energy_of(calculator, seed) for seed in range(4))
    for scheduler in ("threads", "processes"):
        tasks = [dask.delayed(energy)(with_calculator(copy.deepcopy(calculator), seed)) for seed in range(4)]
        assert dask.compute(*tasks, scheduler=scheduler, num_workers=2) == expected


def test_copies_in_threads(path):
    """Each thread has a copy, all copies share one set of engines; sizes differ, so that a shared buffer would show."""
    calculator = MLFFCalculator(path)
    structures = [crystal(seed).repeat((1, 1, 1 + seed % 3)) for seed in range(6)]

    def evaluated(atoms, own):
        atoms = atoms.copy()
        atoms.calc = own
        return atoms.get_potential_energy(), atoms.get_forces()

    expected = [evaluated(atoms, calculator) for atoms in structures]
    start = threading.Barrier(3)

    def work(thread):
        own = copy.deepcopy(calculator)
        start.wait(60)
        return [evaluated(structures[(k + thread) % 6], own) for k in range(18)]

    with ThreadPoolExecutor(3) as pool:
        for thread, found in enumerate(pool.map(work, range(3), timeout=300)):
            for k, (e, forces) in enumerate(found):
                assert e == expected[(k + thread) % 6][0]
                np.testing.assert_array_equal(forces, expected[(k + thread) % 6][1])
    assert 1 <= len(calculator._engines._idle) <= 3


# the threads of torch (OpenMP) wait for ever after a fork, where there were several before
FORKED = """
import multiprocessing, os, sys, threading, warnings
from ase.build import bulk
from metalff import MLFFCalculator

path, before, after, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
warnings.simplefilter("always")
atoms = bulk("Cu", cubic=True).repeat(3)
atoms.rattle(0.05)
atoms.calc = MLFFCalculator(path, threads=before)
energy = atoms.get_potential_energy()
if how == "imported":
    import torch
    torch.set_num_threads(2)
    torch.randn(2000, 2000) @ torch.randn(2000, 2000)
busy = threading.Event()
if how == "amid":  # another thread is inside the engine
    def work():
        other = bulk("Cu", cubic=True).repeat(4)
        other.calc = MLFFCalculator(path, threads=before)
        while not busy.is_set():
            other.calc.reset()
            other.get_potential_energy()
    thread = threading.Thread(target=work)
    thread.start()
child = os.fork()
if child == 0:
    for _ in range(2):
        atoms.calc.set(threads=after) if how != "same" else atoms.calc.reset()
        atoms.calc.reset()
        difference = abs(atoms.get_potential_energy() - energy)
        assert difference < 1e-9, difference
    print("child is right", flush=True)
    sys.exit(0) if how == "leaves" else os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
busy.set()
atoms.calc.reset()
assert atoms.get_potential_energy() == energy
sys.exit(status)
"""

SINGLE = "the torch engine evaluates on one thread here; start processes with the method 'spawn' for more"


@pytest.mark.parametrize(
    "before, after, how, warned",
    [
        (1, 1, "same", False),
        (1, 2, "set", False),
        (2, 2, "same", True),
        (2, 2, "set", True),
        (2, 1, "set", False),
        (2, 2, "leaves", True),
        (1, 2, "imported", True),
        (2, 2, "amid", True),
    ],
)
def test_fork_with_torch(before, after, how, warned, oracle):
    forked = ran(FORKED, oracle, before, after, how)
    assert "child is right" in forked.stdout
    assert forked.stderr.count(SINGLE) == warned, forked.stderr


@pytest.mark.parametrize("how", ["same", "set", "leaves", "imported", "amid"])
@pytest.mark.parametrize("name", MODELS)
def test_fork_with_the_native_engine(name, how):
    forked = ran(FORKED, model(name), 2, 2, how)
    assert "child is right" in forked.stdout and not forked.stderr


def ran(script, *words):
    done = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, timeout=300, env=without_limits())
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def without_limits():
    return {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}


def test_a_fork_that_imports_metalff_first(oracle):
    """Nobody of MetalFF was there to see the fork."""
    script = """
import multiprocessing, sys
import torch
def work(path):
    from ase.build import bulk
    from metalff import MLFFCalculator
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.calc = MLFFCalculator(path, threads=2)
    return atoms.get_potential_energy()
torch.set_num_threads(2)
torch.randn(2000, 2000) @ torch.randn(2000, 2000)
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(work, [sys.argv[1]]).get(100))
"""
    done = ran(script, oracle)
    assert float(done.stdout) == pytest.approx(with_perfect(oracle), abs=1e-9) and SINGLE in done.stderr


def with_perfect(path):
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.calc = MLFFCalculator(path)
    return atoms.get_potential_energy()


def test_spawned_processes_keep_their_threads(oracle):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        calculator = MLFFCalculator(oracle, threads=2)
        expected = energy_of(calculator, 1)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=warnings.simplefilter, initargs=("error",)) as pool:
            assert pool.submit(energy_of, calculator, 1).result(120) == pytest.approx(expected, abs=1e-9)
