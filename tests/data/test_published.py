"""The public table of errors: of the very frames that the project ships, whole, and as measured live where that was done."""

import numpy as np
import pytest

from metalff.data import load
from metalff.data.published import LABELS, WHOLE, published, table

LIVE = {"Cu": 0.157, "Mo": 0.587}
"""Force RMSE of 7net-0 that ``metalff validate`` finds on the test frames, eV/Å."""


@pytest.mark.parametrize("element, split", table())
def test_the_frames_are_those_of_the_bundled_set(element, split):
    frames = load(f"zuo2020-{element}", split)
    models = published(frames.sha256)
    assert {other.model for other in models} == set(LABELS)
    assert [other.force_rmse for other in models] == sorted(other.force_rmse for other in models)
    rms = np.sqrt(np.mean(np.concatenate([frame.forces for frame in frames]) ** 2))
    for other in models:
        whole = other.groups[WHOLE]
        assert (whole["frames"], whole["atoms"]) == (len(frames), sum(map(len, frames)))
        assert whole["force_rms"] == pytest.approx(rms, abs=6e-6) and other.normalised == pytest.approx(other.force_rmse / rms, rel=1e-4)
        parts = [errors for group, errors in other.groups.items() if group != WHOLE]
        assert sum(part["frames"] for part in parts) == whole["frames"]
        square = sum(part["force_rmse"] ** 2 * part["atoms"] for part in parts)
        assert np.sqrt(square / whole["atoms"]) == pytest.approx(whole["force_rmse"], abs=2e-5)
        assert whole["force_mae"] < whole["force_rmse"]
    if split == "test":
        counts = {group: sum(frame.group == group for frame in frames) for group in models[0].groups if group != WHOLE}
        assert counts == {group: errors["frames"] for group, errors in models[0].groups.items() if group != WHOLE}


@pytest.mark.parametrize("element", LIVE)
def test_what_is_measured_live(element):
    found = {other.model: other.force_rmse for other in published(load(f"zuo2020-{element}", "test").sha256)}
    assert found["sevennet"] == pytest.approx(LIVE[element], abs=5e-4)


def test_other_frames_have_nothing_published():
    assert published(load("zuo2020-Cu").sha256) == () == published(load("li2020-W", "test").sha256) == published("")
