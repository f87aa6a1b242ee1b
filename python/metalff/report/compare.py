"""Two campaigns beside each other: what is better, worse or only in one, with intervals."""

from dataclasses import dataclass, field

import numpy as np

from metalff.report.campaign import METRICS, Campaign
from metalff.report.metals import ALL
from metalff.validate.metrics import LEVEL, bootstrap_indices

COMPARED = (
    "normalised",
    "force_rmse",
    "energy",
    "stress",
    "elastic",
    "lattice",
    "vacancy",
    "eos",
    "expansion",
    "melting",
    "drift",
    "speed",
    "failed",
)
"""Metrics, in the order of the page; the first that both campaigns have is the one of its periodic tables."""

FEWEST = 2
"""Frames that both have, from which on errors are compared frame by frame."""


@dataclass(frozen=True)
class Row:
    """One number of one metal, model and temperature in both campaigns.

    Attributes:
        a, b: [value, low, high].
        ratio: b / a, with its interval where there is one: [value, low, high]; None where a is 0.
        verdict: ``better``, ``worse``, ``same`` (no difference that the intervals can tell) or ``unknown`` (there are none).
        how: in words, what the verdict rests on.
    """

    metric: str
    model: str
    symbol: str
    temperature: str
    a: list
    b: list
    ratio: list | None
    verdict: str
    how: str


@dataclass
class Comparison:
    """Rows and what is in one campaign only: (model, symbol) pairs; ``differences`` are sentences about versions, data and potentials."""

    rows: list[Row] = field(default_factory=list)
    only_a: list[tuple[str, str]] = field(default_factory=list)
    only_b: list[tuple[str, str]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


def compare(a: Campaign, b: Campaign) -> Comparison:
    """Numbers of ``b`` against those of ``a``. Models are the same where they are called the same; where each campaign has one, these two are."""
    found = Comparison()
    pairs = {model.key: model.key for model in a.models if model.key in {other.key for other in b.models}}
    if not pairs and len(a.models) == len(b.models) == 1:
        pairs = {a.models[0].key: b.models[0].key}
        found.differences.append(f"Each campaign has one model, so that these are compared: {a.models[0].label} (A) and {b.models[0].label} (B).")
    found.labels = {model.key: model.label for model in a.models if model.key in pairs}
    has_a, has_b = _having(a), _having(b)
    translated = {(pairs[key], symbol): key for key, symbol in has_a if key in pairs}
    found.only_a = sorted((key, symbol) for key, symbol in has_a if key not in pairs or (pairs[key], symbol) not in has_b)
    found.only_b = sorted((key, symbol) for key, symbol in has_b if (key, symbol) not in translated)
    for metric in COMPARED:
        for name in (ALL, *(name for name in a.classes if METRICS[metric].by_temperature)):
            for own, other in pairs.items():
                for symbol in a.elements:
                    one, two = a.value(metric, own, symbol, name), b.value(metric, other, symbol, name)
                    if one and two:
                        frames = (
                            (a.frames.get((own, symbol)), b.frames.get((other, symbol))) if metric in ("normalised", "force_rmse") else (None, None)
                        )
                        found.rows.append(_row(metric, own, symbol, name, one, two, *frames))
    found.differences += _differences(a, b, pairs)
    return found


def _having(campaign: Campaign) -> set[tuple[str, str]]:
    return {(key, symbol) for classes in campaign.values.values() for by in classes.values() for key, values in by.items() for symbol in values}


def _row(metric: str, model: str, symbol: str, name: str, a: list, b: list, frames_a, frames_b) -> Row:
    paired = paired_ratio(frames_a, frames_b) if name == ALL and frames_a is not None and frames_b is not None else None
    if paired:
        ratio, count = paired
        verdict = "same" if ratio[1] <= 1 <= ratio[2] else "better" if ratio[2] < 1 else "worse"
        return Row(metric, model, symbol, name, a, b, ratio, verdict, f"paired, {count} common frames")
    ratio = [float(f"{b[0] / a[0]:.4g}"), None, None] if a[0] else None
    if None in (a[1], a[2], b[1], b[2]):
        return Row(metric, model, symbol, name, a, b, ratio, "unknown", "no interval")
    if a[1] <= b[2] and b[1] <= a[2]:
        return Row(metric, model, symbol, name, a, b, ratio, "same", "intervals overlap")
    lower = b[2] < a[1]
    better = lower if METRICS[metric].better == "low" else not lower
    return Row(metric, model, symbol, name, a, b, ratio, "better" if better else "worse", "intervals apart")


def paired_ratio(a, b):
    """Force RMSE of b over that of a on the frames that both have, with its interval by a bootstrap that draws the same frames for both.

    Args:
        a, b: rows of ``frames.csv``.
    Returns:
        ([value, low, high], number of frames); None with fewer than ``FEWEST`` common frames. Frames are the same where source, index and RMS reference
        force are.
    """
    keys = ["source", "index", "atoms"]
    both = a.merge(b, on=keys, suffixes=("_a", "_b"))
    both = both[np.isclose(both["force_rms_reference_a"], both["force_rms_reference_b"], rtol=1e-6, atol=1e-9)]
    if len(both) < FEWEST:
        return None
    one, two = ((both[f"force_rmse_{side}"] ** 2 * both["atoms"]).to_numpy() for side in "ab")
    if not one.sum():
        return None
    trajectories = both.groupby(["source", "group_a", "temperature_a"], dropna=False).ngroup().to_numpy()
    drawn = bootstrap_indices(trajectories)
    below = one[drawn].sum(axis=1)
    samples = np.sqrt(two[drawn].sum(axis=1)[below > 0] / below[below > 0])
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(f"{value:.4g}") for value in (np.sqrt(two.sum() / one.sum()), low, high)], len(both)


def _differences(a: Campaign, b: Campaign, pairs: dict[str, str]) -> list[str]:
    """Sentences about versions, data and potentials that are not the same."""
    said = []
    versions = [{}, {}]
    for found, campaign in zip(versions, (a, b)):
        for source in campaign.sources:
            for package, version in source["versions"].items():
                found.setdefault(package, set()).add(str(version))
    for package in sorted(versions[0].keys() & versions[1].keys()):
        if versions[0][package] != versions[1][package]:
            said.append(f"{package}: {', '.join(sorted(versions[0][package]))} (A), {', '.join(sorted(versions[1][package]))} (B).")
    data = [{s["data"]["name"]: s["hash"] for s in campaign.sources if s["data"]} for campaign in (a, b)]
    if data[0] and data[1] and set(data[0].values()) != set(data[1].values()):
        said.append(
            f"Reference data: {', '.join(f'{n} {h[:12]}' for n, h in data[0].items())} (A), {', '.join(f'{n} {h[:12]}' for n, h in data[1].items())} (B)."
        )
    models = [{model.key: model for model in campaign.models} for campaign in (a, b)]
    for own, other in pairs.items():
        parts = models[0][own].parts, models[1][other].parts
        changed = [s for s in parts[0] if s in parts[1] and parts[0][s].get("sha256") != parts[1][s].get("sha256")]
        if changed:
            said.append(f"{models[0][own].label}: other files for {' '.join(changed)}.")
    plans = [{s["hash"][:12] for s in campaign.sources if s["kind"] == "sweep"} for campaign in (a, b)]
    if plans[0] and plans[1] and plans[0] != plans[1]:
        said.append(f"Plans of the sweeps: {', '.join(sorted(plans[0]))} (A), {', '.join(sorted(plans[1]))} (B).")
    return said
