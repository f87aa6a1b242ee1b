"""The environment for MACE, created when it is missing."""

import pytest

from metalff import environments


@pytest.fixture(scope="session")
def mace_environment():
    return environments.create("mace")
