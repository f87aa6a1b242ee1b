"""The results of a comparison as plain tables and as the document ``validate.json``."""

from dataclasses import asdict

import numpy as np

from metalff.validate.groups import Condition
from metalff.validate.metrics import LEVEL, RESAMPLES, FrameErrors

COMPONENTS = (("xx", 0), ("yy", 3), ("zz", 5), ("yz", 4), ("xz", 2), ("xy", 1))
"""Names of the six distinct components of a stress, and their places in ``reference.UPPER``."""

SCHEMA = 1
"""Number of the layout of ``validate.json``."""


def document(results, versions: dict[str, str]) -> dict:
    """The content of ``validate.json``; energies in eV or eV/atom, forces in eV/Å, stress in eV/Å³."""
    dataset = results[0].reference
    return {
        "schema": SCHEMA,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "frames": len(dataset),
            "atoms": int(dataset.atoms.sum()),
            "elements": dataset.elements,
            "citation": dataset.citation,
            "licence": dataset.licence,
        },
        "interval": {"level": LEVEL, "method": "circular block bootstrap within trajectories", "resamples": RESAMPLES},
        "versions": versions,
        "potentials": [
            {
                **result.potential.record(),
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


def frame_columns(result, frames: slice) -> dict:
    """Columns of ``frames.csv``, a row for each of these frames.

    ``energy_offset`` (eV) is what the fitted constants add to ``energy_predicted`` for the metrics after offset.
    """
    reference, errors = result.reference, FrameErrors(*(column[frames] for column in result.errors))
    conditions, components = reference.conditions[frames], 3 * errors.atoms
    stresses = {"reference": reference.stress[frames], "predicted": result.stress[frames]}
    return {
        "potential": result.potential.name,
        "frame": np.arange(len(reference))[frames],
        "source": reference.source[frames],
        "index": reference.index[frames],
        "element": [condition.element for condition in conditions],
        "group": [condition.group for condition in conditions],
        "temperature": np.array([np.nan if condition.temperature is None else condition.temperature for condition in conditions]),
        "atoms": errors.atoms,
        "energy_reference": reference.energy[frames],
        "energy_predicted": result.energy[frames],
        "energy_offset": result.shift[frames],
        "force_rmse": np.sqrt(errors.force_square_error / components),
        "force_mae": errors.force_absolute_error / components,
        "force_rms_reference": np.sqrt(errors.force_square / components),
        "stress_rmse": np.sqrt(errors.stress_square_error),
        **{f"stress_{side}_{name}": values[:, place] for side, values in stresses.items() for name, place in COMPONENTS},
    }


def element_rows(results):
    """One dict per potential × element, and × group × temperature: what ``elements.csv`` holds; energies after the fitted constants, in eV/atom."""
    for result in results:
        rows = [(Condition(element, "", None), found) for element, found in result.by_element.items()]
        rows += [(condition, found) for condition, found in result.by_condition.items() if condition[1:] != ("", None)]
        whole = result.overall.force_rmse.value**2 * result.overall.atoms
        for condition, found in rows:
            yield {
                "potential": result.potential.name,
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
