"""The command line as a whole: every command is walked through, and the same option is the same everywhere."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from importlib import metadata
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from metalff import MLFFCalculator
from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.potentials import names

APP = build_app()
ROOT = typer.main.get_command(APP)
SEVERAL = {"--frames"}
"""Options that take one number in some commands, and a list of numbers in another."""


def metalff(*words):
    return CliRunner().invoke(APP, list(map(str, words)))


def walk(command=ROOT, path=()):
    if getattr(command, "commands", None):
        for name, inner in command.commands.items():
            yield from walk(inner, (*path, name))
    elif not command.hidden:
        yield path, command


COMMANDS = dict(walk())
GROUPS = sorted({path[:k] for path in COMMANDS for k in range(len(path))})


@pytest.mark.parametrize("words", [*COMMANDS, *GROUPS], ids=" ".join)
def test_every_command_answers_h(words):
    result = metalff(*words, "-h")
    assert result.exit_code == 0 and result.output.startswith("Usage: ") and "-h, --help" in result.output


def test_every_command_gives_json_and_every_option_is_described():
    assert len(COMMANDS) > 40
    for path, command in COMMANDS.items():
        assert any("--json" in parameter.opts for parameter in command.params), path
        for parameter in command.params:
            assert parameter.help and parameter.help.endswith("."), (path, parameter.name)


def test_an_option_is_the_same_in_every_command():
    kinds, names_of = defaultdict(dict), defaultdict(set)
    for path, command in COMMANDS.items():
        told = inspect.signature(command.callback).parameters
        for parameter in command.params:
            if parameter.param_type_name == "option":
                long = max(parameter.opts, key=len)
                shown = parameter.metavar or re.search(r"bool|int|float|str|Path", str(get_args(told[parameter.name].annotation)[0]))[0]
                kinds[long][shown] = path
                names_of[long].add(tuple(sorted(parameter.opts)))
    for name, found in kinds.items():
        one = len(found) == 1 or name in SEVERAL or (name == "--out" and found.keys() <= {"FOLDER", "FILE", "PATH"})
        assert one and len(names_of[name]) == 1, (name, found, names_of[name])
    assert not {"--output", "--workers", "--time", "--lattice", "--metals", "--epochs"} & kinds.keys()
    assert kinds["--budget"].keys() == kinds["--limit"].keys() == {"DURATION"} and kinds["--md-time"].keys() == kinds["--spacing"].keys() == {
        "MD-TIME"
    }


FORMER = [
    (("dft", "run", "q", "--workers", "0"), "--jobs"),
    (("sweep", "s.yaml", "--workers=0"), "--jobs"),
    (("study", "learnability", "--epochs", "0"), "--max-epochs"),
]


@pytest.mark.parametrize("words, name", FORMER, ids=lambda value: value[-1] if isinstance(value, tuple) else None)
def test_former_names_of_options_work(words, name):
    result = metalff(*words)
    assert result.exit_code == 2 and name in result.output


TIMES = [
    (("benchmark", "Cu/eam", "--data", "zuo2020-Cu:test", "--md-time", "2h"), "--md-time '2h' is no length of a run; give one such as 20ps"),
    (("benchmark", "Cu/eam", "--data", "zuo2020-Cu:test", "--time", "2h"), "--md-time '2h' is no length of a run"),
    (("benchmark", "Cu/eam", "--data", "zuo2020-Cu:test", "--limit", "20ps"), "'20ps' is not a duration; give one such as 90s"),
    (("data", "synth", "Cu/eam", "--out", "x", "--spacing", "10min"), "--spacing '10min' is no length of a run"),
    (("train", "nep", "--data", "zuo2020-Cu", "--out", "x", "--budget", "20ps"), "'20ps' is not a duration"),
]


@pytest.mark.parametrize("words, sentence", TIMES, ids=range(len(TIMES)))
def test_durations_and_times_of_md_are_told_apart(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = metalff(*words)
    assert isinstance(result.exception, MetalffError) and sentence in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if any("--out" in p.opts for p in command.params)], ids=" ".join)
def test_an_output_that_cannot_be_is_refused_before_the_work(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    words = list(path)
    for parameter in COMMANDS[path].params:
        if parameter.required and parameter.name != "out":
            words += [max(parameter.opts, key=len), "nothing"] if parameter.param_type_name == "option" else ["nothing"]
    result = metalff(*words, "--out", tmp_path / "file" / "x")
    assert isinstance(result.exception, MetalffError), result.output
    assert re.search(r"file is not a folder; choose another --out|there is no folder .*file to write x in", str(result.exception))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_a_file_is_not_written_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adir").mkdir()
    for words in (("deploy", "mace", "cu.data", "-o", "adir"), ("deploy", "nep", "cu.data", "--output", "adir"), ("report", "adir", "-o", "adir")):
        result = metalff(*words)
        assert re.fullmatch(r"adir is a folder; give the name of a file such as (Cu.mlff|report.html)", str(result.exception))


def listed(found):
    return [entry["name"] for entry in found]


RESULTS = {
    "inspect": (("inspect", "{model}"), lambda found: found["elements"] == ["Cu"] and found["schema"] >= 2),
    "inspect a name": (("inspect", "Cu/poly"), lambda found: (found["family"], found["elements"]) == ("poly", ["Cu"])),
    "check a name": (("check", "Cu/poly"), lambda found: found["passed"] is True and found["file"].endswith("Cu-poly.mlff")),
    "check": (("check", "{model}"), lambda found: found["passed"] is True and found["forces"] < found["tolerance"]),
    "potentials list": (("potentials", "list"), lambda found: listed(found) == list(names())),
    "potentials show": (("potentials", "show", "Cu/eam"), lambda found: found["lammps"][0] == "pair_style eam/alloy"),
    "data list": (("data", "list"), lambda found: {"name": "zuo2020-Cu", "imported": False, "frames": {"train": 262, "test": 31}} in found),
    "data info": (("data", "info", "zuo2020-Cu:test"), lambda found: found["temperatures"] == {"300 K": 3, "1000 K": 3, "3000 K": 6}),
    "env list": (("env", "list"), lambda found: [entry["state"] for entry in found if entry["family"] == "mace"] == ["missing"]),
}


@pytest.mark.parametrize("words, right", RESULTS.values(), ids=RESULTS)
def test_json_is_all_that_is_on_stdout(words, right, bundled_model, tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_HOME", str(tmp_path))
    result = metalff(*(word.format(model=bundled_model) for word in words), "--json")
    assert result.exit_code == 0 and right(json.loads(result.stdout))
    assert metalff(*(word.format(model=bundled_model) for word in words)).stdout not in ("", result.stdout)


def test_json_of_a_validation_is_its_file(tmp_path):
    result = metalff("validate", "Cu/eam", "--data", "zuo2020-Cu:test", "-o", tmp_path / "v", "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "v" / "validate.json").read_text())
    refused = metalff("validate", "cu/eam", "--data", "zuo2020-Cu:test", "-o", tmp_path / "w", "--json")
    assert refused.stdout == "" and 'no potential cu/eam (did you mean "Cu/eam"?)' in str(refused.exception)


@pytest.mark.parametrize("word, hint", [("cu/eam", ' (did you mean "Cu/eam"?)'), ("CU/MACE", ' (did you mean "Cu/mace"?)'), ("Xx/eam", "")])
def test_suggestions_do_not_mind_capitals(word, hint, tmp_path):
    result = metalff("validate", word, "--data", "zuo2020-Cu:test", "--out", tmp_path / "v")
    assert str(result.exception).startswith(f"no potential {word}{hint};")
    if not word.startswith("Xx"):
        with pytest.raises(MetalffError, match="did you mean"):
            MLFFCalculator("cu/mace")


@pytest.mark.parametrize("words, hint", [(("Train",), "train"), (("train", "MACE"), "mace"), (("data", "Info", "x"), "info")])
def test_commands_are_suggested_too(words, hint):
    result = metalff(*words)
    assert result.exit_code == 2 and f'(did you mean "{hint}"?)' in " ".join(result.output.split())


def run(*words, **variables):
    return subprocess.run([sys.executable, "-m", "metalff", *words], capture_output=True, text=True, env=os.environ | variables)


def test_version_as_a_module_and_completion():
    assert run("--version").stdout == f"metalff {metadata.version('metalff')}\n"
    completed = run(_METALFF_COMPLETE="complete_bash", COMP_WORDS="metalff deploy se", COMP_CWORD="2")
    assert completed.stdout.split() == ["sevennet"]
    installed = run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert installed.returncode == 0 and "_METALFF_COMPLETE=complete_bash" in installed.stdout


def test_help_of_a_training_has_its_defaults_and_its_cost():
    mace, nep = (re.sub(r"\s+", " ", metalff("train", family, "-h").output) for family in ("mace", "nep"))
    assert "Cutoff of one layer, Å; default: 4." in mace and "default: 70min." in mace and "31 core-minutes" in mace
    assert "took 2 core-minutes" in nep and "--max-epochs <int> End after so many epochs" in nep
