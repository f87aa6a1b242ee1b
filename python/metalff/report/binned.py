"""Many points as few numbers: density of predicted over reference values, distribution of errors, error against magnitude. Pure functions on arrays."""

import base64

import numpy as np

CELLS = 44
"""Of a density along each side."""

LEVELS = 9
"""Of a density; the darkest is its fullest cell, on a logarithmic scale."""

TAIL = 1e-4
"""Part of the reference values beyond each end of the axes, so that one outlier does not shrink all others to a dot."""

POINTS = 160
"""Up to so many, points are kept as they are."""

BINS = 41
"""Of the distribution of errors, odd: the middle one is around zero."""

BANDS = 12
"""Of magnitudes, each with as many atoms."""


def parity(reference, predicted) -> dict | None:
    """Predicted over reference values: ``limits`` of both axes, how many points there are (``n``) and are outside (``outside``), and ``points`` (scaled to
    0–65535 along the axes, x and y in turn) or ``cells`` (levels of the density row by row from below, run by run). None without finite values.

    Args:
        reference, predicted: of the same shape.
    """
    reference, predicted = np.ravel(reference), np.ravel(predicted)
    known = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[known], predicted[known]
    if not len(reference):
        return None
    few = len(reference) <= POINTS
    values = np.concatenate([reference, predicted]) if few else reference
    low, high = np.quantile(values, [0, 1] if few else [TAIL, 1 - TAIL])
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1e-3
    low, high = float(f"{low - room:.4g}"), float(f"{high + room:.4g}")
    inside = (reference >= low) & (reference <= high) & (predicted >= low) & (predicted <= high)
    found = {"limits": [low, high], "n": len(reference), "outside": int(np.count_nonzero(~inside))}
    if few:
        scaled = (np.stack([reference, predicted], axis=1)[inside] - low) / (high - low)
        return found | {"points": _packed(np.round(65535 * scaled).astype("<u2"))}
    counts, _, _ = np.histogram2d(predicted[inside], reference[inside], CELLS, [[low, high], [low, high]])
    return found | {"cells": runs(levels(counts))}


def levels(counts) -> np.ndarray:
    """0 where there is nothing, else 1 to ``LEVELS`` on a logarithmic scale."""
    most = np.log1p(counts.max(initial=0)) or 1.0
    return np.ceil(LEVELS * np.log1p(counts) / most).astype(np.uint8)


def runs(values) -> str:
    """Bytes [n] as runs, (length, value) each, in base64."""
    flat = np.ravel(values)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [len(flat)]])
    pairs = []
    for start, end in zip(starts, starts[1:]):
        length = int(end - start)
        while length > 0:
            pairs += [min(length, 255), int(flat[start])]
            length -= 255
    return _packed(np.array(pairs, np.uint8))


def distribution(error) -> dict | None:
    """Histogram of errors within ±``reach``, the 99th percentile of their size: ``counts`` of ``BINS`` bins, and ``outside``. None without errors."""
    error = np.ravel(error)
    error = error[np.isfinite(error)]
    if not len(error) or not (reach := float(f"{np.quantile(np.abs(error), 0.99):.3g}")):
        return None
    counts, _ = np.histogram(error, BINS, (-reach, reach))
    return {"reach": reach, "counts": counts.tolist(), "outside": int(len(error) - counts.sum())}


def error_by_magnitude(reference, predicted) -> dict | None:
    """Root mean square error per component in ``BANDS`` bands of the magnitude of the reference force, each with as many atoms.

    Args:
        reference, predicted: [n,3] eV/Å.
    Returns:
        ``x`` (mean magnitude) and ``y``, both eV/Å; None with fewer than four atoms per band.
    """
    size = np.linalg.norm(reference, axis=1)
    if len(size) < 4 * BANDS:
        return None
    parts = np.array_split(np.argsort(size), BANDS)
    square = np.mean((np.asarray(predicted) - reference) ** 2, axis=1)
    return {"x": [_short(size[part].mean()) for part in parts], "y": [_short(np.sqrt(square[part].mean())) for part in parts]}


def series(values, most: int = 120) -> dict | None:
    """A curve's numbers in 16 bits: ``low``, ``high`` and ``data`` (base64, little-endian), thinned evenly to at most ``most``. None without values."""
    values = np.asarray(values, float)
    if not len(values) or not np.isfinite(values).any():
        return None
    values = values[np.unique(np.round(np.linspace(0, len(values) - 1, min(most, len(values)))).astype(int))]
    known = np.isfinite(values)
    low, high = float(values[known].min()), float(values[known].max())
    scaled = np.where(known, np.round(65534 * (np.where(known, values, low) - low) / ((high - low) or 1.0)), 65535)
    return {"low": float(f"{low:.7g}"), "high": float(f"{high:.7g}"), "data": _packed(scaled.astype("<u2"))}


def among(numbers, chosen) -> np.ndarray:
    """[n] whether numbers [n] are among those that are chosen, rising."""
    known = np.zeros(1 + max(int(numbers.max(initial=0)), int(chosen[-1]) if len(chosen) else 0), bool)
    known[chosen] = True
    return known[numbers]


def curve(given: dict) -> dict | None:
    """A curve of a measurement (``x``, ``y``, labels) with its numbers as ``series``; None without numbers."""
    x, y = given.get("x") or [], given.get("y") or []
    if len(x) != len(y) or not len(x):
        return None
    y = [np.nan if value is None else value for value in y]
    labels = {name: given.get(name, "") for name in ("x_label", "y_label", "group")}
    return labels | {"x": series(x), "y": series(y)}


def _packed(array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _short(value) -> float:
    return float(f"{value:.4g}")
