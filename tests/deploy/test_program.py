"""Programs as plain data: they come back as they were, and what is no such data is refused in a sentence, before any of it runs."""

import io
import json
import os
import pickle
import zipfile

import pytest
import torch

from cases import lammps
from metalff import artifact
from metalff.compiled import compile_artifact, load_program
from metalff.deploy import program
from metalff.deploy.program import ProgramError
from metalff.errors import MetalffError


class Sums(torch.nn.Module):
    """In the shape of a last layer, with a constant that lies in memory the other way round, and one in place."""

    def __init__(self):
        super().__init__()
        self.register_buffer("wide", torch.arange(12, dtype=torch.float64).reshape(4, 3).t())

    def forward(self, edge_vec, edge_index, types, mask):
        rows = torch.zeros(mask.shape[0], 4, dtype=edge_vec.dtype).index_add_(0, edge_index[0], edge_vec @ self.wide)
        rows = rows.masked_fill(rows > 1e300, float("inf"))
        return (rows * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)).sum(1) * mask + types[: mask.shape[0]], edge_vec * 2


@pytest.fixture(scope="module")
def graph():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(40, 3, dtype=torch.float64, generator=generator),
        torch.randint(0, 6, (2, 40), generator=generator),
        torch.randint(0, 2, (11,), generator=generator),
        torch.rand(6, dtype=torch.float64, generator=generator),
    )


@pytest.fixture(scope="module")
def exported(graph):
    edges = torch.export.Dim("edges", min=2)
    shapes = ({0: edges}, {1: edges}, {0: torch.export.Dim("nodes", min=2)}, {0: torch.export.Dim("centres", min=2)})
    return torch.export.export(Sums(), graph, dynamic_shapes=shapes, strict=False).run_decompositions({})


@pytest.fixture(scope="module")
def payload(exported):
    return program.pack({"last": exported})


def changed(payload, change) -> bytes:
    """The payload with its graph, as Python objects, changed."""
    with zipfile.ZipFile(io.BytesIO(payload)) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    read = json.loads(members[program.GRAPH])
    change(read["programs"]["last"])
    return zipped(members | {program.GRAPH: json.dumps(read).encode()})


def zipped(members) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def test_they_come_back_to_the_bit(payload, exported, graph):
    assert program.names(payload) == ["last"]
    for one, other in zip(exported.module()(*graph), program.load(payload, "last").module()(*graph), strict=True):
        assert torch.equal(one, other)


def test_sizes_vary(payload, graph):
    loaded = program.load(payload, "last").module()
    energy, grad = loaded(graph[0][:9], graph[1][:, :9] % 3, graph[2][:5], graph[3][:3])
    assert energy.shape == (3,) and torch.equal(grad, 2 * graph[0][:9])


def test_an_operator_beyond_the_list_is_not_written(graph):
    class Draws(torch.nn.Module):
        def forward(self, edge_vec, edge_index, types, mask):
            return mask * torch.rand_like(mask), edge_vec

    with pytest.raises(ProgramError, match="uses the operator aten.rand_like.default, which a deployed model may not"):
        program.pack({"last": torch.export.export(Draws(), graph, strict=False)})


def first(graph, operator):
    return next(node for node in graph["nodes"] if node[0] == operator)


