"""All results of a campaign as one document: metals × models × temperatures, and what each metal's own page shows."""

import json
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_names, atomic_numbers

from metalff.data.metals import metals
from metalff.report import analysis, binned, driven
from metalff.report.metals import ALL, pooled, temperature_class
from metalff.report.models import Models
from metalff.report.results import Results
from metalff.report.snapshot import picture_of, snapshot
from metalff.report.studies import conditions
from metalff.validate.metrics import STILL

SCHEMA = 2
"""Number of the layout of the document in the page."""


@dataclass(frozen=True)
class Metric:
    """What metals can be coloured and ranked by.

    Attributes:
        name, unit: as the page says them.
        log: whether colours go by the logarithm.
        better: ``low``, ``high``, or '' where neither is.
        by_temperature: whether it has a value for each temperature.
    """

    name: str
    unit: str
    log: bool = True
    better: str = "low"
    by_temperature: bool = True


METRICS = {
    "normalised": Metric("force RMSE ÷ RMS force", "%"),
    "force_rmse": Metric("force RMSE", "eV/Å"),
    "force_mae": Metric("force MAE", "eV/Å"),
    "energy": Metric("energy RMSE after fitted constants", "meV/atom"),
    "energy_raw": Metric("energy RMSE, raw", "meV/atom"),
    "stress": Metric("stress RMSE", "meV/Å³"),
    "force_rms": Metric("RMS force of the reference", "eV/Å", better=""),
    "elastic": Metric("elastic constants, mean deviation from experiment", "%", by_temperature=False),
    "lattice": Metric("lattice constant a, deviation from experiment", "%", by_temperature=False),
    "eos": Metric("bulk modulus, deviation from experiment", "%", by_temperature=False),
    "vacancy": Metric("vacancy formation energy, deviation from experiment", "%", by_temperature=False),
    "expansion": Metric("thermal expansion, deviation from experiment", "%", by_temperature=False),
    "melting": Metric("melting temperature, deviation from experiment", "%", by_temperature=False),
    "drift": Metric("drift of the energy in NVE, magnitude", "meV/atom/ns"),
    "speed": Metric("speed", "atom-steps/s", better="high"),
    "failed": Metric("runs failed or not stable", "%", log=False, by_temperature=False),
}

DEVIATIONS = {
    "lattice": ("a",),
    "eos": ("bulk_modulus",),
    "vacancy": ("formation_energy",),
    "expansion": ("linear_expansion", "expansion"),
    "melting": ("melting_temperature",),
}
"""Measurement → keys of the value that is compared with experiment; the first that there is."""


COMPARED = ("source", "index", "group", "temperature", "atoms", "force_rmse", "force_rms_reference")
"""Columns of ``frames.csv`` that a comparison of campaigns needs."""


@dataclass
class Campaign:
    """The document and what it is made of.

    Attributes:
        models: ``metalff.report.models.Model``, in the order of the page.
        elements: symbols by atomic number.
        classes: temperatures, rising, without ``all``.
        values: metric → class → model's key → symbol → [value, low, high].
        metals: symbol → what its page shows.
        failures: jobs without results and runs that are not stable, as dictionaries.
        sources: folders: kind, name, hash, command, versions, machine, cost.
        notes: sentences that the reader must know.
        frames: (model's key, symbol) → its rows of ``frames.csv``, for comparisons frame by frame.
    """

    models: list = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    values: dict = field(default_factory=dict)
    metals: dict = field(default_factory=dict)
    failures: list[dict] = field(default_factory=list)
    sources: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    frames: dict = field(default_factory=dict)

    def value(self, metric: str, model: str, symbol: str, name: str = ALL):
        """[value, low, high], or None."""
        return self.values.get(metric, {}).get(name, {}).get(model, {}).get(symbol)


def campaign(found: Results) -> Campaign:
    """Put all results together.

    Raises:
        MetalffError: a trajectory or table is damaged or not the one that was recorded.
    """
    return _Builder(found).build()


