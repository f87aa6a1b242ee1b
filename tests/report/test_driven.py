"""Ramps, coexistence and strains: what is said of them, and how a metal's page draws them; the runs are LAMMPS' own."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas
import pytest
import yaml

import chromium
from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.report import driven
from metalff.report.campaign import campaign, page_data
from metalff.report.page import write_report
from metalff.report.results import read_results
from metalff.sweep.sweep import run_sweep

pytestmark = pytest.mark.filterwarnings("ignore")

PLAN = {
    "elements": ["Cu"],
    "potentials": ["Cu/eam"],
    "cells": {"replicas": 3},
    "timestep": 2,
    "steps": {"equilibrate": 200, "sample": 100, "drift": 100},
    "ramps": [{"from": 300, "to": 2800, "rate": 500}],
    "strains": [{"to": 0.06, "rate": 0.05}, {"direction": "volume", "to": 0.02, "rate": 0.05}],
    "coexistence": {"atoms": 400, "prepare": 800, "steps": 500},
    "thermo_interval": 5,
    "dump_interval": 25,
    "out": "out",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driven")
    (folder / "campaign.yaml").write_text(yaml.safe_dump(PLAN))
    out, complete = run_sweep(folder / "campaign.yaml", command=["metalff", "sweep", "run", "campaign.yaml"])
    assert complete
    return out


@pytest.fixture(scope="module")
def shown(swept):
    """By the last part of the job's name."""
    found = page_data(campaign(read_results([swept])))["metals"]["Cu"]["driven"]
    return {run["id"].rsplit("/", 1)[1]: run for run in found}


def test_each_kind_is_told(shown):
    assert len(shown) == 4
    ramp, both = shown["ramp-300K-2800K"], shown["coexistence-1358K"]
    low, high = ramp["change"]
    assert ramp["melts"] and 1358 < low < high < 2700 and ramp["phases"] == ["solid", "liquid"] and "melts between" in ramp["said"]
    assert both["mean"][1] < both["mean"][0] < both["mean"][2] and abs(both["mean"][0] / 1358 - 1) < 0.25
    pulled, swollen = shown["strain-x-0.06-300K"], shown["strain-volume-0.02-300K"]
    assert (pulled["direction"], pulled["constant"], pulled["known"]) == ("x", "C11", metals()["Cu"].elastic["C11"])
    assert abs(pulled["slope"][0] / pulled["known"] - 1) < 0.4 and pulled["slope"][1] < pulled["slope"][0] < pulled["slope"][2]
    assert (swollen["direction"], swollen["constant"]) == ("volume", "3B") and abs(swollen["slope"][0] / swollen["known"] - 1) < 0.3


def test_a_run_is_small(shown):
    """Five such runs of 43 metals and 4 models at 4 temperatures leave room for everything else below 10 MB."""
    most = max(len(json.dumps(run)) for run in shown.values())
    assert 5 * 43 * 4 * 4 * most < 5_000_000


def test_the_page_draws_them(swept, tmp_path):
    if not chromium.program():
        pytest.skip("there is no chromium on this machine")
    path = write_report([swept], tmp_path / "report.html")
    browser = chromium.Chromium()
    try:
        browser.resize(390, 844)
        browser.open(path, "#Cu")
        titles = browser.evaluate("[...document.querySelectorAll('#Cu .plots h3')].map((h) => h.textContent)")
        assert titles[:3] == ["Heating, 300 K to 2800 K", "Coexistence of solid and liquid", "Stress over strain"]
        assert browser.evaluate("document.querySelectorAll('#Cu .plots svg').length") >= 7
        drawn = browser.evaluate("document.querySelector('#Cu .plots').textContent")
        assert "1358 K, experiment" in drawn and "C11 = 168 GPa" in drawn and "NaN" not in drawn
        # the experiment's line and its name are inside the plot, and nothing is wider than the phone
        outside = """[...document.querySelectorAll('#Cu .plots svg text')].filter((t) => {
            const b = t.getBoundingClientRect(), s = t.ownerSVGElement.getBoundingClientRect();
            return b.left < s.left - 2 || b.right > s.right + 2; }).map((t) => t.textContent)"""
        assert browser.evaluate(outside) == [] and browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert not browser.problems
    finally:
        browser.close()
    assert "4 ramps, coexistences and strains in numbers" in path.read_text("utf-8")


