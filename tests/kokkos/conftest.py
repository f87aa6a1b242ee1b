"""A LAMMPS with KOKKOS for the tests of mlff/kk."""

import subprocess
from pathlib import Path

import pytest

import build_lammps
from kokkos_program import Program


@pytest.fixture(scope="session")
def program():
    build, plugin = build_lammps.lammps(), build_lammps.plugin()
    if not build or not plugin:
        pytest.skip("no Kokkos LAMMPS: run 'make test-kokkos', which builds it")
    return Program(build, plugin)


@pytest.fixture(scope="session")
def counter(program, tmp_path_factory) -> Path:
    """A library for Kokkos' tools that counts copies and kernels."""
    library = tmp_path_factory.mktemp("counter") / "count_copies.so"
    source = Path(__file__).with_name("count_copies.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library
