"""``metalff deploy torch``: modules that keep the contract, and a sentence for each way of breaking it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

import metalff.deploy
from metalff import artifact, cli
from metalff.deploy import program, torch_module
from metalff.errors import MetalffError

MODULES = Path(__file__).with_name("broken_modules.py")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WORKERS = str(Path(metalff.deploy.__file__).parent)

BROKEN = {
    "NoElements": "needs the attribute elements: a list of chemical symbols",
    "BadElement": "elements must be different chemical symbols; 'Xq' is not one",
    "TextCutoff": "needs the attribute r_max: the cutoff in Å, a positive number, not '4 A'",
    "InMetres": "r_max = 4e-10 Å is shorter than the distance of neighbours",
    "NoForward": r"needs forward\(edge_vec, edge_index, types\) → atomic_energy\[N\]",
    "NoLayers": "needs the attribute layers: their number",
    "NeedsWidth": r"cannot be made from the arguments \(none\): missing a required argument: 'width'",
    "RaisesWhenMade": r"RaisesWhenMade\(\) in broken_modules.py fails: ValueError: no tables \(broken_modules.py line \d+: raise",
    "three": "three in broken_modules.py returns a int, but must return a torch.nn.Module",
    "number": "is neither a torch.nn.Module nor a class or function that makes one",
    "Missing": "broken_modules.py has no Missing",
    "Column": r"atomic_energy\[N\] must be a tensor of shape \[16\], but has shape \[16, 1\]",
    "PerEdge": r"atomic_energy\[N\] must be a tensor of shape \[16\], but has shape \[\d\d\d\]",
    "Total": r"atomic_energy\[N\] must be a tensor of shape \[16\], but has shape \[\]",
    "Dictionary": r"atomic_energy\[N\] must be a tensor of shape \[16\], not a dict",
    "AlwaysDouble": r"atomic_energy\[N\] must be float32 like edge_vec, but is float64",
    "NanWithoutEdges": r"atomic_energy\[N\] must be finite, but 4 of its 16 numbers are not",
    "Crash": r"forward fails on edge_vec\[\d+, 3\] of float32, .* \(broken_modules.py line \d+: return self.w @ v\)",
    "LayerAlone": r"layer 0 must return \(atomic_energy\[n\], features_next\[n, F\]\), not a Tensor",
    "FlatFeatures": r"features_next\[n, F\] of layer 0 must be a tensor of shape \[12, F\], but has shape \[12\]",
    "AllNodes": r"atomic_energy\[n\] of layer 0 must be a tensor of shape \[12\], but has shape \[16\]",
    "Detached": "must be a differentiable function of edge_vec",
    "ByNumpy": "must be a differentiable function of edge_vec",
    "Constant": "must depend on edge_vec, but its gradient is zero",
    "Dropout": "must be the same each time, but two calls differ",
    "Root": "one at 1.5 r_max that is the only one of its node changes them by nan eV",
    "Endless": "an edge at or beyond r_max must contribute nothing",
    "Step": "must vanish smoothly at r_max",
    "Kink": "must vanish smoothly at r_max",
    "Directed": "must not change when edge_vec is rotated",
    "EdgeOrder": "must not depend on the order of a node's edges",
    "NodeOrder": "must not depend on the order of the nodes",
    "TwoSteps": "must depend on the edges that start there alone",
    "RelativeToMean": "must depend on the edges that start there alone",
    "Counting": r"features_next\[n, F\] of layer 0 must depend on a node's own edges",
    "Branch": r"a shape or a branch depends on values .* \(broken_modules.py line \d+: factor = ",
    "Loop": r"takes a number of nodes or edges for a constant; write types.shape\[0\]",
}


@pytest.fixture(scope="module")
def workers():
    """The modules that the worker imports from its own folder."""
    sys.path.append(WORKERS)
    try:
        import conformance
        import torch_worker
        import user_module
    finally:
        sys.path.remove(WORKERS)
    default = torch.get_default_dtype()
    yield conformance, user_module, torch_worker
    torch.set_default_dtype(default)


def model_of(workers, file, name, arguments=None):
    conformance, user_module, _ = workers
    torch.set_default_dtype(torch.float64)
    module, _ = user_module.make(file, name, arguments)
    conformance.check_attributes(module)
    return user_module.Layers(module).double().eval()


def examine(workers, name):
    model = model_of(workers, MODULES, name)
    workers[0].check(model, MODULES)
    return program.names(workers[0].export(model, torch.float64, MODULES))


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name, workers):
    with pytest.raises(workers[1].ContractError, match=BROKEN[name]) as caught:
        examine(workers, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Good", "function", "instance", "Masked"])
def test_strictly_local(name, workers):
    assert examine(workers, name) == ["last"]


def test_message_passing(workers):
    assert examine(workers, "Layered") == ["backward0", "forward0", "last"]


def test_checking_rounds_nothing(workers):
    model = model_of(workers, EXAMPLES / "eam_module.py", "Copper")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    workers[0].check(model, EXAMPLES / "eam_module.py")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_reference_numbers_are_derivatives(workers):
    """What goes into the self-test, against differences of the energy."""
    model = model_of(workers, EXAMPLES / "chebyshev_network.py", "Network", {"elements": ["Cu", "Ni"], "r_max": 4.0})
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    atoms.symbols[::3] = "Ni"
    atoms.rattle(0.1, seed=1)
    atoms.calc = workers[1].ModuleCalculator(model)
    assert np.abs(atoms.get_forces()).max() > 1e-3
    np.testing.assert_allclose(calculate_numerical_forces(atoms, iatoms=[0, 3], eps=1e-5), atoms.get_forces()[[0, 3]], atol=1e-7)
    np.testing.assert_allclose(calculate_numerical_stress(atoms, eps=1e-5, force_consistent=False), atoms.get_stress(), atol=1e-8)


def run(monkeypatch, capsys, *words):
    """Exit status and output of a command; a user's error is its last line."""
    monkeypatch.setattr(sys, "argv", ["metalff", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().out


STATE = {"w": torch.tensor([7.0, 8.0, 9.0])}


def test_weights_and_arguments(tmp_path, workers, monkeypatch, capsys):
    """By the command: a state dict replaces the initial weights, an argument the default."""
    (tmp_path / "w.safetensors").write_bytes(workers[2].safetensors(STATE))
    words = ["deploy", "torch", f"{MODULES}:Good", "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "a.mlff", "--set", "r_max=4.5"]
    status, output = run(monkeypatch, capsys, *words)
    assert not status and "next: metalff check" in output
    opened = artifact.open_artifact(tmp_path / "a.mlff")
    assert opened.manifest.r_max == 4.5 and opened.manifest.elements == ["Cu", "Ni"]
    assert opened.manifest.training.config["model"]["arguments"] == {"r_max": 4.5}
    energies = [case["energy"] for case in opened.selftest()]
    assert energies[0] > 1 and energies[3] == 0
    assert torch.tensor(7.0, dtype=torch.float64).numpy().tobytes() in opened.read("weights.safetensors")


def test_weights_of_torch(tmp_path, workers):
    torch.save(STATE, tmp_path / "w.pt")
    model, _ = workers[2].restore(MODULES, "Good", {}, tmp_path / "w.pt")
    assert model.module.w.tolist() == [7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    "content, name, sentence",
    [
        ({"v": STATE["w"]}, "w.pt", "w.pt does not fit Good: Missing key"),
        ({"w": torch.zeros(2)}, "w.pt", "w.pt does not fit Good: size mismatch"),
        (torch.nn.Linear(1, 1), "w.pt", "w.pt is no state dict"),  # a pickle of code
        ("text", "w.safetensors", "w.safetensors is no state dict"),
    ],
)
def test_weights_refused(content, name, sentence, tmp_path, workers):
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(workers[1].ContractError, match=sentence):
        workers[2].restore(MODULES, "Good", {}, tmp_path / name)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ([f"{MODULES}:Column"], r"could not be deployed: forward: atomic_energy[N] must be a tensor of shape [16]"),
        ([f"{MODULES}"], "is not a module: give the file and the class or function, as in my_module.py:MyModel"),
        (["nowhere.py:Model"], "'nowhere.py' does not exist or is not a file"),
        ([f"{MODULES}:Good", "--python", "/nowhere/python"], "is not a Python: give bin/python of an environment"),
        ([f"{MODULES}:Good", "--python", "mcae"], 'no model family mcae (did you mean "mace"?)'),
        ([f"{MODULES}:Good", "--set", "width"], "--set width: give KEY=VALUE"),
        ([f"{MODULES}:Good", "--weights", "nowhere.pt"], "does not exist or is not a file: check --weights"),
    ],
)
def test_refused(words, sentence, tmp_path, monkeypatch, capsys):
    status, _ = run(monkeypatch, capsys, "deploy", "torch", *words, "-o", tmp_path / "a.mlff")
    assert sentence in status and status.startswith("metalff: error: ") and "\n" not in status
    assert not any(tmp_path.iterdir())


def test_the_page_shows_the_example():
    page = (EXAMPLES.parent / "contract.md").read_text("utf-8")
    assert f"```python\n{(EXAMPLES / 'eam_module.py').read_text('utf-8')}```\n" in page


def test_other_families_are_named(tmp_path, bundled_model):
    """An artefact, and a directory of a training."""
    with pytest.raises(MetalffError, match="is a model of mace, not of torch: run metalff deploy mace"):
        torch_module.deploy(bundled_model, tmp_path / "a.mlff")
    from metalff.deploy import mace, nequip

    (tmp_path / "config.json").write_text(json.dumps({"family": "allegro"}))
    for deploy in (mace.deploy, torch_module.deploy, lambda *a: nequip.deploy("nequip", *a)):
        with pytest.raises(MetalffError, match="is a model of allegro, not of .*: run metalff deploy allegro"):
            deploy(tmp_path, tmp_path / "a.mlff")
