"""A small sweep and a small validation, made once."""

import pytest
import typer
import yaml
from typer.testing import CliRunner

PLAN = {
    "element": "Cu",
    "lattice": "fcc",
    "a0": 3.615,
    "replicas": 2,
    "potentials": ["Cu/eam", "Cu/meam"],
    "temperatures": [300, 900],
    "steps": {"equilibrate": 200, "sample": 200, "drift": 100},
    "dump_interval": 20,
    "thermo_interval": 10,
    "out": "out",
}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    from metalff.sweep.sweep import run_sweep

    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(PLAN))
    out, complete = run_sweep(folder / "sweep.yaml", command=["metalff", "sweep", "sweep.yaml"])
    assert complete
    return out


@pytest.fixture(scope="session")
def validation(tmp_path_factory):
    from metalff.cli import validate

    out = tmp_path_factory.mktemp("validation") / "out"
    app = typer.Typer()
    validate.register(app)
    result = CliRunner().invoke(app, ["Cu/eam", "Cu/meam", "--data", "zuo2020-Cu:test", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out
