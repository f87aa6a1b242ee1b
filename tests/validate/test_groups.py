"""Errors group by group: shares that add up, temperatures within their group, and groups without forces."""

from types import SimpleNamespace

import numpy as np
import pytest

from metalff import data
from metalff.validate.groups import group_errors, groups_of, indented, still, still_sentence
from metalff.validate.metrics import STILL, frame_errors


def frames(*conditions):
    """(group, temperature, elements) of each frame, as far as labels ask."""
    return [SimpleNamespace(group=g, temperature=t, elements=list(e)) for g, t, e in conditions]


def test_temperatures_follow_their_group():
    copper = data.read("zuo2020-Cu:test")
    parts = groups_of(copper.frames)
    assert list(parts) == ["aimd", "aimd 300 K", "aimd 1000 K", "aimd 3000 K", "strain", "surface", "vacancy"]
    assert [len(chosen) for chosen in parts.values()] == [12, 3, 3, 6, 13, 2, 4]
    for label, chosen in parts.items():
        group, _, kelvin = label.partition(" ")
        assert {copper.frames[k].group for k in chosen} == {group}
        assert not kelvin or {f"{copper.frames[k].temperature:g} K" for k in chosen} == {kelvin}
    assert [indented(label, parts) for label in list(parts)[:5]] == ["aimd", "  300 K", "  1000 K", "  3000 K", "strain"]


@pytest.mark.parametrize(
    "conditions, labels",
    [
        ([("", None, ["Cu"])] * 2, []),
        ([("", 300.0, ["Cu"]), ("", 900.0, ["Cu"])], ["300 K", "900 K"]),
        ([("melt", 900.0, ["Cu"])], ["melt"]),
        ([("melt", 900.0, ["Cu"]), ("", None, ["Cu"])], ["melt", "other"]),
        ([("melt", 900.0, ["Cu"]), ("melt", None, ["Cu"])], ["melt", "melt 900 K"]),
        ([("fcc", 300.0, ["Cu"]), ("fcc", 300.0, ["Ni"]), ("", None, ["Ni", "Cu"])], ["Cu fcc", "Ni fcc", "Ni-Cu other"]),
    ],
)
def test_labels(conditions, labels):
    assert list(groups_of(frames(*conditions))) == labels


def test_errors_and_shares():
    """Two groups of one and two frames with errors that are known; the shares add up to one."""
    forces = [np.full((2, 3), 1.0), np.full((4, 3), 2.0), np.zeros((2, 3))]
    predicted = [forces[0] + 0.1, forces[1] - 0.2, forces[2] + 0.3]
    stress = [np.eye(3), None, None]
    errors = frame_errors([0.0, 4.0, 2.0], [0.2, 4.4, 2.0], forces, predicted, stress, [np.eye(3) + 0.003, np.eye(3), None])
    found = group_errors({"hot": np.array([0, 1]), "still": np.array([2])}, errors, np.full(3, -0.1))
    square = 2 * 0.01 + 4 * 0.04
    assert found["hot"] == {
        "frames": 2,
        "atoms": 6,
        "force_rms": pytest.approx(np.sqrt((2 + 16) / 6)),
        "force_rmse": pytest.approx(np.sqrt(square / 6)),
        "force_mae": pytest.approx((2 * 0.1 + 4 * 0.2) / 6),
        "normalised": pytest.approx(np.sqrt(square / 18)),
        "share": pytest.approx(square / (square + 2 * 0.09)),
        "energy_rmse": pytest.approx(0.1),
        "energy_mae": pytest.approx(0.1),
        "energy_rmse_offset": pytest.approx(0, abs=1e-12),
        "energy_mae_offset": pytest.approx(0, abs=1e-12),
        "stress_rmse": pytest.approx(0.003),
        "stress_mae": pytest.approx(0.003),
        "stress_frames": 1,
    }
    assert found["hot"]["share"] + found["still"]["share"] == pytest.approx(1)
    assert still(found) == ["still"] and "normalised" not in found["still"] and "stress_rmse" not in found["still"]
    assert f"for still: symmetry makes the forces there vanish (RMS below {STILL:g} eV/Å)" in still_sentence(still(found))
    assert still_sentence([]) == ""


def test_no_error_has_no_shares():
    zero = [np.ones((2, 3))]
    errors = frame_errors([1.0], [1.0], zero, zero, [None], [None])
    assert "share" not in group_errors({"all": np.array([0])}, errors)["all"]
