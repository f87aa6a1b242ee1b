"""What is no model of the family is refused at once, and nothing is unpickled on the way."""

import ast
import io
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from metalff.deploy import deepmd, mace, nequip, sevennet, worker
from metalff.deploy.given import names_in_pickle, refuse_no_model
from metalff.errors import MetalffError

RAN = []


def ran(*_):
    RAN.append(True)
    return {}


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return ran, (self.mark,)


def saved(content, **how) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **how)
    return stream.getvalue()


def archive(*members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in members:
            made.writestr(name, b"\x80\x02.")
    return stream.getvalue()


def deploy(family, source, out):
    {"mace": mace.deploy, "sevennet": sevennet.deploy, "deepmd": deepmd.deploy, "nequip": lambda *a: nequip.deploy("nequip", *a)}[family](source, out)


MACE = "give a directory of 'metalff train mace', a .model file or an .mlff file"
REFUSED = {
    "a text": ("mace", "cu.data", b"LAMMPS data file\n", f"'.*cu.data' is no MACE model: {MACE}"),
    "empty": ("mace", "Cu.model", b"", f"'.*Cu.model' is no MACE model: {MACE}"),
    "zip": ("mace", "Cu.model", archive("a/b.txt"), "is no MACE model"),
    "cut": ("mace", "Cu.model", saved({"mace.modules": torch.ones(9)})[:150], "is no MACE model"),
    "tensors": ("mace", "Cu.model", saved({"a": torch.ones(2)}), "is no MACE model"),
    "hostile": ("mace", "Cu.model", saved(Hostile("nothing")), "is no MACE model"),
    "hostile, a bare pickle": ("mace", "Cu.model", pickle.dumps(Hostile("nothing")), "is no MACE model"),
    "of another family": (
        "mace",
        "Cu.model",
        saved({"model_state_dict": {}, "config": {}}),
        "is a model of sevennet, not of mace: run metalff deploy sevennet",
    ),
    "of another family, old format": (
        "sevennet",
        "a.pth",
        saved({"model": {"_extra_state": {}}}, _use_new_zipfile_serialization=False),
        "is a model of deepmd, not of sevennet: run metalff deploy deepmd",
    ),
    "a potential of MLIP": ("mace", "Ni.mtp", b"MTP\nversion = 1.1.0\n", "is a model of mtp, not of mace: run metalff deploy mtp"),
    "one of GPUMD": ("deepmd", "nep.pt", b"nep4_zbl 1 Cu\n", "is a model of nep, not of deepmd: run metalff deploy nep"),
    "text for sevennet": ("sevennet", "a.pth", b"text", "is no SevenNet model: give 7net-0, a directory"),
    "text for deepmd": ("deepmd", "a.pt", b"text", "is no DeePMD model: give a directory of 'metalff train deepmd', a .pt"),
    "no program": ("deepmd", "a.pth", saved({"_extra_state": 1}), "is no DeePMD model"),
    "no weights": ("nequip", "weights.safetensors", b"\x80\x02text of some length", "is no NequIP model: give a directory of 'metalff train nequip'"),
}


@pytest.mark.parametrize("family, name, content, sentence", REFUSED.values(), ids=REFUSED)
def test_refused_at_once(family, name, content, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "environment_python", lambda *_: pytest.fail("a framework was about to start"))
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(MetalffError, match=sentence):
        deploy(family, source, tmp_path / "out.mlff")
    assert not RAN and not (tmp_path / "out.mlff").exists()


def test_a_folder_and_nothing(tmp_path):
    with pytest.raises(MetalffError, match=f"'{tmp_path}' holds no MACE model: {MACE}"):
        deploy("mace", tmp_path, tmp_path / "out.mlff")
    with pytest.raises(MetalffError, match=f"there is no '{tmp_path}/Cu.model': {MACE}"):
        deploy("mace", tmp_path / "Cu.model", tmp_path / "out.mlff")


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["archive", "old format"])
def test_a_pickle_is_named_before_its_framework_opens_it(how, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))  # where no environment is
    source = tmp_path / "Cu.model"
    source.write_bytes(saved(Hostile("mace.modules.models"), **how))
    warning = r"Cu.model' is a pickle: opening it runs what its author put there; opened because you asked for it"
    with pytest.warns(UserWarning, match=warning) as warned, pytest.raises(MetalffError, match="metalff env create mace"):
        deploy("mace", source, tmp_path / "out.mlff")
    assert len(warned) == 1 and not RAN
    assert {"mace.modules.models"} <= names_in_pickle(source)
    torch.load(source, weights_only=False)
    assert RAN, "and this is what the warning is about"
    RAN.clear()


def test_a_program_of_torchscript_is_named(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "a.pth")
    with pytest.warns(UserWarning, match="a.pth' is a program of TorchScript: opening it runs it"):
        refuse_no_model(tmp_path / "a.pth", "deepmd")


UNPICKLING = {"load", "loads", "Unpickler", "read_pickle", "full_load", "unsafe_load", "load_all"}
ALLOWED = {
    ("deploy/mace_worker.py", "torch.load"): "a model of mace is a pickle; the user was told",
    ("deploy/deepmd_layers.py", "torch.jit.load"): "a program of TorchScript; the user was told",
    ("validate/evaluate.py", "pickle.loads"): "potentials that the process which began this one has pickled",
}
"""Calls in workers, which run in the environments of families, and between processes of a pool."""


def test_nothing_else_unpickles():
    import metalff

    root, found = Path(metalff.__file__).parent, set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not modules & {"joblib", "dill", "cloudpickle", "marshal", "shelve"}, path
            if not isinstance(node, ast.Call):
                continue
            name, options = ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("allow_pickle", "False") == "False", path
            if name == "yaml.load":  # SafeLoader, or a class of the file's own that is one
                assert "SafeLoader" in ast.unparse(node) or (
                    isinstance(node.args[1], ast.Name)
                    and re.search(rf"class {node.args[1].id}\((yaml.SafeLoader|getattr\(yaml, .CSafeLoader., yaml.SafeLoader\))\):", path.read_text())
                ), path
            elif (
                name.startswith(("torch.", "pickle.", "yaml.", "pandas."))
                and name.rpartition(".")[2] in UNPICKLING
                and options.get("weights_only") != "True"
            ):
                found.add((path.relative_to(root).as_posix(), name))
    assert found - {("compiled.py", "torch.export.load")} == set(ALLOWED)