def test_one_that_is_not_stable_is_shown_and_not_scored(swept):
    found = read_results([swept])
    found.sweeps[0].driven[0].record["unstable"] = "atoms came as close as 0.1 Å"
    result = campaign(found)
    assert len(result.metals["Cu"]["driven"]) == 3 and [f["sentence"] for f in result.failures] == ["atoms came as close as 0.1 Å"]
    assert result.value("failed", result.models[0].key, "Cu")[0] == pytest.approx(25)


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda job: job["values"].update(coexistence_temperature={"value": 1300.0}),
            r"damaged \(values.coexistence_temperature.low: field required\)",
        ),
        (lambda job: job.pop("files"), r"damaged \(files: field required\)"),
        (lambda job: job["files"].pop("thermo.csv"), "has no hash of thermo.csv"),
        (lambda job: job.update(temperature="hot"), r"damaged \(jobs.*temperature: input should be a valid number\)"),
        (lambda job: job.update(kind="annealing"), "is of the kind annealing, which this report does not know"),
    ],
)
def test_a_record_that_was_edited_is_refused(swept, tmp_path, damage, message):
    record = json.loads((swept / "sweep.json").read_text())
    damage(next(job for job in record["jobs"].values() if job["kind"] == "coexistence"))
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    with pytest.raises(MetalffError, match=message):
        read_results([tmp_path])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.splitlines()[0],
        lambda text: text.replace("stage", "part", 1),
        lambda text: text.replace("sample,", "sample,nan", 1),
        lambda text: text + text.splitlines()[5],
    ],
)
def test_a_table_that_is_none_is_refused(swept, tmp_path, damage):
    run = next(run for run in read_results([swept]).sweeps[0].driven if run.record["kind"] == "coexistence")
    content = damage((run.folder / "thermo.csv").read_text()).encode()
    (tmp_path / "thermo.csv").write_bytes(content)
    files = run.record["files"] | {"thermo.csv": hashlib.sha256(content).hexdigest()}
    with pytest.raises(MetalffError, match="thermo.csv is damaged; remove"):
        _ = replace(run, folder=tmp_path, record=run.record | {"files": files}).thermo


def test_a_coexistence_counts_only_with_both_phases(swept):
    for phase, counts in (("both", True), ("solid", False)):
        found = read_results([swept])
        run = next(run for run in found.sweeps[0].driven if run.record["kind"] == "coexistence")
        run.record["values"]["phase"] = phase
        result = campaign(found)
        assert (result.value("melting", result.models[0].key, "Cu") is not None) is counts


@pytest.mark.parametrize(
    "solid, expected",
    [([0.9, 0.9, 0.1, 0.1], (1, 2)), ([0.9, 0.4, 0.8, 0.1], (2, 3)), ([0.1, 0.2, 0.9], (1, 2)), ([0.9, 0.1, 0.9], None), ([0.9], None)],
)
def test_a_change_that_lasts(solid, expected):
    assert driven.lasting_change(solid) == expected


def test_slope_at_no_strain():
    """Of a parabola it is that of its tangent, not of a straight line through it, and its interval holds it; too few rows give none."""
    strain, noise = np.linspace(0, 0.1, 500), np.random.default_rng(1).normal(0, 0.2, 500)
    value, low, high = driven.initial_slope(strain, 1.5 + 170 * strain - 900 * strain**2 + noise)
    assert low < 170 < high and high - low < 40 and low < value < high
    assert driven.initial_slope(strain[:10], strain[:10]) is None


def test_constants_of_a_crystal_along_its_axes():
    cubic, hcp = metals()["Cu"].elastic, metals()["Mg"].elastic
    assert driven.constant("y", "fcc", cubic) == ("C11", cubic["C11"]) and driven.constant("xy", "bcc", cubic) == ("C44", cubic["C44"])
    assert driven.constant("volume", "fcc", cubic) == ("3B", cubic["C11"] + 2 * cubic["C12"])
    assert driven.constant("z", "hcp", hcp) == ("C33", hcp["C33"]) and driven.constant("x", "hcp", hcp) == ("C11", hcp["C11"])
    assert driven.constant("xy", "hcp", hcp)[1] == (hcp["C11"] - hcp["C12"]) / 2
    for direction in ("x", "z", "xy", "volume"):
        assert driven.constant(direction, "hcp", {})[1] is None and driven.constant(direction, "fcc", {})[1] is None


def test_a_table_too_short_is_not_drawn():
    table = pandas.DataFrame({"stage": ["strain"] * 3, "time_ps": [0, 1, 2], "lx": [1.0, 1.1, 1.2]})
    assert driven.strain(table, "fcc", {}) is None and driven.strain(table.assign(stage="equilibrate"), "fcc", {}) is None
