"""The native engine against autograd on mace's own modules, and what it does with a damaged payload."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mace_payloads import NAMES, PAYLOAD, write
from metalff import MLFFCalculator, _engine, artifact
from metalff.errors import MetalffError


def evaluate(path, graph, **options):
    engine = _engine.Engine(str(path), engine="native", **options)
    return engine.evaluate(graph["centre"], graph["neighbor"], graph["edge_vec"], graph["types"].astype(np.int32))


@pytest.mark.parametrize("name", NAMES)
def test_exact_functions_give_mace_to_round_off(name, variants):
    path, graph = variants[name]
    energy, gradient = evaluate(path, graph, spline=0)
    assert np.abs(graph["gradient"]).max() > 1e-4
    np.testing.assert_allclose(energy, graph["energy"], rtol=0, atol=1e-11)
    np.testing.assert_allclose(gradient, graph["gradient"], rtol=0, atol=1e-10 * np.abs(graph["gradient"]).max())


@pytest.mark.parametrize("name", NAMES)
def test_splines_and_single_precision(name, variants):
    path, graph = variants[name]
    scale = np.abs(graph["gradient"]).max()
    for options, close in (({}, 1e-7), ({"precision": "single"}, 1e-4)):
        _, gradient = evaluate(path, graph, **options)
        error = np.abs(gradient - graph["gradient"]).max() / scale
        assert 1e-15 < error < close, options


def test_more_points_make_better_splines(variants):
    """Slopes of quintic splines: error ∝ spacing⁵."""
    path, graph = variants["vectors"]
    error = [np.abs(evaluate(path, graph, spline=n)[1] - graph["gradient"]).max() for n in (33, 65, 129)]
    assert error[0] > 16 * error[1] > 16 * 16 * error[2]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_agree(threads, variants):
    path, graph = variants["tensors, densities, Agnesi, ZBL"]
    one, many = evaluate(path, graph), evaluate(path, graph, threads=threads)
    np.testing.assert_allclose(many[0], one[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(many[1], one[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("isa", ["base", "x86-64-v3"])
def test_lesser_instruction_sets_agree(isa, precision, variants, tmp_path):
    path, graph = variants["vectors"]
    code = (
        "import sys, numpy as np; from metalff import _engine; g = np.load(sys.argv[2]);"
        f"e = _engine.Engine(sys.argv[1], precision='{precision}', engine='native');"
        "E, G = e.evaluate(g['centre'], g['neighbor'], g['edge_vec'], g['types'].astype(np.int32));"
        "np.savez(sys.argv[3], G=G, engine=e.engine)"
    )
    np.savez(tmp_path / "graph.npz", **graph)
    command = [sys.executable, "-c", code, path, tmp_path / "graph.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, env=os.environ | {"METALFF_ISA": isa})
    out = np.load(tmp_path / "out.npz")
    assert str(out["engine"]) == {"base": "native", "x86-64-v3": "native, AVX2"}[isa] or isa == "x86-64-v3"
    close = {"double": 1e-12, "single": 1e-6}[precision]
    np.testing.assert_allclose(out["G"], evaluate(path, graph, precision=precision)[1], rtol=0, atol=close)


def test_edges_beyond_the_cutoff_count_for_nothing(variants):
    path, graph = variants["plain"]
    graph = dict(graph)
    energy, gradient = evaluate(path, graph)
    # every centre sees its first neighbour a second time, from afar
    order = np.argsort(np.concatenate([graph["centre"], graph["centre"][::7]]), kind="stable")
    far = 1.2 * 4.5 * graph["edge_vec"][::7] / np.linalg.norm(graph["edge_vec"][::7], axis=1)[:, None]
    more = {
        key: np.concatenate([graph[key], extra])[order]
        for key, extra in (("centre", graph["centre"][::7]), ("neighbor", graph["neighbor"][::7]), ("edge_vec", far))
    }
    added = order >= len(graph["centre"])
    energy2, gradient2 = evaluate(path, more | {"types": graph["types"]})
    np.testing.assert_array_equal(energy2, energy)
    np.testing.assert_array_equal(gradient2[~added], gradient)
    assert not gradient2[added].any()


def payload_of(path):
    return artifact.open_artifact(path).read(PAYLOAD)


def header_of(payload):
    length = int.from_bytes(payload[:8], "little")
    return json.loads(payload[8 : 8 + length]), payload[8 + length :]


def with_header(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def refused(tmp_path, payload):
    """The message of a payload that must be refused."""
    path = write(tmp_path / "damaged.mlff", payload)
    with pytest.raises(MetalffError, match="deploy the model again") as error:
        MLFFCalculator(path, engine="native")
    return str(error.value)


def test_truncated_payloads_are_refused(variants, tmp_path):
    payload = payload_of(variants["plain"][0])
    for size in (0, 5, 8, 100, len(payload) // 2, len(payload) - 8, len(payload) - 1):
        refused(tmp_path, payload[:size])


def without(header, data, name):
    """A payload without one of its tensors, those after it moved up."""
    begin, end = header[name]["data_offsets"]
    rest = json.loads(json.dumps({key: entry for key, entry in header.items() if key != name}))
    for key, entry in rest.items():
        if key != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [place - (end - begin) for place in entry["data_offsets"]]
    return rest, data[:begin] + data[end:]


def test_every_tensor_is_needed_in_its_shape(variants, tmp_path):
    header, data = header_of(payload_of(variants["vectors"][0]))
    for name in [key for key in header if key != "__metadata__"]:
        assert name in refused(tmp_path, with_header(*without(header, data, name)))
        wrong = json.loads(json.dumps(header))
        wrong[name]["shape"] = [*wrong[name]["shape"], 1]
        assert name in refused(tmp_path, with_header(wrong, data))
        huge = json.loads(json.dumps(header))
        huge[name]["shape"][0] = 2**62
        assert name in refused(tmp_path, with_header(huge, data))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value, variants, tmp_path):
    header, data = header_of(payload_of(variants["plain"][0]))
    for name in [key for key, entry in header.items() if key != "__metadata__" and entry["dtype"] == "F64"]:
        begin = header[name]["data_offsets"][0]
        changed = data[:begin] + np.float64(value).tobytes() + data[begin + 8 :]
        assert "not finite" in refused(tmp_path, with_header(header, changed))


def test_random_damage_is_refused_or_harmless(variants, tmp_path):
    """Bytes of the header and the integers changed at random: an error or numbers, never a crash."""
    path, graph = variants["vectors"]
    payload = bytearray(payload_of(path))
    length = int.from_bytes(payload[:8], "little")
    rng = np.random.default_rng(3)
    refusals = 0
    for _ in range(300):
        damaged = bytearray(payload)
        for at in rng.integers(0, 8 + length, rng.integers(1, 6)):
            damaged[at] = rng.integers(0, 256)
        try:
            evaluate(write(tmp_path / "damaged.mlff", bytes(damaged)), graph)
        except _engine.EngineError:
            refusals += 1
    assert refusals > 150


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format": 2}, "format"),
        ({"elements": 0}, "elements"),
        ({"l_max": 9}, "l_max"),
        ({"r_max": -1.0}, "r_max"),
        ({"layers": []}, "layers"),
        ({"channels": "many"}, "channels"),
    ],
)
def test_descriptions_are_checked(change, says, variants, tmp_path):
    header, data = header_of(payload_of(variants["plain"][0]))
    described = json.loads(header["__metadata__"]["mace"]) | change
    header["__metadata__"]["mace"] = json.dumps(described)
    assert says in refused(tmp_path, with_header(header, data))


def test_native_is_the_default_where_it_covers_the_model(bundled_model, oracle):
    assert MLFFCalculator(bundled_model).engine.startswith("native")
    assert MLFFCalculator(oracle).engine == "torch"
    with pytest.raises(MetalffError, match="no payload for the native engine: use 'engine torch'"):
        MLFFCalculator(oracle, engine="native")
    with pytest.raises(MetalffError, match="engine must be 'auto', 'torch' or 'native'"):
        MLFFCalculator(oracle, engine="fast")
    with pytest.raises(MetalffError, match="spline must be 0"):
        MLFFCalculator(bundled_model, spline=1)
