"""Models that several tests of pair_style mlff share."""

import subprocess
from pathlib import Path

import pytest

import stillinger_weber
from metalff.environments import create, environment_python
from metalff.lammps import potentials_dir
from nep_variants import write_nep

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="session")
def second(once):
    """Another EAM as an artefact: copper is its second element, and its cutoff is longer than that of ``oracle``."""
    from metalff.deploy import eam

    def made(folder):
        eam.deploy(potentials_dir() / "CuNi.eam.alloy", folder / "CuNi-eam.mlff", say=lambda line: None)
        return folder / "CuNi-eam.mlff"

    return once("second", made)


@pytest.fixture(scope="session")
def second_commands():
    return ["pair_style eam/alloy", f"pair_coeff * * {potentials_dir() / 'CuNi.eam.alloy'} Cu"]


@pytest.fixture(scope="session")
def angular(tmp_path_factory):
    """Stillinger-Weber as an artefact, and the commands of pair_style sw for the same potential."""
    return stillinger_weber.deploy(tmp_path_factory.mktemp("angular"))


@pytest.fixture(scope="session")
def local_mace(once):
    """A strictly local learned model: one layer of MACE with random weights, for nickel and copper."""
    return once("mace-1", lambda folder: random_mace(1, folder))


@pytest.fixture(scope="session")
def two_layer_mace(once):
    """A small MACE that passes messages, with random weights, for nickel and copper."""
    return once("mace-2", lambda folder: random_mace(2, folder))


def random_mace(layers, folder):
    from metalff.deploy import mace

    create("mace")
    worker = Path(__file__).with_name("random_mace.py")
    command = [environment_python("mace"), "-P", worker, layers, folder / "random.model"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    mace.deploy(folder / "random.model", folder / "CuNi-mace.mlff", say=lambda line: None)
    return folder / "CuNi-mace.mlff"


@pytest.fixture(scope="session")
def nep(once):
    """A neuroevolution potential with random parameters, for nickel and copper."""
    from metalff.deploy import nep

    def made(folder):
        create("nep")
        text = write_nep(folder / "nep.txt", elements=("Ni", "Cu"), l_max="4 2 1", zbl="1.0 2.0")
        nep.deploy(text, folder / "CuNi-nep.mlff", say=lambda line: None)
        return folder / "CuNi-nep.mlff"

    return once("nep", made)


@pytest.fixture(scope="session")
def user_eam(tmp_path_factory):
    """The example of docs/contract.md: the oracle's potential, written as a user writes a module."""
    from metalff.deploy import torch_module

    path = tmp_path_factory.mktemp("user") / "Cu-user.mlff"
    torch_module.deploy(EXAMPLES / "eam_module.py:Copper", path, say=lambda line: None)
    return path


@pytest.fixture(scope="session")
def nequip(tmp_path_factory):
    """A message-passing model of nequip with random weights, for nickel and copper."""
    return random_nequip("nequip", tmp_path_factory.mktemp("nequip"))


@pytest.fixture(scope="session")
def allegro(tmp_path_factory):
    """A strictly local model of nequip-allegro with random weights, for nickel and copper."""
    return random_nequip("allegro", tmp_path_factory.mktemp("allegro"))


@pytest.fixture(scope="session")
def sevennet(tmp_path_factory):
    """A message-passing model of sevenn with random weights, for nickel and copper."""
    from metalff.deploy import sevennet

    create("sevennet")
    folder = tmp_path_factory.mktemp("sevennet")
    worker, weights = Path(__file__).with_name("random_sevennet.py"), folder / "weights.safetensors"
    command = [environment_python("sevennet"), "-P", worker, Path(sevennet.__file__).parent, weights]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    sevennet.deploy(weights, folder / "CuNi-sevennet.mlff", say=lambda line: None)
    return folder / "CuNi-sevennet.mlff"


def random_nequip(family, folder):
    from metalff.deploy import nequip

    create(family)
    worker, weights = Path(__file__).with_name("random_nequip.py"), folder / "weights.safetensors"
    command = [environment_python(family), "-P", worker, Path(nequip.__file__).parent, family, weights]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    nequip.deploy(family, weights, folder / f"CuNi-{family}.mlff", say=lambda line: None)
    return folder / f"CuNi-{family}.mlff"


@pytest.fixture(scope="session")
def deepmd(tmp_path_factory):
    """A DeePMD model with random weights, for nickel and copper; an embedding network for each pair of them."""
    from metalff.deploy import deepmd

    create("deepmd")
    folder = tmp_path_factory.mktemp("deepmd")
    worker = Path(__file__).with_name("random_deepmd.py")
    command = [environment_python("deepmd"), "-P", worker, Path(deepmd.__file__).parent, folder / "model.pt"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    deepmd.deploy(folder / "model.pt", folder / "CuNi-deepmd.mlff", say=lambda line: None)
    return folder / "CuNi-deepmd.mlff"
