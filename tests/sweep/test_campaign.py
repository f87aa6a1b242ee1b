"""Campaigns of several metals: what runs, what is kept, what a failure leaves."""

import json
import os
import shutil
import signal
import time
from itertools import pairwise

import ase.io
import numpy as np
import pandas
import pytest
import yaml

from metalff.errors import MetalffError
from metalff.lammps import is_whole_restart
from metalff.sweep.control import cancel
from metalff.sweep.record import read_record
from metalff.sweep.status import status
from metalff.sweep.sweep import run_sweep
from metalff.sweep.trajectory import read_trajectory

from .conftest import descendants, kill_all, start

CAMPAIGN = {
    "elements": ["Cu", "Ni"],
    "potentials": ["{element}/eam", "Cu/poly"],
    "cells": {"replicas": 2},
    "temperatures": [300],
    "ramps": [{"from": 300, "to": 600, "rate": 500}],
    "strains": [{"direction": "xy", "to": 0.05, "rate": 0.1}],
    "steps": {"equilibrate": 100, "sample": 100, "drift": 50},
    "timestep": 2,
    "dump_interval": 50,
    "thermo_interval": 10,
    "properties": ["lattice"],
    "data": "zuo2020-{element}:test[frames=0:3]",
    "out": "out",
}

LONG = CAMPAIGN | {
    "elements": "Cu",
    "potentials": ["Cu/eam"],
    "cells": {"replicas": 3},
    "ramps": [],
    "strains": [],
    "properties": [],
    "data": None,
    "temperatures": [500, 600],
    "steps": {"equilibrate": 2000, "sample": 2000, "drift": 2000},
}


def write(folder, plan: dict, **changes):
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (plan | changes).items() if value is not None}))
    return path


def jobs_of(out) -> dict:
    return json.loads((out / "sweep.json").read_text())["jobs"]


def stamps(out) -> dict:
    return {
        path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name in ("trajectory.h5", "validate.json", "lattice.json")
    }


def starts_at_zero(folder) -> int:
    lines = (folder / "log.lammps").read_text().split("\n")
    return [int(after.split()[0]) for line, after in pairwise(lines) if line.split()[:2] == ["Step", "Temp"]].count(0)


