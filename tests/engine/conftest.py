"""Shared by the tests of the native engine."""

import pytest

import mace_payloads


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    return mace_payloads.make(tmp_path_factory.mktemp("variants"))
