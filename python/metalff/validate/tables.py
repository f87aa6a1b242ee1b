"""The results of a comparison as plain tables and as the document ``validate.json``."""

from dataclasses import asdict

import numpy as np

from metalff.validate.groups import Condition, condition_of
from metalff.validate.metrics import LEVEL, RESAMPLES

COMPONENTS = (("xx", 0, 0), ("yy", 1, 1), ("zz", 2, 2), ("yz", 1, 2), ("xz", 0, 2), ("xy", 0, 1))

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
                "groups": result.groups,
                "by_temperature": {key: asdict(value) for key, value in result.by_temperature.items()},
                "by_group": {key: asdict(value) for key, value in result.by_group.items()},
                "by_element": {key: asdict(value) for key, value in result.by_element.items()},
                "by_condition": [condition._asdict() | asdict(value) for condition, value in result.by_condition.items()],
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
                "element": condition_of(frame).element,
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
                **{f"stress_reference_{name}": value for name, value in components(frame.stress)},
                **{f"stress_predicted_{name}": value for name, value in components(prediction.stress[k])},
            }


def components(stress) -> list[tuple[str, float | None]]:
    """The six distinct components by name, eV/Å³; None where there is no stress."""
    return [(name, None if stress is None else float(stress[i][j])) for name, i, j in COMPONENTS]


def stress_error(reference, predicted) -> float | None:
    """RMS over the six distinct components, eV/Å³."""
    if reference is None or predicted is None:
        return None
    return float(np.sqrt(np.mean((predicted - reference)[np.triu_indices(3)] ** 2)))


def element_rows(results):
    """One dict per potential × element, and × group × temperature: what ``elements.csv`` holds; energies after the fitted constants, in eV/atom."""
    for result in results:
        rows = [(Condition(element, "", None), found) for element, found in result.by_element.items()]
        rows += [(condition, found) for condition, found in result.by_condition.items() if condition[1:] != ("", None)]
        whole = result.overall.force_rmse.value**2 * result.overall.atoms
        for condition, found in rows:
            yield {
                "potential": result.prediction.potential.name,
                **condition._asdict(),
                "frames": found.frames,
                "atoms": found.atoms,
                "force_rms_reference": found.force_rms_reference,
                **spread("force_rmse", found.force_rmse),
                **spread("normalised", found.force_rmse_normalised),
                "share": found.force_rmse.value**2 * found.atoms / whole if whole else None,
                "force_mae": found.force_mae.value,
                **spread("energy_rmse_offset", found.energy_rmse_offset),
                "energy_mae_offset": found.energy_mae_offset.value,
                "stress_rmse": found.stress_rmse and found.stress_rmse.value,
            }


def spread(name: str, estimate) -> dict:
    """The value and its interval; None where there is none."""
    values = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values))


ATOMS = 1_000_000
"""Of a set whose forces are all written; of a larger one, those of evenly spaced frames."""


def force_columns(results, dataset) -> dict:
    """Columns of ``forces.parquet``: one row per potential × frame × atom, forces in eV/Å; of a set above ``ATOMS`` those of ``Dataset.spread``."""
    chosen = dataset.spread(ATOMS)
    sizes = np.array([len(dataset.frames[k]) for k in chosen])
    names = np.array([result.prediction.potential.name for result in results], object)
    columns = {
        "potential": np.repeat(names, sizes.sum()),
        "frame": np.tile(np.repeat(chosen, sizes), len(results)),
        "atom": np.tile(np.concatenate([np.arange(size) for size in sizes]), len(results)),
    }
    reference = np.tile(np.concatenate([dataset.frames[k].forces for k in chosen]), (len(results), 1))
    predicted = np.concatenate([result.prediction.forces[k] for result in results for k in chosen])
    for axis, letter in enumerate("xyz"):
        columns[f"reference_f{letter}"] = reference[:, axis]
        columns[f"predicted_f{letter}"] = predicted[:, axis]
    return columns
