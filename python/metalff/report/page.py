"""The page of one metal, without scripts: numbers and plots put into ``page.html.j2``."""

import base64
import json
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from metalff import __version__
from metalff.data.published import CITATION, SOURCE, published
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.report import analysis, figures
from metalff.report.results import Results, read_results
from metalff.validate.groups import indented
from metalff.validate.metrics import STILL

SCHEMA = 1
"""Number of the layout of the embedded ``results.json``."""

DRAWN = 100_000
"""Atoms whose forces are points of a parity plot; of more, evenly spaced ones."""

RANK = {"mlff": 0, "qsnap": 1, "snap": 2, "eam": 3, "meam": 4}
"""Order of the kinds in tables and plots: the models first."""


def write_report(folders, out, title: str = "") -> Path:
    """Write one self-contained HTML file about folders of sweeps, validations, properties and trainings.

    Raises:
        MetalffError: a folder is none of these or is damaged (see ``read_results``), or ``out`` is a folder.
    """
    from metalff.report.campaign_page import campaign_page

    out = Path(out)
    if out.is_dir():
        raise MetalffError(f"{out} is a folder; give the name of a file such as report.html")
    found = read_results(folders)
    page = one_metal(found, out.parent, title) if is_one_metal(found) else campaign_page(found, title)
    with atomic_write(out) as stream:
        stream.write(page)
    return out


def is_one_metal(found: Results) -> bool:
    """Whether all is sweeps over temperatures and validations of one metal: that has a page of its own, without scripts."""
    plain = all(
        PLAN <= set(sweep.record["plan"]) and all(job.get("kind", "md") == "md" for job in sweep.record["jobs"].values()) for sweep in found.sweeps
    )
    return plain and len(found.elements) == 1 and not (found.properties or found.trainings)


PLAN = {"element", "lattice", "replicas", "steps", "timestep"}
"""Keys of the plan of a sweep over temperatures."""


def one_metal(found: Results, base: Path, title: str = "") -> str:
    """The page of sweeps and validations of one metal; links to the results are relative to ``base``."""
    import jinja2
    from markupsafe import Markup

    sweeps, validations = found.sweeps, found.validations
    potentials = _potentials(sweeps, validations)
    colour = figures.colours({name: potential["kind"] for name, potential in potentials.items()})
    numbers = [analysis.by_potential(sweep) for sweep in sweeps]
    results = _results(sweeps, numbers, validations)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"digits": digits, "thousands": thousands, "svg": Markup, "columns": columns_for}
    here = files("metalff.report")
    return environment.from_string((here / "page.html.j2").read_text("utf-8")).render(
        title=title or _title(sweeps, validations),
        style=Markup((here / "page.css").read_text("utf-8")),
        version=__version__,
        potentials=potentials,
        still=STILL,
        elsewhere={"source": SOURCE, "citation": CITATION},
        colour=colour,
        findings=[finding for validation in validations if (finding := _finding(validation))],
        validations=[_validation(validation, potentials, colour, sweeps, numbers, base) for validation in validations],
        sweeps=[_sweep(sweep, found, potentials, colour, base) for sweep, found in zip(sweeps, numbers, strict=True)],
        versions=_versions(sweeps, validations),
        data=base64.b64encode(json.dumps(results, indent=1, allow_nan=False).encode()).decode(),
    )


def digits(value, count: int = 3) -> str:
    """A number to so many significant digits, without an exponent; an en dash for None."""
    if value is None:
        return "–"
    if not value:
        return "0"
    decimals = max(0, count - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{decimals}f}".replace("-", "−")


def columns_for(count: int) -> str:
    """Class of a grid of so many panels, three in a row unless one would stand alone in the last."""
    if count in (2, 4):
        return " two"
    return " four" if count > 4 and count % 3 == 1 else ""


def thousands(value) -> str:
    """Three significant digits with thousands separators, ``41,900``; an en dash for None."""
    return "–" if value is None else f"{float(f'{value:.3g}'):,.0f}"


def _potentials(sweeps, validations) -> dict[str, dict]:
    """Name → record of every potential, models first."""
    found = {}
    for validation in validations:
        found |= {potential["name"]: potential for potential in validation.document["potentials"]}
    for sweep in sweeps:
        found |= {potential["name"]: potential for potential in sweep.record["potentials"].values()}
    return dict(sorted(found.items(), key=lambda item: (not _is_model(item[1]), RANK.get(item[1]["kind"], len(RANK)))))


def _title(sweeps, validations) -> str:
    elements = {sweep.record["plan"]["element"] for sweep in sweeps}
    elements |= {element for validation in validations for element in validation.document["dataset"]["elements"]}
    return f"Force fields for {', '.join(sorted(elements))}"


def _is_model(potential: dict) -> bool:
    """Whether it is a model that was trained here or deployed, not a reference that others published, which has a paper of its own."""
    return potential["kind"] == "mlff" and not potential["doi"]


