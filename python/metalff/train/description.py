"""What a training was: the content of ``training.json``, which goes into the artefact's manifest."""

import csv
import json
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from metalff import __version__
from metalff.data import Dataset, read_extxyz
from metalff.errors import MetalffError
from metalff.neighbours import edges
from metalff.train.learnt import beside, group_errors, not_learnt, pressure_sentence
from metalff.validate.groups import PART, UNNAMED


def describe_training(out) -> dict:
    """Describe a finished training from its ``config.json``, the extxyz files it names, and ``history.csv``.

    Returns:
        a JSON object: ``data``, ``data_sha256``, ``data_citation``, ``data_licence`` (source of the frames), ``frames``
        and ``frames_valid`` (numbers used), ``elements``, ``r_max`` (Å), ``seed``, ``config``, what
        ``neighborhoods`` says of the training data, ``errors`` (``validation``: ``force_rmse`` eV/Å and ``energy_rmse`` eV/atom of the
        epoch kept, ``groups``: those of each group of the validation part and of its parts, see ``learnt.group_errors``, and ``test``, of the test
        part of a fold, with ``test, GROUP``),
        ``unlearnt`` (groups whose forces are not), ``pressure`` (a sentence, where pressure and volume rest on little), what was subtracted, left out
        or taken for free atoms and the fold, where there are any, ``best_epoch``, ``epochs``, ``steps``, ``elapsed_s``, ``e0`` (eV per element),
        ``functions`` (of a polynomial), ``versions``.
    Raises:
        MetalffError: the training has not ended, or a file is missing or damaged.
    """
    out = Path(out)
    if not (out / "result.json").exists():
        raise MetalffError(f"{out} holds no finished training (no result.json); run metalff train to its end first")
    try:
        config = json.loads((out / "config.json").read_text("utf-8"))
        result = json.loads((out / "result.json").read_text("utf-8"))
        best = best_epoch(out / "history.csv", config["energy_score"])
        fit, valid = (read_extxyz(out / config[key]) for key in ("train_file", "valid_file"))
        groups, parts = group_errors(valid, out / "valid.csv")
        of_test = {}
        if "test" in result:
            tested = group_errors(read_extxyz(out / config["test_file"]), out / "test.csv")
            of_test = {f"test{PART}{name or UNNAMED}": errors for name, errors in beside(*tested).items()}
        pressure = pressure_sentence(fit, config["stress_weight"])
        source = config.get("data") or {"name": fit.name, "sha256": fit.sha256, "citation": "", "licence": ""}
        return {
            "data": source["name"],
            "data_sha256": source["sha256"],
            "data_citation": source["citation"],
            "data_licence": source["licence"],
            "frames": len(fit),
            "frames_valid": len(valid),
            "elements": config["elements"],
            "r_max": config["r_max"],
            "seed": config["seed"],
            "config": {k: v for k, v in config.items() if k not in ("train_file", "valid_file", "test_file", "out", "data")},
            **neighborhoods(fit, config["r_max"]),
            "errors": {"validation": {key: best[f"{key}_valid"] for key in ("force_rmse", "energy_rmse")}}
            | ({"groups": beside(groups, parts)} if groups else {})
            | ({"test": result["test"]} | of_test if "test" in result else {}),
            **({"unlearnt": names} if (names := not_learnt(groups)) else {}),
            **({"pressure": pressure} if pressure else {}),
            **{key: source[key] for key in ("offsets", "left_out", "free_atoms", "folds", "fold") if key in source},
            "best_epoch": int(best["epoch"]),
            **{key: result[key] for key in ("epochs", "steps", "elapsed_s", "e0", "functions") if key in result or key != "functions"},
            "versions": {"metalff": __version__} | result["versions"],
        }
    except OSError as error:
        raise MetalffError(f"{error.filename}: {error.strerror}; the training is incomplete") from None
    except (ValueError, KeyError) as error:
        raise MetalffError(f"{out}: config.json, result.json or history.csv is damaged ({error}); train again") from None


def history(path: Path) -> list[dict[str, float]]:
    """Rows of ``history.csv``: columns epoch, step, elapsed_s, lr, force_rmse_valid, energy_rmse_valid."""
    with open(path, newline="") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def best_epoch(path: Path, energy_score: float) -> dict[str, float]:
    """The row of the history with the lowest force RMSE + energy_score × energy RMSE: that of the model kept."""
    rows = [row for row in history(path) if np.isfinite(row["force_rmse_valid"])]
    return min(rows, key=lambda row: row["force_rmse_valid"] + energy_score * row["energy_rmse_valid"])


def neighborhoods(dataset: Dataset, r_max: float) -> dict:
    """What atoms have around them, so that a run can tell when it leaves the training data; periodic images count.

    Returns:
        ``shortest_distance`` (Å; 0 where no two atoms are within ``r_max``), ``largest_coordination`` and
        ``smallest_coordination`` (most and fewest neighbours within ``r_max``) and ``pairs`` (elements found within
        ``r_max`` of each other, each pair once, sorted).
    """
    shortest, most, fewest, pairs = np.inf, 0, np.inf, set()
    for frame in dataset:
        i, j, vectors = edges(frame.cell, frame.pbc, frame.positions, r_max)
        shortest = min(shortest, np.linalg.norm(vectors, axis=1).min(initial=np.inf))
        neighbors = np.bincount(i, minlength=len(frame))
        most, fewest = max(most, neighbors.max()), min(fewest, neighbors.min())
        symbols = np.array(chemical_symbols)[frame.numbers]
        pairs |= {tuple(sorted(pair)) for pair in set(zip(symbols[i], symbols[j]))}
    return {
        "shortest_distance": float(shortest) if np.isfinite(shortest) else 0.0,
        "largest_coordination": int(most),
        "smallest_coordination": int(fewest) if np.isfinite(fewest) else 0,
        "pairs": [[str(a), str(b)] for a, b in sorted(pairs)],
    }