def wait_for(condition, process=None, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def running_at(out, step: int) -> bool:
    from metalff.sweep.log import last_step

    logs = list(out.glob("Cu/*/*/segments/*/log.lammps"))
    return len(logs) == 2 and all((last_step(log) or 0) >= step for log in logs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished campaign."""
    with pytest.warns(UserWarning, match="skipped: Cu/poly for Ni: Cu/poly has no parameters for Ni; it is for Cu"):
        out, complete = run_sweep(write(tmp_path_factory.mktemp("campaign"), CAMPAIGN), command=["metalff", "sweep", "run", "campaign.yaml"])
    assert complete
    return out


@pytest.fixture
def copy(done, tmp_path):
    shutil.copy(done.parent / "campaign.yaml", tmp_path)
    return shutil.copytree(done, tmp_path / "out")


def test_record(done):
    record = read_record(done / "sweep.json")
    assert record["schema"] == 2 and record["plan"]["elements"] == ["Cu", "Ni"]
    assert [(one["element"], one["potential"]) for one in record["skipped"]] == [("Ni", "Cu/poly")]
    kinds = ("300K", "ramp-300K-600K", "strain-xy-0.05-300K", "properties", "errors")
    assert list(record["jobs"]) == [f"{where}/{kind}" for where in ("Cu/Cu-eam", "Cu/Cu-poly", "Ni/Ni-eam") for kind in kinds]
    for name, job in record["jobs"].items():
        element, potential, _ = name.split("/")
        assert job["status"] == "finished" and len(job["hash"]) == 64
        assert (job["element"], job["potential"]) == (element, potential)
        assert all((done / name / file).is_file() for file in job["files"])
    assert record["potentials"]["Ni-eam"]["elements"] == ["Ni"] and record["jobs"]["Ni/Ni-eam/300K"]["label"] == "Ni eam 300 K"


def test_each_kind_leaves_its_results(done):
    ramp = read_trajectory(done / "Cu/Cu-eam/ramp-300K-600K/trajectory.h5")
    thermo = pandas.read_csv(done / "Cu/Cu-eam/ramp-300K-600K/thermo.csv")
    assert list(ramp.steps) == list(range(100, 401, 50)) and thermo.step.max() == 400  # 300 K at 500 K/ps in steps of 2 fs
    assert thermo[thermo.stage == "ramp"]["T"].iloc[-10:].mean() > thermo[thermo.stage == "ramp"]["T"].iloc[:10].mean()
    strain = pandas.read_csv(done / "Ni/Ni-eam/strain-xy-0.05-300K/thermo.csv")
    assert strain.xy.iloc[-1] == pytest.approx(0.05 * strain.ly.iloc[-1], rel=1e-6)
    assert jobs_of(done)["Ni/Ni-eam/strain-xy-0.05-300K"]["values"]["largest_stress"]["value"] > 0.5
    properties = json.loads((done / "Cu/Cu-poly/properties/properties.json").read_text())
    assert [(row["element"], row["measurement"], row["status"]) for row in properties["results"]] == [("Cu", "lattice", "done")]
    errors = json.loads((done / "Ni/Ni-eam/errors/validate.json").read_text())
    assert errors["dataset"]["elements"] == ["Ni"] and errors["dataset"]["frames"] == 3


def test_the_report_reads_it(done):
    from metalff.report.results import read_results

    found = read_results([done])
    assert found.elements == ["Cu", "Ni"] and len(found.sweeps[0].runs) == 3 and len(found.validations) == 3 and len(found.properties) == 3


def test_more_of_everything_reruns_nothing(copy):
    """Another temperature, metal, seed, property and potential: what is finished is kept as it is, and only what is new runs."""
    before = stamps(copy)
    plan = CAMPAIGN | {"elements": ["Cu", "Ni", "Al"], "temperatures": [300, 400], "seeds": [12345, 2], "properties": ["lattice", "dimer"]}
    with pytest.warns(UserWarning, match="skipped: zuo2020-{element}|skipped: .* Al"):
        _, complete = run_sweep(write(copy.parent, plan, ramps=[], strains=[], potentials=["{element}/eam"]))
    assert complete
    after = stamps(copy)
    assert {path: after[path] for path in before} == before
    jobs = jobs_of(copy)
    assert {"Al/Al-eam/400K-s2", "Cu/Cu-eam/400K", "Ni/Ni-eam/300K-s2"} <= jobs.keys()
    # what this plan does not ask for is still there
    assert jobs["Cu/Cu-poly/300K"]["status"] == "finished" and jobs["Cu/Cu-poly/300K"]["of_this_plan"] is False
    found = json.loads((copy / "Cu/Cu-eam/properties/properties.json").read_text())["results"]
    assert {row["measurement"] for row in found} == {"lattice", "dimer"}


def test_what_was_run_with_other_inputs_is_kept_until_the_user_says(copy, capfd):
    before = stamps(copy)
    plan = write(copy.parent, CAMPAIGN, steps={"equilibrate": 100, "sample": 100, "drift": 60}, potentials=["{element}/eam"])
    _, complete = run_sweep(plan)
    assert not complete and stamps(copy) == before
    said = capfd.readouterr().err
    assert "Cu/Cu-eam/300K: kept as it is, though it was run with other inputs (it differs in steps_nve); --redo runs it again" in said
    assert "ramp" not in said
    assert status(copy).jobs["Ni/Ni-eam/300K"]["status"] == "stale"
    _, complete = run_sweep(plan, redo=True)
    assert complete
    changed = {path.parent.relative_to(copy).as_posix() for path, stamp in stamps(copy).items() if before.get(path) != stamp}
    assert changed == {"Cu/Cu-eam/300K", "Ni/Ni-eam/300K"}
    assert pandas.read_csv(copy / "Cu/Cu-eam/300K/thermo.csv").step.max() == 260


def test_the_same_inputs_run_once(tmp_path):
    """Two files with the same model, and later the same temperature under another name."""
    from metalff.potentials import bundled_models

    for name in ("one", "two"):
        shutil.copy(bundled_models()["Cu/poly"], tmp_path / f"{name}.mlff")
    plan = {"potentials": ["one.mlff", "two.mlff"], "ramps": [], "strains": [], "properties": [], "data": None, "elements": "Cu"}
    out, complete = run_sweep(write(tmp_path, CAMPAIGN | plan))
    first, second = jobs_of(out).values()
    assert complete and second["same_as"] == "Cu/one/300K" and "same_as" not in first
    one, two = (out / f"Cu/{name}/300K/trajectory.h5" for name in ("one", "two"))
    assert one.samefile(two)
    before = stamps(out)
    _, complete = run_sweep(write(tmp_path, CAMPAIGN | plan, seeds=[7, 12345], potentials=["one.mlff"]))
    assert not complete  # 300K is of the seed that was first before
    assert jobs_of(out)["Cu/one/300K-s12345"]["same_as"] in ("Cu/one/300K", "Cu/two/300K")
    assert {path: stamp for path, stamp in stamps(out).items() if path in before} == before


EXPLODES = LONG | {
    "cells": {"replicas": 2},
    "temperatures": [300],
    "timestep": 30,
    "ensembles": ["NVE"],
    "steps": {"equilibrate": 0, "sample": 400, "drift": 0},
    "dump_interval": 10,
}


def test_an_explosion_is_a_result(tmp_path):
    """Told with step, sentence and the last good frame; not run again unless asked to."""
    plan = write(tmp_path, EXPLODES)
    out, complete = run_sweep(plan)
    failure = jobs_of(out)["Cu/Cu-eam/300K"]["failure"]
    assert not complete and failure["kind"] == "exploded" and "Fix halt condition for fix-id exploded" in failure["sentence"]
    last = ase.io.read(out / "Cu/Cu-eam/300K/last.xyz")
    assert 0 < last.info["step"] < failure["step"] and np.isfinite(last.get_forces()).all() and last.get_temperature() < 3000
    before = (out / "Cu/Cu-eam/300K/job.json").stat().st_mtime_ns
    assert not run_sweep(plan)[1] and (out / "Cu/Cu-eam/300K/job.json").stat().st_mtime_ns == before
    assert status(out).counts == {"failed": 1}
    assert not run_sweep(plan, retry_failed=True)[1] and (out / "Cu/Cu-eam/300K/job.json").stat().st_mtime_ns > before


def test_the_wall_time_of_a_run(tmp_path):
    """LAMMPS writes a restart file when it is over, and the next run goes on there."""
    plan = LONG | {"temperatures": [500], "steps": {"equilibrate": 100000, "sample": 100, "drift": 0}}
    out, complete = run_sweep(write(tmp_path, plan, walltime=1.0))
    job = jobs_of(out)["Cu/Cu-eam/500K"]
    assert not complete and job["failure"]["kind"] == "walltime" and "the wall time of 1 s was over" in job["failure"]["sentence"]
    assert is_whole_restart(out / "Cu/Cu-eam/500K/segments/001/run.restart.c")
    at = job["failure"]["step"]
    run_sweep(write(tmp_path, plan, walltime=0.5))
    assert jobs_of(out)["Cu/Cu-eam/500K"]["failure"]["step"] > at and jobs_of(out)["Cu/Cu-eam/500K"]["starts"] == 2


def test_cancel_and_resume(tmp_path):
    plan, out = write(tmp_path, LONG), tmp_path / "out"
    process = start("run", plan)
    wait_for(lambda: running_at(out, 500), process)
    found = status(out)
    assert found.at_work and found.counts == {"running": 2} and all(job["step"] >= 500 for job in found.jobs.values())
    assert cancel(out)
    _, errors = process.communicate()
    assert process.returncode == 1 and f"metalff sweep resume {out}" in errors
    assert {job["status"] for job in jobs_of(out).values()} == {"cancelled"}
    assert all(is_whole_restart(path) for path in out.glob("Cu/*/*/segments/001/run.restart.c"))
    assert len(list(out.glob("Cu/*/*/segments/001/run.restart.c"))) == 2 and not cancel(out)
    _, complete = run_sweep(out)
    assert complete
    assert all(starts_at_zero(out / name) == 1 and job["starts"] == 2 for name, job in jobs_of(out).items())


def test_a_killed_lammps(tmp_path):
    plan, out = write(tmp_path, LONG), tmp_path / "out"
    process = start(plan)
    wait_for(lambda: running_at(out, 1000), process)
    hit = [pid for pid in descendants(process.pid) if os.readlink(f"/proc/{pid}/cwd").startswith(str((out / "Cu/Cu-eam/600K").resolve()))]
    os.kill(hit[-1], signal.SIGKILL)
    process.communicate()
    assert process.returncode == 1
    job = jobs_of(out)["Cu/Cu-eam/600K"]
    assert (
        job["failure"]["kind"] == "killed" and job["failure"]["last_frame"] == "last.xyz" and jobs_of(out)["Cu/Cu-eam/500K"]["status"] == "finished"
    )
    assert run_sweep(plan)[1] and starts_at_zero(out / "Cu/Cu-eam/600K") == 1


def test_status_writes_nothing(copy):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    found = status(copy, verify=True)
    assert found.complete and not found.at_work and not found.notes and found.counts == {"finished": 15}
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


DAMAGES = [
    (
        lambda out: (out / "Cu/Cu-eam/300K/trajectory.h5").write_bytes((out / "Cu/Cu-eam/300K/trajectory.h5").read_bytes()[:-100]),
        "is not the file that",
    ),
    (lambda out: shutil.copy(out / "Ni/Ni-eam/300K/trajectory.h5", out / "Cu/Cu-eam/300K"), "is not the file that the sweep wrote; remove"),
    (lambda out: shutil.copytree(out / "Ni/Ni-eam/300K", out / "Cu/Cu-eam/300K", dirs_exist_ok=True), "stale"),
    (lambda out: (out / "Cu/Cu-eam/300K/thermo.csv").unlink(), "thermo.csv is missing; run the sweep again"),
]


@pytest.mark.parametrize("damage, message", DAMAGES)
def test_damaged_results_are_found(damage, message, copy):
    damage(copy)
    found = status(copy, verify=True)
    if message == "stale":  # job.json is that of another run, too
        with pytest.warns(UserWarning, match="skipped"):
            assert not run_sweep(copy)[1]
        assert status(copy).jobs["Cu/Cu-eam/300K"]["status"] == "stale"
    else:
        assert len(found.notes) == 1 and message in found.notes[0]


def test_a_missing_file_is_made_again(copy):
    (copy / "Cu/Cu-eam/300K/thermo.csv").unlink()
    before = stamps(copy)
    with pytest.warns(UserWarning):
        assert run_sweep(copy)[1]
    assert (copy / "Cu/Cu-eam/300K/thermo.csv").is_file() and sum(before[path] != stamp for path, stamp in stamps(copy).items()) == 1


def test_mixed_versions_are_told(copy):
    path = copy / "Cu/Cu-eam/300K/job.json"
    job = json.loads(path.read_text())
    job["inputs"]["versions"]["lammps"] = "2 Aug 2023"
    path.write_text(json.dumps(job))
    assert "holds results of different versions: lammps 2 Aug 2023 (1 jobs) and 22 Jul 2025 - Update 4 (8 jobs)" in status(copy).notes[0]


def test_a_folder_of_an_older_metalff(tmp_path):
    plan = write(tmp_path, LONG)
    (tmp_path / "out").mkdir()
    job = {"potential": "Cu-eam", "temperature": 300.0, "status": "finished"}
    old = {"schema": 1, "hash": "0" * 64, "physics": {}, "plan": {"element": "Cu"}, "potentials": {}, "jobs": {"Cu-eam/300K": job}}
    (tmp_path / "out/sweep.json").write_text(json.dumps(old))
    with pytest.raises(MetalffError, match=r"holds a sweep of an older MetalFF \(schema 1\), which can be shown and not gone on with"):
        run_sweep(plan)
    assert json.loads((tmp_path / "out/sweep.json").read_text()) == old and status(tmp_path / "out").counts == {"finished": 1}


def test_in_ase(tmp_path):
    """Killed in the middle it goes on from its restart file; numbers are those of LAMMPS."""
    own = {"cells": {"replicas": 2}, "temperatures": [300], "steps": {"equilibrate": 100, "sample": 200, "drift": 100}, "restart_interval": 50}
    plan, out = write(tmp_path, LONG | own, engine="ase"), tmp_path / "out"
    process = start(plan)
    folder = out / "Cu/Cu-eam/300K"
    wait_for(lambda: len(list(folder.glob("segments/001/run.restart.?"))) == 2, process)
    kill_all(process)
    out, complete = run_sweep(plan)
    job = jobs_of(out)["Cu/Cu-eam/300K"]
    assert complete and job["engine"] == "ase" and job["starts"] == 2 and job["atom_steps_per_s"] > 0
    thermo, run = pandas.read_csv(folder / "thermo.csv"), read_trajectory(folder / "trajectory.h5")
    assert list(thermo.step) == list(range(0, 401, 10)) and list(run.steps) == [100, 150, 200, 250, 300]
    drift = thermo[thermo.stage == "drift"].etotal / 32
    assert drift.max() - drift.min() < 1e-3 and thermo[thermo.stage != "equilibrate"].vol.nunique() == 1
    from ase import Atoms

    from metalff.potentials import resolve

    atoms = Atoms("Cu32", run.positions[-1], cell=run.cell[-1], pbc=True, calculator=resolve("Cu/eam", ["Cu"]).calculator())
    np.testing.assert_allclose(atoms.get_forces(), run.forces[-1], atol=1e-8)
    in_lammps, _ = run_sweep(write(tmp_path, LONG | own | {"steps": {"equilibrate": 50, "sample": 50, "drift": 0}}), out=tmp_path / "lammps")
    other = pandas.read_csv(in_lammps / "Cu/Cu-eam/300K/thermo.csv")
    assert list(other.columns) == list(thermo.columns)
    for column in ("T", "pe", "vol"):  # T: of the same mass, which is not that in the file of the EAM
        assert other[column][0] == pytest.approx(thermo[column][0], rel=1e-6)


def test_ones_own_lammps(tmp_path):
    from metalff.lammps import lmp_executable

    wrapper = tmp_path / "my lmp"
    wrapper.write_text(f'#!/bin/sh\nexec {lmp_executable()} "$@"\n')
    wrapper.chmod(0o755)
    small = {"temperatures": [300], "cells": {"replicas": 2}, "steps": {"equilibrate": 0, "sample": 50, "drift": 0}}
    out, complete = run_sweep(write(tmp_path, LONG | small, lmp=str(wrapper), lmp_args="-echo log", mpiexec="env A=b"))
    assert complete
    assert (
        jobs_of(out)["Cu/Cu-eam/300K"]["command"].startswith("env A=b lmp -in in.sweep")
        and "undump          frames" in (out / "Cu/Cu-eam/300K/log.lammps").read_text()
    )
    with pytest.raises(MetalffError, match="lmp: nothing is no executable file"):
        run_sweep(write(tmp_path, LONG | small, lmp="nothing"))
    with pytest.raises(MetalffError, match="does not say that it is LAMMPS"):
        run_sweep(write(tmp_path, LONG | small, lmp="/bin/true"))


def test_a_coexistence(tmp_path):
    plan = {"temperatures": [], "coexistence": {"temperature": "1.0 Tm", "atoms": 256, "steps": 300, "prepare": 600}, "dump_interval": 100}
    out, complete = run_sweep(write(tmp_path, LONG | plan))
    job = jobs_of(out)["Cu/Cu-eam/coexistence-1358K"]
    assert complete and job["values"]["phase"] in ("both", "solid", "liquid") and 500 < job["values"]["coexistence_temperature"]["value"] < 2500
    assert set(pandas.read_csv(out / "Cu/Cu-eam/coexistence-1358K/thermo.csv").stage) == {"equilibrate", "melt", "settle", "sample"}