def _finding(validation) -> str:
    """One sentence: the best model beside the best reference."""
    potentials = validation.document["potentials"]
    rmse = {kind: [p for p in potentials if _is_model(p) == kind] for kind in (True, False)}
    best = {kind: min(group, key=lambda p: p["overall"]["force_rmse"]["value"], default=None) for kind, group in rmse.items()}
    model, reference = best[True], best[False]
    lead = model or reference
    value = lead["overall"]["force_rmse"]["value"]
    share = lead["overall"]["force_rmse_normalised"]
    dataset = validation.document["dataset"]
    text = f"On the {dataset['frames']} frames of {dataset['name']}, {lead['label']} has a force RMSE of {digits(value)} eV/Å"
    text += f" ({digits(100 * share['value'], 2)} % of the RMS force)" if share else ""
    if model and reference:
        other = reference["overall"]["force_rmse"]["value"]
        ratio = f"{digits(other / value, 2)} times less" if other >= value else f"{digits(value / other, 2)} times more"
        text += f", {ratio} than the best reference potential, {reference['label']} ({digits(other)} eV/Å)"
    return text + "."


def _validation(validation, potentials, colour, sweeps, numbers, base) -> dict:
    documents = sorted(validation.document["potentials"], key=lambda p: list(potentials).index(p["name"]))
    limit = 1.05 * max(np.abs(validation.forces(p["name"])[0]).max() for p in documents)
    return {
        "document": validation.document,
        "rows": [{"potential": p, "is_model": _is_model(p), "overall": p["overall"], **_md_numbers(p, sweeps, numbers)} for p in documents],
        "parity": [
            {
                "potential": p,
                "svg": figures.parity(f"Parity of forces, {p['label']}", *_some(validation.forces(p["name"])), colour[p["name"]], limit),
                "outside": int(np.count_nonzero(np.abs(validation.forces(p["name"])[1]) > limit)),
            }
            for p in documents
        ],
        "groups": [
            {
                "title": heading,
                "svg": figures.grouped_points(f"Force RMSE: {heading}", *_grouped(documents, key, colour, suffix), "force RMSE (eV/Å)"),
            }
            for key, heading, suffix in (
                ("by_temperature", "By temperature", " K"),
                ("by_group", "By kind of structure", ""),
            )
            if any(row["rms"] >= STILL for row in _table(documents, key))
        ],
        "by_group": _by_group(documents),
        "published": published(validation.document["dataset"]["sha256"]),
        "symmetric": [row["name"] for key in ("by_temperature", "by_group") for row in _table(documents, key) if row["rms"] < STILL],
        "links": _links(
            validation.folder,
            base,
            [name for name in ("validate.json", "elements.csv", "frames.csv", "forces.parquet") if (validation.folder / name).exists()],
        ),
    }


