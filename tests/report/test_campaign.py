"""The page of a campaign of 43 metals × 4 models × 4 temperatures: its size, its tables without scripts, and all of it in Chromium."""

import json
import re
import shutil

import pytest

import campaigns
import chromium
from html_pages import Reader
from metalff.errors import MetalffError
from metalff.report.campaign import METRICS, campaign
from metalff.report.campaign_page import LIMIT, campaign_page
from metalff.report.page import write_report
from metalff.report.results import read_results

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    return write_report(campaigns.write_campaign(folder, frames=4), folder / "report.html", title="Forty-three metals")


@pytest.fixture(scope="module")
def browser():
    if not chromium.program():
        pytest.skip("there is no chromium on this machine")
    started = chromium.Chromium()
    yield started
    started.close()


@pytest.fixture
def opened(browser, page):
    browser.resize(1400)
    browser.open(page)
    yield browser
    assert not browser.problems and not browser.requests


def test_a_study_of_errors(tmp_path, browser):
    """Rows of ``metalff study errors``: universal models have their own column, a metal without a number is missing, not zero."""
    row = {
        "family": "nep",
        "universal": False,
        "group": "",
        "frames": 9,
        "atoms": 90,
        "force_rms": 1.0,
        "force_rmse_low": 0.1,
        "force_rmse_high": 0.12,
    }
    row |= {"force_mae": 0.08, "energy_rmse_offset": 0.001, "normalised_low": 0.1, "normalised_high": 0.12, "stress_rmse": None}
    rows = [
        row | {"element": symbol, "model": "nep", "temperature": t, "force_rmse": 0.11, "normalised": 0.11}
        for symbol in ("Cu", "Ag")
        for t in (None, 300.0)
    ]
    rows.append(row | {"element": "Cu", "model": "7net-0", "universal": True, "temperature": None, "force_rmse": 0.2, "normalised": 0.2})
    rows.append(row | {"element": "Cu", "model": "nep", "temperature": None, "group": "surface", "force_rmse": 9.0, "normalised": 9.0})
    models = [{"model": "7net-0", "element": "Cu", "universal": True, "potential": {"kind": "universal", "sha256": "ab"}}]
    (tmp_path / "errors.json").write_text(json.dumps({"schema": 1, "rows": rows, "models": models}))
    path = write_report([tmp_path], tmp_path / "report.html")
    browser.open(path)
    assert browser.evaluate("document.querySelectorAll('#ranking-table tbody tr').length") == 3
    browser.evaluate(
        "(() => { const s = document.getElementById('model'); s.value = [...s.options].find((o) => o.text === '7net-0').value; s.dispatchEvent(new Event('change')); })()"
    )
    assert browser.evaluate(
        "[...document.querySelectorAll('#cells a')].map((a) => [a.dataset.element, a.querySelector('.value').textContent].join(' '))"
    ) == ["Cu 20.0", "Ag –"]


def test_a_study_of_errors_in_numbers(tmp_path):
    """Two temperatures of one class are pooled by atoms; a damaged document is refused."""
    same = {
        "element": "Cu",
        "model": "nep",
        "family": "nep",
        "universal": False,
        "group": "",
        "force_rms": 1.0,
        "force_mae": 0.1,
        "stress_rmse": 0.002,
    }
    rows = [
        same | {"temperature": t, "frames": n, "atoms": 10 * n, "force_rmse": e, "normalised": e, "energy_rmse_offset": e / 100}
        for t, n, e in ((None, 4, 0.26), (1340.0, 1, 0.1), (1370.0, 3, 0.3))
    ]
    other = [row | {"element": "Ag"} for row in rows[:1]]
    (tmp_path / "errors.json").write_text(json.dumps({"schema": 1, "rows": rows + other, "models": []}))
    made = campaign(read_results([tmp_path]))
    assert made.value("normalised", "nep", "Cu")[0] == 26 and made.value("stress", "nep", "Cu")[0] == 2
    assert made.value("force_rmse", "nep", "Cu", "Tm")[0] == pytest.approx(((0.01 + 3 * 0.09) / 4) ** 0.5, rel=1e-3)
    infinite = rows[:1] + [rows[1] | {"force_rmse": float("1e999")}]
    for damaged in ([], [{"element": "Cu"}], infinite, [rows[0] | {"temperature": "300"}], [rows[0] | {"frames": -1}], "rows"):
        written = json.dumps({"schema": 1, "rows": damaged, "models": []}).replace("Infinity", "1e999")
        (tmp_path / "errors.json").write_text(written)
        with pytest.raises(MetalffError, match="errors.json is damaged; run metalff study errors again"):
            read_results([tmp_path])
    for models in ([3], [{"model": "nep", "element": "Cu", "potential": 3}], "models"):
        (tmp_path / "errors.json").write_text(json.dumps({"schema": 1, "rows": rows, "models": models}))
        with pytest.raises(MetalffError, match="errors.json is damaged"):
            read_results([tmp_path])


