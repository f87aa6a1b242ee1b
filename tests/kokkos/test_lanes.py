"""The kernels of a device on lanes that are threads of the host: what one lane must wait for is found missing by a race detector."""

import subprocess

import pytest

import build_lammps
from metalff.paths import shared


@pytest.fixture(scope="module")
def check(program):
    """tests/kokkos/device_check.cpp: every kernel of MACE and NEP, four lanes each."""
    build = program.plugin.parent
    made = subprocess.run([build_lammps.tool("cmake"), "--build", build, "--target", "device_check", "-j", "2"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    lib = build / "lib"
    if not lib.exists():
        lib.symlink_to(program.plugin / "lib")
    return build / "device_check"


@pytest.mark.parametrize("precision, energy, gradient", [("double", 1e-13, 1e-11), ("single", 1e-6, 1e-5)])
@pytest.mark.parametrize("model", ["Cu-mace", "Cu-nep", "LiNiCuNbMoTaW-mace", "LiNiCuNbMoTaW-nep"])
def test_lanes_agree_and_do_not_race(model, precision, energy, gradient, check, program):
    path = shared("potentials", "mlff", f"{model}.mlff")
    done = subprocess.run([check, path, precision], capture_output=True, text=True, env=program.environment(), timeout=300)
    assert done.returncode == 0 and "ThreadSanitizer" not in done.stderr, done.stdout + done.stderr[-4000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["loose", "small", "alone"] and int(lines[0][2]) > 20
    for _, _, _, of_energy, of_gradient in lines:
        assert float(of_energy) < energy and float(of_gradient) < gradient
