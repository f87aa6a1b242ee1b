"""``metalff sweep plan, run, status, resume, cancel`` as a user types them; what a plan would take."""

import json

import pytest
import typer
import yaml
from typer.testing import CliRunner

from metalff.cli import sweep
from metalff.cli.command import Group
from metalff.errors import MetalffError
from metalff.paths import shared
from metalff.sweep import calibrate
from metalff.sweep.expand import jobs
from metalff.sweep.forecast import forecast
from metalff.sweep.plan import read_plan

from .conftest import write_plan

APP = typer.Typer(cls=Group)
APP.callback()(lambda: None)
sweep.register(APP)


def metalff(*words):
    return CliRunner().invoke(APP, ["sweep", *map(str, words)])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METALFF_CACHE", str(tmp_path / "cache"))


def test_plan_run_status(tmp_path, cache):
    """Predicted before, found afterwards; nothing is timed twice, and what is finished is not counted again."""
    plan, out = write_plan(tmp_path, temperatures=[300], potentials=["Cu/eam", "Cu/meam"], data="zuo2020-Cu:test[frames=0:3]"), tmp_path / "out"
    told = json.loads(metalff("plan", plan, "--json").stdout)
    assert list(told["jobs"]) == ["Cu-eam/300K", "Cu-eam/errors", "Cu-meam/300K", "Cu-meam/errors"] and not out.exists()
    assert told["hours"] > 0 and all(row["seconds"] > 0 for row in told["rows"])
    known = (tmp_path / "cache" / calibrate.NAME).read_text()
    assert "one job" in metalff("plan", plan).output and (tmp_path / "cache" / calibrate.NAME).read_text() == known
    done = metalff(plan)
    assert done.exit_code == 0 and f"results: {out}" in done.output
    found = json.loads(metalff("status", out, "--json").stdout)
    assert found["counts"] == {"finished": 4} and found["complete"] and not found["at_work"]
    after = json.loads(metalff("plan", plan, "--json").stdout)
    assert after["hours"] == 0 and all(row["done"] == row["jobs"] for row in after["rows"])
    size = sum(path.stat().st_size for path in (out / "Cu-eam/300K").iterdir())
    predicted = next(row["bytes"] for row in told["rows"] if (row["kind"], row["potential"]) == ("md", "eam"))
    assert 0.5 < predicted / size < 2
    assert metalff("resume", out).exit_code == 0 and metalff("run", out).exit_code == 0


def test_no_trial(tmp_path, cache):
    done = metalff("plan", write_plan(tmp_path), "--no-calibrate")
    assert done.exit_code == 0 and "time: not known for every potential" in done.output and not (tmp_path / "cache").exists()


def test_a_potential_that_does_not_run_is_found_by_the_trial(tmp_path, cache):
    plan = read_plan(write_plan(tmp_path, lmp_args="-pk nonsense"))
    with pytest.raises(MetalffError, match="Cu/eam does not run: .*; --no-calibrate plans without a trial"):
        calibrate.speeds(plan, jobs(plan, tmp_path), True)


def test_time_grows_with_what_is_asked(tmp_path):
    def seconds(**changes):
        found = jobs(read_plan(write_plan(tmp_path, **changes)), tmp_path)
        return forecast(found, found, set(), {calibrate.speed_key(job): 1e4 for job in found}, 1).hours * 3600

    once = seconds(temperatures=[300], replicas=4)
    assert once == pytest.approx(0.5 + 900 * 256 / 1e4)
    assert seconds(temperatures=[300, 600], replicas=4) == pytest.approx(2 * once)


def test_a_plan_without_molecular_dynamics(tmp_path, cache):
    plan = {"elements": "noble", "potentials": "{element}/eam", "properties": "lattice", "data": "zuo2020-{element}"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    told = json.loads(metalff("plan", tmp_path / "plan.yaml", "--json").stdout)
    assert {row["kind"]: row["jobs"] for row in told["rows"]} == {"properties": 3, "errors": 1} and told["hours"] > 0
    assert [one["element"] for one in told["skipped"]] == ["Ag", "Au"] and "there is no set zuo2020-Ag for Ag" in told["skipped"][0]["reason"]


def test_a_misspelt_command_and_a_missing_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'no command statsu (did you mean "status"?)' in metalff("statsu", "out").output
    assert "plan.yml cannot be read" in str(metalff("plan.yml").exception)
    for command in ("status", "cancel"):
        assert "nothing holds no sweep; run: metalff sweep run PLAN.yaml" in str(metalff(command, "nothing").exception)
    assert "there is no folder nothing" in str(metalff("resume", "nothing").exception)


def test_a_folder_goes_on_where_it_is(finished, tmp_path):
    done = metalff("run", finished, "--out", tmp_path / "other")
    assert "is a folder of results, which goes on where it is; leave --out out" in str(done.exception)


def test_status_tells_what_failed(tmp_path):
    assert metalff("run", write_plan(tmp_path, timestep=60, temperatures=[300])).exit_code == 1
    said = metalff("status", tmp_path / "out").output
    assert "Cu-eam/300K: failed: lost atoms: " in said and "last good frame: last.xyz" in said and "1 failed; nobody is at work" in said


def test_the_examples_are_valid_plans():
    for name, count in {"campaign.yaml": 24, "sweep-Cu.yaml": 16}.items():
        path = shared("lammps_inputs", name)
        assert len(jobs(read_plan(path), path.parent)) == count
