"""How hard will a new metal be? A forecast of its normalised force error from indicators of its Fermi surface, judged out of sample.

ln(normalised error) = constant + ridge regression on ``PREDICTORS``, standardised over the known metals; the strength of the ridge is the one that predicts
each known metal best from the others, and "infinite", the mean of the known metals, is among those tried. How good the forecast is comes from leaving out each
metal once more, with the strength chosen anew from the rest (nested). Intervals are Student's t with that error.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from metalff.data.metals import metals
from metalff.errors import MetalffError
from metalff.paths import atomic_write
from metalff.study.correlation import FEWEST

PREDICTORS = ("n_ef_0.1", "d_weight", "area")
"""Chosen before any error was looked at: what the Fermi surface is large by, and what its electrons are. More than three would fit seven metals whatever they are."""

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, math.inf)
"""Strengths tried; of a standardised indicator."""

BEYOND = 0.25
"""A metal whose indicator lies further outside the range of the known metals than this part of the range is extrapolated to."""

SMALLEST, LARGEST = 1e-6, 1e3
"""Normalised errors beyond these are none."""

LEVEL = 0.95
SCHEMA = 1


@dataclass(frozen=True)
class Fit:
    """What the known metals say.

    Attributes:
        metals: symbols.
        predictors: names.
        centre, scale: [K] of the predictors.
        low, high: [K] their ranges over the known metals.
        slopes: [K] of ln(normalised error) by standardised predictor.
        mean: of ln(normalised error).
        ridge: strength; inf where the mean of the metals forecasts best.
        errors: {symbol: (true, forecast without it)}, ln(normalised error).
        rms: of these differences, nested; as a factor exp(rms).
        rms_mean: the same of the mean of the other metals.
    """

    metals: tuple[str, ...]
    predictors: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    slopes: np.ndarray
    mean: float
    ridge: float
    errors: dict[str, tuple[float, float]]
    rms: float
    rms_mean: float

    @property
    def skill(self) -> float:
        """1 − the squared error of the forecast ÷ that of the mean of the other metals; none where not above 0."""
        return 1 - (self.rms / self.rms_mean) ** 2 if self.rms_mean > 0 else 0.0

    @property
    def inside(self) -> int:
        """Of the known metals, those within the interval that was forecast without them."""
        half = student.ppf((1 + LEVEL) / 2, len(self.metals) - 2) * self.rms
        return sum(abs(true - said) <= half for true, said in self.errors.values())


@dataclass(frozen=True)
class Forecast:
    """Normalised force error of one metal.

    Attributes:
        element: symbol.
        normalised, low, high: with the 95 % interval.
        values: of the predictors.
        beyond: names of predictors outside the range of the known metals.
    """

    element: str
    normalised: float
    low: float
    high: float
    values: dict[str, float]
    beyond: tuple[str, ...]


def fit(errors: dict[str, float], indicators: dict[str, dict[str, float]], predictors=PREDICTORS) -> Fit:
    """Learn from known metals.

    Args:
        errors: symbol → normalised force error.
        indicators: symbol → indicator → value.
    Raises:
        MetalffError: fewer than ``FEWEST`` metals have the error and all predictors.
    """
    known = [
        symbol for symbol in errors if symbol in indicators and all(math.isfinite(indicators[symbol].get(name, math.nan)) for name in predictors)
    ]
    if strange := [symbol for symbol in known if not SMALLEST <= errors[symbol] <= LARGEST]:
        raise MetalffError(f"a normalised error of {errors[strange[0]]:g} ({strange[0]}) is none; give errors between {SMALLEST:g} and {LARGEST:g}")
    if len(known) < FEWEST:
        raise MetalffError(f"{len(known)} metals have an error and {', '.join(predictors)}; a forecast needs at least {FEWEST}")
    x = np.array([[indicators[symbol][name] for name in predictors] for symbol in known])
    y = np.log([errors[symbol] for symbol in known])
    said, by_mean = {}, []
    for k, symbol in enumerate(known):
        rest = np.arange(len(known)) != k
        mean, centre, scale, slopes, _ = _solve(x[rest], y[rest])
        said[symbol] = (float(y[k]), float(mean + (x[k] - centre) / scale @ slopes))
        by_mean.append(y[k] - y[rest].mean())
    mean, centre, scale, slopes, ridge = _solve(x, y)
    rms = math.sqrt(np.mean([(true - guess) ** 2 for true, guess in said.values()]))
    return Fit(
        tuple(known),
        tuple(predictors),
        centre,
        scale,
        x.min(axis=0),
        x.max(axis=0),
        slopes,
        float(mean),
        ridge,
        said,
        rms,
        float(np.sqrt(np.mean(np.square(by_mean)))),
    )


def _solve(x, y):
    """Mean, centre, scale, slopes and strength of the ridge that predicts each point best from the others."""
    best = min(RIDGES, key=lambda ridge: (_left_out(x, y, ridge), -ridge))
    return *_ridge(x, y, best), best


def _ridge(x, y, ridge: float):
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z, mean = (x - centre) / scale, y.mean()
    slopes = np.zeros(x.shape[1]) if math.isinf(ridge) else np.linalg.solve(z.T @ z + ridge * np.eye(x.shape[1]), z.T @ (y - mean))
    return mean, centre, scale, slopes


def _left_out(x, y, ridge: float) -> float:
    total = 0.0
    for k in range(len(y)):
        rest = np.arange(len(y)) != k
        mean, centre, scale, slopes = _ridge(x[rest], y[rest], ridge)
        total += (y[k] - mean - (x[k] - centre) / scale @ slopes) ** 2
    return round(float(total), 12)


def forecast(fitted: Fit, element: str, indicators: dict[str, float]) -> Forecast:
    """Of one metal.

    Raises:
        MetalffError: it is among the known ones, or lacks a predictor.
    """
    if element in fitted.metals:
        raise MetalffError(f"{element} is one of the metals that the forecast was learnt from; its error is known")
    if missing := [name for name in fitted.predictors if not math.isfinite(indicators.get(name, math.nan))]:
        raise MetalffError(f"no {', '.join(missing)} of {element} is known; run: metalff fermi {element}")
    x = np.array([indicators[name] for name in fitted.predictors])
    middle = fitted.mean + float((x - fitted.centre) / fitted.scale @ fitted.slopes)
    half = float(student.ppf((1 + LEVEL) / 2, len(fitted.metals) - 2)) * fitted.rms * math.sqrt(1 + 1 / len(fitted.metals))
    allowed = BEYOND * (fitted.high - fitted.low)
    beyond = [
        name for name, value, low, high, more in zip(fitted.predictors, x, fitted.low, fitted.high, allowed) if not low - more <= value <= high + more
    ]
    return Forecast(
        element,
        math.exp(middle),
        math.exp(middle - half),
        math.exp(middle + half),
        dict(zip(fitted.predictors, x.tolist(), strict=True)),
        tuple(beyond),
    )


def quality(fitted: Fit) -> str:
    """How good forecasts are, in a sentence."""
    factor, by_mean = math.exp(fitted.rms), math.exp(fitted.rms_mean)
    said = (
        f"each of the {len(fitted.metals)} known metals ({' '.join(fitted.metals)}) forecast from the others is off by a factor of {factor:.2f} (RMS)"
    )
    if fitted.skill > 0:
        return f"{said}, by the mean of the others of {by_mean:.2f}: the indicators take away {100 * fitted.skill:.0f} % of the squared error"
    return f"{said}, by the mean of the others of {by_mean:.2f}: the indicators forecast no better than that mean"


def freeze(path: Path, fitted: Fit, found: list[Forecast], what: dict) -> None:
    """Write forecasts down, to be tested later.

    Args:
        what: what is forecast, and what it was learnt from.
    """
    content = {"schema": SCHEMA, "what": what, "quality": quality(fitted), "learnt_from": list(fitted.metals), "predictors": list(fitted.predictors)}
    content |= {"forecasts": [asdict(one) for one in found]}
    with atomic_write(path) as stream:
        json.dump(content, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


def frozen(path: Path) -> tuple[dict, dict[str, Forecast]]:
    """A file of ``freeze``: what it says of itself, and the forecasts by element.

    Raises:
        MetalffError: it is none.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError("another schema")
        found = {}
        for one in content["forecasts"]:
            numbers = {key: float(one[key]) for key in ("normalised", "low", "high")}
            if not (all(map(math.isfinite, numbers.values())) and 0 < numbers["low"] <= numbers["normalised"] <= numbers["high"]):
                raise ValueError("an interval that is none")
            if one["element"] not in metals() or one["element"] in found:
                raise ValueError("an element that is none, or twice")
            found[one["element"]] = Forecast(one["element"], **numbers, values=dict(one["values"]), beyond=tuple(one["beyond"]))
        if not found or not isinstance(content["what"]["model"], str):
            raise ValueError("nothing forecast")
        return dict(content["what"]), found
    except OSError as error:
        raise MetalffError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MetalffError(f"{path} holds no frozen forecast; make one: metalff predict V Zr --out {path}") from None


