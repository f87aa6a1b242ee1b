"""What the C interface cannot see for itself: sizes, ranges and texts that ctypes would hand on silently."""

import subprocess
import sys

import numpy as np
import pytest

import nep_variants
from metalff import _engine
from metalff.paths import shared

MODEL = shared("potentials", "mlff", "Cu-nep.mlff")
PAIR = np.array([0, 1]), np.array([1, 0]), np.array([[2.5, 0.0, 0.0], [-2.5, 0.0, 0.0]]), np.zeros(2, np.int32)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"path": "a\0b"}, "character that no name can have"),
        ({"path": MODEL, "threads": 2**32 + 1}, "threads must be a whole number below 2147483648, not 4294967297"),
        ({"path": MODEL, "chunk": -(2**40)}, "chunk must be a whole number"),
        ({"path": MODEL, "precision": "half"}, "precision must be 'double' or 'single', not 'half'"),
        ({"path": f"{MODEL}.nowhere"}, "nowhere"),
    ],
)
def test_refused(options, sentence):
    with pytest.raises(_engine.EngineError, match=sentence):
        _engine.Engine(**options)


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / "caf\udce9.mlff"
    path.write_bytes(MODEL.read_bytes())
    engine = _engine.Engine(path)
    assert engine.artifact.path == str(path) and engine.artifact.elements == ["Cu"]
    with pytest.raises(_engine.EngineError, match="caf"):
        _engine.Artifact.open(tmp_path / "caf\udce8.mlff")


def test_any_array_that_numpy_takes():
    engine = _engine.Engine(MODEL)
    energy, grad = engine.evaluate(*PAIR)
    centre, neighbor, vec, types = PAIR
    again = engine.evaluate(centre.tolist(), neighbor.astype(np.int8), np.asfortranarray(vec), types.astype(float))
    assert np.array_equal(again[0], energy) and np.array_equal(again[1], grad) and grad.shape == (2, 3)
    for wrong in ((centre[:1], neighbor, vec, types), (centre, neighbor, vec[:1], types)):
        with pytest.raises(_engine.EngineError, match="the same number of edges"):
            engine.evaluate(*wrong)


def test_numbers_of_structures(tmp_path):
    trainer = _engine.Trainer("nep", nep_variants.write_nep(tmp_path / "nep.txt").read_text())
    assert trainer.add(*PAIR, energy=-1.0, forces=np.zeros((2, 3))) == 0
    for batch in ([1], [-1]):
        with pytest.raises(_engine.EngineError, match="there are 1 structures"):
            trainer.predict(batch)
    assert trainer.predict([]) == []
    ((_, forces, virial),) = trainer.predict([0])
    assert forces.shape == (2, 3) and virial.shape == (3, 3)


def test_a_missing_library_is_said(tmp_path):
    (tmp_path / "_engine.py").write_bytes(open(_engine.__file__, "rb").read())
    done = subprocess.run([sys.executable, "-c", "import _engine"], cwd=tmp_path, capture_output=True, text=True)
    assert "ImportError: MetalFF's compiled part" in done.stderr and "is missing: install MetalFF" in done.stderr
