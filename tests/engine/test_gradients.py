"""Gradients of the loss by all parameters, of MACE and NEP, against differences of the loss."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk
from matscipy.neighbours import neighbour_list

import nep_variants
from mace_payloads import NAMES, PAYLOAD
from metalff import _engine, artifact

WEIGHTS = 30.0, 10.0
DENSITIES = [name for name in NAMES if "densities" in name or name in ("one layer, l = 4", "cutoff apart")]


def crystal(scale: float, elements: int, seed: int):
    """Edges within 6 Å of a hot crystal with a vacancy, its types and made-up labels."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", a=3.6 * scale, cubic=True).repeat((2, 2, 1))
    atoms.rattle(0.15, seed=seed)
    del atoms[3]
    centre, neighbor, vec = neighbour_list("ijD", atoms, 6.0)
    n = len(atoms)
    return centre, neighbor, vec, rng.integers(0, elements, n).astype(np.int32), rng.normal(), rng.normal(size=(n, 3))


def trainer(family, payload, elements, threads=1):
    made = _engine.Trainer(family, payload, threads)
    made.add(*crystal(1.0, elements, 1), np.diag([0.3, -0.2, 0.5]))
    made.add(*crystal(1.1, elements, 2))
    made.add(*crystal(0.85, elements, 3), np.ones((3, 3)))  # far shorter edges than those before
    return made


def mace(variants, name, threads=1):
    path, graph = variants[name]
    return trainer("mace", artifact.open_artifact(path).read(PAYLOAD), int(graph["types"].max()) + 1, threads)


def compare(made, batch=(0, 1, 2), huber=0.0):
    """Largest error over the largest gradient, of random parameters and those with the largest."""
    start = made.parameters
    _, gradient = made.gradient(list(batch), *WEIGHTS, huber)
    chosen = {*np.random.default_rng(5).choice(len(start), 6, replace=False), *np.argsort(-np.abs(gradient))[:3]}
    worst = 0.0
    for k in chosen:
        step = 1e-3 * max(0.1, abs(start[k]))
        losses = []
        for shift in (-2, -1, 1, 2):
            moved = start.copy()
            moved[k] += shift * step
            made.parameters = moved
            losses.append(made.gradient(list(batch), *WEIGHTS, huber)[0])
        numerical = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * step)
        worst = max(worst, abs(numerical - gradient[k]))
    made.parameters = start
    return worst / np.abs(gradient).max()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DENSITIES])
def test_mace(name, variants):
    assert compare(mace(variants, name)) < 1e-6


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_refused(name, variants):
    with pytest.raises(_engine.EngineError, match="trains no interactions with densities"):
        mace(variants, name)


def functionals(n):
    """By energy, forces and virial: of the energy alone, of one force, of all of them."""
    rng, by_force, by_virial = np.random.default_rng(2), np.zeros((3, n, 3)), np.zeros((3, 3, 3))
    by_force[1, 4, 1], by_force[2], by_virial[2] = 1.0, rng.normal(size=(n, 3)), rng.normal(size=(3, 3))
    return np.array([1.0, 0.0, 0.3]), by_force, by_virial


def compare_jacobian(made):
    """Largest error over the largest derivative along some directions, by all and by single parameters, of any row."""
    start, rng = made.parameters, np.random.default_rng(5)
    n = len(made.predict([0])[0][1])
    by_energy, by_force, by_virial = functionals(n)
    jacobian, worst = made.jacobian(0, by_energy, by_force, by_virial), 0.0
    single = np.zeros(start.size)
    single[np.abs(jacobian[1]).argmax()] = 1.0
    for direction in (*rng.normal(size=(2, start.size)), single):
        answers, step = [], 1e-3 * np.abs(start).mean() / np.abs(direction).max()
        for shift in (-2, -1, 1, 2):
            made.parameters = start + shift * step * direction
            ((energy, forces, virial),) = made.predict([0])
            answers.append(by_energy * energy + (by_force * forces).sum((1, 2)) + (by_virial * virial).sum((1, 2)))
        numerical = (answers[0] - 8 * answers[1] + 8 * answers[2] - answers[3]) / (12 * step)
        scale = np.abs(jacobian).max(1) * np.abs(direction).max()
        worst = max(worst, (np.abs(numerical - jacobian @ direction) / scale).max())
    made.parameters = start
    return worst


@pytest.mark.parametrize("threads", [1, 2])
def test_jacobian_of_a_nep(threads, tmp_path):
    text = nep_variants.write_nep(tmp_path / "nep.txt", elements=("Cu", "Ni")).read_text()
    assert compare_jacobian(trainer("nep", text, 2, threads)) < 1e-5


def test_jacobian_of_a_mace(variants):
    assert compare_jacobian(mace(variants, "vectors")) < 1e-5


def weighted(tmp_path):
    """A NEP whose structures count 0.25, 3 and not at all."""
    made = _engine.Trainer("nep", nep_variants.write_nep(tmp_path / "nep.txt").read_text(), 1)
    for k, (scale, weight) in enumerate(((1.0, 0.25), (1.1, 3.0), (0.85, 0.0))):
        made.add(*crystal(scale, 1, k), None if k == 1 else 0.1 * np.ones((3, 3)), weight)
    return made


