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

LONGEST = """
lammps/test_parity.py train/test_mace_training.py study/test_learnability.py train/test_deepmd_training.py
train/test_nep_training.py train/test_sevennet_training.py potentials/test_universal.py deploy/test_torch_module.py
engine/test_compiled_cache.py properties/test_measurements.py properties/test_dynamics.py install/test_without_torch.py
report/test_campaign.py sweep/test_campaign.py faults/test_faults.py deploy/test_deepmd.py deploy/test_sevennet.py
faults/test_signals.py lammps/test_robust.py lammps/test_guards.py
""".split()
"""Files that begin first where several processes share the suite, so that none of them is what all others wait for at its end."""


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


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
