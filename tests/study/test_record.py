"""A damaged ``results.json`` is refused where it is read."""

import json

import pytest

from metalff.errors import MetalffError
from metalff.study import learnability
from metalff.study.record import Record

ERRORS = {"frames": 3, "force_rms": 1.0, "force_rmse": [0.1, 0.0, 0.2], "normalised": None, "energy_rmse": 0.01}
ROW = {"labels": {}, "family": "nep", "settings": {}, "seed": 1, "frames": 8, "epochs": 2, "seconds": 1.5, "test": {"all": ERRORS}}
CONTENT = {"schema": 1, "study": "learnability", "commands": [["metalff"]], "failed": {}, "names": {"a": "b"}, "trials": {"b": ROW}}


def opened(folder, **changes):
    (folder / "results.json").write_text(json.dumps(CONTENT | changes))
    return Record(folder, "learnability", ["metalff"])


def test_a_whole_file_is_read(tmp_path):
    alone = ROW | {"test": {"all": ERRORS, "300": ERRORS | {"frames": 1, "normalised": [0.1, None, None], "force_rmse": [0.1, None, None]}}}
    assert opened(tmp_path, trials={"b": alone}).trials == {"b": alone}
    assert opened(tmp_path).trials == {"b": ROW}
    assert opened(tmp_path, trials={}, commands=[]).content["commands"] == [["metalff"]]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"commands": 5}, "commands is no list"),
        ({"names": []}, "names is no object"),
        ({"names": {"a": []}}, "names are no texts"),
        ({"failed": None}, "failed is no object"),
        ({"trials": []}, "trials is no object"),
        ({"trials": {"a": {}}}, "trial a is no result"),
        ({"trials": {"a": 5}}, "trial a is no result"),
        ({"trials": {"b": ROW, "a": ROW | {"labels": []}}}, "trial a is no result"),
        ({"trials": {"a": ROW | {"test": {}}}}, "trial a is no result"),
        ({"trials": {"a": ROW | {"test": {"all": ERRORS, "300": 5}}}}, "trial a is no result"),
        ({"trials": {"a": ROW | {"test": {"all": ERRORS | {"force_rmse": 5}}}}}, "trial a is no result"),
        ({"trials": {"a": ROW | {"groups": [1]}}}, "trial a is no result"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, changes, said):
    with pytest.raises(MetalffError, match=f"results.json is damaged: {said}; mend it, or choose another --out"):
        opened(tmp_path, **changes)


def test_another_study_is_refused(tmp_path):
    with pytest.raises(MetalffError, match="holds no results of this study"):
        opened(tmp_path, study="filling")


@pytest.mark.parametrize("content", ["{", "5", '{"made": []}', '{"made": {"labels": 3}}'])
def test_damaged_data_of_a_metal_are_named(tmp_path, content):
    (tmp_path / "data/Al").mkdir(parents=True)
    (tmp_path / "data/Al/data.json").write_text(content)
    with pytest.raises(MetalffError, match="data.json is damaged; delete it, and the configurations are made again"):
        learnability.made_before("Al", tmp_path, learnability.Plan(("Al",)))
