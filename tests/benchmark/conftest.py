"""Small data, a NEP that explodes, and one finished benchmark of them, made once."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import selftests
from metalff import data
from metalff.artifact import Manifest
from metalff.benchmark import run as running
from metalff.cli import build_app
from metalff.deploy import nep
from nep_variants import write_nep

QUICK = ("--md-time", "0.1ps", "--atoms", 32)


def benchmark(*words):
    return CliRunner().invoke(build_app(), ["benchmark", *map(str, words)])


def random_nep(path: Path, elements=("Cu",), text: bytes | None = None) -> Path:
    """A NEP with random parameters, or with ``text`` in place of them, as an artefact."""
    text = text or write_nep(path.with_suffix(".txt"), elements=elements).read_bytes()
    manifest = Manifest(name=path.stem, family="nep", elements=list(elements), r_max=6.0, layers=1)
    return selftests.write(path, manifest, nep.MEMBER, text)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """``warm.extxyz``: 2 frames at 300 K, 3 at 3000 K; ``strained.extxyz``: 3 frames without a temperature; ``random.mlff``."""
    folder = tmp_path_factory.mktemp("benchmark")
    copper = data.read("zuo2020-Cu:test")
    cold, hot = (copper.filter(temperature=t).frames for t in (300.0, 3000.0))
    data.write_extxyz([*cold[:2], *hot[:3]], folder / "warm.extxyz")
    data.write_extxyz(copper.filter(group="strain").frames[:3], folder / "strained.extxyz")
    random_nep(folder / "random.mlff")
    return folder


@pytest.fixture(scope="session")
def done(folder, bundled_model):
    """The words of the command and what came of it, in ``folder/out``."""
    words = (bundled_model, folder / "random.mlff", "Cu/eam", "--data", folder / "warm.extxyz", "--data", folder / "strained.extxyz")
    words = (*words, *QUICK, "--out", folder / "out")
    before, running.SECONDS = running.SECONDS, 0.05
    outcome = benchmark(*words)
    running.SECONDS = before
    assert outcome.exit_code == 0, (outcome.output, outcome.exception)
    return words, outcome.output, json.loads((folder / "out" / "benchmark.json").read_text())