def test_is_one_file_below_the_limit(page):
    content = page.read_text("utf-8")
    assert 1_000_000 < len(content.encode()) < LIMIT == 10_000_000
    reader = Reader()
    reader.feed(content)
    assert not reader.open
    for reference in reader.references:
        assert reference.startswith(("#", "data:")) or reference.startswith("https://doi.org/")
    assert not re.search(r"@import|url\(\s*['\"]?http|\bfetch\(|XMLHttpRequest|<script[^>]+src=|<link[^>]+href=\"http", content)


def test_tables_need_no_script(page):
    """What a browser without JavaScript shows: the ranking, and each metal with its errors and properties."""
    content = re.sub(r"<script.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert content.count("<tr data-metal=") == 43 * 4 and content.count('<article class="metal"') == 43
    copper = content.split('id="Cu"')[1].split("</article>")[0]
    text = " ".join(re.sub(r"<[^>]+>", " ", copper).split())
    assert re.search(r"MACE \d[\d.]* \d[\d.]*–\d", text) and "elastic: C11 GPa 168 experiment" in text and "16 runs" in text
    assert " hidden" not in content.split("<body>")[1].split('<div class="page" id="metals">')[1]


def test_failures_are_shown_and_not_scored(page):
    content = page.read_text("utf-8")
    tungsten = content.split('id="W"')[1].split("</article>")[0]
    assert "failed (exploded): the temperature reached 90000 K (step 1,200)" in tungsten and "15 runs" in tungsten
    assert "2 runs of 2 metals failed" in content and "the relaxation does not end" in content


def test_every_switch(opened):
    """All metrics × models × temperatures: colours, numbers and the sentence below follow."""
    names = {
        name: opened.evaluate(f"[...document.getElementById('{name}').options].map((o) => o.value)") for name in ("metric", "model", "temperature")
    }
    assert len(names["metric"]) >= 10 and len(names["model"]) == 5 and len(names["temperature"]) >= 5 and set(names["metric"]) <= set(METRICS)
    seen = {}
    for metric in names["metric"]:
        choices = [(metric, model, name) for model in names["model"] for name in names["temperature"]]
        shown = opened.evaluate(
            f"""{[list(choice) for choice in choices]}.map((chosen) => {{
            ["metric", "model", "temperature"].forEach((n, k) => {{ document.getElementById(n).value = chosen[k]; }});
            document.getElementById("metric").dispatchEvent(new Event("change"));
            const cells = [...document.querySelectorAll("#cells a")];
            return [cells.map((c) => c.querySelector(".value").textContent).join(" "), cells.map((c) => c.style.background).join(" "), document.getElementById("table-note").textContent];
            }})"""
        )
        seen |= dict(zip(choices, shown, strict=True))
    for values, colours, note in seen.values():
        known = re.search(r"(\d+) of 43 metals have a value", note)
        assert known and values.split(" ").count("–") == 43 - int(known[1]) and "NaN" not in values + colours + note
    assert len({values for values, _, _ in seen.values()}) > 60
    assert METRICS["normalised"].name in seen["normalised", "0", "all"][2]
    assert seen["normalised", "0", "all"] != seen["normalised", "0", "0.5 Tm"] != seen["normalised", "2", "0.5 Tm"]
    assert seen["elastic", "0", "all"][0] == seen["elastic", "0", "0.5 Tm"][0]


def test_numbers_of_the_table_are_those_of_the_ranking(opened):
    opened.evaluate("(() => { const s = document.getElementById('model'); s.value = '0'; s.dispatchEvent(new Event('change')); })()")
    cell = opened.evaluate("document.querySelector('#cells a[data-element=Cu] .value').textContent")
    row = "document.querySelector('tr[data-metal=Cu][data-key=mace] td[data-metric=normalised]')"
    assert opened.evaluate(f"{row}.textContent").split()[0] == cell
    opened.hover("#cells a[data-element=Cu]")
    words = opened.evaluate("document.getElementById('tooltip').innerText")
    assert "Cu copper" in words and cell in words and re.search(r"\(\d[\d.]*–\d", words) and words.count("\n") >= 4
    opened.press("Escape")
    assert opened.evaluate("document.getElementById('tooltip').hidden")


def test_ranking_sorts_and_filters(opened):
    shown = "[...document.querySelectorAll('#ranking-table tbody tr')].filter((r) => !r.hidden)"
    columns = opened.evaluate("document.querySelectorAll('#ranking-table th button').length")
    for column in range(1, columns + 1):
        for _ in range(2):
            opened.evaluate(f"document.querySelectorAll('#ranking-table th button')[{column - 1}].click()")
            way = opened.evaluate(f"document.querySelectorAll('#ranking-table th')[{column}].getAttribute('aria-sort')")
            values = opened.evaluate(f"{shown}.map((r) => r.cells[{column}].dataset.value ?? r.cells[{column}].textContent)")
            known = [v for v in values if v != ""]
            assert values == known + [""] * (len(values) - len(known))
            known = [float(v) for v in known] if column > 2 else [v.lower() for v in known]
            assert known == sorted(known, reverse=way == "descending")
    opened.evaluate("(() => { const f = document.querySelector('[data-column=metal]'); f.value = 'cu, Ag'; f.dispatchEvent(new Event('input')); })()")
    assert set(opened.evaluate(f"{shown}.map((r) => r.dataset.metal)")) == {"Cu", "Ag"}
    opened.evaluate("(() => { const f = document.querySelector('[data-column=key]'); f.value = 'nep'; f.dispatchEvent(new Event('input')); })()")
    assert opened.evaluate(f"{shown}.length") == 2
    assert opened.evaluate("document.querySelector('[data-filters] output').textContent") == "2 of 172 rows"


def test_by_keyboard(opened):
    """Arrows move among metals, Enter opens one, back returns to it."""
    opened.evaluate("document.querySelector('#cells a').focus()")
    focused = "document.activeElement.dataset.element"
    assert opened.evaluate(focused) == "Li"
    for key, expected in (("ArrowDown", "Na"), ("ArrowRight", "Mg"), ("ArrowRight", "Al"), ("ArrowDown", "Ga")):
        opened.press(key)
        assert opened.evaluate(focused) == expected
    assert opened.evaluate("!document.getElementById('tooltip').hidden && getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.press("Enter")
    wait = "new Promise((done) => setTimeout(() => done([location.hash, document.getElementById('overview').hidden, document.activeElement.tagName]), 150))"
    assert opened.evaluate(wait) == ["#Ga", True, "H2"]
    opened.evaluate("history.back()")
    assert opened.evaluate(wait) == ["", False, "A"] and opened.evaluate(focused) == "Ga"
    focusable = "[...document.querySelectorAll('a[href], button, select, input, summary, .scroll')].filter((e) => e.offsetParent && e.tabIndex < 0 && !e.matches('#cells a')).length"
    assert opened.evaluate(focusable) == 0


def test_every_metal_has_its_page(opened):
    symbols = opened.evaluate("[...document.querySelectorAll('article.metal')].map((a) => a.id)")
    assert len(symbols) == 43
    for symbol in symbols[:3] + ["W"]:
        opened.evaluate(f"new Promise((done) => {{ location.hash = '{symbol}'; setTimeout(done, 120); }})")
        visible = opened.evaluate("[...document.querySelectorAll('article.metal')].filter((a) => a.offsetHeight).map((a) => a.id)")
        titles = opened.evaluate(f"[...document.querySelectorAll('#{symbol} .plots h3')].map((h) => h.textContent)")
        assert visible == [symbol] and opened.evaluate("document.title").startswith(symbol)
        assert {"Predicted over reference forces", "Where the errors are", "Properties", "Radial distribution function g(r)", "Last frames"} <= set(
            titles
        )
        assert opened.evaluate(f"document.querySelectorAll('#{symbol} .plots svg').length") > 40
        assert "NaN" not in opened.evaluate(f"document.querySelector('#{symbol} .plots').innerHTML.replace(/data:[^\"]*/g, '')")


@pytest.mark.parametrize("anchor", ["", "#Cu"])
def test_on_a_phone_nothing_hangs_over(browser, page, anchor):
    browser.resize(390, 844)
    browser.open(page, anchor)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    hints = browser.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((b) => b.offsetHeight && b.scrollWidth > b.clientWidth + 2).map((b) => b.classList.contains('goes-on'))"
    )
    assert hints and all(hints)
    assert not browser.problems


def test_everything_is_drawn_for_paper(opened):
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.call("Emulation.setEmulatedMedia", media="print")
    drawn = opened.evaluate(
        "[...document.querySelectorAll('article.metal')].filter((a) => a.offsetHeight && a.querySelectorAll('.plots svg').length > 40).length"
    )
    clipped = opened.evaluate("[...document.querySelectorAll('.scroll')].filter((b) => getComputedStyle(b).overflowX !== 'visible').length")
    opened.call("Emulation.setEmulatedMedia", media="")
    assert drawn == 43 and clipped == 0 and opened.evaluate("document.getElementById('overview').offsetHeight") > 0
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.evaluate("[...document.querySelectorAll('article.metal')].filter((a) => a.offsetHeight).length") == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A campaign of two metals."""
    folder = tmp_path_factory.mktemp("small")
    campaigns.write_campaign(folder / "campaign", ["Cu", "W"])
    return folder / "campaign"


def test_printed_from_a_page_of_one_metal(browser, small):
    """Chromium prints both metals and the overview, whichever is open."""
    browser.resize(1400)
    browser.open(write_report([small], small / "report.html"), "#W")
    printed = browser.pdf()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 8
    browser.open(small / "report.html")
    assert abs(len(browser.pdf()) / len(printed) - 1) < 0.02 and not browser.problems


def test_page_size_is_kept(small):
    """Too large a page leaves things out, and says which."""
    whole = campaign_page(read_results([small]))
    thinned = campaign_page(read_results([small]), limit=len(whole.encode()) - 1000)
    assert "Left out, so that this page stays below" in thinned and "pictures of last frames" in thinned and len(thinned) < len(whole)
    assert "more than" in campaign_page(read_results([small]), limit=1000)


def test_other_versions_in_one_campaign_are_said(small, tmp_path):
    out = shutil.copytree(small, tmp_path / "out")
    record = json.loads((out / "sweep/sweep.json").read_text())
    record["versions"]["metalff"] = "0.1.0"
    next(iter(record["jobs"].values()))["lammps"] = "2 Aug 2023"
    (out / "sweep/sweep.json").write_text(json.dumps(record))
    page = campaign_page(read_results([out]))
    assert "Mixed versions of metalff: 0.2.0 in" in page and "mixes versions of LAMMPS: 2 Aug 2023, 29 Aug 2024." in page


@pytest.mark.parametrize(
    "file, damage, message",
    [
        (
            "sweep/Cu/Cu-nep/340K/trajectory.h5",
            lambda path: path.write_bytes(path.read_bytes()[:-100]),
            "trajectory.h5 is not the file that the sweep wrote",
        ),
        (
            "sweep/sweep.json",
            lambda path: path.write_text('{"schema": 2, "plan": {}, "potentials": {}, "hash": "", "jobs": {"a": {}}}'),
            "sweep.json is damaged",
        ),
        ("sweep/sweep.json", lambda path: path.write_text('{"schema": 7}'), "has schema 7, this report reads 1 and 2; run metalff sweep again"),
        ("properties/properties.json", lambda path: path.write_text('{"schema": 1, "models": {}, "results": [{}]}'), "properties.json is damaged"),
        ("properties/properties.json", lambda path: path.write_text('{"schema": NaN}'), "properties.json is damaged"),
    ],
)
def test_refuses_what_is_damaged(small, tmp_path, file, damage, message):
    out = shutil.copytree(small, tmp_path / "out")
    damage(out / file)
    with pytest.raises(MetalffError, match=message):
        write_report([out], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_hostile_names_are_text(small, tmp_path, browser):
    out = shutil.copytree(small, tmp_path / "out")
    path = out / "sweep/sweep.json"
    text = path.read_text().replace("the temperature reached", "</script><script>alert(1)</script><img src=x onerror=alert(1)> reached")
    path.write_text(text)
    browser.open(write_report([out], tmp_path / "report.html"), "#W")
    assert "<img src=x onerror=alert(1)> reached" in browser.evaluate("document.querySelector('#W .warning').textContent")
    assert browser.evaluate("document.querySelectorAll('article img').length") == 0 and not browser.problems


def test_training_curves(small, tmp_path, browser):
    """Of the folders of ``metalff train``; a metal without one says that there is none."""
    (tmp_path / "copper").mkdir()
    (tmp_path / "copper/training.json").write_text(json.dumps({"config": {"family": "nep"}, "elements": ["Cu"], "elapsed_s": 360.0, "versions": {}}))
    rows = [f"{k},{k},{60 * k},0.01,{0.5 / k},{0.01 / k},1.0" for k in range(1, 7)]
    (tmp_path / "copper/history.csv").write_text("epoch,step,elapsed_s,lr,force_rmse_valid,energy_rmse_valid,loss\n" + "\n".join(rows))
    path = write_report([small, tmp_path / "copper"], tmp_path / "report.html")
    for symbol, drawn in (("Cu", True), ("W", False)):
        browser.open(path, f"#{symbol}")
        text = browser.evaluate(f"document.getElementById('{symbol}').innerText")
        assert ("nep (copper)" in text) is drawn and ("No training curve" in text) is not drawn
    assert not browser.problems
    (tmp_path / "copper/history.csv").unlink()
    with pytest.raises(MetalffError, match="holds no whole training"):
        write_report([tmp_path / "copper"], tmp_path / "report.html")