# so small a threshold is below all errors, the larger one between those of the atoms
@pytest.mark.parametrize("huber", [0.0, 1e-3, 1.5])
def test_weights_and_a_robust_loss(huber, tmp_path):
    made = weighted(tmp_path)
    assert compare(made, huber=huber) < 1e-6
    one, two, three = (made.gradient([k], *WEIGHTS, huber) for k in range(3))
    loss, gradient = made.gradient([0, 1, 2], *WEIGHTS, huber)
    assert loss == pytest.approx((one[0] + two[0]) / 3, rel=1e-12) and three[0] == 0.0 and not three[1].any()
    np.testing.assert_allclose(gradient, (one[1] + two[1]) / 3, rtol=1e-9, atol=1e-12 * np.abs(gradient).max())


@pytest.mark.parametrize("name", nep_variants.VARIANTS)
def test_nep(name, tmp_path):
    words = nep_variants.VARIANTS[name]
    text = nep_variants.write_nep(tmp_path / "nep.txt", **words).read_text()
    assert compare(trainer("nep", text, len(words.get("elements", ("Cu",))))) < 1e-6


def test_energies_and_forces_are_those_of_the_engine(variants):
    """But for the splines, which go through the radial functions at the knots alone."""
    path, _ = variants["three layers, Soft"]
    centre, neighbor, vec, types, *_ = crystal(1.0, 2, 1)
    energies, gradient = _engine.Engine(str(path), engine="native", spline=0).evaluate(centre, neighbor, vec, types)
    forces = np.zeros((len(types), 3))
    np.add.at(forces, centre, gradient)
    np.add.at(forces, neighbor, -gradient)
    ((energy, found, virial),) = mace(variants, "three layers, Soft").predict([0])
    assert energy == pytest.approx(energies.sum(), abs=1e-6)
    np.testing.assert_allclose(found, forces, rtol=0, atol=1e-5 * np.abs(forces).max())
    np.testing.assert_allclose(virial, -vec.T @ gradient, rtol=0, atol=1e-5 * np.abs(virial).max())


def test_order_and_threads_do_not_matter(variants):
    """Of structures, one of which has far shorter edges than those before it, which makes tables longer on the way."""
    one, other, two = (mace(variants, "narrow messages", threads) for threads in (1, 1, 2))
    loss, gradient = one.gradient([0, 1, 2], *WEIGHTS)
    single = [other.gradient([k], *WEIGHTS) for k in (2, 0, 1)]
    close = {"rtol": 0, "atol": 1e-8 * np.abs(gradient).max()}
    np.testing.assert_allclose(gradient, sum(g for _, g in single) / 3, **close)
    assert loss == pytest.approx(sum(value for value, _ in single) / 3, rel=1e-12)
    np.testing.assert_allclose(two.gradient([0, 1, 2], *WEIGHTS)[1], gradient, **close)
    again = one.gradient([0, 1, 2], *WEIGHTS)
    assert again[0] == loss and np.array_equal(again[1], gradient)


@pytest.mark.parametrize("isa", ["base", "x86-64-v3"])
def test_lesser_instruction_sets_agree(isa, variants, tmp_path):
    path, _ = variants["vectors"]
    arrays = dict(zip(("centre", "neighbor", "vec", "types", "energy", "forces"), crystal(1.0, 1, 1)))
    np.savez(tmp_path / "graph.npz", payload=np.frombuffer(artifact.open_artifact(path).read(PAYLOAD), np.uint8), **arrays)
    code = (
        "import sys, numpy as np; from metalff import _engine; g = dict(np.load(sys.argv[1]));"
        "t = _engine.Trainer('mace', g['payload'].tobytes());"
        "t.add(*(g[k] for k in ('centre', 'neighbor', 'vec', 'types')), float(g['energy']), g['forces']);"
        "np.save(sys.argv[2], t.gradient([0], 30.0, 10.0)[1])"
    )
    found = {}
    for name in (isa, "x86-64-v4"):
        command = [sys.executable, "-c", code, tmp_path / "graph.npz", tmp_path / "gradient.npy"]
        subprocess.run(command, check=True, env=os.environ | {"METALFF_ISA": name})
        found[name] = np.load(tmp_path / "gradient.npy")
    scale = np.abs(found["x86-64-v4"]).max()
    np.testing.assert_allclose(found[isa], found["x86-64-v4"], rtol=0, atol=1e-7 * scale)


def test_what_does_not_fit_is_refused(variants):
    made = mace(variants, "plain")
    with pytest.raises(_engine.EngineError, match=f"the model has {len(made.parameters)} parameters, not 3"):
        made.parameters = np.zeros(3)
    with pytest.raises(_engine.EngineError, match="trains nep, mace and poly, not allegro"):
        _engine.Trainer("allegro", b"")
    with pytest.raises(_engine.EngineError, match="payload mace is not valid"):
        _engine.Trainer("mace", b"no tensors")
