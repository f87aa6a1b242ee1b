"""Forecasts: what is learnt where there is something to learn, honesty where there is nothing, frozen files, what is refused."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from metalff.cli import build_app
from metalff.errors import MetalffError
from metalff.study import forecast as forecasting

METALS = ["Li", "Ni", "Cu", "Nb", "Mo", "Ta", "W", "Al"]
NAMES = forecasting.PREDICTORS


def metalff(*words):
    return CliRunner().invoke(build_app(), [str(word) for word in words])


@pytest.fixture
def world():
    """Indicators, and errors that follow the first of them."""
    rng = np.random.default_rng(7)
    indicators = {s: dict(zip(NAMES, rng.uniform(0.5, 1.5, 3))) for s in [*METALS, "V", "Zr"]}
    errors = {s: math.exp(1.5 * indicators[s][NAMES[0]] - 4 + 0.02 * rng.normal()) for s in METALS}
    return errors, indicators


def test_what_errors_follow_is_found(world):
    errors, indicators = world
    fitted = forecasting.fit(errors, indicators)
    assert fitted.skill > 0.8 and "take away" in forecasting.quality(fitted)
    found = forecasting.forecast(fitted, "V", indicators["V"])
    true = math.exp(1.5 * indicators["V"][NAMES[0]] - 4)
    assert found.low < true < found.high and found.normalised == pytest.approx(true, rel=0.15)


def test_where_there_is_nothing_to_learn_it_is_the_mean_of_the_metals(world):
    errors, indicators = world
    rng = np.random.default_rng(9)
    noise = {s: math.exp(rng.normal()) for s in METALS}
    fitted = forecasting.fit(noise, indicators)
    assert fitted.skill < 0.3
    if math.isinf(fitted.ridge):
        assert forecasting.forecast(fitted, "V", indicators["V"]).normalised == pytest.approx(math.exp(np.mean(np.log(list(noise.values())))))


def test_each_metal_is_forecast_without_itself(world):
    errors, indicators = world
    fitted = forecasting.fit(errors, indicators)
    changed = forecasting.fit(errors | {"Cu": 50.0}, indicators)
    assert changed.errors["Cu"][1] == pytest.approx(fitted.errors["Cu"][1])
    assert changed.rms > fitted.rms


def test_a_metal_far_away_is_told(world):
    errors, indicators = world
    fitted = forecasting.fit(errors, indicators)
    far = indicators["V"] | {NAMES[1]: 5.0}
    assert forecasting.forecast(fitted, "V", far).beyond == (NAMES[1],)


def test_frozen_and_judged(world, tmp_path):
    errors, indicators = world
    fitted = forecasting.fit(errors, indicators)
    found = [forecasting.forecast(fitted, s, indicators[s]) for s in ("V", "Zr")]
    forecasting.freeze(tmp_path / "f.json", fitted, found, {"model": "poly"})
    what, again = forecasting.frozen(tmp_path / "f.json")
    assert what["model"] == "poly" and again["V"] == found[0]
    said = forecasting.judged(again, {"V": found[0].normalised * 1.5})
    assert "off by a factor of 1.50" in said[0] and said[-1] == "not tested yet, for want of labels: Zr"
    both = forecasting.judged(again, {"V": found[0].normalised, "Zr": found[1].high * 2})
    assert "1 of 2 inside" in both[-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c | {"schema": 9},
        lambda c: c | {"forecasts": [{"element": "V"}]},
        lambda c: [],
        lambda c: c | {"what": {}},
        lambda c: c | {"forecasts": []},
        lambda c: c | {"forecasts": c["forecasts"] * 2},
        lambda c: c | {"forecasts": [{**c["forecasts"][0], "element": "Xx"}]},
        lambda c: c | {"forecasts": [{**c["forecasts"][0], "low": 9.0}]},
    ],
)
def test_a_damaged_forecast_is_refused(world, tmp_path, change):
    errors, indicators = world
    fitted = forecasting.fit(errors, indicators)
    forecasting.freeze(tmp_path / "f.json", fitted, [forecasting.forecast(fitted, "V", indicators["V"])], {"model": "poly"})
    (tmp_path / "f.json").write_text(json.dumps(change(json.loads((tmp_path / "f.json").read_text()))))
    with pytest.raises(MetalffError, match="holds no frozen forecast"):
        forecasting.frozen(tmp_path / "f.json")


def test_too_few_metals(world):
    errors, indicators = world
    with pytest.raises(MetalffError, match="4 metals have an error.*at least 5"):
        forecasting.fit(dict(list(errors.items())[:4]), indicators)


def table(path, indicators):
    lines = [",".join(["element", *NAMES])] + [",".join([s, *(str(v[n]) for n in NAMES)]) for s, v in indicators.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command(world, tmp_path):
    errors, indicators = world
    (tmp_path / "errors.csv").write_text("element,model,normalised\n" + "".join(f"{s},mine,{v}\n" for s, v in errors.items()))
    own = table(tmp_path / "fermi.csv", indicators)
    words = ["--errors", tmp_path / "errors.csv", "--model", "mine", "--indicators", own]
    done = metalff("predict", "V", "Zr", *words, "--out", tmp_path / "frozen.json", "--extrapolate")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "95 % interval" in done.output and "known metals" in done.output
    assert set(forecasting.frozen(tmp_path / "frozen.json")[1]) == {"V", "Zr"}
    refused = metalff("predict", "V", *words, "--out", tmp_path / "frozen.json", "--extrapolate")
    assert refused.exit_code != 0 and "a frozen forecast is not written over" in str(refused.exception)
    again = json.loads(metalff("predict", "V", *words, "--extrapolate", "--json").stdout)
    assert again["forecasts"][0]["element"] == "V" and again["skill"] > 0.8
    far = table(tmp_path / "far.csv", indicators | {"V": indicators["V"] | {NAMES[0]: 40.0}})
    refused = metalff("predict", "V", *words[:-1], far)
    assert refused.exit_code != 0 and "extrapolate: add --extrapolate" in str(refused.exception)
    for metal, sentence in (("Vv", "no metal|unknown|not known|no data"), ("Cu", "its error is known")):
        refused = metalff("predict", metal, *words)
        assert refused.exit_code != 0 and __import__("re").search(sentence, str(refused.exception)), refused.exception
    refused = metalff("predict", "V", *words[:2], "--model", "nep", "--indicators", own)
    assert "the table of errors has none of it" in str(refused.exception)


def test_what_is_shipped_gives_a_forecast():
    done = json.loads(metalff("predict", "Ag", "--json", "--extrapolate").stdout)
    (one,) = done["forecasts"]
    assert 0 < one["low"] < one["normalised"] < one["high"] and len(done["learnt_from"]) >= 5


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda lines: [*lines, lines[-1]], "stands there twice"),
        (lambda lines: [lines[0], "Nb,nan,1,1"], "line 2: n_ef_0.1 nan is no number"),
        (lambda lines: [lines[0], "Nbb,1,1,1"], "is no metal that is known here"),
        (lambda lines: ["element,colour", "Nb,red"], "is no table of indicators"),
    ],
)
def test_a_wrong_table_of_indicators_is_refused(world, tmp_path, change, sentence):
    from metalff.study import indicators as known

    path = table(tmp_path / "fermi.csv", world[1])
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(MetalffError, match=sentence):
        known.read(path)


def test_magnetic_metals_of_a_table_wait_to_be_asked_for(tmp_path):
    from metalff.study import indicators as known

    path = table(tmp_path / "fermi.csv", {s: dict.fromkeys(NAMES, 1.0) for s in ("Fe", "Cu")})
    assert set(known.read(path)) == {"Cu"} and set(known.read(path, magnetic=True)) == {"Fe", "Cu"}


def test_equal_errors_are_no_skill(world):
    fitted = forecasting.fit({s: 0.1 for s in METALS}, world[1])
    assert fitted.skill == 0.0 and "no better than that mean" in forecasting.quality(fitted)
    with pytest.raises(MetalffError, match="is none; give errors between"):
        forecasting.fit({s: 1e-300 for s in METALS}, world[1])
