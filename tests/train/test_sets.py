"""The data of a training as the user gives them: keys and stresses that do not fit are refused before anything is written."""

from dataclasses import replace

import pytest

from metalff import data
from metalff.data import Keys
from metalff.errors import MetalffError
from metalff.train.sets import gather

KBAR = 1602.1766


@pytest.fixture
def in_kbar(tmp_path):
    frames = [replace(frame, stress=-KBAR * frame.stress) for frame in data.load("zuo2020-Cu", "test")]
    data.write_extxyz(frames, tmp_path / "kbar.xyz")
    return str(tmp_path / "kbar.xyz")


def test_stresses_of_another_unit_and_sign_are_refused(in_kbar):
    with pytest.raises(
        MetalffError, match="in kbar and they seem to have the other sign .*--stress-factor -0.000624151 mends that, or leave .*--stress-weight 0"
    ):
        gather([in_kbar], [])
    with pytest.raises(MetalffError, match="kbar"):
        gather(["zuo2020-Cu:train"], [in_kbar])
    assert len(gather([in_kbar], [], stresses=False).train) == 31
    assert len(gather([f"{in_kbar}[stress_factor=-6.24151e-4]"], []).train) == 31
    # the factor is for files; the bundled set beside it keeps its stresses
    assert len(gather([in_kbar, "zuo2020-Cu:train[frames=0:40]"], [], "ignore", Keys(stress_factor=-1 / KBAR)).train) == 71


def test_keys_of_a_training(tmp_path):
    data.write_extxyz(data.load("zuo2020-Cu", "test"), tmp_path / "cu.xyz")
    text = (tmp_path / "cu.xyz").read_text().replace("REF_energy", "e_x").replace("REF_forces", "f_x").replace("REF_stress", "s_x")
    (tmp_path / "cu.xyz").write_text(text)
    with pytest.raises(MetalffError, match="no energy in the header"):
        gather([str(tmp_path / "cu.xyz")], [])
    found = gather([str(tmp_path / "cu.xyz")], [], keys=Keys("e_x", "f_x", "s_x")).train
    assert found.sha256 == data.load("zuo2020-Cu", "test").sha256
