"""Two campaigns beside each other."""

import re

import numpy as np
import pandas
import pytest
import typer
from typer.testing import CliRunner

import campaigns
from metalff.cli import report
from metalff.errors import MetalffError
from metalff.report.compare import paired_ratio
from metalff.report.compare_page import compare_page, write_comparison


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The same frames, another seed of the models' errors; B lacks a metal and a model, and its EAM is three times worse."""
    folder = tmp_path_factory.mktemp("two")
    campaigns.write_validation(folder / "a", ["Cu", "Ag"], seed=2)
    worse = {"mace": ("mlff", 0.06, 4e3), "eam": ("eam", 1.05, 9e5)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaigns, "MODELS", {**campaigns.MODELS, **worse})
        campaigns.write_validation(folder / "b", ["Cu"], worse, seed=3)
    return folder / "a", folder / "b"


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]).split())


def test_what_is_better_worse_and_only_in_one(two):
    text = words(compare_page(two))
    assert "2 pairs of metal and model in both: 0 better in B, 1 worse, 1 without a difference" in text
    assert "2 of them compared frame by frame on the same frames." in text and "paired, 12 common frames" in text
    assert re.search(r"A: nep for Cu Ag; meam for Cu Ag|A: .*mace for Ag", text) and "B: nothing that the other has not" in text
    assert "Reference data: random metals" in text
    assert "no number" not in text


def test_pairing_sees_what_intervals_cannot():
    """Frames of very different difficulty: the ratio is 0.9 in each, and so is its whole interval."""
    rng = np.random.default_rng(1)
    size = rng.lognormal(0, 1.5, 40)
    table = {"source": "set", "index": range(40), "atoms": 10, "group": "", "temperature": np.nan, "force_rms_reference": size}
    a = pandas.DataFrame(table | {"force_rmse": 0.1 * size})
    b = pandas.DataFrame(table | {"force_rmse": 0.09 * size})
    ratio, count = paired_ratio(a, b)
    assert count == 40 and ratio == pytest.approx([0.9] * 3)
    assert paired_ratio(a, b.assign(force_rms_reference=2 * size)) is None


def test_nothing_in_common(two, tmp_path):
    campaigns.write_validation(tmp_path / "c", ["W"])
    with pytest.raises(MetalffError, match="have no number in common: models mace, nep, eam, meam for Cu Ag, and mace"):
        write_comparison([two[0], tmp_path / "c"], tmp_path / "compare.html")
    with pytest.raises(MetalffError, match="takes two folders, not 1"):
        write_comparison([two[0]], tmp_path / "compare.html")


def test_command(two, tmp_path):
    app = typer.Typer()
    report.register(app)
    result = CliRunner().invoke(app, ["--compare", *map(str, two), "-o", str(tmp_path / "compare.html")])
    assert result.exit_code == 0, result.output
    assert "b against a" in (tmp_path / "compare.html").read_text()
