"""MetalFF without its extra ``torch``: what deployed MACE and NEP need runs, and what needs torch says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from metalff.calculator import MLFFCalculator

COMMANDS = """
import contextlib, io, sys
from metalff.cli import main

for words in map(str.split, sys.argv[1].splitlines()):
    sys.argv, said = ["metalff", *words], io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{words}: {end.code}{said.getvalue()}")
assert sys.modules["torch"] is None
"""

REFUSED = """
import sys
from metalff.cli import main

for words in map(str.split, sys.argv[1].splitlines()):
    sys.argv = ["metalff", *words]
    try:
        main()
    except SystemExit as end:
        print(end.code)
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """Of a process and its children in which there is no torch."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def python(*arguments, **options):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)


@pytest.fixture
def frames(tmp_path) -> Path:
    """Two rattled crystals with labels."""
    found = []
    for seed in range(2):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = MLFFCalculator("Cu/nep")
        atoms.get_potential_energy()
        found.append(atoms)
    write(tmp_path / "frames.extxyz", found)
    return tmp_path / "frames.extxyz"


PLAN = """
element: Cu
lattice: fcc
a0: 3.63
replicas: 2
potentials: [Cu/nep, Cu/eam]
temperatures: [300]
steps: {equilibrate: 10, sample: 10, drift: 10}
dump_interval: 10
thermo_interval: 10
"""


def test_what_runs(variables, bundled_model, frames, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    commands = f"""inspect {bundled_model}
        check {bundled_model}
        potentials list
        data list
        sweep plan.yaml --out sweep
        validate Cu/mace Cu/eam --data {frames.name} --out validate
        report sweep validate -o report.html"""
    done = python("-c", COMMANDS, commands, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "report.html").stat().st_size > 10000


def test_what_needs_it_says_so(variables, frames, tmp_path):
    (tmp_path / "module.py").write_text("")
    commands = f"""train nep --data {frames} --out nep
        train torch module.py:Model --data {frames} --out own
        deploy torch module.py:Model -o own.mlff
        deploy eam {frames} -o eam.mlff
        speed --engine torch"""
    done = python("-c", REFUSED, commands, cwd=tmp_path, env=variables)
    answers = done.stdout.splitlines()
    assert len(answers) == 5, done.stdout + done.stderr
    for answer in answers:
        assert answer.startswith("metalff: error: ") and "needs torch, which is not installed" in answer, answer
        assert "pip install 'metalff[torch]'" in answer
    assert not {path.name for path in tmp_path.iterdir()} & {"nep", "own", "own.mlff", "eam.mlff", "speed"}