class _Builder:
    def __init__(self, found: Results):
        self.found, self.models, self.result = found, Models(), Campaign()
        known = [symbol for symbol in found.elements if symbol in atomic_numbers]
        self.result.elements = sorted(known, key=atomic_numbers.get)
        self.class_temperatures: dict[str, list[float]] = {}
        self.attempts: dict[tuple[str, str], list[int]] = {}
        for symbol in self.result.elements:
            metal = metals().get(symbol)
            self.result.metals[symbol] = {
                "name": atomic_names[atomic_numbers[symbol]].lower(),
                "crystal": metal.crystal if metal else "",
                "melts": metal.melting_temperature if metal else None,
                "errors": {},
                "parity": {},
                "energies": {},
                "stresses": {},
                "error": {},
                "magnitude": {},
                "runs": [],
                "driven": [],
                "properties": [],
                "expansion": {},
                "training": [],
                "failures": [],
            }

    def build(self) -> Campaign:
        for validation in self.found.validations:
            self._validation(validation)
        for study in self.found.studies:
            self._study(study)
        for document in self.found.properties:
            self._properties(document)
        for sweep in self.found.sweeps:
            self._sweep(sweep)
        for training in self.found.trainings:
            self._training(training)
        for (key, symbol), (tried, failed) in self.attempts.items():
            self._put("failed", ALL, key, symbol, 100 * failed / tried)
        result = self.result
        result.models = self.models.ordered()
        result.classes = sorted(self.class_temperatures, key=lambda name: np.mean(self.class_temperatures[name]))
        result.notes += self._mixed_versions()
        return result

    # names

    def _class(self, symbol: str, temperature: float | None) -> str:
        if temperature is None:
            return ""
        name = f"{temperature:g} K" if len(self.result.elements) == 1 else temperature_class(symbol, temperature)
        melting = metals()[symbol].melting_temperature if symbol in metals() else 1000.0
        self.class_temperatures.setdefault(name, []).append(temperature / melting)
        return name

    def _put(self, metric: str, name: str, key: str, symbol: str, value, low=None, high=None) -> None:
        if value is not None and np.isfinite(value):
            rounded = [None if x is None or not np.isfinite(x) else float(f"{x:.4g}") for x in (value, low, high)]
            self.result.values.setdefault(metric, {}).setdefault(name, {}).setdefault(key, {}).setdefault(symbol, rounded)

    def _has_errors(self, key: str, symbol: str) -> bool:
        return self.result.value("force_rmse", key, symbol) is not None

    # errors

    def _validation(self, validation) -> None:
        document, frames = validation.document, validation.frames
        elements = document["dataset"]["elements"]
        where = validation.element_of(frames)
        for potential in document["potentials"]:
            for symbol, whole in potential.get("by_element", {}).items():
                if symbol not in self.result.metals:
                    continue
                key = self.models.add(potential, symbol)
                if self._has_errors(key, symbol):
                    self.result.notes.append(
                        f"{validation.folder}: errors of {key} for {symbol} are in an earlier folder, too; those of the earlier one are shown."
                    )
                    continue
                self._errors(key, symbol, ALL, whole)
                self._by_class(key, symbol, [row for row in potential["by_condition"] if row["element"] == symbol])
                if where is not None:
                    self._points(validation, frames, where, potential["name"], key, symbol)
            if where is None:
                self.result.notes.append(
                    f"{validation.folder} does not say which frame is of which metal; validate again to see points metal by metal."
                )
        groups = {p["name"]: p.get("groups", {}) for p in document["potentials"]}
        for symbol in elements if len(elements) == 1 else ():
            if symbol in self.result.metals:
                self.result.metals[symbol]["groups"] = {self.models.add(p, symbol): groups[p["name"]] for p in document["potentials"]}
        self._source("validation", validation.folder, document, f"{document['dataset']['frames']:,} frames", document["dataset"].get("sha256", ""))
        self.result.sources[-1]["data"] = document["dataset"]

    def _study(self, study) -> None:
        for (_, symbol), (record, rows) in conditions(study.document).items():
            if symbol not in self.result.metals:
                continue
            key = self.models.add(record, symbol)
            for row in rows:
                if row["temperature"] is None:
                    self._errors(key, symbol, ALL, row)
            self._by_class(key, symbol, rows)
        frames = sum(row["frames"] for row in study.document["rows"] if row["temperature"] is None and not row["group"])
        self._source("study of errors", study.folder, study.document, f"{frames:,} evaluations of frames")

    def _by_class(self, key: str, symbol: str, rows: list[dict]) -> None:
        """Put the errors at each class of temperatures, those of several conditions pooled."""
        found = {}
        for row in rows:
            if name := self._class(symbol, row["temperature"]):
                found.setdefault(name, []).append(row)
        for name, some in found.items():
            if len(some) == 1:
                self._errors(key, symbol, name, some[0])
            else:
                for metric, value in pooled(some).items():
                    self._put(metric, name, key, symbol, value)

    def _errors(self, key: str, symbol: str, name: str, metrics: dict) -> None:
        """Put one ``Metrics`` of a validation into the values."""
        scales = {
            "force_rmse": ("force_rmse", 1),
            "force_mae": ("force_mae", 1),
            "normalised": ("force_rmse_normalised", 100),
            "energy": ("energy_rmse_offset", 1000),
            "energy_raw": ("energy_rmse", 1000),
            "stress": ("stress_rmse", 1000),
        }
        for metric, (source, scale) in scales.items():
            if estimate := metrics.get(source):
                if metric == "normalised" and metrics["force_rms_reference"] < STILL:
                    continue
                bounds = [None if estimate[side] is None else scale * estimate[side] for side in ("low", "high")]
                self._put(metric, name, key, symbol, scale * estimate["value"], *bounds)
        self._put("force_rms", name, key, symbol, metrics["force_rms_reference"])

    def _points(self, validation, frames, where, potential: str, key: str, symbol: str) -> None:
        """Densities of one metal: forces by temperature, energies and stresses of all frames."""
        metal = self.result.metals[symbol]
        mine = frames[(frames.potential == potential).to_numpy() & (where == symbol)]
        self.result.frames[key, symbol] = mine[[name for name in COMPARED if name in mine.columns]]
        chosen = set(mine["frame"])
        reference, predicted, number = validation.forces(potential)
        temperature = dict(zip(mine["frame"], mine["temperature"]))
        classes = {ALL: sorted(chosen)}
        for frame in sorted(chosen):
            if temperature[frame] == temperature[frame]:
                classes.setdefault(self._class(symbol, float(temperature[frame])), []).append(frame)
        for name, some in classes.items() if len(classes) > 2 else [(ALL, classes[ALL])]:
            rows = binned.among(number, some)
            if found := binned.parity(reference[rows], predicted[rows]):
                metal["parity"].setdefault(name, {})[key] = found
        rows = binned.among(number, sorted(chosen))
        metal["error"][key] = binned.distribution(predicted[rows] - reference[rows])
        metal["magnitude"][key] = binned.error_by_magnitude(reference[rows], predicted[rows])
        atoms = mine["atoms"].to_numpy()
        metal["energies"][key] = binned.parity(
            mine["energy_reference"].to_numpy() / atoms, (mine["energy_predicted"] + mine["energy_offset"]).to_numpy() / atoms
        )
        sides = [[c for c in mine.columns if c.startswith(f"stress_{side}_")] for side in ("reference", "predicted")]
        if sides[0]:
            metal["stresses"][key] = binned.parity(*(1000 * mine[columns].to_numpy(float) for columns in sides))

    # properties

    def _properties(self, document) -> None:
        records = document.document["models"]
        rows = document.document["results"]
        for row in rows:
            symbol = row["element"]
            if symbol not in self.result.metals:
                continue
            key = self.models.add(records.get(row["model"], {"name": row["model"], "label": row["model"], "kind": ""}), symbol)
            curves = {name: curve for name, given in (row.get("curves") or {}).items() if (curve := binned.curve(given))}
            kept = {
                name: row.get(name) for name in ("measurement", "status", "reason", "values", "notes", "warnings", "reference", "grade", "seconds")
            }
            detail = row.get("detail") or {}
            special = [list(pair) for pair in zip(detail.get("special_points") or (), detail.get("special_names") or ())]
            self.result.metals[symbol]["properties"].append(kept | {"model": key, "curves": curves} | ({"special": special} if special else {}))
            if row["status"] == "failed":
                self._failure(symbol, key, None, f"{row['measurement']} of {key}", "failed", row.get("reason") or "", "")
            self._deviation(row, key, symbol)
        seconds = sum(row.get("seconds") or 0 for row in rows)
        self._source("properties", document.folder, document.document, f"{sum(r['status'] == 'done' for r in rows):,} of {len(rows):,} measured")
        self.result.sources[-1]["seconds"] = seconds

    def _deviation(self, row: dict, key: str, symbol: str) -> None:
        """Deviation from experiment in %, of the mean of magnitudes for elastic constants."""
        name, values = row["measurement"], row.get("values") or {}
        known = {r["key"]: r["value"] for r in row.get("reference") or () if r.get("kind") == "experiment" and r.get("value")}
        if name == "elastic":
            off = [abs(values[c]["value"] / known[c] - 1) for c in values if c in known and values[c].get("value") is not None]
            if off:
                self._put(name, ALL, key, symbol, 100 * np.mean(off))
            return
        for one in DEVIATIONS.get(name, ()):
            if one in values and one in known and values[one].get("value") is not None:
                self._put(name, ALL, key, symbol, 100 * abs(values[one]["value"] / known[one] - 1))
                return

    # molecular dynamics

    def _sweep(self, sweep) -> None:
        records = sweep.record["potentials"]
        volumes, drifts, speeds, wall, atom_steps = {}, {}, {}, 0.0, 0.0

        def record_of(folder):
            return records.get(folder, {"name": folder, "label": folder, "kind": ""})

        for run in sweep.runs:
            key = self.models.add(record_of(run.potential), run.element)
            tried = self.attempts.setdefault((key, run.element), [0, 0])
            tried[0] += 1
            wall += run.record.get("wall_s") or 0.0
            if unstable := run.record.get("unstable"):
                tried[1] += 1
                self._failure(run.element, key, run.temperature, run.id, "not stable", unstable, "")
                continue
            if run.element not in self.result.metals:
                continue
            name = self._class(run.element, run.temperature)
            shown, numbers = self._run(run, key, name)
            self.result.metals[run.element]["runs"].append(shown)
            atom_steps += shown["atom_steps"]
            if numbers.volume:
                volumes.setdefault((key, run.element), []).append((run.temperature, numbers.volume))
            if numbers.drift:
                drifts.setdefault((key, run.element), {}).setdefault(name, []).append(numbers.drift)
            if speed := run.record.get("atom_steps_per_s"):
                speeds.setdefault((key, run.element), {}).setdefault(name, []).append(speed)
        for (key, symbol), by_class in drifts.items():
            for name, some in [*by_class.items(), (ALL, [d for part in by_class.values() for d in part])]:
                worst = max(some, key=lambda drift: abs(drift.slope))
                room = None if worst.slope_error is None else 1.96 * worst.slope_error
                bounds = (None, None) if room is None else (1000 * max(0.0, abs(worst.slope) - room), 1000 * (abs(worst.slope) + room))
                self._put("drift", name, key, symbol, 1000 * abs(worst.slope), *bounds)
        for (key, symbol), by_class in speeds.items():
            for name, some in [*by_class.items(), (ALL, [s for part in by_class.values() for s in part])]:
                self._put("speed", name, key, symbol, float(np.median(some)))
        for (key, symbol), points in volumes.items():
            if len({t for t, _ in points}) > 1:
                coefficient = analysis.thermal_expansion(*zip(*points))
                self.result.metals[symbol]["expansion"][key] = float(f"{1e6 * coefficient:.4g}")
        for run in sweep.driven:
            wall += run.record.get("wall_s") or 0.0
            atom_steps += self._driven(run, self.models.add(record_of(run.potential), run.element), sweep.record["plan"].get("lattice"))
        for job in sweep.unfinished:
            key = self.models.add(record_of(job.potential), job.element)
            if job.status == "failed":
                tried = self.attempts.setdefault((key, job.element), [0, 0])
                tried[0], tried[1] = tried[0] + 1, tried[1] + 1
            what = job.status if not job.kind else f"failed ({job.kind.replace('_', ' ')})"
            sentence = job.sentence + (f" (step {job.step:,})" if job.step is not None else "")
            self._failure(job.element, key, job.temperature, job.id, what, sentence, job.last_frame and job.folder / job.last_frame)
        for entry in sweep.record.get("skipped") or ():
            name = str(entry.get("potential", ""))
            self._failure(entry.get("element", ""), name, None, f"{entry.get('element', '')} {name}", "skipped", entry.get("reason", ""), "")
        finished = sum(job["status"] == "finished" for job in sweep.record["jobs"].values())
        self._source("sweep", sweep.folder, sweep.record, f"{finished:,} of {len(sweep.record['jobs']):,} jobs finished", sweep.record["hash"])
        self.result.sources[-1] |= {"seconds": wall, "atom_steps": atom_steps}
        engines = {run.record["lammps"] for run in sweep.runs if run.record.get("lammps")}
        if len(engines) > 1:
            self.result.notes.append(f"{sweep.folder} mixes versions of LAMMPS: {', '.join(sorted(engines))}.")

    def _driven(self, run, key: str, lattice: str | None) -> int:
        """A ramp, a strain or a coexistence goes to its metal, a coexistence of both phases into the values; returns atom-steps."""
        tried = self.attempts.setdefault((key, run.element), [0, 0])
        tried[0] += 1
        if run.record.get("unstable"):
            tried[1] += 1
            self._failure(run.element, key, run.temperature, run.id, "not stable", run.record["unstable"], "")
            return 0
        if run.element not in self.result.metals:
            return 0
        metal = metals().get(run.element)
        shown, atom_steps = driven.of_run(run, lattice or (metal.crystal if metal else ""), metal)
        if shown:
            self.result.metals[run.element]["driven"].append({"model": key} | shown)
            if shown.get("phase") == "both" and metal:
                self._put("melting", ALL, key, run.element, 100 * abs(shown["mean"][0] / metal.melting_temperature - 1))
        return atom_steps

    def _run(self, run, key: str, name: str):
        """What the page shows of a run, and its numbers."""
        trajectory, thermo, metal = run.trajectory, run.thermo, metals().get(run.element)
        numbers = analysis.run_numbers(run, trajectory, thermo)
        atoms = trajectory.positions.shape[1]
        shown = {
            "id": run.id,
            "model": key,
            "temperature": run.temperature,
            "class": name,
            "label": run.label,
            "atoms": atoms,
            "atom_steps": int(atoms * (thermo["step"].iloc[-1] - thermo["step"].iloc[0])),
            "wall": run.record.get("wall_s"),
            "speed": run.record.get("atom_steps_per_s"),
            "volume": _short(numbers.volume),
            "density": _short(numbers.density),
            "diffusion": _short(numbers.diffusion),
            "drift": numbers.drift and [_short(1000 * numbers.drift.slope), numbers.drift.slope_error and _short(1000 * numbers.drift.slope_error)],
            "gr": {"x": [_short(numbers.r[0]), _short(numbers.r[-1])], "y": binned.series(numbers.g, len(numbers.g))},
            "picture": snapshot(trajectory.positions, trajectory.cell, metal.crystal if metal else ""),
        }
        if numbers.msd is not None:
            shown["msd"] = {"x": [_short(numbers.lag_ps[0]), _short(numbers.lag_ps[-1])], "y": binned.series(numbers.msd, 50)}
        if numbers.nve_change is not None:
            span = [_short(numbers.nve_time_ps[0]), _short(numbers.nve_time_ps[-1])]
            shown["nve"] = {"x": span, "y": binned.series(1e6 * numbers.nve_change, 80)}
        return shown, numbers

    def _failure(self, symbol: str, key: str, temperature, job: str, what: str, sentence: str, last_frame) -> None:
        entry = {"element": symbol, "model": key, "temperature": temperature, "job": job, "status": what, "sentence": sentence}
        if last_frame:
            entry |= {"last_frame": str(last_frame), "picture": picture_of(last_frame, symbol)}
        self.result.failures.append(entry)
        if symbol in self.result.metals:
            self.result.metals[symbol]["failures"].append(entry)

    def _training(self, training) -> None:
        family, elements = training.description["config"]["family"], training.description["elements"]
        rows = training.history
        for symbol in elements:
            if symbol in self.result.metals:
                curve = {
                    "name": f"{family} ({training.folder.name})",
                    "minutes": binned.series([row["elapsed_s"] / 60 for row in rows]),
                    "force": binned.series([row["force_rmse_valid"] for row in rows]),
                }
                self.result.metals[symbol]["training"].append(curve)
        self._source(
            "training", training.folder, training.description, f"{family} for {' '.join(elements)}", training.description.get("data_sha256", "")
        )
        self.result.sources[-1]["seconds"] = training.description.get("elapsed_s", 0)

    # what was run

    def _source(self, kind: str, folder, document: dict, size: str, digest: str = "") -> None:
        command = document.get("command") or (document.get("commands") or [[]])[-1]
        self.result.sources.append(
            {
                "kind": kind,
                "folder": str(folder),
                "size": size,
                "hash": digest,
                "command": command if isinstance(command, str) else " ".join(map(str, command)),
                "versions": document.get("versions") or {},
                "machine": document.get("machine") or {},
                "data": None,
                "seconds": 0.0,
                "atom_steps": 0.0,
            }
        )

    def _mixed_versions(self) -> list[str]:
        found = {}
        for source in self.result.sources:
            for package, version in source["versions"].items():
                found.setdefault(package, {}).setdefault(str(version), []).append(source["folder"])
        mixed = {package: versions for package, versions in found.items() if len(versions) > 1}
        return [
            f"Mixed versions of {package}: " + "; ".join(f"{version} in {', '.join(folders)}" for version, folders in versions.items()) + "."
            for package, versions in mixed.items()
        ]


def _short(value):
    return None if value is None or not np.isfinite(value) else float(f"{value:.5g}")


def page_data(result: Campaign) -> dict:
    """The part of a campaign that the page's script draws, JSON types only."""
    order = [model.key for model in result.models]
    return {
        "schema": SCHEMA,
        "models": [{"key": model.key, "label": model.label, "kind": model.kind} for model in result.models],
        "elements": result.elements,
        "classes": [ALL, *result.classes],
        "metrics": {
            key: {"name": m.name, "unit": m.unit, "log": m.log, "better": m.better, "byTemperature": m.by_temperature}
            for key, m in METRICS.items()
            if key in result.values
        },
        "values": {metric: {name: [by.get(key, {}) for key in order] for name, by in classes.items()} for metric, classes in result.values.items()},
        "metals": {symbol: {k: v for k, v in metal.items() if k not in ("failures", "groups")} for symbol, metal in result.metals.items()},
        "failures": [{k: v for k, v in entry.items() if v not in (None, "")} for entry in result.failures],
    }


def as_json(data: dict) -> str:
    """Compact, and safe between ``<script>`` tags."""
    return (
        json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        .replace("<", "\\u003c")
        .replace("\u2028", "")
        .replace("\u2029", "")
    )
