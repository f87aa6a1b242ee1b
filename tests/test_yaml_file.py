"""YAML from outside: bounded, every key once, said in a sentence."""

import subprocess
import sys

import pytest

from metalff.errors import MetalffError
from metalff.yaml_file import LARGEST, read_yaml, short

BOMB = "element: [&a [x,x,x,x,x,x,x,x,x], " + ", ".join(f"&{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]" for k in range(8)) + "]\n"


def test_keys_and_values(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("a: [1, 2.5, x]\nb: &shared {c: true}\nd: *shared\n")
    assert read_yaml(path) == {"a": [1, 2.5, "x"], "b": {"c": True}, "d": {"c": True}}


@pytest.mark.parametrize(
    "text, sentence",
    [
        (BOMB, "is not YAML: it has more than 200,000 keys and values once its aliases are expanded"),
        ("a: &a [*a]\n", "is not YAML: lists and keys lie more than 32 deep"),
        ("a: " + "[" * 100_000, "is not YAML: "),
        ("a: 1\nb: 2\na: 3\n", "is not YAML: the key a is given twice"),
        ("a: {b: 1, b: 2}\n", "is not YAML: the key b is given twice"),
        ("!!python/object/apply:os.system ['touch ran']\n", "is not YAML: could not determine a constructor"),
        ("- a\n- b\n", "must hold keys and values such as element: Cu"),
        ("1: a\n", "must hold keys and values"),
        ("a: b: c\n", "is not YAML: mapping values are not allowed here"),
        ("\xff", "must hold keys and values"),
    ],
)
def test_refused_in_a_sentence(text, sentence, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(MetalffError) as refused:
        read_yaml(path)
    assert f"{path} {sentence}" in str(refused.value) and len(str(refused.value)) < 600


def test_other_bytes_and_sizes(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(MetalffError, match="is not YAML: 'utf-8' codec can't decode"):
        read_yaml(path)
    path.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(MetalffError, match="is larger than 4 MB, so it is no file of settings"):
        read_yaml(path)
    with pytest.raises(MetalffError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")


def test_values_are_cut_in_sentences():
    assert short([1] * 1000) == "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …"
    assert short("x") == "x"


def test_a_plan_of_aliases_ends_at_once(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(BOMB)
    command = [sys.executable, "-m", "metalff.cli", "sweep", str(path), "--out", str(tmp_path / "o")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "more than 200,000 keys and values" in ran.stderr and not (tmp_path / "o").exists()
