"""The results of a comparison as plain tables and as the document ``validate.json``."""

from dataclasses import asdict

import numpy as np

from metalff.validate.metrics import LEVEL, RESAMPLES

SCHEMA = 1
"""Number of the layout of ``validate.json``."""


def document(results, dataset, versions: dict[str, str]) -> dict:
    """The content of ``validate.json``; energies in eV or eV/atom, forces in eV/Å, stress in eV/Å³."""
    return {
        "schema": SCHEMA,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "frames": len(dataset),
            "atoms": sum(map(len, dataset.frames)),
            "elements": dataset.elements,
            "citation": dataset.citation,
            "licence": dataset.licence,
        },
        "interval": {"level": LEVEL, "method": "circular block bootstrap within trajectories", "resamples": RESAMPLES},
        "versions": versions,
        "potentials": [
            {
                **result.prediction.potential.record(),
                "energy_offset": result.energy_offset,
                "overall": asdict(result.overall),
                "by_temperature": {key: asdict(value) for key, value in result.by_temperature.items()},
                "by_group": {key: asdict(value) for key, value in result.by_group.items()},
            }
            for result in results
        ],
    }


def frame_rows(results, dataset):
    """One dict per potential × frame: what ``frames.csv`` holds.

    ``energy_offset`` (eV) is what the fitted constants add to ``energy_predicted`` for the metrics after offset.
    """
    for result in results:
        prediction = result.prediction
        for k, frame in enumerate(dataset.frames):
            error = prediction.forces[k] - frame.forces
            symbols = frame.to_atoms().get_chemical_symbols()
            yield {
                "potential": prediction.potential.name,
                "frame": k,
                "source": frame.source,
                "index": frame.index,
                "group": frame.group,
                "temperature": frame.temperature,
                "atoms": len(frame),
                "energy_reference": frame.energy,
                "energy_predicted": float(prediction.energy[k]),
                "energy_offset": sum(result.energy_offset[symbol] for symbol in symbols),
                "force_rmse": float(np.sqrt(np.mean(error**2))),
                "force_mae": float(np.mean(np.abs(error))),
                "force_rms_reference": float(np.sqrt(np.mean(frame.forces**2))),
                "stress_rmse": stress_error(frame.stress, prediction.stress[k]),
            }


def stress_error(reference, predicted) -> float | None:
    """RMS over the six distinct components, eV/Å³."""
    if reference is None or predicted is None:
        return None
    return float(np.sqrt(np.mean((predicted - reference)[np.triu_indices(3)] ** 2)))


def force_columns(results, dataset) -> dict[str, list]:
    """Columns of ``forces.parquet``: one row per potential × frame × atom, forces in eV/Å."""
    columns = {"potential": [], "frame": [], "atom": []}
    for result in results:
        for k, frame in enumerate(dataset.frames):
            columns["potential"] += [result.prediction.potential.name] * len(frame)
            columns["frame"] += [k] * len(frame)
            columns["atom"] += range(len(frame))
    reference = np.concatenate([frame.forces for _ in results for frame in dataset.frames])
    predicted = np.concatenate([forces for result in results for forces in result.prediction.forces])
    for axis, letter in enumerate("xyz"):
        columns[f"reference_f{letter}"] = reference[:, axis]
        columns[f"predicted_f{letter}"] = predicted[:, axis]
    return columns
