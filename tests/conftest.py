"""Shared by all rooms: the bundled model and the EAM oracle."""

import os
import signal
from pathlib import Path

import pytest

from metalff.lammps import potentials_dir
from metalff.paths import shared

os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell's background jobs ignore Ctrl-C, and so would the processes that tests start and interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

EAM_FILE = "Cu_mishin1.eam.alloy"


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    return shared("potentials", "mlff", "Cu-mace.mlff")


@pytest.fixture(scope="session")
def eam_commands() -> list[str]:
    return ["pair_style eam/alloy", f"pair_coeff * * {potentials_dir() / EAM_FILE} Cu"]


@pytest.fixture(scope="session")
def oracle(tmp_path_factory) -> Path:
    """EAM as an artefact: the same numbers as pair_style eam/alloy through the path of a machine-learned model."""
    pytest.importorskip("torch", reason="the oracle is a torch program")
    from metalff.deploy import eam

    path = tmp_path_factory.mktemp("oracle") / "Cu-eam.mlff"
    eam.deploy(potentials_dir() / EAM_FILE, path, say=lambda line: None)
    return path