def _some(forces):
    """Reference and predicted forces of at most ``DRAWN`` atoms, evenly spaced."""
    reference, predicted, _ = forces
    every = max(1, -(-len(reference) // DRAWN))
    return reference[::every], predicted[::every]


def _md_numbers(potential, sweeps, numbers) -> dict:
    """Speed and worst drift of a potential in the first sweep that has it."""
    for sweep, found in zip(sweeps, numbers, strict=True):
        for folder, runs in found.items():
            if sweep.record["potentials"][folder]["sha256"] == potential["sha256"]:
                return {"speed": analysis.speed(runs), "drift": analysis.worst_drift(runs)}
    return {"speed": None, "drift": None}


def _categories(documents, key) -> list[str]:
    found = dict.fromkeys(name for p in documents for name in p[key])
    return sorted(found, key=float) if key == "by_temperature" else list(found)


def _grouped(documents, key, colour, suffix):
    names = [row["name"] for row in _table(documents, key) if row["rms"] >= STILL]
    series = []
    for p in documents:
        estimates = [p[key][name]["force_rmse"] if name in p[key] else {"value": None, "low": None, "high": None} for name in names]
        series.append((*([e[part] for e in estimates] for part in ("value", "low", "high")), colour[p["name"]]))
    return [name + suffix for name in names], series


def _table(documents, key) -> list[dict]:
    """A row per category: frames, RMS force of the reference, force RMSE of each potential."""
    rows = []
    for name in _categories(documents, key):
        metrics = [p[key].get(name) for p in documents]
        known = next(metric for metric in metrics if metric)
        rmse = [metric and metric["force_rmse"]["value"] for metric in metrics]
        rows.append({"name": name, "frames": known["frames"], "rms": known["force_rms_reference"], "rmse": rmse})
    return rows


def _by_group(documents) -> list[dict]:
    """A row per group and temperature of it: label, frames, RMS force, and the errors of each potential in words; none of an older MetalFF's results."""
    if not all(p.get("groups") for p in documents):
        return []
    labels = documents[0]["groups"]
    return [{"name": indented(name, labels), **errors, "potentials": [p["groups"][name] for p in documents]} for name, errors in labels.items()]


def _sweep(sweep, found, potentials, colour, base) -> dict:
    records = sweep.record["potentials"]
    found = dict(sorted(found.items(), key=lambda item: list(potentials).index(records[item[0]]["name"])))
    shade = {name: colour[records[name]["name"]] for name in found}
    temperatures = sorted({run.temperature for run in sweep.runs})

    def panels(title, draw):
        """A panel for each temperature with the curves that ``draw(item)`` gives: (x, y) or None."""
        made = []
        for temperature in temperatures:
            items = [(draw(item), shade[name]) for name, runs in found.items() for item in runs if item.run.temperature == temperature]
            if series := [(*curve, colour) for curve, colour in items if curve is not None]:
                made.append({"title": f"{temperature:g} K", "series": series, "label": f"{title} at {temperature:g} K"})
        return made

    def plot(made, *labels, **options):
        return [{"title": panel["title"], "svg": figures.curves(panel["label"], panel["series"], *labels, **options)} for panel in made]

    speeds = {name: value for name, runs in found.items() if (value := analysis.speed(runs))}
    volumes = {name: points for name, runs in found.items() if (points := [(i.run.temperature, i.volume) for i in runs if i.volume])}
    return {
        "record": sweep.record,
        "plan": yaml.safe_dump(sweep.record["plan"], sort_keys=False, default_flow_style=None).strip(),
        "failed": [item for item in sweep.unfinished if item.status == "failed"],
        "waiting": [item.id for item in sweep.unfinished if item.status != "failed"],
        "unstable": [(run.id, run.record["unstable"]) for run in sweep.runs if run.record.get("unstable")],
        "found": [(records[name], runs, analysis.expansion(runs)) for name, runs in found.items()],
        "rdf": plot(panels("g(r)", lambda i: (i.r, i.g)), "r (Å)", "g(r)", bottom=0),
        "msd": plot(
            panels("Mean squared displacement", lambda i: None if i.msd is None else (i.lag_ps, i.msd)),
            "lag (ps)",
            "MSD (Å²)",
            bottom=0,
        ),
        "nve": plot(
            panels("NVE energy", lambda i: None if i.nve_change is None else (i.nve_time_ps, i.nve_change * 1e6)),
            "time (ps)",
            "E(t) − E(0) (µeV/atom)",
            level=0,
        ),
        "volume": figures.curves(
            "Volume per atom over temperature",
            [(*zip(*points), shade[name]) for name, points in volumes.items()],
            "temperature (K)",
            "volume (Å³/atom)",
            size=figures.WIDE,
        )
        if volumes
        else "",
        "speed": figures.bars(
            "Speed",
            [records[name]["label"] for name in speeds],
            list(speeds.values()),
            [shade[name] for name in speeds],
            "atom-steps/s",
        )
        if speeds
        else "",
        "links": _links(sweep.folder, base, ("sweep.json",)),
        "jobs": [
            {
                "id": run.id,
                "record": run.record,
                "links": _links(sweep.folder / run.id, base, ("thermo.csv", "trajectory.h5", "log.lammps")),
            }
            for run in sweep.runs
        ],
    }


def _links(folder: Path, base: Path, names) -> list[tuple[str, str]]:
    return [(name, os.path.relpath(folder / name, base or ".")) for name in names]


def _versions(sweeps, validations) -> dict[str, str]:
    """Package → versions, all that occur."""
    found = {}
    for record in [*(sweep.record for sweep in sweeps), *(validation.document for validation in validations)]:
        for package, version in record["versions"].items():
            found.setdefault(package, []).append(version)
    return {package: ", ".join(dict.fromkeys(versions)) for package, versions in found.items()}


def _results(sweeps, numbers, validations) -> dict:
    """The machine-readable results that the page carries."""
    return {
        "schema": SCHEMA,
        "metalff": __version__,
        "validations": [validation.document for validation in validations],
        "sweeps": [
            {
                **sweep.record,
                "results": {
                    item.run.id: {
                        "volume_A3_per_atom": item.volume,
                        "density_g_per_cm3": item.density,
                        "diffusion_A2_per_ps": item.diffusion,
                        "nve_slope_eV_per_atom_per_ns": item.drift and item.drift.slope,
                        "nve_slope_error_eV_per_atom_per_ns": item.drift and item.drift.slope_error,
                        "nve_max_deviation_eV_per_atom": item.drift and item.drift.max_deviation,
                        "rdf": {"r_A": item.r.round(4).tolist(), "g": item.g.round(5).tolist()},
                        "msd": None if item.msd is None else {"lag_ps": item.lag_ps.round(6).tolist(), "A2": item.msd.round(6).tolist()},
                    }
                    for runs in found.values()
                    for item in runs
                },
                "thermal_expansion_per_K": {name: analysis.expansion(runs) for name, runs in found.items()},
            }
            for sweep, found in zip(sweeps, numbers, strict=True)
        ],
    }