# what a hostile file may hold: change of the graph, words of the sentence
HOSTILE = {
    "operator of the system": (lambda g: g["nodes"].append(["os.system", ["touch ran"], {}]), "uses the operator 'os.system'"),
    "operator that reads files": (
        lambda g: g["nodes"].append(["aten.from_file.default", ["/etc/passwd"], {}]),
        "uses the operator 'aten.from_file.default'",
    ),
    "raw strides": (
        lambda g: g["nodes"].append(["aten.as_strided.default", [{"n": 0}, [99], [1]], {}]),
        "uses the operator 'aten.as_strided.default'",
    ),
    "random numbers": (lambda g: g["nodes"].append(["aten.rand.default", [[3]], {}]), "uses the operator 'aten.rand.default'"),
    "attribute of an operator": (lambda g: g["nodes"].append(["aten.add.Tensor.__init__", [], {}]), "uses the operator 'aten.add.Tensor.__init__'"),
    "expression as a size": (
        lambda g: g["inputs"][0].__setitem__(2, ["__import__('os').system('touch ran')", 3]),
        "sizes are integers, edges, nodes, centres",
    ),
    "huge size": (lambda g: g["inputs"][0].__setitem__(2, ["edges", 10**15]), "sizes are integers"),
    "true as a size": (lambda g: g["inputs"][0].__setitem__(2, ["edges", True]), "sizes are integers"),
    "name with a call": (lambda g: g["inputs"][0].__setitem__(0, "x=print(1)"), "an input is not name, type and shape"),
    "unknown type": (lambda g: g["inputs"][0].__setitem__(1, "object"), "an input is of type object"),
    "text as an argument": (lambda g: g["nodes"].append(["aten.sum.default", ["x"], {}]), 'takes "x", which is no argument'),
    "unknown kind": (lambda g: g["nodes"].append(["aten.sum.default", [{"pickle": "gASV"}], {}]), "which is no argument"),
    "other device": (lambda g: g["nodes"].append(["aten.zeros.default", [[2]], {"device": {"device": "cuda:0"}}]), "which is no argument"),
    "keyword that is code": (lambda g: g["nodes"].append(["aten.zeros.default", [[2]], {"a, b=1": 2}]), "a keyword that is no name"),
    "keyword that is none": (lambda g: g["nodes"].append(["aten.zeros.default", [[2]], {"nothing": 2}]), "torch cannot trace it"),
    "value of a later node": (lambda g: g["nodes"].insert(0, ["aten.sum.default", [{"n": 10**6}], {}]), "node 1000000, which comes later or never"),
    "negative node": (lambda g: g["outputs"].__setitem__(0, -1), "node -1, which comes later or never"),
    "array that is not there": (lambda g: first(g, "constant").__setitem__(1, ["a999"]), "an array that is not there"),
    "axes that are none": (lambda g: first(g, "constant").__setitem__(1, ["a0", [0, 0]]), "no order of its axes"),
    "lists in lists": (lambda g: g["nodes"].append(["aten.stack.default", [[[[[[[[[[[[[]]]]]]]]]]]]], {}]), "which is no argument"),
    "all memory": (lambda g: g["nodes"].append(["aten.zeros.default", [[10**6, 10**6]], {}]), "an array of 1000000000000 elements"),
    "arguments of another": (lambda g: first(g, "aten.matmul.default").__setitem__(1, [{"n": 0}]), "torch cannot trace it"),
    "no outputs": (lambda g: g.pop("outputs"), "is not inputs, nodes and outputs"),
    "a node that is a name": (lambda g: g["nodes"].append("aten.sum.default"), "a node is not operator, arguments and keywords"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_refused(payload, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, sentence = HOSTILE[what]
    with pytest.raises(ProgramError) as refused:
        program.load(changed(payload, change), "last")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def archives(payload) -> dict:
    """Payloads that are other archives, and the words of the sentence."""
    with zipfile.ZipFile(io.BytesIO(payload)) as packed:
        graph, weights = packed.read(program.GRAPH), packed.read(program.WEIGHTS)
    bomb = {program.GRAPH: b" " * (program.LARGEST["graph"] + 1), program.WEIGHTS: weights}
    larger = bytearray(zipped({program.GRAPH: graph, program.WEIGHTS: weights}))
    larger[larger.rindex(b"PK\x01\x02") + 26] += 1
    return {
        "of torch.export": (zipped({"last/data/sample_inputs/model.pt": pickle.dumps(Runs())}), "holds other things than graph.json"),
        "with a pickle beside": (zipped({program.GRAPH: graph, program.WEIGHTS: weights, "x.pkl": pickle.dumps(Runs())}), "holds other things"),
        "with a pickle for weights": (zipped({program.GRAPH: graph, program.WEIGHTS: pickle.dumps(Runs())}), "no safetensors file"),
        "that unpacks without end": (zipped(bomb), "no more than 67108864 are read"),
        "with a size that lies": (bytes(larger), "cannot be unpacked"),
        "that is none": (b"PK\x03\x04" + bytes(100), "cannot be unpacked"),
        "nested without end": (zipped({program.GRAPH: b"[" * 10**6, program.WEIGHTS: weights}), "no JSON of programs"),
        "of another format": (zipped({program.GRAPH: b'{"format": 9, "programs": {}}', program.WEIGHTS: weights}), "of format 9"),
        "whose arrays overlap their end": (zipped({program.GRAPH: graph, program.WEIGHTS: weights[:-8]}), "not as its header says"),
    }


def test_other_archives_are_refused(payload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for what, (data, sentence) in archives(payload).items():
        with pytest.raises(ProgramError) as refused:
            program.load(data, "last")
        assert sentence in str(refused.value), what
    assert not list(tmp_path.iterdir())


def with_program(source, path, data):
    """A copy of an artefact with another payload, and hashes that fit."""
    opened = artifact.open_artifact(source)
    members = {name: (kind, opened.read(name)) for name, kind in opened.manifest.payloads.items()}
    name = "torch/float64.zip"
    artifact.write(path, opened.manifest, members | {name: (members[name][0], data)})
    return path


def test_a_hostile_file_runs_nothing_in_lammps(oracle, tmp_path, monkeypatch):
    """The hashes fit; the operator is refused when the model is opened, in one sentence."""
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    good = artifact.open_artifact(oracle).read("torch/float64.zip")
    bad = with_program(oracle, tmp_path / "bad.mlff", changed(good, HOSTILE["operator of the system"][0]))
    with pytest.raises(MetalffError, match=r"torch/float64.zip of '.*bad.mlff' is refused: program 'last': it uses the operator 'os.system'"):
        load_program(artifact.open_artifact(bad), "torch/float64.zip", "last")
    lines = ["units metal", "lattice fcc 3.615", "region b block 0 2 0 2 0 2", "create_box 1 b", "create_atoms 1 box", "mass 1 63.5"]
    ran = lammps(tmp_path, [*lines, "pair_style mlff", f"pair_coeff * * {bad} Cu", "run 0"])
    said = ran.stdout + ran.stderr
    assert ran.returncode != 0 and said.count("uses the operator 'os.system', which a deployed model may not") == 1
    assert "Traceback" not in said and not list(tmp_path.rglob("ran"))


def beyond(graph):
    """Takes an element far beyond an array, by an index that the program computes."""
    inputs = len(graph["inputs"])
    k, node = next((k, node) for k, node in enumerate(graph["nodes"]) if node[0] == "aten.index.Tensor")
    index = node[1][1][0]

    def moved(value):
        if isinstance(value, dict) and value.get("n", -1) >= inputs + k:
            value["n"] += 1
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            moved(part)

    moved([later[1:] for later in graph["nodes"][k:]])
    graph["outputs"] = [value + (value >= inputs + k) for value in graph["outputs"]]
    node[1][1] = [{"n": inputs + k}]
    graph["nodes"].insert(k, ["aten.add.Tensor", [index, 10**7], {}])


@pytest.mark.slow
def test_an_index_beyond_an_array_is_an_error_and_no_read(oracle, tmp_path, monkeypatch):
    """What only the values show: the compiled program checks every index that it computes."""
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))
    good = artifact.open_artifact(oracle).read("torch/float64.zip")
    bad = with_program(oracle, tmp_path / "bad.mlff", changed(good, beyond))
    with pytest.raises(MetalffError, match="fails its self-test on this machine: torch failed to evaluate the model"):
        compile_artifact(bad, say=lambda line: None)
    assert not list((tmp_path / "cache" / "compiled").glob("*/"))
