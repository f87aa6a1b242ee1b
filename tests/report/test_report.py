"""The page: one file, valid, complete, with the numbers of the results."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from html_pages import Reader
from metalff.cli import report
from metalff.errors import MetalffError
from metalff.report import analysis
from metalff.report.page import columns_for, digits, thousands, write_report
from metalff.report.results import read_results


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def page(sweep, validation, tmp_path_factory):
    return write_report([validation, sweep], tmp_path_factory.mktemp("report") / "report.html")


def test_is_one_file(page):
    """Nothing is loaded: references are inside the page, data, links to results, or citations to click on."""
    content = page.read_text("utf-8")
    for reference in read(page).references:
        if reference.startswith("https:"):
            assert reference.startswith("https://doi.org/")
        elif not reference.startswith(("#", "data:")):
            assert (page.parent / reference).is_file(), reference
    assert "<script" not in content and "@import" not in content and "url(http" not in content


def test_shows_every_part(page):
    text = " ".join("".join(read(page).text).split())
    for words in (
        "On the 31 frames of zuo2020-Cu:test, EAM (Mishin 2001) has a force RMSE of 0.0909 eV/Å (10 % of the RMS force).",
        "Radial distribution function",
        "Mean squared displacement",
        "Thermal expansion",
        "Energy conservation",
        "Speed",
        "213fbe42fa3df6dfc12138426db23659ff16e46feefe7f5fb7c34fb769911d41",
        "Phys. Rev. B 63, 224106 (2001)",
        "metalff sweep sweep.yaml",
        "4 runs",
    ):
        assert words in text
    # parity 2, errors 2, g(r) 2, MSD 2, volume, NVE 2, speed
    assert read(page).tags.count("svg") == 12
    assert "nan" not in re.findall(r"[a-zA-Z]+", text)


def test_errors_by_group(page, validation):
    """Each group with its temperatures below it, the numbers of the document, and why one has no relative error."""
    text = " ".join(" ".join(read(page).text).split())
    groups = json.loads((validation / "validate.json").read_text())["potentials"][0]["groups"]
    assert list(groups) == ["aimd", "aimd 300 K", "aimd 1000 K", "aimd 3000 K", "strain", "surface", "vacancy"]
    hot = groups["aimd 3000 K"]
    numbers = f"3000 K 6 1.71 {hot['force_rmse']:.4f} {hot['force_mae']:.4f} · {100 * hot['normalised']:.1f} % · {100 * hot['share']:.0f} %"
    assert numbers in text and "No error relative to the forces of strain: symmetry makes these vanish" in text


def test_what_others_published_stands_apart(page):
    text = " ".join(" ".join(read(page).text).split())
    assert "published predictions, JARVIS leaderboard" in text and "nothing of it was run here" in text
    assert re.search(r"SevenNet 0\.157 0\.\d+ 17\.9", text)


def test_a_published_model_is_a_reference(validation, tmp_path):
    """A bundled MTP of others runs as ours do, and is compared with, not led by."""
    out = shutil.copytree(validation, tmp_path / "out")
    document = json.loads((out / "validate.json").read_text())
    eam, meam = document["potentials"]
    eam["kind"] = meam["kind"] = "mlff"
    meam["doi"] = ""
    (out / "validate.json").write_text(json.dumps(document))
    text = " ".join("".join(read(write_report([out], tmp_path / "report.html")).text).split())
    assert "MEAM (Jelinek 2012) has a force RMSE of 0.198" in text and "2.2 times more than the best reference potential, EAM (Mishin 2001)" in text


def test_results_of_an_older_metalff(validation, tmp_path):
    """They have no groups with shares; the page is there without that table."""
    out = shutil.copytree(validation, tmp_path / "out")
    document = json.loads((out / "validate.json").read_text())
    for potential in document["potentials"]:
        del potential["groups"]
    (out / "validate.json").write_text(json.dumps(document))
    text = "".join(read(write_report([out], tmp_path / "report.html")).text)
    assert "Errors by group" not in text and "Where the errors are" in text


def test_colours_follow_the_page(page):
    content = page.read_text("utf-8")
    assert "#010203" not in content and "#030201" not in content and "prefers-color-scheme: dark" in content


def test_numbers_come_along(page, sweep):
    link = next(reference for reference in read(page).references if reference.startswith("data:application/json;base64,"))
    results = json.loads(base64.b64decode(link.split(",", 1)[1]))
    assert results["validations"][0]["potentials"][0]["overall"]["force_rmse"]["value"] == pytest.approx(0.0909, abs=1e-4)
    found = results["sweeps"][0]
    assert found["hash"] == json.loads((sweep / "sweep.json").read_text())["hash"]
    assert set(found["results"]) == {"Cu-eam/300K", "Cu-eam/900K", "Cu-meam/300K", "Cu-meam/900K"}
    assert found["results"]["Cu-eam/300K"]["density_g_per_cm3"] == pytest.approx(8.8, abs=0.3)


def test_parts_alone(sweep, validation, tmp_path):
    for folder, missing in ((sweep, "Accuracy on"), (validation, "Radial distribution")):
        text = "".join(read(write_report([folder], tmp_path / "report.html")).text)
        assert missing not in text


def test_unfinished_unstable_and_hostile_text(sweep, tmp_path):
    out = shutil.copytree(sweep, tmp_path / "out")
    record = json.loads((out / "sweep.json").read_text())
    jobs = record["jobs"]
    jobs["Cu-eam/300K"] = {
        "potential": "Cu-eam",
        "temperature": 300.0,
        "status": "failed",
        "error": "Lost <b>atoms</b>",
    }
    jobs["Cu-eam/900K"] = {"potential": "Cu-eam", "temperature": 900.0, "status": "waiting"}
    jobs["Cu-meam/900K"]["unstable"] = "the temperature reached 9000 K"
    (out / "sweep.json").write_text(json.dumps(record))
    path = write_report([out], tmp_path / "report.html", title="A & <i>B</i>")
    text = " ".join("".join(read(path).text).split())
    assert "Cu-eam/300K failed: Lost <b>atoms</b>. It is missing below." in text
    assert "Not yet run to the end, and missing below: Cu-eam/900K." in text
    assert "Cu-meam/900K is not stable: the temperature reached 9000 K." in text
    assert "A & <i>B</i>" in text and "<i>B</i>" not in path.read_text()


def test_refuses_an_empty_folder(tmp_path):
    with pytest.raises(MetalffError, match="holds none of sweep.json, validate.json"):
        write_report([tmp_path], tmp_path / "report.html")


def test_refuses_altered_results(sweep, tmp_path):
    out = shutil.copytree(sweep, tmp_path / "out")
    with open(out / "Cu-eam/300K/thermo.csv", "a") as stream:
        stream.write("1\n")
    with pytest.raises(MetalffError, match="thermo.csv is not the file that the sweep wrote"):
        write_report([out], tmp_path / "report.html")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda out: (out / "validate.json").write_text("{"), "validate.json is damaged"),
        (
            lambda out: (out / "validate.json").write_text('{"schema": 9, "potentials": []}'),
            "has schema 9, this report reads 1",
        ),
        (lambda out: (out / "forces.parquet").unlink(), "forces.parquet is missing or damaged"),
        (lambda out: (out / "forces.parquet").write_bytes(b"PAR1"), "forces.parquet is missing or damaged"),
    ],
)
def test_refuses_a_damaged_validation(validation, tmp_path, damage, message):
    out = shutil.copytree(validation, tmp_path / "out")
    damage(out)
    with pytest.raises(MetalffError, match=message):
        write_report([out], tmp_path / "report.html")


def test_row_groups_do_not_matter(validation, tmp_path):
    """Of one potential each, or of several; a potential that has no row is refused."""
    out = shutil.copytree(validation, tmp_path / "out")
    table = pyarrow.parquet.read_table(out / "forces.parquet")
    pyarrow.parquet.write_table(table, out / "forces.parquet", row_group_size=1000)
    one, other = (read_results([folder]).validations[0] for folder in (validation, out))
    for name in (potential["name"] for potential in one.document["potentials"]):
        whole = table.to_pandas()
        whole = whole[whole.potential == name]
        for columns, found, same in zip(("reference_f{}", "predicted_f{}"), one.forces(name), other.forces(name)):
            assert np.array_equal(found, whole[[columns.format(x) for x in "xyz"]]) and np.array_equal(found, same)
        assert np.array_equal(other.forces(name)[2], whole.frame)
    pyarrow.parquet.write_table(table.slice(0, 1000), out / "forces.parquet")
    with pytest.raises(MetalffError, match="forces.parquet does not belong to"):
        read_results([out])


def test_command(validation, tmp_path):
    app = typer.Typer()
    report.register(app)
    result = CliRunner().invoke(app, [str(validation), "-o", str(tmp_path / "r.html"), "--title", "Mine"])
    assert result.exit_code == 0 and "r.html" in result.output
    assert "<h1>Mine</h1>" in (tmp_path / "r.html").read_text()


def test_refuses_a_folder_as_output(validation, tmp_path):
    with pytest.raises(MetalffError, match="is a folder; give the name of a file"):
        write_report([validation], tmp_path)


def test_numbers_as_text():
    assert [digits(x) for x in (0.09089, 1234.5, -0.00012345, 0, None)] == ["0.0909", "1,234", "−0.000123", "0", "–"]
    assert [thousands(x) for x in (41905.2, 5.0, None)] == ["41,900", "5", "–"]


HOSTILE = '" onload="alert(1)" $\\frac{x'


def test_a_name_is_text_everywhere(validation, tmp_path):
    """In attributes of the plots, too; and no formula is set out of it."""
    folder = tmp_path / "validate"
    shutil.copytree(validation, folder)
    document = folder / "validate.json"
    found = json.loads(document.read_text("utf-8"))
    for potential in found["potentials"]:
        potential["label"] += HOSTILE
    document.write_text(json.dumps(found), "utf-8")
    reader = AttributeReader()
    reader.feed(write_report([folder], tmp_path / "report.html").read_text("utf-8"))
    assert any(HOSTILE in label for label in reader.labels) and not reader.handlers


class AttributeReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.labels, self.handlers = [], []

    def handle_starttag(self, tag, attributes):
        self.labels += [value for key, value in attributes if key == "aria-label"]
        self.handlers += [key for key, _ in attributes if key.startswith("on")]


def test_paper_has_every_column(page):
    """Nothing scrolls on paper, and lines break instead."""
    rules = page.read_text("utf-8").split("@media print {")[1].split("</style>")[0]
    assert ".scroll { overflow: visible; }" in rules and "white-space: normal" in rules


@pytest.mark.parametrize("count, columns", [(1, ""), (2, " two"), (3, ""), (4, " two"), (5, ""), (6, ""), (7, " four"), (9, ""), (10, " four")])
def test_no_panel_stands_alone_in_the_last_row(count, columns):
    assert columns_for(count) == columns


def test_a_crystal_has_no_diffusion(sweep):
    """Atoms that vibrate about their sites: the slope of their mean squared displacement is noise."""
    for runs in analysis.by_potential(read_results([sweep]).sweeps[0]).values():
        assert all(item.msd is not None and item.diffusion is None for item in runs)