def judged(forecasts: dict[str, Forecast], errors: dict[str, float]) -> list[str]:
    """How frozen forecasts went, in sentences; of the metals whose error is known by now.

    Args:
        errors: symbol → normalised force error.
    """
    known = {symbol: one for symbol, one in forecasts.items() if symbol in errors}
    said = [
        f"{symbol}: forecast {100 * one.normalised:.1f} % ({100 * one.low:.1f}–{100 * one.high:.1f}), found {100 * errors[symbol]:.1f} %: "
        f"{'inside' if one.low <= errors[symbol] <= one.high else 'outside'}, off by a factor of {math.exp(abs(math.log(errors[symbol] / one.normalised))):.2f}"
        for symbol, one in known.items()
    ]
    if len(known) > 1:
        logs = [math.log(errors[symbol] / one.normalised) for symbol, one in known.items()]
        inside = sum(one.low <= errors[symbol] <= one.high for symbol, one in known.items())
        said.append(f"{inside} of {len(known)} inside their intervals; off by a factor of {math.exp(math.sqrt(np.mean(np.square(logs)))):.2f} (RMS)")
    if waiting := [symbol for symbol in forecasts if symbol not in errors]:
        said.append(f"not tested yet, for want of labels: {' '.join(waiting)}")
    return said
