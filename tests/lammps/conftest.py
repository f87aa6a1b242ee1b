"""Models that several tests of pair_style mlff share."""

import pytest

from metalff.lammps import potentials_dir


@pytest.fixture(scope="session")
def second(tmp_path_factory):
    """Another EAM as an artefact: copper is its second element, and its cutoff is longer than that of ``oracle``."""
    from metalff.deploy import eam

    path = tmp_path_factory.mktemp("second") / "CuNi-eam.mlff"
    eam.deploy(potentials_dir() / "CuNi.eam.alloy", path, say=lambda line: None)
    return path


@pytest.fixture(scope="session")
def second_commands():
    return ["pair_style eam/alloy", f"pair_coeff * * {potentials_dir() / 'CuNi.eam.alloy'} Cu"]
