"""The training loss of a NEP: of the numbers that the engine gives in MD, and reproducible; its gradient: test_gradients.py."""

import numpy as np
import pytest
from matscipy.neighbours import neighbour_list

from metalff import MLFFCalculator, _engine
from nep_variants import VARIANTS, crystals, put, write_nep


def labelled(trainer, atoms, elements, rng, virial=True):
    i, j, vec = neighbour_list("ijD", atoms, 6.0)
    order = np.lexsort((j, i))
    types = np.array([elements.index(symbol) for symbol in atoms.symbols], np.int32)
    labels = rng.normal(), rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3)) if virial else None
    return trainer.add(i[order], j[order], vec[order], types, *labels)


def trainer_of(tmp_path, threads=1):
    trainer = _engine.Trainer("nep", write_nep(tmp_path / "nep.txt").read_text(), threads)
    rng = np.random.default_rng(0)
    for atoms, virial in zip(crystals(["Cu"]).values(), (True, False, True)):
        labelled(trainer, atoms[:18] if len(atoms) > 18 else atoms, ["Cu"], rng, virial)
    return trainer


def test_loss_is_that_of_the_predictions(tmp_path):
    trainer = trainer_of(tmp_path)
    rng = np.random.default_rng(0)
    want = 0.0
    for (energy, forces, virial), has in zip(trainer.predict([0, 1, 2]), (True, False, True)):
        n, e, f = len(forces), rng.normal(), rng.normal(size=forces.shape)
        want += np.mean((forces - f) ** 2) + 3.0 * ((energy - e) / n) ** 2
        if has:
            want += 5.0 * np.mean(((virial - rng.normal(size=(3, 3))) / n) ** 2)
    assert trainer.gradient([0, 1, 2], 3.0, 5.0)[0] == pytest.approx(want / 3, rel=1e-12)


def huber(square, threshold):
    return square if square <= threshold**2 else threshold * (2 * np.sqrt(square) - threshold)


@pytest.mark.parametrize("threshold", [0.02, 0.8, 1e6])
def test_robust_loss_is_that_of_the_predictions(threshold, tmp_path):
    trainer = trainer_of(tmp_path)
    rng = np.random.default_rng(0)
    want = 0.0
    for (energy, forces, virial), has in zip(trainer.predict([0, 1, 2]), (True, False, True)):
        n, e, f = len(forces), rng.normal(), rng.normal(size=forces.shape)
        want += np.mean([huber(x, threshold) for x in ((forces - f) ** 2).sum(1)]) / 3 + 3.0 * huber(((energy - e) / n) ** 2, threshold)
        if has:
            want += 5.0 * huber((((virial - rng.normal(size=(3, 3))) / n) ** 2).sum(), threshold) / 9
    assert trainer.gradient([0, 1, 2], 3.0, 5.0, threshold)[0] == pytest.approx(want / 3, rel=1e-12)


def test_predictions_are_those_of_the_calculator(tmp_path):
    trainer = _engine.Trainer("nep", write_nep(tmp_path / "nep.txt", **VARIANTS["all invariants"]).read_text())
    elements = list(VARIANTS["all invariants"]["elements"])
    atoms = crystals(elements)["hot"]
    labelled(trainer, atoms, elements, np.random.default_rng(0))
    energy, forces, virial = trainer.predict([0])[0]
    atoms.calc = MLFFCalculator(put(tmp_path / "nep.mlff", (tmp_path / "nep.txt").read_bytes(), elements))
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-11)
    np.testing.assert_allclose(-virial / atoms.get_volume(), atoms.get_stress(voigt=False), atol=1e-12)


def test_threads_change_nothing_but_round_off(tmp_path):
    one, two, again = (trainer_of(tmp_path, threads=n).gradient([0, 1, 2], 3.0, 5.0) for n in (1, 2, 2))
    assert two[0] == again[0] and np.array_equal(two[1], again[1])
    np.testing.assert_allclose(one[1], two[1], rtol=1e-9, atol=1e-12 * np.abs(one[1]).max())


def test_descriptor_range(tmp_path):
    low, high = trainer_of(tmp_path).descriptor_range()
    assert (low < high).all() and np.isfinite(low).all() and np.isfinite(high).all()


def test_what_does_not_fit_is_refused(tmp_path):
    trainer = trainer_of(tmp_path)
    with pytest.raises(_engine.EngineError, match="sorted by centre"):
        trainer.add([1, 0], [0, 1], np.ones((2, 3)), np.zeros(2, np.int32), 0.0, np.zeros((2, 3)))
    with pytest.raises(_engine.EngineError, match="do not fit together"):
        trainer.add([0, 1], [1, 0], np.ones((2, 3)), np.zeros(2, np.int32), 0.0, np.zeros((3, 3)))
